"""A request that seemed lost takes effect up to a day later, while the portal's clock is wrong: what is known at last?

Over the real simulator: the request is read, the connection closed, and the request carried out when the test says so.
The simulator's clock stays right; the portal's is set forward and back while it waits.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
import time_machine
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import MAY_STILL_LAND, ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Role
from hamr_portal.models import Change, Organization
from hamr_portal.services import changes, readings, reconciliation
from hamr_portal.services.conditions import Words
from hamr_portal.simulator import FAILOVER, Simulator, _organizations, _payloads
from tests import factories

pytestmark = pytest.mark.django_db

BEGIN = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR, DAY = 3600.0, 86_400.0
ARRIVALS = int(os.environ.get("ARRIVALS", "100"))
OPERATOR = Actor(kind="person", name="operator@halden.example", role=Role.OPERATOR, session="one")


class Clocks:
    """The time that really passes, and the portal's clock, which may be set."""

    def __init__(self, mover: time_machine.Traveller) -> None:
        self._mover = mover
        self.passed = 0.0
        self._offset = 0.0

    @property
    def true(self) -> datetime:
        return BEGIN + timedelta(seconds=self.passed)

    def wait(self, seconds: float) -> None:
        self.passed += seconds
        self._mover.move_to(self.true + timedelta(seconds=self._offset))

    def set_by(self, seconds: float) -> None:
        self._offset += seconds
        self.wait(0.0)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[Clocks]:
    settings.HAMR_CONNECT_TIMEOUT, settings.HAMR_DEADLINE = 5.0, 8.0  # a busy machine is no lost request
    with time_machine.travel(BEGIN, tick=False) as mover:
        made = Clocks(mover)

        class TrueTime(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return made.true.astimezone(tz)

        for module in (_payloads, _organizations):
            monkeypatch.setattr(module, "datetime", TrueTime)
        yield made


def sent_into_the_dark(simulator: Simulator, number: int, *, lands: bool) -> Change:
    """Send a change whose request is read by the site, and whose answer never comes."""
    names = f"acme-{number}", f"acme-{number}-dr"
    sides = [simulator.add_organization(name, site) for name, site in zip(names, ("us1", "us5"), strict=True)]
    simulator.add_pair(*names, modified_at=BEGIN - timedelta(days=1))
    primary, secondary = (factories.simulated(side) for side in sides)
    readings.read_for_change([primary.pk, secondary.pk], by=factories.WORKER)
    change = changes.prepare(Organization.objects.get(pk=primary.pk), HamrStatus.FAILOVER, by=OPERATOR)
    options = {"seconds": 30 * DAY} if lands else {}
    simulator.set_fault(names[0], "late" if lands else "drop_before", verb="POST", times=1, **options)
    words = Words(token=change.nonce, reason="us1 is down", typed_name=primary.name, override=True)
    return changes.confirm(change, words, by=OPERATOR)


def read(change: Change) -> None:
    """Read both sides as the worker does: what is not settled when it is due, and everything now and then."""
    reconciliation.tidy(by=factories.WORKER)
    sides = [side for side in (change.organization_id, change.other_id) if side is not None]
    reconciliation.learn(readings.read_for_change(sides, by=factories.WORKER), by=factories.WORKER)
    change.refresh_from_db()


def live_through(change: Change, simulator: Simulator, clocks: Clocks, dice: Random, *, lands: bool) -> None:
    """Let a day pass: reads at random moments, a clock that is set now and then, and perhaps the request that lands."""
    first = clocks.passed
    landing = first + (dice.uniform(0, 300) if dice.random() < 0.5 else dice.uniform(0, DAY)) if lands else None
    jumps = sorted(first + dice.choice((200.0, DAY)) * dice.random() for _ in range(dice.randrange(4)))
    while clocks.passed < first + DAY:
        young = clocks.passed < first + 330
        clocks.wait(dice.choice((2.0, 20.0, 60.0, 60.0)) if young else dice.uniform(0.1, 10) * HOUR)
        if landing is not None and clocks.passed >= landing:
            assert simulator.act_late() == 1
            landing = None
        while jumps and clocks.passed >= jumps[0]:
            jumps.pop(0)
            clocks.set_by(dice.choice((DAY, -DAY, HOUR, -HOUR, dice.uniform(-DAY, DAY))))
        if dice.random() < 0.8:
            read(change)
    if landing is not None:
        assert simulator.act_late() == 1
    for _ in range(4):
        clocks.wait(61.0)
        read(change)


def wrong_final_states(simulator: Simulator, clocks: Clocks, dice: Random, arrivals: int) -> list[str]:
    """Give those whose last state is not what is true."""
    wrong = []
    for number in range(arrivals):
        lands = dice.random() < 0.8
        change = sent_into_the_dark(simulator, number, lands=lands)
        assert change.status == ChangeStatus.UNKNOWN
        live_through(change, simulator, clocks, dice, lands=lands)
        shown = simulator.organizations.named(change.organization.name).view
        assert shown is not None
        assert (shown.hamr_status == FAILOVER) is lands
        true = change.status == ChangeStatus.VERIFIED if lands else change.status in MAY_STILL_LAND
        wrong += [] if true else [f"{change}: {change.status}, lands: {lands}"]
    return wrong


@pytest.fixture
def dice() -> Random:
    return Random(int(os.environ.get("LATE_ARRIVALS", "3")))


def test_a_few_requests_that_arrive_late_are_known_in_the_end(simulator: Simulator, clocks: Clocks, dice: Random):
    factories.person(Role.OPERATOR)

    wrong = wrong_final_states(simulator, clocks, dice, 4)

    assert wrong == []
    assert len(simulator.posts) == 4


@pytest.mark.longest
@pytest.mark.slow
def test_a_hundred_requests_that_arrive_late_are_known_in_the_end(
    simulator: Simulator, clocks: Clocks, dice: Random, capsys: pytest.CaptureFixture[str]
):
    factories.person(Role.OPERATOR)

    wrong = wrong_final_states(simulator, clocks, dice, ARRIVALS)

    with capsys.disabled():
        print(f"\nlate arrivals: wrong final states {len(wrong)}/{ARRIVALS}")  # noqa: T201 - one of the figures of the scorecard
    assert wrong == []
    assert len(simulator.posts) == ARRIVALS
