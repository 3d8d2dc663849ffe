"""What does a person see before a change? Both sides read now, every check, and the exact request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import What
from hamr_portal.domain.connections import Connection, HamrStatus, ReadOutcome, View
from hamr_portal.domain.findings import OUTSIDE_CHANGE_SHOWN_FOR
from hamr_portal.domain.organizations import Spelling
from hamr_portal.domain.pairs import Column
from hamr_portal.domain.previews import Check, Noticed, Reading, in_order, link_checks, status_checks
from hamr_portal.hamr_client import HAMR_PATH, NotCopied, request_body
from hamr_portal.models import Change, LogLine, Observation, Organization, Snapshot

from . import connections, integrity, pulse, readings
from .connections import Result


@dataclass(frozen=True)
class Link:
    """The other side of a connection that is to be made: a saved organization, or what a person typed of one."""

    target_uuid: UUID | None
    target_name: str
    target_datacenter: str
    is_primary: bool
    other: Organization | None = None


@dataclass(frozen=True)
class Wish:
    """What is asked for: a status for one organization, and where it has no connection yet, which one to make."""

    organization: Organization
    target: HamrStatus
    link: Link | None = None

    @property
    def other(self) -> Organization | None:
        """Give the side across, where it is saved and read."""
        return self.link.other if self.link is not None else other_side(self.organization)


@dataclass(frozen=True)
class Sight:
    """What was seen of both sides at one moment; None: the side is disabled, or not saved."""

    wish: Wish
    other: Organization | None
    own_result: Result | None
    other_result: Result | None

    @property
    def own_view(self) -> View | None:
        """Give what the side that gets the request says."""
        return _view(self.own_result)

    @property
    def other_view(self) -> View | None:
        """Give what the side across says."""
        return _view(self.other_result)

    def lines(self, what: What) -> list[LogLine]:
        """Give both readings as lines of a change's log."""
        return [line_of(result, what) for result in (self.own_result, self.other_result) if result is not None]


def look(wish: Wish, *, by: Actor) -> Sight:
    """Read both sides now."""
    other = wish.other
    sides = [wish.organization.pk, *([other.pk] if other is not None else [])]
    found = {result.flight.organization_id: result for result in readings.read_for_change(sides, by=by)}
    return Sight(wish, other, found.get(wish.organization.pk), found.get(other.pk) if other is not None else None)


def other_side(organization: Organization) -> Organization | None:
    """Give the other side of a pair, or the saved organization that is named as target; only where it is read."""
    enabled = Organization.objects.enabled().beside(organization)
    if organization.pair_id is not None:
        return enabled.filter(pair=organization.pair_id).first()
    target = Snapshot.objects.filter(pk=organization.pk).values("target_uuid")
    return enabled.filter(uuid__isnull=False, uuid__in=target).first()


def noticed(sight: Sight, *, now: datetime) -> tuple[Noticed, ...]:
    """Give every check that has something to say, all at once."""
    wish = sight.wish
    own = _reading(wish.organization, sight.own_result)
    other = _reading(sight.other, sight.other_result) if sight.other is not None else None
    if wish.link is not None:
        link = wish.link
        views = link_checks(own, other, target_uuid=link.target_uuid, is_primary=link.is_primary)
    else:
        views = status_checks(own, other, wish.target)
    return in_order(views, _copied(sight), _around(wish, sight.other, now))


def connection_of(sight: Sight) -> Connection | None:
    """Give the connection that the request begins with: the one that was read, or the one that is to be made."""
    result, link = sight.own_result, sight.wish.link
    if result is None or not result.answered or link is None:
        return result.connection if result is not None and result.answered else None
    organization = sight.wish.organization
    if organization.uuid is None or link.target_uuid is None:
        return None
    return Connection(
        organization_uuid=organization.uuid,
        status=0,
        is_primary=link.is_primary,
        modified_at=None,
        modified_by="",
        target_uuid=link.target_uuid,
        target_name=link.target_name,
        target_datacenter=link.target_datacenter,
        own_datacenter="",
        spelling=Spelling.SNAKE_CASE,
    )


def request_of(sight: Sight, *, writer: str) -> str:
    """Give the exact body of the request; nothing where none can be made."""
    connection = connection_of(sight)
    if connection is None or connection.target_uuid is None:
        return ""
    spelling = Spelling(sight.wish.organization.spelling)
    try:
        return request_body(connection, status=sight.wish.target, modified_by=writer, spelling=spelling).decode()
    except NotCopied:
        return ""


def url_of(organization: Organization) -> str:
    """Give the address that the request goes to; nothing where the site is in no list."""
    site = connections.site_of(organization)
    return site.base_url + HAMR_PATH if site is not None else ""


def line_of(result: Result, what: What) -> LogLine:
    """Give one reading as a line of a change's log."""
    view = _view(result)
    return LogLine(
        at=result.at,
        last_at=result.at,
        what=what,
        organization_id=result.flight.organization_id,
        outcome=result.outcome,
        phase=result.phase,
        reason=result.reason,
        http_status=result.http_status,
        elapsed_ms=result.elapsed_ms,
        retry_after=result.retry_after,
        raw=result.raw,
        **(asdict(view) if view is not None else {}),
    )


def _view(result: Result | None) -> View | None:
    return View.of(result.connection) if result is not None and result.answered else None


def _reading(organization: Organization, result: Result | None) -> Reading:
    outcome, reason = ReadOutcome.NO_ANSWER, "it is disabled, and not read"
    if result is not None:
        outcome, reason = result.outcome, result.reason
    return Reading(organization.name, organization.site, organization.uuid, outcome, _view(result), reason)


def _copied(sight: Sight) -> Iterator[Noticed]:
    """Say where a text of the reading cannot be written back as it was, so that more than the status would change."""
    connection = connection_of(sight)
    if connection is None:
        return
    try:
        request_body(connection, status=sight.wish.target, modified_by="", spelling=Spelling.AUTO)
    except NotCopied as error:
        yield Noticed(Check.NOT_COPIED, {"reason": str(error)})
        return
    if connection.target_uuid is None:
        yield Noticed(Check.NOT_COPIED, {"reason": "it names no target"})


def _around(wish: Wish, other: Organization | None, now: datetime) -> Iterator[Noticed]:
    """Say what else goes on that matters."""
    organization = wish.organization
    doubt = integrity.trouble()
    if doubt is not None:
        yield Noticed(Check.LOG_IN_DOUBT, {"trouble": doubt.trouble, "detail": doubt.detail})
    if organization.disabled_at is not None:
        yield Noticed(Check.DISABLED)
    sides = [organization.pk, *([other.pk] if other is not None else [])]
    changes = Change.objects.select_related("author", "organization")
    for change in changes.open().of(sides, organization.pair_id):
        yield Noticed(Check.OPEN_CHANGE, _facts(change))
    for change in changes.may_still_land(now).of([organization.pk]):
        yield Noticed(Check.MAY_LAND_LATE, _facts(change))
    yield from _outside(sides, now)
    if wish.target in (HamrStatus.FAILOVER, HamrStatus.ACTIVE):
        yield from _in_use(organization, sides)
    state = pulse.state(now=now)
    if state.pulse is not pulse.Pulse.LIVE:
        yield Noticed(Check.WORKER_STOPPED, {"since": _moment(state.seen_at)})


def _facts(change: Change) -> dict[str, str]:
    return {
        "change": str(change.pk),
        "name": change.organization.name,
        "by": change.author.email,
        "status": change.status,
        "target": change.target.name,
        "since": _moment(change.sent_at or change.confirmed_at),
    }


def _outside(sides: list[UUID], now: datetime) -> Iterator[Noticed]:
    since = now - OUTSIDE_CHANGE_SHOWN_FOR
    rows = Observation.objects.filter(organization__in=sides, outside=True, at__gt=since, acknowledged_at=None)
    newest = {row.organization.name: row for row in rows.select_related("organization").order_by("at", "pk")}
    for name, row in sorted(newest.items()):
        yield Noticed(Check.CHANGED_OUTSIDE, {"name": name, "at": _moment(row.at), "by": row.modified_by})


def _in_use(organization: Organization, sides: list[UUID]) -> Iterator[Noticed]:
    """Say which other pairs fail over to the same site."""
    moving = Snapshot.objects.filter(
        organization__site=organization.site,
        organization__column=Column.SECONDARY,
        organization__disabled_at__isnull=True,
        status=HamrStatus.FAILOVER,
    )
    rows = moving.exclude(pk__in=sides).select_related("organization__pair").order_by("organization__name")
    for row in rows:
        pair = row.organization.pair
        name = pair.name if pair is not None else row.organization.name
        facts = {"name": name, "site": organization.site, "since": _moment(row.modified_at), "by": row.modified_by}
        yield Noticed(Check.SITE_IN_USE, facts)


def _moment(at: datetime | None) -> str:
    return at.isoformat() if at is not None else ""
