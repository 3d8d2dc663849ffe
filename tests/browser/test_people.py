"""The People page in a real browser: what a machine can say of accessibility, and the first password."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from hamr_portal.domain.people import Role
from hamr_portal.models import Person
from hamr_portal.services import people
from tests import factories

from .looking import troubles
from .test_pages import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def some_people() -> Person:
    """Let several be here, one of them disabled, and let admins have been told of it."""
    factories.person(Role.VIEWER, "anna.lindqvist@halden.example")
    factories.person(Role.APPROVER, "jonas.weber@halden.example")
    factories.person(None, "nobody.in.particular.with.a.long.name@halden.example")
    out = factories.person(Role.OPERATOR, "priya.raman@halden.example")
    people.disable(out, by=factories.SHELL)
    mara = factories.person(Role.OPERATOR, "mara.okafor@halden.example")
    factories.session(mara)
    return mara


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_machine_finds_nothing_wrong_with_any_page_about_people(page: Page, theme: str) -> None:
    page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
    sign_in(page)
    mara = some_people()
    found = {}

    for path in ("/people/", "/people/new/", f"/people/{mara.pk}/", "/accounts/password/"):
        page.goto(path)
        found[path] = troubles(page)
    page.goto("/people/new/")
    page.get_by_role("button", name="Add person").click()
    found["refused"] = troubles(page)

    assert {name: each for name, each in found.items() if each} == {}


def test_an_admin_lets_somebody_in_who_chooses_a_password_of_their_own(page: Page) -> None:
    sign_in(page)
    page.get_by_role("link", name="People").click()
    page.get_by_role("link", name="Add person").click()
    page.get_by_label("E-mail address").fill("mara@halden.example")
    page.get_by_label("Role").select_option("OPERATOR")
    page.get_by_role("button", name="Add person").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("First password of mara@halden.example")
    wrong = troubles(page)
    first = page.locator("code.given").inner_text()
    page.context.clear_cookies()

    page.goto("/accounts/login/")
    page.get_by_label("E-mail address").fill("mara@halden.example")
    page.get_by_label("Password").fill(first)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("First password").fill(first)
    page.get_by_label("New password", exact=True).fill("a whole new sentence")
    page.get_by_label("New password, again").fill("a whole new sentence")
    page.get_by_role("button", name="Choose password").click()

    expect(page.get_by_text("Password changed.")).to_be_visible()
    assert wrong == []
    assert Person.objects.get(email="mara@halden.example").check_password("a whole new sentence")
