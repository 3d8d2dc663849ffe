from __future__ import annotations

import pytest

from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Person, PersonNotice
from tests import factories

pytestmark = pytest.mark.django_db


def test_somebody_gets_another_role_and_all_admins_are_told(run):
    factories.person(Role.ADMIN)
    mara = factories.person(Role.VIEWER, "mara@halden.example")

    ended = run("set_role", "Mara@halden.example", "admin")

    assert ended.out == "mara@halden.example is admin now, was viewer.\n"
    assert Person.objects.get(pk=mara.pk).held_role is Role.ADMIN
    entry = AuditEntry.objects.get()
    assert (entry.event, entry.actor_kind) == ("person.role_changed", "command")
    assert PersonNotice.objects.count() == 2


def test_it_makes_an_admin_where_there_is_none_any_more(run):
    mara = factories.person(None, "mara@halden.example")

    ended = run("set_role", "mara@halden.example", "admin")

    assert ended.out == "mara@halden.example is admin now.\n"
    assert Person.objects.get(pk=mara.pk).held_role is Role.ADMIN


def test_it_says_that_somebody_is_disabled_still(run):
    factories.person(Role.VIEWER, "mara@halden.example")
    Person.objects.update(is_active=False)

    ended = run("set_role", "mara@halden.example", "admin")

    assert "They are disabled" in ended.out


@pytest.mark.parametrize(
    ("role", "why"),
    [
        ("viewer", "Not changed. mara@halden.example is the only admin. Make somebody else admin first."),
        ("admin", "Not changed. mara@halden.example is admin already."),
    ],
)
def test_the_last_admin_stays_one(run, role, why):
    factories.person(Role.ADMIN, "mara@halden.example")

    ended = run("set_role", "mara@halden.example", role)

    assert (ended.exit, ended.error) == (1, why)
    assert Person.objects.get().held_role is Role.ADMIN


def test_somebody_who_is_not_here_is_not_made(run):
    ended = run("set_role", "mara@halden.example", "admin")

    assert ended.exit == 1
    assert ended.error.startswith("Nobody is here as mara@halden.example.")
    assert not Person.objects.exists()
