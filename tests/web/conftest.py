from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.db import transaction
from django.test import Client
from django.utils import timezone

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.people import Role
from hamr_portal.models import ApiToken, Drill, Freeze, Observation, Organization, Person
from hamr_portal.services import audit
from tests import factories
from tests.services import changing

SignIn = Callable[[Role | None], Client]


@pytest.fixture
def signed_in(db: None) -> SignIn:
    """Give a browser in which somebody of a role is signed in."""

    def sign_in(role: Role | None) -> Client:
        client = Client()
        client.force_login(factories.person(role))
        return client

    return sign_in


@pytest.fixture
def admin(signed_in: SignIn) -> Client:
    return signed_in(Role.ADMIN)


@pytest.fixture
def viewer(signed_in: SignIn) -> Client:
    return signed_in(Role.VIEWER)


def pk_for(route: str, organization: Organization) -> int | None:
    """Give what a route's number can name: a person, a freeze, a change that is over or from outside, else a pair.

    The change is of whoever is there and may make one.
    """
    if route.startswith("people/"):
        other = Person.objects.filter(email="other@halden.example").first()
        return (other or factories.person(Role.VIEWER, "other@halden.example")).pk
    if route.startswith("tokens/"):
        now = timezone.now()
        fields = {"scope": "STATUS", "prefix": "0" * 8, "hash": "", "made_by": "", "made_at": now}
        return ApiToken.objects.create(name="prometheus", expires_at=now + timedelta(days=1), **fields).pk
    if route.startswith("freezes/"):
        now = timezone.now()
        return Freeze.objects.create(reason="", begun_at=now, begun_by="", ends_at=now + timedelta(hours=1)).pk
    if route.startswith("drills/"):
        now = timezone.now()
        fields = {"scene": "REGION_DARK", "begun_at": now, "begun_by": "", "ends_at": now + timedelta(hours=1)}
        return Drill.objects.get_or_create(ended_at=None, defaults=fields)[0].pk
    if route.startswith("accounts/sessions/"):
        return UserSession.objects.values_list("pk", flat=True).first() or 1
    if route.startswith("changes/outside/"):
        seen = Observation(organization=organization, at=timezone.now(), outcome=ReadOutcome.ANSWERED, outside=True)
        seen.save()
        return seen.pk
    if route.startswith("changes/"):
        author = Person.objects.filter(role__in=[Role.OPERATOR, Role.ADMIN]).first()
        author = author or factories.person(Role.OPERATOR, "author@halden.example")
        return changing.standing(organization, ChangeStatus.NOT_SENT, author=author).pk
    return organization.pair_id


def recorded() -> int:
    """Give the number of an entry of the audit log."""
    with transaction.atomic():
        return audit.append(Event.WORKER_RESUMED, by=factories.WORKER).seq
