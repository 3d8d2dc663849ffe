"""What was known of each side at each moment of a window?

Pure functions of plain rows. What nobody saw is a state of its own, never the status from before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from itertools import accumulate, groupby, pairwise

from .connections import ReadOutcome


class Range(Enum):
    """How far back a timeline goes, and how far apart its ticks are."""

    HOURS_6 = ("6h", "6 h", timedelta(hours=6), timedelta(hours=1))
    HOURS_24 = ("24h", "24 h", timedelta(hours=24), timedelta(hours=3))
    DAYS_7 = ("7d", "7 d", timedelta(days=7), timedelta(days=1))
    DAYS_30 = ("30d", "30 d", timedelta(days=30), timedelta(days=5))

    def __init__(self, key: str, words: str, length: timedelta, tick: timedelta) -> None:
        self.key, self.words, self.length, self.tick = key, words, length, tick

    @classmethod
    def named(cls, key: str) -> Range:
        """Give the range that an address names; 24 hours where it names none."""
        return next((each for each in cls if each.key == key), cls.HOURS_24)


@dataclass(frozen=True)
class Window:
    """The time from `start` to `end`."""

    start: datetime
    end: datetime

    @classmethod
    def until(cls, now: datetime, length: timedelta, events: Iterable[datetime] = ()) -> Window:
        """Give the window that ends with the last whole minute, or now where something happened since.

        So a page on which nothing happens stays the same for a minute, and what happened is on it at once.
        """
        minute = now.replace(second=0, microsecond=0)
        end = now if any(minute <= event <= now for event in events) else minute
        return cls(end - length, end)

    def share(self, length: timedelta) -> float:
        """Give how much of the window a length of time is, in percent."""
        return 100 * (length / (self.end - self.start))

    def place(self, moment: datetime) -> float:
        """Give where a moment is, in percent from the start."""
        return self.share(moment - self.start)

    def has(self, moment: datetime) -> bool:
        """Tell whether a moment is within."""
        return self.start <= moment <= self.end


class Knowledge(Enum):
    """How a side's status is known over a stretch of time."""

    ANSWERED = "it answered"
    SILENT = "it was asked, and no usable answer came"
    UNREAD = "nobody asked"
    BEFORE = "nobody had asked yet"
    UNDRAWN = "more happened than is looked up"
    SHORT = "several stretches that are too short to draw"


@dataclass(frozen=True)
class State:
    """What was known: the answer's status, or why there is none. `elsewhere` names a target that is not across."""

    knowledge: Knowledge
    outcome: ReadOutcome | None = None
    status: int | None = None
    elsewhere: str = ""

    @property
    def is_gap(self) -> bool:
        """Tell whether nothing is known for want of an answer, or of a question."""
        return self.knowledge in (Knowledge.SILENT, Knowledge.UNREAD)


@dataclass(frozen=True)
class Seen:
    """One line of a side's history: what it showed from then on."""

    at: datetime
    outcome: ReadOutcome
    status: int | None = None
    elsewhere: str = ""
    outside: bool = False
    modified_by: str = ""

    @property
    def state(self) -> State:
        """Give what was known from then on; a failed read says nothing of the status."""
        if self.outcome in (ReadOutcome.ANSWERED, ReadOutcome.NO_CONNECTION):
            return State(Knowledge.ANSWERED, self.outcome, self.status, self.elsewhere)
        return State(Knowledge.SILENT, self.outcome)


@dataclass(frozen=True)
class Lapse:
    """A time in which nobody read a side."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class Stretch:
    """A time over which the same was known; `count` and `parts` tell what a SHORT one is made of."""

    start: datetime
    end: datetime
    state: State
    count: int = 1
    parts: tuple[State, ...] = ()

    @property
    def length(self) -> timedelta:
        """Give how long it is."""
        return self.end - self.start


# --- what was known ---------------------------------------------------------------------------------------------


def stretches(
    seen: Sequence[Seen],
    lapses: Sequence[Lapse],
    *,
    window: Window,
    known_until: datetime,
    looked_up_from: datetime | None = None,
) -> tuple[Stretch, ...]:
    """Divide a window by what was known of a side: each line of history holds until the next, or until nobody looked.

    `seen` and `lapses` are in order of time; from `known_until` on nobody has looked. What was before
    `looked_up_from` is saved, and not among them.
    """
    here_from = looked_up_from or window.start
    moments = [line.at for line in seen]
    began = [lapse.since for lapse in lapses]
    ended = list(accumulate((lapse.until for lapse in lapses), max))

    def state_at(moment: datetime) -> State:
        lines, gone = bisect_right(moments, moment), bisect_right(began, moment)
        if moment < here_from:
            return State(Knowledge.UNDRAWN)
        if not lines:
            return State(Knowledge.BEFORE)
        if moment >= known_until or (gone and ended[gone - 1] > moment):
            return State(Knowledge.UNREAD)
        return seen[lines - 1].state

    turns = {*moments, *began, *ended, known_until, here_from}
    edges = [window.start, *sorted(turn for turn in turns if window.start < turn < window.end), window.end]
    pieces = [(start, end, state_at(start)) for start, end in pairwise(edges)]
    runs = (list(run) for _, run in groupby(pieces, key=lambda piece: piece[2]))
    return tuple(Stretch(run[0][0], run[-1][1], run[0][2]) for run in runs)


# --- the table --------------------------------------------------------------------------------------------------

TOGETHER = timedelta(minutes=1)
"""The sides are read one after the other: what both show within this time is told as one."""


@dataclass(frozen=True)
class Span:
    """A row of the table: from when to when, and what was known of each side."""

    start: datetime
    end: datetime
    sides: tuple[Stretch, ...]


def spans(lanes: Sequence[Sequence[Stretch]]) -> list[Span]:
    """Give what was known of all sides, a row for each turn of any; a side that follows within a minute adds none."""
    edges = sorted({moment for lane in lanes for each in lane for moment in (each.start, each.end)})
    found: list[Span] = []
    waiting: datetime | None = None
    for start, end in pairwise(edges):
        span = Span(start, end, tuple(_at(lane, start) for lane in lanes))
        if waiting is None and _is_on_the_way(span):
            waiting = start
            continue
        found.append(replace(span, start=waiting or start))
        waiting = None
    return found


def _at(lane: Sequence[Stretch], moment: datetime) -> Stretch:
    return lane[bisect_right(lane, moment, key=lambda stretch: stretch.start) - 1]


def _is_on_the_way(span: Span) -> bool:
    """Tell whether one side has turned, the other is about to, and nothing both began and ended meanwhile."""
    lasting = all(side.start < span.start or side.end > span.end for side in span.sides)
    return span.end - span.start < TOGETHER and lasting
