"""What becomes of a change when the database refuses? Rows 43, 44, 46 and 47."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.changes import Move
from hamr_portal.models import AuditEntry, Change, Organization, Person
from hamr_portal.services import changes, conditions, reconciliation, sending
from hamr_portal.services.refusals import Blocked, NotAllowed
from hamr_portal.services.sending import NotRecordedYet
from hamr_portal.simulator import FAILOVER, PASSIVE, Simulator
from tests import factories
from tests.services.changing import approver, confirmed, fresh, moves, operator, prepared, words

from . import database
from .conftest import Witness
from .marks import slow
from .stories import SENT, assert_no_post, assert_sent, data_of, settle, story

Fault = Callable[[], AbstractContextManager[object]]

FAULTS = [
    pytest.param(database.Lock, id="row 43: locked"),
    pytest.param(database.full, id="row 44: full"),
    pytest.param(database.read_only, id="row 44: read-only", marks=pytest.mark.slow),
    pytest.param(database.broken_disk, id="row 44: disk error", marks=pytest.mark.slow),
]


@pytest.fixture(autouse=True)
def _impatient(_shared_database: None) -> None:
    database.impatient()


@pytest.fixture
def after_reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[AbstractContextManager[object]], None]]:
    """Let something begin when both sides were read again, right before the change is announced."""
    as_confirmed = conditions.as_confirmed
    begun: list[AbstractContextManager[object]] = []

    def end() -> None:
        while begun:
            begun.pop().__exit__(None, None, None)

    def let(begin: AbstractContextManager[object]) -> Callable[[], None]:
        def read_and_begin(*args: Any, **kwargs: Any) -> conditions.Ready:
            ready = as_confirmed(*args, **kwargs)
            begin.__enter__()
            begun.append(begin)
            return ready

        monkeypatch.setattr(conditions, "as_confirmed", read_and_begin)
        return end

    yield let  # type: ignore[misc]

    end()


@pytest.fixture
def browser() -> Client:
    """Give a browser in which an operator is signed in."""
    client = Client()
    client.force_login(Person.objects.get(email=operator().name))
    return client


def assert_blocked(change: Change, simulator: Simulator, browser: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Hold that nothing was sent or recorded, that somebody is told, and that the reading pages answer."""
    assert_no_post(change, simulator, "change.prepared", status="PREPARED")
    assert any("audit.write_failed" in record.getMessage() for record in caplog.records)
    assert simulator.organizations.named("acme").view.hamr_status == PASSIVE  # type: ignore[union-attr]
    pages = [("dashboard",), ("dashboard_live",), ("organization", "acme"), ("changes",), ("change", change.pk)]
    for name, *words_of_path in pages:
        assert browser.get(reverse(str(name), args=words_of_path)).status_code == 200


def assert_the_same_form_still_works(change: Change, simulator: Simulator) -> None:
    confirmed(fresh(change))

    assert_sent(change, simulator, "change.accepted", "change.verified", status="VERIFIED")


@pytest.mark.parametrize("fault", FAULTS)
def test_rows_43_and_44_refusing_database_blocks_a_change(
    fault: Fault, simulator: Simulator, acme: Organization, browser: Client, caplog: pytest.LogCaptureFixture
) -> None:
    change = prepared(acme)

    with fault():
        with pytest.raises(Blocked):
            confirmed(change, reason=database.LONGER_THAN_A_PAGE)
        assert_blocked(change, simulator, browser, caplog)

    assert_the_same_form_still_works(change, simulator)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="of SQLite")
def test_row_44_database_file_that_is_taken_away_under_an_open_connection_blocks_a_change(
    simulator: Simulator, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = prepared(acme)
    path = Path(connection.settings_dict["NAME"])
    files = [each for each in path.parent.iterdir() if each.name.startswith(path.name)]
    as_confirmed = conditions.as_confirmed

    def read_and_take_away(*args: Any, **kwargs: Any) -> Any:
        ready = as_confirmed(*args, **kwargs)
        for each in files:
            each.unlink(missing_ok=True)
        return ready

    monkeypatch.setattr(conditions, "as_confirmed", read_and_take_away)

    with pytest.raises(Blocked):
        confirmed(change)

    assert simulator.posts == []


@pytest.mark.parametrize("fault", FAULTS)
def test_rows_43_and_44_database_that_refuses_after_the_reading_blocks_a_change(
    fault: Fault,
    simulator: Simulator,
    acme: Organization,
    browser: Client,
    caplog: pytest.LogCaptureFixture,
    after_reading: Any,
) -> None:
    change = prepared(acme)
    end = after_reading(fault())

    with pytest.raises(Blocked):
        confirmed(change, reason=database.LONGER_THAN_A_PAGE)

    assert_blocked(change, simulator, browser, caplog)
    assert not fresh(change).reason
    end()
    assert story(change) == ["change.prepared"]


def test_row_43_lock_that_ends_at_the_second_try_lets_one_request_out(
    simulator: Simulator, acme: Organization, after_reading: Any
) -> None:
    change = prepared(acme)
    lock = database.Lock()
    after_reading(lock)

    with failures_told(lock.release) as failures:
        confirmed(change)

    assert len(failures) == 1
    assert_sent(change, simulator, "change.accepted", "change.verified", status="VERIFIED")


def test_row_43_busy_database_is_tried_once_more_and_not_again(
    simulator: Simulator, acme: Organization, after_reading: Any
) -> None:
    change = prepared(acme)
    after_reading(database.Lock())

    with failures_told() as failures, pytest.raises(Blocked):
        confirmed(change)

    assert len(failures) == 2
    assert_no_post(change, simulator, "change.prepared", status="PREPARED")


@contextmanager
def failures_told(then: Callable[[], object] = lambda: None) -> Iterator[list[OperationalError]]:
    """Count the statements that the database refuses, and do something at each."""
    failures: list[OperationalError] = []

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        try:
            return execute(sql, params, many, context)
        except OperationalError as error:
            failures.append(error)
            then()
            raise

    with connection.execute_wrapper(watch):
        yield failures


def test_row_43_refusal_is_said_although_it_cannot_be_recorded(
    simulator: Simulator, acme: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    change = prepared(acme)
    other = operator("s2", "other@halden.example")

    with database.Lock(), pytest.raises(NotAllowed):
        changes.confirm(change, words(change), by=other)

    assert_no_post(change, simulator, "change.prepared", status="PREPARED")
    assert any("audit.write_failed: authz.denied" in record.getMessage() for record in caplog.records)


# --- row 46: after the POST -------------------------------------------------------------------------------------


def spooled(settings: Settings) -> list[dict[str, Any]]:
    if not settings.SPOOL_FILE.exists():
        return []
    return [json.loads(line) for line in settings.SPOOL_FILE.read_text().splitlines()]


@pytest.mark.parametrize(
    ("fault", "move", "events", "status"),
    [
        (None, Move.ACCEPT, ["change.accepted", "change.verified"], "VERIFIED"),
        ("drop_after", Move.LOSE, ["change.unknown", "change.verified"], "VERIFIED"),
        slow("400", Move.REJECT, ["change.rejected"], "REJECTED"),
        slow("drop_before", Move.LOSE, ["change.unknown"], "UNKNOWN"),
    ],
    ids=str,
)
def test_row_46_outcome_that_the_database_does_not_take_is_said_and_recorded_later(
    fault: str | None,
    move: Move,
    events: list[str],
    status: str,
    simulator: Simulator,
    acme: Organization,
    witness: Witness,
    settings: Settings,
) -> None:
    simulator.set_fault("acme", fault, verb="POST")
    change = prepared(acme)
    lock = database.Lock()
    witness.also = lock.take

    with pytest.raises(NotRecordedYet) as told:
        confirmed(change)

    assert (told.value.came.move, told.value.spooled) == (move, True)
    assert [(line["change"], line["nonce"]) for line in spooled(settings)] == [(change.pk, change.nonce)]
    assert_sent_and_not_read(change, simulator)

    lock.release()
    reconciliation.reconcile(by=factories.WORKER)

    assert_sent(change, simulator, *events, status=status)
    assert spooled(settings) == []
    assert AuditEntry.objects.get(change=change.pk, event=events[0]).actor_name == operator().name
    assert data_of(change, events[0])["seen_at"]


def assert_sent_and_not_read(change: Change, simulator: Simulator) -> None:
    assert (fresh(change).status, story(change)) == ("SENDING", SENT)
    assert [request.verb for request in simulator.requests][-1] == "POST"
    assert len(simulator.posts) == 1


@pytest.mark.slow
def test_row_46_not_sent_that_the_database_does_not_take_is_recorded_later(
    simulator: Simulator, acme: Organization, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = database.Lock()
    post = sending.post

    def refused(*args: Any, **kwargs: Any) -> Any:
        simulator.set_fault("acme", "refuse")
        lock.take()
        return post(*args, **kwargs)

    monkeypatch.setattr(sending, "post", refused)
    change = prepared(acme)

    with pytest.raises(NotRecordedYet) as told:
        confirmed(change)

    assert told.value.came.move is Move.NOT_SENT
    lock.release()
    simulator.set_fault("acme", None)
    reconciliation.reconcile(by=factories.WORKER)
    assert_no_post(change, simulator, *SENT, "change.not_sent", status="NOT_SENT")


@pytest.mark.skipif(connection.vendor != "sqlite", reason="of SQLite")
def test_row_46_database_that_turned_read_only_after_the_post_takes_it_later(
    simulator: Simulator, acme: Organization, witness: Witness, settings: Settings
) -> None:
    options = connection.settings_dict["OPTIONS"]
    writing = options["init_command"]

    def turn_read_only() -> None:
        options["init_command"] = f"{writing} PRAGMA query_only=ON;"
        ours.connection.execute("PRAGMA query_only=ON")

    change = prepared(acme)
    ours = connections["default"]
    witness.also = turn_read_only

    with pytest.raises(NotRecordedYet) as told:
        confirmed(change)

    assert told.value.spooled
    options["init_command"] = writing
    connection.close()
    assert_sent_and_not_read(change, simulator)
    reconciliation.reconcile(by=factories.WORKER)
    assert_sent(change, simulator, "change.accepted", "change.verified", status="VERIFIED")


@pytest.mark.skipif(connection.vendor == "sqlite", reason="of PostgreSQL")
def test_row_46_connection_that_ended_after_the_post_is_made_anew(
    simulator: Simulator, acme: Organization, witness: Witness, settings: Settings
) -> None:
    change = prepared(acme)
    witness.also = database.end_every_connection

    confirmed(change)

    assert_sent(change, simulator, "change.accepted", "change.verified", status="VERIFIED")
    assert spooled(settings) == []


def test_row_46_without_database_and_spool_it_is_reconciled_by_reading(
    simulator: Simulator, acme: Organization, witness: Witness, settings: Settings, time_machine: Any
) -> None:
    settings.SPOOL_FILE = settings.KEY_RING_FILE / "spool.jsonl"  # no folder: it cannot be written
    change = prepared(acme)
    lock = database.Lock()
    witness.also = lock.take

    with pytest.raises(NotRecordedYet) as told:
        confirmed(change)

    assert not told.value.spooled
    lock.release()
    assert_sent_and_not_read(change, simulator)
    settings.SPOOL_FILE = settings.KEY_RING_FILE.with_name("spool.jsonl")
    time_machine.move_to(timezone.now() + timedelta(minutes=1))
    reconciliation.tidy(by=factories.WORKER)
    settle(change, time_machine)

    assert_sent(change, simulator, "change.abandoned", "change.verified", status="VERIFIED")
    assert simulator.organizations.named("acme").view.hamr_status == FAILOVER  # type: ignore[union-attr]


@pytest.mark.slow
def test_row_46_database_that_ends_after_the_outcome_keeps_the_outcome(
    simulator: Simulator, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = database.Lock()
    record = sending.record

    def record_and_lock(*args: Any, **kwargs: Any) -> None:
        record(*args, **kwargs)
        lock.take()

    monkeypatch.setattr(sending, "record", record_and_lock)
    change = prepared(acme)

    confirmed(change)

    lock.release()
    assert (fresh(change).status, story(change)) == ("ACCEPTED", [*SENT, "change.accepted"])
    reconciliation.reconcile(by=factories.WORKER)
    assert_sent(change, simulator, "change.accepted", "change.verified", status="VERIFIED")


# --- row 47: a trigger ------------------------------------------------------------------------------------------


def test_row_47_entry_that_a_trigger_refuses_rolls_everything_back(
    simulator: Simulator, acme: Organization, browser: Client, caplog: pytest.LogCaptureFixture
) -> None:
    change = prepared(acme)
    before = (Change.objects.filter(pk=change.pk).values().get(), fresh(change).log.count(), AuditEntry.objects.count())

    with database.refusing("change.sending"):
        with pytest.raises(Blocked):
            confirmed(change)
        assert_blocked(change, simulator, browser, caplog)

    assert before == (
        Change.objects.filter(pk=change.pk).values().get(),
        fresh(change).log.count(),
        AuditEntry.objects.count(),
    )
    assert_the_same_form_still_works(change, simulator)


def test_row_47_preview_that_cannot_be_recorded_is_not_kept(simulator: Simulator, acme: Organization) -> None:
    with database.refusing("change.prepared"), pytest.raises(Exception, match=r"broken|refused"):
        prepared(acme)

    assert not Change.objects.exists()
    assert simulator.posts == []


@pytest.mark.slow
def test_row_47_outcome_that_a_trigger_refuses_is_recorded_when_it_does_not_any_more(
    simulator: Simulator, acme: Organization, settings: Settings
) -> None:
    change = prepared(acme)

    with database.refusing("change.accepted"):
        with pytest.raises(NotRecordedYet):
            confirmed(change)
        assert_sent_and_not_read(change, simulator)

    reconciliation.reconcile(by=factories.WORKER)
    assert_sent(change, simulator, "change.accepted", "change.verified", status="VERIFIED")
    assert spooled(settings) == []


@pytest.mark.slow
def test_row_47_refused_approval_sends_nothing(simulator: Simulator, acme: Organization) -> None:
    Organization.objects.filter(pk=acme.pk).update(requires_approval=True)
    change = confirmed(prepared(acme))

    with database.refusing("change.approved"), pytest.raises(Blocked):
        changes.approve(change, by=approver(), typed_name="acme")

    assert_no_post(change, simulator, "change.prepared", "change.approval_asked", status="AWAITING_APPROVAL")
    assert moves(change) == ["ASK"]
    assert not Change.objects.filter(pk=change.pk, approver__isnull=False).exists()
