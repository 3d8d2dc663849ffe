"""What does not fit between two sides, and what is the verdict?

Three tables say it all: `_SIDE_FINDINGS`, `_CHANGE_FINDINGS` and `VERDICT_OF`. Everything here is a pure function;
`now` is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from itertools import chain

from .changes import ChangeStatus
from .connections import HamrStatus, ReadOutcome, known_status
from .pairs import Side

UNREACHABLE_AFTER = 3
"""So many reads in a row without an answer make a side unreachable."""

OUTSIDE_CHANGE_SHOWN_FOR = timedelta(hours=1)
"""So long a change from outside is pointed out beside the pair."""


class Group(Enum):
    """The groups of the dashboard, the most urgent first: the word people read."""

    NEED_ACTION = "Need action"
    IN_PROGRESS = "In progress"
    FAILED_OVER = "Failed over"
    DEGRADED = "Degraded"
    SETTING_UP = "Setting up"
    IN_SYNC = "In sync"


class Verdict(Enum):
    """The portal's judgement of a pair, the worst first: the group it belongs to and the words people read."""

    SPLIT_VIEW = (Group.NEED_ACTION, "Split view")
    BOTH_UNREACHABLE = (Group.NEED_ACTION, "Both unreachable")
    PRIMARY_UNREACHABLE = (Group.NEED_ACTION, "Primary unreachable")
    SECONDARY_UNREACHABLE = (Group.NEED_ACTION, "Secondary unreachable")
    UNREACHABLE = (Group.NEED_ACTION, "Unreachable")
    KEY_REFUSED = (Group.NEED_ACTION, "Key refused")
    KEYS_UNREADABLE = (Group.NEED_ACTION, "Keys unreadable")
    WRONG_ORGANIZATION = (Group.NEED_ACTION, "Wrong organization")
    OUTCOME_UNKNOWN = (Group.NEED_ACTION, "Outcome unknown")
    FAILOVER_IN_PROGRESS = (Group.IN_PROGRESS, "Failover in progress")
    RECOVERY_IN_PROGRESS = (Group.IN_PROGRESS, "Recovery in progress")
    SENDING = (Group.IN_PROGRESS, "Sending")
    WAITING_FOR_APPROVAL = (Group.IN_PROGRESS, "Waiting for approval")
    FAILED_OVER = (Group.FAILED_OVER, "Failed over")
    RATE_LIMITED = (Group.DEGRADED, "Rate limited")
    SERVER_ERRORS = (Group.DEGRADED, "Server errors")
    UNREADABLE_ANSWER = (Group.DEGRADED, "Unreadable answer")
    NO_ANSWER = (Group.DEGRADED, "No answer")
    STALE = (Group.DEGRADED, "Stale")
    UNKNOWN_STATUS = (Group.DEGRADED, "Unknown status")
    SIDE_DISABLED = (Group.DEGRADED, "One side disabled")
    ONBOARDING = (Group.SETTING_UP, "Onboarding")
    NO_CONNECTION = (Group.SETTING_UP, "No connection")
    NOT_READ_YET = (Group.SETTING_UP, "Not read yet")
    UNPAIRED = (Group.SETTING_UP, "Unpaired")
    IN_SYNC = (Group.IN_SYNC, "In sync")

    def __init__(self, group: Group, label: str) -> None:
        self.group = group
        self.label = label


class Finding(StrEnum):
    """One thing that is the case with a side or between the sides."""

    STATUSES_DIFFER = "STATUSES_DIFFER"
    BOTH_PRIMARY = "BOTH_PRIMARY"
    NEITHER_PRIMARY = "NEITHER_PRIMARY"
    TARGETS_DIFFER = "TARGETS_DIFFER"
    CONNECTION_ON_ONE_SIDE = "CONNECTION_ON_ONE_SIDE"
    BOTH_UNREACHABLE = "BOTH_UNREACHABLE"
    PRIMARY_UNREACHABLE = "PRIMARY_UNREACHABLE"
    SECONDARY_UNREACHABLE = "SECONDARY_UNREACHABLE"
    UNREACHABLE = "UNREACHABLE"
    KEY_REFUSED = "KEY_REFUSED"
    KEYS_UNREADABLE = "KEYS_UNREADABLE"
    WRONG_ORGANIZATION = "WRONG_ORGANIZATION"
    OUTCOME_UNKNOWN = "OUTCOME_UNKNOWN"
    BOTH_FAILOVER = "BOTH_FAILOVER"
    BOTH_RECOVERY = "BOTH_RECOVERY"
    SENDING = "SENDING"
    WAITING_FOR_APPROVAL = "WAITING_FOR_APPROVAL"
    BOTH_ACTIVE = "BOTH_ACTIVE"
    RATE_LIMITED = "RATE_LIMITED"
    SERVER_ERROR = "SERVER_ERROR"
    REFUSED = "REFUSED"
    UNREADABLE = "UNREADABLE"
    NO_ANSWER = "NO_ANSWER"
    STALE = "STALE"
    UNKNOWN_STATUS = "UNKNOWN_STATUS"
    BOTH_ONBOARDING = "BOTH_ONBOARDING"
    ONBOARDING_ON_ONE_SIDE = "ONBOARDING_ON_ONE_SIDE"
    NO_CONNECTION = "NO_CONNECTION"
    NOT_READ = "NOT_READ"
    OTHER_SIDE_DISABLED = "OTHER_SIDE_DISABLED"
    OTHER_SIDE_NOT_SAVED = "OTHER_SIDE_NOT_SAVED"
    BOTH_PASSIVE = "BOTH_PASSIVE"
    MODIFIED_DIFFERS = "MODIFIED_DIFFERS"
    CHANGED_OUTSIDE = "CHANGED_OUTSIDE"
    LONG_BETWEEN = "LONG_BETWEEN"


VERDICT_OF: Mapping[Verdict, frozenset[Finding]] = {
    Verdict.SPLIT_VIEW: frozenset(
        {
            Finding.STATUSES_DIFFER,
            Finding.BOTH_PRIMARY,
            Finding.NEITHER_PRIMARY,
            Finding.TARGETS_DIFFER,
            Finding.CONNECTION_ON_ONE_SIDE,
        }
    ),
    Verdict.BOTH_UNREACHABLE: frozenset({Finding.BOTH_UNREACHABLE}),
    Verdict.PRIMARY_UNREACHABLE: frozenset({Finding.PRIMARY_UNREACHABLE}),
    Verdict.SECONDARY_UNREACHABLE: frozenset({Finding.SECONDARY_UNREACHABLE}),
    Verdict.UNREACHABLE: frozenset({Finding.UNREACHABLE}),
    Verdict.KEY_REFUSED: frozenset({Finding.KEY_REFUSED}),
    Verdict.KEYS_UNREADABLE: frozenset({Finding.KEYS_UNREADABLE}),
    Verdict.WRONG_ORGANIZATION: frozenset({Finding.WRONG_ORGANIZATION}),
    Verdict.OUTCOME_UNKNOWN: frozenset({Finding.OUTCOME_UNKNOWN}),
    Verdict.FAILOVER_IN_PROGRESS: frozenset({Finding.BOTH_FAILOVER}),
    Verdict.RECOVERY_IN_PROGRESS: frozenset({Finding.BOTH_RECOVERY}),
    Verdict.SENDING: frozenset({Finding.SENDING}),
    Verdict.WAITING_FOR_APPROVAL: frozenset({Finding.WAITING_FOR_APPROVAL}),
    Verdict.FAILED_OVER: frozenset({Finding.BOTH_ACTIVE}),
    Verdict.RATE_LIMITED: frozenset({Finding.RATE_LIMITED}),
    Verdict.SERVER_ERRORS: frozenset({Finding.SERVER_ERROR, Finding.REFUSED}),
    Verdict.UNREADABLE_ANSWER: frozenset({Finding.UNREADABLE}),
    Verdict.NO_ANSWER: frozenset({Finding.NO_ANSWER}),
    Verdict.STALE: frozenset({Finding.STALE}),
    Verdict.UNKNOWN_STATUS: frozenset({Finding.UNKNOWN_STATUS}),
    Verdict.SIDE_DISABLED: frozenset({Finding.OTHER_SIDE_DISABLED}),
    Verdict.ONBOARDING: frozenset({Finding.BOTH_ONBOARDING, Finding.ONBOARDING_ON_ONE_SIDE}),
    Verdict.NO_CONNECTION: frozenset({Finding.NO_CONNECTION}),
    Verdict.NOT_READ_YET: frozenset({Finding.NOT_READ}),
    Verdict.UNPAIRED: frozenset({Finding.OTHER_SIDE_NOT_SAVED}),
    Verdict.IN_SYNC: frozenset({Finding.BOTH_PASSIVE}),
}
"""Which findings make which verdict. The first verdict of which any finding holds is the pair's: the worst wins."""

_SPLIT = VERDICT_OF[Verdict.SPLIT_VIEW]

_SIDE_FINDINGS: Mapping[ReadOutcome, Finding] = {
    ReadOutcome.KEY_REFUSED: Finding.KEY_REFUSED,
    ReadOutcome.KEYS_UNREADABLE: Finding.KEYS_UNREADABLE,
    ReadOutcome.WRONG_ORGANIZATION: Finding.WRONG_ORGANIZATION,
    ReadOutcome.RATE_LIMITED: Finding.RATE_LIMITED,
    ReadOutcome.SERVER_ERROR: Finding.SERVER_ERROR,
    ReadOutcome.REFUSED: Finding.REFUSED,
    ReadOutcome.UNREADABLE: Finding.UNREADABLE,
}
"""What the last attempt alone says about a side."""

_AGREED: Mapping[HamrStatus | None, Finding] = {
    HamrStatus.ONBOARDING: Finding.BOTH_ONBOARDING,
    HamrStatus.PASSIVE: Finding.BOTH_PASSIVE,
    HamrStatus.FAILOVER: Finding.BOTH_FAILOVER,
    HamrStatus.ACTIVE: Finding.BOTH_ACTIVE,
    HamrStatus.RECOVERY: Finding.BOTH_RECOVERY,
}
"""What it means when both sides report the same status. UNSPECIFIED and undocumented numbers mean nothing known."""


_CHANGE_FINDINGS: Mapping[ChangeStatus, Finding] = {
    ChangeStatus.AWAITING_APPROVAL: Finding.WAITING_FOR_APPROVAL,
    ChangeStatus.SENDING: Finding.SENDING,
    ChangeStatus.ACCEPTED: Finding.SENDING,
    ChangeStatus.UNKNOWN: Finding.OUTCOME_UNKNOWN,
}
"""What an open change says about its pair: until it is read back, an accepted one is on its way."""

OF_CHANGES = frozenset(_CHANGE_FINDINGS.values())
"""The findings that an open change brings."""


class Join(StrEnum):
    """What stands between the two sides: the word people read."""

    AGREE = "Agree"
    DISAGREE = "Disagree"
    NOT_KNOWN = "Not known"
    ONE_SIDE = "One side"


@dataclass(frozen=True)
class OpenChange:
    """A change that holds its pair: which organization gets the request, what it makes of what, and since when."""

    status: ChangeStatus
    organization: str
    before: int | None
    target: int
    since: datetime | None

    @property
    def finding(self) -> Finding:
        """Give what it says about the pair."""
        return _CHANGE_FINDINGS[self.status]

    def makes(self, primary: Side, secondary: Side) -> bool:
        """Tell whether it is on its way and the statuses differ by it alone: one side has it already, one not yet."""
        return self.finding is Finding.SENDING and {primary.status, secondary.status} == {self.before, self.target}


@dataclass(frozen=True)
class Found:
    """A finding, the side it is about (None: both), and since when it holds (None: not known)."""

    finding: Finding
    side: Side | None
    since: datetime | None


@dataclass(frozen=True)
class Judgement:
    """A verdict with all the findings behind it."""

    verdict: Verdict
    since: datetime | None
    join: Join
    findings: tuple[Found, ...]

    def has(self, finding: Finding) -> bool:
        """Tell whether a finding holds."""
        return any(found.finding is finding for found in self.findings)


def judge_pair(
    primary: Side, secondary: Side, *, now: datetime, stale_after: timedelta, change: OpenChange | None = None
) -> Judgement:
    """Give the verdict on a pair; `change` is the one that is open on it."""
    sides = (primary, secondary)
    current = all(side.is_current(now, stale_after) for side in sides)
    findings = tuple(
        chain(
            _between(primary, secondary, change) if current else _lasting_split(primary, secondary),
            _of_change(change, sides),
            _unreachable(primary, secondary),
            *(_of_side(side, now, stale_after) for side in sides),
            _long_between(sides, now, stale_after),
        )
    )
    return _judged(findings, _join(primary, secondary, findings) if current else Join.NOT_KNOWN)


def judge_alone(
    side: Side, *, now: datetime, stale_after: timedelta, because: Finding, change: OpenChange | None = None
) -> Judgement:
    """Give the verdict on an organization that is shown without another side; `because` says why there is none."""
    findings = [*_of_change(change, (side,)), *_of_side(side, now, stale_after)]
    findings += _long_between((side,), now, stale_after)
    if _is_unreachable(side):
        findings.append(Found(Finding.UNREACHABLE, side, side.outcome_since))
    elif side.is_current(now, stale_after) and side.has_connection:
        findings.append(Found(because, side, None))
    elif side.is_current(now, stale_after):
        findings.append(Found(Finding.NO_CONNECTION, side, side.view_since))
    return _judged(tuple(findings), Join.ONE_SIDE)


def _judged(findings: tuple[Found, ...], join: Join) -> Judgement:
    verdict, since = next(
        (verdict, _earliest(found.since for found in findings if found.finding in wanted))
        for verdict, wanted in VERDICT_OF.items()
        if any(found.finding in wanted for found in findings)
    )
    return Judgement(verdict, since, join, findings)


def _of_change(change: OpenChange | None, sides: Iterable[Side]) -> Iterator[Found]:
    """Give what an open change says, on the side that gets its request; None where that one is not shown here."""
    if change is not None:
        side = next((each for each in sides if each.name == change.organization), None)
        yield Found(change.finding, side, change.since)


def _of_side(side: Side, now: datetime, stale_after: timedelta) -> Iterator[Found]:
    if side.outcome is None:
        yield Found(Finding.NOT_READ, side, None)
        return
    if side.outcome in _SIDE_FINDINGS:
        yield Found(_SIDE_FINDINGS[side.outcome], side, side.outcome_since)
    elif side.outcome is ReadOutcome.NO_ANSWER and not _is_unreachable(side):
        yield Found(Finding.NO_ANSWER, side, side.outcome_since)
    elif side.answers and not side.is_current(now, stale_after):
        yield Found(Finding.STALE, side, side.answered_at)
    if side.outside_at is not None and now - side.outside_at <= OUTSIDE_CHANGE_SHOWN_FOR:
        yield Found(Finding.CHANGED_OUTSIDE, side, side.outside_at)


def _long_between(sides: Iterable[Side], now: datetime, stale_after: timedelta) -> Iterator[Found]:
    """Give the sides that are between for longer than it takes to pass; once where both are in the same status."""
    found = [side for side in sides if side.transit is not None and side.transit.lasts(now)]
    current = [side for side in found if side.is_current(now, stale_after)]
    together = len(current) > 1 and len({side.status for side in current}) == 1
    if together:
        yield Found(Finding.LONG_BETWEEN, None, _earliest(side.transit.since for side in current if side.transit))
    else:
        yield from (Found(Finding.LONG_BETWEEN, side, side.transit.since) for side in current if side.transit)


def _is_unreachable(side: Side) -> bool:
    return side.outcome is ReadOutcome.NO_ANSWER and side.repeats >= UNREACHABLE_AFTER


def _unreachable(primary: Side, secondary: Side) -> Iterator[Found]:
    if _is_unreachable(primary) and _is_unreachable(secondary):
        since = _latest((primary.outcome_since, secondary.outcome_since))
        yield Found(Finding.BOTH_UNREACHABLE, None, since)
    elif _is_unreachable(primary):
        yield Found(Finding.PRIMARY_UNREACHABLE, primary, primary.outcome_since)
    elif _is_unreachable(secondary):
        yield Found(Finding.SECONDARY_UNREACHABLE, secondary, secondary.outcome_since)


def _between(primary: Side, secondary: Side, change: OpenChange | None = None) -> Iterator[Found]:
    """Compare two views."""
    since = _latest((primary.says_so_since, secondary.says_so_since))
    if primary.has_connection and secondary.has_connection:
        yield from _compared(primary, secondary, since, change)
    elif primary.has_connection or secondary.has_connection:
        connected, bare = (primary, secondary) if primary.has_connection else (secondary, primary)
        setting_up = known_status(connected.status) in (HamrStatus.ONBOARDING, HamrStatus.UNSPECIFIED)
        finding = Finding.ONBOARDING_ON_ONE_SIDE if setting_up else Finding.CONNECTION_ON_ONE_SIDE
        yield Found(finding, bare, since)
    else:
        yield Found(Finding.NO_CONNECTION, None, since)


def _lasting_split(primary: Side, secondary: Side) -> Iterator[Found]:
    """Give the disagreement that both sides were last seen in: it does not heal by not being looked at.

    Nor does an open change excuse it: a change that is on its way does so only while somebody sees it arrive.
    """
    answered = (primary.answered_at, secondary.answered_at)
    began = _latest((primary.view_since, secondary.view_since))
    seen_together = None not in answered and began is not None and all(at >= began for at in answered if at)
    if seen_together:
        yield from (found for found in _between(primary, secondary) if found.finding in _SPLIT)


def _compared(primary: Side, secondary: Side, since: datetime | None, change: OpenChange | None) -> Iterator[Found]:
    """Compare two views that both hold a connection."""
    arriving = change is not None and change.makes(primary, secondary)
    if primary.status == secondary.status:
        yield Found(_AGREED.get(known_status(primary.status), Finding.UNKNOWN_STATUS), None, since)
    elif not arriving:
        yield Found(Finding.STATUSES_DIFFER, None, since)
    if primary.is_primary is secondary.is_primary:
        yield Found(Finding.BOTH_PRIMARY if primary.is_primary else Finding.NEITHER_PRIMARY, None, since)
    for side, other in ((primary, secondary), (secondary, primary)):
        if other.uuid is not None and side.target_uuid != other.uuid:
            yield Found(Finding.TARGETS_DIFFER, side, since)
    if not arriving and (primary.modified_at, primary.modified_by) != (secondary.modified_at, secondary.modified_by):
        yield Found(Finding.MODIFIED_DIFFERS, None, since)


def _join(primary: Side, secondary: Side, findings: Iterable[Found]) -> Join:
    if bool(primary.has_connection) != bool(secondary.has_connection):
        return Join.ONE_SIDE
    # The join is what the sides say; whether an open change is the cause, the verdict tells.
    differ = primary.has_connection and primary.status != secondary.status
    return Join.DISAGREE if differ or any(found.finding in _SPLIT for found in findings) else Join.AGREE


def _earliest(moments: Iterable[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _latest(moments: Iterable[datetime | None]) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)
