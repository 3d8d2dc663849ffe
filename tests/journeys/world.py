"""A world to live through quickly: two organizations and their API as a model, a clock, and a process that may die.

Everything of the portal runs as it is; what is replaced is what a test cannot have thousands of: sockets, threads, and
the passing of time. The model tells what is true, so that the portal's record can be held against it.
"""

from __future__ import annotations

import json
import os
import types
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import Move
from hamr_portal.domain.connections import Connection
from hamr_portal.domain.organizations import Credentials, Site, Spelling
from hamr_portal.domain.people import Role
from hamr_portal.hamr_client import Answer, HamrError, OutcomeUnknown, Phase, Rejected
from hamr_portal.models import Change, Organization, Worker
from hamr_portal.services import audit, changes, connections, moves, readings, reconciliation, sending, workers
from hamr_portal.services.connections import Result

BEGIN = datetime(2026, 3, 2, 12, tzinfo=UTC)
NETWORK_TAKES = 0.05
"""Seconds of each request, so that no two things happen at once."""

SIDES = ("us1", "us5")
AUTHORS = ("anna@halden.example", "bo@halden.example")
APPROVERS = ("cleo@halden.example", "dag@halden.example")
PEOPLE = {**dict.fromkeys(AUTHORS, Role.OPERATOR), **dict.fromkeys(APPROVERS, Role.APPROVER)}


class Killed(BaseException):
    """The process is dead: like after SIGKILL, nothing more of it runs, and its open transactions roll back."""


# --- what is true -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """One view of a side as it was from a moment on, and the number of the request that wrote it, if one did."""

    since: float
    connection: Connection
    request: int | None = None


@dataclass
class Sent:
    """One POST that reached the model: for which change, when, and when it took effect, if it did."""

    number: int
    change: int
    site: str
    body: str
    at: float
    applied_at: float | None = None


@dataclass(frozen=True)
class PostFault:
    """What becomes of the next POST: whether and when it acts, and what the client sees."""

    error: Callable[[], HamrError] | None = None
    acts: bool = True
    may_land: bool = False
    lands_at_last: bool = False
    echo: dict[str, Any] = field(default_factory=dict)


@dataclass
class ReadFault:
    """What becomes of the next `times` reads of a side: an error, or the view of some writes ago."""

    error: Callable[[], HamrError] | None = None
    lag: int = 0
    times: int = 1


class World:
    """What is true: both sides' views since the beginning, every request, and the time that really passed."""

    def __init__(self, uuids: Mapping[str, UUID | None], mover: time_machine.Traveller) -> None:
        self._uuids = uuids
        self._mover = mover
        self.elapsed = 0.0
        self.offset = 0.0
        self.mirrors = True
        self.sent: list[Sent] = []
        self.announced_at: dict[int, float] = {}
        self.to_land: list[tuple[Sent, bool]] = []
        self.post_fault = PostFault()
        self.read_faults: dict[str, ReadFault] = {}
        self.views: dict[str, list[Written]] = {side: [] for side in SIDES}
        # What the portal does at this moment, for the checks that are made at the wire.
        self.sending: list[int] = []
        self.at_the_wire: Callable[[int], None] = lambda _change: None
        self.learnt: Callable[[list[Result]], Callable[[], None]] = lambda _results: lambda: None
        # What is about to go wrong: each counts down the events until it happens.
        self.dies_in: int | None = None
        self.meanwhile: tuple[int, Callable[[], None]] | None = None
        self.stalls_for = 0.0
        self.database_errors = {"intent": 0, "result": 0}
        self.open_transactions = len(connection.atomic_blocks)
        for side in SIDES:
            self._put(side, self._begins(side, self.across(side)), None)
        self._set_clock()

    def _begins(self, side: str, target: str) -> Connection:
        own = self._uuids[side]
        assert own is not None
        return Connection(
            organization_uuid=own,
            status=2,
            is_primary=side == SIDES[0],
            modified_at=BEGIN,
            modified_by="jonas.weber@halden.example",
            target_uuid=self._uuids[target],
            target_name=f"side-{target}",
            target_datacenter=target,
            own_datacenter="",
            spelling=Spelling.SNAKE_CASE,
        )

    # --- time -----------------------------------------------------------------------------------------------

    def pass_time(self, seconds: float) -> None:
        """Let time pass, for everybody."""
        self.elapsed += seconds
        self._set_clock()

    def set_clock_by(self, seconds: float) -> None:
        """Set the portal's clock forward or back; no time passes, and the API's clock stays right."""
        self.offset += seconds
        self._set_clock()

    def _set_clock(self) -> None:
        self._mover.move_to(BEGIN + timedelta(seconds=self.elapsed + self.offset))

    # --- writes ---------------------------------------------------------------------------------------------

    def across(self, side: str) -> str:
        return SIDES[1] if side == SIDES[0] else SIDES[0]

    def now_at(self, side: str) -> Written:
        return self.views[side][-1]

    def write_aside(self, side: str, status: int, by: str, *, on_both: bool) -> None:
        """Change a status as somebody outside of the portal would."""
        self._write(side, {"status": status, "modified_by": by}, None, mirrored=on_both)

    def land(self, position: int = 0) -> None:
        """Let a request that was lost take effect now."""
        sent, _ = self.to_land.pop(position)
        self._apply(sent)

    def _apply(self, sent: Sent) -> None:
        attributes = json.loads(sent.body)["data"]["attributes"]
        asked = {
            "status": attributes["hamr_status"],
            "is_primary": attributes["is_primary"],
            "modified_by": attributes["modified_by"],
            "target_uuid": UUID(attributes["target_org_uuid"]),
            "target_name": attributes["target_org_name"],
            "target_datacenter": attributes["target_org_datacenter"],
        }
        self._write(sent.site, asked, sent, mirrored=self.mirrors)
        sent.applied_at = self.elapsed

    def _write(self, side: str, asked: dict[str, Any], sent: Sent | None, *, mirrored: bool) -> None:
        self.pass_time(0.001)  # so that a moment belongs to one write
        moment = BEGIN + timedelta(seconds=self.elapsed)
        self._put(side, replace(self.now_at(side).connection, modified_at=moment, **asked), sent)
        if mirrored:
            across = self.across(side)
            same = {"status": asked["status"], "modified_by": asked["modified_by"]}
            self._put(across, replace(self.now_at(across).connection, modified_at=moment, **same), sent)

    def _put(self, side: str, seen: Connection, sent: Sent | None) -> None:
        self.views[side].append(Written(self.elapsed, seen, sent.number if sent is not None else None))

    def written_as(self, side: str, seen: Connection) -> Written:
        """Give which write a view of a side shows."""
        return next(each for each in reversed(self.views[side]) if each.connection == seen)

    # --- the portal's process -------------------------------------------------------------------------------

    def event(self) -> None:
        """Come past a point at which the process may die."""
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in <= 0:
                self.dies_in = None
                raise Killed

    def on_the_wire(self) -> None:
        """Come past a request: time passes, something else may happen meanwhile, and no transaction is open."""
        assert len(connection.atomic_blocks) == self.open_transactions, "a transaction is open on the wire"
        self.pass_time(NETWORK_TAKES)
        self.event()
        if self.meanwhile is not None:
            count, do = self.meanwhile
            self.meanwhile = (count - 1, do) if count > 1 else None
            if count <= 1:
                do()

    def database_fails(self, at: str) -> None:
        """Come past a transaction that the database may not take."""
        if self.database_errors[at]:
            self.database_errors[at] -= 1
            raise OperationalError("the database is gone")

    def nothing_goes_wrong(self) -> None:
        """Let everything work from here on."""
        self.post_fault, self.read_faults = PostFault(), {}
        self.dies_in = self.meanwhile = None
        self.stalls_for = 0.0
        self.database_errors = {"intent": 0, "result": 0}


class ModelClient:
    """Stands where the HAMR client stands, and asks the model instead of the network."""

    def __init__(self, world: Callable[[], World]) -> None:
        self._world = world

    def read(self, site: Site, credentials: Credentials, *, seconds: float) -> Answer:
        del credentials, seconds
        world = self._world()
        world.on_the_wire()
        fault = world.read_faults.get(site.name)
        shown = world.now_at(site.name)
        if fault is not None:
            fault.times -= 1
            if not fault.times:
                del world.read_faults[site.name]
            if fault.error is not None:
                raise fault.error()
            views = world.views[site.name]
            shown = views[max(0, len(views) - 1 - fault.lag)]
        return Answer(shown.connection, str(world.elapsed), 200, 50)

    def write(self, site: Site, credentials: Credentials, body: bytes, *, seconds: float) -> Answer:
        del credentials, seconds
        world = self._world()
        fault, world.post_fault = world.post_fault, PostFault()
        world.event()
        assert len(connection.atomic_blocks) == world.open_transactions, "a transaction is open on the wire"
        if fault.error is not None and not fault.may_land and not fault.acts:
            raise self._refused(fault.error, site, body)
        sent = self._arrives(site, body)
        if fault.may_land:
            world.to_land.append((sent, fault.lands_at_last))
        elif fault.acts:
            world._apply(sent)
        world.on_the_wire()
        if fault.error is not None:
            raise fault.error()
        attributes = json.loads(body)["data"]["attributes"]
        asked = {"status": attributes["hamr_status"], "modified_by": attributes["modified_by"]}
        echo = replace(world.now_at(site.name).connection, **{**asked, **fault.echo})
        return Answer(echo, "{}", 200, 50)

    def _refused(self, error: Callable[[], HamrError], site: Site, body: bytes) -> HamrError:
        """Give an error of a request that does not act and never will; one that left was seen by the model."""
        raised = error()
        if raised.phase not in (Phase.RESOLVE, Phase.CONNECT, Phase.TLS):
            self._arrives(site, body)
        self._world().on_the_wire()
        return raised

    def _arrives(self, site: Site, body: bytes) -> Sent:
        world = self._world()
        assert world.sending, "a request was sent by what only reads"
        change = world.sending[-1]
        world.at_the_wire(change)
        sent = Sent(len(world.sent), change, site.name, body.decode(), world.elapsed)
        world.sent.append(sent)
        return sent


# --- who lives there ---------------------------------------------------------------------------------------------


def actor(email: str, session: str = "") -> Actor:
    """Give one of the people, as they are signed in."""
    return Actor(kind="person", name=email, role=PEOPLE[email], session=session or f"session of {email}")


@dataclass
class Cast:
    """Everything that is made once and used by each life, and what the lives came to."""

    mover: time_machine.Traveller
    portal: Settings
    organizations: dict[str, Organization]
    figures: Counter[str] = field(default_factory=Counter)
    world: World = field(init=False)

    def begin(self) -> World:
        """Begin a new world, with nothing changed yet, and no file from the one before or from another process's."""
        for name in ("SPOOL_FILE", "ANCHOR_FILE"):
            file = getattr(self.portal, name).with_name(f"{name}-{os.getpid()}")
            file.unlink(missing_ok=True)
            setattr(self.portal, name, file)
        self.world = World({side: made.uuid for side, made in self.organizations.items()}, self.mover)
        return self.world


def worker_pass() -> None:
    """Let a worker do what it does at each turn."""
    work = workers._Work(Worker.objects.get(), once=True)
    work.row.seen_at -= 2 * workers.HEARTBEAT  # so that it beats, and tidies up, whatever the clock says
    work.turn(Here(), take=True)  # type: ignore[arg-type]


# --- in place of the machine ------------------------------------------------------------------------------------


class Here:
    """Stands where a pool of threads stands, and does everything at once, here."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def map(self, do: Callable[[Any], Any], each: Iterable[Any]) -> Iterator[Any]:
        return map(do, each)

    def submit(self, do: Callable[..., Any], *given: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(do(*given))
        return done


def live_in(world: Callable[[], World], monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Let the portal live in a world: its client, its threads, its clocks, and the points at which it may die."""
    settings.HAMR_DEADLINE = 8.0
    client = ModelClient(world)
    monkeypatch.setattr(connections, "client", lambda: client)
    for module in (readings, workers):
        monkeypatch.setattr(module, "ThreadPoolExecutor", Here)
    for module in (changes, sending):
        monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: world().elapsed))
    monkeypatch.setattr(Now, "as_sqlite", lambda *_, **__: (f"'{timezone.now().replace(tzinfo=None)}'", ()))
    monkeypatch.setattr(Now, "as_postgresql", lambda *_, **__: (f"'{timezone.now()}'::timestamptz", ()))
    _intercept(world, monkeypatch)


def _intercept(world: Callable[[], World], monkeypatch: pytest.MonkeyPatch) -> None:
    append, announce, moved, learn = audit.append, changes._announce, moves.move, reconciliation.learn
    record = sending._record

    def append_or_die(*given: Any, **named: Any) -> Any:
        world().event()
        return append(*given, **named)

    def move_or_fail(change: Change, by_way_of: Move, **named: Any) -> None:
        if by_way_of.sends:
            world().database_fails("intent")
        moved(change, by_way_of, **named)

    def announce_and_stall(change: Change, *given: Any, **named: Any) -> float:
        world().announced_at[change.pk] = world().elapsed
        since = announce(change, *given, **named)
        seconds, world().stalls_for = world().stalls_for, 0.0
        world().pass_time(seconds)
        return since

    def record_or_fail(*given: Any, **named: Any) -> None:
        world().database_fails("result")
        record(*given, **named)

    def learn_and_compare(results: Iterable[Result], **named: Any) -> None:
        results = list(results)
        compare = world().learnt(results)
        learn(results, **named)
        compare()

    monkeypatch.setattr(audit, "append", append_or_die)
    monkeypatch.setattr(changes, "move", move_or_fail)
    monkeypatch.setattr(changes, "_announce", announce_and_stall)
    monkeypatch.setattr(sending, "_record", record_or_fail)
    monkeypatch.setattr(reconciliation, "learn", learn_and_compare)


@contextmanager
def only_reading(world: World) -> Iterator[None]:
    """Let nothing be sent in this block: what runs here belongs to another process, which only reads."""
    before, world.sending = world.sending, []
    try:
        yield
    finally:
        world.sending = before


def lost(phase: Phase = Phase.WAIT, http_status: int | None = None) -> Callable[[], HamrError]:
    return lambda: OutcomeUnknown("no answer", phase=phase, elapsed_ms=50, http_status=http_status)


def rejected(http_status: int, *, retry_after: float | None = None) -> Callable[[], HamrError]:
    return lambda: Rejected("no", phase=Phase.ANSWER, elapsed_ms=9, http_status=http_status, retry_after=retry_after)
