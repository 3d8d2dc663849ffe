"""What is the life of a change, and which steps between statuses are usual?

Two tables say it all: `Move`, the life of a change arrow by arrow, and `USUAL_NEXT`, the usual path of a status.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import Enum, StrEnum

from .audit import Event
from .connections import HamrStatus, known_status

APPROVAL_LASTS = timedelta(minutes=30)
"""So long a change waits for a second person."""

WATCHED_FOR = timedelta(hours=24)
"""So long after sending a request may still land, and is recognized."""


class ChangeStatus(StrEnum):
    """Where a change is in its life."""

    PREPARED = "PREPARED"
    AWAITING_APPROVAL = "AWAITING_APPROVAL"
    SENDING = "SENDING"
    ACCEPTED = "ACCEPTED"
    UNKNOWN = "UNKNOWN"
    VERIFIED = "VERIFIED"
    REJECTED = "REJECTED"
    NOT_SENT = "NOT_SENT"
    NOT_APPLIED = "NOT_APPLIED"
    SUPERSEDED = "SUPERSEDED"
    RESOLVED = "RESOLVED"
    CANCELLED = "CANCELLED"
    DECLINED = "DECLINED"
    EXPIRED = "EXPIRED"


_PREPARED = frozenset({ChangeStatus.PREPARED})
_WAITING = frozenset({ChangeStatus.AWAITING_APPROVAL})
_SENDING = frozenset({ChangeStatus.SENDING})
_LOST = _WAITING | _SENDING
_ACCEPTED = frozenset({ChangeStatus.ACCEPTED})
_UNKNOWN = frozenset({ChangeStatus.UNKNOWN})

BEFORE_SENDING = _PREPARED | _WAITING
"""Nothing has left."""

UNSETTLED = _ACCEPTED | _UNKNOWN
"""Sent, and not known to be applied: read until it is known."""

MAY_STILL_LAND = frozenset({ChangeStatus.NOT_APPLIED, ChangeStatus.SUPERSEDED, ChangeStatus.RESOLVED})
"""Over, but never seen to be applied: a request can land late, so each later reading is held against it."""

OPEN = _WAITING | _SENDING | UNSETTLED
"""Holds its pair: no other change may be confirmed there."""

_ANSWERABLE = _SENDING | _UNKNOWN
"""An answer may be recorded late, when the change was taken for abandoned already."""


class Move(Enum):
    """One arrow in the life of a change: what happens, from where, to where, and how the record calls it."""

    # fmt: off
    ASK = ("confirmed, to be approved by a second", _PREPARED, ChangeStatus.AWAITING_APPROVAL, Event.APPROVAL_ASKED)
    SEND = ("confirmed", _PREPARED, ChangeStatus.SENDING, Event.CHANGE_SENDING)
    APPROVE = ("approved by a second person", _WAITING, ChangeStatus.SENDING, Event.CHANGE_APPROVED)
    SKIP_APPROVAL = ("sent without approval, for a reason", _WAITING, ChangeStatus.SENDING, Event.APPROVAL_SKIPPED)
    DECLINE = ("declined by a second person", _WAITING, ChangeStatus.DECLINED, Event.CHANGE_DECLINED)
    CANCEL = ("cancelled by its author", BEFORE_SENDING, ChangeStatus.CANCELLED, Event.CHANGE_CANCELLED)
    EXPIRE = ("nobody acted in time", BEFORE_SENDING, ChangeStatus.EXPIRED, Event.CHANGE_EXPIRED)

    NOT_SENT = ("no byte of the request left", _ANSWERABLE, ChangeStatus.NOT_SENT, Event.CHANGE_NOT_SENT)
    REJECT = ("the site understood and refused", _ANSWERABLE, ChangeStatus.REJECTED, Event.CHANGE_REJECTED)
    ACCEPT = ("the site repeats what was asked", _ANSWERABLE, ChangeStatus.ACCEPTED, Event.CHANGE_ACCEPTED)
    LOSE = ("sent, and no answer to rely on", _SENDING, ChangeStatus.UNKNOWN, Event.CHANGE_UNKNOWN)
    ABANDON = ("the process that sent it ended", _SENDING, ChangeStatus.UNKNOWN, Event.CHANGE_ABANDONED)
    RESTORE = ("a backup was restored, and it may be sent", _LOST, ChangeStatus.UNKNOWN, Event.CHANGE_RESTORED)

    DOUBT = ("accepted, but it reads back something else", _ACCEPTED, ChangeStatus.UNKNOWN, Event.CHANGE_UNKNOWN)
    VERIFY = ("it reads back what was asked", UNSETTLED, ChangeStatus.VERIFIED, Event.CHANGE_VERIFIED)
    RULE_OUT = ("it keeps reading back what was before", _UNKNOWN, ChangeStatus.NOT_APPLIED, Event.CHANGE_NOT_APPLIED)
    OVERTAKE = ("it keeps reading back another's write", _UNKNOWN, ChangeStatus.SUPERSEDED, Event.CHANGE_SUPERSEDED)
    RESOLVE = ("an operator opens the lock, for a reason", UNSETTLED, ChangeStatus.RESOLVED, Event.CHANGE_RESOLVED)
    ARRIVE_LATE = ("it reads back what was asked after all", MAY_STILL_LAND, ChangeStatus.VERIFIED, Event.CHANGE_LATE)
    # fmt: on

    def __init__(self, happens: str, leaves: frozenset[ChangeStatus], reaches: ChangeStatus, event: Event) -> None:
        self.happens = happens
        self.leaves = leaves
        self.reaches = reaches
        self.event = event

    @property
    def sends(self) -> bool:
        """Tell whether the request goes out right after this move."""
        return self.reaches is ChangeStatus.SENDING


OFFERED = (
    HamrStatus.ONBOARDING,
    HamrStatus.PASSIVE,
    HamrStatus.FAILOVER,
    HamrStatus.ACTIVE,
    HamrStatus.RECOVERY,
)
"""The statuses that can be asked for, in the order of the usual path. What UNSPECIFIED would do, nobody says."""

USUAL_NEXT: Mapping[HamrStatus, HamrStatus] = {
    HamrStatus.ONBOARDING: HamrStatus.PASSIVE,
    HamrStatus.PASSIVE: HamrStatus.FAILOVER,
    HamrStatus.FAILOVER: HamrStatus.ACTIVE,
    HamrStatus.ACTIVE: HamrStatus.RECOVERY,
    HamrStatus.RECOVERY: HamrStatus.PASSIVE,
}
"""The usual path. The vendor publishes no rules, so that any other step is unusual, not forbidden."""


class Step(Enum):
    """What kind of step leads from one status to another."""

    NONE = "the status is so already"
    USUAL = "the usual next step"
    SKIPPING = "skips the step between"
    UNUSUAL = "not on the usual path"


def step(before: int | None, after: HamrStatus) -> Step:
    """Give the kind of step between two statuses; from a status that is not documented, each is unusual."""
    known = known_status(before)
    if known is after:
        return Step.NONE
    if known is not None and usual_next(known) is after:
        return Step.USUAL
    return Step.UNUSUAL if skipped(before, after) is None else Step.SKIPPING


def usual_next(status: int | None) -> HamrStatus | None:
    """Give the usual next status, where there is one."""
    known = known_status(status)
    return USUAL_NEXT.get(known) if known is not None else None


def skipped(before: int | None, after: HamrStatus) -> HamrStatus | None:
    """Give the one status that a step leaves out, where it is exactly one."""
    between = usual_next(before)
    return between if between is not None and usual_next(between) is after else None


def way_back(before: int | None, after: HamrStatus) -> tuple[HamrStatus, ...]:
    """Give the usual steps that lead from the new status to the old one; none where no usual path does."""
    goal = known_status(before)
    path = [after]
    while path[-1] is not goal and path[-1] in USUAL_NEXT and len(path) <= len(USUAL_NEXT):
        path.append(USUAL_NEXT[path[-1]])
    return tuple(path[1:]) if path[-1] is goal else ()


def usual_path(status: int | None) -> list[tuple[HamrStatus, HamrStatus]]:
    """Give the usual steps from a status on, each with the one before, until they repeat; none where none is usual."""
    steps: list[tuple[HamrStatus, HamrStatus]] = []
    before = known_status(status)
    while before is not None and before in USUAL_NEXT and before not in dict(steps):
        steps.append((before, USUAL_NEXT[before]))
        before = USUAL_NEXT[before]
    return steps


class What(StrEnum):
    """What a line of a change's log tells."""

    PREVIEWED = "PREVIEWED"
    READ_AGAIN = "READ_AGAIN"
    MOVED = "MOVED"
    READ_BACK = "READ_BACK"


class Again(StrEnum):
    """Why a preview took the place of an older one."""

    ASKED = "ASKED"
    EXPIRED = "EXPIRED"
    SIDES_CHANGED = "SIDES_CHANGED"
    OTHER_SIGN_IN = "OTHER_SIGN_IN"
    OLD_FORM = "OLD_FORM"
    AFTER_OUTCOME = "AFTER_OUTCOME"
