"""What was known of an organization and its other side over the last hours or days, and what was done meanwhile?"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db.models import Q, Subquery, Value
from django.db.models import Window as RowsOf
from django.db.models.functions import Coalesce, RowNumber

from hamr_portal.domain import timeline as past
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.pictures import drawable
from hamr_portal.domain.timeline import Range, Seen, Stretch, Window
from hamr_portal.models import Change, Lapse, Observation, Organization

from . import lapses
from .overview import Row, SideRow

MOST_LINES = 3000
"""So many of the newest lines of history, and of the newest lapses, are looked up of each side."""

MOST_CHANGES = 200


@dataclass(frozen=True)
class Lane:
    """One side: what was known of it, and what was seen there that the portal did not do."""

    organization: Organization
    stretches: tuple[Stretch, ...]
    outside: tuple[Seen, ...]


@dataclass(frozen=True)
class Timeline:
    """The past of both sides. The changes that were sent from here are in order of time; a pin's number counts them."""

    range: Range
    window: Window
    lanes: tuple[Lane, ...]
    changes: tuple[Change, ...]

    @property
    def numbers(self) -> dict[int, int]:
        """Give the number of each change."""
        return {change.pk: number for number, change in enumerate(self.changes, start=1)}


@dataclass
class _Known:
    """What is saved of one side, in order of time, and from when on all of it is here (None: from the first)."""

    seen: list[Seen] = field(default_factory=list)
    unread: list[past.Lapse] = field(default_factory=list)
    since: datetime | None = None


def timeline(row: Row, mine: SideRow, *, chosen: Range, now: datetime) -> Timeline:
    """Give the past of one side, and of the other where there is one. Three queries, whatever there is to tell."""
    sides = [side for side in (mine, row.other(mine)) if side is not None]
    start = Window.until(now, chosen.length).start
    known = {side.organization.pk: _Known() for side in sides}
    _look_up_history(known, sides, start, now)
    _look_up_lapses(known, start)
    changes = _changes(sides, start, now)
    events = [line.at for each in known.values() for line in each.seen]
    events += [lapse.until for each in known.values() for lapse in each.unread]
    events += [change.sent_at for change in changes if change.sent_at is not None]
    window = Window.until(now, chosen.length, events)
    lanes = tuple(_lane(side, known[side.organization.pk], window, now) for side in sides)
    return Timeline(chosen, window, lanes, changes)


def _lane(side: SideRow, known: _Known, window: Window, now: datetime) -> Lane:
    lines = known.seen
    until = _known_until(side, window, now) or (lines[-1].at if lines else window.start)
    found = past.stretches(lines, known.unread, window=window, known_until=until, looked_up_from=known.since)
    outside = tuple(line for line in lines if line.outside and window.has(line.at))
    return Lane(side.organization, drawable(found, window), outside)


def _known_until(side: SideRow, window: Window, now: datetime) -> datetime | None:
    """Give until when the last line holds: until the end where somebody reads, else until somebody last did.

    None where that is not known: its keys were pinned anew, or the last read was made by a clock that ran ahead.
    """
    read_at, limit = side.snapshot.attempted_at, lapses.due_at(side.snapshot)
    if read_at is None or limit is None or read_at - now > limit - read_at:
        return None
    return window.end if side.organization.disabled_at is None and now <= limit else read_at


def _look_up_history(known: dict[UUID, _Known], sides: list[SideRow], start: datetime, now: datetime) -> None:
    """Look up each side's lines from within the window, and the one before it."""
    wanted = Q()
    for key in known:
        before = Observation.objects.filter(organization=key, at__lte=start).order_by("-at").values("at")[:1]
        wanted |= Q(organization=key, at__gte=Coalesce(Subquery(before), Value(start)), at__lte=now)
    columns = ("organization", "at", "outcome", "status", "target_uuid", "target_name", "outside", "modified_by")
    across = _across(sides)
    rows = Observation.objects.filter(wanted).annotate(place=_place("at")).filter(place__lte=MOST_LINES)
    for key, at, outcome, status, target, name, outside, who in rows.order_by("-at", "-id").values_list(*columns):
        elsewhere = (name or str(target)) if _is_elsewhere(target, across[key]) else ""
        known[key].seen.append(Seen(at, ReadOutcome(outcome), status, elsewhere, outside, who))
    for each in known.values():
        each.seen.reverse()
        each.since = each.seen[0].at if len(each.seen) == MOST_LINES else None


def _look_up_lapses(known: dict[UUID, _Known], start: datetime) -> None:
    within = Lapse.objects.filter(organization__in=known, until__gt=start)
    rows = within.annotate(place=_place("until")).filter(place__lte=MOST_LINES)
    for key, since, until in rows.values_list("organization", "since", "until"):
        known[key].unread.append(past.Lapse(since, until))
    for each in known.values():
        each.unread.sort(key=lambda lapse: lapse.since)
        if len(each.unread) == MOST_LINES:
            each.since = max(filter(None, (each.since, each.unread[0].since)))


def _place(moment: str) -> RowsOf:
    """Count the rows of each side from the newest on."""
    return RowsOf(RowNumber(), partition_by="organization", order_by=[f"-{moment}", "-id"])


def _across(sides: list[SideRow]) -> dict[UUID, UUID | None]:
    """Give the UUID of what each side is drawn with; None where nothing is, or where it is not known."""
    uuids = [side.organization.uuid for side in sides]
    return dict(
        zip((side.organization.pk for side in sides), reversed(uuids) if len(sides) > 1 else [None], strict=True)
    )


def _is_elsewhere(target: UUID | None, across: UUID | None) -> bool:
    return target is not None and across is not None and target != across


def _changes(sides: list[SideRow], start: datetime, now: datetime) -> tuple[Change, ...]:
    """Give what was sent to either side, or on their pair; what was not sent after all left nothing behind."""
    concerned = Change.objects.sent().of([side.organization.pk for side in sides], sides[0].organization.pair_id)
    within = concerned.filter(sent_at__range=(start, now)).exclude(status=ChangeStatus.NOT_SENT)
    rows = within.select_related("organization").defer("request", "noticed_json")
    return tuple(reversed(rows.order_by("-sent_at", "-pk")[:MOST_CHANGES]))
