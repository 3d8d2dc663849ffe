"""Signing in again in the middle of a change, as a person does it."""

from __future__ import annotations

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from hamr_portal.domain.people import Role
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

PASSWORD = "correct horse battery"


def let_it_age(seconds: float) -> None:
    """Let every sign-in be so much longer ago."""
    for row in Session.objects.all():
        session = SessionStore(row.pk)
        for record in session["account_authentication_methods"]:
            record["at"] -= seconds
        session.save()


def test_a_change_that_is_confirmed_late_asks_to_sign_in_again_and_loses_no_text(
    page: Page, simulator: Simulator
) -> None:
    changing.connected(simulator)
    factories.person(Role.OPERATOR, "mara@halden.example")
    page.goto("/organizations/acme/changes/new/")
    page.fill("#id_login", "mara@halden.example")
    page.fill("#id_password", PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Preview change").click()
    page.get_by_label("Reason").fill("us1 is dark “since 3”")
    page.get_by_label("Type acme").fill("acme")
    let_it_age(301)

    page.get_by_role("button", name="Set acme to FAILOVER").click()
    expect(page.get_by_text("Nothing was done yet. What you typed is kept.")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in again").click()

    expect(page.get_by_text("Nothing was sent yet.")).to_be_visible()
    expect(page.get_by_label("Reason")).to_have_value("us1 is dark “since 3”")
    assert simulator.posts == []
    page.get_by_role("button", name="Set acme to FAILOVER").click()
    page.wait_for_url("**/changes/*/")
    assert len(simulator.posts) == 1
