"""Is the record whole, and guarded? While it is not, statuses are shown and nothing is changed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice

from django.db import connection, transaction
from django.utils import timezone

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.chain import START, Broken, Checkpoint, Place, Plain, Walked, walk
from hamr_portal.models import AuditEntry, LogStanding, guards

from . import anchors, audit, keys

logger = logging.getLogger(__name__)

VERIFIED_EVERY = timedelta(seconds=60)
"""So often a worker verifies what came since, and puts down a checkpoint."""

AGAIN_AT_A_TIME = 20_000
"""So many of the entries before are verified once more each time, round and round."""

_AT_A_TIME = 2000


class Trouble(StrEnum):
    """What can be wrong with the record."""

    GUARDS_MISSING = "GUARDS_MISSING"
    BROKEN = "BROKEN"
    OLDER_THAN_ANCHOR = "OLDER_THAN_ANCHOR"
    NOT_ITS_ANCHOR = "NOT_ITS_ANCHOR"
    ANCHOR_UNREADABLE = "ANCHOR_UNREADABLE"
    CANNOT_SIGN = "CANNOT_SIGN"


@dataclass(frozen=True)
class Found:
    """A trouble, and its particulars in words."""

    trouble: Trouble
    detail: str


def standing() -> LogStanding:
    """Give how far the log was verified, and what is wrong with it."""
    return LogStanding.objects.filter(pk=1).first() or LogStanding(pk=1)


def trouble() -> Found | None:
    """Give what is wrong with the record now: what was found before and not adopted, and what a look shows."""
    known = standing()
    return Found(Trouble(known.trouble), known.detail) if known.trouble else _at_a_glance()


def _at_a_glance() -> Found | None:
    """Look at what costs little: the guards, and the last anchor."""
    missing = guards.missing(connection)
    if missing:
        return Found(Trouble.GUARDS_MISSING, ", ".join(missing))
    try:
        anchor = anchors.newest()
    except OSError as error:
        return Found(Trouble.ANCHOR_UNREADABLE, error.strerror or type(error).__name__)
    except KeyRingUnusable as error:
        return Found(Trouble.CANNOT_SIGN, str(error)[:300])
    return _against(anchor) if anchor is not None else None


def _against(anchor: Checkpoint) -> Found | None:
    there = AuditEntry.objects.filter(seq=anchor.seq).values_list("hash", flat=True).first()
    # What was adopted after the anchor was put there is the record now, on every machine that has an older anchor.
    if (
        there != anchor.hash
        and AuditEntry.objects.filter(event=Event.LOG_ADOPTED, at__gt=datetime.fromisoformat(anchor.at)).exists()
    ):
        return None
    if there is None:
        head = audit.head().seq
        return Found(Trouble.OLDER_THAN_ANCHOR, f"the database is older than its anchor (#{head} < #{anchor.seq})")
    if there != anchor.hash:
        return Found(Trouble.NOT_ITS_ANCHOR, f"entry #{anchor.seq} is not the one that was anchored at {anchor.at}")
    return None


# --- verify -----------------------------------------------------------------------------------------------------


def verify(*, after: Place = START, checkpoints: Sequence[Checkpoint] = ()) -> Walked:
    """Go over the log from a place on, up to its head. Raises `KeyRingUnusable`."""
    return walk(_entries(after.seq), keys.ring().audit_keys, after=after, checkpoints=checkpoints)


def _entries(after: int) -> Iterator[Plain]:
    """Read on by numbers, in portions: a cursor that stays open would hold the database for as long."""
    while rows := list(AuditEntry.objects.filter(seq__gt=after).order_by("seq")[:_AT_A_TIME]):
        for row in rows:
            after = row.seq
            yield audit.plain(row)


def verify_and_keep(*, by: Actor, whole: bool = False) -> Walked:
    """Verify what came since and a portion of what was before, or the `whole` log, and keep what was found.

    A new trouble raises the alarm; where there is none, the head is anchored. Raises `KeyRingUnusable`, `OSError`.
    """
    known = standing()
    came = verify() if whole else verify(after=_known_place(known.seq, known.hash))
    again = Walked(0, START) if whole else _once_again(known)
    found = _at_a_glance() or _broken(came.broken or again.broken)
    if whole:
        _record_verification(came, by)
    if found is not None:
        _alarm(found, by)
        _keep(verified_at=timezone.now())
        return came
    head = came.head if came.broken is None else audit.head()
    newest = anchors.newest()
    if head.seq and (newest is None or newest.seq != head.seq):
        anchors.put(anchors.checkpoint(head))
    begin = START if again.head.seq >= head.seq else again.head
    _keep(seq=head.seq, hash=head.hash, again_seq=begin.seq, again_hash=begin.hash, verified_at=timezone.now())
    return came


def _known_place(seq: int, hash_: str) -> Place:
    """Give where to go on: where the log was found whole, if that entry is still the one that was found."""
    there = AuditEntry.objects.filter(seq=seq, hash=hash_)
    return Place(seq, hash_) if seq and there.exists() else START


def _once_again(known: LogStanding) -> Walked:
    """Verify the next portion of what was verified before: somebody may have edited it since."""
    after = _known_place(known.again_seq, known.again_hash)
    return walk(islice(_entries(after.seq), AGAIN_AT_A_TIME), keys.ring().audit_keys, after=after)


def _broken(broken: Broken | None) -> Found | None:
    """Give a break as a trouble, unless an admin has adopted it and the log is whole from there on."""
    if broken is None:
        return None
    adopted = AuditEntry.objects.filter(event=Event.LOG_ADOPTED, seq__gt=broken.seq).order_by("seq").last()
    if adopted is not None:
        broken = verify(after=Place(adopted.seq - 1, adopted.previous)).broken
    return Found(Trouble.BROKEN, f"entry #{broken.seq}: {broken.what}"[:300]) if broken is not None else None


def _record_verification(came: Walked, by: Actor) -> None:
    data = {"entries": came.entries, "head": came.head.seq}
    if came.broken is not None:
        data |= {"broken": came.broken.seq}
    with transaction.atomic():
        audit.append(Event.LOG_VERIFIED, by=by, outcome="BROKEN" if came.broken else "WHOLE", data=data)


def _alarm(found: Found, by: Actor) -> None:
    """Put a trouble down until an admin adopts it, once, on the record as well."""
    logger.critical("audit.integrity_alarm: %s: %s", found.trouble, found.detail)
    with transaction.atomic():
        row, _ = LogStanding.objects.select_for_update().get_or_create(pk=1)
        if row.trouble:
            return
        row.trouble, row.detail, row.since = found.trouble, found.detail, timezone.now()
        row.save(update_fields=["trouble", "detail", "since"])
        audit.append(Event.LOG_ALARM, by=by, outcome=found.trouble, data={"detail": found.detail})


def _keep(**fields: object) -> None:
    LogStanding.objects.update_or_create(pk=1, defaults=fields)


def is_due() -> bool:
    """Tell whether it is time to verify again: after each change, and now and then."""
    known = standing()
    if known.verified_at is None or abs(timezone.now() - known.verified_at) >= VERIFIED_EVERY:
        return True
    return AuditEntry.objects.filter(seq__gt=known.seq, change__isnull=False).exists()


def clear(place: Place) -> None:
    """Take a trouble back: somebody answers for the record as it is."""
    _keep(trouble="", detail="", since=None, seq=place.seq, hash=place.hash, again_seq=place.seq, again_hash=place.hash)
