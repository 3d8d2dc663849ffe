"""What does it take to freeze changes? A reason, and an end that is not too far off; pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from .organizations import holds_a_key

LONGEST = timedelta(days=30)
"""So far off a freeze may end: whoever forgets it must not find it in force a season later."""

LONGEST_REASON = 300
"""Characters: it is shown on every page."""


class Problem(StrEnum):
    """What can be missing or wrong in what was typed."""

    REASON_MISSING = "REASON_MISSING"
    REASON_TOO_LONG = "REASON_TOO_LONG"
    KEY_IN_REASON = "KEY_IN_REASON"
    END_PASSED = "END_PASSED"
    END_TOO_FAR = "END_TOO_FAR"


def problems(reason: str, ends_at: datetime, *, now: datetime) -> list[Problem]:
    """Say everything that is missing or wrong, at once; what looks like a key would stay on the record for ever."""
    found = []
    if not reason.strip():
        found.append(Problem.REASON_MISSING)
    elif holds_a_key(reason):
        found.append(Problem.KEY_IN_REASON)
    elif len(reason) > LONGEST_REASON:
        found.append(Problem.REASON_TOO_LONG)
    if ends_at <= now:
        found.append(Problem.END_PASSED)
    elif ends_at - now > LONGEST:
        found.append(Problem.END_TOO_FAR)
    return found
