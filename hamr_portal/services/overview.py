"""What is the state of everything? Pairs with both sides, findings and verdicts: for page, terminal and JSON alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Max, OuterRef, Q, Subquery

from hamr_portal.domain.changes import ChangeStatus, What
from hamr_portal.domain.connections import ReadOutcome, name_of, seconds_until_stale
from hamr_portal.domain.findings import Finding, Group, Judgement, OpenChange, Verdict, judge_alone, judge_pair
from hamr_portal.domain.pairs import Column, Side
from hamr_portal.domain.transit import Transit
from hamr_portal.models import Change, Drill, LogLine, Organization, Pair, Snapshot

from . import transit

_SITE_ANSWERED = frozenset(
    {
        ReadOutcome.ANSWERED,
        ReadOutcome.NO_CONNECTION,
        ReadOutcome.KEY_REFUSED,
        ReadOutcome.WRONG_ORGANIZATION,
        ReadOutcome.REFUSED,
    }
)


def stale_after() -> timedelta:
    """Give the age from which a view is stale; longer than two minutes only where reads are set to be rarer."""
    return timedelta(seconds=seconds_until_stale(settings.HAMR_POLL_INTERVAL))


@dataclass(frozen=True)
class SideRow:
    """One side as it is shown: what is known, and whether it may be shown as the present."""

    organization: Organization
    snapshot: Snapshot
    side: Side
    is_current: bool
    place: int = 0
    """Its number among all that the overview is of, in the order of their keys."""

    @property
    def status_name(self) -> str | None:
        """Give the name of the last known status; None where there is none."""
        return name_of(self.side.status) if self.side.status is not None else None

    @property
    def is_between(self) -> bool:
        """Tell whether it is known to be in a status that is passed through."""
        return self.is_current and self.side.transit is not None


@dataclass(frozen=True)
class Row:
    """One pair, of which one side may be disabled, or one organization without a pair (then `pair` is None)."""

    pair: Pair | None
    primary: SideRow | None
    secondary: SideRow | None
    judgement: Judgement
    change: Change | None = None
    """The change that is open on it, if any."""
    led_by: Change | None = None
    """The change that brought it between two statuses, where it still is there."""

    @property
    def sides(self) -> tuple[SideRow, ...]:
        """Give the sides that there are, the primary first."""
        return tuple(side for side in (self.primary, self.secondary) if side is not None)

    @property
    def name(self) -> str:
        """Give the pair's name, or the organization's."""
        return self.pair.name if self.pair is not None else self.sides[0].organization.name

    @property
    def drill(self) -> Drill | None:
        """Give the drill that it is of; None: it is real."""
        return self.sides[0].organization.drill

    @property
    def verdict(self) -> Verdict:
        """Give the verdict."""
        return self.judgement.verdict

    @property
    def driven(self) -> Change | None:
        """Give the change that somebody drives now: the open one, or the one that is passed through."""
        return self.change or self.led_by

    def other(self, row: SideRow) -> SideRow | None:
        """Give the side across."""
        return next((side for side in self.sides if side is not row), None)


@dataclass(frozen=True)
class SiteAnswers:
    """How many of a site's organizations got an answer at the last attempt, and what is the matter where not.

    `worst` is None where all answered, or where nobody asked lately.
    """

    site: str
    answered: int
    total: int
    worst: ReadOutcome | None


@dataclass(frozen=True)
class Filters:
    """What of the overview is wanted; empty means all."""

    text: str = ""
    site: str = ""
    status: str = ""
    group: Group | None = None
    names: frozenset[str] = frozenset()

    def keep(self, row: Row) -> bool:
        """Tell whether a row is wanted, the group aside."""
        return (
            (not self.text or self._finds(row))
            and (
                not self.names or not self.names.isdisjoint({row.name, *(side.organization.name for side in row.sides)})
            )
            and (not self.site or any(side.organization.site == self.site for side in row.sides))
            and (not self.status or any(side.status_name == self.status for side in row.sides))
        )

    def _finds(self, row: Row) -> bool:
        sides = row.sides
        texts = [row.name, *(side.organization.name for side in sides)]
        texts += [str(side.organization.uuid or "") for side in sides]
        texts += [f"{side.side.target_name} {side.side.target_uuid or ''}" for side in sides]
        return any(self.text.casefold() in text.casefold() for text in texts)


@dataclass(frozen=True)
class Overview:
    """Everything at one moment, the worst first."""

    at: datetime
    rows: tuple[Row, ...]
    kept: tuple[Row, ...]
    shown: tuple[Row, ...]
    sites: tuple[SiteAnswers, ...]
    drills: tuple[Row, ...] = ()
    """The pairs of drills, which are in none of the others."""

    @property
    def counts(self) -> dict[Group, int]:
        """Give how many of the rows that fit the filters each group has."""
        counted = Counter(row.verdict.group for row in self.kept)
        return {group: counted[group] for group in Group}

    @property
    def action(self) -> list[Row]:
        """Give all rows that need action, filters aside."""
        return [row for row in self.rows if row.verdict.group is Group.NEED_ACTION]

    @property
    def groups(self) -> list[tuple[Group, list[Row]]]:
        """Give the shown rows by group, empty groups left out."""
        listed = [(group, [row for row in self.shown if row.verdict.group is group]) for group in Group]
        return [(group, rows) for group, rows in listed if rows]

    @property
    def views(self) -> list[SideRow]:
        """Give every side of every row."""
        return [side for row in self.rows for side in row.sides]

    @property
    def fresh(self) -> int:
        """Count the views that may be shown as the present."""
        return sum(view.is_current for view in self.views)


def overview(*, now: datetime, filters: Filters | None = None) -> Overview:
    """Give the state of every pair and every unpaired organization, those of drills apart.

    Two queries: all sides, all open changes. Two more where any side is between two statuses:
    since when, and which change brought it there.
    """
    enabled = Organization.objects.enabled().select_related("snapshot", "pair", "drill")
    organizations = list(enabled.defer("snapshot__raw").order_by("pk"))  # 16 KiB each, shown on one page only
    saved = {organization.uuid for organization in organizations if organization.uuid is not None}
    every = _rows(organizations, saved, now)
    rows = [row for row in every if row.drill is None]
    wanted = filters or Filters()
    kept = [row for row in rows if wanted.keep(row)]
    shown = [row for row in kept if wanted.group is None or row.verdict.group is wanted.group]
    return Overview(
        now, tuple(rows), tuple(kept), tuple(shown), tuple(_sites(rows, now)), tuple(row for row in every if row.drill)
    )


def row_of(organization: Organization, *, now: datetime) -> Row:
    """Give the row that one organization is in."""
    wanted = Organization.objects.filter(pk=organization.pk)
    if organization.pair_id is not None:
        wanted |= Organization.objects.filter(pair_id=organization.pair_id, disabled_at__isnull=True)
    target = Organization.objects.enabled().filter(uuid=organization.snapshot.target_uuid, uuid__isnull=False)
    saved = {uuid for uuid in target.values_list("uuid", flat=True) if uuid is not None}
    rows = _rows(wanted.select_related("snapshot", "pair", "drill"), saved, now)
    return next(row for row in rows if any(side.organization.pk == organization.pk for side in row.sides))


@dataclass(frozen=True)
class _Open:
    """An open change as it is saved, and as the domain judges it."""

    change: Change
    judged: OpenChange


def _open_changes() -> list[_Open]:
    """Give every open change, those first that a pair with several is to show. One query."""
    own = LogLine.objects.filter(
        change=OuterRef("pk"), organization=OuterRef("organization"), has_connection__isnull=False
    )
    before = own.filter(what__in=(What.PREVIEWED, What.READ_AGAIN)).order_by("-pk").values("status")[:1]
    people = ("author", "organization", "driver", "offered_to")
    saved = Change.objects.open().select_related(*people).defer("request", "noticed_json")
    changes = [_open(change) for change in saved.annotate(before=Subquery(before))]
    urgency = (ChangeStatus.UNKNOWN, ChangeStatus.SENDING, ChangeStatus.ACCEPTED, ChangeStatus.AWAITING_APPROVAL)
    return sorted(changes, key=lambda each: (urgency.index(each.judged.status), each.change.pk))


def _open(change: Change) -> _Open:
    before: int | None = change.before  # type: ignore[attr-defined]  # annotated above
    name, since = change.organization.name, change.sent_at or change.confirmed_at
    return _Open(change, OpenChange(ChangeStatus(change.status), name, before, change.target_status, since))


def _open_on(sides: Sequence[SideRow], changes: Iterable[_Open]) -> _Open | None:
    """Give the change that is open on a pair or an organization, as the side that gets the request or as the other."""
    keys = {side.organization.pk for side in sides}
    pair = sides[0].organization.pair_id
    concerned = (
        each
        for each in changes
        if not keys.isdisjoint({each.change.organization_id, each.change.other_id})
        or (pair is not None and each.change.pair_id == pair)
    )
    return next(concerned, None)


def _rows(organizations: Iterable[Organization], saved: set[UUID], now: datetime) -> list[Row]:
    by_pair: dict[int, list[SideRow]] = {}
    alone: list[SideRow] = []
    organizations = list(organizations)
    clocks, led = transit.clocks(organizations, now=now), transit.led_to(organizations, now=now)
    for place, organization in enumerate(organizations):
        side = _side_row(organization, now, place, clocks.get(organization.pk))
        (by_pair.setdefault(organization.pair_id, []) if organization.pair_id else alone).append(side)
    changes = _open_changes()
    rows = []
    for sides in by_pair.values():
        if len(sides) == 2:
            rows.append(_pair_row(sides, _open_on(sides, changes), led, now))
        else:
            alone += sides
    rows += [_lone_row(side, saved, _open_on([side], changes), led, now) for side in alone]
    order = list(Verdict)
    return sorted(rows, key=lambda row: (order.index(row.verdict), row.name))


def _pair_row(sides: Sequence[SideRow], found: _Open | None, led: Iterable[Change], now: datetime) -> Row:
    primary, secondary = sorted(sides, key=lambda side: side.organization.column != Column.PRIMARY)
    judged, change = (found.judged, found.change) if found is not None else (None, None)
    judgement = judge_pair(primary.side, secondary.side, now=now, stale_after=stale_after(), change=judged)
    return Row(primary.organization.pair, primary, secondary, judgement, change, _led_here(sides, led))


def _led_here(sides: Sequence[SideRow], led: Iterable[Change]) -> Change | None:
    """Give the newest change of these sides, where it brought one between two statuses that is still there."""
    keys = {side.organization.pk for side in sides}
    newest = next((each for each in led if not keys.isdisjoint(each.sides)), None)
    is_there = newest is not None and any(side.is_between and side.side.status == newest.target for side in sides)
    return newest if is_there else None


def _lone_row(row: SideRow, saved: set[UUID], found: _Open | None, led: Iterable[Change], now: datetime) -> Row:
    because = Finding.TARGETS_DIFFER if row.side.target_uuid in saved else Finding.OTHER_SIDE_NOT_SAVED
    pair = row.organization.pair
    if pair is not None:
        because = Finding.OTHER_SIDE_DISABLED
    judged, change = (found.judged, found.change) if found is not None else (None, None)
    judgement = judge_alone(row.side, now=now, stale_after=stale_after(), because=because, change=judged)
    is_secondary = row.side.column is Column.SECONDARY or (row.side.column is None and row.side.is_primary is False)
    columns = (None if is_secondary else row, row if is_secondary else None)
    return Row(pair, *columns, judgement, change, _led_here([row], led))


def _side_row(organization: Organization, now: datetime, place: int, clock: Transit | None) -> SideRow:
    snapshot = organization.snapshot
    side = Side(
        name=organization.name,
        site=organization.site,
        uuid=organization.uuid,
        column=Column(organization.column) if organization.column else None,
        has_connection=snapshot.has_connection,
        status=snapshot.status,
        is_primary=snapshot.is_primary,
        modified_at=snapshot.modified_at,
        modified_by=snapshot.modified_by,
        target_uuid=snapshot.target_uuid,
        target_name=snapshot.target_name,
        target_datacenter=snapshot.target_datacenter,
        answered_at=snapshot.answered_at,
        view_since=snapshot.view_since,
        outside_at=snapshot.outside_at,
        outcome=ReadOutcome(snapshot.outcome) if snapshot.outcome else None,
        outcome_since=snapshot.outcome_since,
        repeats=snapshot.repeats,
        transit=clock,
    )
    is_read = organization.disabled_at is None
    return SideRow(organization, snapshot, side, is_read and side.is_current(now, stale_after()), place)


def _sites(rows: Iterable[Row], now: datetime) -> list[SiteAnswers]:
    """Give the sites, those that answer least first; what was due long ago and not asked counts as no answer."""
    by_site: dict[str, list[SideRow]] = {}
    for row in rows:
        for side in row.sides:
            if side.side.outcome is not None:
                by_site.setdefault(side.organization.site, []).append(side)
    answers = []
    for site, sides in by_site.items():
        lately = [None if now - side.snapshot.due_at > stale_after() else side.side.outcome for side in sides]
        silent = [outcome for outcome in lately if outcome not in _SITE_ANSWERED]
        worst = ReadOutcome.NO_ANSWER if ReadOutcome.NO_ANSWER in silent else next(filter(None, silent), None)
        answers.append(SiteAnswers(site, len(sides) - len(silent), len(sides), worst))
    return sorted(answers, key=lambda answer: (answer.answered / answer.total, answer.site))


def needing_action(everything: Overview) -> int:
    """Count the shown rows that need a person; what nobody reads is not known to be well, and does."""
    return sum(row.verdict.group is Group.NEED_ACTION or _is_unread(row) for row in everything.shown)


def _is_unread(row: Row) -> bool:
    # Whatever the verdict: a change that is open must not hide that nobody reads.
    return row.judgement.has(Finding.STALE) or row.judgement.has(Finding.NOT_READ)


@dataclass(frozen=True)
class Freshness:
    """How many of the views may be shown as the present, and when the newest was read (None: none was)."""

    fresh: int
    total: int
    last: datetime | None


def count_saved() -> int:
    """Count the saved organizations, disabled ones too."""
    return Organization.objects.real().count()


def freshness(*, now: datetime) -> Freshness:
    """Count fresh views without loading them. One query."""
    rows = Snapshot.objects.filter(organization__disabled_at__isnull=True, organization__drill__isnull=True)
    current = Q(attempt_failed=False, answered_at__range=(now - stale_after(), now + stale_after()))
    counted = rows.aggregate(fresh=Count("pk", filter=current), total=Count("pk"), last=Max("answered_at"))
    return Freshness(**counted)
