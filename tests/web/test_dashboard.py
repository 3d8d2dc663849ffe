from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.people import Role
from hamr_portal.models import Organization, Snapshot, Worker
from tests import factories
from tests.open_changes import opened

from .conftest import SignIn

pytestmark = pytest.mark.django_db


def page(client: Client, query: str = "") -> str:
    return client.get(reverse("dashboard") + query).content.decode()


def dark(organization: Organization, repeats: int = 24) -> None:
    """Let an organization's last reads have brought no answer."""
    now = timezone.now()
    Snapshot.objects.filter(pk=organization.pk).update(
        outcome=ReadOutcome.NO_ANSWER,
        attempt_failed=True,
        repeats=repeats,
        outcome_since=now - timedelta(minutes=4),
        answered_at=now - timedelta(minutes=4, seconds=13),
        attempted_at=now,
    )


def test_a_pair_shows_both_sides_with_their_ages(viewer: Client) -> None:
    factories.pair(at=timezone.now() - timedelta(seconds=9))

    shown = page(viewer)

    assert "halden-checkout-dr" in shown
    assert shown.count("PASSIVE</span>") == 2
    assert shown.count("data-age") >= 2
    assert "In sync" in shown


def test_a_dark_side_is_shown_as_last_known_and_needs_action(viewer: Client) -> None:
    primary, _ = factories.pair()
    dark(primary)
    Worker.objects.create(name="here:1", started_at=timezone.now(), seen_at=timezone.now())

    shown = page(viewer)

    assert "1 pair needs action" in shown
    assert "Primary unreachable" in shown
    assert "No answer × 24" in shown
    assert "badge--old" in shown
    assert "last known" in shown
    assert "badge badge--passive" in shown


def test_an_absent_worker_never_looks_like_calm(viewer: Client) -> None:
    factories.pair()

    shown = page(viewer)

    assert "poll--stopped" in shown
    assert "run_worker" in shown
    assert "Live</span>" not in shown
    assert "Nothing needs action" not in shown


def test_a_worker_at_work_is_shown_as_live(viewer: Client) -> None:
    factories.pair()
    Worker.objects.create(name="here:1", started_at=timezone.now(), seen_at=timezone.now())

    shown = page(viewer)

    assert "poll--stopped" not in shown
    assert "Live" in shown
    assert "2 of 2 views fresh" in shown


def test_an_unpaired_organization_is_on_the_dashboard(viewer: Client) -> None:
    alone = factories.organization("halden-archive")
    factories.seen(alone, target_uuid="550e8400-e29b-41d4-a716-446655440000", target_name="halden-archive-dr")

    shown = page(viewer)

    assert "halden-archive" in shown
    assert "Unpaired" in shown
    assert "halden-archive-dr" in shown


def test_a_filter_leaves_what_it_names(viewer: Client) -> None:
    factories.pair("halden-checkout", "halden-checkout-dr")
    factories.pair("halden-fleet", "halden-fleet-dr", sites=("us3", "eu1"), status=4)

    found = {query: page(viewer, query) for query in ("?q=fleet", "?site=us1", "?status=ACTIVE", "?show=failedover")}

    assert {query: "halden-fleet-dr" in text for query, text in found.items()} == {
        "?q=fleet": True,
        "?site=us1": False,
        "?status=ACTIVE": True,
        "?show=failedover": True,
    }
    assert {query: "halden-checkout-dr" in text for query, text in found.items()} == {
        "?q=fleet": False,
        "?site=us1": True,
        "?status=ACTIVE": False,
        "?show=failedover": False,
    }


@pytest.mark.parametrize("query", ["?q=%00", "?site=evil&status=7&show=nothing", "?q=" + "x" * 5000, "?q=%F0%9F%92%A9"])
def test_a_filter_with_nonsense_is_no_error(query: str, viewer: Client) -> None:
    factories.pair()

    assert viewer.get(reverse("dashboard") + query).status_code == 200


def test_the_live_part_holds_the_pairs_and_no_form(viewer: Client) -> None:
    factories.pair()

    shown = viewer.get(reverse("dashboard_live"), headers={"HX-Request": "true"}).content.decode()

    assert "halden-checkout-dr" in shown
    assert "<html" not in shown
    assert 'name="q"' not in shown
    assert "<title>" in shown


def test_a_new_installation_tells_an_admin_what_to_do(admin: Client) -> None:
    shown = page(admin)

    assert "No organizations yet" in shown
    assert reverse("organization_new") in shown


def test_a_new_installation_tells_others_who_can(viewer: Client) -> None:
    shown = page(viewer)

    assert "Needs an admin" in shown
    assert reverse("organization_new") not in shown


def test_text_from_the_api_stays_text(viewer: Client) -> None:
    primary, secondary = factories.pair()
    hostile = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'
    factories.seen(primary, status=4, modified_by=hostile, target_name=hostile, target_uuid=secondary.uuid)

    shown = page(viewer) + viewer.get(reverse("organization", kwargs={"name": primary.name})).content.decode()

    assert "<script>alert" not in shown
    assert "<img src=x" not in shown
    assert "&lt;script&gt;" in shown


def test_an_unknown_status_is_shown_as_such(viewer: Client) -> None:
    factories.pair(status=6)

    shown = page(viewer)

    assert "Unknown status 6" in shown
    assert "Unknown status" in shown
    assert "In sync</" not in shown.split("pairlist")[1]


def test_the_number_of_queries_does_not_grow(
    viewer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        _, secondary = factories.pair(f"halden-{number}", f"halden-{number}-dr")
        opened(secondary, ChangeStatus.AWAITING_APPROVAL)

    with django_assert_max_num_queries(10):
        page(viewer)


@pytest.mark.parametrize(
    ("status", "verdict", "title"),
    [
        (ChangeStatus.UNKNOWN, "Outcome unknown", "1 pair needs action"),
        (ChangeStatus.SENDING, "Sending", "Nothing needs action"),
        (ChangeStatus.ACCEPTED, "Sending", "Nothing needs action"),
        (ChangeStatus.AWAITING_APPROVAL, "Waiting for approval", "Nothing needs action"),
    ],
)
@pytest.mark.parametrize("role", list(Role))
def test_an_open_change_is_on_the_dashboard_and_leads_to_its_page(
    role: Role, status: ChangeStatus, verdict: str, title: str, signed_in: SignIn
) -> None:
    _, secondary = factories.pair()
    change = opened(secondary, status)
    Worker.objects.create(name="here:1", started_at=timezone.now(), seen_at=timezone.now())

    shown = page(signed_in(role))

    assert f'data-verdict="{verdict}"' in shown
    assert title in shown
    assert reverse("change", kwargs={"pk": change.pk}) in shown
    assert ("Decide<" in shown) is (role is Role.APPROVER and status is ChangeStatus.AWAITING_APPROVAL)
    assert "mara.lindqvist" in shown


@pytest.mark.parametrize("role", list(Role))
def test_only_who_may_change_a_status_is_offered_to(role: Role, signed_in: SignIn) -> None:
    primary, secondary = factories.pair()
    dark(primary)

    shown = page(signed_in(role))

    offered = shown.count(reverse("change_new", kwargs={"name": secondary.name}))
    assert offered == (2 if role in {Role.OPERATOR, Role.ADMIN} else 0)
    assert ("Needs an operator" in shown) is (not offered)


def test_an_open_change_is_said_on_the_page_of_its_organization(viewer: Client) -> None:
    primary, secondary = factories.pair()
    change = opened(secondary, ChangeStatus.UNKNOWN)
    dark(primary)

    shown = viewer.get(reverse("organization", kwargs={"name": primary.name})).content.decode()

    assert shown.count("Whether halden-checkout-dr was set to FAILOVER is not known.") == 1
    assert reverse("change", kwargs={"pk": change.pk}) in shown


@pytest.mark.parametrize("role", list(Role))
def test_every_role_sees_the_status(role: Role, signed_in: SignIn) -> None:
    factories.pair()

    assert "halden-checkout-dr" in page(signed_in(role))


def test_an_installation_whose_organizations_are_all_disabled_says_so(admin: Client) -> None:
    organization = factories.organization()
    admin.post(reverse("organization_disable", kwargs={"name": organization.name}))

    shown = page(admin)

    assert "Every organization is disabled" in shown
    assert "No organizations yet" not in shown
