"""What is the evidence for a change, for a pair or for some days? Everything that is known of it, on one record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Max, Min, Q, QuerySet

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.chain import Walked, walk
from hamr_portal.domain.changes import What
from hamr_portal.domain.previews import Noticed, Weight
from hamr_portal.models import AuditEntry, Change, LogLine, Organization, Pair, SkipNotice

from . import audit, chain_states, keys, outcomes, run_sheets, signed, signed_changes
from .chain_states import ChainState
from .outcomes import Story
from .run_sheets import Line
from .signed import Held

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
        Event.CHANGE_FROZEN,
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
    Event.FREEZE_BROKEN,
    Event.CHANGE_DECLINED,
    Event.CHANGE_CANCELLED,
    Event.CHANGE_EXPIRED,
    Event.CHANGE_RESOLVED,
    Event.SKIP_SEEN,
    Event.DRIVER_OFFERED,
    Event.DRIVER_KEPT,
    Event.DRIVER_TAKEN,
    Event.DRIVER_TAKEN_OVER,
}
_LARGEST = 2**63 - 1


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
    """One step of a change, when it was and whether that is signed, and how many seconds after the step before and
    after the first one.
    """

    name: str
    at: datetime
    is_signed: bool
    after_last: float | None
    after_first: float


@dataclass(frozen=True)
class Told:
    """What a pack tells of one change: its story as it was signed, what else the record says, and what differs."""

    story: Story
    entries: tuple[AuditEntry, ...]
    skipped: tuple[SkipNotice, ...]
    held: Held
    genuine: tuple[AuditEntry, ...]
    run_sheet: tuple[Line, ...]

    @property
    def decisions(self) -> list[AuditEntry]:
        """Give the entries in which somebody decided something, or was refused."""
        return [entry for entry in self.entries if entry.event in _DECISIONS]

    @property
    def confirmed(self) -> AuditEntry | None:
        """Give the entry that says who confirmed it, and what, where that is as it was written."""
        return signed.first(self.genuine, *signed.CONFIRMED)

    @property
    def receipt(self) -> AuditEntry | None:
        """Give the entry that says that it is verified, where that is as it was written."""
        return signed.first(reversed(self.genuine), *audit.RECEIPTS)

    @property
    def request(self) -> str:
        """Give the body of the request as it was signed on the record; where it was never confirmed, as previewed."""
        return self.story.change.request

    @property
    def url(self) -> str:
        """Give the address of the request, as `request`."""
        return self.story.change.url

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
        return list(_steps(self.story, self.held, self.receipt))

    @property
    def named(self) -> str:
        """Give the name that the organization had on the record; nothing where no entry tells."""
        return self.genuine[0].organization if self.genuine else ""

    @property
    def differs(self) -> list[str]:
        """Name what the rows say otherwise now than the record: nobody changes it but by hand."""
        return list(dict.fromkeys(each.name for each in self.held.differences))


@dataclass(frozen=True)
class Pack:
    """Everything for one page; `made` is the entry that says that it was made, and by whom.

    `gone` numbers changes that entries tell of and that are not in the database; `spoilt` numbers the entries that
    are not as they were written; `sides` names the organizations of the pair, as paired now.
    """

    scope: Scope
    made: AuditEntry
    changes: tuple[Told, ...]
    gone: tuple[int, ...]
    entries: tuple[AuditEntry, ...]
    spoilt: frozenset[int]
    left_out: int
    walked: Walked
    state: ChainState
    sides: tuple[str, ...]


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
    entries, changes = audit.loaded(found), tuple(_told(_changes(scope)))
    ring = keys.AuditKeys()
    return Pack(
        scope=scope,
        made=made,
        changes=changes,
        gone=tuple(sorted(_numbers(found) - {told.story.change.pk for told in changes})),
        entries=tuple(entries),
        spoilt=frozenset(entry.seq for entry in entries if not audit.is_genuine(entry, ring)),
        left_out=between,
        walked=walk(audit.signed_forms(found), ring, with_gaps=True),
        state=chain_states.now(),
        sides=tuple(_names(scope.pair)) if scope.pair is not None else (),
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
    names = _names(scope.pair)
    of_pair = Change.objects.filter(pair=scope.pair).values_list("pk", flat=True)
    return found.filter(Q(organization__in=names) | Q(change__in=list(of_pair)))


def _changes(scope: Scope) -> QuerySet[Change]:
    """Give the changes that its entries tell of."""
    if scope.change is not None:
        return Change.objects.filter(pk=scope.change.pk)
    return Change.objects.filter(pk__in=_numbers(_entries(scope)))


def _numbers(entries: QuerySet[AuditEntry]) -> set[int]:
    """Give the numbers of the changes that entries tell of; in one that was spoilt, SQLite keeps anything there."""
    numbered = entries.order_by().filter(change__gt=0, change__lte=_LARGEST)
    found = numbered.values_list("change", flat=True).distinct()[: MOST_ENTRIES + 1]
    return {number for number in found if isinstance(number, int)}


def _names(pair: Pair) -> list[str]:
    return list(Organization.objects.filter(pair=pair).order_by("column").values_list("name", flat=True))


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
        story, entries, lines = _at_once(number)
        notices = SkipNotice.objects.filter(change=number).select_related("person").order_by("person__email")
        skipped, ring = tuple(notices), keys.AuditKeys()
        genuine = tuple(entry for entry in entries if audit.is_genuine(entry, ring))
        held = signed_changes.hold(story.change, story.lines, skipped, genuine)
        yield Told(story, entries, skipped, held, genuine, _run_sheet(lines, genuine, held))


def _run_sheet(lines: list[Line], genuine: tuple[AuditEntry, ...], held: Held) -> tuple[Line, ...]:
    """Give the steps and the ticks as they were signed, and put down where the rows say something else."""
    told = ((entry.event, entry.actor_name, entry.at, dict(signed.data(entry))) for entry in genuine)
    signed_lines = run_sheets.signed_lines(list(told))
    now, then = (run_sheets.in_words(each) for each in (lines, signed_lines))
    if now != then:
        differing = next(place for place in range(max(len(now), len(then))) if now[place:][:1] != then[place:][:1])
        held.differs("run sheet", "".join(then[differing:][:1]), "".join(now[differing:][:1]))
    return tuple(signed_lines)


def _at_once(number: int) -> tuple[Story, tuple[AuditEntry, ...], list[Line]]:
    """Give a change, its log, its entries and its run sheet of one moment: a move between would look like an edit."""
    people = ("author", "approver", "closed_by", "driver", "organization", "other")
    found = AuditEntry.objects.filter(change=number).order_by("seq")
    while True:
        before = audit.entries_of(number).last
        story = outcomes.story(Change.objects.select_related(*people).get(pk=number))
        entries, lines = tuple(audit.loaded(found)), run_sheets.lines_of(story.change)
        if audit.entries_of(number).last == before:
            return story, entries, lines


# --- how long it took -------------------------------------------------------------------------------------------


def _steps(story: Story, held: Held, receipt: AuditEntry | None) -> Iterator[Step]:
    change, result = story.change, story.result
    moments = {
        "Previewed": (change.prepared_at, "when it was previewed" not in held.unsigned),
        "Confirmed": (change.confirmed_at, "when it was confirmed" not in held.unsigned),
        "Approved": (change.approved_at, "when it was approved" not in held.unsigned),
        "Announced": (change.sent_at, "when it was announced" not in held.unsigned),
        "Answered": (result.at, result.pk in held.lines) if result is not None else (None, False),
        "Verified": (receipt.at, True) if receipt is not None else (None, False),
    }
    last: datetime | None = None
    for name, (at, is_signed) in moments.items():
        if at is not None:
            after_last = (at - last).total_seconds() if last is not None else None
            yield Step(name, at, is_signed, after_last, (at - change.prepared_at).total_seconds())
            last = at
