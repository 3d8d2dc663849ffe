from __future__ import annotations

import pytest

from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Person
from tests import factories

pytestmark = pytest.mark.django_db
PASSWORD = "canary battery staple"


@pytest.fixture(autouse=True)
def _password(monkeypatch):
    monkeypatch.setenv("PORTAL_PASSWORD", PASSWORD)


@pytest.mark.parametrize("role", list(Role))
def test_a_person_comes_in_with_a_role_and_a_password(run, role):
    ended = run("add_person", "Mara@Halden.example", "--role", role.word)

    person = Person.objects.get()
    assert ended.out == f"Added mara@halden.example as {role.word}.\n"
    assert (person.email, person.held_role) == ("mara@halden.example", role)
    assert person.check_password(PASSWORD)


def test_the_record_says_who_let_somebody_in_and_no_password(run):
    ended = run("add_person", "mara@halden.example", "--role", "viewer")

    entry = AuditEntry.objects.get()
    assert (entry.event, entry.actor_kind) == ("person.added", "command")
    assert "@" in entry.actor_name
    assert "mara@halden.example" in entry.data
    assert PASSWORD not in entry.data + ended.out + ended.err


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("p4l3", "too short"),
        ("password1234", "too common"),
        ("mara.lindqvist", "too similar"),
    ],
)
def test_a_weak_password_is_refused_with_the_reason(run, monkeypatch, password, why):
    monkeypatch.setenv("PORTAL_PASSWORD", password)

    ended = run("add_person", "mara.lindqvist@halden.example", "--role", "viewer")

    assert ended.exit == 1
    assert ended.error.startswith("Not added.")
    assert why in ended.error
    assert password not in ended.error
    assert not Person.objects.exists()


@pytest.mark.parametrize(
    "email", ["mara", "mara@", "@halden.example", "mara@halden", "a b@halden.example", "", "a@b.c\n"]
)
def test_what_is_no_address_is_refused(run, email):
    ended = run("add_person", email, "--role", "viewer")

    assert ended.exit == 1
    assert "is no e-mail address" in ended.error
    assert not Person.objects.exists()


def test_an_address_is_there_once_whatever_its_case_and_the_role_stays(run):
    factories.person(Role.AUDITOR, email="mara@halden.example")

    ended = run("add_person", "MARA@halden.example", "--role", "admin")

    assert ended.exit == 1
    assert ended.error == "mara@halden.example is here already, as auditor."
    assert Person.objects.get().held_role is Role.AUDITOR


def test_a_role_that_does_not_exist_is_refused_with_those_that_do(run):
    ended = run("add_person", "mara@halden.example", "--role", "root")

    assert ended.exit == 1
    assert "viewer" in ended.error
    assert not Person.objects.exists()


def test_without_a_terminal_and_a_password_nobody_is_added(run, monkeypatch):
    monkeypatch.delenv("PORTAL_PASSWORD")

    ended = run("add_person", "mara@halden.example", "--role", "viewer")

    assert ended.exit == 1
    assert "Put it into PORTAL_PASSWORD" in ended.error
    assert not Person.objects.exists()


def test_nobody_is_let_in_off_the_record(run, settings):
    settings.KEY_RING_FILE.unlink()

    ended = run("add_person", "mara@halden.example", "--role", "admin")

    assert ended.exit == 1
    assert "run manage.py init_key_ring" in ended.error
    assert not Person.objects.exists()


def test_there_are_no_superusers(run):
    ended = run("createsuperuser", "--noinput", "--email", "mara@halden.example")

    assert ended.exit == 1
    assert "add_person" in ended.error
    assert not Person.objects.exists()
