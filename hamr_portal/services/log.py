"""What does the record say? Entries by filters that combine, newest first, page by page; reading changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

from django.db.models import Q, QuerySet

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.chain import START, Place, walk
from hamr_portal.domain.log import events_of
from hamr_portal.models import AuditEntry

from . import audit, keys

MOST_COUNTED = 1000
"""So many entries are counted at most: to count a million takes longer than to read a page of them."""

PAGE = 50


@dataclass(frozen=True)
class Filters:
    """What is asked for; what is empty is not asked for. Days are whole days in UTC, the last one included."""

    q: str = ""
    organization: str = ""
    actor: str = ""
    event: str = ""
    outcome: str = ""
    change: int | None = None
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True)
class Page:
    """Some entries, newest first, and the number to ask for entries before, where there are any."""

    entries: list[AuditEntry]
    before: int | None


def matching(filters: Filters) -> QuerySet[AuditEntry]:
    """Give the entries that pass every filter, in no order."""
    found = AuditEntry.objects.all()
    exactly = {
        "organization": filters.organization,
        "actor_name": filters.actor,
        "outcome": filters.outcome,
        "change": filters.change,
    }
    found = found.filter(**{name: value for name, value in exactly.items() if value})
    if filters.event:
        found = found.filter(event__in=events_of(filters.event))
    if filters.since is not None:
        found = found.filter(at__gte=_beginning(filters.since))
    if filters.until is not None:
        found = found.filter(at__lt=_beginning(filters.until + timedelta(days=1)))
    for word in filters.q.split():
        found = found.filter(
            Q(ticket__icontains=word)
            | Q(reason__icontains=word)
            | Q(actor_name__icontains=word)
            | Q(actor_address__icontains=word)
        )
    return found


def page(filters: Filters, *, before: int | None = None) -> Page:
    """Give a page: it stays the same while entries come in, since it is asked for by number.

    The order is that of the numbers; where days are asked for, that of the moments, which the indexes have as well.
    They are the same, unless the clock was set back.
    """
    found, by_moment = matching(filters), filters.since is not None or filters.until is not None
    at = None
    if by_moment and before is not None:
        at = AuditEntry.objects.filter(seq=before).values_list("at", flat=True).first()
    if at is not None:
        # One end instead of two: SQLite follows an index to one of them, and that may be the farther one.
        is_within = filters.until is not None and at < _beginning(filters.until + timedelta(days=1))
        found = matching(replace(filters, until=None)) if is_within else found
        found = found.filter(at__lte=at).exclude(at=at, seq__gte=before)
    elif before is not None:
        found = found.filter(seq__lt=before)
    ordered = found.order_by(*(["-at"] if by_moment else []), "-seq")
    numbers = list(ordered.values_list("seq", flat=True)[: PAGE + 1])
    rows = {row.seq: row for row in audit.loaded(AuditEntry.objects.filter(seq__in=numbers[:PAGE]))}
    entries = [rows[number] for number in numbers[:PAGE] if number in rows]
    return Page(entries, numbers[PAGE - 1] if len(numbers) > PAGE else None)


def count(filters: Filters) -> int:
    """Give how many entries match, up to `MOST_COUNTED` and one more."""
    return matching(filters).order_by()[: MOST_COUNTED + 1].count()


# --- one entry --------------------------------------------------------------------------------------------------


class State(StrEnum):
    """Whether an entry is as it was written; a loose one is, but not what stands before it."""

    WHOLE = "WHOLE"
    LOOSE = "LOOSE"
    BROKEN = "BROKEN"
    NOT_CHECKED = "NOT_CHECKED"


@dataclass(frozen=True)
class Checked:
    """An entry, whether it is as it was written, and if not, what is wrong with it."""

    entry: AuditEntry
    state: State
    what: str = ""


def one(seq: int) -> Checked | None:
    """Give an entry by its number; None where there is none that can be read."""
    found = audit.loaded(AuditEntry.objects.filter(seq=seq))
    return checked(found)[0] if found else None


def is_kept(seq: int) -> bool:
    """Tell whether there is an entry of this number, be it one that nobody can read."""
    return AuditEntry.objects.filter(seq=seq).exists()


def checked(entries: Sequence[AuditEntry]) -> list[Checked]:
    """Hold each entry against its hash, and against the one before it."""
    try:
        known = keys.AuditKeys()
    except KeyRingUnusable as error:
        return [Checked(entry, State.NOT_CHECKED, str(error)) for entry in entries]
    numbers = [entry.seq - 1 for entry in entries]
    before = dict(AuditEntry.objects.filter(seq__in=numbers).values_list("seq", "hash"))
    return [_checked(entry, before, known) for entry in entries]


def _checked(entry: AuditEntry, before: Mapping[int, str], known: Mapping[str, bytes]) -> Checked:
    number = entry.seq - 1
    there = before.get(number) if number else START.hash
    alone = walk([audit.plain(entry)], known, after=Place(number, entry.previous)).broken
    gap = ""
    if there is None:
        gap = f"entry {number}, on which it followed, is missing"
    elif there != entry.previous:
        gap = f"it does not follow on entry {number} as that is now"
    if alone is None:
        return Checked(entry, State.LOOSE if gap else State.WHOLE, gap)
    state = State.NOT_CHECKED if not gap and entry.key_id not in known else State.BROKEN
    return Checked(entry, state, "; ".join(filter(None, [gap, alone.what])))


def _beginning(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
