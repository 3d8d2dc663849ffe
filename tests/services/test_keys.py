from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings

from hamr_portal.crypto import KeyRingUnusable, RingExists, SealBroken
from hamr_portal.models import Organization
from hamr_portal.services import keys
from tests import factories

pytestmark = pytest.mark.django_db


def test_sealed_keys_open_for_their_own_row():
    organization = Organization.objects.get(pk=factories.organization().pk)

    opened = keys.open_for(organization, keys.ring())

    assert opened == factories.credentials()
    assert (organization.api_key_tail, organization.application_key_tail) == ("1e07", "b3d4")


def test_keys_of_another_row_do_not_open():
    one, two = factories.organization("one"), factories.organization("two")

    one.sealed_api_key = two.sealed_api_key

    with pytest.raises(SealBroken, match="belongs to another row"):
        keys.open_for(one, keys.ring())


def test_the_two_keys_of_a_row_are_not_interchangeable():
    organization = factories.organization()

    organization.sealed_api_key, organization.sealed_application_key = (
        organization.sealed_application_key,
        organization.sealed_api_key,
    )

    with pytest.raises(SealBroken):
        keys.open_for(organization, keys.ring())


def test_a_ring_is_made_once_and_never_replaced(settings: Settings):
    settings.KEY_RING_FILE.unlink()
    with pytest.raises(KeyRingUnusable, match="init_key_ring"):
        keys.ring()

    path = keys.init_ring()

    made = path.read_bytes()
    with pytest.raises(RingExists):
        keys.init_ring()
    assert path == settings.KEY_RING_FILE
    assert path.read_bytes() == made
