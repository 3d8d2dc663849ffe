from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.models import Lapse, Observation, Organization, Snapshot
from hamr_portal.services import lapses
from hamr_portal.simulator import ACTIVE, Simulator
from tests import factories

from .records import read

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization(simulator: Simulator) -> Organization:
    simulator.add_organization("acme-dr", "us5")
    saved = factories.simulated(simulator.add_organization("acme", "us1"))
    simulator.add_pair("acme", "acme-dr")
    return saved


def lapsed(organization: Organization) -> list[float]:
    """Give the lengths of its lapses in minutes."""
    rows = Lapse.objects.filter(organization=organization).order_by("since")
    return [round((row.until - row.since).total_seconds() / 60) for row in rows]


def test_reads_at_the_usual_pace_leave_no_lapse(
    organization: Organization, time_machine: time_machine.TimeMachineFixture
):
    start = timezone.now()

    for seconds in (0, 30, 60, 175):
        time_machine.move_to(start + timedelta(seconds=seconds), tick=False)
        read(organization)

    assert lapsed(organization) == []


def test_a_time_in_which_nobody_read_is_put_down_when_somebody_reads_again(
    organization: Organization, time_machine: time_machine.TimeMachineFixture
):
    start = timezone.now()
    time_machine.move_to(start, tick=False)
    (before,) = read(organization)

    time_machine.move_to(start + timedelta(minutes=40), tick=False)
    (after,) = read(organization)

    lapse = Lapse.objects.get()
    assert (lapse.since, lapse.until) == (before.attempted_at, after.attempted_at)
    assert Observation.objects.count() == 1


def test_what_is_asked_seldom_on_purpose_is_not_unread(
    organization: Organization, time_machine: time_machine.TimeMachineFixture
):
    start = timezone.now()
    time_machine.move_to(start, tick=False)
    Snapshot.objects.filter(pk=organization.pk).update(
        attempted_at=start, outcome=ReadOutcome.KEY_REFUSED, attempt_failed=True, repeats=4
    )

    time_machine.move_to(start + timedelta(minutes=6), tick=False)
    read(organization)

    assert lapsed(organization) == []


def test_reads_without_news_that_are_all_too_late_are_one_lapse(
    organization: Organization, time_machine: time_machine.TimeMachineFixture
):
    start = timezone.now()

    for minutes in (0, 10, 20, 30, 40):
        time_machine.move_to(start + timedelta(minutes=minutes), tick=False)
        read(organization)

    assert lapsed(organization) == [40]


def test_a_read_with_news_stands_between_two_lapses(
    organization: Organization, simulator: Simulator, time_machine: time_machine.TimeMachineFixture
):
    start = timezone.now()

    for minutes in (0, 10, 20, 30):
        time_machine.move_to(start + timedelta(minutes=minutes), tick=False)
        if minutes == 20:
            simulator.write_aside("acme", ACTIVE, "jonas.weber@halden.example")
        read(organization)

    assert lapsed(organization) == [20, 10]


def test_the_first_read_of_all_ends_no_lapse(organization: Organization):
    read(organization)

    assert lapsed(organization) == []
    assert lapses.due_at(Snapshot(organization=organization)) is None


def test_where_keys_were_pinned_anew_nothing_is_known_since_there_was_news_last(
    organization: Organization, time_machine: time_machine.TimeMachineFixture
):
    start = timezone.now()
    time_machine.move_to(start, tick=False)
    read(organization)
    Snapshot.objects.all().delete()
    Snapshot.objects.create(organization=organization, due_at=start)

    time_machine.move_to(start + timedelta(minutes=1), tick=False)
    read(organization)

    assert lapsed(organization) == [1]


def test_a_clock_that_was_set_back_makes_no_lapse_of_the_future(
    organization: Organization, time_machine: time_machine.TimeMachineFixture
):
    start = timezone.now()
    time_machine.move_to(start, tick=False)
    Observation.objects.create(organization=organization, at=start + timedelta(hours=1), outcome=ReadOutcome.ANSWERED)

    read(organization)

    assert lapsed(organization) == []
