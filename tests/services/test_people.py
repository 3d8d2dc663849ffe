from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from hamr_portal.domain.audit import Event
from hamr_portal.domain.people import Action, Role
from hamr_portal.models import Person
from hamr_portal.services.people import NotAllowed, PersonExists, add_person, entitled, record_denied
from tests import factories

from . import changing
from .records import entries, whole_database

pytestmark = pytest.mark.django_db
PASSWORD = "battery staple 4711"


def test_a_person_is_added_with_a_role_and_an_entry_without_the_password():
    person = add_person(" Anna@Halden.Example ", Role.OPERATOR, PASSWORD, by=factories.ADMIN)

    saved = Person.objects.get()
    assert (saved, saved.email, saved.held_role) == (person, "anna@halden.example", Role.OPERATOR)
    assert saved.check_password(PASSWORD)
    (entry,) = entries()
    assert (entry.event, entry.data) == (Event.PERSON_ADDED, {"email": "anna@halden.example", "role": "OPERATOR"})
    assert PASSWORD not in whole_database()


def test_somebody_who_is_here_already_stays_with_the_role_they_have():
    add_person("anna@halden.example", Role.VIEWER, PASSWORD, by=factories.ADMIN)

    with pytest.raises(PersonExists, match=r"anna@halden\.example is here already, as viewer"):
        add_person("ANNA@halden.example", Role.ADMIN, PASSWORD, by=factories.ADMIN)

    assert Person.objects.get().held_role is Role.VIEWER
    assert len(entries()) == 1


def test_somebody_without_a_role_is_said_to_be_nobody():
    factories.person(None, email="anna@halden.example")

    with pytest.raises(PersonExists, match="as nobody"):
        add_person("anna@halden.example", Role.ADMIN, PASSWORD, by=factories.ADMIN)


@pytest.mark.parametrize("password", ["", "short", "password1234", "anna@halden.example"])
def test_a_weak_password_lets_nobody_in(password: str):
    with pytest.raises(ValidationError):
        add_person("anna@halden.example", Role.ADMIN, password, by=factories.ADMIN)

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
