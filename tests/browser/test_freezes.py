"""A freeze in a real browser: it comes to open pages by itself, and is broken by somebody who has to."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from hamr_portal.domain.people import Role
from hamr_portal.services import freezes
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing

from .looking import troubles
from .test_changes import a_pair, commit, fill_in, heading, preview
from .test_pages import refresh, sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_freeze_comes_to_an_open_dashboard_and_goes_by_itself(page: Page) -> None:
    factories.pair()
    sign_in(page, Role.VIEWER)
    banner = page.get_by_role("group", name="Freeze")
    expect(banner).to_have_count(0)

    freeze = changing.frozen()
    refresh(page)
    expect(banner).to_contain_text("by admin: “Quarter end”")

    freezes.end(freeze, by=changing.admin())
    refresh(page)
    expect(banner).to_have_count(0)


def test_an_operator_breaks_a_freeze_by_a_tick_and_a_reason_of_its_own(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    changing.frozen()
    sign_in(page, Role.OPERATOR)
    preview(page)

    fill_in(page)
    expect(page.locator("[data-left]")).to_contain_text("2 of")
    commit(page)
    expect(page.get_by_label("Break the freeze: it cannot wait.")).to_be_focused()
    assert simulator.posts == []

    page.keyboard.press("Space")
    page.get_by_label("Why it cannot wait").fill("us1 is dark")
    commit(page)

    expect(heading(page)).to_have_text("Verified: acme-dr is FAILOVER")
    expect(page.locator("#main")).to_contain_text(re.compile("Broke the freeze: operator, “us1 is dark”"))
    assert len(simulator.posts) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_a_frozen_confirm_page(page: Page, simulator: Simulator, scheme: Any) -> None:
    a_pair(simulator)
    changing.frozen()
    page.emulate_media(color_scheme=scheme)
    sign_in(page, Role.OPERATOR)
    preview(page)

    assert troubles(page) == []
