from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings

from hamr_portal.domain.news import Kind
from hamr_portal.domain.organizations import Secret
from hamr_portal.models import Delivery
from hamr_portal.services import notifications

from .looking import troubles
from .test_pages import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def news_in_every_state() -> None:
    """Queue news that was told, that waits, that is tried again, and that was given up."""
    for fields in ({"state": "TOLD", "told_at": timezone.now()}, {}, {"tries": 3}, {"state": "GIVEN_UP", "tries": 14}):
        news = notifications.queue(Kind.TEST, by="mara.lindqvist@halden.example")
        Delivery.objects.filter(news=news).update(**{"error": "HTTP 503" if "tries" in fields else "", **fields})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_news_has_nothing_that_axe_finds_and_never_scrolls_sideways(
    page: Page, scheme: Any, settings: Settings
) -> None:
    page.emulate_media(color_scheme=scheme)
    sign_in(page)
    page.goto("/news/")
    found = {"no channel": troubles(page)}
    settings.NOTIFY_URLS = [Secret("json://hooks.example/one"), Secret("slack://T/B/C")]
    news_in_every_state()
    page.goto("/news/")
    found["every state"] = troubles(page)
    page.goto("/people/")
    found["given up, elsewhere"] = troubles(page)

    assert {name: each for name, each in found.items() if each} == {}


def test_an_admin_sends_a_test_with_the_keyboard(page: Page, settings: Settings) -> None:
    settings.NOTIFY_URLS = [Secret("json://hooks.example/one")]
    sign_in(page)
    page.goto("/people/")
    page.get_by_role("link", name="News").press("Enter")
    page.get_by_role("button", name="Send test message").press("Enter")

    expect(page.get_by_text("Test message queued.")).to_be_visible()
    expect(page.get_by_role("cell", name="Waiting 1: json://h…e")).to_be_visible()
