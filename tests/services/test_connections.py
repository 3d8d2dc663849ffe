from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.crypto import create_ring
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.models import Organization, Snapshot
from hamr_portal.services import connections, readings
from hamr_portal.services.connections import Result
from hamr_portal.simulator import Simulator
from tests import factories

from . import changing
from .conftest import InParallel
from .records import read

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)


def due() -> list[UUID]:
    return [pk for pk, _ in connections.due(100)]


def saved(name: str, **snapshot: object) -> Organization:
    organization = factories.organization(name)
    Snapshot.objects.filter(pk=organization.pk).update(**{"due_at": timezone.now() - MINUTE, **snapshot})
    return organization


# --- due --------------------------------------------------------------------------------------------------------


def test_what_answers_is_read_before_what_does_not_and_the_longest_due_first():
    now = timezone.now()
    dark = saved("dark", attempt_failed=True, due_at=now - 9 * MINUTE)
    late = saved("late", due_at=now - 3 * MINUTE)
    later = saved("later", due_at=now - 5 * MINUTE)

    assert due() == [later.pk, late.pk, dark.pk]
    assert connections.due(1) == [(later.pk, "us1")]


def test_what_is_disabled_under_way_or_not_yet_due_is_not_due():
    now = timezone.now()
    disabled = saved("disabled")
    Organization.objects.filter(pk=disabled.pk).update(disabled_at=now)
    saved("under-way", lease=uuid4(), leased_until=now + MINUTE / 6)
    saved("not-yet", due_at=now + MINUTE)

    assert due() == []


def test_a_clock_that_ran_a_day_ahead_does_not_stop_reading():
    tomorrow = timezone.now() + timedelta(days=1)
    put_off = saved("put-off", due_at=tomorrow)
    leased = saved("leased", lease=uuid4(), leased_until=tomorrow)

    assert set(due()) == {put_off.pk, leased.pk}


def test_the_longest_wait_is_no_clock_error(settings: Settings):
    settings.HAMR_POLL_INTERVAL = 3600
    saved("patient", due_at=timezone.now() + timedelta(hours=1))

    assert due() == []


# --- leases -----------------------------------------------------------------------------------------------------


def test_two_claims_never_get_the_same_organization():
    one, two = saved("one"), saved("two")

    first = connections.claim([one.pk], connections.is_due())
    second = connections.claim([one.pk, two.pk], connections.is_due())
    third = connections.claim([one.pk, two.pk], connections.is_due())

    assert [flight.name for flight in first] == ["one"]
    assert [flight.name for flight in second] == ["two"]
    assert third == []


def test_what_another_worker_has_read_since_it_was_chosen_is_not_claimed():
    organization = saved("one")
    chosen = due()
    (flight,) = connections.claim(chosen, connections.is_due())
    readings.store([Result(flight, timezone.now(), ReadOutcome.NO_CONNECTION)], by=factories.WORKER)

    assert connections.claim(chosen, connections.is_due()) == []
    assert chosen == [organization.pk]


def test_what_was_disabled_since_it_was_chosen_is_not_claimed():
    organization = saved("one")
    Organization.objects.filter(pk=organization.pk).update(disabled_at=timezone.now())

    assert connections.claim([organization.pk], Q()) == []


def test_a_lease_that_passed_is_taken_over_and_the_late_result_is_dropped(simulator: Simulator):
    organization = factories.simulated(simulator.add_organization("one", "us1"))
    (late,) = connections.claim([organization.pk], Q())
    Snapshot.objects.update(leased_until=timezone.now() - MINUTE)

    (taken_over,) = connections.claim([organization.pk], Q())
    readings.store([Result(late, timezone.now(), ReadOutcome.NO_ANSWER, reason="late")], by=factories.WORKER)
    untouched = Snapshot.objects.get()
    readings.store([connections.fetch(taken_over)], by=factories.WORKER)

    assert (untouched.outcome, untouched.lease) == ("", taken_over.lease)
    assert (Snapshot.objects.get().outcome, Snapshot.objects.get().lease) == (ReadOutcome.NO_CONNECTION, None)


def test_a_lease_outlives_the_deadline_of_its_read(settings: Settings):
    organization = saved("one")
    settings.HAMR_DEADLINE = 8.0

    connections.claim([organization.pk], Q())

    left = Snapshot.objects.get().leased_until - timezone.now()  # type: ignore[operator]
    assert timedelta(seconds=8 + 10) < left < timedelta(seconds=8 + 16)


def test_a_result_that_was_asked_with_what_holds_no_longer_is_dropped(simulator: Simulator):
    organization = factories.simulated(simulator.add_organization("one", "us1"))
    (flight,) = connections.claim([organization.pk], Q())
    result = connections.fetch(flight)

    connections.read_anew(organization.pk)
    readings.store([result], by=factories.WORKER)

    assert Snapshot.objects.get().outcome == ""
    assert due() == [organization.pk]


def test_eight_claimers_read_each_of_fifty_organizations_exactly_once(in_parallel: InParallel[list[str]]):
    names = {saved(f"org-{number:02}").name for number in range(50)}

    def work() -> list[str]:
        mine = []
        while chosen := connections.due(7):
            flights = connections.claim([pk for pk, _ in chosen], connections.is_due())
            mine += [flight.name for flight in flights]
            results = [Result(flight, timezone.now(), ReadOutcome.NO_CONNECTION) for flight in flights]
            readings.store(results, by=factories.WORKER)
        return mine

    claimed = [name for mine in in_parallel(8, work) for name in mine]

    assert len(claimed) == 50
    assert set(claimed) == names


# --- fetch ------------------------------------------------------------------------------------------------------


def test_a_missing_ring_is_said_and_nothing_is_asked(simulator: Simulator, settings: Settings):
    organization = factories.simulated(simulator.add_organization("one", "us1"))
    settings.KEY_RING_FILE.unlink()

    (snapshot,) = read(organization)

    assert (snapshot.outcome, snapshot.attempt_reason) == ("KEYS_UNREADABLE", "the key ring cannot be used")
    assert simulator.requests == []


def test_a_wrong_ring_is_said_and_nothing_is_asked(simulator: Simulator, settings: Settings):
    organization = factories.simulated(simulator.add_organization("one", "us1"))
    settings.KEY_RING_FILE.unlink()
    create_ring(settings.KEY_RING_FILE)

    (snapshot,) = read(organization)

    assert snapshot.outcome == "KEYS_UNREADABLE"
    assert "failed their integrity check" in snapshot.attempt_reason
    assert simulator.requests == []


def test_swapped_keys_stop_their_organizations_and_no_other(simulator: Simulator):
    one, two, three = (factories.simulated(simulator.add_organization(name, "us1")) for name in ("one", "two", "three"))
    Organization.objects.filter(pk=one.pk).update(sealed_api_key=two.sealed_api_key)

    snapshots = read(one, two, three)

    assert [snapshot.outcome for snapshot in snapshots] == ["KEYS_UNREADABLE", "NO_CONNECTION", "NO_CONNECTION"]
    assert "integrity check" in snapshots[0].attempt_reason


def test_a_site_that_is_in_no_list_is_said():
    organization = factories.organization("one", site="mars1")

    (snapshot,) = read(organization)

    assert snapshot.outcome == ReadOutcome.NO_ANSWER
    assert snapshot.attempt_reason == "site mars1 is in no list: add it to HAMR_SITES"


def test_a_flight_shows_no_key():
    organization = factories.organization("one")

    (flight,) = connections.claim([organization.pk], Q())

    assert flight.credentials == factories.credentials()
    assert "canary" not in repr(flight)


def test_one_client_serves_the_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()

    assert connections.client() is connections.client()


# --- for a change -----------------------------------------------------------------------------------------------


def test_a_change_takes_the_lease_whoever_holds_it_and_whatever_the_limits_say():
    now = timezone.now()
    acme = saved("acme", lease=uuid4(), leased_until=now + MINUTE)
    limited = saved("limited", outcome=ReadOutcome.RATE_LIMITED, due_at=now + MINUTE, attempted_at=now)

    flights = connections.seize([acme.pk, limited.pk])

    assert {flight.organization_id for flight in flights} == {acme.pk, limited.pk}
    assert len({flight.lease for flight in flights}) == 1
    for row in Snapshot.objects.all():
        assert row.lease == flights[0].lease
        assert row.leased_until is not None
        assert row.leased_until > now


def test_a_change_does_not_read_what_is_disabled_or_not_there():
    disabled = saved("disabled")
    Organization.objects.filter(pk=disabled.pk).update(disabled_at=timezone.now())
    bystander = saved("bystander")

    assert connections.seize([disabled.pk, uuid4()]) == []
    assert connections.seize([]) == []
    assert Snapshot.objects.get(pk=bystander.pk).lease is None


def test_what_was_in_the_air_when_a_change_took_the_lease_is_dropped(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    (poll,) = connections.claim([acme.pk], Q())
    in_the_air = connections.fetch(poll)

    (flight,) = connections.seize([acme.pk])

    assert readings.store([in_the_air], by=factories.WORKER) == []
    counts = connections.fetch(flight)
    assert readings.store([counts], by=factories.WORKER) == [counts]


def test_what_was_in_the_air_when_a_change_is_sent_is_dropped_until_it_is_read_back(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    (poll,) = connections.claim([acme.pk], Q())
    in_the_air = connections.fetch(poll)

    with transaction.atomic():
        connections.hold([acme.pk])

    assert readings.store([in_the_air], by=factories.WORKER) == []
    assert connections.claim([acme.pk, acme_dr.pk], Q())[0].organization_id == acme_dr.pk
    (flight,) = connections.seize([acme.pk])
    assert readings.store([connections.fetch(flight)], by=factories.WORKER) != []


@pytest.mark.parametrize(("seconds", "expected"), [(None, 2.0), (0.7, 0.7)])
def test_a_read_has_the_usual_deadline_or_the_seconds_that_it_is_given(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, seconds: float | None, expected: float
):
    acme, _ = changing.connected(simulator)
    (flight,) = connections.seize([acme.pk])
    given: list[float] = []
    client = connections.client()
    read = client.read

    def note(*place: Any, seconds: float) -> Any:
        given.append(seconds)
        return read(*place, seconds=seconds)

    monkeypatch.setattr(client, "read", note)

    result = connections.fetch(flight, seconds=seconds)

    assert (result.outcome, given) == (ReadOutcome.ANSWERED, [expected])


def test_a_read_ends_when_its_seconds_are_over(simulator: Simulator, settings: Settings):
    settings.HAMR_DEADLINE = 60
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", "hang")
    (flight,) = connections.seize([acme.pk])

    assert connections.fetch(flight, seconds=0.2).outcome is ReadOutcome.NO_ANSWER
