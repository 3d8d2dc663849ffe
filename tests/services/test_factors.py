"""A second factor's secret opens for its owner alone, and whatever becomes of somebody's factors is on the record."""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from pytest_django.fixtures import Settings

from hamr_portal.crypto import KeyRingUnusable, SealBroken
from hamr_portal.domain.audit import Event
from hamr_portal.domain.people import Role
from hamr_portal.models import Person
from hamr_portal.services import audit, factors
from tests import factories
from tests.services.records import entries

pytestmark = pytest.mark.django_db

APP, KEY = Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN
SECRET = "JBSWY3DPEHPK3PXP"


@pytest.fixture
def mara() -> Person:
    return factories.person(Role.VIEWER, "mara@halden.example")


def add(person: Person, kind: str) -> None:
    Authenticator.objects.create(user=person, type=kind, data={})


def told() -> list[tuple[str, str]]:
    """Give what the record says of factors: what happened, and to which kind."""
    assert {entry.data["email"] for entry in entries()} <= {"mara@halden.example"}
    return [(entry.event, entry.data["factor"]) for entry in entries()]


# --- their secrets ----------------------------------------------------------------------------------------------


def test_a_secret_is_sealed_and_opens_for_its_owner(mara: Person) -> None:
    sealed = factors.sealed(SECRET, mara)

    assert SECRET not in sealed
    assert factors.opened(sealed, mara) == SECRET


def test_a_secret_that_was_put_into_another_account_opens_there_for_nobody(mara: Person) -> None:
    sealed = factors.sealed(SECRET, mara)

    with pytest.raises(SealBroken):
        factors.opened(sealed, factories.person(Role.ADMIN))


def test_without_the_ring_no_secret_is_sealed(mara: Person, settings: Settings) -> None:
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(KeyRingUnusable):
        factors.sealed(SECRET, mara)


# --- what becomes of them ---------------------------------------------------------------------------------------


def test_each_factor_that_comes_or_goes_is_on_the_record_by_its_kind(mara: Person) -> None:
    add(mara, APP)

    with factors.recorded(mara, by=factories.ADMIN):
        Authenticator.objects.filter(type=APP).delete()
        add(mara, KEY)
        add(mara, KEY)

    assert told() == [
        (Event.FACTOR_REMOVED, "authenticator app"),
        (Event.FACTOR_ADDED, "security key"),
        (Event.FACTOR_ADDED, "security key"),
    ]


def test_where_nothing_comes_of_it_nothing_is_told_and_others_factors_are_not_looked_at(mara: Person) -> None:
    add(mara, APP)

    with factors.recorded(mara, by=factories.ADMIN):
        add(factories.person(Role.ADMIN), APP)

    assert told() == []


def test_what_cannot_be_recorded_is_not_done(mara: Person, settings: Settings) -> None:
    add(mara, APP)
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(audit.CannotSign), factors.recorded(mara, by=factories.ADMIN):
        Authenticator.objects.all().delete()

    assert Authenticator.objects.count() == 1
