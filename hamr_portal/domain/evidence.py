"""What does a reading say about a change that was sent? Pure rules; no clock.

The API has no version and no idempotency key: whether a request took effect shows in what the side reads back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from uuid import UUID

from .changes import Move
from .connections import Connection, HamrStatus, View

READ_AFTER = (2.0, 3.0, 5.0, 10.0, 20.0, 20.0, 60.0)
"""Seconds between two reads of what is not settled: 2, 5, 10, 20, 40, 60, 120 s after sending, then each minute."""

LONGEST_GAP = 60.0
"""Seconds that the time between two agreeing reads counts for at most.

Where it is more than twice that, nobody read, or the clock was set: it proves nothing, and counts for nothing.
"""


SAME_WRITE = timedelta(minutes=1)
"""The two sides may name the same write with times this far apart."""


@dataclass(frozen=True)
class Asked:
    """What a change asks for; `writer` is the `modified_by` that its write carries.

    `written_at` is the `modified_at` that the answer to the request gave it, where there was a readable one.
    """

    status: HamrStatus
    is_primary: bool
    target_uuid: UUID
    writer: str
    sent_at: datetime | None = None
    written_at: datetime | None = None

    def is_repeated_by(self, echo: Connection, organization_uuid: UUID | None) -> bool:
        """Tell whether an answer to the request repeats what was asked, for the organization that was asked."""
        return echo.organization_uuid == organization_uuid and self._fits(View.of(echo))

    def is_met_by(self, view: View, before: View) -> bool:
        """Tell whether a view shows this change's own write, and not an older one of the same writer."""
        ours = self._fits(view) and was_written_by(view, self.status, self.writer)
        return ours and (not is_older(view, before) or self._is_of_the_time(view))

    def _is_of_the_time(self, view: View) -> bool:
        """Tell whether a view is of when this was sent: what was there before may come from a clock that ran ahead."""
        if view.modified_at is None or self.sent_at is None:
            return False
        return view.modified_at == self.written_at or view.modified_at >= self.sent_at - SAME_WRITE

    def _fits(self, view: View) -> bool:
        asked = (True, self.status, self.is_primary, self.target_uuid)
        return (view.has_connection, view.status, view.is_primary, view.target_uuid) == asked


def was_written_by(view: View, status: HamrStatus, writer: str) -> bool:
    """Tell whether a view of either side shows a status that this writer set."""
    by = view.modified_by.strip().casefold()
    return view.has_connection and view.status == status and by == writer.strip().casefold()


def is_older(view: View, before: View) -> bool:
    """Tell whether a view is of before what was seen already: some reads come from a place that lags behind."""
    dated = view.modified_at is not None and before.modified_at is not None
    return dated and view.modified_at < before.modified_at  # type: ignore[operator]


class Sign(Enum):
    """What one view says about a change."""

    APPLIED = "it shows what was asked, by who asked"
    AS_BEFORE = "it shows what was there before"
    SOMETHING_ELSE = "it shows what somebody else wrote"
    OLDER = "it shows what was there earlier still"
    GONE = "it shows no connection, where there was one"


SAY_NOTHING = frozenset({Sign.OLDER, Sign.GONE})
"""What comes from a place that lags behind, or from a region in trouble, is nothing to go by."""


def sign_of(view: View, *, before: View, asked: Asked) -> Sign:
    """Give what a view says about a change."""
    if asked.is_met_by(view, before):
        return Sign.APPLIED
    if view.says_the_same(before):
        return Sign.AS_BEFORE
    if not view.has_connection:
        return Sign.GONE
    return Sign.OLDER if is_older(view, before) else Sign.SOMETHING_ELSE


@dataclass(frozen=True)
class Agreement:
    """How many reads in a row showed the same, and for how many seconds."""

    reads: int = 0
    seconds: float = 0.0

    def with_another(self, gap: float) -> Agreement:
        """Count one more read that shows the same, `gap` seconds after the one before."""
        counts = min(max(gap, 0.0), LONGEST_GAP) if gap <= 2 * LONGEST_GAP else 0.0
        return Agreement(self.reads + 1, self.seconds + counts)


@dataclass(frozen=True)
class Patience:
    """How many agreeing reads, over how many seconds, it takes until "not there yet" becomes "not applied"."""

    reads: int
    seconds: float

    def is_over(self, agreement: Agreement) -> bool:
        """Tell whether so much agreement settles it."""
        return agreement.reads >= self.reads and agreement.seconds >= self.seconds

    def next_read_in(self, done: int, agreement: Agreement) -> float:
        """Give the seconds until the next read, after `done` of them: sooner where that one could settle it."""
        usual = READ_AFTER[min(done, len(READ_AFTER) - 1)]
        missing = self.seconds - agreement.seconds
        return min(usual, max(missing, 1.0)) if agreement.reads else usual


_SETTLES = {Sign.AS_BEFORE: Move.RULE_OUT, Sign.SOMETHING_ELSE: Move.OVERTAKE}


def move_after(sign: Sign, *, accepted: bool, agreement: Agreement, patience: Patience) -> Move | None:
    """Give the move that a view of an unsettled change calls for, if any."""
    if sign is Sign.APPLIED:
        return Move.VERIFY
    if accepted:
        return None if sign in SAY_NOTHING else Move.DOUBT
    return _SETTLES.get(sign) if patience.is_over(agreement) else None
