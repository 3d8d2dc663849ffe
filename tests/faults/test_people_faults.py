"""What becomes of a change when people are late, two, or not allowed? Rows 35 and 51 to 58, through the services."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import IntegrityError, connections, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import Again
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Role
from hamr_portal.domain.previews import Check
from hamr_portal.models import AuditEntry, Change, Organization, Person
from hamr_portal.services import changes, conditions, readings, reconciliation
from hamr_portal.services.moves import AlreadyMoved
from hamr_portal.services.refusals import Busy, Forbidden, Incomplete, LookAgain, NotAllowed, OwnChange, SidesChanged
from hamr_portal.simulator import ACTIVE, FAILOVER, PASSIVE, Simulator
from tests import factories
from tests.services.changing import admin, approver, changed, confirmed, fresh, operator, prepared, waiting, words

from .conftest import Witness
from .marks import slow
from .stories import SENT, assert_no_post, assert_sent, data_of, story

VERIFIED = ["change.accepted", "change.verified"]


def second() -> Actor:
    return operator("s2", "second@halden.example")


def later(seconds: float) -> Any:
    return timezone.now() + timedelta(seconds=seconds)


# --- row 35: never confirmed ------------------------------------------------------------------------------------


def test_row_35_preview_that_nobody_confirms_expires(
    simulator: Simulator, acme: Organization, settings: Settings, time_machine: Any
) -> None:
    change = prepared(acme)

    time_machine.move_to(later(settings.PREVIEW_SECONDS + 31))
    reconciliation.tidy(by=factories.WORKER)

    assert_no_post(change, simulator, "change.prepared", "change.expired", status="EXPIRED")

    with pytest.raises(LookAgain) as told:
        confirmed(change)

    assert told.value.again is Again.EXPIRED
    events = ["change.prepared", "change.expired", "change.refused_token"]
    assert_no_post(change, simulator, *events, status="EXPIRED")
    assert data_of(change, "change.refused_token")["again"] == "EXPIRED"


def test_row_35_request_for_approval_that_nobody_answers_expires(
    simulator: Simulator, acme: Organization, time_machine: Any
) -> None:
    change = waiting(acme)

    time_machine.move_to(later(30 * 60 + 31))
    with pytest.raises(AlreadyMoved):
        changes.approve(fresh(change), by=approver(), typed_name="acme")

    events = ["change.prepared", "change.approval_asked", "change.expired"]
    assert_no_post(change, simulator, *events, status="EXPIRED")


# --- row 51: two operators --------------------------------------------------------------------------------------


def test_row_51_second_operator_is_told_that_a_change_is_in_progress(
    simulator: Simulator, acme: Organization, witness: Witness
) -> None:
    first, other = prepared(acme), prepared(acme, HamrStatus.ACTIVE, second())
    told: list[Change | None] = []

    def at_once() -> None:
        with pytest.raises(Busy) as refused:
            confirmed(other, second())
        told.append(refused.value.other)

    witness.also = at_once

    confirmed(first)

    assert told == [first]
    assert told[0] is not None
    assert told[0].author.email == operator().name
    assert_sent(first, simulator, *VERIFIED, status="VERIFIED")
    assert (fresh(other).status, story(other)) == ("PREPARED", ["change.prepared", "change.refused_busy"])
    assert data_of(other, "change.refused_busy")["other"] == first.pk


def test_row_51_two_operators_who_both_read_before_either_announces_send_one_request(
    simulator: Simulator, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = [operator(), second()]
    both = [prepared(acme, by=by) for by in people]
    meet, as_confirmed = Barrier(2), conditions.as_confirmed

    def together(*args: Any, **kwargs: Any) -> conditions.Ready:
        ready = as_confirmed(*args, **kwargs)
        meet.wait(30)
        return ready

    monkeypatch.setattr(conditions, "as_confirmed", together)

    came = at_once(*(lambda each=change, by=by: confirmed(each, by) for change, by in zip(both, people, strict=True)))

    assert len(simulator.posts) == 1
    sent = [change for change in both if fresh(change).status == "VERIFIED"]
    assert len(sent) == 1
    assert_sent(sent[0], simulator, *VERIFIED, status="VERIFIED")
    (refused,) = [change for change in both if change not in sent]
    assert story(refused)[1:] in (["change.refused_busy"], ["change.refused_stale"])
    assert sorted(type(each).__name__ for each in came) in (["Busy", "Change"], ["Change", "SidesChanged"])


def at_once(*doing: Callable[[], object]) -> list[object]:
    """Do these each in a thread, and give what they gave or raised."""

    def do(one: Callable[[], object]) -> object:
        try:
            return one()
        except (Busy, SidesChanged, AlreadyMoved) as error:
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(doing)) as pool:
        return list(pool.map(do, doing))


# --- row 52: the same form twice --------------------------------------------------------------------------------


def test_row_52_same_form_again_while_it_is_sent_is_one_request(
    simulator: Simulator, acme: Organization, witness: Witness
) -> None:
    change = prepared(acme)
    again: list[str] = []

    def replay() -> None:
        with pytest.raises(AlreadyMoved):
            confirmed(fresh(change))
        again.append(fresh(change).status)

    witness.also = replay

    confirmed(change)

    assert again == ["SENDING"]
    assert_sent(change, simulator, *VERIFIED, status="VERIFIED")


def test_row_52_same_form_twice_at_the_same_moment_is_one_request(
    simulator: Simulator, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = prepared(acme)
    forms = [Change.objects.get(pk=change.pk) for _ in range(2)]
    meet, as_confirmed = Barrier(2), conditions.as_confirmed

    def together(*args: Any, **kwargs: Any) -> conditions.Ready:
        ready = as_confirmed(*args, **kwargs)
        meet.wait(30)
        return ready

    monkeypatch.setattr(conditions, "as_confirmed", together)

    came = at_once(*(lambda form=form: confirmed(form) for form in forms))

    assert sorted(type(each).__name__ for each in came) == ["AlreadyMoved", "Change"]
    assert_sent(change, simulator, *VERIFIED, status="VERIFIED")


def test_rows_52_and_55_form_that_was_used_is_not_used_again(simulator: Simulator, acme: Organization) -> None:
    change = changed(acme)

    for _ in range(3):
        with pytest.raises(AlreadyMoved):
            confirmed(fresh(change))

    assert_sent(change, simulator, *VERIFIED, status="VERIFIED")


@pytest.mark.slow
def test_rows_52_and_55_form_whose_outcome_is_unknown_is_not_used_again(
    simulator: Simulator, acme: Organization
) -> None:
    simulator.set_fault("acme", "drop_before", verb="POST")
    change = changed(acme)
    simulator.set_fault("acme", None)

    with pytest.raises(AlreadyMoved):
        confirmed(fresh(change))

    assert_sent(change, simulator, "change.unknown", status="UNKNOWN")


# --- row 53: stale ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["acme", slow("acme-dr")])
def test_row_53_side_that_moved_since_it_was_shown_sends_nothing(
    name: str, simulator: Simulator, acme: Organization
) -> None:
    change = prepared(acme)
    simulator.split(name, hamr_status=FAILOVER, modified_by="somebody.else@halden.example")

    with pytest.raises(SidesChanged) as told:
        confirmed(change)

    assert told.value.facts["side"] == name
    assert_no_post(change, simulator, "change.prepared", "change.refused_stale", status="PREPARED")
    assert data_of(change, "change.refused_stale")["side"] == name
    assert AuditEntry.objects.filter(event="status.external_change", organization=name).count() == 1


@pytest.mark.slow
def test_row_53_same_status_written_again_since_it_was_shown_sends_nothing(
    simulator: Simulator, acme: Organization
) -> None:
    change = prepared(acme)
    simulator.write_aside("acme", PASSIVE, "somebody.else@halden.example")

    with pytest.raises(SidesChanged):
        confirmed(change)

    assert_no_post(change, simulator, "change.prepared", "change.refused_stale", status="PREPARED")


@pytest.mark.slow
def test_row_53_side_that_turned_dark_since_it_was_shown_sends_nothing(
    simulator: Simulator, acme: Organization
) -> None:
    change = prepared(acme)
    simulator.set_fault("acme", "refuse")

    with pytest.raises(SidesChanged):
        confirmed(change)

    assert_no_post(change, simulator, "change.prepared", "change.refused_stale", status="PREPARED")


def test_row_53_other_side_that_turned_dark_since_it_was_shown_is_shown_first(
    simulator: Simulator, acme: Organization
) -> None:
    change = prepared(acme)
    simulator.set_fault("acme-dr", "refuse")

    with pytest.raises(SidesChanged) as told:
        confirmed(change)

    assert told.value.facts["checks"] == [Check.OTHER_SIDE_DARK.name]
    assert_no_post(change, simulator, "change.prepared", "change.refused_stale", status="PREPARED")


def test_row_53_new_preview_of_what_moved_can_be_confirmed(simulator: Simulator, acme: Organization) -> None:
    change = prepared(acme)
    simulator.write_aside("acme", FAILOVER, "somebody.else@halden.example")
    with pytest.raises(SidesChanged):
        confirmed(change)

    anew = changes.renew(change, by=operator(), again=Again.SIDES_CHANGED)
    with pytest.raises(Forbidden):
        confirmed(anew)

    assert next(each.check for each in anew.noticed) is Check.ALREADY_SO
    assert_no_post(anew, simulator, "change.prepared", "change.refused", status="PREPARED")
    assert fresh(change).status == "EXPIRED"


def test_row_53_write_between_the_last_reading_and_the_request_is_overwritten(
    simulator: Simulator, acme: Organization, witness: Witness
) -> None:
    # The API has no compare-and-set: what was written in this moment is overwritten, and only a reading could tell.
    witness.also = lambda: simulator.write_aside("acme", ACTIVE, "somebody.else@halden.example")

    change = changed(acme)

    assert_sent(change, simulator, *VERIFIED, status="VERIFIED")


# --- row 54: not this form --------------------------------------------------------------------------------------


def assert_refused_for(again: Again, change: Change, simulator: Simulator, form: Any, by: Actor) -> None:
    with pytest.raises(LookAgain) as told:
        changes.confirm(change, form, by=by)

    assert told.value.again is again
    assert_no_post(change, simulator, "change.prepared", "change.refused_token", status="PREPARED")
    assert data_of(change, "change.refused_token")["again"] == again


@pytest.mark.parametrize("token", ["", "é", *(slow(token) for token in ("x", "{}x", "x{}"))])
def test_row_54_edited_token_sends_nothing(token: str, simulator: Simulator, acme: Organization) -> None:
    change = prepared(acme)

    assert_refused_for(Again.OLD_FORM, change, simulator, words(change, token=token.format(change.nonce)), operator())


def test_row_54_token_of_another_preview_sends_nothing(simulator: Simulator, acme: Organization) -> None:
    change, other = prepared(acme), prepared(acme, HamrStatus.ACTIVE)

    assert_refused_for(Again.OLD_FORM, change, simulator, words(change, token=other.nonce), operator())


@pytest.mark.parametrize("seconds", [1, -60, slow(24 * 3600)])
def test_row_54_form_that_is_too_old_or_of_the_future_sends_nothing(
    seconds: float, simulator: Simulator, acme: Organization, settings: Settings, time_machine: Any
) -> None:
    change = prepared(acme)
    time_machine.move_to(later(seconds + (settings.PREVIEW_SECONDS if seconds > 0 else 0)))

    assert_refused_for(Again.EXPIRED, change, simulator, words(change), operator())


def test_row_54_other_sign_in_of_the_same_person_sends_nothing(simulator: Simulator, acme: Organization) -> None:
    change = prepared(acme)

    assert_refused_for(Again.OTHER_SIGN_IN, change, simulator, words(change), replace(operator(), session="other"))


@pytest.mark.parametrize("other", [second, slow(admin)])
def test_row_54_form_of_somebody_else_sends_nothing(
    other: Callable[[], Actor], simulator: Simulator, acme: Organization
) -> None:
    change = prepared(acme)

    with pytest.raises(NotAllowed):
        changes.confirm(change, words(change), by=other())

    assert_no_post(change, simulator, "change.prepared", "authz.denied", status="PREPARED")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        slow("target_status", ACTIVE),
        ("request", '{"data": {}}'),
        slow("url", "https://api.example.com/api/v2/hamr"),
    ],
)
def test_row_54_preview_that_was_edited_in_the_database_sends_nothing(
    field: str, value: Any, simulator: Simulator, acme: Organization
) -> None:
    change = prepared(acme)
    Change.objects.filter(pk=change.pk).update(**{field: value})

    with pytest.raises(SidesChanged):
        confirmed(fresh(change))

    assert_no_post(change, simulator, "change.prepared", "change.refused_stale", status="PREPARED")


@pytest.mark.parametrize(
    "over",
    [
        {"typed_name": "acme-dr"},
        *(slow(over) for over in ({"typed_name": "ACME"}, {"reason": " "})),
    ],
)
def test_row_54_what_was_typed_wrong_sends_nothing_and_the_form_stays(
    over: dict[str, Any], simulator: Simulator, acme: Organization
) -> None:
    change = prepared(acme)

    with pytest.raises(Incomplete):
        confirmed(change, **over)

    assert_no_post(change, simulator, "change.prepared", "change.refused_incomplete", status="PREPARED")

    confirmed(change)

    assert len(simulator.posts) == 1


# --- row 56: not allowed any more -------------------------------------------------------------------------------

REVOKED = [pytest.param({"role": Role.VIEWER}, id="role"), pytest.param({"is_active": False}, id="disabled")]


@pytest.mark.parametrize("lost", REVOKED)
def test_row_56_permission_that_was_lost_since_the_page_sends_nothing(
    lost: dict[str, Any], simulator: Simulator, acme: Organization
) -> None:
    change, by = prepared(acme), operator()
    Person.objects.filter(email=by.name).update(**lost)

    with pytest.raises(NotAllowed):
        confirmed(change, by)

    assert_no_post(change, simulator, "change.prepared", "authz.denied", status="PREPARED")


@pytest.mark.parametrize("lost", REVOKED)
def test_row_56_permission_that_is_lost_while_the_sides_are_read_sends_nothing(
    lost: dict[str, Any], simulator: Simulator, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, by = prepared(acme), operator()
    as_confirmed = conditions.as_confirmed

    def read_and_lose(*args: Any, **kwargs: Any) -> conditions.Ready:
        ready = as_confirmed(*args, **kwargs)
        Person.objects.filter(email=by.name).update(**lost)
        return ready

    monkeypatch.setattr(conditions, "as_confirmed", read_and_lose)

    with pytest.raises(NotAllowed):
        confirmed(change, by)

    assert_no_post(change, simulator, "change.prepared", "authz.denied", status="PREPARED")


@pytest.mark.parametrize("lost", REVOKED)
def test_row_56_approver_who_lost_the_permission_sends_nothing(
    lost: dict[str, Any], simulator: Simulator, acme: Organization
) -> None:
    change, by = waiting(acme), approver()
    Person.objects.filter(email=by.name).update(**lost)

    with pytest.raises(NotAllowed):
        changes.approve(change, by=by, typed_name="acme")

    events = ["change.prepared", "change.approval_asked", "authz.denied"]
    assert_no_post(change, simulator, *events, status="AWAITING_APPROVAL")


# --- row 57: unknown blocks -------------------------------------------------------------------------------------


def test_row_57_unknown_outcome_blocks_the_next_change_until_it_is_resolved(
    simulator: Simulator, acme: Organization
) -> None:
    simulator.set_fault("acme", "drop_before", verb="POST")
    before = prepared(acme, by=second())
    change = changed(acme)
    simulator.set_fault("acme", None)

    with pytest.raises(Busy):
        confirmed(before, second())
    blocked = prepared(acme, by=second())
    with pytest.raises(Forbidden) as told:
        confirmed(blocked, second())

    assert [each.check for each in told.value.noticed] == [Check.OPEN_CHANGE]
    assert len(simulator.posts) == 1

    changes.resolve(fresh(change), by=second(), reason="The region burns")
    anew = changed(acme, by=second())

    assert (fresh(change).status, story(change)) == (
        "RESOLVED",
        [*SENT, "change.unknown", "change.resolved_by_operator"],
    )
    assert (fresh(anew).status, story(anew)) == ("VERIFIED", [*SENT, *VERIFIED])
    assert Check.MAY_LAND_LATE in [each.check for each in anew.noticed]
    assert len(simulator.posts) == 2


@pytest.mark.parametrize("by", [approver, lambda: operator("s5", "nobody@halden.example")])
def test_row_57_resolving_needs_the_role_and_a_reason(
    by: Callable[[], Actor], simulator: Simulator, acme: Organization
) -> None:
    simulator.set_fault("acme", "drop_before", verb="POST")
    change, person = changed(acme), by()
    Person.objects.filter(email="nobody@halden.example").update(role=Role.VIEWER)

    with pytest.raises(NotAllowed):
        changes.resolve(change, by=person, reason="The region burns")
    with pytest.raises(Incomplete):
        changes.resolve(change, by=second(), reason=" ")

    assert_sent(change, simulator, "change.unknown", "authz.denied", "change.refused_incomplete", status="UNKNOWN")


@pytest.mark.slow
def test_row_57_resolved_request_that_lands_late_is_recognized(simulator: Simulator, acme: Organization) -> None:
    simulator.set_fault("acme", "late", verb="POST", seconds=3600)
    change = changed(acme)
    changes.resolve(fresh(change), by=second(), reason="The region burns")

    simulator.act_late()
    reconciliation.learn(readings.read_for_change([acme.pk], by=factories.WORKER), by=factories.WORKER)

    events = ["change.unknown", "change.resolved_by_operator", "change.took_effect_late"]
    assert_sent(change, simulator, *events, status="VERIFIED")


# --- row 58: one's own ------------------------------------------------------------------------------------------


def test_row_58_nobody_approves_a_change_of_their_own(simulator: Simulator, acme: Organization) -> None:
    change = waiting(acme)
    Person.objects.filter(email=operator().name).update(role=Role.APPROVER)

    with pytest.raises(OwnChange):
        changes.approve(change, by=operator(), typed_name="acme")

    events = ["change.prepared", "change.approval_asked", "approval.refused_self"]
    assert_no_post(change, simulator, *events, status="AWAITING_APPROVAL")

    Person.objects.filter(email=operator().name).update(role=Role.OPERATOR)
    changes.approve(fresh(change), by=approver(), typed_name="acme")

    assert fresh(change).status == "VERIFIED"
    assert len(simulator.posts) == 1


def test_row_58_database_refuses_an_approval_of_ones_own(simulator: Simulator, acme: Organization) -> None:
    change = waiting(acme)

    for fields in (
        {"approver": change.author},
        {"status": "SENDING", "sent_at": timezone.now(), "approver": change.author},
        {"status": "SENDING", "sent_at": timezone.now()},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Change.objects.filter(pk=change.pk).update(**fields)

    assert_no_post(change, simulator, "change.prepared", "change.approval_asked", status="AWAITING_APPROVAL")
