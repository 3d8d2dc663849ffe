"""The board of what would fail tonight, as each role sees it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hamr_portal.domain.people import Role
from hamr_portal.models import Organization, Snapshot, Worker
from tests import factories
from tests.services import changing
from tests.web.conftest import SignIn
from tests.web.test_changes import page

pytestmark = pytest.mark.django_db


@pytest.fixture
def troubles() -> Organization:
    """A pair whose primary is refused its keys, which are old; and an approver without a second factor."""
    primary, _ = factories.pair()
    Snapshot.objects.filter(pk=primary.pk).update(outcome="KEY_REFUSED", attempt_failed=True)
    Organization.objects.filter(pk=primary.pk).update(keys_saved_at=timezone.now() - timedelta(days=97))
    Worker.objects.create(name="here:1", started_at=timezone.now(), seen_at=timezone.now())
    changing.approver()
    return primary


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.AUDITOR])
def test_everybody_sees_the_risks_and_only_admins_the_names_of_people(
    role: Role, troubles: Organization, signed_in: SignIn
) -> None:
    shown = page(signed_in(role).get(reverse("readiness")))

    assert "1 thing would fail tonight" in shown
    assert "Key refused Site us1 refuses the keys of halden-checkout. Replace the keys." in shown
    assert "97 d, due" in shown
    assert "Needs an admin" in shown
    assert "approver@halden.example" not in shown
    assert "who may change something sign" in shown


def test_an_admin_sees_who_has_no_second_factor_and_where_to_replace_keys(
    troubles: Organization, admin: Client
) -> None:
    response = admin.get(reverse("readiness"))

    assert "approver@halden.example, approver, signs in with a password alone." in page(response)
    assert f"{reverse('organization_edit', args=[troubles.name])}#edit" in response.content.decode()
    assert reverse("people") in response.content.decode()


def test_what_is_fine_is_one_line_each(troubles: Organization, viewer: Client) -> None:
    shown = page(viewer.get(reverse("readiness")))

    assert "1 of 2 keys are taken by their sites." in shown
    assert "2 of 2 organizations read within 2 min." in shown
    assert "1 of 1 pairs mirror each other." in shown


def test_nothing_that_fails_is_said_as_the_title(viewer: Client) -> None:
    Worker.objects.create(name="here:1", started_at=timezone.now(), seen_at=timezone.now())

    shown = page(viewer.get(reverse("readiness")))

    assert "Nothing would fail tonight" in shown


def test_the_dashboard_leads_to_the_board(viewer: Client) -> None:
    factories.pair()

    assert viewer.get(reverse("dashboard")).content.decode().count(f'href="{reverse("readiness")}"') == 2
