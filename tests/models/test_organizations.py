from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from hamr_portal.domain.pairs import Column
from hamr_portal.models import Observation, Organization, Pair, Snapshot, Worker
from tests import factories

pytestmark = pytest.mark.django_db


def refused(organization: Organization, **fields: Any) -> bool:
    try:
        with transaction.atomic():
            Organization.objects.filter(pk=organization.pk).update(**fields)
    except IntegrityError:
        return True
    return False


def test_names_and_uuids_are_given_once_and_unknown_uuids_are_no_uuid():
    one, two = factories.organization("one"), factories.organization("two")

    assert refused(two, name="one")
    assert refused(two, uuid=one.uuid)
    assert not refused(one, uuid=None)
    assert not refused(two, uuid=None)


def test_a_pair_has_one_side_a_column():
    primary, secondary = factories.pair()

    assert refused(secondary, column=Column.PRIMARY)
    assert refused(primary, column=Column.SECONDARY)


def test_a_column_goes_with_a_pair_and_a_pair_with_a_column():
    primary, _ = factories.pair()

    assert refused(primary, column=None)
    assert refused(primary, pair=None)
    assert refused(primary, column="THIRD")
    assert not refused(primary, pair=None, column=None)


def test_a_spelling_is_one_of_those_that_there_are():
    assert refused(factories.organization(), spelling="CAMEL")


def test_enabled_ones_are_those_that_are_not_disabled_and_by_name_is_by_name():
    for name in ("zebra", "acme", "mango"):
        factories.organization(name)
    Organization.objects.filter(name="mango").update(disabled_at=timezone.now())

    assert [each.name for each in Organization.objects.enabled().by_name()] == ["acme", "zebra"]


def test_an_organization_with_history_is_not_deleted():
    organization = factories.organization()

    with pytest.raises(ProtectedError):
        organization.delete()

    assert Organization.objects.exists()


def test_a_sealed_key_is_bound_to_row_and_field():
    one, two = factories.organization("one"), factories.organization("two")

    identities = {each.identity(field) for each in (one, two) for field in ("api_key", "application_key")}

    assert len(identities) == 4
    assert f"organization:{one.pk}:api_key" in identities


def test_rows_are_shown_by_what_people_know_them_by():
    organization = factories.organization("acme")
    now = timezone.now()

    assert str(organization) == "acme"
    assert str(Pair(name="Ours", found_at=now)) == "Ours"
    assert str(Worker(id=uuid4(), name="host:1", started_at=now, seen_at=now)) == "host:1"
    assert str(Snapshot.objects.get()) == f"{organization.pk}: not read yet"
    assert str(Observation(organization=organization, at=now, outcome="ANSWERED")).endswith("ANSWERED")
