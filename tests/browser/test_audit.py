"""The audit log in a real browser: rows that open in place, filters, and what a machine says of the pages."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection, transaction
from playwright.sync_api import Page, expect

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, guards
from hamr_portal.services import audit, integrity
from tests import factories
from tests.services import tampering

from .looking import troubles
from .test_pages import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

JONAS = Actor(kind="person", name="jonas.weber@halden.example", role="OPERATOR", address="10.20.4.31", session="7c19e2")
INTENT = {"url": "https://api.us5.test/api/v2/hamr", "request": '{"data": {"hamr_status": 5}}', "from": 4}
VIEW = {"has_connection": True, "status": 4}


def a_log() -> list[int]:
    """Put entries of many kinds on the record and give their numbers."""
    side: dict[str, Any] = {"organization": "halden-checkout-dr", "ticket": "CHG-2291", "change": 7}
    with transaction.atomic():
        rows = [
            audit.append(Event.KEYS_REPLACED, by=JONAS, data={"keys": {"api_key": "••••77de"}}),
            audit.append(Event.CHANGE_SENDING, by=JONAS, outcome="SENDING", data={**INTENT, "to": "RECOVERY"}, **side),
            audit.append(
                Event.CHANGE_REJECTED,
                by=JONAS,
                outcome="REJECTED",
                data={"http_status": 409, "raw": '{"errors": ["Conflict"]}'},
                **side,
            ),
            audit.append(Event.STATUS_CHANGED_OUTSIDE, by=factories.WORKER, data={"before": VIEW, "after": VIEW}),
            audit.append(Event.ACCESS_DENIED, by=JONAS, outcome="ADOPT_LOG", reason="x" * 300),
        ]
    return [row.seq for row in rows]


def edited(seq: int) -> None:
    """Let an entry be edited past the guards, and be found."""
    guards.lift(connection)
    AuditEntry.objects.filter(seq=seq).update(reason="Nobody knows")
    guards.install(connection)
    integrity.verify_and_keep(by=factories.WORKER)


def test_a_row_opens_in_place_and_closes_again(page: Page) -> None:
    numbers = a_log()
    sign_in(page, Role.AUDITOR)
    page.get_by_role("link", name="Audit log", exact=True).click()
    button = page.get_by_role("button", name=f"Details of entry {numbers[1]}")
    details = page.locator(f"#d{numbers[1]}")
    expect(details).to_be_hidden()

    button.press("Enter")

    expect(details).to_be_visible()
    expect(details).to_contain_text("POST https://api.us5.test/api/v2/hamr")
    expect(button).to_have_attribute("aria-expanded", "true")
    button.click()
    expect(details).to_be_hidden()


def test_a_filter_leaves_what_was_asked_for_and_is_taken_away_again(page: Page) -> None:
    numbers = a_log()
    sign_in(page, Role.AUDITOR)
    page.goto("/audit/")

    page.get_by_label("Search").fill("CHG-2291")
    page.get_by_label("Action").select_option("Status changes")
    page.get_by_role("button", name="Filter").click()

    expect(page.locator("tr.entry")).to_have_count(2)
    expect(page).to_have_url(re.compile(r"q=CHG-2291.*event=changes"))
    page.get_by_role("link", name="Remove filter “CHG-2291”").click()
    page.get_by_role("link", name="Remove filter Status changes").click()
    expect(page.locator(f"#d{numbers[0]}")).to_be_attached()


def test_an_admin_adopts_a_log_that_is_in_doubt(page: Page) -> None:
    edited(a_log()[0])
    sign_in(page)
    page.get_by_role("link", name="look at the audit log, and adopt it").click()

    page.get_by_label("Reason").fill("A disk was replaced")
    page.get_by_role("button", name="Adopt the log as it is").click()

    expect(page.get_by_text("Changes are possible again.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Audit log")


def test_a_file_is_what_an_export_gives(page: Page) -> None:
    a_log()
    sign_in(page, Role.AUDITOR)
    page.goto("/audit/")

    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()

    assert re.fullmatch(r"audit-log-\d{8}T\d{6}Z\.csv", download.value.suggested_filename)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_the_log_has_what_axe_finds_or_scrolls_sideways(page: Page, scheme: Any) -> None:
    numbers = a_log()
    page.emulate_media(color_scheme=scheme)
    sign_in(page)
    found = {}

    page.goto("/audit/")
    for button in page.locator(".expand").all():
        button.click()
    found["list"] = troubles(page)
    page.goto("/audit/?since=yesterday&change=x&organization=gone")
    found["wrong filter"] = troubles(page)
    page.goto(f"/audit/{numbers[1]}/")
    found["entry"] = troubles(page)
    edited(numbers[0])
    page.goto("/audit/")
    page.get_by_role("button", name="Adopt the log as it is").click()
    found["in doubt"] = troubles(page)
    page.goto(f"/audit/{numbers[0]}/")
    found["broken entry"] = troubles(page)
    page.goto("/audit/")
    page.get_by_label("Reason").fill("A disk was replaced " * 20)
    page.get_by_role("button", name="Adopt the log as it is").click()
    found["adopted"] = troubles(page)

    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.loses_contact  # the browser tells of a page that comes with 404 as of one that does not come
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_a_missing_entry_leads_on_to_the_next_one(page: Page, scheme: Any) -> None:
    numbers = a_log()
    tampering.unguarded(f"DELETE FROM {guards.TABLE} WHERE seq = %s", numbers[1])
    page.emulate_media(color_scheme=scheme)
    sign_in(page)
    page.goto(f"/audit/{numbers[1]}/")
    found = {"missing entry": troubles(page)}

    page.get_by_role("link", name=f"Entry {numbers[2]}").click()

    found["entry after a gap"] = troubles(page)
    expect(page.get_by_role("heading", name="Chain broken before it")).to_be_visible()
    assert {name: each for name, each in found.items() if each} == {}
