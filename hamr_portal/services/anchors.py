"""Where is it kept, outside the database, which entry was the last one? In a file beside it, one signed line each."""

from __future__ import annotations

import os

from django.conf import settings
from django.utils import timezone

from hamr_portal.domain.chain import Checkpoint, Place, checkpoint_in

from . import keys
from .audit import moment

_TAIL = 16_384
"""Bytes at the end of the file that hold the newest checkpoints; one takes about 300."""


def checkpoint(place: Place) -> Checkpoint:
    """Give the signed line for an entry. Raises `KeyRingUnusable`."""
    ring = keys.ring()
    made = Checkpoint(place.seq, place.hash, moment(timezone.now()), ring.primary)
    return made.signed(ring.audit_keys[ring.primary])


def put(made: Checkpoint) -> None:
    """Append one checkpoint, on the disk when this returns. Raises `OSError`."""
    settings.ANCHOR_FILE.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(settings.ANCHOR_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{made.line()}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)


def newest() -> Checkpoint | None:
    """Give the last one that was put here and is genuine; None where there is none. Raises `OSError`."""
    try:
        with settings.ANCHOR_FILE.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            lines = file.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    ring = keys.ring().audit_keys
    found = (checkpoint_in(line) for line in reversed(lines))
    return next((each for each in found if each is not None and each.is_genuine(ring)), None)
