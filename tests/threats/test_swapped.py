"""The sealed keys of two organizations, swapped in the database by whoever can write there. Threat 23, row 63."""

from __future__ import annotations

import pytest
from django.utils import timezone

from hamr_portal.models import AuditEntry, Organization
from hamr_portal.services import keys, verification
from hamr_portal.services.verification import VerifyOutcome
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services.records import read

pytestmark = pytest.mark.django_db

SEALED = ("sealed_api_key", "sealed_application_key")


def swapped(simulator: Simulator) -> list[Organization]:
    """Give two organizations that hold each other's sealed keys, after both were read well."""
    saved = [factories.simulated(simulator.add_organization(name, "us1")) for name in ("one", "two")]
    read(*saved)
    for mine, other in (saved, saved[::-1]):
        Organization.objects.filter(pk=mine.pk).update(**{name: getattr(other, name) for name in SEALED})
    return list(Organization.objects.order_by("name"))


def test_keys_that_were_swapped_are_refused_on_the_record_and_asked_with_nowhere(simulator: Simulator) -> None:
    organizations = swapped(simulator)
    asked = len(simulator.requests)

    snapshots = read(*organizations)

    entries = AuditEntry.objects.filter(event="organization.credential_unreadable").order_by("organization")
    assert [snapshot.outcome for snapshot in snapshots] == ["KEYS_UNREADABLE", "KEYS_UNREADABLE"]
    assert [entry.organization for entry in entries] == ["one", "two"]
    assert all("belongs to another row" in entry.data for entry in entries)
    assert len(simulator.requests) == asked


def test_verifying_swapped_keys_asks_nobody_and_says_why(simulator: Simulator) -> None:
    organizations = swapped(simulator)
    asked = len(simulator.requests)

    found = verification.verify_all(organizations, by=factories.ADMIN)

    assert {each.outcome for each in found.values()} == {VerifyOutcome.KEYS_UNREADABLE}
    assert len(simulator.requests) == asked


def test_keys_of_ones_own_that_are_saved_again_end_it(simulator: Simulator) -> None:
    one, _ = swapped(simulator)
    known = simulator.organizations.named("one")

    sealed = keys.sealed(one, factories.credentials(known.api_key, known.application_key), keys.ring())
    Organization.objects.filter(pk=one.pk).update(**sealed, keys_saved_at=timezone.now())

    (snapshot,) = read(Organization.objects.get(pk=one.pk))
    assert snapshot.outcome == "NO_CONNECTION"
