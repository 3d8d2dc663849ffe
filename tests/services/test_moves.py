from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import ChangeStatus, Move, What
from hamr_portal.models import AuditEntry, Change, LogLine, Organization
from hamr_portal.services import audit
from hamr_portal.services.moves import AlreadyMoved, move, once_more, tell
from tests import factories

from . import changing
from .changing import fresh, standing
from .records import entries

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
# What else a row needs on its way, so that the database takes it.
BRINGS: dict[Move, dict[str, Any]] = {
    **{each: {"sent_at": AT} for each in Move if each.sends},
    Move.RESTORE: {"sent_at": AT, "restored_at": AT},
}


@pytest.fixture
def acme() -> Organization:
    return factories.pair("acme", "acme-dr")[0]


def everything(change: Change) -> tuple[Any, int, int]:
    """Give the row, and how much its log and the record hold."""
    row = Change.objects.filter(pk=change.pk).values().get()
    return row, LogLine.objects.count(), AuditEntry.objects.count()


@pytest.mark.parametrize("by_way_of", list(Move), ids=lambda each: each.name)
@pytest.mark.parametrize("status", list(ChangeStatus), ids=lambda each: each.value)
def test_a_move_leaves_its_own_statuses_and_no_other(acme: Organization, status: ChangeStatus, by_way_of: Move):
    change = standing(acme, status)
    before = everything(change)
    brings = BRINGS.get(by_way_of, {})

    if status in by_way_of.leaves:
        move(change, by_way_of, by=changing.operator(), fields=brings)

        assert fresh(change).status == change.status == by_way_of.reaches
        assert changing.moves(change) == [by_way_of.name]
        assert [(each.event, each.outcome) for each in entries()] == [(by_way_of.event, by_way_of.reaches)]
    else:
        with pytest.raises(AlreadyMoved, match=f"change {change.pk} cannot be {by_way_of.name} any more"):
            move(change, by_way_of, by=changing.operator(), fields=brings)

        assert everything(change) == before


def test_a_move_is_one_row_one_line_and_one_entry_that_tell_the_same(acme: Organization):
    change, mara = standing(acme, "SENDING", ticket="INC-1"), changing.operator()

    move(change, Move.ACCEPT, by=mara, reason="it answered", data={"http_status": 200}, fields={"http_status": 200})

    line = changing.made(change, Move.ACCEPT)
    assert (fresh(change).status, fresh(change).http_status, change.http_status) == ("ACCEPTED", 200, 200)
    assert (line.what, line.move, line.by, line.last_at, line.times) == (What.MOVED, "ACCEPT", mara.name, line.at, 1)
    entry = AuditEntry.objects.get()
    assert (entry.event, entry.actor_name, entry.actor_session) == (Event.CHANGE_ACCEPTED, mara.name, "s1")
    assert (entry.organization, entry.change, entry.ticket) == ("acme", change.pk, "INC-1")
    assert (entry.reason, entry.outcome) == ("it answered", "ACCEPTED")
    assert entries()[0].data == {"before": "SENDING", "after": "ACCEPTED", "http_status": 200}


def test_a_ticket_that_comes_with_the_move_is_the_one_on_the_record(acme: Organization):
    change = standing(acme, "PREPARED", ticket="kept from a form that failed")

    move(change, Move.SEND, by=changing.operator(), fields={"ticket": "INC-2", "sent_at": AT})

    assert (AuditEntry.objects.get().ticket, fresh(change).ticket) == ("INC-2", "INC-2")


def test_a_move_tells_what_was_seen_first_and_then_what_it_did(acme: Organization):
    change = standing(acme, "UNKNOWN")
    seen = LogLine(what=What.READ_BACK, at=AT, has_connection=True, status=3)
    told = LogLine(at=AT + timedelta(seconds=1), http_status=504, what=What.PREVIEWED, move="none")

    move(change, Move.RULE_OUT, by=factories.WORKER, seen=[seen], told=told)

    lines = LogLine.objects.order_by("pk").values_list("what", "move", "at", "last_at", "by", "http_status")
    assert list(lines) == [
        ("READ_BACK", "", AT, AT, "", None),
        ("MOVED", "RULE_OUT", AT + timedelta(seconds=1), AT + timedelta(seconds=1), "tests", 504),
    ]


def test_what_is_only_told_has_a_moment_and_moves_nothing(acme: Organization):
    change, before = standing(acme, "UNKNOWN"), timezone.now()

    with transaction.atomic():
        tell(change, iter([LogLine(what=What.READ_BACK)]))
        tell(change, [LogLine(what=What.READ_BACK, at=AT, last_at=timezone.now())])

    first, second = LogLine.objects.order_by("pk")
    assert before <= first.at == first.last_at
    assert second.at == AT < before <= second.last_at
    assert fresh(change).status == "UNKNOWN"


# --- all or nothing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [IntegrityError, OperationalError, DatabaseError])
def test_without_an_entry_on_the_record_nothing_moves(
    acme: Organization, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
):
    change = standing(acme, "SENDING")
    before = everything(change)

    def fail(event: Event, **_: Any) -> None:
        raise error("the disk is full")

    monkeypatch.setattr(audit, "append", fail)

    with pytest.raises(error, match="the disk is full"):
        move(change, Move.ACCEPT, by=changing.operator(), fields={"http_status": 200})

    assert everything(change) == before
    assert (change.status, change.http_status) == ("SENDING", None)


REFUSES = {
    "sqlite": ["CREATE TRIGGER refuses BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'it is full'); END"],
    "postgresql": [
        "CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'it is full'; END $$",
        "CREATE TRIGGER refuses BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse()",
    ],
}


@pytest.mark.parametrize("model", [LogLine, AuditEntry])
def test_where_the_database_takes_one_of_the_three_not_it_takes_none(acme: Organization, model: Any):
    change = standing(acme, "SENDING")
    before = everything(change)
    with connection.cursor() as cursor:
        for statement in REFUSES[connection.vendor]:
            cursor.execute(statement.format(table=model._meta.db_table))

    with pytest.raises(DatabaseError, match="it is full"):
        move(change, Move.ACCEPT, by=changing.operator())

    assert everything(change) == before


def test_what_has_to_hold_is_looked_at_in_the_same_transaction_and_stops_the_move(acme: Organization):
    change = standing(acme, "PREPARED")
    before = everything(change)

    def provided() -> None:
        assert connection.in_atomic_block
        Change.objects.filter(pk=change.pk).update(reason="written in passing")
        raise PermissionError("not any more")

    with pytest.raises(PermissionError, match="not any more"):
        move(change, Move.SEND, by=changing.operator(), provided=provided, fields={"sent_at": AT})

    assert everything(change) == before


def test_what_has_to_hold_is_looked_at_before_the_row_is(acme: Organization):
    change = standing(acme, "CANCELLED")

    def provided() -> None:
        raise PermissionError("asked first")

    with pytest.raises(PermissionError, match="asked first"):
        move(change, Move.SEND, by=changing.operator(), provided=provided)


def test_a_move_refuses_to_be_part_of_another_transaction(acme: Organization):
    change = standing(acme, "SENDING")

    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        move(change, Move.ACCEPT, by=changing.operator())

    assert fresh(change).status == "SENDING"


def test_what_somebody_else_moved_meanwhile_is_not_moved_again(acme: Organization):
    change = standing(acme, "PREPARED")
    also = fresh(change)
    move(also, Move.CANCEL, by=changing.operator())

    with pytest.raises(AlreadyMoved):
        move(change, Move.SEND, by=changing.operator(), fields={"sent_at": AT})

    assert (fresh(change).status, fresh(change).sent_at) == ("CANCELLED", None)
    assert changing.moves(change) == ["CANCEL"]


# --- once more --------------------------------------------------------------------------------------------------


def failing(*errors: Exception) -> tuple[list[str], Callable[[], str]]:
    """Give a write that raises these errors first, and what it has done."""
    done: list[str] = []
    to_come = list(errors)

    def write() -> str:
        done.append("tried")
        if to_come:
            raise to_come.pop(0)
        return "written"

    return done, write


def test_a_write_that_succeeds_is_done_once():
    done, write = failing()

    assert once_more(write) == "written"
    assert done == ["tried"]


@pytest.mark.parametrize("error", [OperationalError("database is locked"), InterfaceError("connection closed")])
def test_a_write_to_a_database_that_was_busy_or_gone_is_done_once_more(
    monkeypatch: pytest.MonkeyPatch, error: Exception
):
    closed: list[str] = []
    monkeypatch.setattr(connection, "close_if_unusable_or_obsolete", lambda: closed.append("looked at"))
    done, write = failing(error)

    assert once_more(write) == "written"
    assert (done, closed) == (["tried", "tried"], ["looked at"])


def test_the_second_failure_is_the_callers():
    done, write = failing(OperationalError("first"), OperationalError("second"))

    with pytest.raises(OperationalError, match="second"):
        once_more(write)
    assert done == ["tried", "tried"]


def test_what_the_database_refuses_is_not_tried_again():
    done, write = failing(IntegrityError("no"))

    with pytest.raises(IntegrityError, match="no"):
        once_more(write)
    assert done == ["tried"]


def test_the_record_names_the_actor_as_they_were(acme: Organization):
    change = standing(acme, "SENDING")
    by = Actor(kind="command", name="mara@halden.example", role="OPERATOR", address="192.0.2.1", request_id="r1")

    move(change, Move.LOSE, by=by)

    entry = AuditEntry.objects.get()
    assert (entry.actor_kind, entry.actor_role, entry.actor_address, entry.request_id) == (
        *("command", "OPERATOR", "192.0.2.1"),
        "r1",
    )
