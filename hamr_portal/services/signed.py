"""What does the record say of the life of a change, signed, and what does its log say now?"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import Move, What
from hamr_portal.models import AuditEntry, Change, LogLine, SkipNotice

CONFIRMED = (Event.APPROVAL_ASKED, Event.CHANGE_SENDING)
"""What says who confirmed a change, and what."""

_ANSWER = ("reason", "phase", "http_status", "elapsed_ms", "retry_after", "raw")
_ANSWERS = ("NOT_SENT", "REJECT", "ACCEPT", "LOSE")
_VIEW = ("has_connection", "status", "is_primary", "modified_by")
_MOVES = {move.name: move.event for move in Move}

_CLOSE = timedelta(minutes=1)
"""A row's moment is taken just before its entry's, and a busy database lies between; the entry's is the one shown."""

_LONGEST = 200
"""Characters of what differs, side by side; what was signed stands in its place as a whole."""

_NOTHING = (None, "", False)


@dataclass(frozen=True)
class Difference:
    """Something of which the rows say something else now than what was signed."""

    name: str
    signed: str
    now: str


@dataclass
class Held:
    """What came of holding a change against its entries: what differs, and what is signed of it and of its log.

    `unsigned` names what rests on no entry; `lines` are the keys of the lines of its log that rest on one.
    """

    differences: list[Difference] = field(default_factory=list)
    unsigned: set[str] = field(default_factory=set)
    lines: set[int] = field(default_factory=set)

    def differs(self, name: str, signed: object, now: object) -> None:
        """Put down that something is not as it was signed."""
        self.differences.append(Difference(name, _words(signed), _words(now)))

    def rests_on_nothing(self, name: str, now: object, *, is_told: bool) -> None:
        """Put down that the rows say something for which there is no entry; `is_told`: there would have to be one."""
        if now in _NOTHING:
            return
        self.unsigned.add(name)
        if is_told:
            self.differs(name, None, now)


def data(entry: AuditEntry | None) -> Mapping[str, Any]:
    """Give what a genuine entry tells in particular."""
    told: Mapping[str, Any] = json.loads(entry.data) if entry is not None else {}
    return told


def first(entries: Iterable[AuditEntry], *events: Event) -> AuditEntry | None:
    """Give the first entry of one of these events."""
    return next((entry for entry in entries if entry.event in events), None)


def hold_log(
    change: Change, lines: Sequence[LogLine], notices: Iterable[SkipNotice], genuine: Sequence[AuditEntry], held: Held
) -> None:
    """Make a change's log and its notices say what its genuine entries say, and put down what was otherwise."""
    _before(change, lines, genuine, held)
    _moves(lines, genuine, held)
    _readings(change, lines, genuine, held)
    _seen(notices, genuine, held)


# --- its log ----------------------------------------------------------------------------------------------------


def _before(change: Change, lines: Sequence[LogLine], genuine: Sequence[AuditEntry], held: Held) -> None:
    signed = data(first(genuine, *CONFIRMED)).get("from")
    own = (line for line in lines if line.what == What.PREVIEWED and line.organization_id == change.organization_id)
    line = next(own, None)
    if line is not None and signed is not None and line.status != signed:
        held.differs("status before", signed, line.status)
        line.status = signed


def _moves(lines: Sequence[LogLine], genuine: Sequence[AuditEntry], held: Held) -> None:
    """Hold each move in the log against its entry: they were written together, so that they come in one order."""
    left: dict[str, deque[AuditEntry]] = {}
    for entry in genuine:
        if data(entry).keys() & {"after", "too_late_for"}:
            left.setdefault(entry.event, deque()).append(entry)
    for line in lines:
        if line.what != What.MOVED:
            continue
        entries = left.get(_MOVES.get(line.move, ""))
        if not entries:
            held.rests_on_nothing("what happened", line.move or "a line", is_told=bool(genuine))
            continue
        held.lines.add(line.pk)
        _move(line, entries.popleft(), held)
    for entry in (entry for entries in left.values() for entry in entries):
        held.differs("what happened", f"entry {entry.seq}, {entry.event}", None)


def _move(line: LogLine, entry: AuditEntry, held: Held) -> None:
    told = data(entry)
    if line.by != entry.actor_name:
        held.differs("who did it", f"{entry.actor_name} (entry {entry.seq})", line.by)
        line.by = entry.actor_name
    at = _moment(told.get("seen_at")) or entry.at
    if not is_close(line.at, at):
        held.differs("when it happened", f"{_words(at)} (entry {entry.seq})", line.at)
    line.at = at
    if "seen_at" not in told:
        return
    for name in _ANSWER:
        now, signed = getattr(line, name), told.get(name)
        if now != signed:
            held.differs(f"answer: {name.replace('_', ' ')}", signed, now)
            setattr(line, name, signed)


def _readings(change: Change, lines: Sequence[LogLine], genuine: Sequence[AuditEntry], held: Held) -> None:
    """Hold the last reading before each move that rests on one against what its entry says was read back."""
    settled = deque(entry for entry in genuine if isinstance(data(entry).get("reads_back"), dict))
    read: LogLine | None = None
    for line in lines:
        if line.what == What.READ_BACK and line.organization_id == change.organization_id:
            read = line
        if not settled or line.move in _ANSWERS or _MOVES.get(line.move) != settled[0].event:
            continue
        signed = data(settled.popleft())["reads_back"]
        if read is None:
            held.differs("what was read back", signed.get("status"), None)
            continue
        held.lines.add(read.pk)
        _view(read, signed, held)


def _view(line: LogLine, signed: Mapping[str, Any], held: Held) -> None:
    at = _moment(signed.get("modified_at"))
    if line.modified_at != at:
        held.differs("read back: modified at", at, line.modified_at)
        line.modified_at = at
    for name in _VIEW:
        if getattr(line, name) != signed.get(name):
            held.differs(f"read back: {name.replace('_', ' ')}", signed.get(name), getattr(line, name))
            setattr(line, name, signed.get(name))


def _seen(notices: Iterable[SkipNotice], genuine: Sequence[AuditEntry], held: Held) -> None:
    entries = {entry.actor_name.casefold(): entry for entry in genuine if entry.event == Event.SKIP_SEEN}
    for notice in notices:
        entry, name = entries.get(notice.person.email.casefold()), f"seen by {notice.person.email}"
        if entry is None:
            held.rests_on_nothing(name, notice.seen_at, is_told=bool(genuine))
            continue
        if not is_close(notice.seen_at, entry.at):
            held.differs(name, entry.at, notice.seen_at)
        notice.seen_at = entry.at


# --- in words ---------------------------------------------------------------------------------------------------


def is_close(one: datetime | None, other: datetime) -> bool:
    """Tell whether a row's moment is that of its entry."""
    return one is not None and abs(one - other) <= _CLOSE


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _words(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return str(value)[:_LONGEST] if value not in (None, "") else "nothing"
