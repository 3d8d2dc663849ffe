"""The pages that no other test here looks at, what other roles see of those that are, and all of them on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.urls import resolve
from django.utils import timezone
from playwright.sync_api import Page, expect

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.people import Role
from hamr_portal.management.role_drawing import pages
from hamr_portal.models import Organization, Pair
from hamr_portal.services import offline_packs, people
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing

from .looking import troubles
from .test_changes import a_pair, fill_in, preview
from .test_pages import PAGES, a_company, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

NO_SUCH_PAGE = "/no-such-page/"
OF_AN_ADMIN = [
    "/offline-pack/",
    "/runbook/",
    "/audit/evidence/",
    "/audit/evidence/?since=tomorrow",
    "/tokens/",
    "/tokens/new/",
    "/accounts/sessions/",
    "/accounts/reauthenticate/",
    "/accounts/password/",
    "/accounts/logout/",
    "/accounts/inactive/",
    "/accounts/2fa/",
    NO_SUCH_PAGE,
]
OF_OTHERS = {
    Role.VIEWER: [
        "/",
        "/organizations/halden-checkout-dr/",
        "/organizations/halden-payments/",
        "/organizations/halden-archive/",
        "/changes/",
        "/changes/{waiting}/",
        "/readiness/",
        "/freezes/",
        "/people/",
    ],
    Role.OPERATOR: ["/pairs/{pair}/run-sheet/", "/pairs/{pair}/run-sheet/edit/", "/changes/{waiting}/driver/"],
    Role.APPROVER: ["/", "/organizations/halden-payments/", "/changes/", "/changes/{waiting}/"],
    Role.AUDITOR: ["/", "/changes/{waiting}/", "/audit/"],
}
ELSEWHERE = {
    "account_login": "test_pages",
    "audit_adopt": "test_audit",
    "audit_entry": "test_audit",
    "change_confirm": "test_changes",
    "change_new": "test_changes",
    "drill": "test_drills",
    "drills": "test_drills",
    "mfa_activate_totp": "test_factors",
    "mfa_add_webauthn": "test_factors",
    "mfa_authenticate": "test_factors",
    "mfa_deactivate_totp": "test_factors",
    "mfa_generate_recovery_codes": "test_factors",
    "mfa_reauthenticate": "test_factors",
    "mfa_reauthenticate_webauthn": "test_factors",
    "mfa_remove_webauthn": "test_factors",
    "mfa_view_recovery_codes": "test_factors",
    "news": "test_news",
    "person": "test_people",
    "person_add": "test_people",
    "sso_callback": "test_factors",
    "sso_link": "test_factors",
}
"""Pages that axe looks at beside what they are for."""

NO_PAGES = {
    "api_status",
    "audit_export",
    "dashboard_live",
    "metrics",
    "mfa_totp_picture",
    "offline_pack_make",
    "sso_again",
    "sso_login",
}
"""Files, numbers, a part of a page, and ways to somewhere else."""

TO_FILL_IN = "input:not([type=hidden]), select, textarea, button"


def a_change_that_waits() -> int:
    organization = Organization.objects.select_related("snapshot").get(name="halden-fleet-dr")
    author = factories.person(Role.OPERATOR, "mara.lindqvist@halden.example")
    return changing.standing(organization, ChangeStatus.AWAITING_APPROVAL, author=author, reason="A drill").pk


def test_axe_looks_at_every_page_that_there_is() -> None:
    paths = [*PAGES.values(), *OF_AN_ADMIN, *(path for of_role in OF_OTHERS.values() for path in of_role)]
    names = {
        resolve(path.partition("?")[0].format(waiting=1, pair=1)).url_name for path in paths if path != NO_SUCH_PAGE
    }

    shown = {page.name for page in pages() if "GET" in page.methods}

    assert shown - NO_PAGES - names - set(ELSEWHERE) == set()


@pytest.mark.loses_contact  # the browser remarks a page that comes with 403 or 404
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_other_page_of_an_admin_has_what_axe_finds_or_scrolls_sideways(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    sign_in(page)
    offline_packs.make(by=factories.SHELL)
    found = {}

    for path in OF_AN_ADMIN:
        page.goto(path)
        found[path] = troubles(page)

    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.loses_contact
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("role", OF_OTHERS)
def test_no_page_that_another_role_sees_otherwise_has_what_axe_finds(page: Page, role: Role, scheme: Any) -> None:
    a_company()
    waiting, pair = a_change_that_waits(), Pair.objects.order_by("pk")[0].pk
    page.emulate_media(color_scheme=scheme)
    sign_in(page, role)
    found = {}

    for path in OF_OTHERS[role]:
        page.goto(path.format(waiting=waiting, pair=pair))
        found[path] = troubles(page)

    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_little_or_nothing_has_what_axe_finds(page: Page, simulator: Simulator, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    sign_in(page)
    found = {}
    for path in ("/", "/organizations/", "/changes/", "/readiness/", "/audit/", "/tokens/"):
        page.goto(path)
        found[f"empty {path}"] = troubles(page)
    changing.unconnected(simulator)
    factories.organization("off", disabled_at=timezone.now())
    people.disable(factories.person(Role.OPERATOR, "priya.raman@halden.example"), by=factories.SHELL)
    changing.frozen()
    for path in ("/", "/organizations/acme/", "/organizations/acme/changes/new/", "/organizations/off/", "/people/"):
        page.goto(path)
        found[path] = troubles(page)
    page.goto("/tokens/new/")
    page.get_by_label("Name").fill("prometheus")
    page.get_by_role("button", name="Make token").click()
    expect(page.get_by_text("Authorization: Bearer")).to_be_visible()
    found["a token"] = troubles(page)
    page.context.clear_cookies()
    sign_in(page, Role.VIEWER)
    Organization.objects.update(disabled_at=timezone.now())
    page.goto("/")
    found["all disabled"] = troubles(page)

    assert {name: each for name, each in found.items() if each} == {}


def test_the_offline_pack_stands_at_each_width_without_the_portal(
    page: Page, simulator: Simulator, tmp_path: Path
) -> None:
    a_pair(simulator, approval=True)
    factories.organization("never-read")
    path = tmp_path / "pack.html"
    path.write_bytes(offline_packs.make(by=factories.SHELL).content)

    page.goto(path.as_uri())

    assert troubles(page) == []
    page.get_by_role("link", name="acme", exact=True).click()
    expect(page.get_by_role("heading", name="acme", exact=True)).to_be_in_viewport()


@pytest.mark.loses_contact
def test_on_paper_there_is_nothing_to_press_or_to_fill_in(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    simulator.write_aside("acme", 3, "priya.raman@halden.example")
    changing.look(*Organization.objects.all())
    sign_in(page)
    page.emulate_media(media="print")
    left = {}

    for path in ("/", "/changes/", "/organizations/", "/organizations/acme/", "/people/", "/audit/", *OF_AN_ADMIN):
        page.goto(path)
        left[path] = [
            each.evaluate("each => each.outerHTML") for each in page.locator(TO_FILL_IN).all() if each.is_visible()
        ]

    assert {path: each for path, each in left.items() if each} == {}


def test_on_paper_a_bar_shows_how_much_of_it_is_full(page: Page) -> None:
    a_company()
    sign_in(page)
    page.emulate_media(media="print")
    page.goto("/organizations/")

    fills = page.evaluate("['.bg', '.fg'].map((part) => getComputedStyle(document.querySelector(`.rot ${part}`)).fill)")

    assert fills == ["rgb(221, 221, 221)", "rgb(90, 99, 113)"]


def test_in_forced_colours_a_button_that_is_not_ready_looks_so(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    page.emulate_media(forced_colors="active")
    sign_in(page, Role.OPERATOR)
    preview(page)
    button = page.locator("[data-commit]")
    expect(button).to_have_css("border-style", "dashed")
    before = button.evaluate("each => getComputedStyle(each).backgroundColor")

    fill_in(page)

    expect(button).to_have_css("border-style", "solid")
    expect(button).not_to_have_css("background-color", before)
