"""What would fail tonight, as the database tells it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from time_machine import TimeMachineFixture

from hamr_portal.domain.audit import Event
from hamr_portal.domain.people import Role
from hamr_portal.domain.readiness import Fine, Found, Risk, Topic
from hamr_portal.models import LogStanding, Organization, Person, Snapshot, Worker
from hamr_portal.services import audit, integrity, readiness
from hamr_portal.simulator import Simulator
from tests import factories

from . import changing, practising

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def board(*, names_people: bool = True) -> readiness.Board:
    return readiness.board(now=timezone.now(), names_people=names_people)


def found(risk: Risk, *, names_people: bool = True) -> list[Found]:
    return [each for each in board(names_people=names_people).found if each.risk is risk]


def fine(topic: Topic) -> Fine:
    (line,) = [each for each in board().fine if each.topic is topic]
    return line


def work() -> None:
    Worker.objects.create(name="here:1", started_at=timezone.now(), seen_at=timezone.now())


def record() -> None:
    with transaction.atomic():
        audit.append(Event.WORKER_RESUMED, by=factories.WORKER)


# --- all is well ------------------------------------------------------------------------------------------------


def test_nothing_would_fail_where_all_is_well_and_each_topic_says_so_in_a_line(simulator: Simulator):
    work()
    changing.connected(simulator)
    practising.practised()
    integrity.verify_and_keep(by=factories.WORKER)

    shown = board()

    assert shown.found == ()
    assert [line.topic for line in shown.fine] == [
        *(Topic.WORKER, Topic.LOG, Topic.KEYS, Topic.WRITES, Topic.READS, Topic.PAIRS, Topic.CLOCK, Topic.AGE),
        *(Topic.FACTORS, Topic.DRILLS),
    ]
    assert {(line.good, line.of) for line in shown.fine} == {(1, 1), (2, 2), (0, 2)}


def test_an_empty_installation_is_told_of_its_worker_alone():
    shown = board()

    assert [each.risk for each in shown.failing] == [Risk.WORKER_STOPPED]
    assert (shown.due, shown.fine) == ([], ())


def test_the_number_of_queries_does_not_grow(django_assert_max_num_queries: DjangoAssertNumQueries):
    for number in range(12):
        factories.pair(f"org-{number}", f"org-{number}-dr")
        factories.person(Role.OPERATOR, f"p{number}@halden.example")
    record()

    with django_assert_max_num_queries(12):
        board()


# --- worker and log ---------------------------------------------------------------------------------------------


def test_a_late_worker_is_due_and_an_absent_one_fails():
    seen_at = timezone.now() - timedelta(minutes=5)
    Worker.objects.create(name="here:1", started_at=seen_at, seen_at=seen_at)

    assert found(Risk.WORKER_LATE) == [Found(Risk.WORKER_LATE, since=seen_at)]

    Worker.objects.update(stopped_at=seen_at)
    assert found(Risk.WORKER_STOPPED) == [Found(Risk.WORKER_STOPPED, since=seen_at)]


def test_a_log_in_doubt_fails_and_hides_what_is_late_with_it():
    record()
    LogStanding.objects.create(pk=1, trouble="BROKEN", detail="entry #1: edited", since=timezone.now())

    assert found(Risk.LOG_IN_DOUBT) == [Found(Risk.LOG_IN_DOUBT, detail="entry #1: edited")]
    assert found(Risk.LOG_NOT_VERIFIED) == []


def test_a_log_that_nobody_verifies_and_anchors_is_due(time_machine: TimeMachineFixture):
    at = timezone.now()
    time_machine.move_to(at - HOUR, tick=False)
    record()
    integrity.verify_and_keep(by=factories.WORKER)
    record()
    behind = timezone.now()
    time_machine.move_to(at, tick=False)

    assert found(Risk.LOG_NOT_VERIFIED) == [Found(Risk.LOG_NOT_VERIFIED, since=at - HOUR)]
    assert found(Risk.ANCHOR_LATE) == [Found(Risk.ANCHOR_LATE, since=behind)]


def test_a_machine_without_any_anchor_counts_from_the_first_entry(time_machine: TimeMachineFixture):
    at = timezone.now()
    time_machine.move_to(at - HOUR, tick=False)
    record()
    time_machine.move_to(at, tick=False)

    assert found(Risk.ANCHOR_LATE) == [Found(Risk.ANCHOR_LATE, since=at - HOUR)]


def test_anchors_that_cannot_be_read_are_told_by_the_doubt_alone():
    record()
    settings.ANCHOR_FILE.mkdir()

    assert [each.risk for each in board().found if each.risk.topic is Topic.LOG] == [Risk.LOG_IN_DOUBT]
    assert readiness._unanchored_since() is None


# --- keys and reads ---------------------------------------------------------------------------------------------


def test_keys_that_are_refused_and_organizations_that_were_never_read_fail():
    primary, _ = factories.pair()
    Snapshot.objects.filter(pk=primary.pk).update(outcome="KEY_REFUSED", attempt_failed=True)
    factories.organization("lone", site="us3")

    shown = board()

    assert [(each.risk, each.name) for each in shown.failing if each.name] == [
        (Risk.KEY_REFUSED, "halden-checkout"),
        (Risk.NEVER_READ, "lone"),
    ]
    assert fine(Topic.KEYS) == Fine(Topic.KEYS, 1, 3)


def test_what_a_change_proved_of_the_keys_is_told(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = changing.changed(acme)

    assert fine(Topic.WRITES) == Fine(Topic.WRITES, 1, 2, change.sent_at)

    Organization.objects.filter(pk=acme.pk).update(keys_saved_at=timezone.now())
    assert fine(Topic.WRITES) == Fine(Topic.WRITES, 0, 2)


def test_a_write_that_a_site_refused_to_these_keys_fails():
    primary, _ = factories.pair()
    Organization.objects.update(keys_saved_at=timezone.now() - DAY)
    change = changing.standing(primary, "REJECTED", http_status=403)

    assert found(Risk.WRITE_REFUSED) == [Found(Risk.WRITE_REFUSED, primary.name, "us1", change.sent_at)]


@pytest.mark.parametrize("http_status", [409, 422, 429])
def test_a_change_that_was_refused_for_another_reason_says_nothing_of_the_keys(http_status: int):
    primary, _ = factories.pair()
    changing.standing(primary, "REJECTED", http_status=http_status)

    assert found(Risk.WRITE_REFUSED) == []


def test_disabled_organizations_are_not_looked_at():
    made = factories.organization()
    Organization.objects.filter(pk=made.pk).update(disabled_at=timezone.now())

    assert [each.name for each in board().found if each.name] == []


# --- pairs and clocks -------------------------------------------------------------------------------------------


def test_a_pair_whose_sides_do_not_agree_fails():
    primary, _ = factories.pair()
    Snapshot.objects.filter(pk=primary.pk).update(status=4)

    (each,) = found(Risk.NOT_MIRRORED)

    assert (each.name, each.detail) == (primary.name, "Checkout")
    assert fine(Topic.PAIRS) == Fine(Topic.PAIRS, 0, 1)


def test_half_a_pair_is_due():
    _, secondary = factories.pair()
    Organization.objects.filter(pk=secondary.pk).update(disabled_at=timezone.now())

    assert [each.name for each in found(Risk.OTHER_SIDE_NOT_READ)] == ["halden-checkout"]


def test_a_clock_that_differs_from_most_sites_fails():
    factories.pair()
    Snapshot.objects.update(skew_seconds=-95.2)

    assert found(Risk.CLOCK_SKEWED) == [Found(Risk.CLOCK_SKEWED, count=-95)]


def test_how_close_the_clocks_are_is_told_of_those_that_say_it():
    primary, _ = factories.pair()
    Snapshot.objects.filter(pk=primary.pk).update(skew_seconds=1.2)

    assert fine(Topic.CLOCK) == Fine(Topic.CLOCK, 1, 2, limit=2)


def test_each_answer_leaves_how_far_the_clocks_differ(simulator: Simulator):
    acme, _ = changing.connected(simulator)

    assert acme.snapshot.skew_seconds is not None
    assert abs(acme.snapshot.skew_seconds) < 30


# --- people -----------------------------------------------------------------------------------------------------


def person(role: Role, name: str) -> Person:
    return factories.person(role, f"{name}@halden.example")


def test_who_may_change_something_with_a_password_alone_is_named_to_admins_and_counted_for_others():
    Authenticator.objects.create(user=person(Role.OPERATOR, "safe"), type="totp", data={})
    SocialAccount.objects.create(user=person(Role.ADMIN, "linked"), provider="oidc", uid="1")
    Authenticator.objects.create(user=person(Role.OPERATOR, "codes"), type="recovery_codes", data={})
    person(Role.APPROVER, "alone")
    person(Role.VIEWER, "viewer")
    Person.objects.filter(pk=person(Role.ADMIN, "gone").pk).update(is_active=False)

    assert found(Risk.FACTOR_MISSING) == [
        Found(Risk.FACTOR_MISSING, "alone@halden.example", detail="approver"),
        Found(Risk.FACTOR_MISSING, "codes@halden.example", detail="operator"),
    ]
    assert found(Risk.FACTOR_MISSING, names_people=False) == [Found(Risk.FACTOR_MISSING, count=2)]
    assert fine(Topic.FACTORS) == Fine(Topic.FACTORS, 2, 4)


def test_where_everybody_has_one_nobody_is_counted():
    Authenticator.objects.create(user=person(Role.OPERATOR, "safe"), type="totp", data={})

    assert found(Risk.FACTOR_MISSING, names_people=False) == []
