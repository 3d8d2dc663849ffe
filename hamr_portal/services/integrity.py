"""Is the record whole, and guarded? While it is not, statuses are shown and nothing is changed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from datetime import timedelta
from enum import StrEnum
from itertools import islice

from django.db import connection, transaction
from django.utils import timezone

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.chain import START, Broken, Checkpoint, Place, Walked, walk
from hamr_portal.models import AuditEntry, LogStanding, guards

from . import adopted, anchors, audit, keys

logger = logging.getLogger(__name__)

VERIFIED_EVERY = timedelta(seconds=60)
"""So often a worker verifies what came since, and puts down a checkpoint."""

AGAIN_AT_A_TIME = 20_000
"""So many new entries are verified each time, and so many of those before once more, round and round."""


class Trouble(StrEnum):
    """What can be wrong with the record."""

    GUARDS_MISSING = "GUARDS_MISSING"
    BROKEN = "BROKEN"
    OLDER_THAN_ANCHOR = "OLDER_THAN_ANCHOR"
    NOT_ITS_ANCHOR = "NOT_ITS_ANCHOR"
    NO_GENUINE_ANCHOR = "NO_GENUINE_ANCHOR"
    ANCHOR_UNREADABLE = "ANCHOR_UNREADABLE"
    CANNOT_SIGN = "CANNOT_SIGN"


RESTORED = frozenset({Trouble.OLDER_THAN_ANCHOR, Trouble.NOT_ITS_ANCHOR, Trouble.NO_GENUINE_ANCHOR})
"""The database is one of an earlier time, or may be: what was sent since is not on its record."""

_PASSING = frozenset({Trouble.ANCHOR_UNREADABLE, Trouble.CANNOT_SIGN})
"""Is over when the file can be read again: nothing is wrong with the record, and nobody has to answer for it."""


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
    # Another word was not put down by the portal.
    word = known.trouble if known.trouble in list(Trouble) else Trouble.BROKEN
    found = Found(Trouble(word), known.detail, known.broken_seq)
    if seen is None or seen.trouble not in RESTORED or found.trouble in RESTORED:
        return found
    return Found(seen.trouble, f"{seen.detail}; {found.detail}", found.broken_seq)


def _at_a_glance() -> Found | None:
    """Look at what costs little: the guards, and the last anchor."""
    missing = guards.missing(connection)
    if missing:
        return Found(Trouble.GUARDS_MISSING, f"guards of the audit log are missing: {', '.join(missing)}")
    try:
        anchor = contradicting()
        return _against(anchor) if anchor is not None else None
    except anchors.NoneGenuine as error:
        return Found(Trouble.NO_GENUINE_ANCHOR, str(error)[:300])
    except anchors.AnchorsUnreadable as error:
        return Found(Trouble.ANCHOR_UNREADABLE, str(error)[:300])
    except KeyRingUnusable as error:
        return Found(Trouble.CANNOT_SIGN, str(error)[:300])


def contradicting() -> Checkpoint | None:
    """Give the anchor that says that this is not the record, unless an admin has answered for that.

    Raises `AnchorsUnreadable`, `KeyRingUnusable`.
    """
    for anchor in anchors.highest():
        if _is_there(anchor.seq, anchor.hash):
            return None
        if not adopted.excuses(anchor):
            return anchor
    return None


def _against(anchor: Checkpoint) -> Found:
    if AuditEntry.objects.filter(seq=anchor.seq).exists():
        return Found(Trouble.NOT_ITS_ANCHOR, f"entry #{anchor.seq} is not the one that was anchored at {anchor.at}")
    head = audit.head().seq
    return Found(Trouble.OLDER_THAN_ANCHOR, f"the database is older than its anchor (#{head} < #{anchor.seq})")


def seen_as(found: Found) -> str:
    """Give the mark of a trouble by which a page says what it has shown."""
    return f"{found.trouble}:{found.broken_seq}"


# --- verify -----------------------------------------------------------------------------------------------------


def verify(*, after: Place = START, checkpoints: Sequence[Checkpoint] = (), at_most: int | None = None) -> Walked:
    """Go over the log from a place on, up to its head or over `at_most` so many. Raises `KeyRingUnusable`."""
    entries = islice(audit.signed_after(after.seq), at_most)
    return walk(entries, keys.AuditKeys(), after=after, checkpoints=checkpoints)


def verify_against(checkpoints: Sequence[Checkpoint], *, by: Actor, from_last: bool = False) -> Walked:
    """Verify the log against checkpoints that were kept elsewhere, or only from the last of them on, on the record.

    What they contradict is told, and no alarm is raised: whoever brings them knows where they are from. A break that
    needs no checkpoint to be seen raises it. Raises `KeyRingUnusable`.
    """
    last = max(checkpoints, key=lambda each: each.seq, default=None)
    before = AuditEntry.objects.filter(seq=last.seq).values_list("previous", flat=True) if from_last and last else ()
    after = Place(last.seq - 1, before[0]) if last is not None and before else START
    head_before = audit.head()
    came = verify(after=after, checkpoints=checkpoints)
    _record_verification(came, by)
    broken = _onward(START, None).broken if came.broken is not None else None
    if broken is not None:
        _alarm(_broken(broken), by, head_before)
    return came


def verify_and_keep(*, by: Actor, whole: bool = False) -> Walked:
    """Verify what came since and a portion of what was before, or the `whole` log, and keep what was found.

    A new trouble raises the alarm; where there is none, the head is anchored. Gives the first break, adopted or not.
    Raises `KeyRingUnusable`, `OSError`.
    """
    known, head_before = standing(), audit.head()
    is_round = whole or _is_older(known)
    if whole:
        told = verify()
        came = again = told if told.broken is None else _onward(START, None)
    else:
        told = came = _onward(_known_place(known.seq, known.hash), AGAIN_AT_A_TIME)
        # Somebody may have edited what was verified before; between two rounds only what is new is gone over.
        place = _known_place(known.again_seq, known.again_hash)
        again = _onward(place, AGAIN_AT_A_TIME) if is_round else Walked(head=place, entries=0)
    broken = came.broken or again.broken
    found = _at_a_glance() or (_broken(broken) if broken is not None else None)
    if whole:
        _record_verification(told, by)
    if found is not None:
        _alarm(found, by, head_before)
        _keep(verified_at=timezone.now())
        return told
    head, begin = came.head, START if again.head.seq >= came.head.seq else again.head
    when = {"verified_at": timezone.now()} if is_round else {}
    _keep(seq=head.seq, hash=head.hash, again_seq=begin.seq, again_hash=begin.hash, **when)
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
        if came.broken is None:
            return came
        here = [each for each in adopted.breaks() if each.broken == came.broken.seq]
        untouched = next((each for each in here if each.is_untouched), None)
        if untouched is None:
            return replace(came, broken=_touched(came.broken, here[-1].seq)) if here else came
        after = untouched.head


def _touched(broken: Broken, adoption: int) -> Broken:
    """Say that more is wrong than was adopted, and what is, as far as the chain tells."""
    what = f"{broken.what}; touched since it was adopted in entry #{adoption}"
    hash_ = AuditEntry.objects.filter(seq=broken.seq).values_list("hash", flat=True).first()
    beyond = verify(after=Place(broken.seq, hash_)).broken if hash_ is not None else None
    return replace(broken, what=f"{what}; entry #{beyond.seq}: {beyond.what}" if beyond is not None else what)


def look_behind(found: Found) -> Found:
    """Go over the whole log for what a trouble may hide, and keep that with it. Raises `KeyRingUnusable`."""
    broken = _onward(START, None).broken
    if broken is None:
        return found
    more = _broken(broken)
    word = found.trouble if found.trouble in RESTORED else more.trouble
    both = Found(word, f"{found.detail}; {more.detail}"[:300], more.broken_seq)
    _keep(trouble=both.trouble, detail=both.detail, broken_seq=both.broken_seq)
    return both


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
    if found.trouble in _PASSING:
        return
    with transaction.atomic():
        row, _ = LogStanding.objects.select_for_update().get_or_create(pk=1)
        # Who adopted the log while it was gone over has answered for this; what is left is found the next time.
        if row.trouble or any(each.seq > head_before.seq for each in adopted.adoptions()):
            return
        row.trouble, row.detail, row.broken_seq, row.since = *astuple(found), timezone.now()
        row.save(update_fields=["trouble", "detail", "broken_seq", "since"])
        audit.append(Event.LOG_ALARM, by=by, outcome=found.trouble, data={"detail": found.detail})


def guards_were_away(names: Sequence[str]) -> None:
    """Raise the alarm for guards that were not there and are back. Raises `CannotSign`."""
    detail = f"guards of the audit log were missing before a migration: {', '.join(names)}"
    _alarm(Found(Trouble.GUARDS_MISSING, detail[:300]), Actor(kind="command", name="migrate"), audit.head())


def _keep(**fields: object) -> None:
    LogStanding.objects.update_or_create(pk=1, defaults=fields)


def is_due() -> bool:
    """Tell whether it is time to verify again: now and then, and after each change while there is no doubt."""
    known = standing()
    if _is_older(known):
        return True
    # In doubt it gets no further, so that an entry of a change would be one of since then at each look.
    return not known.trouble and AuditEntry.objects.filter(seq__gt=known.seq, change__isnull=False).exists()


def _is_older(known: LogStanding) -> bool:
    return known.verified_at is None or abs(timezone.now() - known.verified_at) >= VERIFIED_EVERY


def clear(place: Place) -> None:
    """Take a trouble back: somebody answers for the record as it is. What was before is gone over anew."""
    begin = {"again_seq": START.seq, "again_hash": START.hash}
    _keep(trouble="", detail="", broken_seq=0, since=None, seq=place.seq, hash=place.hash, **begin)
