"""The pages in a real browser: signing in, watching, and what a machine can say of accessibility."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.people import Role
from hamr_portal.models import Organization, Person, Snapshot, Worker
from hamr_portal.simulator import Simulator
from tests import factories

from .looking import troubles

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PAGES = {
    "dashboard": "/",
    "filtered to nothing": "/?q=nothing-like-it",
    "pair": "/organizations/halden-checkout-dr/",
    "split pair": "/organizations/halden-payments/",
    "unpaired": "/organizations/halden-archive/",
    "credentials": "/organizations/",
    "add": "/organizations/new/",
    "edit": "/organizations/halden-checkout/edit/",
    "readiness": "/readiness/",
    "freezes": "/freezes/",
    "freeze changes": "/freezes/new/",
}


def sign_in(page: Page, role: Role = Role.ADMIN) -> None:
    if not Person.objects.filter(email=f"{role.word}@halden.example").exists():
        factories.person(role)
    page.goto("/accounts/login/")
    page.get_by_label("E-mail address").fill(f"{role.word}@halden.example")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    page.wait_for_load_state()


def a_company() -> None:
    """Save pairs of several verdicts, and a worker that is at work."""
    now = timezone.now()
    Worker.objects.create(name="here:1", started_at=now, seen_at=now + timedelta(minutes=1))
    dark, _ = factories.pair()
    Snapshot.objects.filter(pk=dark.pk).update(
        outcome=ReadOutcome.NO_ANSWER, attempt_failed=True, repeats=24, outcome_since=now - timedelta(minutes=4)
    )
    split, _ = factories.pair("halden-payments", "halden-payments-dr", sites=("us3", "eu1"))
    Snapshot.objects.filter(pk=split.pk).update(status=4)
    factories.pair("halden-logistics", "halden-logistics-dr", sites=("us3", "us5"), status=3)
    factories.pair("halden-fleet", "halden-fleet-dr", sites=("us3", "us5"), status=4)
    factories.pair("halden-identity", "halden-identity-dr", sites=("us5", "eu1"))
    factories.seen(factories.organization("halden-archive"), target_name="halden-archive-dr")


def set_status(status: int) -> None:
    Snapshot.objects.update(status=status, answered_at=timezone.now())


def refresh(page: Page) -> None:
    """Let the dashboard do now what it does every ten seconds."""
    with page.expect_response("**/live/**"):
        page.evaluate("htmx.trigger('#live', 'resume')")


def test_somebody_signs_in_and_sees_what_needs_action(page: Page) -> None:
    a_company()

    sign_in(page)

    expect(page.get_by_role("heading", level=1)).to_have_text("2 pairs need action")
    expect(page).to_have_title("2 pairs need action · HAMR Portal")
    expect(page.get_by_text("No answer × 24")).to_be_visible()
    assert page.locator(".group").first.inner_text().startswith("Need action")


def test_the_dashboard_refreshes_itself_and_says_what_changed(page: Page) -> None:
    now = timezone.now()
    Worker.objects.create(name="here:1", started_at=now, seen_at=now + timedelta(minutes=1))
    factories.pair()
    sign_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing needs action")
    page.get_by_label("Find a pair").fill("half a wor")
    page.get_by_label("Find a pair").blur()

    set_status(4)
    refresh(page)

    expect(page.locator(".badge--active")).to_have_count(2)
    expect(page.locator("#announce")).to_have_text("Checkout: Failed over")
    expect(page.get_by_label("Find a pair")).to_have_value("half a wor")


def test_paused_updates_change_nothing_until_they_are_resumed(page: Page) -> None:
    now = timezone.now()
    Worker.objects.create(name="here:1", started_at=now, seen_at=now + timedelta(minutes=1))
    factories.pair()
    sign_in(page)
    page.get_by_role("button", name="Pause updates").click()
    set_status(4)

    page.evaluate("htmx.trigger('#live', 'resume')")

    expect(page.locator(".badge--passive")).to_have_count(2)
    expect(page.locator("#poller")).to_contain_text("Paused")
    page.get_by_role("button", name="Resume updates").click()
    expect(page.locator(".badge--active")).to_have_count(2)


@pytest.mark.loses_contact
def test_a_page_that_lost_the_portal_says_so_and_looks_not_live(page: Page) -> None:
    a_company()
    sign_in(page)

    page.route("**/live/**", lambda route: route.abort())
    page.evaluate("htmx.trigger('#live', 'resume')")

    expect(page.locator(".poll__lost")).to_be_visible()
    expect(page.locator("#poller")).to_contain_text("No contact with the portal since")
    expect(page.locator("#announce")).to_contain_text("No contact with the portal since")
    expect(page).to_have_title(re.compile("^No contact since"))
    expect(page.get_by_text("Live", exact=True)).to_be_hidden()


def test_an_admin_saves_an_organization_and_its_keys_are_gone_from_the_page(page: Page, simulator: Simulator) -> None:
    made = simulator.add_organization("halden-checkout", "us1")
    sign_in(page)

    page.get_by_role("link", name="Add organization").first.click()
    page.get_by_label("Name").fill("halden-checkout")
    page.get_by_label("Site").select_option("us1")
    page.get_by_label("API key").fill(made.api_key)
    page.get_by_label("Application key").fill(made.application_key)
    page.get_by_role("button", name="Verify and save").click()

    expect(page.get_by_text("saved. The keys read.")).to_be_visible()
    assert made.api_key not in page.content()
    assert Organization.objects.get().name == "halden-checkout"


def test_the_theme_is_kept_without_a_flash(page: Page) -> None:
    sign_in(page)
    page.get_by_role("button", name="Theme").click()

    page.reload()

    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_everything_is_reached_by_keyboard_in_reading_order(page: Page) -> None:
    a_company()
    sign_in(page)
    page.goto("/")

    page.keyboard.press("Tab")

    expect(page.locator(":focus")).to_have_text("Skip to content")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(":focus")).to_have_attribute("id", "q")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_has_what_axe_finds_or_scrolls_sideways(page: Page, scheme: Any) -> None:
    a_company()
    page.emulate_media(color_scheme=scheme)
    page.goto("/accounts/login/")
    found = {"sign in": troubles(page)}
    sign_in(page)

    for name, path in PAGES.items():
        page.goto(path)
        found[name] = troubles(page)

    assert {name: each for name, each in found.items() if each} == {}
