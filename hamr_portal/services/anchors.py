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


class AnchorsUnreadable(OSError):
    """The file cannot be read. Next: make it readable for the portal."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.strerror = text


class NoneGenuine(AnchorsUnreadable):
    """There is a file, and nothing in it was signed with a key of this installation: another's, or overwritten."""


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
    """Give the last one that was put here and is genuine; None where nothing was put here yet.

    Raises `AnchorsUnreadable`, `KeyRingUnusable`.
    """
    try:
        with settings.ANCHOR_FILE.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # Whatever was written behind the genuine ones must not hide them.
            for length in (_TAIL, size):
                file.seek(max(0, size - length))
                found = _last_genuine(file.read())
                if found is not None:
                    return found
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AnchorsUnreadable(f"{settings.ANCHOR_FILE} cannot be read ({error.strerror})") from None
    if size:
        raise NoneGenuine(f"{settings.ANCHOR_FILE} holds nothing that was signed with a key of this installation")
    return None


def _last_genuine(text: bytes) -> Checkpoint | None:
    ring = keys.AuditKeys()
    found = (checkpoint_in(line) for line in reversed(text.decode(errors="replace").splitlines()))
    return next((each for each in found if each is not None and each.is_genuine(ring)), None)
