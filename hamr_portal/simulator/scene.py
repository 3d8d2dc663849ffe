"""What does the demo show? A made-up company in every state that the dashboard knows, and what happens to it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from ._organizations import ACTIVE, FAILOVER, ONBOARDING, PASSIVE, RECOVERY, Spelling
from ._simulator import Simulator

MARA = "mara.lindqvist@halden.example"
JONAS = "jonas.weber@halden.example"
PRIYA = "priya.raman"  # a bare login, as the service was recorded to give as well


@dataclass(frozen=True)
class ScenePair:
    """A pair that the demo begins with; its organizations are `halden-<name>` and `halden-<name>-dr`."""

    name: str
    primary: str  # its site
    secondary: str
    status: int | None  # None: neither side has a connection
    age: timedelta = timedelta()  # since the last change
    modified_by: str = MARA
    approval: bool = False


PAIRS = (
    # Need action. us1 is the region that goes dark: nothing else may live there, so that none of it answers.
    ScenePair("checkout", "us1", "us5", PASSIVE, timedelta(days=12, hours=3, minutes=41)),
    ScenePair("payments", "us3", "eu1", PASSIVE, timedelta(days=3, hours=7), JONAS, approval=True),
    ScenePair("billing", "eu1", "us5", PASSIVE, timedelta(days=33, hours=5), PRIYA),
    ScenePair("search", "us5", "ap1", PASSIVE, timedelta(days=19, hours=22)),
    # In progress, and failed over
    ScenePair("logistics", "us3", "us5", FAILOVER, timedelta(minutes=6, seconds=12), JONAS),
    ScenePair("warehouse", "ap1", "ap2", RECOVERY, timedelta(minutes=41, seconds=8), PRIYA),
    ScenePair("fleet", "us5", "us3", ACTIVE, timedelta(hours=3, minutes=26), MARA),
    # Degraded
    ScenePair("ads", "ap1", "ap2", PASSIVE, timedelta(days=8, hours=16), JONAS),
    ScenePair("messaging", "eu1", "us3", PASSIVE, timedelta(days=27), MARA),
    ScenePair("reporting", "us3", "ap2", PASSIVE, timedelta(days=61, hours=9), PRIYA),
    # Setting up
    ScenePair("people", "eu1", "us3", ONBOARDING, timedelta(hours=19, minutes=5), MARA),
    ScenePair("partners", "ap2", "us5", ONBOARDING, timedelta(hours=2, minutes=17), JONAS),
    ScenePair("insights", "ap1", "eu1", None),
    # In sync
    ScenePair("identity", "us5", "eu1", PASSIVE, timedelta(days=41, hours=2), MARA, approval=True),
    ScenePair("catalog", "us3", "ap1", PASSIVE, timedelta(days=5, hours=13), JONAS),
    ScenePair("support", "eu1", "ap2", PASSIVE, timedelta(days=90, hours=11), PRIYA),
    # One organization without its other side
    ScenePair("archive", "us5", "ap2", PASSIVE, timedelta(days=74, hours=6), MARA),
)
DARK = "us1"
UNSAVED = {"halden-archive-dr"}  # exists, and the portal is never told

# What begins to go wrong once the portal has saved everybody's keys.
TROUBLES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("halden-checkout", "refuse", {}),
    ("halden-billing-dr", "403", {}),
    ("halden-search-dr", "wrong_organization", {}),
    ("halden-ads-dr", "429", {"reset": 40}),
    ("halden-messaging", "503", {}),
    ("halden-reporting-dr", "html", {}),
)


@dataclass(frozen=True)
class Event:
    """Something that happens while somebody watches the dashboard."""

    at: float  # seconds after the scene began
    says: str
    happen: Callable[[Simulator], None]


EVENTS = (
    Event(
        45,
        "somebody sets catalog to FAILOVER outside the portal",
        lambda simulator: simulator.write_aside("halden-catalog-dr", FAILOVER, PRIYA),
    ),
    Event(60, "the rate limit of ads ends", lambda simulator: simulator.set_fault("halden-ads-dr", None)),
    Event(
        90,
        "catalog is ACTIVE",
        lambda simulator: simulator.write_aside("halden-catalog-dr", ACTIVE, PRIYA),
    ),
    Event(120, "us1 answers again", lambda simulator: simulator.set_fault("halden-checkout", None)),
    Event(180, "messaging answers again", lambda simulator: simulator.set_fault("halden-messaging", None)),
    Event(
        240,
        "fleet begins RECOVERY",
        lambda simulator: simulator.write_aside("halden-fleet", RECOVERY, JONAS),
    ),
    Event(
        300,
        "ads is rate limited again",
        lambda simulator: simulator.set_fault("halden-ads-dr", "429", reset=40),
    ),
    Event(
        420,
        "us1 goes dark again, and the scene rests",
        lambda simulator: simulator.set_fault("halden-checkout", "refuse"),
    ),
)


@dataclass
class Scene:
    """The company inside one simulator, and how far its events have gone."""

    simulator: Simulator
    elapsed: float | None = None  # seconds since it began; None: it has not
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def organizations_json(self) -> list[dict[str, Any]]:
        """Tell what the portal's import_organizations is to save."""
        return organizations_json(self.simulator)

    def begin(self) -> None:
        """Let the troubles begin, once; before, every organization answers as itself."""
        with self._lock:
            if self.elapsed is None:
                self.elapsed = 0
                for name, fault, options in TROUBLES:
                    self.simulator.set_fault(name, fault, **options)
                self.simulator.split("halden-payments", hamr_status=ACTIVE, modified_by=MARA, modified_at=_now())
                self.simulator.split("halden-payments-dr", is_primary=True)

    def advance(self, seconds: float) -> list[str]:
        """Let so many seconds pass in the scene, and tell what happened in them."""
        with self._lock:
            if self.elapsed is None:
                raise ValueError("The scene has not begun.")
            before, self.elapsed = self.elapsed, self.elapsed + seconds
            happening = [event for event in EVENTS if before < event.at <= self.elapsed]
        for event in happening:
            event.happen(self.simulator)
        return [event.says for event in happening]

    def play(self) -> None:
        """Let the simulator's clock advance the scene to each event when it is due."""
        for event in EVENTS:
            self.simulator.agenda.after(event.at, partial(self._reach, event.at))

    def _reach(self, at: float) -> None:
        self.advance(max(0, at - (self.elapsed or 0)))


def build(simulator: Simulator, *, spelling: Spelling | None = None) -> Scene:
    """Fill a simulator with the company; without `spelling`, one side of each pair answers in either."""
    now = _now()
    for number, pair in enumerate(PAIRS):
        _add(simulator, pair, now, spelling, documented_first=number % 2 == 0)
    simulator.disconnect("halden-people-dr")
    return Scene(simulator)


def _now() -> datetime:
    return datetime.now(UTC)


def organizations_json(simulator: Simulator) -> list[dict[str, Any]]:
    """List the organizations that the portal is to save, in the format of import_organizations."""
    approval = {name for pair in PAIRS if pair.approval for name in _names(pair)}
    return [
        {
            "name": each.name,
            "site": each.site,
            "api_key": each.api_key,
            "application_key": each.application_key,
            "requires_approval": each.name in approval,
        }
        for each in simulator.organizations
        if each.name not in UNSAVED
    ]


def _add(
    simulator: Simulator, pair: ScenePair, now: datetime, spelling: Spelling | None, *, documented_first: bool
) -> None:
    spellings: tuple[Spelling, Spelling] = ("snake_case", "PascalCase")
    mixed = spellings if documented_first else spellings[::-1]
    primary, secondary = _names(pair)
    for name, site, each in zip((primary, secondary), (pair.primary, pair.secondary), mixed, strict=True):
        simulator.add_organization(name, site, spelling=spelling or each, own_datacenter=documented_first)
    if pair.status is not None:
        changed = now - pair.age
        simulator.add_pair(primary, secondary, status=pair.status, modified_by=pair.modified_by, modified_at=changed)


def _names(pair: ScenePair) -> tuple[str, str]:
    return f"halden-{pair.name}", f"halden-{pair.name}-dr"
