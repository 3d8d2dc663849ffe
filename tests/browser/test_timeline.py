"""The past of a pair as a picture: what stays while the page refreshes itself, and what a machine can say of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.models import Lapse, Observation, Organization
from tests import factories
from tests.open_changes import opened

from .looking import troubles
from .test_pages import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def an_eventful_past() -> Organization:
    """Let a pair have been through all that a timeline can show."""
    now = timezone.now()
    primary, secondary = factories.pair("halden-checkout-and-all-that-belongs-to-it", "halden-checkout-dr")
    for side in (primary, secondary):
        for number, hours in enumerate((600, 22, 20, 18, 16, 14, 12, 10)):
            Observation.objects.create(
                organization=side,
                at=now - timedelta(hours=hours),
                outcome=ReadOutcome.NO_CONNECTION if number == 6 else ReadOutcome.ANSWERED,
                has_connection=number != 6,
                status=None if number == 6 else (2, 3, 4, 5, 1, 9, 0, 2)[number],
                outside=number == 5,
            )
        Lapse.objects.create(organization=side, since=now - timedelta(hours=8), until=now - timedelta(hours=6))
    for minutes in (1320, 1319, 1200, 1140, 5):
        opened(secondary, ChangeStatus.VERIFIED, at=now - timedelta(minutes=minutes))
    Observation.objects.create(
        organization=primary,
        at=now - timedelta(minutes=4),
        outcome=ReadOutcome.NO_ANSWER,
        has_connection=True,
        status=2,
    )
    return secondary


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_eventful_timeline_has_nothing_that_axe_finds_and_fits_a_phone(page: Page, scheme: Any) -> None:
    an_eventful_past()
    page.emulate_media(color_scheme=scheme)
    sign_in(page)

    for key in ("6h", "30d", "24h"):
        page.goto(f"/organizations/halden-checkout-dr/?range={key}")
        page.get_by_text("Timeline as a table").click()
        assert troubles(page) == []


def test_a_refresh_draws_what_is_new_and_leaves_the_table_open_and_the_focus_where_it_is(page: Page) -> None:
    secondary = an_eventful_past()
    sign_in(page)
    page.goto("/organizations/halden-checkout-dr/?range=7d")
    page.get_by_text("Timeline as a table").focus()
    page.keyboard.press("Enter")
    before = page.locator("#timeline .b-failover").count()
    Observation.objects.create(
        organization=secondary, at=timezone.now(), outcome=ReadOutcome.ANSWERED, has_connection=True, status=3
    )

    with page.expect_response("**/?range=7d"):
        page.evaluate("htmx.trigger('#organization', 'resume')")

    expect(page.locator("#timeline .b-failover")).to_have_count(before + 1)
    expect(page.locator("#tl-data table")).to_be_visible()
    expect(page.locator(":focus")).to_have_text("Timeline as a table")
    expect(page.get_by_role("link", name="7 d")).to_have_attribute("aria-current", "true")


def test_a_closed_table_is_on_paper(page: Page) -> None:
    an_eventful_past()
    sign_in(page)
    page.goto("/organizations/halden-checkout-dr/")

    page.emulate_media(media="print")

    box = page.locator("#tl-data table").bounding_box()
    assert box is not None
    assert box["height"] > 100
