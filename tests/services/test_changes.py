from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import IntegrityError, OperationalError, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import APPROVAL_LASTS, Again, ChangeStatus, Move
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.news import Kind
from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Change, LogLine, LogStanding, News, Organization, Person, SkipNotice
from hamr_portal.services import (
    audit,
    changes,
    conditions,
    notifications,
    organizations,
    previews,
    readings,
    reconciliation,
    sending,
    spool,
)
from hamr_portal.services.conditions import Words
from hamr_portal.services.moves import AlreadyMoved, move
from hamr_portal.services.previews import Link
from hamr_portal.services.refusals import (
    Blocked,
    Busy,
    Forbidden,
    Incomplete,
    LookAgain,
    NotAllowed,
    OwnChange,
    Problem,
    SidesChanged,
)
from hamr_portal.services.sending import NotRecordedYet
from hamr_portal.simulator import FAILOVER, Simulator
from tests import factories

from . import changing
from .changing import changed, confirmed, fresh, moves, prepared, standing, waiting, words
from .records import entries

pytestmark = pytest.mark.django_db

REFUSALS = (
    Event.CHANGE_REFUSED,
    Event.CHANGE_INCOMPLETE,
    Event.CHANGE_BUSY,
    Event.CHANGE_STALE,
    Event.CHANGE_TOKEN,
    Event.APPROVAL_OF_OWN,
    Event.ACCESS_DENIED,
)


def refusals() -> list[tuple[str, str]]:
    return [(each.event, each.outcome) for each in entries(*REFUSALS)]


def told(change: Change) -> list[tuple[str, str]]:
    """Give what the log tells, oldest first: what happened, and which move or whose reading it is."""
    lines = LogLine.objects.filter(change=change).select_related("organization").order_by("pk")
    return [(line.what, line.move or (line.organization.name if line.organization else "")) for line in lines]


def the_record_fails(monkeypatch: pytest.MonkeyPatch, event: Event, *errors: Exception) -> None:
    """Let the record refuse this event, so many times, with these errors."""
    append, to_come = audit.append, list(errors)

    def fail(happened: Event, **fields: Any) -> AuditEntry:
        if happened is event and to_come:
            raise to_come.pop(0)
        return append(happened, **fields)

    monkeypatch.setattr(audit, "append", fail)


# --- preview ----------------------------------------------------------------------------------------------------


def test_a_preview_keeps_what_was_seen_and_sends_nothing(simulator: Simulator, settings: Settings):
    settings.PREVIEW_SECONDS = 90
    acme, acme_dr = changing.connected(simulator)
    mara, before = changing.operator(), timezone.now()

    change = prepared(acme, by=mara)

    assert (change.status, change.organization, change.other, change.pair_id) == (
        *("PREPARED", acme, acme_dr),
        acme.pair_id,
    )
    assert (change.author.email, change.author_address, change.author_session) == (mara.name, "192.0.2.7", "s1")
    assert (change.target, change.links, change.is_primary) == (HamrStatus.FAILOVER, False, True)
    assert (change.target_uuid, change.target_name, change.target_datacenter) == (acme_dr.uuid, "acme-dr", "us5")
    assert (change.url, change.writer) == (previews.url_of(acme), mara.name)
    assert before <= change.prepared_at <= timezone.now()
    assert change.expires_at - change.prepared_at == timedelta(seconds=90)
    assert (change.needs_override, change.needs_approval, change.sent_at) == (False, False, None)
    assert (change.replaces, change.again, change.reason) == (None, "", "")
    assert fresh(change).request == change.request != ""
    assert json.loads(change.request)["data"]["attributes"]["modified_by"] == mara.name
    assert simulator.posts == []


def test_a_preview_is_in_the_log_and_on_the_record(simulator: Simulator):
    acme, _ = changing.connected(simulator)

    change = prepared(acme, HamrStatus.ACTIVE)

    assert sorted(told(change)) == [("PREVIEWED", "acme"), ("PREVIEWED", "acme-dr")]
    (entry,) = entries(Event.CHANGE_PREPARED)
    assert (entry.organization, entry.actor) == ("acme", changing.operator().name)
    assert entry.data == {"target": "ACTIVE", "links": False, "checks": ["STEP_SKIPPED", "WORKER_STOPPED"]}
    assert change.needs_override
    assert AuditEntry.objects.get(event=Event.CHANGE_PREPARED).change == change.pk


def test_a_preview_has_a_form_of_its_own(simulator: Simulator):
    acme, _ = changing.connected(simulator)

    first, second = prepared(acme), prepared(acme)

    assert first.nonce != second.nonce
    assert len(first.nonce) == 43


def test_the_writer_may_name_the_change(simulator: Simulator, settings: Settings):
    settings.HAMR_MODIFIED_BY = "portal/{change}/{email}/" + "x" * 300
    acme, _ = changing.connected(simulator)

    change = prepared(acme)

    assert change.writer.startswith(f"portal/{change.pk}/operator@halden.example/xxx")
    assert len(change.writer) == 200
    assert json.loads(change.request)["data"]["attributes"]["modified_by"] == fresh(change).writer


def test_a_preview_of_a_side_that_does_not_answer_has_no_request(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", "500")

    change = prepared(acme)

    assert (change.request, change.target_uuid, change.is_primary) == ("", None, False)
    assert [each.check.name for each in change.noticed] == ["NO_READING", "WORKER_STOPPED"]
    assert change.noticed[0].facts["name"] == "acme"


def test_a_preview_says_whether_a_second_person_has_to_approve(simulator: Simulator):
    acme, _ = changing.connected(simulator, approval=True)

    assert prepared(acme).needs_approval


@pytest.mark.parametrize("role", [Role.VIEWER, Role.APPROVER, Role.AUDITOR])
def test_a_role_that_may_not_change_reads_nothing_and_is_on_the_record(simulator: Simulator, role: Role):
    acme, _ = changing.connected(simulator)
    before = len(simulator.requests)

    with pytest.raises(NotAllowed, match="Needs: operator or admin"):
        changes.prepare(acme, HamrStatus.FAILOVER, by=changing.actor(role))

    assert refusals() == [(Event.ACCESS_DENIED, "NotAllowed")]
    assert len(simulator.requests) == before
    assert not Change.objects.exists()


def test_what_was_typed_by_others_is_kept_without_what_could_harm(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    typed = Words(reason="bell\a" + "r" * 3000, ticket="t" * 300, typed_name="n" * 300)

    change = prepared(acme, words=typed)

    assert change.reason.startswith("bell\N{REPLACEMENT CHARACTER}r")
    assert (len(change.reason), len(change.ticket), len(change.typed_name)) == (2000, 100, 100)


def test_an_author_from_a_strange_address_is_kept_without_what_could_harm(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    by = changing.actor(Role.OPERATOR)

    change = prepared(acme, by=type(by)(by.kind, by.name, by.role, "\x00" * 100, by.session))

    assert len(change.author_address) == 64
    assert "\x00" not in change.author_address


def test_a_preview_that_cannot_be_recorded_is_no_preview(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    acme, _ = changing.connected(simulator)
    the_record_fails(monkeypatch, Event.CHANGE_PREPARED, OperationalError("full"))

    with pytest.raises(OperationalError):
        prepared(acme)

    assert not Change.objects.exists()
    assert not LogLine.objects.exists()


# --- preview anew -----------------------------------------------------------------------------------------------


def test_a_preview_anew_takes_the_place_of_the_old_and_keeps_what_was_typed(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    old = prepared(acme)

    new = changes.renew(old, by=changing.operator(), again=Again.ASKED, words=words(old))

    assert (new.replaces, new.again, new.status) == (old, "ASKED", "PREPARED")
    assert (new.reason, new.ticket, new.typed_name) == (changing.REASON, "INC-4711", "acme")
    assert (new.organization, new.target, new.links) == (acme, HamrStatus.FAILOVER, False)
    assert (fresh(old).status, moves(old)) == ("EXPIRED", ["EXPIRE"])


def test_without_new_words_the_old_ones_are_kept(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    old = prepared(acme, words=Words(reason="why", ticket="INC-1", typed_name="acm"))

    new = changes.renew(old, by=changing.operator(), again=Again.EXPIRED)

    assert (new.reason, new.ticket, new.typed_name, new.again) == ("why", "INC-1", "acm", "EXPIRED")


@pytest.mark.parametrize("status", ["REJECTED", "NOT_APPLIED", "EXPIRED"])
def test_what_is_over_stays_as_it_is_when_it_is_previewed_anew(simulator: Simulator, status: str):
    acme, _ = changing.connected(simulator)
    old = standing(acme, status)

    new = changes.renew(old, by=changing.operator(), again=Again.AFTER_OUTCOME)

    assert (fresh(old).status, moves(old), new.replaces) == (status, [], old)


def test_a_preview_that_was_confirmed_in_another_tab_is_not_ended(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    old = prepared(acme)
    confirmed(fresh(old))

    new = changes.renew(old, by=changing.operator(), again=Again.ASKED)

    assert (old.status, new.replaces, new.noticed[0].check.name) == ("VERIFIED", old, "ALREADY_SO")


def test_somebody_elses_preview_stays_theirs(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    old = prepared(acme)

    new = changes.renew(old, by=changing.admin(), again=Again.AFTER_OUTCOME)

    assert (fresh(old).status, new.author.email) == ("PREPARED", changing.admin().name)


def test_a_link_is_previewed_anew_as_a_link(simulator: Simulator):
    acme, acme_dr = changing.unconnected(simulator)
    old = prepared(acme, HamrStatus.ONBOARDING, changing.admin(), link=changing.link_to(acme_dr))

    new = changes.renew(old, by=changing.admin(), again=Again.ASKED)

    assert (new.links, new.target_uuid, new.target_name, new.is_primary) == (True, acme_dr.uuid, "acme-dr", True)
    assert (new.other, new.request) == (acme_dr, old.request)


# --- confirm ----------------------------------------------------------------------------------------------------


def test_a_confirmed_change_is_sent_once_and_verified_on_both_sides(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    change = prepared(acme)

    assert confirmed(change) is change

    assert (change.status, change.http_status, len(simulator.posts)) == ("VERIFIED", 200, 1)
    assert simulator.posts[0].organization == "acme"
    assert simulator.posts[0].body == change.request.encode()
    assert [simulator.organizations.named(name).view.hamr_status for name in ("acme", "acme-dr")] == [3, 3]  # type: ignore[union-attr]
    seen = told(change)[2:]
    assert [*sorted(seen[:2]), *seen[2:4], *sorted(seen[4:6]), *seen[6:]] == [
        *[("READ_AGAIN", "acme"), ("READ_AGAIN", "acme-dr")],
        *[("MOVED", "SEND"), ("MOVED", "ACCEPT")],
        *[("READ_BACK", "acme"), ("READ_BACK", "acme-dr")],
        ("MOVED", "VERIFY"),
    ]
    assert changing.again(acme).snapshot.status == changing.again(acme_dr).snapshot.status == 3


def test_what_was_typed_is_kept_as_it_was_confirmed(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change, before = prepared(acme), timezone.now()

    confirmed(change, reason="  Region\a is down ", ticket=" INC-1 ", typed_name=" acme ", override=True)

    change = fresh(change)
    assert (change.reason, change.ticket) == ("Region\N{REPLACEMENT CHARACTER} is down", "INC-1")
    assert (change.typed_name, change.override) == ("acme", True)
    assert change.confirmed_at is not None
    assert change.sent_at is not None
    assert before <= change.confirmed_at <= change.sent_at <= timezone.now()


def test_the_intent_is_on_the_record_before_the_first_byte(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = prepared(acme, HamrStatus.ACTIVE)

    confirmed(change)

    intent, accepted, verified = entries(Event.CHANGE_SENDING, Event.CHANGE_ACCEPTED, Event.CHANGE_VERIFIED)
    assert (intent.reason, intent.outcome, intent.actor) == (changing.REASON, "SENDING", changing.operator().name)
    assert intent.data == {
        "before": "PREPARED",
        "after": "SENDING",
        "author": "operator@halden.example",
        "from": 2,
        "to": "ACTIVE",
        "url": change.url,
        "request": change.request,
        "override": True,
        "checks": ["STEP_SKIPPED", "WORKER_STOPPED"],
    }
    assert AuditEntry.objects.get(event=Event.CHANGE_SENDING).ticket == "INC-4711"
    assert (accepted.outcome, verified.outcome) == ("ACCEPTED", "VERIFIED")


def test_at_the_moment_of_the_post_the_change_is_sending(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    acme, _ = changing.connected(simulator)
    seen: list[tuple[str, list[str], bool]] = []
    post = sending.post

    def look_and_post(change: Change, *args: Any, **more: Any) -> Any:
        row = fresh(change)
        seen.append((row.status, [each.event for each in entries(Event.CHANGE_SENDING)], row.sent_at is not None))
        return post(change, *args, **more)

    monkeypatch.setattr(sending, "post", look_and_post)

    changed(acme)

    assert seen == [("SENDING", ["change.sending"], True)]


def test_a_second_confirmation_is_refused_and_sends_nothing(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = prepared(acme)
    form, stale = words(change), fresh(change)
    changes.confirm(change, form, by=changing.operator())

    for again in (change, fresh(change), stale):
        with pytest.raises((AlreadyMoved, SidesChanged)):
            changes.confirm(again, form, by=changing.operator())

    assert len(simulator.posts) == 1


def test_of_two_forms_for_one_organization_one_is_sent(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    first, second = prepared(acme), prepared(acme)
    confirmed(first)

    with pytest.raises(SidesChanged):
        confirmed(second)

    assert len(simulator.posts) == 1
    assert fresh(second).status == "PREPARED"


def test_while_a_change_is_open_another_of_its_pair_is_busy(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    beside = prepared(acme_dr)
    simulator.set_fault("acme", "drop_before", verb="POST")
    first = changed(acme)
    assert first.status == "UNKNOWN"

    with pytest.raises(Busy) as raised:
        confirmed(beside)

    assert raised.value.other == first
    assert refusals() == [(Event.CHANGE_BUSY, "Busy")]
    assert len(simulator.posts) == 1


def test_what_is_refused_is_refused_in_this_order(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    acme, acme_dr = changing.connected(simulator)
    change = prepared(acme, HamrStatus.PASSIVE)  # so already: nothing could be sent
    standing(acme_dr, "UNKNOWN")
    nobody, elif_ = changing.actor(Role.VIEWER), changing.operator(email="elif@halden.example")
    wrong = words(change, token="x", reason="")
    before = len(simulator.requests)

    for form, by, expected in (
        (wrong, nobody, NotAllowed),
        (wrong, elif_, NotAllowed),
        (wrong, changing.operator(), LookAgain),
        (words(change, reason=""), changing.operator(), Incomplete),
        (words(change), changing.operator(), Forbidden),
    ):
        with pytest.raises(expected):
            changes.confirm(change, form, by=by)
    Change.objects.filter(pk=change.pk).update(noticed_json="[]")
    with pytest.raises(Busy):
        confirmed(fresh(change))

    assert [outcome for _, outcome in refusals()] == [
        *("NotAllowed", "NotAllowed", "LookAgain", "Incomplete", "Forbidden", "Busy"),
    ]
    assert len(simulator.requests) == before
    assert fresh(change).status == "PREPARED"


KEY = "with 0123456789ABCDEF0123456789abcdef"
"""What a key of Datadog looks like."""


@pytest.mark.parametrize("typed", [KEY, f"{KEY}01234567, it is", "0123456789abcdef0123456789abcdef01234567"])
def test_what_looks_like_a_key_never_goes_on_the_record(simulator: Simulator, typed: str):
    acme, _ = changing.connected(simulator)
    change = prepared(acme)

    with pytest.raises(Incomplete) as raised:
        confirmed(change, reason=typed, ticket=typed)

    assert raised.value.problems == (Problem.KEY_IN_TICKET, Problem.KEY_IN_REASON)
    assert not AuditEntry.objects.filter(data__icontains="0123456789abcdef").exists()


@pytest.mark.parametrize("typed", ["9c1185a5c5e9fc54612808977ee8f548b2258d31f", "order 0123456789abcdef", "x" * 40])
def test_what_is_shorter_longer_or_a_word_is_no_key(simulator: Simulator, typed: str):
    acme, _ = changing.connected(simulator)

    assert confirmed(prepared(acme), reason=typed).status == ChangeStatus.VERIFIED


def test_a_record_that_comes_into_doubt_while_the_sides_are_read_blocks_a_change(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    acme, _ = changing.connected(simulator)
    change = prepared(acme)
    as_confirmed = conditions.as_confirmed

    def read_and_doubt(*args: Any, **kwargs: Any) -> Any:
        ready = as_confirmed(*args, **kwargs)
        LogStanding.objects.create(pk=1, trouble="BROKEN", detail="entry #1")
        return ready

    monkeypatch.setattr(conditions, "as_confirmed", read_and_doubt)
    with pytest.raises(SidesChanged) as raised:
        confirmed(change)

    assert raised.value.facts["checks"] == ["LOG_IN_DOUBT"]
    assert simulator.posts == []


def test_a_refusal_is_on_the_record_with_the_change_and_everything_that_was_wrong(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = prepared(acme, HamrStatus.ACTIVE)

    with pytest.raises(Incomplete) as raised:
        changes.confirm(change, Words(token=change.nonce), by=changing.operator())

    assert raised.value.problems == (Problem.REASON_MISSING, Problem.OVERRIDE_MISSING, Problem.NAME_MISSING)
    (entry,) = entries(Event.CHANGE_INCOMPLETE)
    assert entry.data["problems"] == ["REASON_MISSING", "OVERRIDE_MISSING", "NAME_MISSING"]
    assert AuditEntry.objects.get(event=Event.CHANGE_INCOMPLETE).change == change.pk


def test_a_form_that_was_refused_can_be_corrected(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = prepared(acme)
    with pytest.raises(Incomplete):
        confirmed(change, typed_name="acne")

    assert confirmed(change).status == "VERIFIED"


def test_a_side_that_changed_since_the_preview_stops_the_change(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = prepared(acme)
    simulator.write_aside("acme", FAILOVER, "jonas.weber@halden.example")

    with pytest.raises(SidesChanged) as raised:
        confirmed(change)

    assert raised.value.facts["side"] == "acme"
    assert refusals() == [(Event.CHANGE_STALE, "SidesChanged")]
    assert simulator.posts == []
    assert fresh(change).status == "PREPARED"


@pytest.mark.parametrize(
    ("between", "expected"),
    [
        (lambda acme_dr: Person.objects.update(role=Role.VIEWER), NotAllowed),
        (lambda acme_dr: standing(acme_dr, "UNKNOWN"), Busy),
        (lambda acme_dr: standing(acme_dr, "VERIFIED"), SidesChanged),
        (lambda acme_dr: Change.objects.update(status="CANCELLED"), AlreadyMoved),
    ],
    ids=["role", "open change", "sent change", "cancelled"],
)
def test_what_comes_between_the_last_read_and_the_commit_stops_the_change(
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    between: Callable[[Organization], object],
    expected: type[Exception],
):
    acme, acme_dr = changing.connected(simulator)
    change = prepared(acme)
    look = previews.look

    def look_slowly(*args: Any, **more: Any) -> Any:
        sight = look(*args, **more)
        between(acme_dr)
        return sight

    monkeypatch.setattr(previews, "look", look_slowly)

    with pytest.raises(expected):
        confirmed(change)

    assert simulator.posts == []
    assert fresh(change).sent_at is None


def test_where_only_the_constraint_sees_the_other_change_it_is_busy(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    acme, acme_dr = changing.connected(simulator)
    change = prepared(acme)
    # As if the other one was committed in the instant after the last look.
    monkeypatch.setattr(conditions, "clear", lambda *_: None)
    as_confirmed = conditions.as_confirmed

    def and_then_another(*args: Any, **more: Any) -> Any:
        ready = as_confirmed(*args, **more)
        standing(acme_dr, "UNKNOWN")
        return ready

    monkeypatch.setattr(conditions, "as_confirmed", and_then_another)

    with pytest.raises(Busy) as raised:
        confirmed(change)

    assert raised.value.other == Change.objects.get(organization=acme_dr)
    assert simulator.posts == []


# --- what cannot be recorded is not sent ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "errors",
    [[OperationalError("busy"), OperationalError("busy")], [IntegrityError("secret")]],
    ids=["busy", "refused"],
)
def test_a_change_whose_intent_cannot_be_recorded_is_not_sent(
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    errors: list[Exception],
):
    acme, _ = changing.connected(simulator)
    change = prepared(acme)
    the_record_fails(monkeypatch, Event.CHANGE_SENDING, *errors)

    with pytest.raises(Blocked, match=f"change {change.pk} cannot be recorded, so it was not sent"):
        confirmed(change)

    assert simulator.posts == []
    assert (fresh(change).status, fresh(change).sent_at) == ("PREPARED", None)
    assert ("CRITICAL", f"audit.write_failed: change {change.pk} is not sent: {type(errors[0]).__name__}") in [
        (line.levelname, line.getMessage()) for line in caplog.records
    ]


def test_a_database_that_is_busy_for_a_moment_is_asked_once_more(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    acme, _ = changing.connected(simulator)
    the_record_fails(monkeypatch, Event.CHANGE_SENDING, OperationalError("busy"))

    change = changed(acme)

    assert (change.status, len(simulator.posts)) == ("VERIFIED", 1)
    assert moves(change) == ["SEND", "ACCEPT", "VERIFY"]


def test_an_approval_that_cannot_be_recorded_sends_nothing(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)
    busy = [OperationalError("busy")] * 2
    the_record_fails(monkeypatch, Event.CHANGE_APPROVED, *busy)
    with pytest.raises(Blocked):
        changes.approve(change, by=changing.approver(), typed_name="acme")
    the_record_fails(monkeypatch, Event.APPROVAL_SKIPPED, *busy)
    with pytest.raises(Blocked):
        changes.skip_approval(change, by=changing.operator(), typed_name="acme", reason="nobody answers")

    assert simulator.posts == []
    assert fresh(change).status == "AWAITING_APPROVAL"
    assert not SkipNotice.objects.exists()


def test_an_outcome_that_cannot_be_recorded_is_still_told_and_recorded_later(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    acme, _ = changing.connected(simulator)
    change = prepared(acme)
    the_record_fails(monkeypatch, Event.CHANGE_ACCEPTED, OperationalError("busy"), OperationalError("busy"))

    with pytest.raises(NotRecordedYet) as raised:
        confirmed(change)

    assert (raised.value.came.move, raised.value.spooled) == (Move.ACCEPT, True)
    assert fresh(change).status == "SENDING"
    reconciliation.reconcile(by=changing.operator())
    assert (fresh(change).status, moves(change)) == ("VERIFIED", ["SEND", "ACCEPT", "VERIFY"])
    assert len(simulator.posts) == 1


# --- what came of it --------------------------------------------------------------------------------------------


def test_what_was_not_sent_is_not_read_back(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    acme, _ = changing.connected(simulator)
    change = prepared(acme)
    monkeypatch.setattr(sending, "LATEST_START", -1.0)

    confirmed(change)

    assert (change.status, simulator.posts) == ("NOT_SENT", [])
    assert [what for what, _ in told(change)].count("READ_BACK") == 0


def test_what_was_rejected_is_read_back_once_all_the_same(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", "400", verb="POST")

    change = changed(acme)

    assert (change.status, change.http_status) == ("REJECTED", 400)
    rejected, *read_back = told(change)[-3:]
    assert rejected == ("MOVED", "REJECT")
    assert sorted(read_back) == [("READ_BACK", "acme"), ("READ_BACK", "acme-dr")]
    assert changing.made(change, Move.REJECT).reason.startswith("Bad Request")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("drop_after", ["SEND", "LOSE", "VERIFY"]), ("drop_before", ["SEND", "LOSE"]), ("500", ["SEND", "LOSE"])],
)
def test_what_is_not_known_is_read_back_before_anything_is_said(simulator: Simulator, fault: str, expected: list[str]):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", fault, verb="POST")

    change = changed(acme)

    assert moves(change) == expected
    assert change.reads == 1
    assert len(simulator.posts) == 1


def test_what_was_accepted_and_is_not_read_back_so_is_doubted(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", "not_applied", verb="POST")

    change = changed(acme)

    assert (change.status, moves(change)) == ("UNKNOWN", ["SEND", "ACCEPT", "DOUBT"])


def test_a_read_back_that_the_database_does_not_take_changes_nothing_of_the_answer(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    acme, _ = changing.connected(simulator)

    def fail(*_: Any, **__: Any) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(reconciliation, "learn", fail)

    change = changed(acme)

    assert change.status == "ACCEPTED"
    assert f"change {change.pk} is not read back yet: OperationalError" in caplog.messages


@pytest.mark.parametrize(("deadline", "expected"), [(2.0, 2.0), (8.0, 3.0)])
def test_a_person_waits_for_the_read_back_three_seconds_at_most(
    simulator: Simulator, settings: Settings, monkeypatch: pytest.MonkeyPatch, deadline: float, expected: float
):
    acme, _ = changing.connected(simulator)
    settings.HAMR_DEADLINE = deadline
    asked: list[float | None] = []
    read = readings.read_for_change

    def note(ids: Any, *, by: Any, seconds: float | None = None) -> Any:
        asked.append(seconds)
        return read(ids, by=by, seconds=seconds)

    change = prepared(acme)
    monkeypatch.setattr(readings, "read_for_change", note)

    confirmed(change)

    assert asked == [None, expected]


def test_a_link_is_sent_and_verified(simulator: Simulator):
    acme, acme_dr = changing.unconnected(simulator)
    by = changing.admin()
    change = prepared(acme, HamrStatus.ONBOARDING, by, link=changing.link_to(acme_dr))

    confirmed(change, by)

    assert (change.status, change.links) == ("VERIFIED", True)
    assert changing.again(acme).pair_id == changing.again(acme_dr).pair_id is not None
    with pytest.raises(NotAllowed, match="Needs: admin"):
        prepared(acme, HamrStatus.ONBOARDING, changing.operator(), link=changing.link_to(acme_dr))


def test_a_link_by_what_was_typed_of_the_other_side_is_sent(simulator: Simulator):
    acme, acme_dr = changing.unconnected(simulator)
    organizations.disable(acme_dr, by=changing.admin())
    by = changing.admin()
    link = Link(acme_dr.uuid, "acme-dr", "us5", is_primary=True)

    change = confirmed(prepared(acme, HamrStatus.ONBOARDING, by, link=link), by)

    assert (change.status, change.other) == ("VERIFIED", None)


# --- approval ---------------------------------------------------------------------------------------------------


def test_what_needs_approval_waits_half_an_hour_and_is_not_sent(simulator: Simulator):
    acme, _ = changing.connected(simulator, approval=True)

    change = changed(acme)

    assert (change.status, moves(change), simulator.posts) == ("AWAITING_APPROVAL", ["ASK"], [])
    assert change.confirmed_at is not None
    assert abs(change.expires_at - APPROVAL_LASTS - change.confirmed_at) < timedelta(seconds=1)
    assert (change.reason, change.sent_at) == (changing.REASON, None)
    (asked,) = entries(Event.APPROVAL_ASKED)
    assert (asked.data["request"], asked.reason) == (change.request, changing.REASON)


def test_an_approval_sends_exactly_what_was_confirmed(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change, before = waiting(acme), timezone.now()

    assert changes.approve(change, by=changing.approver(), typed_name=" acme ", comment="seen") is change

    assert (change.status, moves(change)) == ("VERIFIED", ["ASK", "APPROVE", "ACCEPT", "VERIFY"])
    assert change.approver is not None
    assert change.approver.email == changing.approver().name
    assert change.approved_at is not None
    assert change.sent_at is not None
    assert before <= change.approved_at <= change.sent_at
    assert [post.body for post in simulator.posts] == [change.request.encode()]
    (entry,) = entries(Event.CHANGE_APPROVED)
    assert (entry.reason, entry.actor, entry.data["author"]) == (
        *("seen", changing.approver().name),
        changing.operator().name,
    )
    assert entry.data["override"] is False


def test_the_override_that_the_author_ticked_is_on_the_record_of_the_approval(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = waiting(acme, HamrStatus.ACTIVE)

    changes.approve(change, by=changing.approver(), typed_name="acme")

    assert [each.data["override"] for each in entries(Event.APPROVAL_ASKED, Event.CHANGE_APPROVED)] == [True, True]


def test_nobody_approves_their_own_change(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)
    Person.objects.filter(email=changing.operator().name).update(role=Role.APPROVER)

    with pytest.raises(OwnChange):
        changes.approve(change, by=changing.operator(), typed_name="acme")
    with pytest.raises(OwnChange):
        changes.decline(change, by=changing.operator(), comment="no")

    assert refusals() == [(Event.APPROVAL_OF_OWN, "OwnChange")] * 2
    assert (fresh(change).status, simulator.posts) == ("AWAITING_APPROVAL", [])


def test_the_database_refuses_an_approval_by_its_author_too(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)
    sends = {"status": "SENDING", "sent_at": timezone.now()}

    for approver in (None, change.author):
        with pytest.raises(IntegrityError), transaction.atomic():
            Change.objects.filter(pk=change.pk).update(approver=approver, **sends)
    own = {"approver": change.author, "sent_at": timezone.now()}
    with pytest.raises(IntegrityError):
        move(change, Move.APPROVE, by=changing.operator(), fields=own)

    assert (fresh(change).status, fresh(change).approver) == ("AWAITING_APPROVAL", None)
    assert moves(change) == ["ASK"]


def test_an_approval_needs_the_name_the_role_and_sides_that_say_the_same(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)

    with pytest.raises(Incomplete) as raised:
        changes.approve(change, by=changing.approver(), typed_name="acme-dr")
    assert raised.value.problems == (Problem.NAME_OF_OTHER_SIDE,)
    with pytest.raises(NotAllowed, match="Needs: approver"):
        changes.approve(change, by=changing.operator(email="elif@halden.example"), typed_name="acme")
    simulator.split("acme-dr", modified_by="jonas.weber@halden.example")
    with pytest.raises(SidesChanged):
        changes.approve(change, by=changing.approver(), typed_name="acme")

    assert simulator.posts == []
    assert [outcome for _, outcome in refusals()] == ["Incomplete", "NotAllowed", "SidesChanged"]


def test_a_role_that_was_taken_away_during_the_read_approves_nothing(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)
    approver, look = changing.approver(), previews.look

    def look_slowly(*args: Any, **more: Any) -> Any:
        sight = look(*args, **more)
        Person.objects.filter(email=approver.name).update(role=Role.OPERATOR)
        return sight

    monkeypatch.setattr(previews, "look", look_slowly)

    with pytest.raises(NotAllowed, match="Needs: approver"):
        changes.approve(change, by=approver, typed_name="acme")
    assert simulator.posts == []


def test_an_approval_after_its_time_ends_the_change(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)

    with (
        time_machine.travel(change.expires_at + timedelta(milliseconds=1), tick=False),
        pytest.raises(AlreadyMoved, match=f"change {change.pk} does not wait any more"),
    ):
        changes.approve(change, by=changing.approver(), typed_name="acme")

    assert (change.status, moves(change), simulator.posts) == ("EXPIRED", ["ASK", "EXPIRE"], [])


def test_an_approval_at_the_last_moment_counts(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)

    with time_machine.travel(change.expires_at, tick=False):
        changes.approve(change, by=changing.approver(), typed_name="acme")

    assert change.status == "VERIFIED"


@pytest.mark.parametrize("status", sorted(set(ChangeStatus) - {ChangeStatus.AWAITING_APPROVAL}))
def test_what_does_not_wait_is_not_approved_or_skipped(simulator: Simulator, status: str):
    acme, _ = changing.connected(simulator)
    change = standing(acme, status)

    with pytest.raises(AlreadyMoved):
        changes.approve(change, by=changing.approver(), typed_name="acme")
    with pytest.raises(AlreadyMoved):
        changes.skip_approval(change, by=changing.operator(), typed_name="acme", reason="now")

    assert simulator.posts == []


def test_an_approval_that_expires_while_another_declines_is_declined(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    acme, _ = changing.connected(simulator)
    stale = fresh(waiting(acme))
    changes.decline(fresh(stale), by=changing.approver(), comment="no")

    with time_machine.travel(stale.expires_at + timedelta(hours=1), tick=False), pytest.raises(AlreadyMoved):
        changes.approve(stale, by=changing.approver(), typed_name="acme")

    assert stale.status == "DECLINED"


# --- without approval -------------------------------------------------------------------------------------------


def test_skipping_approval_sends_for_a_reason_and_leaves_a_note_for_everybody_who_could_have(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)
    for name in ("one@halden.example", "two@halden.example"):
        changing.approver(email=name)
    changing.admin()
    changing.actor(Role.VIEWER)
    Person.objects.filter(email="two@halden.example").update(is_active=False)

    changes.skip_approval(change, by=changing.operator(), typed_name="acme", reason=" nobody\a answers ")

    assert (change.status, moves(change)) == ("VERIFIED", ["ASK", "SKIP_APPROVAL", "ACCEPT", "VERIFY"])
    assert (change.skip_reason, change.approver) == (" nobody\N{REPLACEMENT CHARACTER} answers ", None)
    assert set(SkipNotice.objects.values_list("person__email", "seen_at")) == {
        ("one@halden.example", None),
        ("admin@halden.example", None),
    }
    (entry,) = entries(Event.APPROVAL_SKIPPED)
    assert entry.reason == " nobody\N{REPLACEMENT CHARACTER} answers "


def test_the_news_of_a_skipped_approval_asks_of_no_reader_what_only_some_can_do(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = waiting(acme, by=changing.admin())

    changes.skip_approval(change, by=changing.admin(), typed_name="acme", reason="nobody answers")

    _, lines = notifications.words_of(News.objects.get(kind=Kind.BREAK_GLASS), now=timezone.now())
    assert not SkipNotice.objects.exists()
    assert "Nobody approved it: nobody answers" in lines
    assert "Next: ask admin what could not wait." in " ".join(lines)
    assert "Where a page of the portal tells you of it, say there that you saw it." in " ".join(lines)


def test_an_admin_who_skips_approval_is_not_told_of_it(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    admin = changing.admin()
    change = waiting(acme, by=admin)

    changes.skip_approval(change, by=admin, typed_name="acme", reason="nobody answers")

    assert not SkipNotice.objects.exists()


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        ("", Problem.REASON_MISSING),
        (" \n", Problem.REASON_MISSING),
        ("r" * 2001, Problem.REASON_TOO_LONG),
        (KEY, Problem.KEY_IN_REASON),
    ],
)
def test_skipping_approval_needs_a_reason_of_its_own_and_the_name(simulator: Simulator, reason: str, problem: Problem):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)

    with pytest.raises(Incomplete) as raised:
        changes.skip_approval(change, by=changing.operator(), typed_name="acne", reason=reason)

    assert raised.value.problems == (problem, Problem.NAME_WRONG)
    assert simulator.posts == []


def test_only_the_author_skips_approval(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)

    for by in (changing.approver(), changing.operator(email="elif@halden.example")):
        with pytest.raises(NotAllowed):
            changes.skip_approval(change, by=by, typed_name="acme", reason="now")
    assert simulator.posts == []


def test_skipping_approval_after_its_time_ends_the_change(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)

    with time_machine.travel(change.expires_at + timedelta(seconds=1), tick=False), pytest.raises(AlreadyMoved):
        changes.skip_approval(change, by=changing.operator(), typed_name="acme", reason="now")

    assert change.status == "EXPIRED"


def test_somebody_who_was_skipped_sees_it_once(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    approver = changing.approver()
    changing.approver(email="two@halden.example")
    change = waiting(acme)
    changes.skip_approval(change, by=changing.operator(), typed_name="acme", reason="nobody answers")

    for _ in range(2):
        changes.see_skip(change, by=approver)
    changes.see_skip(change, by=changing.operator())

    seen = dict(SkipNotice.objects.values_list("person__email", "seen_at"))
    assert seen[approver.name] is not None
    assert seen["two@halden.example"] is None
    assert [(each.actor, each.organization) for each in entries(Event.SKIP_SEEN)] == [(approver.name, "acme")]
    assert AuditEntry.objects.get(event=Event.SKIP_SEEN).change == change.pk


def test_seeing_one_change_leaves_the_notes_of_another(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    person = Person.objects.get(email=changing.approver().name)
    first, second = standing(acme, "VERIFIED"), standing(acme, "VERIFIED")
    for each in (first, second):
        SkipNotice.objects.create(change=each, person=person)

    changes.see_skip(first, by=changing.approver())

    assert SkipNotice.objects.get(change=second).seen_at is None


# --- cancel, decline --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("approval", [False, True])
def test_the_author_takes_a_change_back_before_it_is_sent(simulator: Simulator, approval: bool):
    acme, _ = changing.connected(simulator)
    change = waiting(acme) if approval else prepared(acme)

    assert changes.cancel(change, by=changing.operator(session="another")) is change

    assert (change.status, change.closed_by) == ("CANCELLED", change.author)
    assert moves(change)[-1] == "CANCEL"
    with pytest.raises(AlreadyMoved):
        changes.cancel(change, by=changing.operator())


def test_nobody_else_takes_it_back(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = prepared(acme)

    with pytest.raises(NotAllowed):
        changes.cancel(change, by=changing.operator(email="elif@halden.example"))

    assert fresh(change).status == "PREPARED"
    assert AuditEntry.objects.get(event=Event.ACCESS_DENIED).change == change.pk


def test_an_approver_declines_and_says_why(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)

    assert changes.decline(change, by=changing.approver(), comment="not\a now") is change

    assert (change.status, change.closing_reason) == ("DECLINED", "not\N{REPLACEMENT CHARACTER} now")
    assert change.closed_by is not None
    assert change.closed_by.email == changing.approver().name
    (entry,) = entries(Event.CHANGE_DECLINED)
    assert (entry.reason, entry.outcome) == ("not\N{REPLACEMENT CHARACTER} now", "DECLINED")


@pytest.mark.parametrize(("comment", "problem"), [(" ", Problem.REASON_MISSING), ("c" * 2001, Problem.REASON_TOO_LONG)])
def test_declining_without_a_word_or_with_too_many_is_refused(simulator: Simulator, comment: str, problem: Problem):
    acme, _ = changing.connected(simulator)
    change = waiting(acme)

    with pytest.raises(Incomplete) as raised:
        changes.decline(change, by=changing.approver(), comment=comment)

    assert raised.value.problems == (problem,)
    assert fresh(change).status == "AWAITING_APPROVAL"
    assert refusals() == [(Event.CHANGE_INCOMPLETE, "Incomplete")]


def test_what_was_declined_or_cancelled_frees_its_pair(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    changes.decline(waiting(acme), by=changing.approver(), comment="no")
    changes.cancel(waiting(acme), by=changing.operator())
    Organization.objects.update(requires_approval=False)

    assert changed(acme_dr).status == "VERIFIED"


# --- resolve ----------------------------------------------------------------------------------------------------

NOT_SENT = {
    "came": {"move": "NOT_SENT", "at": "2026-03-01T12:00:00+00:00", "reason": "refused", "phase": "CONNECT"},
    "echo": None,
}


def unknown(simulator: Simulator) -> Change:
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", "drop_before", verb="POST", times=1)
    return changed(acme)


def test_an_operator_opens_the_lock_for_a_reason_and_the_pair_can_be_changed(simulator: Simulator):
    change = unknown(simulator)
    elif_ = changing.operator(email="elif@halden.example")

    assert changes.resolve(change, by=elif_, reason="seen\a in the site's own log") is change

    assert (change.status, change.check_at) == ("RESOLVED", None)
    assert change.settled_at is not None
    assert change.closed_by is not None
    assert (change.closed_by.email, change.closing_reason) == (
        elif_.name,
        "seen\N{REPLACEMENT CHARACTER} in the site's own log",
    )
    assert entries(Event.CHANGE_RESOLVED)[0].reason == "seen\N{REPLACEMENT CHARACTER} in the site's own log"
    assert changed(change.organization).status == "VERIFIED"


@pytest.mark.parametrize("status", sorted(set(ChangeStatus) - {ChangeStatus.ACCEPTED, ChangeStatus.UNKNOWN}))
def test_there_is_nothing_to_resolve_of_what_is_known(simulator: Simulator, status: str):
    acme, _ = changing.connected(simulator)
    change = standing(acme, status)

    with pytest.raises(AlreadyMoved):
        changes.resolve(change, by=changing.operator(), reason="because")

    assert fresh(change).status == status


def test_resolving_needs_a_role_and_a_reason(simulator: Simulator):
    change = unknown(simulator)

    with pytest.raises(NotAllowed, match="Needs: operator or admin"):
        changes.resolve(change, by=changing.approver(), reason="")
    with pytest.raises(Incomplete):
        changes.resolve(change, by=changing.operator(), reason=" ")

    assert refusals() == [(Event.ACCESS_DENIED, "NotAllowed"), (Event.CHANGE_INCOMPLETE, "Incomplete")]
    assert fresh(change).status == "UNKNOWN"


def test_resolving_what_nobody_is_sending_any_more_takes_it_for_abandoned_first(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = standing(acme, "SENDING", sent_at=timezone.now() - timedelta(minutes=5))

    changes.resolve(change, by=changing.operator(), reason="the server was switched off")

    assert (change.status, moves(change)) == ("RESOLVED", ["ABANDON", "RESOLVE"])


def test_resolving_waits_for_no_outcome_that_is_in_the_spool(simulator: Simulator, settings: Settings):
    acme, _ = changing.connected(simulator)
    change = standing(acme, "SENDING")
    spool.put({"change": change.pk, "nonce": change.nonce, "by": vars(changing.operator()), **NOT_SENT})

    with pytest.raises(AlreadyMoved):
        changes.resolve(change, by=changing.operator(), reason="because")

    assert fresh(change).status == "NOT_SENT"


def test_a_preview_keeps_the_pair_that_its_own_reading_finds(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    third = simulator.add_organization("third", "us3")
    changing.look(factories.simulated(third))
    simulator.add_pair("acme", "third")

    change = changes.prepare(acme, HamrStatus.FAILOVER, by=changing.operator())

    assert change.pair_id == changing.again(acme).pair_id


def test_where_no_thread_is_to_be_had_the_read_back_is_the_workers(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    acme, _ = changing.connected(simulator)
    change = prepared(acme)

    def exhausted(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(reconciliation, "learn", exhausted)

    assert confirmed(change).status == "ACCEPTED"
    assert "is not read back yet: RuntimeError" in caplog.text
