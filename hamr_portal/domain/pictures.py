"""How does a timeline become a picture? Places and widths in percent, and what would be too small to see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby

from .timeline import Knowledge, State, Stretch, Window

MOST_DRAWN = 150
"""So many stretches of a lane are drawn before shorter ones are drawn as one."""

_TOO_SHORT = ((0.5, 4), (1.0, 2))
"""In percent of the window, and how many in a row are drawn as one: the second where the first is not enough."""


def drawable(found: Sequence[Stretch], window: Window) -> tuple[Stretch, ...]:
    """Give the stretches with runs of very short ones as one each; the last stretch, the present, stays itself."""
    drawn = tuple(found)
    for narrow, run in _TOO_SHORT:
        drawn = (*_joined(found[:-1], window, narrow, run), found[-1])
        if len(drawn) <= MOST_DRAWN:
            break
    return drawn


def _joined(found: Sequence[Stretch], window: Window, narrow: float, run: int) -> Iterator[Stretch]:
    for is_short, each in groupby(found, key=lambda stretch: window.share(stretch.length) < narrow):
        group = list(each)
        if is_short and len(group) >= run:
            parts = tuple(dict.fromkeys(stretch.state for stretch in group))
            yield Stretch(group[0].start, group[-1].end, State(Knowledge.SHORT), len(group), parts)
        else:
            yield from group


NARROWEST = 0.9
"""Percent: a gap, and what holds now, are never narrower, so that they are seen in a month as well."""


@dataclass(frozen=True)
class Bar:
    """A stretch as it is drawn, in percent."""

    stretch: Stretch
    x: float
    width: float


def bars(drawn: Sequence[Stretch], window: Window) -> list[Bar]:
    """Place stretches by their true widths; then, over them, what holds now and the gaps.

    What is too narrow to be seen covers some of its longer neighbour, which itself keeps its place and width.
    """
    placed = [Bar(each, window.place(each.start), window.share(each.length)) for each in drawn]
    widths = [0.0, *(bar.width for bar in placed), 0.0]
    over = [
        _widened(bar, to_the_left=before >= after)
        for bar, before, after in zip(placed, widths, widths[2:], strict=False)
        if bar.stretch.state.is_gap or bar is placed[-1]
    ]
    under = [bar for bar in placed[:-1] if not bar.stretch.state.is_gap]
    return under + sorted(over, key=lambda bar: bar.stretch.state.is_gap)


def _widened(bar: Bar, *, to_the_left: bool) -> Bar:
    missing = max(0.0, NARROWEST - bar.width)
    x = bar.x - missing if to_the_left else bar.x
    width = bar.width + missing
    return replace(bar, x=max(0.0, min(x, 100 - width)), width=width)


@dataclass(frozen=True)
class Pin:
    """One mark for the changes numbered from `first` to `last`, at the place of the first; `lines` has all places."""

    first: int
    last: int
    lines: tuple[float, ...]

    @property
    def x(self) -> float:
        """Give the mark's own place, in percent."""
        return self.lines[0]

    @property
    def words(self) -> str:
        """Give what stands on it."""
        return f"{self.first}" if self.first == self.last else f"{self.first}–{self.last}"


_ROOM = {0: 3.1, 1: 5.0, 2: 7.0}
"""Percent between two pins, by how many of them hold a range: on a phone they alternate between two rows."""

_ONE_LINE = 0.2
"""Percent: nearer lines of one pin are the same line."""


def pins(moments: Iterable[datetime], window: Window) -> list[Pin]:
    """Number changes in the order of time, with those in one pin that would cover each other."""
    found: list[Pin] = []
    for number, moment in enumerate(moments, start=1):
        found.append(Pin(number, number, (window.place(moment),)))
        while len(found) > 1 and found[-1].x - found[-2].x < _room(found[-2], found[-1]):
            last, before = found.pop(), found.pop()
            further = tuple(x for x in last.lines if x - before.lines[-1] >= _ONE_LINE)
            found.append(Pin(before.first, last.last, (*before.lines, *further)))
    return found


def _room(one: Pin, other: Pin) -> float:
    return _ROOM[sum(pin.first != pin.last for pin in (one, other))]


def ticks(window: Window, step: timedelta) -> list[datetime]:
    """Give the moments between the ends that are whole steps of UTC."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    moment = epoch + ((window.start - epoch) // step + 1) * step
    found = []
    while moment < window.end:
        found.append(moment)
        moment += step
    return found
