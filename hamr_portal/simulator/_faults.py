"""What can go wrong, under which name, and which faults stand at the moment?"""

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import _effects as effects
from ._api import HAMR
from ._http import Answer, Request

VERBS = ("GET", "POST", "ANY")
REFUSE = "refuse"
LATE = "late"


@dataclass(frozen=True)
class Kind:
    """One thing that can go wrong."""

    says: str
    alter: Callable[..., Answer]  # the good answer (or the request), and options by keyword
    acts: bool = False  # whether a POST takes effect nevertheless
    paths: tuple[str, ...] = ()  # where alone it can happen; empty: everywhere
    of_request: bool = False  # whether the answer is made of the request


def _late(answer: Answer, *, seconds: float = 30) -> Answer:
    del seconds  # the simulator's agenda has read it
    return effects.drop(answer)


KINDS: Mapping[str, Kind] = {
    "hang": Kind("never answers", effects.hang),
    "drip_headers": Kind("answers a byte at a time", effects.drip_headers, acts=True),
    "drip_body": Kind("sends the body a byte at a time", effects.drip_body, acts=True),
    "drop_before": Kind("reads the request, does nothing, closes", effects.drop),
    "drop_after": Kind("does what was asked, then closes without an answer", effects.drop, acts=True),
    "reset": Kind("reads the request, does nothing, resets the connection", effects.reset),
    "late": Kind("closes now and does what was asked some seconds later", _late, paths=(HAMR,)),
    "truncated": Kind("sends half of the body", effects.truncated, acts=True),
    "huge": Kind("sends a body without an end", effects.huge, acts=True),
    "many_headers": Kind("sends thousands of headers", effects.many_headers, acts=True),
    "html": Kind("sends a proxy's page", effects.html),
    "invalid_json": Kind("sends a body that is not JSON", effects.invalid_json, acts=True),
    "wrong_schema": Kind("sends attributes of a wrong type, or none", effects.wrong_schema, acts=True, paths=(HAMR,)),
    "unknown_status": Kind("names status 6, or another number", effects.other_status, acts=True, paths=(HAMR,)),
    "not_applied": Kind("echoes what was asked and does not do it", lambda answer: answer, paths=(HAMR,)),
    "wrong_organization": Kind("answers for another organization", effects.wrong_organization),
    "exactly": Kind("sends the given status, body, content_type and headers", effects.exactly),
    "null": Kind("says null for the connection", effects.nothing, paths=(HAMR,)),
    "400": Kind("refuses the body", effects.bad_request, paths=(HAMR,)),
    "echo": Kind("refuses and repeats the keys, plain and escaped", effects.echo, of_request=True),
    "401": Kind("refuses the API key", effects.unauthorized),
    "403": Kind("refuses the application key or permission", effects.forbidden),
    "404": Kind("says that there is no connection", effects.not_found, paths=(HAMR,)),
    "409": Kind("refuses because of the state", effects.conflict, paths=(HAMR,)),
    "429": Kind("refuses because of too many requests", effects.rate_limited),
    "500": Kind("fails", effects.server_error),
    "503": Kind("is not available, or fails with the given status", effects.unavailable),
    "redirect": Kind("sends the client elsewhere", effects.redirect),
}
NAMES = (REFUSE, *KINDS)


@dataclass
class Fault:
    """One fault that stands for an organization."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    times: int | None = None  # how many more requests it spoils; None: all
    acts: bool = False

    def spoil(self, answer: Answer, request: Request) -> Answer:
        """Make of a good answer, or of the request, what this fault makes of it."""
        kind = KINDS[self.name]
        altered: Answer = kind.alter(request if kind.of_request else answer, **self.options)
        return altered

    def concerns(self, request: Request) -> bool:
        """Say whether this fault can happen at the request's path."""
        paths = KINDS[self.name].paths
        return not paths or request.path.partition("?")[0] in paths


def make(name: str, *, times: int | None = None, acts: bool | None = None, **options: Any) -> Fault:
    """Make a fault, or explain in a ValueError which names and options there are."""
    if name not in KINDS:
        raise ValueError(f"No fault {name}; there are: {', '.join(NAMES)}.")
    kind = KINDS[name]
    signature = inspect.signature(kind.alter)
    try:
        signature.bind(None, **options)
    except TypeError as error:
        known = [*list(signature.parameters)[1:], "acts", "times"]
        raise ValueError(f"{name}: {error}; options: {', '.join(known)}.") from None
    return Fault(name, options, times, kind.acts if acts is None else acts)


class Faults:
    """The faults that stand, by organization and verb."""

    def __init__(self) -> None:
        self._standing: dict[tuple[str, str], Fault] = {}
        self._lock = threading.Lock()

    def set(self, organization: str, verb: str, fault: Fault | None) -> None:
        """Let a fault stand instead of what stood, or nothing."""
        for each in _verbs(verb):
            with self._lock:
                self._standing.pop((organization, each), None)
                if fault is not None:
                    self._standing[organization, each] = fault

    def take(self, organization: str, request: Request) -> Fault | None:
        """Find the fault that spoils this request, and count it."""
        with self._lock:
            fault = self._standing.get((organization, request.verb))
            if fault is None or fault.times == 0 or not fault.concerns(request):
                return None
            if fault.times is not None:
                fault.times -= 1
            return fault

    def standing(self, organization: str) -> Iterator[tuple[str, str]]:
        """Tell the verb and name of each fault that stands for an organization."""
        with self._lock:
            standing = list(self._standing.items())
        return ((verb, fault.name) for (name, verb), fault in standing if name == organization and fault.times != 0)


def parse(text: str) -> Iterator[tuple[str, str, str]]:
    """Read `NAME[:VERB]:FAULT,...` into organization, verb and fault, or explain in a ValueError what is possible."""
    for word in filter(None, (each.strip() for each in text.split(","))):
        organization, *verb, fault = word.split(":") if word.count(":") in {1, 2} else _misspelled(word)
        _verbs(verb[0] if verb else "ANY")
        if fault not in NAMES:
            raise ValueError(f"No fault {fault}; there are: {', '.join(NAMES)}.")
        yield organization, verb[0] if verb else "ANY", fault


def _misspelled(word: str) -> list[str]:
    raise ValueError(f"{word} is not NAME:FAULT or NAME:VERB:FAULT.")


def _verbs(verb: str) -> tuple[str, ...]:
    if verb not in VERBS:
        raise ValueError(f"No verb {verb}; there are: {', '.join(VERBS)}.")
    return ("GET", "POST") if verb == "ANY" else (verb,)
