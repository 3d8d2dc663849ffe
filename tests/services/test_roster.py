from __future__ import annotations

from dataclasses import replace

import pytest
from allauth.mfa.models import Authenticator
from django.utils import timezone

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.people import Role
from hamr_portal.services import roster, sessions
from tests import factories

pytestmark = pytest.mark.django_db


def listed() -> list[roster.Listed]:
    return roster.listed(list(roster.everybody()), now=timezone.now())


def test_people_are_listed_by_address_with_nothing_where_there_is_nothing():
    factories.person(Role.VIEWER, "b@halden.example")
    factories.person(Role.ADMIN, "a@halden.example")

    found = listed()

    assert [each.person.email for each in found] == ["a@halden.example", "b@halden.example"]
    assert [(each.signed_in_at, each.methods, each.factors, each.sessions) for each in found] == [(None, (), (), 0)] * 2


def test_the_newest_sign_in_counts_and_says_by_what():
    anna, mara = factories.person(email="anna@halden.example"), factories.person(email="mara@halden.example")
    first = Actor(kind="person", name=mara.email, signed_in="password, 2026-03-14T03:00:00Z")
    with_factor = replace(first, signed_in=f"{first.signed_in}; mfa, 2026-03-14T03:00:09Z")
    sessions.signed_in(by=first)
    sessions.signed_in(by=with_factor)
    sessions.signed_in(by=Actor(kind="visitor", name=anna.email, signed_in="nobody vouches for that"))

    of_anna, of_mara = listed()

    assert of_mara.methods == ("password", "mfa")
    assert of_mara.signed_in_at is not None
    assert (of_anna.signed_in_at, of_anna.methods) == (None, ())


def test_each_kind_of_second_factor_is_named_once():
    mara = factories.person(email="mara@halden.example")
    for kind in ("totp", "webauthn", "webauthn"):
        Authenticator.objects.create(user=mara, type=kind, data={})

    assert listed()[0].factors == ("totp", "webauthn")


def test_only_sessions_that_somebody_could_go_on_with_are_counted(settings):
    anna, mara = factories.person(email="anna@halden.example"), factories.person(email="mara@halden.example")
    factories.session(anna)
    factories.session(anna)
    factories.session(mara, began_ago=settings.SESSION_ABSOLUTE_SECONDS + 60)

    assert [each.sessions for each in listed()] == [2, 0]


def test_the_list_asks_the_database_as_often_for_many_as_for_one(django_assert_max_num_queries):
    for number in range(12):
        factories.session(factories.person(email=f"p{number}@halden.example"))

    with django_assert_max_num_queries(6):
        listed()
