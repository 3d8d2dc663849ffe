"""How does everything sealed come under a new key? Row by row, readable throughout, from wherever it stopped."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction

from hamr_portal.crypto import KeyRing, SealBroken, replace_ring
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.models import AuditEntry

from . import audit, keys
from .keys import SealedRow

_UNDER_WAY, _OVER = ("BEGUN", "SEALED"), ("COMPLETE", "PARTLY")


class RotationUnderWay(Exception):
    """Another process rotates this ring."""


class StillNeeded(Exception):
    """Something is sealed under a key that was to be dropped, or a key waits. The text says what."""


@dataclass
class Rotated:
    """What came of a rotation: the primary key, how many rows are under it, and what cannot be opened, with why."""

    key: str
    rows: int
    done: int = 0
    unreadable: dict[str, str] = field(default_factory=dict)


def add_key() -> str:
    """Put a key into the ring that opens, and is not yet used to seal; give its id. One that waits already stays.

    Raises `KeyRingUnusable`, `RotationUnderWay`, `OSError`.
    """
    with _alone():
        return _with_waiting(keys.ring()).waiting


def rotate(*, by: Actor) -> Rotated:
    """Finish the rotation that was begun, else begin one: add a key, promote it, and seal every row under it.

    A process that has read the ring before opens all rows meanwhile. Raises `KeyRingUnusable`, `RotationUnderWay`,
    `OSError`.
    """
    with _alone():
        ring = keys.ring()
        if ring.waiting or not _is_begun(ring):
            ring = _with_waiting(ring)
            with transaction.atomic():
                begun = {"key": ring.waiting, "instead_of": ring.primary}
                audit.append(Event.KEYS_ROTATED, by=by, outcome="BEGUN", data=begun)
            ring = _put(ring.promoted())
        came = _seal_all(ring, by)
        outcome = _OVER[bool(came.unreadable)]
        with transaction.atomic():
            data: dict[str, object] = {
                "key": came.key,
                "done": came.done,
                "of": came.rows,
                "unreadable": [*came.unreadable],
            }
            audit.append(Event.KEYS_ROTATED, by=by, outcome=outcome, data=data)
        return came


def drop_old_keys(*, by: Actor) -> list[str]:
    """Take the keys out of the ring that nothing is sealed under, and give their ids; none is taken if one is needed.

    The entries that were signed with them stay verifiable. Raises `StillNeeded`, `KeyRingUnusable`,
    `RotationUnderWay`, `OSError`.
    """
    with _alone():
        ring = keys.ring()
        if ring.waiting:
            raise StillNeeded(f"Key {ring.waiting} waits to be the primary. Run manage.py rotate_key_ring first.")
        old = [name for name in ring.keys if name != ring.primary]
        _refuse_while_needed(old)
        if not old:
            return []
        with transaction.atomic():
            audit.append(Event.KEYS_ROTATED, by=by, outcome="DROPPED", data={"keys": old})
        _put(ring.without(*old))
        try:
            # Whoever had read the ring before may have sealed under an old key until this moment.
            _refuse_while_needed(old)
        except StillNeeded:
            _put(ring)
            raise
        return old


def _with_waiting(ring: KeyRing) -> KeyRing:
    return ring if ring.waiting else _put(ring.with_key())


def _put(ring: KeyRing) -> KeyRing:
    replace_ring(settings.KEY_RING_FILE, ring)
    return ring


def _is_begun(ring: KeyRing) -> bool:
    """Tell whether a row is still to be sealed under the primary, or only the end is not on the record.

    A row that cannot be opened never will be.
    """
    told = AuditEntry.objects.filter(event=Event.KEYS_ROTATED, outcome__in=(*_UNDER_WAY, *_OVER)).order_by("-seq")
    if told.values_list("outcome", flat=True).first() in _UNDER_WAY:
        return True
    return any(not _is_under_primary(row, ring) and not _why_unreadable(row, ring) for row in keys.sealed_rows())


def _is_under_primary(row: SealedRow, ring: KeyRing) -> bool:
    return all(sealed.key_id == ring.primary for sealed in row.texts.values())


def _why_unreadable(row: SealedRow, ring: KeyRing) -> str:
    try:
        for sealed in row.texts.values():
            ring.open(sealed.text, sealed.identity)
    except SealBroken as error:
        return str(error)
    return ""


def _seal_all(ring: KeyRing, by: Actor) -> Rotated:
    """Seal each row in a transaction of its own, until none is left that can be: keys may be replaced meanwhile."""
    rows = list(keys.sealed_rows())
    came = Rotated(ring.primary, len(rows), sum(_is_under_primary(row, ring) for row in rows))
    while pending := [row for row in rows if not _is_under_primary(row, ring) and row.label not in came.unreadable]:
        for row in pending:
            why = _why_unreadable(row, ring)
            if why:
                came.unreadable[row.label] = why
            else:
                came.done += _seal(row, ring, came, by)
        rows = list(keys.sealed_rows())
        came.rows, came.done = len(rows), sum(_is_under_primary(row, ring) for row in rows)
    return came


def _seal(row: SealedRow, ring: KeyRing, came: Rotated, by: Actor) -> bool:
    """Seal one row under the primary, unless other keys were saved there since it was read."""
    texts = {
        name: ring.seal(ring.open(sealed.text, sealed.identity), sealed.identity) for name, sealed in row.texts.items()
    }
    with transaction.atomic():
        if not row.swap(texts):
            return False
        data = {"key": ring.primary, "what": row.label, "done": came.done + 1, "of": came.rows}
        audit.append(Event.KEYS_ROTATED, by=by, organization=row.organization, outcome="SEALED", data=data)
    return True


def _refuse_while_needed(old: list[str]) -> None:
    for row in keys.sealed_rows():
        for sealed in row.texts.values():
            if sealed.key_id in old:
                hint = "Run manage.py rotate_key_ring first; what cannot be opened is to be saved anew."
                raise StillNeeded(f"Key {sealed.key_id} still seals {row.label}. {hint}")


@contextmanager
def _alone() -> Iterator[None]:
    """Hold the folder of the ring: the file itself is replaced, so that a lock on it would say nothing."""
    folder = os.open(settings.KEY_RING_FILE.resolve().parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RotationUnderWay("Another process rotates this key ring. Wait until it has ended.") from None
        yield
    finally:
        os.close(folder)
