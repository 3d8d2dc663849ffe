"""How do messages say what happened, and when? As plain text, which may be read hours later and far from the portal."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hamr_portal.domain.changes import ChangeStatus, Move

from ._time import clock, span

_UNKNOWN = "Outcome unknown: do not send again"
_MOVES: Mapping[Move, str] = {
    Move.ASK: "Waiting for approval",
    Move.SEND: "Sending",
    Move.APPROVE: "Approved, sending",
    Move.SKIP_APPROVAL: "Sending without approval",
    Move.DECLINE: "Declined",
    Move.CANCEL: "Cancelled",
    Move.EXPIRE: "Expired, nobody approved it",
    Move.NOT_SENT: "Not sent",
    Move.REJECT: "Rejected",
    Move.ACCEPT: "Accepted",
    Move.LOSE: _UNKNOWN,
    Move.ABANDON: _UNKNOWN,
    Move.RESTORE: _UNKNOWN,
    Move.DOUBT: _UNKNOWN,
    Move.VERIFY: "Verified",
    Move.RULE_OUT: "Reconciled: not applied",
    Move.OVERTAKE: "Overtaken by another write",
    Move.RESOLVE: "Lock opened by an operator",
    Move.ARRIVE_LATE: "Took effect late",
}


def move_words(facts: Mapping[str, Any]) -> str:
    """Give what a change has come to."""
    by_way_of = Move[facts["move"]]
    if by_way_of is Move.VERIFY and facts["before"] == ChangeStatus.UNKNOWN:
        return "Reconciled: applied"
    if by_way_of is Move.REJECT and facts["http_status"]:
        return f"Rejected, HTTP {facts['http_status']}"
    return _MOVES[by_way_of]


def utc(moment: datetime, now: datetime) -> str:
    """Give a moment: `03:12:44 UTC`, with its day where that is not today."""
    return f"{clock(moment, now)} UTC"


def ago(moment: datetime, now: datetime) -> str:
    """Give the age of a moment, and the moment: `9 s ago at 03:12:35 UTC`."""
    return f"{span(now - moment)} ago at {utc(moment, now)}"


def lasted(begin: datetime, end: datetime) -> str:
    """Give the length of the time between two moments."""
    return span(end - begin)
