"""What does it take to take a change over from who drives it? Pure functions. Driving gives no permission."""

from __future__ import annotations

from enum import StrEnum

from .organizations import holds_a_key

LONGEST_REASON = 300
"""Characters: it is said beside the driver."""


class Problem(StrEnum):
    """What can be missing or wrong in a reason."""

    REASON_MISSING = "REASON_MISSING"
    REASON_TOO_LONG = "REASON_TOO_LONG"
    KEY_IN_REASON = "KEY_IN_REASON"


def wrong_with(reason: str) -> Problem | None:
    """Say what is missing or wrong in the reason for taking over; what looks like a key would stay on the record."""
    if not reason.strip():
        return Problem.REASON_MISSING
    if holds_a_key(reason):
        return Problem.KEY_IN_REASON
    return Problem.REASON_TOO_LONG if len(reason) > LONGEST_REASON else None
