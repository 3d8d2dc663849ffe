"""What can be practised? The scenes, what each expects of people, and what went wrong on the way; pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from .audit import Event
from .changes import ChangeStatus
from .connections import HamrStatus
from .organizations import OF_DRILLS, Site, is_loopback
from .pairs import Column

SITES: Mapping[Column, str] = {Column.PRIMARY: f"{OF_DRILLS}us1", Column.SECONDARY: f"{OF_DRILLS}us5"}
"""The two sites of the stage: what is of a drill is on one of them, and nothing else is."""

LASTS = timedelta(hours=2)
"""So long a drill goes on at most: one that somebody forgot must not stand beside the real pairs the next morning."""


# --- the stage --------------------------------------------------------------------------------------------------


def stage(port: int) -> dict[str, Site]:
    """Give the sites of the stage, which is on this machine alone: the primary's at a port, the other at the next."""
    return {name: Site(name, f"http://127.0.0.1:{port + number}") for number, name in enumerate(SITES.values())}


def belongs(site: Site | None, *, is_drill: bool) -> bool:
    """Tell whether an organization may be asked at a site: of a drill on the stage only, and a real one never there."""
    if site is None:
        return False
    has_its_name = site.name in SITES.values()
    return has_its_name is is_drill and (not is_drill or is_loopback(urlsplit(site.base_url).hostname or ""))


def is_on_stage(site: Site, stage: Mapping[str, Site]) -> bool:
    """Tell whether a site's address leads to the stage."""
    parts = urlsplit(site.base_url)
    ports = {urlsplit(each.base_url).port for each in stage.values()}
    return is_loopback(parts.hostname or "") and parts.port in ports


def is_like_a_drill(name: str) -> bool:
    """Tell whether a pair of this name would be taken for a drill's."""
    return re.match(r"drill\b", name.strip(), re.IGNORECASE) is not None


def name_of(number: int, column: Column) -> str:
    """Give the name of one side of a drill's pair: `drill-7-us1`."""
    return f"{OF_DRILLS}{number}-{SITES[column].removeprefix(OF_DRILLS)}"


# --- the scenes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """What goes wrong at one side: a fault of the simulator by its name, for which requests, and how often."""

    side: Column
    name: str
    verb: str = "ANY"
    times: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Goal:
    """What has to be verified in the end: this status, asked of this side; and with `both`, on both sides."""

    status: HamrStatus
    side: Column
    both: bool = False


class Scene(Enum):
    """What happens on the stage: in a word, as people see it, what is expected of them, and how it is staged.

    Both sides begin PASSIVE. `never` is a side that must get no request, `splits` what the primary alone says then.
    """

    REGION_DARK = (
        "Region dark",
        "The primary's site stops answering. What it said last was PASSIVE.",
        "Set the secondary to FAILOVER, and see it verified there. Send nothing to the dark side.",
        Goal(HamrStatus.FAILOVER, Column.SECONDARY),
        (Fault(Column.PRIMARY, "refuse"),),
        Column.PRIMARY,
    )
    LATE_ANSWER = (
        "Late answer",
        "Both sides answer. A request takes effect, but its answer does not come in time.",
        "Set the secondary to FAILOVER. While the outcome is unknown send nothing more, and leave the lock closed:"
        " wait until it is read back.",
        Goal(HamrStatus.FAILOVER, Column.SECONDARY, both=True),
        tuple(Fault(side, "hang", "POST", 1, {"acts": True}) for side in Column),
    )
    SPLIT_VIEW = (
        "Split view",
        "The sides contradict each other: the primary says ACTIVE, the secondary PASSIVE.",
        "Find out which side was changed last, and set that one back to PASSIVE, so that both agree.",
        Goal(HamrStatus.PASSIVE, Column.PRIMARY, both=True),
        (),
        None,
        HamrStatus.ACTIVE,
    )
    RATE_LIMITED = (
        "Rate limited",
        "Both sides answer. A request is refused with HTTP 429, and with how long to wait.",
        "Set the secondary to FAILOVER. When it is refused, wait as long as it says, preview again, send once more.",
        Goal(HamrStatus.FAILOVER, Column.SECONDARY, both=True),
        tuple(Fault(side, "429", "POST", 1, {"retry_after": 30, "reset": 30}) for side in Column),
    )
    KEY_REFUSED = (
        "Key refused",
        "Both sides answer, but the secondary's keys may not write: a request there is refused with HTTP 403.",
        "Ask for FAILOVER. When the secondary refuses it, do not ask there again: ask the primary,"
        " and see both sides read back.",
        Goal(HamrStatus.FAILOVER, Column.PRIMARY, both=True),
        (Fault(Column.SECONDARY, "403", "POST", None, {"detail": "The key lacks disaster_recovery_status_write."}),),
    )

    def __init__(
        self,
        title: str,
        sees: str,
        expected: str,
        goal: Goal,
        faults: tuple[Fault, ...],
        never: Column | None = None,
        splits: HamrStatus | None = None,
    ) -> None:
        self.title = title
        self.sees = sees
        self.expected = expected
        self.goal = goal
        self.faults = faults
        self.never = never
        self.splits = splits


# --- the debrief ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """A change of a drill as far as it went: `settled_at` is when it was verified or refused.

    `again_at` is when it might be sent again, as its answer said; `agrees` is whether both sides were seen to show it.
    """

    number: int
    side: Column
    target: HamrStatus
    status: ChangeStatus
    sent_at: datetime | None = None
    settled_at: datetime | None = None
    http_status: int | None = None
    again_at: datetime | None = None
    agrees: bool = False


def reached_at(scene: Scene, changes: Iterable[Sent]) -> datetime | None:
    """Give when the goal of a scene was first reached; None: not yet."""
    goal = scene.goal
    moments = [
        change.settled_at
        for change in changes
        if (change.target, change.side, change.status) == (goal.status, goal.side, ChangeStatus.VERIFIED)
        and (change.agrees or not goal.both)
        and change.settled_at is not None
    ]
    return min(moments, default=None)


class WrongTurn(Enum):
    """What does not lead to the goal, or would be dangerous in earnest: the words people read."""

    NAME = "A wrong name was typed"
    INCOMPLETE = "Something was missing"
    STALE = "The preview was not that of the moment"
    FORBIDDEN = "A check forbade it"
    WHILE_OPEN = "A second change, while one was open"
    NOT_ALLOWED = "Not for this person to do"
    CANCELLED = "Cancelled"
    WRONG_SIDE = "Sent to the side that should get nothing"
    OTHER_STATUS = "Another status was asked for"
    TOO_SOON = "Sent again before it was time"
    REFUSED_AGAIN = "Sent again to a side that refuses its keys"
    LOCK_OPENED = "The lock was opened while nobody knew the outcome"


@dataclass(frozen=True)
class Happened:
    """An entry of the record, as far as it tells of a wrong turn; `problems` are those of what was typed.

    `by_drill`: nobody did it, but the drill ended.
    """

    at: datetime
    event: str
    who: str
    change: int | None = None
    problems: frozenset[str] = frozenset()
    by_drill: bool = False


@dataclass(frozen=True)
class Turn:
    """One wrong turn: when, whose, and in which change, if in one."""

    at: datetime
    what: WrongTurn
    who: str = ""
    change: int | None = None


_REFUSED: Mapping[str, WrongTurn] = {
    Event.CHANGE_INCOMPLETE: WrongTurn.INCOMPLETE,
    Event.CHANGE_STALE: WrongTurn.STALE,
    Event.CHANGE_TOKEN: WrongTurn.STALE,
    Event.CHANGE_REFUSED: WrongTurn.FORBIDDEN,
    Event.CHANGE_BUSY: WrongTurn.WHILE_OPEN,
    Event.ACCESS_DENIED: WrongTurn.NOT_ALLOWED,
    Event.APPROVAL_OF_OWN: WrongTurn.NOT_ALLOWED,
    Event.CHANGE_CANCELLED: WrongTurn.CANCELLED,
    Event.CHANGE_RESOLVED: WrongTurn.LOCK_OPENED,
}
_WRONG_NAMES = frozenset({"NAME_WRONG", "NAME_OF_OTHER_SIDE"})


def wrong_turns(scene: Scene, happened: Iterable[Happened], changes: Sequence[Sent]) -> list[Turn]:
    """Give every wrong turn, in the order of the moments."""
    turns = [*_refused(happened), *_misdirected(scene, changes), *_repeated(changes)]
    return sorted(turns, key=lambda turn: turn.at)


def _refused(happened: Iterable[Happened]) -> Iterator[Turn]:
    for entry in happened:
        what = WrongTurn.NAME if entry.problems & _WRONG_NAMES else _REFUSED.get(entry.event)
        if what is not None and not entry.by_drill:
            yield Turn(entry.at, what, entry.who, entry.change)


def _misdirected(scene: Scene, changes: Iterable[Sent]) -> Iterator[Turn]:
    """Say what went to the wrong side, or asked for another status than the scene does before its goal was reached."""
    reached = reached_at(scene, changes := list(changes))
    for change in changes:
        if change.sent_at is None:
            continue
        if change.side is scene.never:
            yield Turn(change.sent_at, WrongTurn.WRONG_SIDE, change=change.number)
        if change.target is not scene.goal.status and (reached is None or change.sent_at < reached):
            yield Turn(change.sent_at, WrongTurn.OTHER_STATUS, change=change.number)


def _repeated(changes: Sequence[Sent]) -> Iterator[Turn]:
    """Say what was sent again to a side that had said when, or that its keys may not."""
    sent = sorted((each for each in changes if each.sent_at is not None), key=lambda each: each.number)
    for number, change in enumerate(sent):
        before = [each for each in sent[:number] if each.side is change.side and each.status is ChangeStatus.REJECTED]
        assert change.sent_at is not None  # noqa: S101 - filtered above
        if any(each.again_at is not None and change.sent_at < each.again_at for each in before):
            yield Turn(change.sent_at, WrongTurn.TOO_SOON, change=change.number)
        if any(each.http_status in (401, 403) for each in before):
            yield Turn(change.sent_at, WrongTurn.REFUSED_AGAIN, change=change.number)
