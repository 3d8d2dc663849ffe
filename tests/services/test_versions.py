from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from django.db.models import F
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.models import Change, LogLine, Organization, Snapshot, Worker
from hamr_portal.services import audit, drills, versions
from hamr_portal.simulator import Simulator
from tests import factories
from tests.open_changes import opened

from . import changing, practising

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 3, 8, 20, tzinfo=UTC)


@pytest.fixture
def checkout() -> Organization:
    """Give a primary that was read nine seconds ago, and that is read again in 21."""
    factories.pair(at=NOW - timedelta(seconds=9))
    Snapshot.objects.update(due_at=NOW + timedelta(seconds=21))
    Worker.objects.create(name="here:1", started_at=NOW, seen_at=NOW)
    return Organization.objects.get(name="halden-checkout")


def everything(now: datetime = NOW) -> object:
    return versions.of_everything(now=now).parts


def read_again(at: datetime = NOW) -> None:
    Snapshot.objects.update(
        repeats=F("repeats") + 1, answered_at=at, attempted_at=at, due_at=at + timedelta(seconds=30)
    )


def recorded() -> None:
    with transaction.atomic():
        audit.append(Event.WORKER_RESUMED, by=factories.WORKER)


def fail(**fields: object) -> None:
    Snapshot.objects.filter(organization__name="halden-checkout").update(
        attempt_failed=True, outcome=ReadOutcome.NO_ANSWER, **fields
    )


def test_while_nothing_happens_the_version_stays(checkout: Organization) -> None:
    before = everything()

    later = everything(NOW + timedelta(seconds=20))

    assert later == before


def test_a_worker_that_is_seen_again_makes_no_other_version_but_is_told(checkout: Organization) -> None:
    before = versions.of_everything(now=NOW)
    Worker.objects.update(seen_at=NOW + timedelta(seconds=2))

    after = versions.of_everything(now=NOW + timedelta(seconds=3))

    assert after.parts == before.parts
    assert after.worker.seen_at == NOW + timedelta(seconds=2)


@pytest.mark.parametrize(
    "happens",
    [
        recorded,
        lambda: Snapshot.objects.filter(organization__name="halden-checkout-dr").update(status=4),
        lambda: Snapshot.objects.update(view_since=NOW),
        lambda: Worker.objects.update(stopped_at=NOW),
        lambda: fail(due_at=NOW - timedelta(seconds=1)),
    ],
    ids=["an entry", "a status", "a view", "a worker that ends", "a reading that fails"],
)
def test_what_happens_makes_another_version(checkout: Organization, happens: Callable[[], object]) -> None:
    before = everything()

    happens()

    assert everything() != before


def test_a_reading_that_says_the_same_makes_all_no_other_version_but_younger(checkout: Organization) -> None:
    before = versions.of_everything(now=NOW)
    read_again(NOW - timedelta(seconds=2))

    after = versions.of_everything(now=NOW)

    assert after.parts == before.parts
    assert (before.ages, after.ages) == ("0909", "0202")


def test_only_what_is_shown_as_the_present_has_an_age_of_its_own(checkout: Organization) -> None:
    for name, ago in (("halden-ahead", -5), ("halden-slow", 290)):
        factories.seen(factories.organization(name), at=NOW - timedelta(seconds=ago))
    factories.organization("halden-unread")
    fail()
    keys = Snapshot.objects.order_by("pk").values_list("organization__name", flat=True)

    ages = versions.of_everything(now=NOW).ages

    told = dict(zip(keys, (ages[start : start + 2] for start in range(0, len(ages), 2)), strict=True))
    assert told.pop("halden-checkout-dr") == "09"
    assert set(told.values()) == {".."}


def test_an_age_too_long_to_be_told_is_part_of_the_version(checkout: Organization, settings: Settings) -> None:
    settings.HAMR_POLL_INTERVAL = 300
    Snapshot.objects.update(answered_at=NOW - timedelta(seconds=256))
    before = versions.of_everything(now=NOW)
    read_again(NOW - timedelta(seconds=257))

    after = versions.of_everything(now=NOW)

    assert after.parts != before.parts
    assert after.ages == ""


def test_the_moments_of_more_views_than_a_header_holds_are_part_of_the_version(
    checkout: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "MOST_AGES", 1)
    before = versions.of_everything(now=NOW)
    read_again()

    after = versions.of_everything(now=NOW)

    assert after.parts != before.parts
    assert after.ages == ""


def test_one_that_grows_stale_while_another_is_read_again_makes_another_version(checkout: Organization) -> None:
    other = Snapshot.objects.exclude(pk=checkout.pk)
    Snapshot.objects.filter(pk=checkout.pk).update(answered_at=NOW - timedelta(seconds=115))
    other.update(answered_at=NOW - timedelta(seconds=130))
    before = everything()
    other.update(answered_at=NOW + timedelta(seconds=5))

    assert everything(NOW + timedelta(seconds=6)) != before


@pytest.mark.parametrize(
    ("seconds", "passes"),
    [(41, "the minute"), (112, "the time to be the present"), (400, "the time of the worker")],
)
def test_what_passes_by_itself_makes_another_version(checkout: Organization, seconds: int, passes: str) -> None:
    before = everything()

    assert everything(NOW + timedelta(seconds=seconds)) != before, passes


def test_a_view_that_grows_stale_within_a_minute_makes_another_version(checkout: Organization) -> None:
    Snapshot.objects.filter(pk=checkout.pk).update(answered_at=NOW - timedelta(seconds=115))
    before = everything()

    assert everything(NOW + timedelta(seconds=6)) != before


def test_of_a_side_in_trouble_the_next_read_and_the_one_under_way_make_another_version(checkout: Organization) -> None:
    fail(due_at=NOW + timedelta(seconds=5))
    seen = [everything(), everything(NOW + timedelta(seconds=6))]
    Snapshot.objects.update(leased_until=NOW + timedelta(seconds=20))
    seen.append(everything(NOW + timedelta(seconds=6)))
    Snapshot.objects.update(repeats=2)
    seen.append(everything(NOW + timedelta(seconds=6)))

    assert len(set(seen)) == 4


def test_a_side_that_nobody_asked_for_long_makes_another_version(checkout: Organization) -> None:
    Snapshot.objects.filter(pk=checkout.pk).update(due_at=NOW - timedelta(seconds=115))
    before = everything()

    assert everything(NOW + timedelta(seconds=6)) != before


def test_a_worker_that_never_ran_is_another_version_than_one_that_stopped(checkout: Organization) -> None:
    Worker.objects.update(seen_at=NOW - timedelta(days=2))
    before = everything()

    Worker.objects.all().delete()

    assert everything() != before


def test_where_nothing_is_current_the_last_answer_is_part_of_the_version(checkout: Organization) -> None:
    Snapshot.objects.update(answered_at=NOW - timedelta(hours=2))
    before = versions.of_organization("halden-checkout", now=NOW).parts
    elsewhere = factories.organization("halden-archive")
    factories.seen(elsewhere, at=NOW - timedelta(hours=1))
    Snapshot.objects.filter(pk=elsewhere.pk).update(due_at=NOW)

    after = versions.of_organization("halden-checkout", now=NOW).parts

    assert NOW - timedelta(hours=1) in after
    assert after != before


# --- of one ------------------------------------------------------------------------------------------------------


def test_of_one_organization_only_its_pair_counts(checkout: Organization) -> None:
    fleet, _ = factories.pair("halden-fleet", "halden-fleet-dr", at=NOW)
    before = {name: versions.of_organization(name, now=NOW).parts for name in ("halden-checkout", "halden-fleet")}

    Snapshot.objects.filter(pk=fleet.pk).update(repeats=7)
    after = {name: versions.of_organization(name, now=NOW).parts for name in before}

    assert after["halden-checkout"] == before["halden-checkout"]
    assert after["halden-fleet"] != before["halden-fleet"]


def test_of_one_organization_the_other_side_counts_and_so_does_its_own_next_read(checkout: Organization) -> None:
    seen = [versions.of_organization("halden-checkout", now=NOW).parts]
    Snapshot.objects.exclude(pk=checkout.pk).update(repeats=7)
    seen.append(versions.of_organization("halden-checkout", now=NOW).parts)
    seen.append(versions.of_organization("halden-checkout", now=NOW + timedelta(seconds=22)).parts)

    assert len(set(seen)) == 3


def test_what_is_read_back_for_a_change_makes_another_version_of_all_that_shows_it(checkout: Organization) -> None:
    change = opened(Organization.objects.select_related("snapshot", "pair").get(pk=checkout.pk), ChangeStatus.UNKNOWN)

    def seen() -> list[object]:
        return [
            versions.of_organization("halden-checkout", now=NOW).parts,
            versions.of_change(change.pk, now=NOW).parts,
            versions.of_changes(now=NOW).parts,
        ]

    before = seen()
    LogLine.objects.update(times=2)
    counted = seen()
    Change.objects.update(check_at=NOW + timedelta(seconds=5))

    assert all(one != other for one, other in zip(before, counted, strict=True))
    assert all(one != other for one, other in zip(counted, seen(), strict=True))


@pytest.mark.parametrize("moment", ["check_at", "expires_at"])
def test_the_moment_that_a_change_waits_for_makes_another_version(checkout: Organization, moment: str) -> None:
    change = opened(
        Organization.objects.select_related("snapshot", "pair").get(pk=checkout.pk), ChangeStatus.AWAITING_APPROVAL
    )
    Change.objects.update(**{moment: NOW + timedelta(seconds=5)})
    before = versions.of_change(change.pk, now=NOW).parts

    assert versions.of_change(change.pk, now=NOW + timedelta(seconds=4)).parts == before
    assert versions.of_change(change.pk, now=NOW + timedelta(seconds=6)).parts != before


# --- by the services, and at what cost ----------------------------------------------------------------------------


def test_a_view_that_was_changed_aside_and_each_step_of_a_change_make_another_version(simulator: Simulator) -> None:
    sides = changing.connected(simulator)
    seen = [everything()]

    simulator.write_aside("acme", 2, "priya.raman@halden.example")
    changing.look(*sides)
    seen.append(everything())
    change = changing.prepared(sides[1])
    seen.append(everything())
    changing.confirmed(change)
    seen.append(everything())

    assert len(set(seen)) == 4


def test_a_version_costs_as_many_queries_for_many_as_for_one(
    checkout: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        factories.pair(f"halden-{number}", f"halden-{number}-dr", at=NOW)

    with django_assert_num_queries(3):
        versions.of_everything(now=NOW)
    with django_assert_num_queries(5):
        versions.of_organization("halden-checkout", now=NOW)


def test_what_happens_in_a_drill_makes_another_version_of_it_and_of_the_list() -> None:
    drill = practising.begun()

    def shown() -> tuple[object, object]:
        return versions.of_drill(drill.pk, now=NOW).parts, versions.of_drills(now=NOW).parts

    before = shown()
    assert shown() == before
    Snapshot.objects.filter(organization__column="PRIMARY").update(answered_at=NOW)
    read = shown()
    assert read[0] != before[0]
    drills.end(drill, by=changing.operator())
    ended = shown()

    assert ended[0] != read[0]
    assert ended[1] != read[1]


def test_what_is_read_back_for_a_real_change_is_nothing_to_the_list_of_drills(checkout: Organization) -> None:
    opened(Organization.objects.select_related("snapshot", "pair").get(pk=checkout.pk), ChangeStatus.UNKNOWN)
    before = versions.of_drills(now=NOW).parts

    LogLine.objects.update(times=2)

    assert versions.of_drills(now=NOW).parts == before
