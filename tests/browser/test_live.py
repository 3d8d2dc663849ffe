"""Pages that refresh themselves: what a person sees, and never sees, while one stands open through a night."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from playwright.sync_api import Locator, Page, Request, Response, expect

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.people import Role
from hamr_portal.models import Change, Organization, Pair, Snapshot, Worker
from hamr_portal.services import audit, pairs
from tests import factories
from tests.open_changes import opened
from tests.services import changing

from .test_pages import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

EVERY = 10_000
"""Milliseconds between two refreshes of a page that is seen."""
SETTLING = 50
"""Milliseconds after which htmx has put in what came."""


@pytest.fixture(autouse=True)
def clock(page: Page) -> None:
    """Let the page's time pass only where a test says so."""
    page.clock.install()
    page.clock.pause_at(timezone.now() + timedelta(seconds=1))


def two_pairs() -> None:
    """Save two pairs in sync that were read just now, and a worker that is at work."""
    now = timezone.now()
    Worker.objects.create(name="here:1", started_at=now, seen_at=now)
    factories.pair()
    factories.pair("halden-fleet", "halden-fleet-dr", sites=("us3", "us5"))
    Snapshot.objects.update(due_at=now + timedelta(seconds=30))


def organization(name: str) -> Organization:
    return Organization.objects.select_related("snapshot", "pair").get(name=name)


def a_reading(name: str = "halden-checkout", **view: object) -> None:
    """Let a pair be read again, and say something else."""
    sides = Snapshot.objects.filter(organization__name__startswith=name)
    sides.update(repeats=F("repeats") + 1, answered_at=timezone.now(), **view)


def answers(page: Page) -> list[int]:
    """Give the list to which the status of each answer to a refresh is added."""
    seen: list[int] = []

    def note(response: Response) -> None:
        if "hx-request" in response.request.headers:
            seen.append(response.status)

    page.on("response", note)
    return seen


def asked(page: Page) -> list[str]:
    """Give the list to which each refresh that is asked for is added."""
    seen: list[str] = []

    def note(request: Request) -> None:
        if "hx-request" in request.headers:
            seen.append(request.url)

    page.on("request", note)
    return seen


def refresh(page: Page, every: int = EVERY) -> int:
    """Let the time to the next refresh pass, and no longer: none is under way afterwards. Give its answer's status."""
    with page.expect_response(lambda response: "hx-request" in response.request.headers) as found:
        page.clock.run_for(every)
    found.value.finished()
    page.clock.run_for(SETTLING)
    return found.value.status


def let_pass(page: Page, seconds: int) -> None:
    page.clock.run_for(seconds * 1000)


def hide(page: Page, *, hidden: bool = True) -> None:
    """Let the page be told that nobody sees it; no tab of a browser without a window is ever hidden."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def age(page: Page, name: str) -> Locator:
    return page.locator(f".side:has(#side-{name}) [data-age]")


def seconds_of(page: Page, name: str) -> int:
    return int(age(page, name).inner_text().split()[0])


def icon(page: Page) -> str:
    return (page.locator("link[rel=icon]").get_attribute("href") or "").rsplit("/", 1)[-1]


# --- what it costs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/organizations/halden-checkout/", "/changes/"])
def test_an_unchanged_page_is_asked_for_with_its_validator_and_costs_a_304(page: Page, path: str) -> None:
    two_pairs()
    sign_in(page)
    page.goto(path)

    statuses = [refresh(page) for _ in range(3)]

    assert statuses[0] == 200
    assert statuses[-1] == 304


def test_an_open_change_costs_a_304_and_what_is_over_costs_nothing(page: Page) -> None:
    two_pairs()
    change = opened(organization("halden-checkout-dr"), ChangeStatus.UNKNOWN)
    Change.objects.update(check_at=timezone.now() + timedelta(minutes=5))
    sign_in(page)
    page.goto(f"/changes/{change.pk}/")
    assert [refresh(page, 5_000) for _ in range(3)][-1] == 304

    Change.objects.update(status=ChangeStatus.NOT_APPLIED, settled_at=timezone.now())
    with transaction.atomic():
        audit.append(Event.WORKER_RESUMED, by=factories.WORKER)
    with page.expect_response(re.compile(r"/changes/")):
        let_pass(page, 5)
    expect(page.locator("#announce")).to_have_text(f"Change {change.pk}: Reconciled: not applied")
    seen = asked(page)
    let_pass(page, 60)

    assert seen == []


def test_a_hidden_tab_for_an_hour_costs_fewer_than_a_hundred_requests_and_is_refreshed_at_once_on_return(
    page: Page,
) -> None:
    two_pairs()
    sign_in(page)
    refresh(page)
    hide(page)
    seen, came = asked(page), answers(page)

    for _ in range(60):
        let_pass(page, 60)
        page.wait_for_function("() => !document.querySelector('.htmx-request')")

    assert 50 <= len(seen) < 100
    a_reading(status=4)
    page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)
    with page.expect_response("**/live/**"):
        hide(page, hidden=False)
    expect(page.locator(".badge--active")).to_have_count(2)
    assert set(came) <= {200, 304}


# --- what stays true --------------------------------------------------------------------------------------------


def test_word_that_nothing_changed_keeps_a_page_current_and_its_ages_true(page: Page) -> None:
    two_pairs()
    sign_in(page)
    refresh(page)
    Worker.objects.update(seen_at=timezone.now() + timedelta(seconds=30))

    statuses = [refresh(page) for _ in range(13)]

    assert 304 in statuses
    expect(page.locator("html[data-old]")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing needs action")
    expect(page.locator("#poller time").first).to_have_text("0 s ago")
    clock = page.locator(".clock time").inner_text()
    assert clock == page.locator(".poll__paused [data-seen]").text_content()


def test_views_that_were_read_again_and_say_the_same_only_grow_younger(page: Page) -> None:
    two_pairs()
    sign_in(page)
    refresh(page)
    checkout = Snapshot.objects.filter(organization__name="halden-checkout")
    checkout.update(answered_at=timezone.now() - timedelta(seconds=40))
    statuses = [refresh(page)]
    expect(age(page, "halden-checkout")).to_have_text(re.compile("^4[0-9] s ago, late$"))
    moment = timezone.now()
    checkout.update(answered_at=moment)

    statuses.append(refresh(page))

    assert statuses == [304, 304]
    expect(age(page, "halden-checkout")).to_have_text(re.compile("^[0-9] s ago$"))
    expect(age(page, "halden-checkout")).to_have_attribute("data-age", "view")
    expect(age(page, "halden-checkout")).to_have_attribute("data-at", f"{moment:%H:%M:%S}")
    assert seconds_of(page, "halden-fleet") > seconds_of(page, "halden-checkout")


def test_ages_pass_without_a_request(page: Page) -> None:
    two_pairs()
    sign_in(page)
    refresh(page)
    before = seconds_of(page, "halden-checkout")
    seen = asked(page)

    let_pass(page, 4)

    assert seconds_of(page, "halden-checkout") - before in range(4, 8)
    assert seen == []


def test_a_page_that_slept_is_old_until_it_is_refreshed(page: Page) -> None:
    two_pairs()
    sign_in(page)
    refresh(page)
    page.route("**/live/**", lambda route: None)

    page.clock.fast_forward(3_600_000)
    let_pass(page, 2)

    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^Not current since"))
    expect(page).to_have_title(re.compile("^Not current since"))
    assert icon(page) == "icon-past.svg"


@pytest.mark.loses_contact
def test_a_page_that_lost_the_server_says_so_and_recovers_by_itself(page: Page) -> None:
    two_pairs()
    sign_in(page)
    refresh(page)
    page.route("**/live/**", lambda route: route.abort())
    let_pass(page, 10)
    expect(page.locator("#announce")).to_have_text(re.compile("^No contact with the portal since"))
    expect(page).to_have_title(re.compile("^No contact since"))
    assert icon(page) == "icon-past.svg"
    let_pass(page, 130)
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^Not current since"))
    page.unroute("**/live/**")
    came = answers(page)

    refresh(page)

    assert came[0] == 200, "what stands on the page is no longer what its validator stood for"
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing needs action")
    expect(page).to_have_title("Nothing needs action · HAMR Portal")
    expect(page.locator(".poll__lost")).to_be_hidden()
    assert icon(page) == "icon.svg"


# --- what is not disturbed --------------------------------------------------------------------------------------


def test_while_a_form_has_focus_nothing_is_asked_for_and_the_page_says_so(page: Page) -> None:
    two_pairs()
    sign_in(page)
    page.get_by_label("Find a pair").fill("half a wor")
    a_reading(status=4)
    seen = asked(page)

    let_pass(page, 30)

    assert seen == []
    expect(page.locator("#poller")).to_contain_text("a form has focus")
    expect(page.locator(".badge--passive")).to_have_count(4)
    with page.expect_response("**/live/**"):
        page.get_by_label("Find a pair").blur()
        let_pass(page, 1)
    expect(page.locator(".badge--active")).to_have_count(2)
    expect(page.get_by_label("Find a pair")).to_have_value("half a wor")
    expect(page.locator(".poll__held")).to_be_hidden()


def test_what_comes_back_after_a_form_got_the_focus_is_not_put_in(page: Page) -> None:
    two_pairs()
    sign_in(page)
    held = []
    page.route("**/live/**", lambda route: held.append(route))
    let_pass(page, 10)
    a_reading(status=4)
    page.get_by_label("Find a pair").focus()

    with page.expect_response("**/live/**"):
        held[0].continue_()

    expect(page.locator("html[data-held]")).to_have_count(1)
    expect(page.locator(".badge--passive")).to_have_count(4)


def test_focus_and_what_did_not_change_stay_where_they_are(page: Page) -> None:
    two_pairs()
    page.set_viewport_size({"width": 1440, "height": 300})
    sign_in(page)
    refresh(page)
    page.evaluate("document.querySelector('#live').mark = 'the same'")
    page.locator("#to-halden-checkout").focus()
    page.evaluate("scrollTo(0, 60)")
    a_reading("halden-fleet", status=4)
    a_reading(status=3)

    refresh(page)

    expect(page.locator(".badge--active")).to_have_count(2)
    expect(page.locator("#to-halden-checkout")).to_be_focused()
    assert page.evaluate("document.querySelector('#live').mark") == "the same"
    assert page.evaluate("scrollY") == 60
    assert page.locator(".group").all_text_contents() == ["In progress 1", "Failed over 1"]


@pytest.mark.parametrize("moves", ["moveBefore", "insertBefore"])
def test_a_row_that_moves_takes_its_focus_along(page: Page, moves: str) -> None:
    two_pairs()
    if moves == "insertBefore":
        page.add_init_script("delete Element.prototype.moveBefore")
    sign_in(page)
    refresh(page)
    page.evaluate("document.querySelector('#pair-halden-fleet').closest('li').mark = 'the same'")
    page.locator("#to-halden-fleet").focus()
    pairs.rename(Pair.objects.get(name="Fleet"), "Ahead of all", by=factories.ADMIN)

    refresh(page)

    assert page.locator(".pair h3").all_inner_texts() == ["Ahead of all", "Checkout"]
    expect(page.locator("#to-halden-fleet")).to_be_focused()
    assert page.evaluate("document.querySelector('#pair-halden-fleet').closest('li').mark") == "the same"


def test_a_link_that_has_focus_never_becomes_another_one(page: Page) -> None:
    two_pairs()
    older = changing.standing(organization("halden-checkout-dr"), ChangeStatus.NOT_SENT, confirmed_at=timezone.now())
    sign_in(page)
    page.goto("/changes/")
    refresh(page)
    page.get_by_role("link", name=f"Change {older.pk}", exact=True).focus()
    newer = changing.standing(organization("halden-fleet-dr"), ChangeStatus.NOT_SENT, confirmed_at=timezone.now())
    with transaction.atomic():
        audit.append(Event.WORKER_RESUMED, by=factories.WORKER)

    refresh(page)

    expect(page.get_by_role("link", name=f"Change {newer.pk}", exact=True)).to_be_visible()
    expect(page.locator(":focus")).to_have_attribute("href", f"/changes/{older.pk}/")


def test_open_rows_scrolled_boxes_and_a_chosen_status_stay_and_are_renewed(page: Page) -> None:
    two_pairs()
    page.set_viewport_size({"width": 390, "height": 900})
    sign_in(page, Role.OPERATOR)
    page.goto("/organizations/halden-checkout/")
    refresh(page)
    page.locator("#raw summary").click()
    page.locator("#status-ACTIVE").check()
    page.locator("#raw pre").first.focus()
    Snapshot.objects.filter(organization__name="halden-checkout").update(raw='{"anew": true}')
    a_reading()

    refresh(page)

    expect(page.locator("#raw pre").first).to_contain_text("anew")
    expect(page.locator("#raw pre").first).to_be_focused()
    expect(page.locator("#raw")).to_have_attribute("open", "")
    expect(page.locator("#status-ACTIVE")).to_be_checked()
    a_reading(status=4)
    refresh(page)
    expect(page.locator("#change .choice--now .badge--active")).to_have_count(1)
    expect(page.locator("#change :checked")).to_have_count(0)


def test_paused_means_paused(page: Page) -> None:
    two_pairs()
    sign_in(page)
    page.get_by_role("button", name="Pause updates").click()
    seen = asked(page)

    let_pass(page, 60)
    hide(page)
    hide(page, hidden=False)

    assert seen == []
    with page.expect_response("**/live/**"):
        page.get_by_role("button", name="Resume updates").click()


# --- what is said -----------------------------------------------------------------------------------------------


def test_a_changed_verdict_is_said_once_politely_and_in_the_title(page: Page) -> None:
    two_pairs()
    sign_in(page)
    refresh(page)
    said = page.locator("#announce")
    expect(said).to_have_attribute("role", "status")
    page.evaluate(
        "new MutationObserver((all) => (window.said = (window.said ?? 0) + all.length))"
        ".observe(document.querySelector('#announce'), { childList: true })"
    )
    a_reading(status=4)

    refresh(page)

    expect(said).to_have_text("Checkout: Failed over")
    expect(page).to_have_title("Checkout: Failed over · Nothing needs action · HAMR Portal")
    refresh(page)
    expect(page).to_have_title("Nothing needs action · HAMR Portal")
    assert page.evaluate("window.said") == 1


def test_of_a_hidden_tab_the_title_keeps_what_changed_until_it_is_seen(page: Page) -> None:
    two_pairs()
    sign_in(page)
    refresh(page)
    hide(page)
    a_reading(status=4)
    with page.expect_response("**/live/**"):
        let_pass(page, 70)
    with page.expect_response("**/live/**"):
        let_pass(page, 70)

    expect(page).to_have_title("Checkout: Failed over · Nothing needs action · HAMR Portal")
    with page.expect_response("**/live/**"):
        hide(page, hidden=False)
    expect(page).to_have_title("Nothing needs action · HAMR Portal")


def test_the_tab_says_when_something_needs_action(page: Page) -> None:
    two_pairs()
    sign_in(page)
    refresh(page)
    assert icon(page) == "icon.svg"
    a_reading(outcome=ReadOutcome.NO_ANSWER, attempt_failed=True, outcome_since=timezone.now())
    Snapshot.objects.filter(outcome=ReadOutcome.NO_ANSWER).update(repeats=3)

    refresh(page)

    expect(page).to_have_title(re.compile("1 pair needs action · HAMR Portal$"))
    assert icon(page) == "icon-action.svg"
    page.goto("/organizations/halden-checkout/")
    expect(page).to_have_title("(1) halden-checkout: Both unreachable · HAMR Portal")
    assert icon(page) == "icon-action.svg"
    page.goto("/organizations/halden-fleet/")
    assert icon(page) == "icon.svg"
    assert page.request.get("/static/img/icon-action.svg").ok
    assert page.request.get("/static/img/icon-past.svg").ok
