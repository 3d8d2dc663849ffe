"""A change in a real browser: the way of a tired person, its wrong turns, and what a machine says of the pages."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Role
from hamr_portal.models import Change, Organization, Person, Worker
from hamr_portal.simulator import Simulator
from tests.services import changing

from .looking import troubles
from .test_pages import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

FINAL = re.compile("Verified|Rejected|Not sent|unknown|Nothing")


def a_pair(simulator: Simulator, **fields: Any) -> None:
    """Save a pair that answers, and a worker that is at work."""
    now = timezone.now()
    Worker.objects.create(name="here:1", started_at=now, seen_at=now + timedelta(seconds=30))
    changing.connected(simulator, **fields)


def preview(page: Page, name: str = "acme-dr", status: str = "FAILOVER") -> None:
    page.goto(f"/organizations/{name}/")
    page.locator(f"#status-{status}").check()
    page.get_by_role("button", name="Preview change").click()
    page.wait_for_url("**/confirm/")


def fill_in(page: Page, name: str = "acme-dr", *, override: bool = False) -> None:
    page.get_by_label("Ticket").fill("INC-4473")
    page.get_by_label("Reason").fill("us1 dark, moving to us5")
    if override:
        page.get_by_role("checkbox").check()
    page.locator("[name=typed_name]").fill(name)


def commit(page: Page) -> None:
    page.locator("[data-commit]").click(force=True)  # also while it says what is missing


def heading(page: Page) -> Any:
    return page.get_by_role("heading", level=1)


def test_from_the_dashboard_to_a_verified_failover(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    sign_in(page, Role.OPERATOR)

    page.get_by_role("link", name=re.compile("Change status")).click()
    page.locator("#status-FAILOVER").check()
    page.get_by_role("button", name="Preview change").click()
    fill_in(page, Change.objects.get().organization.name)
    commit(page)

    expect(heading(page)).to_have_text(re.compile("^Verified: acme.* is FAILOVER"))
    expect(page).to_have_title(re.compile("^Verified"))
    assert len(simulator.posts) == 1


def test_from_a_dark_primary_to_a_failover_that_is_verified_on_the_secondary(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    simulator.set_fault("acme", "refuse")
    sign_in(page, Role.OPERATOR)
    preview(page)

    expect(page.locator(".note--critical")).to_contain_text("cannot be read")
    fill_in(page, override=True)
    commit(page)

    expect(heading(page)).to_have_text("Verified: acme-dr is FAILOVER")
    expect(page.locator("#main")).to_contain_text("Verified on us5")


def test_a_lost_answer_is_an_unknown_outcome_that_nobody_sends_again(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    simulator.set_fault("acme-dr", "drop_before", verb="POST")
    sign_in(page, Role.OPERATOR)
    preview(page)
    fill_in(page)
    commit(page)

    expect(heading(page)).to_have_text("Outcome unknown: do not send again")
    page.goto("/organizations/acme-dr/")

    expect(page.locator("#change")).to_contain_text("No other change until it ends")
    assert len(simulator.posts) == 1


def test_the_button_says_what_is_missing_and_leads_there(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    sign_in(page, Role.OPERATOR)
    preview(page)

    expect(page.locator("[data-left]")).to_contain_text("still to fill in")
    commit(page)
    expect(page.get_by_label("Ticket").or_(page.get_by_label("Reason"))).to_have_count(2)
    fill_in(page)

    expect(page.locator("[data-left]")).to_contain_text("Sends one request to us5")
    assert simulator.posts == []


def test_a_wrong_name_sends_nothing_and_loses_no_text(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    sign_in(page, Role.OPERATOR)
    preview(page)
    fill_in(page, "acme")

    page.evaluate("document.querySelector('#confirm').submit()")  # past the script, as a browser without it

    expect(page.locator(".errsum")).to_contain_text("Not sent. 1 thing to correct")
    expect(page.locator(".errsum")).to_be_focused()
    expect(page.locator("#main")).to_contain_text("“acme” is the other side")
    expect(page.get_by_label("Reason")).to_have_value("us1 dark, moving to us5")
    assert simulator.posts == []


def test_a_double_click_is_one_request(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    sign_in(page, Role.OPERATOR)
    preview(page)
    fill_in(page)

    page.locator("[data-commit]").dblclick()

    expect(heading(page)).to_have_text("Verified: acme-dr is FAILOVER")
    assert len(simulator.posts) == 1


def test_back_and_send_again_shows_the_result_of_the_first(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    sign_in(page, Role.OPERATOR)
    preview(page)
    form = page.url
    fill_in(page)
    body = page.evaluate("new URLSearchParams(new FormData(document.querySelector('#confirm'))).toString()")
    commit(page)
    expect(heading(page)).to_have_text("Verified: acme-dr is FAILOVER")

    page.go_back()
    expect(heading(page)).to_have_text("Verified: acme-dr is FAILOVER")
    answer = page.evaluate(
        "async ([url, body]) => (await fetch(url, {method: 'POST', body, headers:"
        " {'Content-Type': 'application/x-www-form-urlencoded'}})).text()",
        [form, body],
    )

    assert "Verified: " in answer
    assert len(simulator.posts) == 1


def test_a_second_tab_is_told_of_the_first(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    sign_in(page, Role.OPERATOR)
    preview(page)
    other = page.context.new_page()
    preview(other)
    fill_in(other)
    fill_in(page)
    commit(other)
    expect(heading(other)).to_have_text("Verified: acme-dr is FAILOVER")

    commit(page)

    expect(page.locator(".note").first).to_contain_text("Nothing was sent")
    expect(page.locator("#main")).to_contain_text("PASSIVE to FAILOVER")
    assert len(simulator.posts) == 1


def test_an_expired_form_is_read_again_and_keeps_its_text(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    sign_in(page, Role.OPERATOR)
    preview(page)
    fill_in(page)
    Change.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    commit(page)

    expect(page.locator(".note").first).to_contain_text("Nothing was sent")
    expect(page.get_by_label("Reason")).to_have_value("us1 dark, moving to us5")
    commit(page)
    expect(heading(page)).to_have_text("Verified: acme-dr is FAILOVER")
    assert len(simulator.posts) == 1


def test_two_people_make_an_approved_change(page: Page, simulator: Simulator) -> None:
    a_pair(simulator, approval=True)
    sign_in(page, Role.OPERATOR)
    preview(page)
    fill_in(page)
    commit(page)
    expect(heading(page)).to_have_text("Waiting for a second person")
    page.context.clear_cookies()
    sign_in(page, Role.APPROVER)

    page.get_by_role("link", name=re.compile("Changes")).click()
    page.locator(f"table a[href='/changes/{Change.objects.get().pk}/']").first.click()
    page.locator("[name=typed_name]").fill("acme-dr")
    page.get_by_role("button", name="Approve: set acme-dr to FAILOVER").click()

    expect(heading(page)).to_have_text("Verified: acme-dr is FAILOVER")
    assert Change.objects.get().approver == Person.objects.get(role=Role.APPROVER)
    assert len(simulator.posts) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_of_a_change_has_what_axe_finds_or_scrolls_sideways(
    page: Page, simulator: Simulator, scheme: Any
) -> None:
    a_pair(simulator, approval=True)
    page.emulate_media(color_scheme=scheme)
    found: dict[str, list[str]] = {}

    def look(name: str) -> None:
        found[name] = troubles(page)

    sign_in(page, Role.OPERATOR)
    page.goto("/organizations/acme-dr/changes/new/")
    look("choose")
    preview(page, status="ACTIVE")
    look("confirm")
    page.evaluate("document.querySelector('#confirm').submit()")
    expect(page.locator(".errsum")).to_be_visible()
    look("confirm with errors")
    fill_in(page, override=True)
    commit(page)
    expect(heading(page)).to_have_text("Waiting for a second person")
    look("waiting")
    address = page.url
    for status in ChangeStatus:
        sent_at = None if status in (ChangeStatus.PREPARED, *NOT_SENT) else timezone.now()
        skipped = "nobody awake" if sent_at else ""
        closed = {"closed_by": Change.objects.get().author, "closing_reason": "not tonight", "settled_at": sent_at}
        Change.objects.update(status=status, sent_at=sent_at, skip_reason=skipped, check_at=sent_at, **closed)
        page.goto(address)
        look(status)
    page.goto("/changes/")
    look("changes")

    assert {name: each for name, each in found.items() if each} == {}


NOT_SENT = (
    ChangeStatus.AWAITING_APPROVAL,
    ChangeStatus.CANCELLED,
    ChangeStatus.DECLINED,
    ChangeStatus.EXPIRED,
)


def test_the_largest_words_stay_inside_their_lane(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    sign_in(page, Role.OPERATOR)
    preview(page, status="ONBOARDING")
    page.locator(".lane .nowrap").evaluate_all("all => all.forEach(each => { each.textContent = '10000 ms' })")
    right = "each => each.getBoundingClientRect().right"

    rims = {}
    for width in (1440, 1100, 390, 320):
        page.set_viewport_size({"width": width, "height": 900})
        lane = page.locator(".lane--main")
        rims[width] = lane.evaluate(right) - lane.locator(".lane__after .badge").evaluate(right)

    assert {width: rim for width, rim in rims.items() if rim < 8} == {}


def see_what_was_changed_outside(page: Page, simulator: Simulator) -> None:
    a_pair(simulator)
    simulator.write_aside("acme", 3, "priya.raman@halden.example")
    changing.look(*Organization.objects.all())
    sign_in(page, Role.OPERATOR)
    page.goto("/changes/")


def test_a_comment_that_is_being_typed_outlives_a_refresh(page: Page, simulator: Simulator) -> None:
    see_what_was_changed_outside(page, simulator)
    comment = page.get_by_placeholder("done by hand")
    comment.fill("INC-4473, by")
    comment.blur()
    changing.changed(Organization.objects.get(name="acme-dr"), HamrStatus.ACTIVE)

    page.evaluate("htmx.trigger(document.querySelector('#changes'), 'resume')")

    expect(page.locator("#changes")).to_contain_text("Final")
    expect(comment).to_have_value("INC-4473, by")


def test_what_was_changed_outside_stands_at_each_width(page: Page, simulator: Simulator) -> None:
    see_what_was_changed_outside(page, simulator)
    expect(page.get_by_role("button", name="Acknowledge")).to_be_visible()

    assert troubles(page) == []
