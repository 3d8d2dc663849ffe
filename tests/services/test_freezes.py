"""The life of a freeze: begun, in the way, broken loudly, over; and nothing slips between its check and the commit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import IntegrityError, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import Again
from hamr_portal.domain.freezes import Problem as WrongWith
from hamr_portal.domain.news import Kind
from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Change, Freeze, News, Organization, PersonNotice, Worker
from hamr_portal.services import changes, conditions, freezes, notifications, people, previews, pulse, reconciliation
from hamr_portal.services.conditions import Words
from hamr_portal.services.refusals import Frozen, Incomplete, NotAllowed, Problem
from hamr_portal.simulator import Simulator
from tests import factories

from . import changing
from .changing import again, confirmed, fresh, frozen, moves, prepared, waiting
from .conftest import InParallel
from .records import entries

pytestmark = pytest.mark.django_db

WHY = "The primary region is dark"
HOUR = timedelta(hours=1)


@pytest.fixture
def acme(simulator: Simulator) -> Organization:
    """The primary of a pair that is PASSIVE on both sides."""
    return changing.connected(simulator)[0]


def broken(change: Change, by: Actor | None = None, **over: Any) -> Change:
    """Give a change that was confirmed in spite of a freeze."""
    return confirmed(change, by, **{"break_freeze": True, "break_reason": WHY, **over})


# --- begin and end ----------------------------------------------------------------------------------------------


def test_a_freeze_is_on_the_record_with_its_reason_and_its_end():
    freeze = frozen()

    assert freezes.in_force(now=timezone.now()) == freeze
    (entry,) = entries(Event.FREEZE_BEGUN)
    assert (entry.reason, entry.actor) == ("Quarter end", changing.admin().name)
    assert entry.data["ends_at"] == f"{freeze.ends_at:%Y-%m-%dT%H:%M:%S.%f}Z"


def test_only_one_freeze_is_in_force_at_a_time():
    first = frozen()

    with pytest.raises(freezes.AlreadyFrozen) as raised:
        frozen()

    assert raised.value.freeze == first
    assert Freeze.objects.count() == 1
    assert len(entries(Event.FREEZE_BEGUN)) == 1


def test_the_database_itself_has_only_one_freeze_that_was_not_ended():
    frozen()
    now = timezone.now()

    with pytest.raises(IntegrityError), transaction.atomic():
        Freeze.objects.create(reason="x", begun_at=now, begun_by="x", ends_at=now + HOUR)


def test_a_freeze_that_passed_its_end_is_over_by_time_alone_and_another_may_follow():
    first = frozen(hours=2)

    with time_machine.travel(first.ends_at, tick=False):
        assert freezes.in_force(now=timezone.now()) is None
        second = frozen()

    assert freezes.in_force(now=first.ends_at) == second
    first.refresh_from_db()
    assert (first.ended_at, first.ended_by) == (first.ends_at, "")


def test_a_clock_that_is_set_back_does_not_lift_a_freeze():
    freeze = frozen()

    assert freezes.in_force(now=freeze.begun_at - HOUR) == freeze


def test_a_freeze_is_ended_early_once_on_the_record():
    freeze = frozen()

    freezes.end(freeze, by=changing.admin())

    assert freezes.in_force(now=timezone.now()) is None
    (entry,) = entries(Event.FREEZE_ENDED)
    assert entry.data["freeze"] == freeze.pk
    with pytest.raises(freezes.AlreadyOver):
        freezes.end(freeze, by=changing.admin())
    assert len(entries(Event.FREEZE_ENDED)) == 1


def test_what_is_wrong_with_a_freeze_is_said_at_once_and_nothing_begins():
    with pytest.raises(freezes.Wrong) as raised:
        freezes.begin(reason="", ends_at=timezone.now(), by=changing.admin())

    assert raised.value.problems == [WrongWith.REASON_MISSING, WrongWith.END_PASSED]
    assert not Freeze.objects.exists()


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_nobody_but_an_admin_begins_or_ends_a_freeze(role: Role):
    freeze, by = frozen(), changing.actor(role)

    with pytest.raises(people.NotAllowed):
        freezes.end(freeze, by=by)
    with pytest.raises(people.NotAllowed):
        frozen(by=by)
    assert freezes.in_force(now=timezone.now()) == freeze


# --- what every page asks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_and_freeze_are_asked_for_in_one_query_and_a_second_one_while_frozen(
    workers: int, django_assert_num_queries: DjangoAssertNumQueries
):
    now = timezone.now()
    for number in range(workers):
        Worker.objects.create(name=f"w{number}", started_at=now, seen_at=now)

    with django_assert_num_queries(1):
        free = freezes.beside_workers(now=now)
    freeze = frozen()
    with django_assert_num_queries(2):
        held = freezes.beside_workers(now=now)

    assert (free, held) == ((pulse.state(now=now), None), (pulse.state(now=now), freeze))


# --- in the way -------------------------------------------------------------------------------------------------


def test_what_was_previewed_before_a_freeze_is_not_sent_while_it_is_in_force(simulator: Simulator, acme: Organization):
    change = prepared(acme)
    freeze = frozen()

    with pytest.raises(Frozen) as raised:
        confirmed(change)

    assert raised.value.freeze == freeze
    assert simulator.posts == []
    assert fresh(change).status == "PREPARED"
    (entry,) = entries(Event.CHANGE_FROZEN)
    assert (entry.organization, entry.outcome, entry.data["freeze"]) == ("acme", "Frozen", freeze.pk)


def test_a_preview_is_made_while_frozen_and_sends_nothing(simulator: Simulator, acme: Organization):
    frozen()

    change = prepared(acme)

    assert change.status == "PREPARED"
    assert simulator.posts == []


def test_a_waiting_change_is_not_approved_or_skipped_while_frozen(simulator: Simulator, acme: Organization):
    changing.approver()
    change = waiting(acme)
    frozen()

    with pytest.raises(Frozen):
        changes.approve(change, by=changing.approver(), typed_name="acme")
    with pytest.raises(Frozen):
        changes.skip_approval(change, by=changing.operator(), typed_name="acme", reason="nobody answers")

    assert simulator.posts == []
    assert fresh(change).status == "AWAITING_APPROVAL"
    assert len(entries(Event.CHANGE_FROZEN)) == 2
    assert changes.cancel(change, by=changing.operator()).status == "CANCELLED"


def test_no_approval_is_asked_for_while_frozen(acme: Organization):
    frozen()

    with pytest.raises(Frozen):
        waiting(acme)

    assert not Change.objects.open().exists()


def test_what_was_sent_before_a_freeze_is_followed_until_it_is_settled(acme: Organization):
    change = changing.changed(acme)
    Change.objects.update(status="UNKNOWN", check_at=timezone.now())
    frozen()

    reconciliation.reconcile(by=factories.WORKER)

    assert fresh(change).status == "VERIFIED"


@pytest.mark.parametrize("hours", [0, 2], ids=["ended early", "passed its end"])
def test_after_a_freeze_changes_go_out_as_usual_without_a_mark(
    hours: int, simulator: Simulator, acme: Organization, time_machine: time_machine.TimeMachineFixture
):
    freeze = frozen(hours=2)
    if hours:
        time_machine.move_to(freeze.ends_at)
    else:
        freezes.end(freeze, by=changing.admin())

    change = confirmed(prepared(acme), break_freeze=True, break_reason=WHY)

    assert change.status == "VERIFIED"
    assert (change.broke_freeze, change.break_reason) == (None, "")
    assert entries(Event.FREEZE_BROKEN) == []
    assert len(simulator.posts) == 1


# --- broken -----------------------------------------------------------------------------------------------------


def test_breaking_a_freeze_sends_and_marks_the_change_and_the_record(simulator: Simulator, acme: Organization):
    freeze = frozen()

    change = broken(prepared(acme))

    assert change.status == "VERIFIED"
    assert len(simulator.posts) == 1
    assert (change.broke_freeze, change.break_reason) == (freeze, WHY)
    sending, mark = entries(Event.CHANGE_SENDING, Event.FREEZE_BROKEN)
    assert sending.reason == changing.REASON
    assert (mark.organization, mark.actor, mark.reason) == ("acme", changing.operator().name, WHY)
    assert (mark.data["freeze"], mark.data["to"]) == (freeze.pk, "FAILOVER")
    assert AuditEntry.objects.get(event=Event.FREEZE_BROKEN).change == change.pk
    assert entries(Event.CHANGE_FROZEN) == []


def test_every_other_admin_is_told_on_pages_and_whoever_answers_for_it_by_message(
    acme: Organization, settings: Settings
):
    settings.SENDS_MAIL = True
    frozen()
    other = changing.admin(email="other@halden.example")
    change = prepared(acme, by=changing.admin())

    broken(change, changing.admin())

    (notice,) = PersonNotice.objects.filter(event=Event.FREEZE_BROKEN)
    assert (notice.person.email, notice.change) == (other.name, change)
    (news,) = News.objects.filter(kind=Kind.BREAK_GLASS)
    fact, lines = notifications.words_of(news, now=timezone.now())
    assert fact == f"acme ({acme.site}) to FAILOVER: freeze broken"
    assert lines[0] == f"Change {change.pk} by admin, INC-4711: {WHY}"
    assert lines[1].startswith("Frozen by admin until ")
    assert {changing.admin().name, other.name} <= set(news.deliveries.get().to.split())


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        (" ", Problem.BREAK_REASON_MISSING),
        ("x" * 2001, Problem.BREAK_REASON_TOO_LONG),
        ("key 0123456789abcdef0123456789abcdef", Problem.KEY_IN_BREAK_REASON),
    ],
)
def test_to_break_a_freeze_takes_a_reason_of_its_own(
    reason: str, problem: Problem, simulator: Simulator, acme: Organization
):
    change = prepared(acme)
    frozen()

    with pytest.raises(Incomplete) as raised:
        broken(change, break_reason=reason, typed_name="acne")

    assert raised.value.problems == (problem, Problem.NAME_WRONG)
    assert simulator.posts == []


def test_what_broke_the_freeze_is_approved_while_it_lasts_and_marked_once(simulator: Simulator, acme: Organization):
    changing.approver()
    Organization.objects.update(requires_approval=True)
    frozen()
    change = broken(prepared(acme))

    changes.approve(change, by=changing.approver(), typed_name="acme")

    assert change.status == "VERIFIED"
    assert len(simulator.posts) == 1
    assert len(entries(Event.FREEZE_BROKEN)) == 1


def test_who_broke_one_freeze_did_not_break_the_next(simulator: Simulator, acme: Organization):
    changing.approver()
    Organization.objects.update(requires_approval=True)
    first = frozen()
    change = broken(prepared(acme))
    freezes.end(first, by=changing.admin())
    frozen()

    with pytest.raises(Frozen):
        changes.approve(change, by=changing.approver(), typed_name="acme")

    assert simulator.posts == []


def test_a_tick_alone_without_the_role_breaks_nothing(simulator: Simulator, acme: Organization):
    change = prepared(acme)
    frozen()

    with pytest.raises(NotAllowed):
        broken(change, changing.approver())

    assert simulator.posts == []


def test_what_was_typed_to_break_a_freeze_is_kept_when_it_is_previewed_anew(acme: Organization):
    frozen()
    change = prepared(acme, words=Words(break_reason=WHY))

    renewed = changes.renew(change, by=changing.operator(), again=Again.ASKED)

    assert (renewed.break_reason, renewed.broke_freeze) == (WHY, None)


# --- between the check and the commit ---------------------------------------------------------------------------


def after(module: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a freeze begin right after this function."""
    do = getattr(module, name)

    def and_then(*args: Any, **more: Any) -> Any:
        came = do(*args, **more)
        if not Freeze.objects.exists():
            frozen()
        return came

    monkeypatch.setattr(module, name, and_then)


@pytest.mark.parametrize(
    ("module", "name"),
    [(conditions, "breaking"), (previews, "look"), (conditions, "as_confirmed"), (conditions, "clear")],
    ids=["after the check", "after the reading", "before the commit", "in the transaction"],
)
def test_a_freeze_that_begins_after_the_check_stops_the_change(
    module: Any, name: str, simulator: Simulator, acme: Organization, monkeypatch: pytest.MonkeyPatch
):
    changing.admin()
    change = prepared(acme)
    after(module, name, monkeypatch)

    with pytest.raises(Frozen):
        confirmed(change)

    assert simulator.posts == []
    assert (fresh(change).status, moves(change)) == ("PREPARED", [])
    assert entries(Event.CHANGE_SENDING) == []


def test_a_freeze_that_begins_while_somebody_approves_stops_the_change(
    simulator: Simulator, acme: Organization, monkeypatch: pytest.MonkeyPatch
):
    changing.approver()
    changing.admin()
    change = waiting(acme)
    after(conditions, "clear", monkeypatch)

    with pytest.raises(Frozen):
        changes.approve(change, by=changing.approver(), typed_name="acme")

    assert simulator.posts == []
    assert fresh(change).status == "AWAITING_APPROVAL"


def test_at_the_same_moment_either_the_change_or_the_freeze_is_first_on_the_record(
    simulator: Simulator, in_parallel: InParallel[object]
):
    acme, _ = changing.connected(simulator)
    by, admin = changing.operator(), changing.admin()
    change = prepared(acme)
    words = changing.words(change)
    jobs: list[Callable[[], object]] = [lambda: changes.confirm(change, words, by=by), lambda: frozen(by=admin)]

    def one() -> object:
        try:
            return jobs.pop()()
        except Frozen as refused:
            return refused

    came = in_parallel(2, one)

    order = list(AuditEntry.objects.order_by("seq").values_list("event", flat=True))
    begun = order.index(Event.FREEZE_BEGUN)
    if any(isinstance(each, Frozen) for each in came):
        assert simulator.posts == []
        assert Event.CHANGE_SENDING not in order
    else:
        assert len(simulator.posts) == 1
        assert order.index(Event.CHANGE_SENDING) < begun
    assert again(acme).name == "acme"
