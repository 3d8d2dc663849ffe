"""What became of a change? Its log, with the lines that matter found; for everything that shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from hamr_portal.domain.changes import Move, What
from hamr_portal.domain.connections import View
from hamr_portal.models import Change, LogLine

_ANSWERS = frozenset({Move.NOT_SENT.name, Move.REJECT.name, Move.ACCEPT.name, Move.LOSE.name})
"""The moves that say what came of the request itself."""

_DOUBTS = frozenset({Move.LOSE.name, Move.ABANDON.name, Move.DOUBT.name})


@dataclass(frozen=True)
class Story:
    """A change and its log, the oldest line first."""

    change: Change
    lines: tuple[LogLine, ...]

    @property
    def told(self) -> list[LogLine]:
        """Give what happened from the confirmation on."""
        return [line for line in self.lines if line.what != What.PREVIEWED]

    @property
    def before(self) -> LogLine | None:
        """Give what the side that gets the request said when it was previewed."""
        return self._first(What.PREVIEWED, own=True)

    @property
    def other_before(self) -> LogLine | None:
        """Give what the side across said when it was previewed."""
        return self._first(What.PREVIEWED, own=False)

    @property
    def result(self) -> LogLine | None:
        """Give what came of the request itself."""
        return next((line for line in self.lines if line.move in _ANSWERS), None)

    @property
    def own_read(self) -> LogLine | None:
        """Give the last reading of the side that got the request."""
        return self._last_read(own=True)

    @property
    def own_answer(self) -> LogLine | None:
        """Give the last reading of the side that got the request which brought something."""
        return self._last_read(own=True, answered=True)

    @property
    def other_read(self) -> LogLine | None:
        """Give the last reading of the side across."""
        return self._last_read(own=False)

    @property
    def move(self) -> LogLine | None:
        """Give the last move."""
        return next((line for line in reversed(self.lines) if line.what == What.MOVED), None)

    @property
    def was_in_doubt(self) -> bool:
        """Tell whether the outcome was not known for a while."""
        return any(line.move in _DOUBTS for line in self.lines)

    @property
    def arrived_late(self) -> bool:
        """Tell whether it took effect after it was over."""
        return any(line.move == Move.ARRIVE_LATE.name for line in self.lines)

    @property
    def other_agrees(self) -> bool:
        """Tell whether the side across was seen to show what was asked, or there is none."""
        read = self.other_read
        shows = read is not None and read.has_connection is True and read.status == self.change.target_status
        return self.change.other_id is None or shows

    @property
    def is_unchanged(self) -> bool:
        """Tell whether it reads back what was there before the request."""
        before, after = self._sent_from, self.own_answer
        known = before is not None and after is not None and after.view is not None
        return known and before.says_the_same(after.view)  # type: ignore[union-attr, arg-type]

    @property
    def again_at(self) -> datetime | None:
        """Give from when on it may be sent again, where the answer said so."""
        result = self.result
        if result is None or result.retry_after is None:
            return None
        return result.at + timedelta(seconds=result.retry_after)

    @property
    def _sent_from(self) -> View | None:
        own = [line for line in self.lines if line.what in (What.PREVIEWED, What.READ_AGAIN) and self._is_own(line)]
        return next((line.view for line in reversed(own) if line.view is not None), None)

    def _first(self, what: What, *, own: bool) -> LogLine | None:
        return next((line for line in self.lines if line.what == what and self._is_own(line) is own), None)

    def _last_read(self, *, own: bool, answered: bool = False) -> LogLine | None:
        for line in reversed(self.lines):
            wanted = line.what == What.READ_BACK and self._is_own(line) is own
            if wanted and (line.has_connection is not None or not answered):
                return line
        return None

    def _is_own(self, line: LogLine) -> bool:
        return line.organization_id == self.change.organization_id


def story(change: Change) -> Story:
    """Give one change with its log."""
    return Story(change, tuple(change.log.select_related("organization").order_by("pk")))


def stories(changes: Iterable[Change]) -> list[Story]:
    """Give changes with their logs, without the answers' texts. One query."""
    told: dict[int, tuple[Change, list[LogLine]]] = {change.pk: (change, []) for change in changes}
    for line in LogLine.objects.filter(change__in=told).defer("raw").order_by("pk"):
        told[line.change_id][1].append(line)
    return [Story(change, tuple(lines)) for change, lines in told.values()]
