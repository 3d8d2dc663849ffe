"""Who drives a change: handed over by offer and take, taken over for a reason, on the record, while it goes on."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.drivers import Problem
from hamr_portal.domain.people import Role
from hamr_portal.models import Change, Organization, Person
from hamr_portal.services import changes, drivers, people
from hamr_portal.services.refusals import NotAllowed
from hamr_portal.simulator import Simulator
from tests import factories
from tests.faults import database

from . import changing
from .conftest import InParallel
from .records import entries

pytestmark = pytest.mark.django_db

WHY = "operator does not answer"
JONAS = "jonas@halden.example"


@pytest.fixture
def change(simulator: Simulator) -> Change:
    """A change that waits for approval, so that it is open."""
    made: Change = changing.waiting(changing.connected(simulator)[0])
    return made


def fresh(change: Change) -> Change:
    return Change.objects.select_related("author", "driver", "offered_to", "organization__snapshot").get(pk=change.pk)


def jonas() -> Actor:
    return changing.operator(session="s7", email=JONAS)


def take(change: Change, by: Actor, reason: str = "", seen: Any = None) -> None:
    drivers.take(fresh(change), seen=seen or fresh(change).driven_by.pk, by=by, reason=reason)


def test_at_first_who_prepared_it_drives(change: Change) -> None:
    assert fresh(change).driven_by.email == changing.operator().name
    assert drivers.is_driven(fresh(change))


def test_a_change_is_driven_by_whom_it_was_offered_to_once_they_take_it(change: Change) -> None:
    jonas()
    drivers.offer(fresh(change), JONAS.upper(), by=changing.operator())
    assert fresh(change).driven_by.email == changing.operator().name

    take(change, jonas())

    assert (fresh(change).driven_by.email, fresh(change).offered_to) == (JONAS, None)
    (offered,) = entries(Event.DRIVER_OFFERED)
    (taken,) = entries(Event.DRIVER_TAKEN)
    assert (offered.actor, offered.data) == (changing.operator().name, {"offered_to": JONAS})
    assert (taken.actor, taken.data) == (JONAS, {"driver_before": changing.operator().name})
    assert not entries(Event.DRIVER_TAKEN_OVER)


def test_an_offer_can_be_made_to_another_and_taken_back(change: Change) -> None:
    jonas()
    changing.admin()
    drivers.offer(fresh(change), JONAS, by=changing.operator())
    drivers.offer(fresh(change), changing.admin().name, by=changing.operator())
    assert fresh(change).offered_to == Person.objects.get(email=changing.admin().name)

    drivers.offer(fresh(change), "", by=changing.operator())

    assert fresh(change).offered_to is None
    assert len(entries(Event.DRIVER_KEPT)) == 1
    with pytest.raises(drivers.ReasonWrong):
        take(change, jonas())


def test_who_was_not_offered_it_takes_over_for_a_reason_which_is_on_the_record(change: Change) -> None:
    take(change, jonas(), reason=f" {WHY} ")

    assert fresh(change).driven_by.email == JONAS
    (entry,) = entries(Event.DRIVER_TAKEN_OVER)
    assert (entry.reason, entry.actor, entry.organization) == (WHY, JONAS, "acme")


@pytest.mark.parametrize(
    ("reason", "problem"), [("", Problem.REASON_MISSING), ("0123456789abcdef" * 2, Problem.KEY_IN_REASON)]
)
def test_nobody_takes_over_without_a_reason_that_will_do(reason: str, problem: Problem, change: Change) -> None:
    with pytest.raises(drivers.ReasonWrong) as raised:
        take(change, jonas(), reason=reason)

    assert raised.value.problem is problem
    assert fresh(change).driven_by.email == changing.operator().name


def test_who_has_driven_before_may_take_over_again(change: Change) -> None:
    take(change, jonas(), reason=WHY)

    take(change, changing.operator(), reason="back again")

    assert fresh(change).driven_by.email == changing.operator().name
    assert entries(Event.DRIVER_TAKEN_OVER)[1].data == {"driver_before": JONAS}


def test_only_who_drives_hands_over(change: Change) -> None:
    changing.admin()

    with pytest.raises(drivers.AnotherDrives):
        drivers.offer(fresh(change), changing.admin().name, by=jonas())

    assert fresh(change).offered_to is None
    assert not entries(Event.DRIVER_OFFERED)


def test_who_saw_another_driver_takes_nothing(change: Change) -> None:
    seen = fresh(change).driven_by.pk
    take(change, jonas(), reason=WHY)

    with pytest.raises(drivers.AnotherDrives):
        take(change, changing.admin(), reason=WHY, seen=seen)
    with pytest.raises(drivers.AnotherDrives):
        take(change, jonas(), reason=WHY)

    assert fresh(change).driven_by.email == JONAS
    assert len(entries(Event.DRIVER_TAKEN_OVER)) == 1


@pytest.mark.parametrize("to", ["nobody@halden.example", "viewer@halden.example", "operator@halden.example"])
def test_nothing_is_offered_to_who_cannot_drive_or_drives_already(to: str, change: Change) -> None:
    factories.person(Role.VIEWER)

    with pytest.raises(drivers.NobodyToOfferTo):
        drivers.offer(fresh(change), to, by=changing.operator())

    assert fresh(change).offered_to is None


def test_those_who_can_be_offered_it_are_those_who_may_and_do_not_drive(change: Change) -> None:
    for role in Role:
        changing.actor(role)
    jonas()

    found = [person.email for person in drivers.may_take(fresh(change))]

    assert found == [changing.admin().name, JONAS]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.APPROVER, Role.AUDITOR])
def test_nobody_else_drives(role: Role, change: Change) -> None:
    with pytest.raises(people.NotAllowed):
        take(change, changing.actor(role), reason=WHY)
    with pytest.raises(people.NotAllowed):
        drivers.offer(fresh(change), JONAS, by=changing.actor(role))


def test_to_drive_gives_no_permission(change: Change) -> None:
    take(change, jonas(), reason=WHY)

    with pytest.raises(NotAllowed):
        changes.cancel(changing.fresh(change), by=jonas())

    assert fresh(change).status == ChangeStatus.AWAITING_APPROVAL


def test_a_hand_over_that_cannot_be_recorded_is_none(change: Change) -> None:
    by = jonas()

    with database.refusing(Event.DRIVER_TAKEN_OVER), pytest.raises(IntegrityError):
        take(change, by, reason=WHY)

    assert fresh(change).driven_by.email == changing.operator().name


def test_of_threads_that_take_over_at_once_one_drives(simulator: Simulator, in_parallel: InParallel[str]) -> None:
    change = fresh(changing.waiting(changing.connected(simulator)[0]))
    takers = [changing.operator(email=f"{name}@halden.example") for name in ("one", "two", "three")]

    def one() -> str:
        by = takers.pop()
        try:
            drivers.take(change, seen=change.author_id, by=by, reason=WHY)
        except drivers.AnotherDrives:
            return "late"
        return "drives"

    assert sorted(in_parallel(3, one)) == ["drives", "late", "late"]
    assert len(entries(Event.DRIVER_TAKEN_OVER)) == 1


# --- when there is something to drive ---------------------------------------------------------------------------


def test_a_change_that_is_verified_is_driven_while_a_side_is_between_by_it(simulator: Simulator) -> None:
    acme: Organization = changing.connected(simulator)[0]
    failover = changing.changed(acme)
    assert failover.status == ChangeStatus.VERIFIED
    assert drivers.is_driven(fresh(failover))

    active = changing.changed(acme, HamrStatus.ACTIVE)

    assert not drivers.is_driven(fresh(failover))
    assert not drivers.is_driven(fresh(active))
    for do in (
        lambda: drivers.offer(fresh(active), JONAS, by=changing.operator()),
        lambda: take(active, jonas(), reason=WHY),
    ):
        with pytest.raises(drivers.NotDriven):
            do()
    assert fresh(active).driver is None


def test_a_change_that_was_cancelled_is_not_driven(change: Change) -> None:
    changes.cancel(changing.fresh(change), by=changing.operator())

    assert not drivers.is_driven(fresh(change))
