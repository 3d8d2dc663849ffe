from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any
from uuid import UUID

import pytest
import trustme
from django.db import OperationalError
from django.db.models import Q
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Event
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.organizations import Site
from hamr_portal.models import Observation, Organization, Pair, Snapshot
from hamr_portal.services import connections, readings
from hamr_portal.services.connections import Result
from hamr_portal.services.readings import ReadNow, read_now
from hamr_portal.simulator import ACTIVE, FAILOVER, FAULTS, PASSIVE, Simulator
from tests import factories

from . import changing
from .conftest import InParallel
from .records import entries, read, whole_database

pytestmark = pytest.mark.django_db

VIEW = ("has_connection", "status", "is_primary", "modified_at", "modified_by", "target_uuid", "target_name", "raw")
FLIPS = (
    Event.READ_CHANGED,
    Event.KEYS_REFUSED,
    Event.IDENTITY_MISMATCH,
    Event.KEYS_UNREADABLE,
    Event.TLS_FAILURE,
    Event.REDIRECT_REFUSED,
)


def saved_pair(simulator: Simulator, **primary: Any) -> tuple[Organization, Organization]:
    one = simulator.add_organization("acme", "us1", **primary)
    two = simulator.add_organization("acme-dr", "us5")
    simulator.add_pair("acme", "acme-dr")
    return factories.simulated(one), factories.simulated(two)


def again(*organizations: Organization) -> list[Organization]:
    rows = Organization.objects.select_related("snapshot", "pair")
    return [rows.get(pk=organization.pk) for organization in organizations]


# --- the last good view -----------------------------------------------------------------------------------------


def test_a_read_stores_the_view_its_age_and_the_raw_answer(simulator: Simulator):
    acme, acme_dr = saved_pair(simulator)

    (seen, _) = read(acme, acme_dr)

    assert (seen.outcome, seen.attempt_failed, seen.repeats) == ("ANSWERED", False, 1)
    assert (seen.has_connection, seen.status, seen.is_primary) == (True, PASSIVE, True)
    assert (seen.target_uuid, seen.target_name, seen.target_datacenter) == (acme_dr.uuid, "acme-dr", "us5")
    assert seen.modified_by == "admin@example.com"
    assert seen.answered_at == seen.attempted_at == seen.view_since == seen.outcome_since
    assert (seen.answer_status, seen.attempt_status) == (200, 200)
    assert '"target_org_name": "acme-dr"' in seen.raw
    assert (seen.lease, seen.leased_until) == (None, None)


@pytest.mark.parametrize("own_datacenter", [False, True])
def test_both_spellings_make_the_same_pair(simulator: Simulator, own_datacenter: bool):
    acme, acme_dr = saved_pair(simulator, spelling="PascalCase", own_datacenter=own_datacenter)

    recorded, documented = read(acme, acme_dr)

    assert (recorded.spelling, documented.spelling) == ("PASCAL_CASE", "SNAKE_CASE")
    assert recorded.modified_at == documented.modified_at
    assert (recorded.own_datacenter != "") is own_datacenter
    acme, acme_dr = again(acme, acme_dr)
    assert acme.pair is not None
    assert acme.pair == acme_dr.pair


def test_a_spelling_that_changes_is_no_change_from_outside(simulator: Simulator):
    acme, acme_dr = saved_pair(simulator)
    read(acme, acme_dr)
    simulator.organizations.named("acme").spelling = "PascalCase"

    seen, _ = read(acme, acme_dr)

    assert (seen.spelling, seen.target_datacenter, seen.outside_at) == ("PASCAL_CASE", "us5.prod.dog", None)
    assert entries(Event.STATUS_CHANGED_OUTSIDE) == []
    assert Observation.objects.count() == 2


def test_nothing_goes_into_history_when_nothing_changed(simulator: Simulator):
    acme, acme_dr = saved_pair(simulator)
    read(acme, acme_dr)
    first, record = Snapshot.objects.get(pk=acme.pk), entries()

    read(acme, acme_dr)
    read(acme, acme_dr)

    seen = Snapshot.objects.get(pk=acme.pk)
    assert seen.repeats == 3
    assert (seen.view_since, seen.outcome_since) == (first.view_since, first.outcome_since)
    assert seen.answered_at > first.answered_at  # type: ignore[operator]
    assert Observation.objects.filter(organization=acme).count() == 1
    assert entries() == record


def test_the_next_read_is_due_after_the_interval(simulator: Simulator, settings: Settings):
    settings.HAMR_POLL_INTERVAL = 30
    acme, _ = saved_pair(simulator)

    (seen,) = read(acme)

    assert seen.due_at - seen.attempted_at == timedelta(seconds=30)  # type: ignore[operator]


# --- faults -----------------------------------------------------------------------------------------------------

SLOW = {"hang", "drip_headers", "drip_body"}
FAILS = {
    "echo": (ReadOutcome.REFUSED, "***"),
    "refuse": (ReadOutcome.NO_ANSWER, "refused"),
    "hang": (ReadOutcome.NO_ANSWER, ""),
    "drip_headers": (ReadOutcome.NO_ANSWER, ""),
    "drip_body": (ReadOutcome.NO_ANSWER, ""),
    "drop_before": (ReadOutcome.NO_ANSWER, ""),
    "drop_after": (ReadOutcome.NO_ANSWER, ""),
    "reset": (ReadOutcome.NO_ANSWER, ""),
    "late": (ReadOutcome.NO_ANSWER, ""),
    "truncated": (ReadOutcome.NO_ANSWER, "incomplete"),
    "huge": (ReadOutcome.UNREADABLE, "64 KiB"),
    "many_headers": (ReadOutcome.NO_ANSWER, ""),
    "html": (ReadOutcome.UNREADABLE, "not a Datadog answer"),
    "invalid_json": (ReadOutcome.UNREADABLE, "JSON"),
    "wrong_schema": (ReadOutcome.UNREADABLE, "status"),
    "wrong_organization": (ReadOutcome.WRONG_ORGANIZATION, "answer for organization"),
    "exactly": (ReadOutcome.UNREADABLE, ""),
    "400": (ReadOutcome.REFUSED, "hamr_status is refused"),
    "401": (ReadOutcome.KEY_REFUSED, "Unauthorized"),
    "403": (ReadOutcome.KEY_REFUSED, "Forbidden"),
    "409": (ReadOutcome.REFUSED, "being changed"),
    "429": (ReadOutcome.RATE_LIMITED, "Too many requests"),
    "500": (ReadOutcome.SERVER_ERROR, "Something failed"),
    "503": (ReadOutcome.SERVER_ERROR, "Service Unavailable"),
    "redirect": (ReadOutcome.UNREADABLE, "redirect to 127.0.0.1 refused"),
}
ANSWERS = {"null": ReadOutcome.NO_CONNECTION, "404": ReadOutcome.NO_CONNECTION}
HARMLESS = {"unknown_status", "not_applied"}


def test_every_fault_of_the_simulator_is_tried_here():
    assert set(FAULTS) == FAILS.keys() | ANSWERS.keys() | HARMLESS


@pytest.mark.parametrize("fault", FAILS)
def test_the_last_good_view_stays_beside_an_attempt_that_fails(simulator: Simulator, settings: Settings, fault: str):
    outcome, reason = FAILS[fault]
    acme, acme_dr = saved_pair(simulator)
    good, _ = read(acme, acme_dr)
    deadline = settings.HAMR_DEADLINE
    simulator.set_fault("acme", fault)
    settings.HAMR_DEADLINE = 0.1 if fault in SLOW else deadline

    read(acme)
    (failing,) = read(acme)

    assert (failing.outcome, failing.attempt_failed, failing.repeats) == (outcome, True, 2)
    assert reason in failing.attempt_reason
    assert failing.attempt_reason
    assert [getattr(failing, name) for name in VIEW] == [getattr(good, name) for name in VIEW]
    assert (failing.answered_at, failing.view_since) == (good.answered_at, good.view_since)
    assert failing.attempted_at > failing.outcome_since > good.answered_at  # type: ignore[operator]
    assert [(flip.outcome, flip.data["before"]) for flip in entries(*FLIPS)] == [(outcome, "ANSWERED")]

    settings.HAMR_DEADLINE = deadline
    simulator.set_fault("acme", None)
    (back,) = read(acme)

    assert (back.outcome, back.attempt_failed, back.repeats, back.attempt_raw) == ("ANSWERED", False, 1, "")
    assert [(flip.event, flip.outcome, flip.data["before"]) for flip in entries(*FLIPS)[1:]] == [
        (Event.READ_CHANGED, "ANSWERED", outcome)
    ]
    lines = Observation.objects.filter(organization=acme).order_by("id")
    assert [(line.outcome, line.status, line.outside) for line in lines] == [
        ("ANSWERED", PASSIVE, False),
        (outcome, PASSIVE, False),
        ("ANSWERED", PASSIVE, False),
    ]
    assert entries(Event.STATUS_CHANGED_OUTSIDE) == []


@pytest.mark.parametrize("fault", ANSWERS)
def test_no_connection_is_an_answer_and_replaces_the_view(simulator: Simulator, fault: str):
    acme, acme_dr = saved_pair(simulator)
    read(acme, acme_dr)
    simulator.set_fault("acme", fault)

    (seen,) = read(acme)

    assert (seen.outcome, seen.attempt_failed, seen.has_connection) == ("NO_CONNECTION", False, False)
    assert (seen.status, seen.is_primary, seen.target_uuid, seen.modified_by) == (None, None, None, "")
    (changed,) = entries(Event.STATUS_CHANGED_OUTSIDE)
    assert (changed.data["before"]["status"], changed.data["after"]["has_connection"]) == (PASSIVE, False)
    assert again(acme)[0].pair is not None


def test_an_unknown_status_is_kept_as_the_number_it_is(simulator: Simulator):
    acme, acme_dr = saved_pair(simulator)
    simulator.set_fault("acme", "unknown_status", number=99)

    seen, _ = read(acme, acme_dr)

    assert (seen.outcome, seen.status) == ("ANSWERED", 99)


def test_a_first_read_that_fails_goes_on_the_record_and_one_that_succeeds_does_not(simulator: Simulator):
    acme, acme_dr = saved_pair(simulator)
    simulator.set_fault("acme", "500")

    read(acme, acme_dr)

    assert [(flip.organization, flip.data["before"]) for flip in entries(*FLIPS)] == [("acme", "")]


@pytest.mark.parametrize(
    ("fault", "event"),
    [
        ("401", Event.KEYS_REFUSED),
        ("wrong_organization", Event.IDENTITY_MISMATCH),
        ("redirect", Event.REDIRECT_REFUSED),
        ("503", Event.READ_CHANGED),
    ],
)
def test_a_flip_is_called_by_what_it_means(simulator: Simulator, fault: str, event: Event):
    acme, acme_dr = saved_pair(simulator)
    read(acme, acme_dr)
    simulator.set_fault("acme", fault)

    read(acme)

    (flip,) = entries(*FLIPS)
    assert flip.event == event
    assert (flip.organization, flip.actor) == ("acme", "tests")
    assert flip.data["detail"] == Snapshot.objects.get(pk=acme.pk).attempt_reason


def test_a_redirect_is_said_also_after_another_unreadable_answer(simulator: Simulator):
    acme, _ = saved_pair(simulator)
    simulator.set_fault("acme", "html")
    read(acme)
    simulator.set_fault("acme", "redirect")

    read(acme)
    read(acme)

    assert [flip.event for flip in entries(*FLIPS)] == [Event.READ_CHANGED, Event.REDIRECT_REFUSED]
    assert simulator.followed == []


def test_a_failing_tls_check_is_said_also_where_nothing_answered_before(settings: Settings):
    authority = trustme.CA()
    acme = factories.organization("acme")
    (flight,) = connections.claim([acme.pk], Q())
    readings.store([Result(flight, timezone.now(), ReadOutcome.NO_ANSWER, phase="CONNECT")], by=factories.WORKER)
    with UntrustedSite(authority) as site:
        settings.HAMR_SITES = {**settings.HAMR_SITES, "us1": site}

        read(acme)
        (seen,) = read(acme)

    assert (seen.outcome, seen.attempt_phase, seen.repeats) == ("NO_ANSWER", "TLS", 3)
    assert [flip.event for flip in entries(*FLIPS)] == [Event.READ_CHANGED, Event.TLS_FAILURE]


class UntrustedSite:
    """A site with a certificate that nobody trusts."""

    def __init__(self, authority: trustme.CA) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.context)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.thread = Thread(target=self.serve, daemon=True)

    def serve(self) -> None:
        while True:
            try:
                accepted, _ = self.listener.accept()
            except OSError:
                return
            with accepted:
                try:
                    self.context.wrap_socket(accepted, server_side=True).close()
                except OSError:
                    continue

    def __enter__(self) -> Site:
        self.thread.start()
        return Site("us1", f"https://127.0.0.1:{self.listener.getsockname()[1]}")

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


# --- back-off ---------------------------------------------------------------------------------------------------


def wait_after(snapshot: Snapshot) -> float:
    assert snapshot.attempted_at is not None
    return (snapshot.due_at - snapshot.attempted_at).total_seconds()


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({"reset": 45}, 45),
        ({"reset": 5}, 10),
        ({"headers": False}, 60),
        ({"headers": False, "retry_after": 90}, 90),
        ({"reset": 10**9}, 300),
        ({"reset": -3}, 10),
        ({"reset": "soon"}, 60),
    ],
)
def test_a_rate_limit_is_waited_out_within_bounds(
    simulator: Simulator, settings: Settings, options: dict[str, Any], seconds: float
):
    settings.HAMR_POLL_INTERVAL = 10
    acme, _ = saved_pair(simulator)
    simulator.set_fault("acme", "429", **options)

    (seen,) = read(acme)

    assert (seen.outcome, wait_after(seen)) == ("RATE_LIMITED", seconds)


def test_refused_keys_back_off_at_once(simulator: Simulator):
    acme, _ = saved_pair(simulator)
    simulator.set_fault("acme", "403")

    (seen,) = read(acme)

    assert wait_after(seen) == 300


def test_no_answer_backs_off_after_three_reads_and_no_further_than_a_bound(simulator: Simulator, settings: Settings):
    settings.HAMR_POLL_INTERVAL = 10
    acme, acme_dr = saved_pair(simulator)
    read(acme, acme_dr)
    simulator.set_fault("acme", "refuse")

    waits = [wait_after(read(acme)[0]) for _ in range(8)]

    assert waits[:4] == [10, 10, 10, 20]
    assert waits == sorted(waits)
    assert waits[-1] == waits[-2] <= 120
    assert wait_after(read(acme_dr)[0]) == 10


# --- changes from outside, and identity -------------------------------------------------------------------------


def test_a_change_from_outside_is_flagged_on_both_sides(simulator: Simulator):
    acme, acme_dr = saved_pair(simulator)
    read(acme, acme_dr)
    simulator.write_aside("acme", FAILOVER, "someone@else.example")

    snapshots = read(acme, acme_dr)

    assert [snapshot.outside_at == snapshot.attempted_at == snapshot.view_since for snapshot in snapshots] == [True] * 2
    found = {entry.organization: entry.data for entry in entries(Event.STATUS_CHANGED_OUTSIDE)}
    assert found.keys() == {"acme", "acme-dr"}
    for data in found.values():
        assert (data["before"]["status"], data["after"]["status"]) == (PASSIVE, FAILOVER)
        assert (data["before"]["modified_by"], data["after"]["modified_by"]) == (
            "admin@example.com",
            "someone@else.example",
        )
    assert list(Observation.objects.filter(outside=True).values_list("status", flat=True)) == [FAILOVER, FAILOVER]


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("is_primary", False),
        ("modified_by", "bot"),
        ("modified_at", datetime(2026, 1, 1, tzinfo=UTC)),
        ("target_org_name", "renamed"),
        ("target_org_uuid", "0f0f0f0f-1111-11ee-8888-da7ad0900009"),
        ("target_org_datacenter", "eu1"),
    ],
)
def test_any_part_of_a_view_that_changes_makes_a_line_of_history(simulator: Simulator, attribute: str, value: object):
    acme, acme_dr = saved_pair(simulator)
    read(acme, acme_dr)
    simulator.split("acme", **{attribute: value})

    read(acme)

    assert Observation.objects.filter(organization=acme).count() == 2
    assert len(entries(Event.STATUS_CHANGED_OUTSIDE)) == 1


def test_the_other_side_of_what_changed_is_due_at_once(simulator: Simulator):
    acme, acme_dr = saved_pair(simulator)
    read(acme, acme_dr)
    simulator.write_aside("acme", ACTIVE, "someone@else.example")

    read(acme)

    assert [pk for pk, _ in connections.due(10)] == [acme_dr.pk]


def test_the_other_side_keeps_its_back_off_when_it_fails(simulator: Simulator):
    acme, acme_dr = saved_pair(simulator)
    read(acme, acme_dr)
    simulator.set_fault("acme-dr", "429")
    read(acme_dr)
    simulator.write_aside("acme", ACTIVE, "someone@else.example")

    read(acme)

    assert connections.due(10) == []


def test_another_organizations_answer_never_becomes_the_view(simulator: Simulator):
    acme, acme_dr = saved_pair(simulator)
    simulator.set_fault("acme", "wrong_organization")

    seen, _ = read(acme, acme_dr)

    assert (seen.outcome, seen.has_connection, seen.status, seen.answered_at) == (
        "WRONG_ORGANIZATION",
        None,
        None,
        None,
    )
    assert again(acme)[0].uuid == acme.uuid


def test_an_answer_is_held_against_what_was_pinned_since_it_was_asked_for(simulator: Simulator):
    acme, acme_dr = saved_pair(simulator)
    Organization.objects.filter(pk=acme.pk).update(uuid=None)
    (flight,) = connections.claim([acme.pk], Q())
    result = connections.fetch(flight)
    Organization.objects.filter(pk=acme.pk).update(uuid=UUID(int=7))

    readings.store([result], by=factories.WORKER)

    assert Snapshot.objects.get(pk=acme.pk).outcome == "WRONG_ORGANIZATION"
    assert acme_dr.pair_id is None


def test_a_uuid_that_could_not_be_learned_is_pinned_with_the_first_connection(simulator: Simulator):
    acme, _ = saved_pair(simulator)
    uuid = acme.uuid
    Organization.objects.filter(pk=acme.pk).update(uuid=None)

    read(acme)
    read(acme)

    assert again(acme)[0].uuid == uuid
    assert [(e.organization, e.data) for e in entries(Event.ORGANIZATION_PINNED)] == [("acme", {"uuid": str(uuid)})]


def test_keys_of_an_organization_that_is_saved_already_are_a_wrong_organization(simulator: Simulator):
    acme, _ = saved_pair(simulator)
    twin = factories.organization(
        "twin",
        with_credentials=factories.credentials(
            simulator.organizations.named("acme").api_key, simulator.organizations.named("acme").application_key
        ),
    )
    Organization.objects.filter(pk=twin.pk).update(uuid=None)

    _, seen = read(acme, twin)

    assert (seen.outcome, seen.has_connection) == ("WRONG_ORGANIZATION", None)
    assert seen.attempt_reason.endswith("which is saved as acme")
    assert again(twin)[0].uuid is None


def test_an_answer_without_a_connection_pins_nothing(simulator: Simulator):
    alone = factories.simulated(simulator.add_organization("alone", "us1"))
    Organization.objects.update(uuid=None)

    (seen,) = read(alone)

    assert (seen.outcome, again(alone)[0].uuid) == ("NO_CONNECTION", None)


def test_no_key_is_stored_though_a_server_sends_it_back(simulator: Simulator):
    keys = (factories.CANARY_API_KEY, factories.CANARY_APPLICATION_KEY)
    acme = simulator.add_organization("acme", "us1", api_key=keys[0], application_key=keys[1])
    simulator.set_fault("acme", "exactly", status=403, body=f'{{"errors": ["Unknown key {keys[0]} {keys[1]}"]}}')

    (seen,) = read(factories.simulated(acme))

    assert seen.attempt_reason == "Unknown key *** ***"
    stored = whole_database()
    assert "acme" in stored
    assert [key for key in keys if key in stored] == []


def test_storing_nothing_writes_nothing():
    readings.store([], by=factories.WORKER)

    assert entries() == []


# --- read now ---------------------------------------------------------------------------------------------------


def test_a_person_reads_both_sides_at_once(simulator: Simulator):
    sides = again(*saved_pair(simulator))

    answers = read_now(sides, by=factories.ADMIN)

    assert answers == dict.fromkeys(sides, ReadNow.READ)
    assert [side.snapshot.outcome for side in again(*sides)] == ["ANSWERED", "ANSWERED"]
    assert {entry.actor for entry in entries(Event.PAIR_FOUND)} == {"admin@halden.example"}


def test_a_second_look_within_ten_seconds_is_not_read_again(simulator: Simulator):
    sides = saved_pair(simulator)
    read_now(again(*sides), by=factories.ADMIN)

    answers = read_now(again(*sides), by=factories.ADMIN)

    assert set(answers.values()) == {ReadNow.JUST_READ}
    assert len(simulator.requests) == 2


def test_a_page_that_was_loaded_before_the_last_read_does_not_cause_another(simulator: Simulator):
    sides = again(*saved_pair(simulator))
    read_now(sides, by=factories.ADMIN)

    answers = read_now(sides, by=factories.ADMIN)

    assert answers == dict.fromkeys(sides, ReadNow.JUST_READ)
    assert len(simulator.requests) == 2


def test_a_hundred_refreshes_at_once_make_one_request_a_side(simulator: Simulator, in_parallel: InParallel[None]):
    sides = saved_pair(simulator)

    def refresh() -> None:
        for _ in range(25):
            read_now(again(*sides), by=factories.ADMIN)

    in_parallel(4, refresh)

    assert sorted(str(request.organization) for request in simulator.requests) == ["acme", "acme-dr"]
    assert {side.snapshot.outcome for side in again(*sides)} == {"ANSWERED"}


def test_a_read_may_be_repeated_after_ten_seconds_or_when_the_clock_was_set_back(simulator: Simulator):
    acme, acme_dr = saved_pair(simulator)
    read(acme, acme_dr)
    now = timezone.now()
    Snapshot.objects.filter(pk=acme.pk).update(attempted_at=now - timedelta(seconds=11))
    Snapshot.objects.filter(pk=acme_dr.pk).update(attempted_at=now + timedelta(days=1))

    answers = read_now(again(acme, acme_dr), by=factories.ADMIN)

    assert list(answers.values()) == [ReadNow.READ, ReadNow.READ]


def test_what_another_reads_at_this_moment_is_under_way(simulator: Simulator):
    (acme,) = again(saved_pair(simulator)[0])
    connections.claim([acme.pk], Q())

    answers = read_now([acme], by=factories.ADMIN)

    assert answers == {acme: ReadNow.UNDER_WAY}
    assert simulator.requests == []


def test_a_rate_limit_holds_for_people_too_until_it_is_over(simulator: Simulator):
    acme, _ = saved_pair(simulator)
    simulator.set_fault("acme", "429", reset=200)
    read(acme)
    long_ago = timezone.now() - timedelta(minutes=2)
    Snapshot.objects.filter(pk=acme.pk).update(attempted_at=long_ago)

    limited = read_now(again(acme), by=factories.ADMIN)
    Snapshot.objects.filter(pk=acme.pk).update(due_at=long_ago)
    over = read_now(again(acme), by=factories.ADMIN)

    assert [*limited.values(), *over.values()] == [ReadNow.RATE_LIMITED, ReadNow.READ]
    assert len(simulator.requests) == 2


def test_a_disabled_organization_is_not_read(simulator: Simulator):
    acme, _ = saved_pair(simulator)
    Organization.objects.filter(pk=acme.pk).update(disabled_at=timezone.now())

    answers = read_now(again(acme), by=factories.ADMIN)

    assert list(answers.values()) == [ReadNow.DISABLED]
    assert simulator.requests == []


def test_more_organizations_than_threads_are_all_read(simulator: Simulator, settings: Settings):
    settings.HAMR_SWEEP_THREADS = 2
    made = [factories.simulated(simulator.add_organization(f"org-{number}", "us1")) for number in range(5)]

    answers = read_now(again(*made), by=factories.ADMIN)

    assert set(answers.values()) == {ReadNow.READ}
    assert Snapshot.objects.filter(outcome="NO_CONNECTION").count() == 5


def test_no_more_people_than_seats_read_at_once(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    acme, acme_dr = again(*saved_pair(simulator))
    acquire: Callable[..., bool] = readings._CALLS_FOR_PEOPLE.acquire
    taken = 0
    while acquire(blocking=False):
        taken += 1

    try:
        answers = read_now([acme, acme_dr], by=factories.ADMIN)
    finally:
        readings._CALLS_FOR_PEOPLE.release(taken)

    assert taken == 4  # each reads two sides
    assert answers == {acme: ReadNow.BUSY, acme_dr: ReadNow.BUSY}
    assert list(read_now([acme], by=factories.ADMIN).values()) == [ReadNow.READ]


def test_a_seat_is_free_again_after_a_read_that_failed(simulator: Simulator):
    acme, _ = again(*saved_pair(simulator))
    simulator.set_fault("acme", "500")

    for _ in range(9):
        Snapshot.objects.update(attempted_at=None)
        answers = read_now(again(acme), by=factories.ADMIN)

    assert list(answers.values()) == [ReadNow.READ]


def test_pairing_that_failed_once_is_made_up_for_by_the_next_read(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    made = [simulator.add_organization("acme", "us1"), simulator.add_organization("acme-dr", "us5")]
    simulator.add_pair("acme", "acme-dr")
    saved = [factories.simulated(each) for each in made]
    with monkeypatch.context() as patch:
        patch.setattr("hamr_portal.services.pairs.discover_pairs", locked)
        with pytest.raises(OperationalError):
            read_now(saved, by=factories.ADMIN)
    assert Pair.objects.count() == 0

    Snapshot.objects.update(attempted_at=None)
    read_now(again(*saved), by=factories.ADMIN)

    assert Pair.objects.count() == 1


def locked(**_: object) -> None:
    raise OperationalError("database is locked")


# --- for a change -----------------------------------------------------------------------------------------------


def test_a_change_reads_now_whoever_reads_already_and_whatever_was_read_a_moment_ago(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    connections.claim([acme.pk], Q())
    simulator.set_fault("acme-dr", "429", times=1)
    read(acme_dr)
    simulator.write_aside("acme", FAILOVER, "jonas.weber@halden.example")

    results = readings.read_for_change([acme.pk, acme_dr.pk], by=changing.operator())

    assert {result.flight.organization_id: result.answered for result in results} == {acme.pk: True, acme_dr.pk: True}
    assert [row.status for row in Snapshot.objects.all()] == [FAILOVER, FAILOVER]
    assert not Snapshot.objects.exclude(lease=None).exists()


def test_what_a_change_reads_is_on_the_record_as_read_by_the_person(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", "500")

    readings.read_for_change([acme.pk], by=changing.operator())

    assert entries(Event.READ_CHANGED)[-1].actor == changing.operator().name


def test_a_change_reads_nothing_where_there_is_nothing_to_read(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    Organization.objects.filter(pk=acme.pk).update(disabled_at=timezone.now())
    before = len(simulator.requests)

    assert readings.read_for_change([acme.pk], by=changing.operator()) == []
    assert readings.read_for_change([], by=changing.operator()) == []
    assert len(simulator.requests) == before


# --- what the portal itself wrote -------------------------------------------------------------------------------


def outside(*organizations: Organization) -> list[bool]:
    """Give, for each, whether the last line of its history came from outside the portal."""
    rows = Observation.objects.order_by("-pk")
    return [rows.filter(organization=each)[0].outside for each in organizations]


def test_what_a_change_of_the_portal_wrote_is_not_from_outside_on_either_side(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)

    changing.changed(acme)
    read(acme, acme_dr)

    assert [row.status for row in Snapshot.objects.all()] == [FAILOVER, FAILOVER]
    assert outside(acme, acme_dr) == [False, False]
    assert not Snapshot.objects.exclude(outside_at=None).exists()
    assert entries(Event.STATUS_CHANGED_OUTSIDE) == []


def test_what_somebody_else_wrote_after_a_change_is_from_outside_on_both_sides(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    changing.changed(acme)
    simulator.write_aside("acme", ACTIVE, "jonas.weber@halden.example")

    read(acme, acme_dr)

    assert outside(acme, acme_dr) == [True, True]
    assert {entry.organization for entry in entries(Event.STATUS_CHANGED_OUTSIDE)} == {"acme", "acme-dr"}


def test_a_connection_that_is_gone_after_a_change_is_from_outside(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    changing.changed(acme)
    simulator.disconnect("acme")

    read(acme)

    assert outside(acme) == [True]


def test_what_was_never_sent_explains_nothing_that_is_seen(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    changing.prepared(acme)
    simulator.write_aside("acme", FAILOVER, changing.operator().name)

    read(acme)

    assert outside(acme) == [True]


def test_a_change_of_another_pair_explains_nothing(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    globex, _ = changing.connected(simulator, names=("globex", "globex-dr"))
    changing.changed(globex)
    simulator.write_aside("acme", FAILOVER, changing.operator().name)

    read(acme)

    assert outside(acme) == [True]


@pytest.mark.parametrize(("later", "explained"), [(9, True), (10, False)])
def test_only_the_last_ten_changes_are_asked(simulator: Simulator, later: int, explained: bool):
    acme, _ = changing.connected(simulator)
    changing.standing(acme, "UNKNOWN")
    for _ in range(later):
        changing.standing(acme, "VERIFIED", writer="somebody.else@halden.example")
    simulator.write_aside("acme", FAILOVER, changing.operator().name)

    read(acme)

    assert outside(acme) == [not explained]
