"""Where is it kept, outside the database, which entry was the last one? In a file beside it, one signed line each."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

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
    """There is a file, and nothing in it was signed with a key of this installation: it was overwritten, or emptied."""


def checkpoint(place: Place) -> Checkpoint:
    """Give the signed line for an entry. Raises `KeyRingUnusable`."""
    ring = keys.ring()
    made = Checkpoint(place.seq, place.hash, moment(timezone.now()), ring.primary)
    return made.signed(ring.audit_keys[ring.primary])


def put(made: Checkpoint) -> None:
    """Append one checkpoint, on the disk when this returns. Raises `OSError`."""
    settings.ANCHOR_FILE.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    told = f"{made.line()}\n".encode()
    file = os.open(settings.ANCHOR_FILE, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.lseek(file, 0, os.SEEK_END)
        if size and os.pread(file, 1, size - 1) != b"\n":
            told = b"\n" + told  # A full disk has cut off the line before; it must not take this one with it.
        if os.write(file, told) != len(told):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)
    finally:
        os.close(file)


def newest() -> Checkpoint | None:
    """Give the last one that was put here and is genuine; None where nothing was put here yet.

    Raises `AnchorsUnreadable`, `KeyRingUnusable`.
    """
    ring = keys.AuditKeys()
    return next((each for each in reversed(_put_here()) if each.is_genuine(ring)), None)


def highest() -> Iterator[Checkpoint]:
    """Give the genuine ones of those that were put here last, highest entry first.

    Not by their order in the file: a copy of an older line behind the others must not hide them. Raises as `newest`.
    """
    ring = keys.AuditKeys()
    by_entry = sorted(_put_here(), key=lambda each: each.seq, reverse=True)
    return (each for each in by_entry if each.is_genuine(ring))


def _put_here() -> list[Checkpoint]:
    """Give the last lines; of all of them, where nothing among the last ones is genuine. Raises as `newest`."""
    ring = keys.AuditKeys()
    try:
        with settings.ANCHOR_FILE.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            # Whatever was written behind the genuine ones must not hide them.
            for length in (_TAIL, size):
                file.seek(max(0, size - length))
                lines = file.read().decode(errors="replace").splitlines()
                found = [each for each in map(checkpoint_in, lines) if each is not None]
                if any(each.is_genuine(ring) for each in reversed(found)):
                    return found
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AnchorsUnreadable(f"{settings.ANCHOR_FILE} cannot be read ({error.strerror})") from None
    raise NoneGenuine(f"{settings.ANCHOR_FILE} holds nothing that was signed with a key of this installation")
