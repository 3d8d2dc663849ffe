"""What do pages say of rows, sites and history? Which finding leads, what else to list, and what was changed last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from hamr_portal.domain.connections import HamrStatus, ReadOutcome, known_status, name_of
from hamr_portal.domain.findings import OF_CHANGES, VERDICT_OF, Finding, Found, Group, Judgement, Verdict
from hamr_portal.domain.pairs import Side
from hamr_portal.domain.transit import PASSED_WITHIN

from ._time import length_of_time


class SideRow(Protocol):
    """One side as a page shows it."""

    @property
    def side(self) -> Side: ...
    @property
    def is_current(self) -> bool: ...


class Row(Protocol):
    """One pair as a page shows it."""

    @property
    def pair(self) -> object | None: ...
    @property
    def sides(self) -> Sequence[SideRow]: ...
    @property
    def judgement(self) -> Judgement: ...


class Line(Protocol):
    """One line of an organization's history."""

    organization_id: Any


class Answers(Protocol):
    """How many of a site's organizations got an answer."""

    @property
    def answered(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def worst(self) -> ReadOutcome | None: ...


Listed = TypeVar("Listed", bound=Line)
Site = TypeVar("Site", bound=Answers)

NAMED_WITHIN = timedelta(minutes=10)
"""A change names itself when its time is so close before the moment at which it was seen; after it, it is another."""

_NEWS = frozenset({Group.IN_PROGRESS, Group.FAILED_OVER})
"""Where a change from outside is what happened, and not a remark."""

_ON_SECONDARY = frozenset({Finding.PRIMARY_UNREACHABLE, Finding.BOTH_FAILOVER, Finding.BOTH_PASSIVE})
"""Where the next change is made on the side that takes over."""

_TO_CONNECT = frozenset({Finding.NO_CONNECTION, Finding.ONBOARDING_ON_ONE_SIDE})
"""Where the next change makes a connection."""

_NEXT_IS_A_CHANGE = frozenset({Finding.BOTH_FAILOVER, Finding.BOTH_ACTIVE, Finding.BOTH_RECOVERY})
"""Where the note's next step is another status."""

_WAYS_OUT = frozenset({HamrStatus.PASSIVE, HamrStatus.FAILOVER})
"""The statuses of a secondary from which a change is the next step while the primary is dark."""

_RANK = {finding: rank for rank, findings in enumerate(VERDICT_OF.values()) for finding in findings}
_SAID_TOGETHER = frozenset({Finding.BOTH_PRIMARY, Finding.NEITHER_PRIMARY})
"""Who says primary is said in one sentence with differing statuses."""


@dataclass(frozen=True)
class Offer:
    """The change that a row offers: on which side, whether it makes a connection, and whether the note advises it."""

    side: SideRow
    connects: bool = False
    advised: bool = False


def leading(row: Row) -> Found:
    """Give the finding that makes a row's verdict; of several, the first."""
    wanted = VERDICT_OF[row.judgement.verdict]
    return next(found for found in row.judgement.findings if found.finding in wanted)


def further(row: Row) -> list[Found]:
    """Give everything else that was found, the worst first, and once what is said once."""
    first = leading(row)
    said_already = {Finding.BOTH_PASSIVE} | OF_CHANGES
    if first.finding is Finding.STATUSES_DIFFER:
        said_already |= _SAID_TOGETHER
    if row.judgement.verdict is Verdict.SPLIT_VIEW and changed_last(row) is not None:
        said_already.add(Finding.MODIFIED_DIFFERS)
    if outside_is_news(row):
        said_already.add(Finding.CHANGED_OUTSIDE)
    rest = [found for found in row.judgement.findings if found is not first and found.finding not in said_already]
    return sorted(rest, key=lambda found: _RANK.get(found.finding, len(VERDICT_OF)))


def beside(row: Row) -> Found | None:
    """Give what the open change says, where something else makes the verdict."""
    first = leading(row)
    return next((each for each in row.judgement.findings if each.finding in OF_CHANGES and each is not first), None)


def offer(row: Row) -> Offer | None:
    """Give the change that comes next; None where the sides have to be compared first, or none can be changed."""
    first = leading(row)
    if row.judgement.verdict is Verdict.SPLIT_VIEW:
        return None
    if first.finding in _TO_CONNECT:
        return Offer(side_of(row, first), connects=True)
    sides = row.sides[::-1] if first.finding in _ON_SECONDARY else row.sides
    side = next((each for each in sides if each.side.answers and each.side.has_connection), None)
    return Offer(side, advised=_is_advised(row, first, side)) if side is not None else None


def _is_advised(row: Row, first: Found, side: SideRow) -> bool:
    if first.finding is Finding.PRIMARY_UNREACHABLE:
        return side.is_current and known_status(side.side.status) in _WAYS_OUT
    return first.finding in _NEXT_IS_A_CHANGE and not outside_is_news(row)


def found(row: Row, finding: str) -> Found | None:
    """Give a finding by its name, where it holds."""
    return next((each for each in row.judgement.findings if each.finding == finding), None)


def side_of(row: Row, found: Found) -> SideRow:
    """Give the side that a finding is about; the first where it is about both."""
    return next((each for each in row.sides if each.side is found.side), row.sides[0])


def across(row: Row, side: SideRow) -> SideRow | None:
    """Give the side across."""
    return next((each for each in row.sides if each is not side), None)


def outside_is_news(row: Row) -> bool:
    """Tell whether a change from outside is to be said before anything else."""
    is_news = row.judgement.verdict.group in _NEWS and leading(row).finding not in OF_CHANGES
    return is_news and row.judgement.has(Finding.CHANGED_OUTSIDE)


def names_itself(found: Found) -> bool:
    """Tell whether the side says when and by whom what was seen from outside was changed."""
    changed_at = found.side.modified_at if found.side is not None else None
    if changed_at is None or found.since is None:
        return False
    return timedelta(0) <= found.since - changed_at <= NAMED_WITHIN


def changed_last(row: Row) -> SideRow | None:
    """Give the side that names the newer change; None where that is not known."""
    dated = [(each.side.modified_at, each) for each in row.sides if each.side.modified_at is not None]
    if len(dated) != 2 or dated[0][0] == dated[1][0]:
        return None
    return max(dated, key=lambda each: each[0])[1]


def agreed(row: Row, moment: datetime) -> bool:
    """Tell whether both sides said the same at a moment when both had answered, as far as what is known shows it."""
    first, other = (each.side for each in row.sides)
    lasting = all(side.view_since is None or side.view_since <= moment for side in (first, other))
    return bool(
        lasting
        and first.has_connection
        and other.has_connection
        and first.status == other.status
        and first.is_primary is not other.is_primary
    )


@dataclass(frozen=True)
class Clock:
    """A status that a pair passes through, since when, and on which side where it is not both."""

    status: str
    since: datetime
    is_known: bool
    site: str


def clocks(row: Row) -> list[Clock]:
    """Give since when the sides of a row are between two statuses: once where both are in the same one."""
    found = [
        Clock(name_of(each.side.status or 0), each.side.transit.since, each.side.transit.is_known, each.side.site)
        for each in row.sides
        if each.is_current and each.side.transit is not None
    ]
    if len(found) == 2 and found[0].status == found[1].status:
        first = min(found, key=lambda clock: (clock.since, not clock.is_known))
        return [replace(first, site="")]
    return found


def passed_within(found: Found) -> str:
    """Say within which time a side passes through: `30 min`."""
    return length_of_time(PASSED_WITHIN.total_seconds())


def rows_named(rows: Sequence[Row]) -> str:
    """Say how many these are: `3 pairs`, or `1 organization` where none of them is in a pair."""
    noun = "pair" if any(row.pair is not None for row in rows) else "organization"
    return f"{len(rows)} {noun}{'' if len(rows) == 1 else 's'}"


def judged(rows: Iterable[Row], verdict: str) -> list[Row]:
    """Keep the rows of one verdict."""
    return [row for row in rows if row.judgement.verdict.name == verdict]


def word(words: Mapping[Any, str], key: Any) -> str:
    """Give the word for a key."""
    return words[key]


def answering(sites: Iterable[Site]) -> list[Site]:
    """Keep the sites of which every organization got an answer."""
    return [site for site in sites if site.answered == site.total]


def silent(sites: Iterable[Site]) -> list[Site]:
    """Keep the sites that were asked lately and of which no organization got an answer."""
    return [site for site in sites if not site.answered and site.worst is ReadOutcome.NO_ANSWER]


def with_before(lines: Iterable[Listed]) -> list[tuple[Listed, Listed | None]]:
    """Give each line of history, the newest first, with the line before it of the same organization."""
    earlier: dict[Any, Listed] = {}
    joined: list[tuple[Listed, Listed | None]] = []
    for line in reversed(list(lines)):
        joined.append((line, earlier.get(line.organization_id)))
        earlier[line.organization_id] = line
    return joined[::-1]


_VIEW = ("has_connection", "status", "is_primary", "target_uuid", "modified_at", "modified_by")


def same_view(line: Line, before: Line | None) -> bool:
    """Tell whether a line of history says the same of the connection as the one before: only the read differs."""
    return before is not None and all(getattr(line, name) == getattr(before, name) for name in _VIEW)
