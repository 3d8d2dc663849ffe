from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.people import Action, Role
from hamr_portal.models import AuditEntry, Change, Person, PersonNotice
from hamr_portal.services import audit, changes, people, rooms, sessions
from hamr_portal.services import refusals as refused
from hamr_portal.services.people import (
    AlreadyMoved,
    LastAdmin,
    NobodyThere,
    NotAllowed,
    NotYourself,
    PersonExists,
    add_person,
    entitled,
    record_denied,
)
from hamr_portal.services.rooms import AT_MOST, PER, SAME_FOR
from hamr_portal.simulator import Simulator
from tests import factories

from . import changing
from .conftest import InParallel
from .records import entries, whole_database

pytestmark = pytest.mark.django_db
PASSWORD = "battery staple 4711"


@pytest.fixture(autouse=True)
def _nothing_left_out_before() -> Iterator[None]:
    rooms.left_out.take()
    yield
    rooms.left_out.take()


def test_a_person_is_added_with_a_role_and_an_entry_without_the_password():
    person = add_person(" Anna@Halden.Example ", Role.OPERATOR, PASSWORD, by=factories.SHELL)

    saved = Person.objects.get()
    assert (saved, saved.email, saved.held_role) == (person, "anna@halden.example", Role.OPERATOR)
    assert saved.check_password(PASSWORD)
    (entry,) = entries()
    assert (entry.event, entry.data) == (Event.PERSON_ADDED, {"email": "anna@halden.example", "role": "OPERATOR"})
    assert PASSWORD not in whole_database()


def test_what_the_record_does_not_take_is_no_person_who_is_here_already(monkeypatch: pytest.MonkeyPatch):
    def refuses(*_: object, **__: object) -> None:
        raise IntegrityError("an entry of this number is there")

    monkeypatch.setattr(audit, "append", refuses)

    with pytest.raises(IntegrityError, match="of this number"):
        add_person("anna@halden.example", Role.OPERATOR, PASSWORD, by=factories.SHELL)

    assert not Person.objects.exists()


def test_somebody_who_is_here_already_stays_with_the_role_they_have():
    add_person("anna@halden.example", Role.VIEWER, PASSWORD, by=factories.SHELL)

    with pytest.raises(PersonExists, match=r"anna@halden\.example is here already, as viewer"):
        add_person("ANNA@halden.example", Role.ADMIN, PASSWORD, by=factories.SHELL)

    assert Person.objects.get().held_role is Role.VIEWER
    assert len(entries()) == 1


def test_somebody_without_a_role_is_said_to_be_nobody():
    factories.person(None, email="anna@halden.example")

    with pytest.raises(PersonExists, match="as nobody"):
        add_person("anna@halden.example", Role.ADMIN, PASSWORD, by=factories.SHELL)


@pytest.mark.parametrize("password", ["", "short", "password1234", "anna@halden.example"])
def test_a_weak_password_lets_nobody_in(password: str):
    with pytest.raises(ValidationError):
        add_person("anna@halden.example", Role.ADMIN, password, by=factories.SHELL)

    assert not Person.objects.exists()
    assert entries() == []


# --- what a role allows -----------------------------------------------------------------------------------------


def test_the_person_behind_an_actor_is_entitled_by_the_role_that_the_database_has():
    by = changing.operator()

    assert entitled(by, Action.CHANGE_STATUS) == Person.objects.get(email=by.name)


@pytest.mark.parametrize(
    "update", [{"role": Role.VIEWER}, {"role": None}, {"is_active": False}, {"email": "x@y.example"}]
)
def test_a_role_that_an_actor_had_at_sign_in_counts_for_nothing(update: dict[str, object]):
    by = changing.operator()
    Person.objects.update(**update)

    with pytest.raises(NotAllowed, match=r"^Needs: operator or admin\.$"):
        entitled(by, Action.CHANGE_STATUS)


def test_somebody_who_is_not_allowed_is_on_the_record():
    record_denied(changing.approver(), Action.CHANGE_STATUS, page="/changes/4/", organization="acme", change=4)

    (entry,) = entries()
    assert (entry.organization, entry.data) == ("acme", {"page": "/changes/4/"})
    assert (entry.event, entry.actor, entry.outcome) == (
        *(Event.ACCESS_DENIED, changing.approver().name),
        "CHANGE_STATUS",
    )


def deny(page: str = "/people/", by: Actor | None = None) -> None:
    record_denied(by or changing.approver(), Action.MANAGE_PEOPLE, page=page)


def pages() -> list[str]:
    return [entry.data["page"] for entry in entries(Event.ACCESS_DENIED)]


def test_three_hundred_denied_attempts_of_one_person_make_few_entries_and_are_all_counted():
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for number in range(300):
            deny(f"/people/{number}/role/")
        clock.shift(PER)
        deny("/people/")

    assert len(pages()) == AT_MOST + 1
    *_, last, after = entries(Event.ACCESS_DENIED)
    assert last.data["further"] == "counted, not listed"
    assert after.data["not_recorded"] == {f"authz.denied {changing.approver().name}": 300 - AT_MOST}


def test_denied_attempts_of_one_person_leave_room_for_those_of_another():
    for number in range(AT_MOST + 1):
        deny(f"/people/{number}/role/")

    deny("/tokens/", changing.operator())

    assert pages()[-1] == "/tokens/"


def test_the_same_page_is_told_once_in_a_while_and_each_other_page_at_once():
    with time_machine.travel(timezone.now(), tick=False) as clock:
        for _ in range(5):
            deny("/people/")
        deny("/tokens/")
        clock.shift(SAME_FOR)
        deny("/people/")

    assert pages() == ["/people/", "/tokens/", "/people/"]
    assert entries(Event.ACCESS_DENIED)[1].data["not_recorded"] == {f"authz.denied {changing.approver().name}": 4}


def test_an_entry_that_somebody_spoilt_silences_nothing(monkeypatch: pytest.MonkeyPatch):
    for data in ("[", "[]"):
        with monkeypatch.context() as spoilt:
            spoilt.setattr(audit, "canonical", lambda _, data=data: data)
            deny()

    deny()

    assert AuditEntry.objects.filter(event=Event.ACCESS_DENIED).count() == 3


def test_refusals_of_the_service_share_the_room_of_their_person():
    by, mara = changing.operator(), factories.person(email="mara@halden.example")

    for _ in range(AT_MOST + 3):
        with pytest.raises(NotAllowed):
            people.disable(mara, by=by)

    assert len(entries(Event.ACCESS_DENIED)) == AT_MOST


# --- a first password -------------------------------------------------------------------------------------------


def test_somebody_who_is_invited_comes_in_with_a_password_that_is_given_once():
    by = changing.admin()

    person, password = people.invite(" Mara@Halden.example", Role.APPROVER, by=by)

    saved = Person.objects.get(email="mara@halden.example")
    assert (saved, saved.held_role, saved.password_given_at is not None) == (person, Role.APPROVER, True)
    assert saved.check_password(password.reveal())
    (entry,) = entries()
    assert (entry.event, entry.actor) == (Event.PERSON_ADDED, by.name)
    assert entry.data == {"email": "mara@halden.example", "role": "APPROVER"}
    assert password.reveal() not in whole_database() + repr(password)


def test_first_passwords_differ_and_are_long():
    by = changing.admin()

    given = {people.invite(f"p{number}@halden.example", Role.VIEWER, by=by)[1].reveal() for number in range(5)}

    assert len(given) == 5
    assert {len(each) for each in given} == {24}


def test_nobody_is_invited_twice():
    by = changing.admin()

    with pytest.raises(PersonExists, match="is here already, as admin"):
        people.invite(by.name.upper(), Role.VIEWER, by=by)

    assert entries() == []


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_nobody_but_an_admin_does_anything_to_people_and_the_try_is_on_the_record(role: Role):
    mara = factories.person(Role.VIEWER, "mara@halden.example")
    by = changing.actor(role, email="other@halden.example")
    tries = [
        lambda: people.invite("new@halden.example", Role.ADMIN, by=by),
        lambda: people.change_role(mara, Role.ADMIN, was=Role.VIEWER, by=by),
        lambda: people.disable(mara, by=by),
        lambda: people.enable(mara, by=by),
        lambda: people.reset_factors(mara, by=by),
        lambda: people.give_password(mara, by=by),
        lambda: people.end_sessions(mara, by=by),
    ]
    before = everybody()

    for each in tries:
        with pytest.raises(NotAllowed, match=r"^Needs: admin\.$"):
            each()

    assert everybody() == before
    assert {(each.event, each.outcome) for each in entries()} == {(Event.ACCESS_DENIED, "MANAGE_PEOPLE")}
    assert len(entries()) == len(tries)


def test_a_lost_password_is_replaced_by_one_that_is_given_once():
    by, mara = changing.admin(), factories.person(email="mara@halden.example")

    password = people.give_password(mara, by=by)

    saved = Person.objects.get(pk=mara.pk)
    assert saved.check_password(password.reveal())
    assert saved.password_given_at is not None
    assert [each.event for each in entries()] == [Event.PASSWORD_SET]
    assert password.reveal() not in whole_database()


def test_a_password_that_somebody_chose_is_theirs_alone_and_nobody_is_told():
    changing.admin()
    mara = factories.person(email="mara@halden.example")
    Person.objects.filter(pk=mara.pk).update(password_given_at=timezone.now())
    factories.session(mara)
    factories.session(mara)
    here = UserSession.objects.earliest("pk").session_key

    people.choose_password(mara, "a whole new sentence", by=changing.actor(Role.VIEWER, email=mara.email), but=here)

    saved = Person.objects.get(pk=mara.pk)
    assert saved.check_password("a whole new sentence")
    assert saved.password_given_at is None
    assert [each.event for each in entries()] == [Event.PASSWORD_SET, Event.SESSIONS_ENDED]
    assert [session.session_key for session in UserSession.objects.all()] == [here]
    assert not PersonNotice.objects.exists()


def test_a_password_from_the_shell_is_no_given_one_and_is_told():
    changing.admin()
    mara = factories.person(email="mara@halden.example")
    Person.objects.filter(pk=mara.pk).update(password_given_at=timezone.now())

    people.set_password("MARA@halden.example", "a whole new sentence", by=factories.SHELL)

    assert Person.objects.get(pk=mara.pk).password_given_at is None
    assert told() == {"admin@halden.example", "mara@halden.example"}


@pytest.mark.parametrize("password", ["", "short", "password1234", "mara@halden.example"])
def test_a_weak_password_does_not_take_the_place_of_another(password: str):
    factories.person(email="mara@halden.example")
    before = everybody()

    with pytest.raises(ValidationError):
        people.set_password("mara@halden.example", password, by=factories.SHELL)

    assert everybody() == before
    assert entries() == []


def test_nobody_gets_a_password_by_an_address_that_is_not_here():
    factories.person(email="mara@halden.example")
    before = everybody()

    with pytest.raises(NobodyThere):
        people.set_password("anna@halden.example", PASSWORD, by=factories.SHELL)

    assert everybody() == before
    assert entries() == []


# --- what is done to somebody -----------------------------------------------------------------------------------


def everybody() -> list[str]:
    """Give every value of every person."""
    return [repr(row) for row in Person.objects.order_by("pk").values()]


def told() -> set[str]:
    return {notice.person.email for notice in PersonNotice.objects.select_related("person")}


def test_a_role_is_changed_and_the_record_has_before_and_after():
    by, mara = changing.admin(), factories.person(Role.VIEWER, "mara@halden.example")

    now = people.change_role(mara, Role.OPERATOR, was=Role.VIEWER, by=by)

    assert Person.objects.get(pk=mara.pk).held_role is now.held_role is Role.OPERATOR
    (entry,) = entries()
    assert (entry.event, entry.actor) == (Event.ROLE_CHANGED, by.name)
    assert entry.data == {"email": "mara@halden.example", "before": "viewer", "after": "operator"}


def test_somebody_without_a_role_gets_one():
    by, mara = changing.admin(), factories.person(None, "mara@halden.example")

    people.change_role(mara, Role.AUDITOR, was=None, by=by)

    assert Person.objects.get(pk=mara.pk).held_role is Role.AUDITOR
    assert entries()[0].data["before"] == ""


@pytest.mark.parametrize(
    ("held", "was"), [(Role.OPERATOR, Role.VIEWER), (Role.VIEWER, Role.VIEWER), (None, Role.ADMIN)]
)
def test_a_role_that_somebody_else_changed_meanwhile_stays(held: Role | None, was: Role):
    by, mara = changing.admin(), factories.person(held, "mara@halden.example")

    with pytest.raises(AlreadyMoved, match=r"^mara@halden\.example is (operator|viewer|without a role) already\.$"):
        people.change_role(mara, Role.VIEWER, was=was, by=by)

    assert Person.objects.get(pk=mara.pk).held_role is held
    assert entries() == []


def test_a_person_is_disabled_and_enabled_and_never_twice():
    by, mara = changing.admin(), factories.person(Role.OPERATOR, "mara@halden.example")

    with pytest.raises(AlreadyMoved):
        people.enable(mara, by=by)
    people.disable(mara, by=by)
    with pytest.raises(AlreadyMoved):
        people.disable(mara, by=by)
    disabled = Person.objects.get(pk=mara.pk).is_active
    people.enable(mara, by=by)

    assert (disabled, Person.objects.get(pk=mara.pk).is_active) == (False, True)
    assert [each.event for each in entries()] == [Event.PERSON_DISABLED, Event.PERSON_ENABLED]
    assert entries()[0].data == {"email": "mara@halden.example", "role": "OPERATOR"}


def test_second_factors_are_taken_away_with_their_kinds_on_the_record():
    by, mara = changing.admin(), factories.person(email="mara@halden.example")
    for kind in ("totp", "recovery_codes"):
        Authenticator.objects.create(user=mara, type=kind, data={"secret": "canary"})

    people.reset_factors(mara, by=by)

    assert not Authenticator.objects.exists()
    (entry,) = entries()
    assert (entry.event, entry.data["factors"]) == (Event.FACTORS_RESET, ["recovery_codes", "totp"])
    with pytest.raises(AlreadyMoved, match="has no second factor"):
        people.reset_factors(mara, by=by)


@pytest.mark.parametrize("do", [people.end_sessions, people.disable, people.give_password])
def test_the_sessions_of_somebody_end_and_nobody_elses(do: Any):
    by, mara = changing.admin(), factories.person(email="mara@halden.example")
    for email in (mara.email, mara.email, by.name):
        factories.session(Person.objects.get(email=email))

    do(mara, by=by)

    assert [session.user.email for session in UserSession.objects.all()] == [by.name]
    assert Session.objects.count() == 1
    (entry,) = entries(Event.SESSIONS_ENDED)
    assert (entry.actor, entry.data["email"], len(entry.data["sessions"])) == (by.name, mara.email, 2)


def test_nothing_is_ended_where_nobody_is_signed_in():
    by, mara = changing.admin(), factories.person(email="mara@halden.example")

    with pytest.raises(AlreadyMoved, match="signed in nowhere"):
        people.end_sessions(mara, by=by)


def test_a_sign_in_that_waits_ends_where_nobody_is_signed_in():
    by, mara = changing.admin(), factories.person(email="mara@halden.example")
    before = sessions.standing(mara)

    with pytest.raises(AlreadyMoved):
        people.end_sessions(mara, by=by)

    assert sessions.standing(Person.objects.get(pk=mara.pk)) != before


# --- nobody to themself, and never the last one ------------------------------------------------------------------


def test_nobody_does_it_to_themself_and_the_try_is_on_the_record():
    factories.person(Role.ADMIN, "another@halden.example")
    by = changing.admin()
    myself = Person.objects.get(email=by.name)
    tries = [
        lambda: people.change_role(myself, Role.OPERATOR, was=Role.ADMIN, by=by),
        lambda: people.disable(myself, by=by),
        lambda: people.reset_factors(myself, by=by),
        lambda: people.give_password(myself, by=by),
        lambda: people.end_sessions(myself, by=by),
    ]
    before = everybody()

    for each in tries:
        with pytest.raises(NotYourself, match="Another admin does that"):
            each()

    assert everybody() == before
    assert {(each.event, each.outcome) for each in entries()} == {(Event.ACCESS_DENIED, "NotYourself")}


@pytest.mark.parametrize(
    "do",
    [
        lambda last: people.change_role(last, Role.VIEWER, was=Role.ADMIN, by=factories.SHELL),
        lambda last: people.disable(last, by=factories.SHELL),
    ],
    ids=["demoted", "disabled"],
)
def test_the_last_admin_who_can_sign_in_stays_even_for_the_shell(do: Any):
    last = factories.person(Role.ADMIN, "last@halden.example")
    factories.person(Role.OPERATOR, "other@halden.example")
    Person.objects.filter(pk=factories.person(Role.ADMIN, "out@halden.example").pk).update(is_active=False)

    with pytest.raises(LastAdmin, match=r"^last@halden\.example is the only admin\."):
        do(last)

    assert Person.objects.get(pk=last.pk).held_role is Role.ADMIN
    assert Person.objects.get(pk=last.pk).is_active
    assert [(each.event, each.outcome) for each in entries()] == [(Event.ACCESS_DENIED, "LastAdmin")]


def test_a_disabled_admin_may_be_demoted():
    out = factories.person(Role.ADMIN, "out@halden.example")
    by = changing.admin()
    Person.objects.filter(pk=out.pk).update(is_active=False)

    people.change_role(out, Role.VIEWER, was=Role.ADMIN, by=by)

    assert Person.objects.get(pk=out.pk).held_role is Role.VIEWER


def test_a_refusal_that_cannot_be_recorded_is_one_all_the_same(settings: Any, caplog: pytest.LogCaptureFixture):
    last = factories.person(Role.ADMIN, "last@halden.example")
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(LastAdmin):
        people.disable(last, by=factories.SHELL)

    assert Person.objects.get().is_active
    assert "audit.write_failed: authz.denied: CannotSign" in caplog.text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("do", ["change_role", "disable"])
def test_two_admins_who_put_each_other_out_at_the_same_moment_leave_one(do: str, in_parallel: InParallel[str]):
    names = ["a@halden.example", "b@halden.example"]
    actors = [changing.actor(Role.ADMIN, email=name) for name in names]
    turns = list(zip(actors, reversed(names), strict=True))
    words: dict[str, Any] = {"role": Role.VIEWER, "was": Role.ADMIN} if do == "change_role" else {}

    def turn() -> str:
        by, name = turns.pop()
        try:
            getattr(people, do)(Person.objects.get(email=name), by=by, **words)
        except NotAllowed:
            return "refused"
        return "done"

    outcomes = in_parallel(2, turn)

    assert sorted(outcomes) == ["done", "refused"]
    assert Person.objects.who_may(Action.MANAGE_PEOPLE).count() == 1
    assert len(entries(Event.ROLE_CHANGED, Event.PERSON_DISABLED)) == 1


# --- what becomes of what they were about to do ------------------------------------------------------------------


@pytest.mark.parametrize("done", ["demoted", "disabled"])
def test_a_role_that_was_changed_after_the_preview_sends_nothing(done: str, simulator: Simulator):
    primary, _ = changing.connected(simulator)
    change = changing.prepared(primary)
    author, by = Person.objects.get(email=changing.operator().name), changing.admin()
    if done == "demoted":
        people.change_role(author, Role.VIEWER, was=Role.OPERATOR, by=by)
    else:
        people.disable(author, by=by)

    with pytest.raises(refused.NotAllowed):
        changing.confirmed(change)

    assert not simulator.posts
    assert Change.objects.get().sent_at is None


def test_the_change_of_somebody_who_was_disabled_keeps_its_record(simulator: Simulator):
    primary, _ = changing.connected(simulator, approval=True)
    change = changing.waiting(primary)
    before = Change.objects.values().get()

    people.disable(change.author, by=changing.admin())

    assert Change.objects.values().get() == before


def test_an_approver_who_was_demoted_approves_nothing(simulator: Simulator):
    primary, _ = changing.connected(simulator, approval=True)
    change, by = changing.waiting(primary), changing.approver()
    people.change_role(Person.objects.get(email=by.name), Role.VIEWER, was=Role.APPROVER, by=changing.admin())

    with pytest.raises(refused.NotAllowed):
        changes.approve(changing.fresh(change), by=by, typed_name=primary.name)

    assert not simulator.posts


def test_nobody_is_found_by_an_address_that_is_not_here():
    with pytest.raises(NobodyThere, match=r"Nobody is here as x@halden\.example"):
        people.person_of("x@halden.example")


def test_an_actor_that_is_no_person_is_not_taken_for_one_of_that_name():
    mara = factories.person(Role.ADMIN, "mara@halden.example")
    factories.person(Role.ADMIN, "another@halden.example")

    people.disable(mara, by=replace(factories.SHELL, name=mara.email))

    assert isinstance(factories.SHELL, Actor)
    assert not Person.objects.get(pk=mara.pk).is_active
