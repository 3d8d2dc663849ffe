from __future__ import annotations

import pytest
from allauth.socialaccount.models import SocialAccount

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.people import Role
from hamr_portal.models import Person
from hamr_portal.services import people, sso
from tests import factories
from tests.services.records import entries

pytestmark = pytest.mark.django_db

ISSUER = Actor(kind="sso", name="Halden login")


def account(uid: str = "1") -> SocialAccount:
    return SocialAccount(provider=sso.PROVIDER, uid=uid, extra_data={"iss": "https://login.example", "sub": uid})


def test_an_identity_is_linked_to_one_account_only() -> None:
    mara, ada = (
        factories.person(Role.VIEWER, "mara@halden.example"),
        factories.person(Role.VIEWER, "ada@halden.example"),
    )
    sso.link(mara, account(), by=factories.ADMIN)

    with pytest.raises(sso.LinkedElsewhere):
        sso.link(ada, account(), by=factories.ADMIN)

    assert SocialAccount.objects.get().user == mara
    assert len(entries(Event.SSO_LINKED)) == 1


def test_single_sign_on_adds_nobody() -> None:
    with pytest.raises(people.NotAllowed):
        people.invite("mara@halden.example", Role.VIEWER, by=ISSUER)

    assert not Person.objects.exists()


def test_an_account_is_linked_once() -> None:
    person = factories.person()
    sso.link(person, account("1"), by=factories.ADMIN)

    with pytest.raises(sso.LinkedElsewhere):
        sso.link(person, account("2"), by=factories.ADMIN)

    assert sso.is_linked(person)
    assert len(entries(Event.SSO_LINKED)) == 1


def test_where_an_admin_was_faster_their_role_stays() -> None:
    person = factories.person(Role.VIEWER)
    Person.objects.update(role=Role.APPROVER)

    followed = sso.follow(person, Role.OPERATOR, by=ISSUER)

    assert followed.held_role is Role.APPROVER
    assert entries(Event.ROLE_CHANGED) == []


def test_a_role_that_is_right_already_is_no_change() -> None:
    person = factories.person(Role.VIEWER)

    followed = sso.follow(person, Role.VIEWER, by=ISSUER)

    assert followed.held_role is Role.VIEWER
    assert entries() == []


def test_the_role_follows_the_groups_and_that_is_on_the_record() -> None:
    person = factories.person(Role.VIEWER, "mara@halden.example")

    followed = sso.follow(person, Role.OPERATOR, by=ISSUER)

    assert followed.held_role is Role.OPERATOR
    (entry,) = entries(Event.ROLE_CHANGED)
    assert (entry.actor, entry.data) == (
        "Halden login",
        {"email": "mara@halden.example", "before": "viewer", "after": "operator"},
    )


def test_the_only_admin_stays_admin_whatever_the_groups_are(caplog: pytest.LogCaptureFixture) -> None:
    person = factories.person(Role.ADMIN)

    followed = sso.follow(person, Role.VIEWER, by=ISSUER)

    assert followed.held_role is Person.objects.get().held_role is Role.ADMIN
    assert entries(Event.ROLE_CHANGED) == []
    assert caplog.messages == ["sso: the role of the only admin is kept"]
