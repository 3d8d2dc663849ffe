"""Since when the sides are between two statuses, and by which change; and that it is asked for nobody else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.findings import Finding
from hamr_portal.domain.transit import LOOKED_BACK, PASSED_WITHIN
from hamr_portal.models import Change, Observation, Organization, Snapshot
from hamr_portal.services import overview, transit
from hamr_portal.services.overview import Row
from hamr_portal.simulator import Simulator
from tests import factories

from . import changing

pytestmark = pytest.mark.django_db

FAILOVER, PASSIVE = HamrStatus.FAILOVER, HamrStatus.PASSIVE


def rows(**at: Any) -> list[Row]:
    return list(overview.overview(now=at.get("now", timezone.now())).rows)


def said(organization: Organization, status: int, *, minutes_ago: float, written: float | None = None) -> None:
    """Let an organization have said a status from then on."""
    now = timezone.now()
    fields: dict[str, Any] = {"has_connection": True, "status": status, "outcome": "ANSWERED"}
    fields["modified_at"] = now - timedelta(minutes=written) if written is not None else None
    Observation.objects.create(organization=organization, at=now - timedelta(minutes=minutes_ago), **fields)


def test_a_pair_that_is_between_since_a_moment_that_was_seen_has_a_clock() -> None:
    sides = factories.pair(status=FAILOVER)
    for side in sides:
        said(side, PASSIVE, minutes_ago=60)
        said(side, FAILOVER, minutes_ago=14, written=14.1)

    (row,) = rows()

    clocks = [side.side.transit for side in row.sides]
    assert all(clock is not None and clock.is_known for clock in clocks)
    assert not row.judgement.has(Finding.LONG_BETWEEN)


def test_a_pair_whose_beginning_is_further_back_than_is_looked_has_one_for_at_least_as_long() -> None:
    primary, _ = factories.pair(status=FAILOVER)
    long_ago = timezone.now() - LOOKED_BACK - timedelta(days=1)
    Snapshot.objects.update(view_since=long_ago, modified_at=None)
    said(primary, PASSIVE, minutes_ago=60 * 24 * 9)

    (row,) = rows()

    clock = row.sides[0].side.transit
    assert clock is not None
    assert (clock.since, clock.is_known) == (long_ago, False)


def test_a_side_whose_beginning_nothing_tells_has_no_clock() -> None:
    factories.pair(status=FAILOVER)
    Snapshot.objects.update(view_since=None)

    (row,) = rows()

    assert [side.side.transit for side in row.sides] == [None, None]


def test_who_is_between_for_longer_than_it_takes_is_pointed_out_once_for_both() -> None:
    factories.pair(status=FAILOVER, at=timezone.now() - PASSED_WITHIN)
    Snapshot.objects.update(answered_at=timezone.now())

    (row,) = rows()

    (found,) = [found for found in row.judgement.findings if found.finding is Finding.LONG_BETWEEN]
    assert found.side is None
    assert row.verdict.label == "Failover in progress"


def test_what_is_not_current_is_no_clock() -> None:
    factories.pair(status=FAILOVER, at=timezone.now() - timedelta(hours=1))

    (row,) = rows()

    assert not row.judgement.has(Finding.LONG_BETWEEN)
    assert not any(side.is_between for side in row.sides)


def test_nothing_is_asked_for_what_is_lived_in(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    factories.pair(status=HamrStatus.ACTIVE)

    with django_assert_num_queries(2):
        rows()


@pytest.mark.parametrize("pairs", [1, 3])
def test_two_queries_are_asked_for_all_that_are_between(
    pairs: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(pairs):
        factories.pair(f"halden-{number}", f"halden-{number}-dr", status=FAILOVER)

    with django_assert_num_queries(4):
        rows()


# --- by which change --------------------------------------------------------------------------------------------


def test_the_change_that_led_there_is_known_until_the_next_one(simulator: Simulator) -> None:
    acme, _ = changing.connected(simulator)
    failover = changing.changed(acme)

    assert rows()[0].driven == failover
    assert rows()[0].change is None

    changing.changed(acme, HamrStatus.ACTIVE)

    assert rows()[0].driven is None


def test_what_is_between_by_somebody_outside_is_led_by_no_change(simulator: Simulator) -> None:
    acme, other = changing.connected(simulator)
    changing.changed(acme)
    changing.changed(acme, HamrStatus.ACTIVE)
    Snapshot.objects.filter(pk__in=[acme.pk, other.pk]).update(status=FAILOVER)
    said(acme, FAILOVER, minutes_ago=0)

    assert any(side.is_between for side in rows()[0].sides)
    assert rows()[0].led_by is None


def test_an_open_change_is_driven_before_the_one_that_led_there(simulator: Simulator) -> None:
    acme, _ = changing.connected(simulator)
    failover = changing.changed(acme)

    active: Change = changing.waiting(acme, HamrStatus.ACTIVE)

    assert rows()[0].driven == active
    assert rows()[0].led_by == failover


def test_an_organization_alone_has_its_clock_and_its_change_too(simulator: Simulator) -> None:
    acme, other = changing.connected(simulator)
    failover = changing.changed(acme)
    Organization.objects.filter(pk=other.pk).update(disabled_at=timezone.now())

    (row,) = rows()

    assert row.driven == failover
    assert row.sides[0].is_between


def test_a_change_of_long_ago_led_nowhere(simulator: Simulator) -> None:
    acme, _ = changing.connected(simulator)
    changing.changed(acme)
    Change.objects.update(sent_at=timezone.now() - LOOKED_BACK - timedelta(hours=1))

    assert rows()[0].led_by is None
    assert transit.led_to([], now=timezone.now()) == []
