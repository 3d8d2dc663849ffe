"""What is news, who is to hear of it, when is it tried again, and when has a verdict lasted long enough to be told?

Tables and pure functions; `now` and chance are arguments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

from .changes import ChangeStatus, Move
from .findings import Group, Verdict
from .organizations import Secret
from .people import Action


class Kind(StrEnum):
    """What a piece of news is about, the most urgent first: of several, that one is the subject of the message."""

    VERDICT = "VERDICT"
    UNKNOWN = "UNKNOWN"
    BREAK_GLASS = "BREAK_GLASS"
    APPROVAL = "APPROVAL"
    OUTSIDE = "OUTSIDE"
    CHANGE = "CHANGE"
    OVER = "OVER"
    PEOPLE = "PEOPLE"
    TEST = "TEST"


TOLD: Mapping[Kind, tuple[Action, ...]] = {
    Kind.VERDICT: (Action.CHANGE_STATUS,),
    Kind.OVER: (Action.CHANGE_STATUS,),
    Kind.APPROVAL: (Action.APPROVE_CHANGES,),
    Kind.CHANGE: (Action.CHANGE_STATUS, Action.APPROVE_CHANGES),
    Kind.UNKNOWN: (Action.CHANGE_STATUS,),
    Kind.BREAK_GLASS: (Action.APPROVE_CHANGES, Action.MANAGE_PEOPLE),
    Kind.OUTSIDE: (Action.ACKNOWLEDGE_OUTSIDE,),
    Kind.PEOPLE: (Action.MANAGE_PEOPLE,),
    Kind.TEST: (Action.SEE_NEWS,),
}
"""Who gets a mail: everybody whose role allows any of these, for they can do something about it."""

BY_MAIL_ONLY = frozenset({Kind.PEOPLE})
"""What is done to people is the admins' business; a chat room has other readers too."""

_OF_MOVES: Mapping[Move, Kind] = {
    Move.ASK: Kind.APPROVAL,
    Move.SKIP_APPROVAL: Kind.BREAK_GLASS,
    Move.LOSE: Kind.UNKNOWN,
    Move.ABANDON: Kind.UNKNOWN,
    Move.RESTORE: Kind.UNKNOWN,
    Move.DOUBT: Kind.UNKNOWN,
}


def kind_of(by_way_of: Move, before: str) -> Kind | None:
    """Give what kind of news a move of a change is; None where nobody need hear of it."""
    never_asked_for = before == ChangeStatus.PREPARED and by_way_of in (Move.CANCEL, Move.EXPIRE)
    # Accepted is only on the way: what it reads back is told.
    if never_asked_for or by_way_of is Move.ACCEPT:
        return None
    return _OF_MOVES.get(by_way_of, Kind.CHANGE)


# --- telling ----------------------------------------------------------------------------------------------------

GATHERED_FOR = timedelta(seconds=5)
"""So long a piece of news waits for others that go with it."""

PAUSE = timedelta(seconds=30)
"""So long a channel is left alone after a message; what happens meanwhile goes together in the next one."""

MOST_TRIES = 14
"""After so many tries, about four hours, a message is given up: by then people have found out."""

LATE_AFTER = timedelta(minutes=2)
"""From this age on, a message says that it is late."""

_SHORTEST_WAIT, _LONGEST_WAIT = 5.0, 3600.0


def wait_after(tries: int, *, chance: float) -> timedelta:
    """Give how long to wait after so many tries: 5 s, doubled each time up to 1 h; `chance` (0 to 1) takes off half."""
    seconds = min(_SHORTEST_WAIT * 2 ** (tries - 1), _LONGEST_WAIT)
    return timedelta(seconds=seconds * (1 - chance / 2))


FARTHEST_WAIT = timedelta(seconds=2 * _LONGEST_WAIT)
"""What is to be tried later than this was put off by a clock that ran ahead."""


class InvalidAddresses(ValueError):
    """`NOTIFY_URLS` cannot be read. The text says which one, and never repeats it."""


# An address may hold commas itself: only one before the next scheme parts two.
_BETWEEN = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+]*://)|\s+")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+]*://[!-~]+")


def addresses_in(text: str) -> list[Secret]:
    """Give the addresses of a setting, each once; they are apart by commas or spaces. Raises `InvalidAddresses`."""
    found = [part.strip(",") for part in _BETWEEN.split(text.strip()) if part.strip(",")]
    for number, address in enumerate(found, 1):
        if not _ADDRESS.fullmatch(address):
            raise InvalidAddresses(f"number {number} is no address of apprise, such as slack://… or json://….")
    return [Secret(address) for address in dict.fromkeys(found)]


def short_address(url: str) -> str:
    """Give what may be shown of where news goes: the scheme, and of the first part behind it both ends: `slack://T…x`.

    In many of these addresses the host is a token, and everything behind it is.
    """
    scheme, _, rest = url.partition("://")
    first = rest.partition("/")[0].partition("?")[0].rpartition("@")[2].partition(":")[0]
    return f"{scheme.lower()}://{first[:1]}…{first[-1:]}"


# --- verdicts ---------------------------------------------------------------------------------------------------


class Lean(StrEnum):
    """How what is seen compares with what was told."""

    LEVEL = ""
    WORSE = "WORSE"
    BETTER = "BETTER"


LASTS: Mapping[Lean, timedelta] = {Lean.WORSE: timedelta(seconds=10), Lean.BETTER: timedelta(minutes=5)}
"""So long it has to be so until it is told. A pair that comes and goes is told of once, and once when that is over."""


def telling(verdict: Verdict) -> Verdict | None:
    """Give a verdict that people are called for; of an unknown outcome they hear from the change itself."""
    called_for = verdict.group is Group.NEED_ACTION and verdict is not Verdict.OUTCOME_UNKNOWN
    return verdict if called_for else None


def lean_of(told: Verdict | None, seen: Verdict | None) -> Lean:
    """Compare what is seen with what was told; None is nothing that people are called for."""
    if told is seen:
        return Lean.LEVEL
    order = [*Verdict, None]
    return Lean.WORSE if order.index(seen) < order.index(told) else Lean.BETTER
