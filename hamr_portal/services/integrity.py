"""Is the record whole, and guarded? While it is not, statuses are shown and nothing is changed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from itertools import islice, takewhile

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
"""So many new entries are verified each time, and so many of those before once more, round and round."""

_AT_A_TIME = 2000


class Trouble(StrEnum):
    """What can be wrong with the record."""

    GUARDS_MISSING = "GUARDS_MISSING"
    BROKEN = "BROKEN"
    OLDER_THAN_ANCHOR = "OLDER_THAN_ANCHOR"
    NOT_ITS_ANCHOR = "NOT_ITS_ANCHOR"
    ANCHOR_UNREADABLE = "ANCHOR_UNREADABLE"
    CANNOT_SIGN = "CANNOT_SIGN"


RESTORED = frozenset({Trouble.OLDER_THAN_ANCHOR, Trouble.NOT_ITS_ANCHOR})
"""The database is one of an earlier time: what was sent since is not on its record."""


@dataclass(frozen=True)
class Found:
    """A trouble, its particulars in words, and the entry at which the log is broken, where it is."""

    trouble: Trouble
    detail: str
    broken_seq: int = 0


def standing() -> LogStanding:
    """Give how far the log was verified, and what is wrong with it."""
    return LogStanding.objects.filter(pk=1).first() or LogStanding(pk=1)


def trouble() -> Found | None:
    """Give what is wrong with the record now: what was found before and not adopted, and what a look shows.

    A restored backup comes first: whoever adopts what was found before it adopts the backup as well.
    """
    known, seen = standing(), _at_a_glance()
    if not known.trouble:
        return seen
    found = Found(Trouble(known.trouble), known.detail, known.broken_seq)
    if seen is None or seen.trouble not in RESTORED or found.trouble in RESTORED:
        return found
    return Found(seen.trouble, f"{seen.detail}; {found.detail}", found.broken_seq)


def _at_a_glance() -> Found | None:
    """Look at what costs little: the guards, and the last anchor."""
    missing = guards.missing(connection)
    if missing:
        return Found(Trouble.GUARDS_MISSING, f"guards of the audit log are missing: {', '.join(missing)}")
    try:
        anchor = anchors.newest()
        return _against(anchor) if anchor is not None else None
    except anchors.AnchorsUnreadable as error:
        return Found(Trouble.ANCHOR_UNREADABLE, str(error)[:300])
    except KeyRingUnusable as error:
        return Found(Trouble.CANNOT_SIGN, str(error)[:300])


def _against(anchor: Checkpoint) -> Found | None:
    there = AuditEntry.objects.filter(seq=anchor.seq).values_list("hash", flat=True).first()
    # What was adopted after the anchor was put there is the record now, on every machine that has an older anchor.
    if there == anchor.hash or any(each.at > datetime.fromisoformat(anchor.at) for each in _adoptions()):
        return None
    if there is None:
        head = audit.head().seq
        return Found(Trouble.OLDER_THAN_ANCHOR, f"the database is older than its anchor (#{head} < #{anchor.seq})")
    return Found(Trouble.NOT_ITS_ANCHOR, f"entry #{anchor.seq} is not the one that was anchored at {anchor.at}")


def _adoptions() -> list[AuditEntry]:
    """Give the entries with which an admin has answered for the record, as far as they are genuine."""
    ring = keys.ring().audit_keys
    entries = AuditEntry.objects.filter(event=Event.LOG_ADOPTED).order_by("seq")
    return [entry for entry in audit.loaded(entries) if audit.is_genuine(entry, ring)]


# --- verify -----------------------------------------------------------------------------------------------------


def verify(*, after: Place = START, checkpoints: Sequence[Checkpoint] = (), at_most: int | None = None) -> Walked:
    """Go over the log from a place on, up to its head or over `at_most` so many. Raises `KeyRingUnusable`."""
    entries = islice(_entries(after.seq), at_most)
    return walk(entries, keys.ring().audit_keys, after=after, checkpoints=checkpoints)


def verify_against(checkpoints: Sequence[Checkpoint], *, by: Actor, from_last: bool = False) -> Walked:
    """Verify the log against checkpoints that were kept elsewhere, or only from the last of them on, on the record.

    What they contradict is told, and no alarm is raised: whoever brings them knows where they are from. Raises
    `KeyRingUnusable`.
    """
    last = max(checkpoints, key=lambda each: each.seq, default=None)
    before = AuditEntry.objects.filter(seq=last.seq).values_list("previous", flat=True) if from_last and last else ()
    after = Place(last.seq - 1, before[0]) if last is not None and before else START
    came = verify(after=after, checkpoints=checkpoints)
    _record_verification(came, by)
    return came


def _entries(after: int) -> Iterator[Plain]:
    """Read on by numbers, in portions: a cursor that stays open would hold the database for as long."""
    rows = AuditEntry.objects.order_by("seq")
    while portion := audit.signed_forms(rows.filter(seq__gt=after)[:_AT_A_TIME]):
        yield from portion
        after = portion[-1]["seq"]


def verify_and_keep(*, by: Actor, whole: bool = False) -> Walked:
    """Verify what came since and a portion of what was before, or the `whole` log, and keep what was found.

    A new trouble raises the alarm; where there is none, the head is anchored. Gives the first break, adopted or not.
    Raises `KeyRingUnusable`, `OSError`.
    """
    known, head_before = standing(), audit.head()
    if whole:
        told = verify()
        came = again = told if told.broken is None else _onward(START, None)
    else:
        told = came = _onward(_known_place(known.seq, known.hash), AGAIN_AT_A_TIME)
        # Somebody may have edited what was verified before.
        again = _onward(_known_place(known.again_seq, known.again_hash), AGAIN_AT_A_TIME)
    broken = came.broken or again.broken
    found = _at_a_glance() or (_broken(broken) if broken is not None else None)
    if whole:
        _record_verification(told, by)
    if found is not None:
        _alarm(found, by, head_before)
        _keep(verified_at=timezone.now())
        return told
    head, begin = came.head, START if again.head.seq >= came.head.seq else again.head
    _keep(seq=head.seq, hash=head.hash, again_seq=begin.seq, again_hash=begin.hash, verified_at=timezone.now())
    _anchor(head)
    return told


def _anchor(head: Place) -> None:
    newest = anchors.newest()
    is_new = newest is None or head.seq > newest.seq
    if head.seq and (is_new or not _is_there(newest.seq, newest.hash)):  # type: ignore[union-attr]
        anchors.put(anchors.checkpoint(head))


def _is_there(seq: int, hash_: str) -> bool:
    return AuditEntry.objects.filter(seq=seq, hash=hash_).exists()


def _known_place(seq: int, hash_: str) -> Place:
    """Give where to go on: where the log was found whole, if that entry is still the one that was found."""
    return Place(seq, hash_) if seq and _is_there(seq, hash_) else START


def _onward(after: Place, at_most: int | None) -> Walked:
    """Go over the log, past what an admin has adopted as it is."""
    while True:
        came = verify(after=after, at_most=at_most)
        adopted = _adopted(came.broken) if came.broken is not None else None
        if adopted is None:
            return came
        after = adopted


def _adopted(broken: Broken) -> Place | None:
    """Give the entry up to which a break was adopted, if it was and nothing there has been touched since."""
    for entry in _adoptions():
        told = json.loads(entry.data)
        head = Place(**told["head"])
        if told.get("broken") == broken.seq and told["digest"] == digest(broken.seq, head.seq):
            return head
    return None


def digest(first: int, last: int) -> str:
    """Give what tells whether these entries are still as they are now, broken as they are."""
    summed = sha256()
    for entry in takewhile(lambda each: each["seq"] <= last, _entries(first - 1)):
        summed.update(json.dumps(entry, sort_keys=True).encode())
    return summed.hexdigest()


def _broken(broken: Broken) -> Found:
    return Found(Trouble.BROKEN, f"entry #{broken.seq}: {broken.what}"[:300], broken.seq)


def _record_verification(came: Walked, by: Actor) -> None:
    data = {"entries": came.entries, "head": came.head.seq}
    if came.broken is not None:
        data |= {"broken": came.broken.seq}
    with transaction.atomic():
        audit.append(Event.LOG_VERIFIED, by=by, outcome="BROKEN" if came.broken else "WHOLE", data=data)


def _alarm(found: Found, by: Actor, head_before: Place) -> None:
    """Put a trouble down until an admin adopts it, once, on the record as well."""
    logger.critical("audit.integrity_alarm: %s: %s", found.trouble, found.detail)
    with transaction.atomic():
        row, _ = LogStanding.objects.select_for_update().get_or_create(pk=1)
        # Who adopted the log while it was gone over has answered for this; what is left is found the next time.
        if row.trouble or any(each.seq > head_before.seq for each in _adoptions()):
            return
        row.trouble, row.detail, row.broken_seq, row.since = *astuple(found), timezone.now()
        row.save(update_fields=["trouble", "detail", "broken_seq", "since"])
        audit.append(Event.LOG_ALARM, by=by, outcome=found.trouble, data={"detail": found.detail})


def _keep(**fields: object) -> None:
    LogStanding.objects.update_or_create(pk=1, defaults=fields)


def is_due() -> bool:
    """Tell whether it is time to verify again: now and then, and after each change while there is no doubt."""
    known = standing()
    if known.verified_at is None or abs(timezone.now() - known.verified_at) >= VERIFIED_EVERY:
        return True
    # In doubt it gets no further, so that an entry of a change would be one of since then at each look.
    return not known.trouble and AuditEntry.objects.filter(seq__gt=known.seq, change__isnull=False).exists()


def clear(place: Place) -> None:
    """Take a trouble back: somebody answers for the record as it is. What was before is gone over anew."""
    begin = {"again_seq": START.seq, "again_hash": START.hash}
    _keep(trouble="", detail="", broken_seq=0, since=None, seq=place.seq, hash=place.hash, **begin)
