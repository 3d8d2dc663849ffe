from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.db import InterfaceError, OperationalError
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus, Move, What
from hamr_portal.domain.connections import View
from hamr_portal.models import AuditEntry, Change, LogLine, Organization
from hamr_portal.services import audit, connections, reconciliation, sending, spool
from hamr_portal.services.connections import Flight
from hamr_portal.services.sending import Came, NotRecordedYet
from hamr_portal.simulator import Simulator
from tests import factories

from . import changing
from .changing import fresh
from .records import entries

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def announced(organization: Organization) -> Change:
    """Give a change whose request is about to leave."""
    change = changing.prepared(organization)
    Change.objects.filter(pk=change.pk).update(status=ChangeStatus.SENDING, sent_at=timezone.now())
    return fresh(change)


def flight(organization: Organization) -> Flight:
    (found,) = connections.seize([organization.pk])
    return found


def posted(organization: Organization, *, late: float = 0.0) -> Came:
    return sending.post(announced(organization), flight(organization), since=time.monotonic() - late)


# --- post -------------------------------------------------------------------------------------------------------


def test_an_answer_that_repeats_what_was_asked_is_accepted(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)

    came = posted(acme)

    assert (came.move, came.http_status, came.reason, came.phase) == (Move.ACCEPT, 200, "", "ANSWER")
    assert came.echo is not None
    assert (came.echo.status, came.echo.modified_by, came.echo.target_uuid) == (
        *(3, changing.operator().name),
        acme_dr.uuid,
    )
    assert came.raw.startswith('{"data"')
    assert came.elapsed_ms is not None
    assert abs(timezone.now() - came.at) < timedelta(minutes=1)
    assert len(simulator.posts) == 1


@pytest.mark.parametrize("spelling", ["snake_case", "PascalCase"])
def test_exactly_the_request_of_the_preview_is_sent(simulator: Simulator, spelling: Any):
    acme, _ = changing.connected(simulator, spelling=spelling)
    change = announced(acme)

    sending.post(change, flight(acme), since=time.monotonic())

    (post,) = simulator.posts
    assert post.body == change.request.encode()
    assert ("HamrStatus" in change.request) is (spelling == "PascalCase")


@pytest.mark.parametrize(
    ("fault", "expected", "status", "reason"),
    [
        ("400", Move.REJECT, 400, "hamr_status is refused"),
        ("403", Move.REJECT, 403, "Forbidden"),
        ("409", Move.REJECT, 409, "being changed"),
        ("429", Move.REJECT, 429, "Too many requests"),
        ("500", Move.LOSE, 500, ""),
        ("503", Move.LOSE, 503, ""),
        ("drop_after", Move.LOSE, None, ""),
        ("drop_before", Move.LOSE, None, ""),
        ("html", Move.LOSE, 200, ""),
        ("truncated", Move.LOSE, 200, ""),
        ("redirect", Move.LOSE, 307, ""),
        ("wrong_organization", Move.LOSE, 200, "Datadog answered something else than was asked"),
        ("unknown_status", Move.LOSE, 200, "Datadog answered something else than was asked"),
        ("null", Move.LOSE, 200, "no connection in it"),
    ],
)
def test_what_came_of_it_is_named_by_what_is_known(
    simulator: Simulator, fault: str, expected: Move, status: int | None, reason: str
):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", fault, verb="POST")

    came = posted(acme)

    assert (came.move, came.http_status, came.echo) == (expected, status, None)
    assert reason in came.reason
    assert came.phase
    assert came.elapsed_ms is not None
    assert len(simulator.posts) == 1


def test_how_long_the_site_asks_to_wait_is_kept(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", "429", verb="POST", reset=42)

    assert posted(acme).retry_after == 42


def test_a_port_that_is_closed_means_that_nothing_was_sent(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change, made = announced(acme), flight(acme)
    simulator.set_fault("acme", "refuse")

    came = sending.post(change, made, since=time.monotonic())

    assert (came.move, came.phase, came.http_status) == (Move.NOT_SENT, "CONNECT", None)
    assert simulator.posts == []


@pytest.mark.parametrize("clock", ["monotonic", "of the wall", "of the wall, set back"])
def test_what_is_too_late_by_either_clock_does_not_leave(simulator: Simulator, clock: str):
    acme, _ = changing.connected(simulator)
    late = sending.LATEST_START + 0.1
    set_forward = {"monotonic": 0.0, "of the wall": late, "of the wall, set back": -late}[clock]
    change, made = announced(acme), flight(acme)
    since = time.monotonic() - (late if clock == "monotonic" else 0)

    with time_machine.travel(timezone.now() + timedelta(seconds=set_forward), tick=True):
        came = sending.post(change, made, since=since)

    assert (came.move, came.reason, came.phase) == (
        *(Move.NOT_SENT, "too late after it was announced"),
        "RESOLVE",
    )
    assert simulator.posts == []


def test_what_was_announced_a_moment_ago_leaves(simulator: Simulator):
    acme, _ = changing.connected(simulator)

    assert posted(acme, late=sending.LATEST_START - 5).move is Move.ACCEPT


def test_no_request_leaves_when_another_may_have_taken_it_for_abandoned():
    assert sending.LATEST_START < reconciliation.ABANDONED_AFTER


def test_a_post_may_take_two_seconds_more_than_a_read(settings: Settings):
    settings.HAMR_DEADLINE = 8.0

    assert sending.post_deadline() == 10.0


# --- record -----------------------------------------------------------------------------------------------------

CAME = Came(Move.ACCEPT, AT, phase="ANSWER", http_status=200, elapsed_ms=212, raw="{}", echo=View(True, 3, True))


@pytest.fixture
def acme() -> Organization:
    return factories.pair("acme", "acme-dr")[0]


def recorded(change: Change, came: Came) -> Change:
    sending.record(change, came, by=changing.operator())
    return fresh(change)


@pytest.mark.parametrize("by_way_of", [Move.ACCEPT, Move.LOSE])
def test_what_is_not_settled_is_read_two_seconds_later(acme: Organization, by_way_of: Move):
    change = recorded(changing.standing(acme, "SENDING"), replace(CAME, move=by_way_of))

    assert (change.status, change.http_status) == (by_way_of.reaches, 200)
    assert (change.check_at, change.settled_at) == (AT + timedelta(seconds=2), None)


@pytest.mark.parametrize("by_way_of", [Move.NOT_SENT, Move.REJECT])
def test_what_is_settled_is_settled_when_it_was_seen(acme: Organization, by_way_of: Move):
    change = recorded(changing.standing(acme, "SENDING"), replace(CAME, move=by_way_of, http_status=None, echo=None))

    assert (change.status, change.http_status) == (by_way_of.reaches, None)
    assert (change.check_at, change.settled_at) == (None, AT)


def test_the_log_and_the_record_keep_what_the_client_saw(acme: Organization):
    change = changing.standing(acme, "SENDING")
    came = Came(Move.REJECT, AT, "no", "ANSWER", 429, 12, 30.0, "raw")

    recorded(change, came)

    line = changing.made(change, Move.REJECT)
    assert (line.at, line.reason, line.phase, line.http_status, line.elapsed_ms) == (AT, "no", "ANSWER", 429, 12)
    assert (line.retry_after, line.raw, line.view) == (30.0, "raw", None)
    (entry,) = entries()
    assert entry.data == {
        "before": "SENDING",
        "after": "REJECTED",
        "seen_at": str(AT),
        "reason": "no",
        "phase": "ANSWER",
        "http_status": 429,
        "elapsed_ms": 12,
        "retry_after": 30.0,
        "raw": "raw",
    }


def test_an_echo_is_in_the_log(acme: Organization):
    change = changing.standing(acme, "SENDING")

    recorded(change, CAME)

    assert changing.made(change, Move.ACCEPT).view == CAME.echo


def test_an_echo_that_names_another_writer_says_whose_name_to_look_for(acme: Organization):
    change = changing.standing(acme, "SENDING")

    change = recorded(change, replace(CAME, echo=View(True, 3, True, modified_by="hamr-service")))

    assert change.writer == "hamr-service"


def test_an_echo_without_a_writer_leaves_the_one_that_was_sent(acme: Organization):
    change = changing.standing(acme, "SENDING")

    assert recorded(change, CAME).writer == changing.operator().name


@pytest.mark.parametrize("by_way_of", [Move.ACCEPT, Move.REJECT, Move.NOT_SENT])
def test_an_answer_that_comes_after_the_change_was_taken_for_abandoned_is_what_counts(
    acme: Organization, by_way_of: Move
):
    change = changing.standing(acme, "UNKNOWN")

    assert recorded(change, replace(CAME, move=by_way_of)).status == by_way_of.reaches


@pytest.mark.parametrize("status", ["VERIFIED", "NOT_APPLIED", "SUPERSEDED", "RESOLVED", "ACCEPTED"])
def test_an_answer_that_comes_after_the_change_was_reconciled_is_only_told(acme: Organization, status: str):
    change = changing.standing(acme, status)
    before = Change.objects.filter(pk=change.pk).values().get()

    recorded(change, CAME)

    assert Change.objects.filter(pk=change.pk).values().get() == before
    line = LogLine.objects.get()
    assert (line.what, line.move, line.by, line.at) == (What.MOVED, "ACCEPT", changing.operator().name, AT)
    (entry,) = entries()
    assert (entry.event, entry.data["too_late_for"], entry.data["http_status"]) == (
        *(Event.CHANGE_ACCEPTED, "ACCEPT"),
        200,
    )
    written = AuditEntry.objects.get()
    assert (written.change, written.organization) == (change.pk, acme.name)


def test_what_is_not_known_is_not_lost_again(acme: Organization):
    change = changing.standing(acme, "UNKNOWN")

    recorded(change, replace(CAME, move=Move.LOSE, echo=None))

    assert (fresh(change).status, changing.moves(change)) == ("UNKNOWN", ["LOSE"])
    assert entries()[0].data["too_late_for"] == "LOSE"


def test_what_was_recorded_already_is_not_told_twice(acme: Organization):
    change = changing.standing(acme, "SENDING")

    recorded(change, CAME)
    recorded(change, CAME)

    assert changing.moves(change) == ["ACCEPT"]
    assert len(entries()) == 1


def test_what_was_seen_at_another_moment_is_told_as_well(acme: Organization):
    change = changing.standing(acme, "SENDING")

    recorded(change, CAME)
    recorded(change, replace(CAME, at=AT + timedelta(seconds=1)))

    assert changing.moves(change) == ["ACCEPT", "ACCEPT"]


# --- where the database does not take it ------------------------------------------------------------------------


def failing(monkeypatch: pytest.MonkeyPatch, *errors: Exception) -> None:
    """Let the record refuse, so many times, with these errors."""
    append, to_come = audit.append, list(errors)

    def fail(event: Event, **fields: Any) -> AuditEntry:
        if to_come:
            raise to_come.pop(0)
        return append(event, **fields)

    monkeypatch.setattr(audit, "append", fail)


def test_a_database_that_is_busy_once_takes_it_the_second_time(acme: Organization, monkeypatch: pytest.MonkeyPatch):
    failing(monkeypatch, OperationalError("database is locked"))

    assert recorded(changing.standing(acme, "SENDING"), CAME).status == "ACCEPTED"


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_what_the_database_does_not_take_waits_in_the_spool(
    acme: Organization,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
):
    change = changing.standing(acme, "SENDING")
    failing(monkeypatch, error("away"), error("away"))

    with pytest.raises(NotRecordedYet, match=f"change {change.pk}: ACCEPT is not recorded yet") as raised:
        sending.record(change, CAME, by=changing.operator())

    assert (raised.value.change, raised.value.came, raised.value.spooled) == (change, CAME, True)
    assert fresh(change).status == "SENDING"
    assert f"change {change.pk}: ACCEPT is not recorded: {error.__name__}" in caplog.messages

    spool.deliver(sending.record_spooled)

    assert fresh(change).status == "ACCEPTED"


def test_where_the_spool_fails_too_the_person_still_sees_it(
    acme: Organization,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    settings: Settings,
    tmp_path: Path,
):
    (tmp_path / "full").write_text("no folder")
    settings.SPOOL_FILE = tmp_path / "full" / "spool.jsonl"
    change = changing.standing(acme, "SENDING")
    failing(monkeypatch, OperationalError("away"), OperationalError("away"))

    with pytest.raises(NotRecordedYet) as raised:
        sending.record(change, CAME, by=changing.operator())

    assert raised.value.spooled is False
    assert raised.value.came is CAME
    assert any("the spool could not be written either: " in message for message in caplog.messages)


ECHOES = [
    None,
    View(True, 3, True, AT, "mara@halden.example", UUID(int=2), "acme-dr", "us5"),
    View(True, 3, False, None, "", None, "", ""),
]


@pytest.mark.parametrize("echo", ECHOES)
def test_what_was_spooled_is_recorded_as_if_it_had_never_waited(
    acme: Organization, monkeypatch: pytest.MonkeyPatch, echo: View | None
):
    change, mara = changing.standing(acme, "SENDING"), changing.operator()
    came = Came(Move.ACCEPT, AT, "ünusual", "ANSWER", 200, 12, 1.5, '{"data"}', echo)
    with monkeypatch.context() as patched:
        failing(patched, OperationalError("away"), OperationalError("away"))
        with pytest.raises(NotRecordedYet):
            sending.record(change, came, by=mara)

    spool.deliver(sending.record_spooled)

    line = changing.made(change, Move.ACCEPT)
    assert (fresh(change).status, fresh(change).check_at) == ("ACCEPTED", AT + timedelta(seconds=2))
    assert (line.view, line.at, line.reason, line.retry_after, line.by) == (echo, AT, "ünusual", 1.5, mara.name)
    entry = AuditEntry.objects.get()
    assert (entry.actor_name, entry.actor_session, entry.actor_kind) == (mara.name, mara.session, "person")
    assert json.loads(entry.data)["seen_at"] == str(AT)


@pytest.mark.parametrize("unknown", [{"change": 4711}, {"nonce": "of another database"}])
def test_a_line_about_a_change_that_is_not_here_is_reported_and_passed_over(
    acme: Organization, caplog: pytest.LogCaptureFixture, unknown: dict[str, Any]
):
    change = changing.standing(acme, "SENDING")
    line = {"change": change.pk, "nonce": change.nonce, **unknown}

    sending.record_spooled(line)

    assert caplog.messages == [f"the spool tells of change {line['change']}, which is not in this database"]
    assert fresh(change).status == "SENDING"
    assert entries() == []


@pytest.mark.parametrize("cut", ["came", "by", "echo"])
def test_a_line_that_makes_no_sense_stands_in_the_way_of_no_other(
    acme: Organization, caplog: pytest.LogCaptureFixture, cut: str
):
    change = changing.standing(acme, "SENDING")
    line = {
        "change": change.pk,
        "nonce": change.nonce,
        "came": {"move": "ACCEPT"},
        "by": {"kind": "person"},
        "echo": None,
    }

    sending.record_spooled({name: told for name, told in line.items() if name != cut})

    assert caplog.messages == ["a line of the spool cannot be recorded: KeyError"]
    assert fresh(change).status == "SENDING"


@pytest.mark.parametrize("seen", [{"move": "VERIFY"}, {"elapsed_ms": 10**400}, {"at": "soon"}])
def test_a_line_that_was_written_by_hand_decides_nothing(
    acme: Organization, caplog: pytest.LogCaptureFixture, seen: dict[str, Any]
):
    change = changing.standing(acme, "UNKNOWN")
    came = {"move": "REJECT", "at": AT.isoformat(), **seen}
    line = {
        "change": change.pk,
        "nonce": change.nonce,
        "came": came,
        "by": {"kind": "person", "name": "m"},
        "echo": None,
    }

    sending.record_spooled(line)

    assert "a line of the spool cannot be recorded: " in caplog.text
    assert fresh(change).status == "UNKNOWN"


def test_what_was_recorded_and_doubted_since_is_not_recorded_again(acme: Organization):
    change = changing.standing(acme, "SENDING")
    sending.record(change, CAME, by=changing.operator())
    Change.objects.filter(pk=change.pk).update(status="UNKNOWN")

    sending.record(fresh(change), CAME, by=changing.operator())

    assert fresh(change).status == "UNKNOWN"
    assert changing.moves(change) == ["ACCEPT"]
