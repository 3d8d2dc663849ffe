"""What is the evidence for a change, for a pair or for some days? Everything that is known of it, on one record."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Max, Min, Q, QuerySet

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.chain import Walked, walk
from hamr_portal.domain.changes import What
from hamr_portal.domain.previews import Noticed, Weight
from hamr_portal.models import AuditEntry, Change, LogLine, LogStanding, Organization, Pair, SkipNotice

from . import audit, integrity, keys, outcomes
from .integrity import Found
from .outcomes import Story

MOST_ENTRIES = 3000
"""So many entries a pack holds at most: beyond that it is no page to read, and an export serves better."""

MOST_CHANGES = 100
"""So many changes a pack tells of at most, each with its exchanges."""

_REFUSALS = frozenset(
    {
        Event.CHANGE_REFUSED,
        Event.CHANGE_INCOMPLETE,
        Event.CHANGE_BUSY,
        Event.CHANGE_STALE,
        Event.CHANGE_TOKEN,
        Event.APPROVAL_OF_OWN,
        Event.ACCESS_DENIED,
    }
)
_DECISIONS = _REFUSALS | {
    Event.CHANGE_PREPARED,
    Event.APPROVAL_ASKED,
    Event.CHANGE_SENDING,
    Event.CHANGE_APPROVED,
    Event.APPROVAL_SKIPPED,
    Event.CHANGE_DECLINED,
    Event.CHANGE_CANCELLED,
    Event.CHANGE_EXPIRED,
    Event.CHANGE_RESOLVED,
    Event.SKIP_SEEN,
}
_CONFIRMED = (Event.APPROVAL_ASKED, Event.CHANGE_SENDING)


class TooMuch(Exception):
    """A pack of this would hold more entries or changes than anybody reads. Next: fewer days, or an export."""


@dataclass(frozen=True)
class Scope:
    """What a pack is about: a change, or a pair over some days, or everything over some days, both included."""

    change: Change | None = None
    pair: Pair | None = None
    since: date | None = None
    until: date | None = None

    def plain(self) -> dict[str, Any]:
        """Give this as the record keeps it."""
        asked = {
            "change": self.change.pk if self.change is not None else None,
            "pair": self.pair.name if self.pair is not None else None,
            "since": self.since.isoformat() if self.since is not None else None,
            "until": self.until.isoformat() if self.until is not None else None,
        }
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True)
class Step:
    """One step of a change, when it was, and how many seconds after the step before and after the first one."""

    name: str
    at: datetime
    after_last: float | None
    after_first: float


@dataclass(frozen=True)
class Told:
    """What a pack tells of one change: its story, and what the record says of it."""

    story: Story
    entries: tuple[AuditEntry, ...]
    skipped: tuple[SkipNotice, ...]

    @property
    def decisions(self) -> list[AuditEntry]:
        """Give the entries in which somebody decided something, or was refused."""
        return [entry for entry in self.entries if entry.event in _DECISIONS]

    @property
    def confirmed(self) -> AuditEntry | None:
        """Give the entry that says who confirmed it, and what."""
        return next((entry for entry in self.entries if entry.event in _CONFIRMED), None)

    @property
    def receipt(self) -> AuditEntry | None:
        """Give the entry that says that it is verified."""
        return next((entry for entry in reversed(self.entries) if entry.event in audit.RECEIPTS), None)

    @property
    def request(self) -> str:
        """Give the body of the request as it was signed on the record; where it was never confirmed, as previewed."""
        return str(_data(self.confirmed).get("request") or self.story.change.request)

    @property
    def url(self) -> str:
        """Give the address of the request, as `request`."""
        return str(_data(self.confirmed).get("url") or self.story.change.url)

    @property
    def overridden(self) -> list[Noticed]:
        """Give the checks for which somebody had to tick that it is sent nevertheless."""
        return [each for each in self.story.change.noticed if each.weight is Weight.NEEDS_OVERRIDE]

    @property
    def other_checks(self) -> list[Noticed]:
        """Give the checks that warned of something, or forbade it."""
        return [each for each in self.story.change.noticed if each.weight is not Weight.NEEDS_OVERRIDE]

    @property
    def read_backs(self) -> list[LogLine]:
        """Give what the sides read back after the request."""
        return [line for line in self.story.lines if line.what == What.READ_BACK]

    @property
    def steps(self) -> list[Step]:
        """Give how long it took from one step to the next."""
        return list(_steps(self.story, self.receipt))

    @property
    def differs(self) -> list[str]:
        """Name what the change says of itself now and the record does not: nobody changes it but by hand."""
        if self.confirmed is None:
            return []
        change, signed = self.story.change, _data(self.confirmed)
        last = next((entry.outcome for entry in reversed(self.entries) if "after" in _data(entry)), change.status)
        pairs = {
            "status": (change.status, last),
            "reason": (change.reason, self.confirmed.reason.strip()),
            "ticket": (change.ticket, self.confirmed.ticket.strip()),
            "request": (change.request, signed.get("request", change.request)),
            "address": (change.url, signed.get("url", change.url)),
            "override": (change.override, signed.get("override", change.override)),
        }
        return [name for name, (now, then) in pairs.items() if now != then]


@dataclass(frozen=True)
class Pack:
    """Everything for one page; `made` is the entry that says that it was made, and by whom."""

    scope: Scope
    made: AuditEntry
    changes: tuple[Told, ...]
    entries: tuple[AuditEntry, ...]
    left_out: int
    walked: Walked
    standing: LogStanding
    trouble: Found | None


def make(scope: Scope, *, by: Actor) -> Pack:
    """Put on the record that somebody takes this evidence, and give it as it was before.

    Raises `TooMuch`, and `CannotSign` where it cannot be recorded.
    """
    _enough(scope)
    with transaction.atomic():
        # Not an entry of the change: its evidence stays the same, however often somebody takes it.
        made = audit.append(Event.PACK_MADE, by=by, data=scope.plain())
    found = _entries(scope).filter(seq__lt=made.seq).order_by("seq")
    numbers = found.aggregate(first=Min("seq"), last=Max("seq"), count=Count("seq"))
    between = numbers["last"] - numbers["first"] + 1 - numbers["count"] if numbers["count"] else 0
    return Pack(
        scope=scope,
        made=made,
        changes=tuple(_told(_changes(scope))),
        entries=tuple(audit.loaded(found)),
        left_out=between,
        walked=walk(audit.signed_forms(found), keys.ring().audit_keys, with_gaps=True),
        standing=integrity.standing(),
        trouble=integrity.trouble(),
    )


def _enough(scope: Scope) -> None:
    count = _entries(scope).order_by()[: MOST_ENTRIES + 1].count()
    if count > MOST_ENTRIES:
        raise TooMuch(f"more than {MOST_ENTRIES:,} entries")
    if _changes(scope)[: MOST_CHANGES + 1].count() > MOST_CHANGES:
        raise TooMuch(f"more than {MOST_CHANGES:,} changes")


# --- what it is about -------------------------------------------------------------------------------------------


def _entries(scope: Scope) -> QuerySet[AuditEntry]:
    """Give the entries that a pack rests on."""
    if scope.change is not None:
        return AuditEntry.objects.filter(change=scope.change.pk)
    found = AuditEntry.objects.filter(**_within(scope))
    if scope.pair is None:
        return found
    names = list(Organization.objects.filter(pair=scope.pair).values_list("name", flat=True))
    of_pair = Change.objects.filter(pair=scope.pair).values_list("pk", flat=True)
    return found.filter(Q(organization__in=names) | Q(change__in=list(of_pair)))


def _changes(scope: Scope) -> QuerySet[Change]:
    """Give the changes that its entries tell of."""
    if scope.change is not None:
        return Change.objects.filter(pk=scope.change.pk)
    entries = _entries(scope).filter(change__isnull=False)
    return Change.objects.filter(pk__in=set(entries.values_list("change", flat=True).distinct()[: MOST_ENTRIES + 1]))


def _within(scope: Scope) -> dict[str, datetime]:
    found = {}
    if scope.since is not None:
        found["at__gte"] = datetime.combine(scope.since, time(), UTC)
    if scope.until is not None:
        found["at__lt"] = datetime.combine(scope.until + timedelta(days=1), time(), UTC)
    return found


def _told(changes: QuerySet[Change]) -> Iterator[Told]:
    """Give the story of each change, whole, and all that the record says of it."""
    for number in list(changes.order_by("pk").values_list("pk", flat=True)):
        change, entries = _at_once(number)
        skipped = tuple(SkipNotice.objects.filter(change=change).select_related("person").order_by("person__email"))
        yield Told(outcomes.story(change), entries, skipped)


def _at_once(number: int) -> tuple[Change, tuple[AuditEntry, ...]]:
    """Give a change and its entries of one moment: a move between the two would look like an edit by hand."""
    people = ("author", "approver", "closed_by", "organization", "other")
    found = AuditEntry.objects.filter(change=number).order_by("seq")
    while True:
        before = audit.entries_of(number).last
        change, entries = Change.objects.select_related(*people).get(pk=number), tuple(audit.loaded(found))
        if audit.entries_of(number).last == before:
            return change, entries


# --- how long it took -------------------------------------------------------------------------------------------


def _steps(story: Story, receipt: AuditEntry | None) -> Iterator[Step]:
    change, result = story.change, story.result
    moments = {
        "Previewed": change.prepared_at,
        "Confirmed": change.confirmed_at,
        "Approved": change.approved_at,
        "Announced": change.sent_at,
        "Answered": result.at if result is not None else None,
        "Verified": receipt.at if receipt is not None else None,
    }
    last: datetime | None = None
    for name, at in moments.items():
        if at is not None:
            after_last = (at - last).total_seconds() if last is not None else None
            yield Step(name, at, after_last, (at - change.prepared_at).total_seconds())
            last = at


def _data(entry: AuditEntry | None) -> Mapping[str, Any]:
    """Give what an entry tells in particular; nothing where somebody broke it."""
    try:
        told = json.loads(entry.data) if entry is not None else {}
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}
