"""Who came in, who left, who was kept out: each told once, and no flood of failures fills the record."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count

import pytest
import time_machine
from django.conf import settings

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.models import AuditEntry
from hamr_portal.services import sessions
from hamr_portal.services.sessions import AT_MOST, PER, SAME_FOR, Failure
from tests import factories

from .conftest import InParallel

NOW = datetime.fromisoformat("2026-03-15T03:06:32+00:00")


@pytest.fixture(autouse=True)
def _nothing_left_out_before() -> Iterator[None]:
    sessions.left_out.take()
    yield
    sessions.left_out.take()


def visitor(name: str = "mara@halden.example", address: str = "192.0.2.7") -> Actor:
    return Actor(kind="visitor", name=name, address=address, agent="Firefox", request_id="e-1")


def fail(by: Actor | None = None) -> None:
    sessions.failed(by=by or visitor(), why=Failure.MISMATCH)


def told(event: Event = Event.SIGN_IN_FAILED) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(event=event).order_by("seq"))


def not_recorded(entry: AuditEntry) -> dict[str, int]:
    counts: dict[str, int] = json.loads(entry.data).get("not_recorded", {})
    return counts


@pytest.mark.django_db
def test_a_sign_in_and_a_sign_out_are_told_with_all_that_is_known_of_the_person():
    by = Actor("person", "mara@halden.example", "VIEWER", "192.0.2.7", "5e55", "e-1", "Firefox", "password, T")

    sessions.signed_in(by=by)
    sessions.signed_out(by=by)

    assert [entry.event for entry in AuditEntry.objects.order_by("seq")] == ["session.signed_in", "session.signed_out"]
    for entry in AuditEntry.objects.all():
        assert (entry.actor_kind, entry.actor_name, entry.actor_role) == ("person", "mara@halden.example", "VIEWER")
        assert (entry.actor_session, entry.actor_agent, entry.actor_signed_in) == ("5e55", "Firefox", "password, T")


@pytest.mark.django_db
def test_a_failure_is_told_with_what_was_typed_and_from_where():
    fail()

    (entry,) = told()
    assert (entry.actor_kind, entry.actor_name, entry.actor_address) == ("visitor", "mara@halden.example", "192.0.2.7")
    assert (entry.outcome, entry.actor_agent, entry.request_id, entry.data) == ("MISMATCH", "Firefox", "e-1", "{}")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("event", "attempt"), [(Event.SIGN_IN_FAILED, fail), (Event.LOCKED_OUT, lambda by: sessions.locked_out(by=by))]
)
def test_the_same_address_at_the_same_account_is_told_once_in_a_while_with_how_often(event, attempt):
    with time_machine.travel(NOW, tick=False) as clock:
        for _ in range(100):
            attempt(visitor())
        clock.shift(SAME_FOR)
        attempt(visitor())

    first, second = told(event)
    assert (not_recorded(first), not_recorded(second)) == ({}, {str(event): 99})


@pytest.mark.django_db
def test_another_account_and_another_address_are_told_for_themselves():
    fail(visitor())
    fail(visitor(name="ada@halden.example"))
    fail(visitor(address="192.0.2.8"))

    assert len(told()) == 3


@pytest.mark.django_db
def test_what_no_record_can_hold_is_told_once_as_well():
    for _ in range(3):
        fail(visitor(name="mara\x00" + "x" * 400, address="a" * 80))

    assert len(told()) == 1


@pytest.mark.slow
@pytest.mark.django_db
def test_ten_thousand_failures_from_as_many_addresses_make_few_entries_and_are_all_counted():
    with time_machine.travel(NOW, tick=False) as clock:
        for number in range(10_000):
            fail(visitor(f"{number}@halden.example", f"10.0.{number // 250}.{number % 250}"))
        clock.shift(PER)
        fail()

    entries = told()
    assert len(entries) == AT_MOST + 1
    assert not_recorded(entries[-1]) == {Event.SIGN_IN_FAILED: 10_000 - AT_MOST}


@pytest.mark.django_db
def test_an_hour_has_room_for_so_many_wherever_it_begins():
    numbers = count()
    with time_machine.travel(NOW, tick=False) as clock:
        for _ in range(30):  # 2.5 hours, 4 a step: more than there is room for
            for _ in range(4):
                fail(visitor(f"{next(numbers)}@halden.example"))
            clock.shift(timedelta(minutes=5))

    moments = [entry.at for entry in told()]
    assert len(moments) > 2 * AT_MOST
    assert all(later - earlier >= PER for earlier, later in zip(moments, moments[AT_MOST:], strict=False))


@pytest.mark.django_db
def test_a_flood_of_failures_leaves_room_for_lock_outs():
    for number in range(AT_MOST + 5):
        fail(visitor(f"{number}@halden.example"))

    sessions.locked_out(by=visitor())

    (entry,) = told(Event.LOCKED_OUT)
    assert not_recorded(entry) == {Event.SIGN_IN_FAILED: 5}


@pytest.mark.django_db
def test_a_clock_that_was_set_back_silences_nothing():
    with time_machine.travel(NOW, tick=False) as clock:
        fail()
        clock.shift(-timedelta(days=1))
        fail()

    assert len(told()) == 2


def test_eight_failures_at_once_make_one_entry_and_are_all_counted(in_parallel: InParallel[None]):
    in_parallel(8, fail)

    assert len(told()) == 1
    assert sessions.left_out.take() == {Event.SIGN_IN_FAILED: 7}


@pytest.mark.django_db(transaction=True)
def test_nobody_is_kept_out_because_the_record_takes_nothing(caplog: pytest.LogCaptureFixture):
    settings.KEY_RING_FILE.unlink()

    sessions.signed_in(by=factories.ADMIN)

    assert not AuditEntry.objects.exists()
    (line,) = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert line.getMessage() == "audit.write_failed: session.signed_in: CannotSign"


@pytest.mark.django_db(transaction=True)
def test_a_failure_that_the_record_cannot_take_is_counted(caplog: pytest.LogCaptureFixture):
    away = settings.KEY_RING_FILE.rename(settings.KEY_RING_FILE.with_name("away"))
    fail()
    fail()
    away.rename(settings.KEY_RING_FILE)

    fail()

    (entry,) = told()
    assert not_recorded(entry) == {Event.SIGN_IN_FAILED: 2}
    assert "audit.write_failed: session.sign_in_failed: CannotSign" in caplog.messages
