"""How is the past of both sides drawn? Places in percent, looks, and labels where they fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hamr_portal.domain import pictures
from hamr_portal.domain.connections import HamrStatus, known_status
from hamr_portal.domain.pictures import Bar, Pin
from hamr_portal.domain.timeline import Knowledge, State, Stretch, Window, spans

from ._timeline_words import Line, clock, day, description, line, words_of

if TYPE_CHECKING:
    from hamr_portal.services.timeline import Lane, Timeline

_NARROW, _MIDDLE, _WIDE = 254, 586, 934
"""How wide the picture is, in CSS pixels: on the narrowest phone, beside the form, and on a wide screen."""

_LETTER = 7.8
"""CSS pixels that a letter takes at most, near enough: 12 px, bold, in capitals."""

_LANE, _TOP = 62, 52
"""CSS pixels from one lane to the next, and from the top to the first bar."""

_MOST_ROWS = 100
"""So many rows the table has, the newest; a shorter range tells the same in fewer."""

_LOOKS = {Knowledge.SILENT: "none", Knowledge.UNREAD: "unread", Knowledge.BEFORE: "unread", Knowledge.SHORT: "short"}
HATCHES = ("onboarding", "failover", "recovery", "none")
_HATCHED = frozenset({*HATCHES, "short"})


@dataclass(frozen=True)
class Piece:
    """One bar: its look, its place in percent, whether it is thin, and a label with the class that hides it in time."""

    look: str
    x: str
    width: str
    is_thin: bool = False
    label: str = ""
    hides: str = ""

    @property
    def fill(self) -> str:
        """Give the hatch, or nothing where the style sheet has a plain colour."""
        return _fill(self.look)


@dataclass(frozen=True)
class Track:
    """One lane as it is drawn: its name, also cut to what a phone has room for, its trouble, its bars and marks."""

    name: str
    short_name: str
    trouble: str
    pieces: tuple[Piece, ...]
    outside: tuple[str, ...]
    y: int
    """Pixels from the top to the bars; the other places count from here."""


@dataclass(frozen=True)
class Tick:
    """A moment below the lanes, and the class of what hides its label where there is no room."""

    x: str
    words: str
    hides: str


@dataclass(frozen=True)
class Flag:
    """A pin: the places of its lines in percent, and the width of its mark in CSS pixels."""

    words: str
    x: str
    lines: tuple[str, ...]
    width: int

    @property
    def left(self) -> int:
        """Give where its mark begins, from its place."""
        return -self.width // 2


@dataclass(frozen=True)
class Look:
    """A line of the key."""

    look: str
    words: str

    @property
    def fill(self) -> str:
        """Give the hatch, or nothing where the style sheet has a plain colour."""
        return _fill(self.look)


@dataclass(frozen=True)
class Drawing:
    """A timeline as a page shows it."""

    description: str
    ticks: tuple[Tick, ...]
    tracks: tuple[Track, ...]
    flags: tuple[Flag, ...]
    key: tuple[Look, ...]
    has_thin: bool
    lines: tuple[Line, ...]
    left_out: int
    """So many older rows are not in the table."""

    hatches = HATCHES

    @property
    def has_outside(self) -> bool:
        """Tell whether a change is marked that the portal did not make."""
        return any(track.outside for track in self.tracks)


def drawn(timeline: Timeline) -> Drawing:
    """Give all that the picture, its key, its description and its table show."""
    window, lanes = timeline.window, timeline.lanes
    states = [state for lane in lanes for each in lane.stretches for state in (each.state, *each.parts)]
    sent = [change.sent_at for change in timeline.changes if change.sent_at is not None]
    rows = spans([lane.stretches for lane in lanes])
    told = rows[-_MOST_ROWS:]
    return Drawing(
        description=description(timeline),
        ticks=tuple(_ticks(timeline)),
        tracks=tuple(_track(lane, window, _TOP + _LANE * place) for place, lane in enumerate(lanes)),
        flags=tuple(_flag(pin) for pin in pictures.pins(sent, window)),
        key=tuple(_key(states)),
        has_thin=any(state.elsewhere for state in states),
        lines=tuple(line(span, timeline) for span in told),
        left_out=len(rows) - len(told),
    )


# --- the picture ------------------------------------------------------------------------------------------------


def _percent(share: float) -> str:
    return f"{share:.2f}%"


def _fill(look: str) -> str:
    return f"url(#p-{look})" if look in _HATCHED else ""


def _look(state: State) -> str:
    if state.knowledge is not Knowledge.ANSWERED:
        return _LOOKS.get(state.knowledge, "unread")
    if state.status is None:
        return "absent"
    known = known_status(state.status)
    return known.name.lower() if known is not None else "unspecified"


def _track(lane: Lane, window: Window, y: int) -> Track:
    organization = lane.organization
    name, trouble = f"{organization.site} {organization.name}", _trouble(lane.stretches[-1], window)
    marks = dict.fromkeys(round(window.place(line.at), 1) for line in lane.outside)
    return Track(
        name=_cut(name, _MIDDLE, trouble),
        short_name=_cut(name, _NARROW, trouble),
        trouble=trouble,
        pieces=tuple(_piece(bar) for bar in pictures.bars(lane.stretches, window)),
        outside=tuple(_percent(x) for x in marks),
        y=y,
    )


def _trouble(last: Stretch, window: Window) -> str:
    """Give what stands above the end of a lane of which nothing is known now."""
    if not last.state.is_gap:
        return ""
    since = f" since {clock(last.start, window.end)}" if last.start > window.start else ""
    return f"{words_of(last.state)}{since}"


def _cut(name: str, width: int, beside: str) -> str:
    letters = int(width / 6.8) - len(beside) - (2 if beside else 0)
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def _piece(bar: Bar) -> Piece:
    state = bar.stretch.state
    words = f"{bar.stretch.count} short" if state.knowledge is Knowledge.SHORT else words_of(state)
    room = next((hides for width, hides in _ROOMS if bar.width / 100 * width >= _LETTER * len(words) + 14), None)
    label = words if room is not None else ""
    return Piece(_look(state), _percent(bar.x), _percent(bar.width), bool(state.elsewhere), label, room or "")


_ROOMS = ((_NARROW, ""), (_MIDDLE, "tl-sm"), (_WIDE, "tl-lg"))
"""Where a label fits from which width on, and the class that hides it below."""


def _ticks(timeline: Timeline) -> Iterator[Tick]:
    """Give the ticks; on a phone every second has a label, the days first, and none where "now" stands."""
    moments = pictures.ticks(timeline.window, timeline.range.tick)
    first = next((place for place, moment in enumerate(moments) if moment.hour == 0), 0)
    for place, moment in enumerate(moments):
        x = timeline.window.place(moment)
        words = day(moment) if moment.hour == 0 else f"{moment:%H:%M}"
        is_alternate = (place - first) % 2 == 1 or x > 69
        yield Tick(_percent(x), words if x <= 87 else "", "tl-alt" if is_alternate else "")


def _flag(pin: Pin) -> Flag:
    width = 18 if pin.first == pin.last else 8 + 7 * len(pin.words)
    return Flag(pin.words, _percent(pin.x), tuple(map(_percent, pin.lines)), width)


def _key(states: Iterable[State]) -> Iterator[Look]:
    """Name each look that is in the picture; what shares a look shares the line."""
    order = [*(status.name.lower() for status in HamrStatus), "absent", "none", "short", "unread"]
    words: dict[str, dict[str, None]] = {}
    for state in states:
        shown = "Short stretches" if state.knowledge is Knowledge.SHORT else words_of(state)
        words.setdefault(_look(state), {})[shown] = None
    for look in sorted(words, key=order.index):
        yield Look(look, ", ".join(words[look]))
