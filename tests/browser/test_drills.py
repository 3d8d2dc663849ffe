"""A drill in a real browser, from the page that begins it to its debrief."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.fixtures import Settings

from hamr_portal.domain.drills import Scene
from hamr_portal.domain.people import Role
from hamr_portal.management.drill_stage import Stage
from hamr_portal.models import Drill, Worker
from tests import factories
from tests.services import changing, practising

from .looking import troubles
from .test_changes import commit, fill_in, heading
from .test_pages import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def stage(settings: Settings) -> Iterator[Stage]:
    now = timezone.now()
    Worker.objects.create(name="here:1", started_at=now, seen_at=now + timedelta(seconds=30))
    with practising.a_stage(settings) as simulator:
        yield practising.player(simulator)


def turned(stage: Stage) -> Drill:
    """Do what the stage and the worker do until the trouble shows."""
    drill = Drill.objects.get()
    stage.look()
    changing.look(*practising.sides(drill))
    stage.look()
    for _ in range(3):
        changing.look(*practising.sides(drill))
    return drill


def leave(page: Page) -> None:
    """Leave a page that refreshes itself: on SQLite in memory it would read a table that is being written to."""
    page.goto("about:blank")


def test_a_drill_from_its_begin_to_its_debrief(page: Page, stage: Stage) -> None:
    factories.pair()
    sign_in(page, Role.OPERATOR)
    page.goto("/drills/")
    page.get_by_label("Region dark").check()
    page.get_by_role("button", name="Begin the drill").click()
    expect(page).to_have_title(re.compile("^DRILL: region dark, under way"))
    leave(page)
    drill = turned(stage)
    name = f"drill-{drill.pk}-us5"

    page.goto("/")
    expect(page).to_have_title(re.compile("^Nothing needs action"))
    section = page.locator("#drill")
    expect(section).to_contain_text("Primary unreachable")
    section.get_by_role("link", name=re.compile(f"^set {name} to FAILOVER")).click()
    page.get_by_role("button", name="Drill: preview change").click()
    fill_in(page, f"drill-{drill.pk}-us1", override=True)
    expect(page.locator("[data-left]")).to_contain_text("1 of")
    fill_in(page, name, override=True)
    expect(page.locator("[data-commit]")).to_have_text(f"Drill: set {name} to FAILOVER")
    commit(page)

    expect(heading(page)).to_have_text(f"Verified: {name} is FAILOVER")
    expect(page).to_have_title(re.compile("^DRILL: Verified"))
    page.get_by_role("link", name="What is expected, and what happened").click()
    expect(heading(page)).to_have_text(f"Drill {drill.pk}: region dark, goal reached")
    page.get_by_role("button", name="End the drill").click()
    expect(page.get_by_text("The drill is ended.")).to_be_visible()
    page.goto("/")
    expect(page.locator("#drill")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_pages_of_drills(page: Page, stage: Stage, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    sign_in(page, Role.OPERATOR)
    page.goto("/drills/")
    found = {"begin": troubles(page)}
    leave(page)
    practising.begun(Scene.REGION_DARK)
    drill = turned(stage)
    change = changing.confirmed(changing.prepared(practising.sides(drill)[1]))
    changing.prepared(practising.sides(drill)[1])
    addresses = ["/", "/drills/", f"/drills/{drill.pk}/", f"/organizations/drill-{drill.pk}-us5/"]
    addresses += [f"/changes/{change.pk}/", f"/changes/{change.pk + 1}/"]
    for address in addresses:
        page.goto(address)
        found[address] = troubles(page)
    page.goto(f"/organizations/drill-{drill.pk}-us5/changes/new/")
    page.locator("#status-ACTIVE").check()
    page.get_by_role("button", name="Drill: preview change").click()
    page.wait_for_url("**/confirm/")
    found["confirm"] = troubles(page)

    assert {address: each for address, each in found.items() if each} == {}
