"""Who came in, who left, who was kept out: each told once, and no flood of failures fills the record."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import DatabaseError
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Person
from hamr_portal.services import audit, rooms, sessions
from hamr_portal.services.rooms import AT_MOST, PER, SAME_FOR
from hamr_portal.services.sessions import Failure
from tests import factories

from .conftest import InParallel

NOW = datetime.fromisoformat("2026-03-15T03:06:32+00:00")
MISMATCH = "session.sign_in_failed MISMATCH"
"""As failures are counted that are left out."""


@pytest.fixture(autouse=True)
def _nothing_left_out_before() -> Iterator[None]:
    rooms.left_out.take()
    yield
    rooms.left_out.take()


def visitor(name: str = "mara@halden.example", address: str = "192.0.2.7") -> Actor:
    return Actor(kind="visitor", name=name, address=address, agent="Firefox", request_id="e-1")


def fail(by: Actor | None = None, why: Failure = Failure.MISMATCH) -> None:
    sessions.failed(by=by or visitor(), why=why)


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
    ("event", "attempt"),
    [(Event.SIGN_IN_FAILED, fail), (Event.LOCKED_OUT, lambda by: sessions.locked_out(by=by, why=Failure.MISMATCH))],
)
def test_the_same_address_at_the_same_account_is_told_once_in_a_while_with_how_often(event, attempt):
    with time_machine.travel(NOW, tick=False) as clock:
        for _ in range(100):
            attempt(visitor())
        clock.shift(SAME_FOR)
        attempt(visitor())

    first, second = told(event)
    assert (not_recorded(first), not_recorded(second)) == ({}, {f"{event} MISMATCH": 99})


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
    assert not_recorded(entries[-1]) == {MISMATCH: 10_000 - AT_MOST}


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

    sessions.locked_out(by=visitor(), why=Failure.MISMATCH)

    (entry,) = told(Event.LOCKED_OUT)
    assert not_recorded(entry) == {MISMATCH: 5}


@pytest.mark.django_db
@pytest.mark.parametrize("why", [each for each in Failure if each is not Failure.NOBODY])
def test_noise_of_one_kind_hides_none_of_another(why: Failure):
    for number in range(AT_MOST + 5):
        fail(visitor(f"{number}@halden.example"), Failure.NOBODY)
        sessions.locked_out(by=visitor(f"{number}@halden.example"), why=Failure.NOBODY)

    fail(why=why)
    sessions.locked_out(by=visitor(), why=why)

    failed, locked = told()[-1], told(Event.LOCKED_OUT)[-1]
    assert (failed.outcome, failed.actor_name) == (why, "mara@halden.example")
    assert (locked.outcome, locked.actor_name) == (why, "mara@halden.example")
    assert not_recorded(failed) == {"session.sign_in_failed NOBODY": 5, "session.locked_out NOBODY": 5}


@pytest.mark.django_db
def test_the_last_entry_that_there_is_room_for_says_that_further_ones_are_counted():
    for number in range(AT_MOST + 1):
        fail(visitor(f"{number}@halden.example"))

    said = [json.loads(entry.data).get("further") for entry in told()]
    assert said == [None] * (AT_MOST - 1) + ["counted, not listed"]


@pytest.mark.django_db
def test_an_address_of_nobody_is_told_from_a_wrong_password():
    factories.person(email="mara@halden.example")

    assert sessions.mismatched("Mara@halden.example") is Failure.MISMATCH
    assert sessions.mismatched("nobody@halden.example") is Failure.NOBODY


@pytest.mark.django_db
def test_a_clock_that_was_set_back_silences_nothing():
    with time_machine.travel(NOW, tick=False) as clock:
        fail()
        clock.shift(-timedelta(days=1))
        fail()

    assert len(told()) == 2


def test_eight_failures_at_once_make_one_entry_and_are_all_counted(in_parallel: InParallel[None]):
    in_parallel(8, fail)

    (entry,) = told()
    # One that was left out first may be told by the entry itself.
    counted = Counter(not_recorded(entry)) + Counter(rooms.left_out.take())
    assert counted == {MISMATCH: 7}


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
    assert not_recorded(entry) == {MISMATCH: 2}
    assert "audit.write_failed: session.sign_in_failed: CannotSign" in caplog.messages


@pytest.mark.django_db
def test_who_signed_in_from_an_address_is_known_there_and_nowhere_else():
    mara = Actor("person", "mara@halden.example", "VIEWER", "192.0.2.7")
    sessions.signed_in(by=mara)
    fail(visitor("ada@halden.example"))

    assert sessions.signed_in_lately(by=visitor("Mara@halden.example"))
    assert not sessions.signed_in_lately(by=visitor(address="192.0.2.8"))
    assert not sessions.signed_in_lately(by=visitor("ada@halden.example"))


# --- open sessions ----------------------------------------------------------------------------------------------


def opened(person: Person, *, seen: timedelta = timedelta(0), began: timedelta = timedelta(0)) -> str:
    """Let somebody have a session, and give its key."""
    store = SessionStore()
    now = timezone.now()
    store["_auth_user_hash"] = person.get_session_auth_hash()
    store["began"], store["seen"] = (now - began).timestamp(), (now - seen).timestamp()
    store.create()
    assert store.session_key
    UserSession.objects.create(user=person, session_key=store.session_key, ip="192.0.2.7", user_agent="Firefox")
    return store.session_key


def keys_of(person: Person) -> list[str]:
    return [each.key for each in sessions.open_sessions(person, now=timezone.now())]


@pytest.mark.django_db
def test_open_sessions_are_those_that_somebody_could_go_on_with_the_last_used_first():
    mara, ada = factories.person(), factories.person(email="ada@halden.example")
    older, newer = opened(mara, seen=timedelta(minutes=9)), opened(mara, seen=timedelta(minutes=1))
    opened(mara, seen=timedelta(minutes=31)), opened(mara, began=timedelta(hours=12)), opened(ada)
    Session.objects.filter(pk=opened(mara)).delete()

    assert keys_of(mara) == [newer, older]
    (shown, _) = sessions.open_sessions(mara, now=timezone.now())
    assert (shown.address, shown.agent) == ("192.0.2.7", "Firefox")
    assert newer not in repr(shown)


@pytest.mark.django_db
def test_no_session_is_open_that_was_made_with_another_password():
    mara = factories.person()
    opened(mara)
    mara.set_password("another horse battery")
    mara.save()

    assert keys_of(mara) == []


@pytest.mark.django_db
def test_ended_sessions_are_gone_and_named_on_the_record_by_their_fingerprints():
    mara, ada = factories.person(), factories.person(email="ada@halden.example")
    this, other, over = opened(mara), opened(mara), opened(mara, seen=timedelta(hours=1))
    theirs = opened(ada)

    ended = sessions.end_sessions(mara, by=factories.ADMIN, but=this)

    assert ended == 1
    assert set(Session.objects.values_list("pk", flat=True)) == {this, theirs}
    assert not UserSession.objects.filter(session_key__in=[other, over]).exists()
    (entry,) = told(Event.SESSIONS_ENDED)
    assert entry.actor_name == factories.ADMIN.name
    assert json.loads(entry.data) == {"email": mara.email, "sessions": [sessions.fingerprint(other)]}


@pytest.mark.django_db
def test_sessions_are_ended_that_a_new_password_has_shut_already():
    mara = factories.person()
    opened(mara)
    mara.set_password("another horse battery")
    mara.save()

    assert sessions.end_sessions(mara, by=factories.ADMIN) == 1
    assert len(told(Event.SESSIONS_ENDED)) == 1


@pytest.mark.django_db
def test_who_has_no_open_session_is_not_told_of():
    mara = factories.person()

    assert sessions.end_sessions(mara, by=factories.ADMIN) == 0
    assert told(Event.SESSIONS_ENDED) == []


@pytest.mark.django_db
def test_one_session_is_ended_and_only_of_its_own_person():
    mara, ada = factories.person(), factories.person(email="ada@halden.example")
    one, other = opened(mara), opened(mara)
    number = UserSession.objects.get(session_key=one).pk

    with pytest.raises(sessions.NoSuchSession):
        sessions.end_session(ada, number, by=factories.ADMIN)
    sessions.end_session(mara, number, by=factories.ADMIN)

    assert keys_of(mara) == [other]
    assert len(told(Event.SESSIONS_ENDED)) == 1


@pytest.mark.django_db
def test_no_session_ends_without_its_entry(settings: Settings):
    mara = factories.person()
    opened(mara)
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(audit.CannotSign):
        sessions.end_sessions(mara, by=factories.ADMIN)

    assert Session.objects.count() == 1


@pytest.mark.django_db
def test_a_sign_in_sweeps_out_what_nobody_can_go_on_with():
    mara = factories.person()
    kept, swept = opened(mara), opened(mara)
    Session.objects.filter(pk=swept).update(expire_date=timezone.now() - timedelta(seconds=1))

    sessions.signed_in(by=visitor())

    assert [row.pk for row in Session.objects.all()] == [kept]


@pytest.mark.django_db
def test_a_sign_in_stands_when_nothing_can_be_swept_out(monkeypatch: pytest.MonkeyPatch, caplog):
    def locked(*_: object, **__: object) -> None:
        raise DatabaseError("locked")

    monkeypatch.setattr(Session.objects, "filter", locked)

    sessions.signed_in(by=visitor())

    assert "sessions are not swept out: DatabaseError" in caplog.messages
    assert len(told(Event.SIGNED_IN)) == 1


@pytest.mark.django_db
def test_a_step_up_is_told():
    sessions.stepped_up(by=visitor())

    assert len(told(Event.STEPPED_UP)) == 1


# --- sign-ins that wait -----------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("what", ["password", "role", "disabled", "factor", "ended", "nothing"])
def test_what_a_sign_in_rests_on_is_told_by_its_mark(what: str):
    mara = factories.person()
    Authenticator.objects.create(user=mara, type="totp", data={})
    before = sessions.standing(Person.objects.get())

    match what:
        case "password":
            mara.set_password("another horse battery")
            mara.save()
        case "role":
            Person.objects.update(role=Role.ADMIN)
        case "disabled":
            Person.objects.update(is_active=False)
        case "factor":
            Authenticator.objects.all().delete()
        case "ended":
            sessions.end_sessions(mara, by=factories.ADMIN)

    assert (sessions.standing(Person.objects.get()) == before) is (what == "nothing")
    assert mara.password not in before


@pytest.mark.django_db
def test_ending_the_sessions_of_somebody_ends_no_sign_in_of_another():
    mara, ada = factories.person(), factories.person(email="ada@halden.example")
    before = sessions.standing(ada)

    sessions.end_sessions(mara, by=factories.ADMIN)

    assert sessions.standing(Person.objects.get(pk=ada.pk)) == before


# --- where somebody signs in as ever ----------------------------------------------------------------------------


@pytest.mark.django_db
def test_somebody_has_signed_in_lately_from_where_they_did_however_the_address_is_typed():
    sessions.signed_in(by=Actor("person", "mara@halden.example", address="192.0.2.7"))

    assert sessions.signed_in_lately(by=visitor("Mara@Halden.Example"))
    assert not sessions.signed_in_lately(by=visitor(address="192.0.2.8"))
    assert not sessions.signed_in_lately(by=visitor("ada@halden.example"))


@pytest.mark.django_db
def test_a_sign_in_counts_as_one_of_lately_for_a_while():
    with time_machine.travel(NOW, tick=False) as clock:
        sessions.signed_in(by=Actor("person", "mara@halden.example", address="192.0.2.7"))
        clock.shift(sessions.LATELY - timedelta(seconds=1))
        before = sessions.signed_in_lately(by=visitor())
        clock.shift(1)
        after = sessions.signed_in_lately(by=visitor())

    assert (before, after) == (True, False)


@pytest.mark.django_db
def test_only_a_sign_in_is_one():
    fail()
    sessions.signed_out(by=Actor("person", "mara@halden.example", address="192.0.2.7"))

    assert not sessions.signed_in_lately(by=visitor())
