"""Which organizations form a pair, and what is known of each side? Pure functions; `now` is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain
from uuid import UUID

from .connections import ReadOutcome
from .transit import Transit


class Column(StrEnum):
    """The saved role of a side. What a side itself says may contradict it."""

    PRIMARY = "PRIMARY"
    SECONDARY = "SECONDARY"


@dataclass(frozen=True)
class Side:
    """What is known of one organization: its last good view, and what came of the last attempt to read it."""

    name: str
    site: str
    uuid: UUID | None = None
    column: Column | None = None
    has_connection: bool | None = None
    status: int | None = None
    is_primary: bool | None = None
    modified_at: datetime | None = None
    modified_by: str = ""
    target_uuid: UUID | None = None
    target_name: str = ""
    target_datacenter: str = ""
    answered_at: datetime | None = None
    view_since: datetime | None = None
    outside_at: datetime | None = None
    outcome: ReadOutcome | None = None
    outcome_since: datetime | None = None
    repeats: int = 0
    transit: Transit | None = None

    @property
    def answers(self) -> bool:
        """Tell whether the last attempt brought a view."""
        return self.outcome in (ReadOutcome.ANSWERED, ReadOutcome.NO_CONNECTION)

    def is_current(self, now: datetime, stale_after: timedelta) -> bool:
        """Tell whether the view may be shown as the present: the last attempt brought it, and not long ago."""
        # Both ways: after the clock was set back, an old view must not look new until its moment comes again.
        return self.answers and self.answered_at is not None and abs(now - self.answered_at) <= stale_after

    @property
    def says_so_since(self) -> datetime | None:
        """Give when the status became what it is: as the organization says, else when it was first seen."""
        return self.modified_at or self.view_since

    @property
    def contradicts_column(self) -> bool:
        """Tell whether the side says that it is the other side."""
        return (
            self.column is not None
            and self.is_primary is not None
            and self.is_primary != (self.column is Column.PRIMARY)
        )


@dataclass(frozen=True)
class Claim:
    """What one organization says about its other side, and the pair it is in already (by key, with its column)."""

    key: UUID
    name: str
    uuid: UUID | None
    target_uuid: UUID | None
    is_primary: bool | None
    pair: int | None = None
    column: Column | None = None

    def names(self, other: Claim) -> bool:
        """Tell whether this organization's target is the other one."""
        return self.target_uuid is not None and self.target_uuid == other.uuid and self.key != other.key


@dataclass(frozen=True)
class Match:
    """Two organizations that belong together, in their columns."""

    primary: Claim
    secondary: Claim


def discover(claims: Iterable[Claim]) -> list[Match]:
    """Give the pairs that are to be made or changed. A pair stays one until two sides name each other anew."""
    claims = sorted(claims, key=lambda claim: claim.name)
    by_uuid = {claim.uuid: claim for claim in claims if claim.uuid is not None}
    taken: set[UUID] = set()
    broken: set[int | None] = {None}
    matches = []
    for claim, other in chain(_mutual(claims, by_uuid), _one_sided(claims, by_uuid, broken)):
        if claim.key not in taken and other.key not in taken:
            taken |= {claim.key, other.key}
            if claim.pair != other.pair:
                broken |= {claim.pair, other.pair}
            match = _in_columns(claim, other)
            if match is not None:
                matches.append(match)
    return matches


def shared_name(primary: str, secondary: str) -> str:
    """Give what two names share, by their words; both names where they share nothing."""
    first, second = primary.split("-"), secondary.split("-")
    for left, right, order in ((first, second, 1), (first[::-1], second[::-1], -1)):
        count = next(
            (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
            min(len(left), len(right)),
        )
        if count:
            return "-".join(left[:count][::order])
    return f"{primary} and {secondary}"


def _mutual(claims: list[Claim], by_uuid: Mapping[UUID, Claim]) -> Iterator[tuple[Claim, Claim]]:
    for claim in claims:
        other = by_uuid.get(claim.target_uuid) if claim.target_uuid else None
        if other is not None and claim.names(other) and other.names(claim):
            yield claim, other


def _one_sided(
    claims: list[Claim], by_uuid: Mapping[UUID, Claim], broken: Set[int | None]
) -> Iterator[tuple[Claim, Claim]]:
    """Pair those that are free, or were left by the mutual: one names the other, which names nobody that is saved."""
    for claim in claims:
        other = by_uuid.get(claim.target_uuid) if claim.target_uuid else None
        if other is None or not claim.names(other) or claim.pair not in broken or other.pair not in broken:
            continue
        if other.target_uuid is None or other.target_uuid not in by_uuid:
            yield claim, other


def _in_columns(claim: Claim, other: Claim) -> Match | None:
    """Put two organizations into columns; None where they are there already and nothing speaks against it."""
    together = claim.pair is not None and claim.pair == other.pair
    if claim.is_primary is other.is_primary:
        if together:
            return None
        return Match(claim, other)
    first_is_primary = bool(claim.is_primary) or other.is_primary is False
    match = Match(claim, other) if first_is_primary else Match(other, claim)
    return None if together and match.primary.column is Column.PRIMARY else match
