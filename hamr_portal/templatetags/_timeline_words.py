"""How is the past of both sides told in words: in the table of a timeline, and to who does not see the picture?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hamr_portal.domain.connections import name_of
from hamr_portal.domain.timeline import TOGETHER, Knowledge, Seen, Span, State, Stretch, Window

from ._looks import read_words

if TYPE_CHECKING:
    from hamr_portal.models import Change
    from hamr_portal.services.timeline import Lane, Timeline

_MOST_TOLD = 6
"""So many stretches of a lane are told one by one to a screen reader before the table."""

_WORDS = {Knowledge.UNREAD: "Not read", Knowledge.BEFORE: "Not read yet", Knowledge.UNDRAWN: "Not drawn"}


@dataclass(frozen=True)
class Line:
    """A row of the table."""

    start: str
    end: str
    sides: tuple[tuple[str, str], ...]
    """Site and words of each."""

    sent: tuple[tuple[int, Change], ...]
    outside: tuple[tuple[str, Seen], ...]


def words_of(state: State) -> str:
    """Give what was known in one or two words: a status, what came of asking, or that nobody asked."""
    if state.outcome is None:
        return _WORDS[state.knowledge]
    if state.knowledge is Knowledge.SILENT:
        return read_words(state.outcome)
    return name_of(state.status) if state.status is not None else "No connection"


def day(moment: datetime) -> str:
    """Give a day without its year: no timeline goes back that far."""
    return f"{moment.day} {moment:%b}"


def clock(moment: datetime, beside: datetime, *, seconds: bool = False) -> str:
    """Give a moment, with its day where that is not the day of the other one."""
    moment, beside = moment.astimezone(UTC), beside.astimezone(UTC)
    time = f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"
    return time if moment.date() == beside.date() else f"{day(moment)} {time}"


def told(stretch: Stretch) -> str:
    """Give all that is to be said of a stretch but its times."""
    if stretch.parts:
        return f"{stretch.count} short stretches: {', '.join(dict.fromkeys(map(words_of, stretch.parts)))}"
    elsewhere = f", connected to {stretch.state.elsewhere}" if stretch.state.elsewhere else ""
    return f"{words_of(stretch.state)}{elsewhere}"


def line(span: Span, timeline: Timeline) -> Line:
    """Give a row of the table, with what was done in its time; to the second where it is shorter than a minute."""
    end = timeline.window.end
    short = span.end - span.start < TOGETHER
    start = f"{day(span.start.astimezone(UTC))} {clock(span.start, span.start, seconds=short)}"
    is_last = span.end == end

    def within(moment: datetime) -> bool:
        return span.start <= moment < span.end or (is_last and moment == end)

    numbered = enumerate(timeline.changes, start=1)
    return Line(
        start=start,
        end="now" if is_last else clock(span.end, span.start, seconds=short),
        sides=tuple(
            (lane.organization.site, told(each)) for lane, each in zip(timeline.lanes, span.sides, strict=True)
        ),
        sent=tuple((number, change) for number, change in numbered if change.sent_at and within(change.sent_at)),
        outside=tuple(
            (lane.organization.site, line) for lane in timeline.lanes for line in lane.outside if within(line.at)
        ),
    )


def description(timeline: Timeline) -> str:
    """Say in words what the picture says; where that would be long, what holds now."""
    first, *others = timeline.lanes
    if others and _is_alike(first.stretches, others[0].stretches):
        said = [f"Both sides: {_lane_words(first, timeline.window)}"]
    else:
        said = [f"{lane.organization.name}: {_lane_words(lane, timeline.window)}" for lane in timeline.lanes]
    if sent := len(timeline.changes):
        said.append(f"{sent} change{'s' if sent > 1 else ''} sent from here")
    if outside := sum(len(lane.outside) for lane in timeline.lanes):
        said.append(f"Changed outside the portal: seen {outside} time{'s' if outside > 1 else ''}")
    return ". ".join(said) + "."


def _is_alike(one: tuple[Stretch, ...], other: tuple[Stretch, ...]) -> bool:
    return len(one) == len(other) and all(
        told(each) == told(across) and abs(each.start - across.start) < TOGETHER
        for each, across in zip(one, other, strict=True)
    )


def _lane_words(lane: Lane, window: Window) -> str:
    first, *rest = lane.stretches
    if len(rest) >= _MOST_TOLD:
        last = rest[-1]
        return f"{len(lane.stretches)} stretches, the last {told(last)} since {clock(last.start, window.end)}"
    return "; ".join([told(first), *(f"from {clock(each.start, window.end)} {told(each)}" for each in rest)])


def took_effect_later(change: Change) -> bool:
    """Tell whether a change was written there more than a minute after it was sent."""
    sent, written = change.sent_at, change.applied_modified_at
    return sent is not None and written is not None and written - sent > TOGETHER


def number_of(timeline: Timeline, change: Change) -> int | None:
    """Give the number of a change's pin; None where it has none."""
    return timeline.numbers.get(change.pk)
