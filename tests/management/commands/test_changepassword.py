from __future__ import annotations

import pytest

from hamr_portal.models import AuditEntry, Person
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_new_password_is_set_and_on_the_record_without_itself(run, monkeypatch):
    person = factories.person(email="mara@halden.example")
    monkeypatch.setenv("PORTAL_PASSWORD", "a whole new sentence")

    ended = run("changepassword", "Mara@halden.example")

    entry = AuditEntry.objects.get()
    assert ended.exit == 0
    assert Person.objects.get(pk=person.pk).check_password("a whole new sentence")
    assert (entry.event, entry.actor_kind) == ("person.password_set", "command")
    assert "sentence" not in entry.data + ended.out


@pytest.mark.parametrize(
    ("email", "password", "sentence"),
    [
        ("nobody@halden.example", "a whole new sentence", "Nobody is here as nobody@halden.example."),
        ("mara@halden.example", "short", "Not changed. This password is too short."),
    ],
)
def test_a_password_that_cannot_be_set_says_why(run, monkeypatch, email, password, sentence):
    factories.person(email="mara@halden.example")
    monkeypatch.setenv("PORTAL_PASSWORD", password)

    ended = run("changepassword", email)

    assert ended.exit == 1
    assert ended.error.startswith(sentence)
    assert not AuditEntry.objects.exists()
