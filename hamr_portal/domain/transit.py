"""Since when is a side between two statuses, as far as that is known? FAILOVER and RECOVERY are passed through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .connections import HamrStatus

BETWEEN = frozenset({HamrStatus.FAILOVER, HamrStatus.RECOVERY})
"""The statuses that are passed through, and not lived in."""

PASSED_WITHIN = timedelta(minutes=30)
"""So long a side may be between before that is pointed out.

The vendor names no limit. What people move meanwhile follows in minutes: a DNS name in five to fifteen, agents with
their next look at their policy. Who is still between after twice that has forgotten it, or waits for somebody.
"""

LOOKED_BACK = timedelta(days=7)
"""So far back the beginning is looked for; who is between for longer than that is so for at least as long."""


@dataclass(frozen=True)
class Transit:
    """Since when a side is between; where its beginning was not seen, for at least that long."""

    since: datetime
    is_known: bool

    def lasts(self, now: datetime) -> bool:
        """Tell whether it is to be pointed out that this is passed through."""
        return now - self.since >= PASSED_WITHIN


@dataclass(frozen=True)
class Seen:
    """One line of a side's history: what it said from then on, and when it says that was written."""

    at: datetime
    status: int | None
    modified_at: datetime | None


def transit(status: int | None, lines: Sequence[Seen]) -> Transit | None:
    """Give since when a side says this, from its history, the oldest line first; None where it is not between.

    The beginning is known where the side itself dates it, between the last line that said something else and the
    first that says this. Between two reads anything may have been, and nobody need have read.
    """
    if status not in BETWEEN or not lines:
        return None
    first = next((place for place in reversed(range(len(lines))) if lines[place].status != status), -1) + 1
    if first == len(lines):
        return None
    begun = lines[first]
    written = begun.modified_at if begun.modified_at is not None and begun.modified_at <= begun.at else None
    if first and written is not None and written > lines[first - 1].at:
        return Transit(written, is_known=True)
    # What was written then may have been there before; that it has been there since, the side says itself.
    return Transit(written if not first and written is not None else begun.at, is_known=False)
