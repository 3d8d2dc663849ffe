from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import time_machine
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import ChangeStatus, Move, What
from hamr_portal.domain.connections import HamrStatus, ReadOutcome, View
from hamr_portal.models import Change, LogLine, Organization, Snapshot
from hamr_portal.models.changes import ChangeQuerySet
from hamr_portal.services import changes, connections, organizations, readings, reconciliation, spool
from hamr_portal.services.connections import Result
from hamr_portal.services.moves import move
from hamr_portal.services.readings import ReadNow
from hamr_portal.services.refusals import SidesChanged
from hamr_portal.simulator import ACTIVE, FAILOVER, ONBOARDING, PASSIVE, Simulator
from tests import factories

from . import changing
from .changing import changed, confirmed, fresh, moves, prepared, standing
from .records import entries

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOMEBODY = "jonas.weber@halden.example"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    """A clock that stands still until it is moved."""
    with time_machine.travel(AT, tick=False) as traveller:
        yield traveller


@pytest.fixture
def sides(simulator: Simulator, clock: time_machine.Traveller) -> tuple[Organization, Organization]:
    """A pair that was passive for an hour."""
    return changing.connected(simulator, modified_at=AT - timedelta(hours=1))


@pytest.fixture
def lost(simulator: Simulator, sides: tuple[Organization, Organization]) -> Change:
    """A change whose request was lost on its way: sent, not applied, not known."""
    return sent(simulator, sides[0], "drop_before")


def sent(simulator: Simulator, organization: Organization, fault: str | None, **options: Any) -> Change:
    """Give a change whose request met this fault."""
    simulator.set_fault(organization.name, fault, verb="POST", **options)
    change = changed(organization)
    simulator.set_fault(organization.name, None)
    return change


def reconcile(change: Change) -> Change:
    reconciliation.reconcile(by=factories.WORKER)
    return fresh(change)


def hear(*organizations_: Organization) -> None:
    """Let the worker read these when they are due, whatever waits for it."""
    results = readings.read_for_change([each.pk for each in organizations_], by=factories.WORKER)
    reconciliation.learn(results, by=factories.WORKER)


def to_the_end(change: Change, clock: time_machine.Traveller) -> list[float]:
    """Read each time when it is due until it is settled, and give the seconds since sending."""
    at: list[float] = []
    while (change := fresh(change)).status in ("ACCEPTED", "UNKNOWN"):
        assert change.check_at is not None
        assert len(at) < 50, "it never ends"
        clock.move_to(change.check_at)
        reconcile(change)
        at.append((change.check_at - AT).total_seconds())
    return at


def answers(change: Change) -> list[tuple[str, int, str]]:
    """Give the read backs as the log tells them: whose, how often the same, and what came of it."""
    lines = LogLine.objects.filter(change=change, what=What.READ_BACK).order_by("pk")
    return [(line.organization.name, line.times, line.outcome) for line in lines if line.organization]


# --- not applied ------------------------------------------------------------------------------------------------


def test_what_keeps_reading_back_as_before_is_not_applied_after_enough_reads_and_time(
    lost: Change, clock: time_machine.Traveller
):
    assert to_the_end(lost, clock) == [3, 8, 18, 38, 58, 118, 120]

    change = fresh(lost)
    assert (change.status, moves(change), change.reads) == ("NOT_APPLIED", ["SEND", "LOSE", "RULE_OUT"], 8)
    assert (change.settled_at, change.check_at) == (AT + timedelta(seconds=120), None)
    assert (change.agreed_reads, change.agreed_seconds, change.applied_modified_at) == (8, 120.0, None)
    (entry,) = entries(Event.CHANGE_NOT_APPLIED)
    assert (entry.data["reads"], entry.data["reads_back"]["status"], entry.actor) == (8, PASSIVE, "tests")


def test_equal_read_backs_are_one_line_of_the_log_and_the_last_stands_by_itself(
    lost: Change, clock: time_machine.Traveller
):
    to_the_end(lost, clock)

    assert answers(lost) == [
        *[("acme-dr", 7, "ANSWERED"), ("acme", 7, "ANSWERED")],
        *[("acme-dr", 1, "ANSWERED"), ("acme", 1, "ANSWERED")],
    ]
    first = LogLine.objects.filter(change=lost, what=What.READ_BACK).order_by("pk").first()
    assert first is not None
    assert (first.at, first.last_at) == (AT, AT + timedelta(seconds=118))


def test_so_many_reads_in_one_moment_settle_nothing(lost: Change):
    for _ in range(10):
        reconcile(lost)

    assert (fresh(lost).status, fresh(lost).agreed_reads, fresh(lost).agreed_seconds) == ("UNKNOWN", 11, 0.0)


def test_so_much_time_between_few_reads_settles_nothing(
    lost: Change, clock: time_machine.Traveller, settings: Settings
):
    settings.HAMR_SETTLE_READS, settings.HAMR_SETTLE_SECONDS = 4, 10
    for _ in range(2):
        clock.shift(50)
        assert reconcile(lost).status == "UNKNOWN"
    clock.shift(1)

    assert reconcile(lost).status == "NOT_APPLIED"


def test_a_clock_that_jumps_ahead_counts_for_nothing(lost: Change, clock: time_machine.Traveller):
    clock.shift(timedelta(days=400))
    change = reconcile(lost)

    assert (change.status, change.agreed_reads, change.agreed_seconds) == ("UNKNOWN", 2, 0.0)


def test_a_clock_that_is_set_back_counts_as_nothing(lost: Change, clock: time_machine.Traveller):
    clock.shift(timedelta(hours=-5))
    change = reconcile(lost)

    assert (change.agreed_reads, change.agreed_seconds) == (2, 0.0)
    assert change.check_at == AT - timedelta(hours=5) + timedelta(seconds=5)


def test_another_view_in_between_begins_the_count_anew(
    simulator: Simulator, lost: Change, clock: time_machine.Traveller
):
    clock.shift(50)
    assert reconcile(lost).agreed_seconds == 50.0
    simulator.write_aside("acme", ACTIVE, SOMEBODY)
    clock.shift(50)

    change = reconcile(lost)

    assert (change.status, change.agreed_reads, change.agreed_seconds) == ("UNKNOWN", 1, 0.0)


# --- what somebody else wrote -----------------------------------------------------------------------------------


def test_what_keeps_reading_back_anothers_write_is_superseded(
    simulator: Simulator, lost: Change, clock: time_machine.Traveller
):
    simulator.write_aside("acme", ACTIVE, SOMEBODY)

    to_the_end(lost, clock)

    change = fresh(lost)
    assert (change.status, moves(change)) == ("SUPERSEDED", ["SEND", "LOSE", "OVERTAKE"])
    assert entries(Event.CHANGE_SUPERSEDED)[0].data["reads_back"]["modified_by"] == SOMEBODY
    assert change.applied_modified_at is None


def test_the_status_that_was_asked_for_written_by_another_is_not_this_change(
    simulator: Simulator, lost: Change, clock: time_machine.Traveller
):
    simulator.write_aside("acme", FAILOVER, SOMEBODY)

    to_the_end(lost, clock)

    assert fresh(lost).status == "SUPERSEDED"


# --- applied after all ------------------------------------------------------------------------------------------


def test_a_request_that_lands_while_it_is_read_is_verified(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    change = sent(simulator, sides[0], "late", seconds=3600)
    assert reconcile(change).status == "UNKNOWN"
    clock.shift(10)
    simulator.act_late()

    change = reconcile(change)

    assert (change.status, moves(change)) == ("VERIFIED", ["SEND", "LOSE", "VERIFY"])
    assert (change.applied_modified_at, change.settled_at, change.check_at) == (
        *[AT + timedelta(seconds=10)] * 2,
        None,
    )


@pytest.mark.parametrize("over", ["NOT_APPLIED", "SUPERSEDED", "RESOLVED"])
def test_a_request_that_lands_after_the_change_was_over_is_recognized(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller, over: str
):
    acme, acme_dr = sides
    change = sent(simulator, acme, "late", seconds=3600)
    if over == "SUPERSEDED":
        simulator.write_aside("acme", ACTIVE, SOMEBODY)
    if over == "RESOLVED":
        changes.resolve(change, by=changing.operator(), reason="because")
    to_the_end(change, clock)
    assert fresh(change).status == over
    clock.shift(timedelta(hours=23))
    simulator.act_late()

    hear(acme_dr)
    assert fresh(change).status == over
    hear(acme, acme_dr)

    change = fresh(change)
    assert (change.status, moves(change)[-1]) == ("VERIFIED", "ARRIVE_LATE")
    assert change.applied_modified_at == change.settled_at
    assert entries(Event.CHANGE_LATE)[0].data["before"] == over
    assert answers(change)[-1] == ("acme", 1, "ANSWERED")


@pytest.mark.parametrize("shows", ["dark", "as before", "something else"])
def test_what_is_over_stays_so_while_its_request_is_not_seen(
    simulator: Simulator, lost: Change, clock: time_machine.Traveller, shows: str
):
    to_the_end(lost, clock)
    if shows == "dark":
        simulator.set_fault("acme", "500")
    if shows == "something else":
        simulator.write_aside("acme", FAILOVER, SOMEBODY)
    before = Change.objects.filter(pk=lost.pk).values().get()

    hear(lost.organization)

    assert Change.objects.filter(pk=lost.pk).values().get() == before
    assert moves(lost)[-1] == "RULE_OUT"


def test_the_last_request_that_was_sent_is_recognized_however_late(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    change = sent(simulator, sides[0], "late", seconds=3600)
    to_the_end(change, clock)
    clock.shift(timedelta(days=30))
    simulator.act_late()

    hear(sides[0])

    assert fresh(change).status == "VERIFIED"


def test_after_a_day_an_earlier_request_is_not_taken_for_what_is_seen(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    acme, _ = sides
    earlier = sent(simulator, acme, "late", seconds=3600)
    to_the_end(earlier, clock)
    later = sent(simulator, acme, "400")
    assert later.status == "REJECTED"
    clock.shift(timedelta(hours=25))
    simulator.act_late()

    hear(acme)

    assert fresh(earlier).status == "NOT_APPLIED"


# --- whose write it is ------------------------------------------------------------------------------------------


def test_the_write_of_a_newer_change_is_not_taken_for_an_older_one(
    simulator: Simulator, lost: Change, clock: time_machine.Traveller
):
    changes.resolve(lost, by=changing.operator(), reason="because")
    clock.shift(10)
    newer = changed(lost.organization)

    hear(lost.organization)

    assert (newer.status, moves(newer)) == ("VERIFIED", ["SEND", "ACCEPT", "VERIFY"])
    assert (fresh(lost).status, moves(lost)[-1]) == ("RESOLVED", "RESOLVE")


def test_of_two_lost_requests_for_the_same_the_newer_is_the_one_that_is_seen(
    simulator: Simulator, lost: Change, clock: time_machine.Traveller
):
    changes.resolve(lost, by=changing.operator(), reason="because")
    newer = sent(simulator, lost.organization, "late", seconds=3600)
    clock.shift(10)
    simulator.act_late()

    hear(lost.organization)
    hear(lost.organization)

    assert (fresh(newer).status, fresh(lost).status) == ("VERIFIED", "RESOLVED")


@pytest.mark.parametrize("status", ["ACCEPTED", "UNKNOWN"])
def test_a_newer_change_that_still_waits_has_the_first_claim(
    simulator: Simulator, lost: Change, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch, status: str
):
    changes.resolve(lost, by=changing.operator(), reason="because")
    newer = sent(simulator, lost.organization, "late", seconds=3600)
    Change.objects.filter(pk=newer.pk).update(status=status)
    clock.shift(10)
    simulator.act_late()
    (result,) = readings.read_for_change([lost.organization_id], by=factories.WORKER)

    reconciliation._hear(fresh(lost), result, None, factories.WORKER)

    assert fresh(lost).status == "RESOLVED"


def test_a_newer_change_that_asked_for_something_else_claims_nothing(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    acme, _ = sides
    older = sent(simulator, acme, "late", seconds=3600)
    changes.resolve(older, by=changing.operator(), reason="because")
    simulator.set_fault("acme", "drop_before", verb="POST")
    newer = changed(acme, HamrStatus.ACTIVE)
    clock.shift(10)
    simulator.act_late()

    hear(acme)

    assert (fresh(older).status, fresh(newer).status) == ("VERIFIED", "UNKNOWN")


def test_a_newer_change_that_was_verified_by_an_earlier_write_claims_nothing(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    acme, _ = sides
    older = sent(simulator, acme, "late", seconds=3600)
    changes.resolve(older, by=changing.operator(), reason="because")
    clock.shift(10)
    newer = changed(acme, HamrStatus.ACTIVE)
    assert newer.status == "VERIFIED"
    clock.shift(10)
    simulator.act_late()

    hear(acme)

    assert (fresh(older).status, fresh(newer).status) == ("VERIFIED", "VERIFIED")


def test_a_newer_change_of_another_person_that_still_waits_claims_nothing(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    acme, _ = sides
    older = sent(simulator, acme, "late", seconds=3600)
    changes.resolve(older, by=changing.operator(), reason="because")
    simulator.set_fault("acme", "drop_before", verb="POST")
    newer = changed(acme, by=changing.operator(email=SOMEBODY))
    clock.shift(10)
    simulator.act_late()

    hear(acme)

    assert (fresh(older).status, fresh(newer).status) == ("VERIFIED", "UNKNOWN")


def test_a_newer_change_that_was_verified_by_another_write_of_the_same_claims_nothing(
    simulator: Simulator, lost: Change, clock: time_machine.Traveller
):
    newer = standing(lost.organization, "VERIFIED", applied_modified_at=AT - timedelta(minutes=10))
    view = View(True, newer.target_status, modified_at=AT, modified_by=newer.writer)

    assert reconciliation._is_of_another(lost, view) is False


@pytest.mark.parametrize("newer", [True, False])
def test_only_a_newer_change_claims_a_write_without_a_time(simulator: Simulator, lost: Change, newer: bool):
    verified = standing(lost.organization, "VERIFIED", applied_modified_at=None)
    view = View(True, verified.target_status, modified_by=verified.writer)
    held = lost if newer else standing(lost.organization, "RESOLVED")

    assert reconciliation._is_of_another(held, view) is newer


@pytest.mark.parametrize("newer", [True, False])
def test_only_a_newer_change_of_the_other_side_claims_a_write_of_about_its_time(
    simulator: Simulator, lost: Change, sides: tuple[Organization, Organization], newer: bool
):
    verified = standing(sides[1], "VERIFIED", applied_modified_at=AT)
    view = View(True, verified.target_status, modified_at=AT + timedelta(seconds=30), modified_by=verified.writer)
    held = lost if newer else standing(lost.organization, "RESOLVED")

    assert reconciliation._is_of_another(held, view) is newer


def test_what_waits_does_not_take_the_write_of_a_newer_change_that_was_verified(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    acme, _ = sides
    change = sent(simulator, acme, "late", seconds=3600)
    clock.shift(10)
    simulator.act_late()
    standing(acme, "VERIFIED", applied_modified_at=AT + timedelta(seconds=10))

    assert reconcile(change).status == "UNKNOWN"
    to_the_end(change, clock)

    assert fresh(change).status == "SUPERSEDED"


def test_the_write_of_a_newer_change_of_the_other_side_is_not_taken_for_this_one(
    simulator: Simulator, lost: Change, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    # Both sides mirror each other, so that the same wish on the other side looks the same here.
    changes.resolve(lost, by=changing.operator(), reason="because")
    clock.shift(10)
    newer = changed(sides[1])
    assert newer.status == "VERIFIED"

    hear(*sides)

    assert fresh(lost).status == "RESOLVED"


def test_a_newer_change_of_the_other_side_that_still_waits_has_the_first_claim(
    simulator: Simulator, lost: Change, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    changes.resolve(lost, by=changing.operator(), reason="because")
    newer = sent(simulator, sides[1], "late", seconds=3600)
    clock.shift(10)
    simulator.act_late()

    hear(sides[0])
    assert fresh(lost).status == "RESOLVED"
    reconcile(newer)
    hear(*sides)

    assert (fresh(newer).status, fresh(lost).status) == ("VERIFIED", "RESOLVED")


def test_a_write_that_was_verified_as_an_older_changes_is_not_a_newer_ones(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    acme, _ = sides
    standing(acme, "VERIFIED", applied_modified_at=AT + timedelta(seconds=10))
    change = sent(simulator, acme, "late", seconds=3600)
    clock.shift(10)
    simulator.act_late()

    assert reconcile(change).status == "UNKNOWN"


def test_a_preview_from_before_another_request_was_sent_is_looked_at_again(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    # Else the two would be told apart by which was previewed last, not by which was sent last.
    acme, _ = sides
    first_tab = prepared(acme)
    change = sent(simulator, acme, "late", seconds=3600)
    changes.resolve(change, by=changing.operator(), reason="because")

    with pytest.raises(SidesChanged) as raised:
        confirmed(first_tab)

    assert raised.value.facts["what"] == "ANOTHER_SENT"
    assert len(simulator.posts) == 1


# --- accepted ---------------------------------------------------------------------------------------------------


def test_what_was_accepted_and_reads_back_as_before_is_doubted_and_read_on(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    change = sent(simulator, sides[0], "not_applied")

    assert (change.status, change.agreed_reads, change.reads) == ("UNKNOWN", 1, 1)
    assert (change.settled_at, change.check_at) == (None, AT + timedelta(seconds=3))
    assert to_the_end(change, clock)[-1] == 120
    assert moves(change) == ["SEND", "ACCEPT", "DOUBT", "RULE_OUT"]


def test_what_was_accepted_is_not_doubted_for_a_place_that_lags_behind(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    earlier = AT - timedelta(hours=2)
    simulator.on_post = lambda _: simulator.split("acme", hamr_status=ONBOARDING, modified_at=earlier)

    change = sent(simulator, sides[0], "not_applied")

    assert (change.status, change.reads, change.agreed_reads) == ("ACCEPTED", 1, 0)
    simulator.write_aside("acme", FAILOVER, changing.operator().name)
    assert reconcile(change).status == "VERIFIED"


def test_a_place_that_lags_behind_counts_for_nothing(simulator: Simulator, lost: Change, clock: time_machine.Traveller):
    clock.shift(50)
    assert reconcile(lost).agreed_reads == 2
    simulator.split("acme", hamr_status=ONBOARDING, modified_at=AT - timedelta(hours=2))

    for _ in range(5):
        clock.shift(60)
        change = reconcile(lost)

    assert (change.status, change.agreed_reads, change.agreed_seconds) == ("UNKNOWN", 2, 50.0)


def test_what_was_accepted_is_not_doubted_while_it_cannot_be_read(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    simulator.on_post = lambda _: simulator.set_fault("acme", "500", verb="GET")

    change = sent(simulator, sides[0], "not_applied")

    assert (change.status, moves(change), change.reads) == ("ACCEPTED", ["SEND", "ACCEPT"], 1)


# --- while it cannot be read ------------------------------------------------------------------------------------


def test_a_side_that_does_not_answer_says_nothing_and_is_read_on(
    simulator: Simulator, lost: Change, clock: time_machine.Traveller
):
    simulator.set_fault("acme", "500")
    before = fresh(lost)
    clock.shift(60)

    for _ in range(3):
        change = reconcile(lost)

    assert (change.status, change.reads) == ("UNKNOWN", 4)
    assert (change.agreed_reads, change.agreed_seconds, change.agreed_at) == (1, 0.0, before.agreed_at)
    assert change.check_at == AT + timedelta(seconds=60 + 20)
    assert ("acme", 3, "SERVER_ERROR") in answers(change)
    assert ("acme-dr", 4, "ANSWERED") in answers(change)


def test_a_site_that_asks_to_wait_is_waited_for(simulator: Simulator, lost: Change, clock: time_machine.Traveller):
    simulator.set_fault("acme", "429", verb="GET", reset=200)

    change = reconcile(lost)

    assert change.check_at == AT + timedelta(seconds=200)
    assert answers(change)[-1] == ("acme", 1, "RATE_LIMITED")


def test_a_short_wait_does_not_shorten_the_schedule(simulator: Simulator, lost: Change, clock: time_machine.Traveller):
    simulator.set_fault("acme", "429", verb="GET", reset=1)

    assert reconcile(lost).check_at == AT + timedelta(seconds=5)


def test_another_side_that_is_dark_is_in_the_log_and_settles_nothing(
    simulator: Simulator, lost: Change, clock: time_machine.Traveller
):
    simulator.set_fault("acme-dr", "500")

    to_the_end(lost, clock)

    assert fresh(lost).status == "NOT_APPLIED"
    assert ("acme-dr", 6, "SERVER_ERROR") in answers(lost)


def test_another_reason_is_another_line(simulator: Simulator, lost: Change, clock: time_machine.Traveller):
    for fault in ("500", "503", "503", "400", "500"):
        simulator.set_fault("acme", fault)
        reconcile(lost)

    own = [(times, outcome) for name, times, outcome in answers(lost) if name == "acme"]
    assert own[0] == (1, "ANSWERED")
    assert [outcome for _, outcome in own[1:]][-2:] == ["REFUSED", "SERVER_ERROR"]


def test_a_change_without_another_side_is_reconciled_by_its_own(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    acme, acme_dr = sides
    organizations.disable(acme_dr, by=factories.ADMIN)

    change = sent(simulator, acme, "drop_before")
    to_the_end(change, clock)

    assert (fresh(change).status, {name for name, _, _ in answers(change)}) == ("NOT_APPLIED", {"acme"})


def test_a_link_that_was_lost_is_not_applied_while_there_is_no_connection(
    simulator: Simulator, clock: time_machine.Traveller
):
    acme, acme_dr = changing.unconnected(simulator)
    simulator.set_fault("acme", "drop_before", verb="POST")
    by = changing.admin()
    change = confirmed(prepared(acme, HamrStatus.ONBOARDING, by, link=changing.link_to(acme_dr)), by)
    assert change.status == "UNKNOWN"

    to_the_end(change, clock)

    assert fresh(change).status == "NOT_APPLIED"


# --- one pass ---------------------------------------------------------------------------------------------------


def test_a_pass_reads_both_sides_of_what_is_not_settled_and_nothing_else(simulator: Simulator, lost: Change):
    changing.connected(simulator, names=("globex", "globex-dr"))
    before = len(simulator.requests)

    looked_at = reconciliation.reconcile(by=factories.WORKER)

    assert looked_at == [lost]
    assert looked_at[0].reads == 2
    assert sorted((each.verb, each.organization) for each in simulator.requests[before:]) == [
        ("GET", "acme"),
        ("GET", "acme-dr"),
    ]


def test_a_pass_without_changes_reads_nothing(simulator: Simulator, sides: tuple[Organization, Organization]):
    before = len(simulator.requests)

    assert reconciliation.reconcile(by=factories.WORKER) == []
    assert len(simulator.requests) == before


def test_a_pass_over_one_change_looks_at_that_one_only(simulator: Simulator, lost: Change):
    globex, _ = changing.connected(simulator, names=("globex", "globex-dr"))
    other = sent(simulator, globex, "drop_before")
    before = len(simulator.requests)

    assert reconciliation.reconcile(by=factories.WORKER, only=other) == [other]

    assert {each.organization for each in simulator.requests[before:]} == {"globex", "globex-dr"}
    assert (fresh(other).reads, fresh(lost).reads) == (2, 1)


def test_a_pass_takes_no_longer_than_it_is_given(simulator: Simulator, lost: Change, monkeypatch: pytest.MonkeyPatch):
    given: list[float | None] = []
    fetch = connections.fetch

    def note(flight: Any, *, seconds: float | None = None) -> Result:
        given.append(seconds)
        return fetch(flight, seconds=seconds)

    monkeypatch.setattr(connections, "fetch", note)

    reconciliation.reconcile(by=factories.WORKER, seconds=1.5)

    assert given == [1.5, 1.5]


def test_reconciling_never_sends(simulator: Simulator, lost: Change, clock: time_machine.Traveller):
    to_the_end(lost, clock)
    hear(lost.organization)

    assert len(simulator.posts) == 1


def test_what_a_person_asks_to_be_read_now_counts_for_the_change_as_often_as_they_may_ask(
    simulator: Simulator, lost: Change, clock: time_machine.Traveller
):
    before = answers(lost)
    clock.shift(readings.READ_NOW_EVERY + timedelta(seconds=1))

    asked = [reconciliation.read_now(fresh(lost), by=factories.ADMIN) for _ in range(2)]

    assert asked == [ReadNow.READ, ReadNow.JUST_READ]
    assert sum(times for _, times, _ in answers(lost)) == sum(times for _, times, _ in before) + 2


# --- what is read now -------------------------------------------------------------------------------------------


def test_both_sides_are_wanted_when_the_time_of_the_next_read_has_come(
    lost: Change, sides: tuple[Organization, Organization]
):
    assert lost.check_at == AT + timedelta(seconds=3)
    both = {side.pk for side in sides}

    assert reconciliation.take_due(now=AT + timedelta(seconds=2.9)) == set()
    assert reconciliation.take_due(now=AT + timedelta(seconds=3)) == both


def test_what_one_worker_took_is_left_to_it_until_its_reading_must_be_over(
    lost: Change, sides: tuple[Organization, Organization], settings: Settings
):
    settings.HAMR_DEADLINE = 8
    Change.objects.update(other=None)
    now = AT + timedelta(seconds=3)

    assert reconciliation.take_due(now=now) == {sides[0].pk}
    assert reconciliation.take_due(now=now + timedelta(seconds=22.9)) == set()
    assert reconciliation.take_due(now=now + timedelta(seconds=23)) == {sides[0].pk}


def test_what_another_worker_was_quicker_to_take_is_left_to_it(lost: Change, monkeypatch: pytest.MonkeyPatch):
    taken = [(lost.pk, lost.check_at, *lost.sides)]
    seen_before = SimpleNamespace(filter=lambda *_, **__: SimpleNamespace(values_list=lambda *_: taken))
    monkeypatch.setattr(ChangeQuerySet, "unsettled", lambda _: seen_before)
    Change.objects.filter(pk=lost.pk).update(check_at=AT + timedelta(seconds=26))

    assert reconciliation.take_due(now=AT + timedelta(seconds=3)) == set()


def test_a_side_that_is_disabled_is_waited_for_and_its_other_side_left_in_peace(
    lost: Change, sides: tuple[Organization, Organization]
):
    Organization.objects.filter(pk=sides[0].pk).update(disabled_at=AT)

    assert reconciliation.take_due(now=AT + timedelta(seconds=3)) == set()


@pytest.mark.parametrize(("seconds", "asked"), [(3, True), (4, False)])
def test_a_side_that_asked_for_patience_is_not_asked_again_for_a_change(
    lost: Change, sides: tuple[Organization, Organization], seconds: int, asked: bool
):
    due = {"outcome": ReadOutcome.RATE_LIMITED, "due_at": AT + timedelta(seconds=seconds)}
    Snapshot.objects.filter(pk=sides[1].pk).update(**due)

    wanted = reconciliation.take_due(now=AT + timedelta(seconds=3))

    assert wanted == {sides[0].pk} | ({sides[1].pk} if asked else set())


def test_a_connection_that_is_gone_settles_nothing(simulator: Simulator, lost: Change, clock: time_machine.Traveller):
    simulator.set_fault(lost.organization.name, "404", verb="GET")

    for _ in range(6):
        clock.shift(60)
        assert reconcile(lost).status == "UNKNOWN"

    simulator.set_fault(lost.organization.name, None)
    to_the_end(lost, clock)
    assert fresh(lost).status == "NOT_APPLIED"


def test_after_the_clock_was_set_back_nothing_waits_for_the_old_time(
    lost: Change, sides: tuple[Organization, Organization], settings: Settings
):
    settings.HAMR_SETTLE_SECONDS = 120
    now = AT + timedelta(seconds=3) - timedelta(seconds=300)

    assert reconciliation.take_due(now=now) == set()
    assert reconciliation.take_due(now=now - timedelta(seconds=1)) == {side.pk for side in sides}


@pytest.mark.parametrize("status", sorted(set(ChangeStatus) - {ChangeStatus.ACCEPTED, ChangeStatus.UNKNOWN}))
def test_nobody_waits_for_what_is_settled(status: str, simulator: Simulator):
    acme, _ = changing.connected(simulator)
    standing(acme, status, check_at=AT)

    assert reconciliation.take_due(now=AT + timedelta(days=1)) == set()


# --- tidying up -------------------------------------------------------------------------------------------------


def tidied(change: Change) -> Change:
    reconciliation.tidy(by=factories.WORKER)
    return fresh(change)


@pytest.mark.parametrize("status", ["PREPARED", "AWAITING_APPROVAL"])
def test_what_nobody_acted_on_ends_half_a_minute_after_its_time(
    sides: tuple[Organization, Organization], clock: time_machine.Traveller, status: str
):
    change = standing(sides[0], status)
    clock.move_to(change.expires_at + timedelta(seconds=30))
    assert tidied(change).status == status
    clock.shift(0.1)

    assert (tidied(change).status, moves(change)) == ("EXPIRED", ["EXPIRE"])
    assert entries(Event.CHANGE_EXPIRED)[0].actor == "tests"


@pytest.mark.parametrize("hours", [1, -1])
def test_what_nobody_can_be_sending_any_more_is_not_known_whatever_the_clock(
    sides: tuple[Organization, Organization], clock: time_machine.Traveller, settings: Settings, hours: int
):
    settings.HAMR_DEADLINE = 8.0
    change = standing(sides[0], "SENDING")
    direction = 1 if hours > 0 else -1
    clock.shift(direction * 30)
    assert tidied(change).status == "SENDING"
    clock.shift(direction * 0.1)

    change = tidied(change)

    assert (change.status, moves(change)) == ("UNKNOWN", ["ABANDON"])
    assert change.check_at == AT + direction * timedelta(seconds=30.1)
    assert entries(Event.CHANGE_ABANDONED)[0].actor == "tests"


@pytest.mark.parametrize("status", sorted(set(ChangeStatus) - {"PREPARED", "AWAITING_APPROVAL", "SENDING"}))
def test_what_is_settled_or_read_stays_as_it_is(
    sides: tuple[Organization, Organization], clock: time_machine.Traveller, status: str
):
    change = standing(sides[0], status)
    clock.shift(timedelta(days=3))

    assert (tidied(change).status, moves(change)) == (status, [])


def test_what_was_spooled_is_recorded_before_anything_is_taken_for_abandoned(
    sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    change = standing(sides[0], "SENDING")
    spool.put(
        {
            "change": change.pk,
            "nonce": change.nonce,
            "by": vars(changing.operator()),
            "came": {"move": "REJECT", "at": AT.isoformat(), "http_status": 409},
            "echo": None,
        }
    )
    clock.shift(timedelta(hours=1))

    change = tidied(change)

    assert (change.status, change.http_status, change.settled_at) == ("REJECTED", 409, AT)
    assert moves(change) == ["REJECT"]


def test_a_spool_that_cannot_be_read_keeps_nothing_else_from_being_done(
    sides: tuple[Organization, Organization],
    clock: time_machine.Traveller,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
):
    settings.SPOOL_FILE.mkdir()
    change = standing(sides[0], "PREPARED")
    clock.shift(timedelta(hours=1))

    assert tidied(change).status == "EXPIRED"
    assert "the spool cannot be read: Is a directory" in caplog.messages


@pytest.mark.parametrize(("minutes", "status"), [(40, "AWAITING_APPROVAL"), (40.1, "EXPIRED"), (1440, "EXPIRED")])
def test_what_would_wait_longer_than_anything_may_was_confirmed_by_a_clock_that_ran_ahead(
    sides: tuple[Organization, Organization], clock: time_machine.Traveller, minutes: float, status: str
):
    ends_at = AT + timedelta(minutes=minutes)

    change = tidied(standing(sides[0], "AWAITING_APPROVAL", prepared_at=AT, expires_at=ends_at))

    assert change.status == status


def test_what_was_prepared_in_the_future_ends_when_the_clock_was_set_back(
    sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    change = standing(sides[0], "AWAITING_APPROVAL")
    clock.shift(-600)
    assert tidied(change).status == "AWAITING_APPROVAL"
    clock.shift(-0.1)

    assert tidied(change).status == "EXPIRED"


def test_what_somebody_else_moves_meanwhile_is_left_to_them(
    sides: tuple[Organization, Organization],
    clock: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO)
    change = standing(sides[0], "PREPARED")
    later = standing(sides[1], "PREPARED")
    clock.shift(timedelta(hours=1))

    def cancelled_first(each: Change, by_way_of: Move, **more: Any) -> None:
        if each == change:
            Change.objects.filter(pk=change.pk).update(status="CANCELLED")
        move(each, by_way_of, **more)

    monkeypatch.setattr(reconciliation, "move", cancelled_first)

    reconciliation.tidy(by=factories.WORKER)

    assert (fresh(change).status, fresh(later).status) == ("CANCELLED", "EXPIRED")
    assert caplog.messages == [f"change {change.pk} was moved by somebody else meanwhile"]


# --- together with others ---------------------------------------------------------------------------------------


def resolved_meanwhile(monkeypatch: pytest.MonkeyPatch, change: Change) -> None:
    """Let somebody resolve a change while its reading is weighed."""
    before = reconciliation._before

    def and_resolve(each: Change) -> Any:
        Change.objects.filter(pk=change.pk).update(status="RESOLVED")
        return before(each)

    monkeypatch.setattr(reconciliation, "_before", and_resolve)


def test_what_somebody_else_settled_meanwhile_is_not_settled_again(
    simulator: Simulator,
    lost: Change,
    clock: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.INFO)
    simulator.write_aside("acme", FAILOVER, changing.operator().name)
    resolved_meanwhile(monkeypatch, lost)

    assert reconcile(lost).status == "RESOLVED"

    assert moves(lost) == ["SEND", "LOSE"]
    assert f"change {lost.pk} was settled by somebody else meanwhile" in caplog.messages


def test_what_somebody_else_settled_meanwhile_is_not_counted_on(
    lost: Change, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
):
    resolved_meanwhile(monkeypatch, lost)

    assert reconcile(lost).reads == 1
    assert ("acme", 1, "ANSWERED") in answers(lost)


def test_a_reading_of_others_tells_nothing(simulator: Simulator, lost: Change):
    globex, _ = changing.connected(simulator, names=("globex", "globex-dr"))

    hear(globex)

    assert fresh(lost).reads == 1


def test_a_reading_of_the_other_side_alone_tells_nothing(lost: Change, sides: tuple[Organization, Organization]):
    hear(sides[1])

    assert fresh(lost).reads == 1


def test_the_first_answer_after_only_silence_begins_the_count(
    simulator: Simulator, sides: tuple[Organization, Organization], clock: time_machine.Traveller
):
    acme, _ = sides
    simulator.on_post = lambda _: simulator.set_fault("acme", "500")
    change = sent_into_the_dark(acme)
    assert (change.status, change.agreed_reads, change.agreed_at) == ("UNKNOWN", 0, None)
    simulator.set_fault("acme", None)
    clock.shift(30)

    change = reconcile(change)

    assert (change.agreed_reads, change.agreed_seconds, change.agreed_at) == (
        *(1, 0.0),
        AT + timedelta(seconds=30),
    )


def sent_into_the_dark(organization: Organization) -> Change:
    change = changed(organization)
    assert LogLine.objects.filter(change=change, outcome=ReadOutcome.SERVER_ERROR).exists()
    return change


def test_a_reading_that_began_before_the_request_says_nothing_about_it(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    acme, _ = changing.connected(simulator)
    waits = changing.waiting(acme)
    store = readings.store

    def approved_meanwhile(results: list[Result], *, by: Actor) -> list[Result]:
        monkeypatch.setattr(readings, "store", store)
        changes.approve(changing.fresh(waits), by=changing.approver(), typed_name=acme.name)
        return store(results, by=by)

    monkeypatch.setattr(readings, "store", approved_meanwhile)
    monkeypatch.setattr(changes, "_read_back", lambda *_: None)

    reconciliation.reconcile(by=factories.WORKER, only=waits)

    assert changing.fresh(waits).status == "ACCEPTED"
