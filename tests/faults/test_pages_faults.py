"""What does a person read when something fails? The same faults through the pages. Rows 18 to 31 and 43 to 58."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse
from pytest_django.fixtures import Settings

from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Change, Organization, Person
from hamr_portal.services import reconciliation
from hamr_portal.simulator import FAILOVER, Simulator
from tests import factories
from tests.services.changing import REASON, fresh

from . import database
from .browsers import Browser, Page
from .conftest import Witness
from .stories import SENT, assert_no_post, assert_sent, story
from .test_people_faults import later

pytestmark = pytest.mark.slow

VERIFIED = ["change.accepted", "change.verified"]


def page_of(change: Change) -> str:
    return reverse("change", args=[change.pk])


# --- rows 18 to 31: the result ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "options", "events", "status", "said"),
    [
        (None, {}, VERIFIED, "VERIFIED", "reads back FAILOVER"),
        ("drop_after", {}, ["change.unknown", "change.verified"], "VERIFIED", "Reconciled: applied"),
        ("drop_before", {}, ["change.unknown"], "UNKNOWN", "may or may not be applied"),
        ("html", {}, ["change.unknown"], "UNKNOWN", "not a Datadog answer"),
        ("redirect", {}, ["change.unknown"], "UNKNOWN", "redirect"),
        ("503", {}, ["change.unknown"], "UNKNOWN", "503"),
        ("400", {}, ["change.rejected"], "REJECTED", "HTTP 400"),
        ("403", {}, ["change.rejected"], "REJECTED", "disaster_recovery_status_write"),
        ("429", {"reset": 120}, ["change.rejected"], "REJECTED", "HTTP 429"),
    ],
    ids=str,
)
def test_rows_20_to_31_page_of_the_change_says_what_came_of_it(
    fault: str | None,
    options: dict[str, Any],
    events: list[str],
    status: str,
    said: str,
    simulator: Simulator,
    operator: Browser,
) -> None:
    simulator.set_fault("acme", fault, verb="POST", **options)
    form = operator.preview()

    page = form.send()

    assert page.leads_to == page_of(form.change)
    assert said in Page(operator.client.get(page.leads_to)).text
    assert_sent(form.change, simulator, *events, status=status)


def test_row_18_page_says_that_nothing_was_sent(
    simulator: Simulator, operator: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = operator.preview()
    announce = AuditEntry.save

    def announce_and_refuse(entry: AuditEntry, **kwargs: Any) -> None:
        announce(entry, **kwargs)
        if entry.event == "change.sending":
            simulator.set_fault("acme", "refuse")

    monkeypatch.setattr(AuditEntry, "save", announce_and_refuse)

    page = form.send()

    assert "Nothing was sent; the status is unchanged." in Page(operator.client.get(page.leads_to)).text
    assert_no_post(form.change, simulator, *SENT, "change.not_sent", status="NOT_SENT")


# --- rows 43 to 47: the database --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [database.Lock, database.full, database.read_only, database.broken_disk], ids=lambda fault: fault.__name__
)
def test_rows_43_and_44_page_says_that_the_change_is_blocked(
    fault: Any, simulator: Simulator, operator: Browser
) -> None:
    form = operator.preview()
    database.impatient()

    with fault():
        page = form.send(reason=database.LONGER_THAN_A_PAGE)

    assert page.code == 503
    assert "Blocked: this change cannot be recorded, so it was not sent." in page.text
    assert_no_post(form.change, simulator, "change.prepared", status="PREPARED")


def test_row_47_page_says_that_the_change_is_blocked_by_a_trigger(simulator: Simulator, operator: Browser) -> None:
    form = operator.preview()

    with database.refusing("change.sending"):
        page = form.send()

    assert page.code == 503
    assert "Blocked: this change cannot be recorded, so it was not sent." in page.text
    assert_no_post(form.change, simulator, "change.prepared", status="PREPARED")
    assert form.send().leads_to == page_of(form.change)
    assert_sent(form.change, simulator, *VERIFIED, status="VERIFIED")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (None, "accepted FAILOVER"),
        ("drop_after", "Outcome unknown: do not send again"),
        ("409", "refused with HTTP 409"),
    ],
)
def test_row_46_page_says_the_outcome_and_that_it_is_not_recorded_yet(
    fault: str | None, said: str, simulator: Simulator, operator: Browser, witness: Witness
) -> None:
    simulator.set_fault("acme", fault, verb="POST")
    form = operator.preview()
    database.impatient()
    lock = database.Lock()
    witness.also = lock.take

    page = form.send()
    lock.release()

    assert page.code == 503
    assert said in page.text
    assert "recorded" in page.text
    assert len(simulator.posts) == 1

    reconciliation.reconcile(by=factories.WORKER)

    assert fresh(form.change).status == ("REJECTED" if fault == "409" else "VERIFIED")
    assert len(simulator.posts) == 1


# --- rows 51 to 55: forms ---------------------------------------------------------------------------------------


def test_row_51_second_operator_reads_whose_change_is_open(
    simulator: Simulator, operator: Browser, other: Browser, witness: Witness
) -> None:
    form, late = operator.preview(), other.preview()
    pages: list[Page] = []
    witness.also = lambda: pages.append(late.send())

    form.send()

    assert pages[0].code == 409
    assert "Not sent: another change is open" in pages[0].text
    assert operator.person.label in pages[0].text
    assert_sent(form.change, simulator, *VERIFIED, status="VERIFIED")
    assert story(late.change) == ["change.prepared", "change.refused_busy"]


def test_row_52_second_click_leads_to_the_page_of_the_first(
    simulator: Simulator, operator: Browser, witness: Witness
) -> None:
    form = operator.preview()
    pages: list[Page] = []
    witness.also = lambda: pages.append(form.send())

    first = form.send()
    third = form.send()

    assert {first.leads_to, pages[0].leads_to, third.leads_to} == {page_of(form.change)}
    assert_sent(form.change, simulator, *VERIFIED, status="VERIFIED")


def test_row_53_stale_form_leads_to_a_new_preview_that_says_what_changed(
    simulator: Simulator, operator: Browser
) -> None:
    form = operator.preview(HamrStatus.ACTIVE)
    simulator.write_aside("acme", FAILOVER, "jonas.weber@halden.example")

    page = form.send()
    anew = Page(operator.client.get(page.leads_to))

    assert page.leads_to != form.path
    assert "Nothing was sent" in anew.text
    assert "acme changed from PASSIVE to FAILOVER" in anew.text
    assert "jonas.weber" in anew.text
    events = ["change.prepared", "change.refused_stale", "change.expired"]
    assert_no_post(form.change, simulator, *events, status="EXPIRED")


def test_row_54_expired_form_leads_to_a_new_preview_and_keeps_what_was_typed(
    simulator: Simulator, operator: Browser, settings: Settings, time_machine: Any
) -> None:
    form = operator.preview()
    time_machine.move_to(later(settings.PREVIEW_SECONDS + 1))

    page = form.send()

    anew = operator.client.get(page.leads_to).content.decode()
    assert "Nothing was sent: the preview had expired" in anew
    assert REASON in anew
    assert story(form.change) == ["change.prepared", "change.refused_token", "change.expired"]
    assert simulator.posts == []


def test_row_54_edited_token_leads_to_a_new_preview(simulator: Simulator, operator: Browser) -> None:
    form = operator.preview()

    page = form.send(token=form.fields["token"][::-1])

    assert "the form was not the one of this preview" in Page(operator.client.get(page.leads_to)).text
    assert "change.refused_token" in story(form.change)
    assert simulator.posts == []


def test_row_54_other_session_of_the_same_person_leads_to_a_new_preview(
    simulator: Simulator, operator: Browser
) -> None:
    form, elsewhere = operator.preview(), Browser(email=operator.email)

    page = form.send(by=elsewhere)

    assert "made under another sign-in" in Page(elsewhere.client.get(page.leads_to)).text
    assert "change.refused_token" in story(form.change)
    assert simulator.posts == []


def test_row_54_form_of_somebody_else_is_refused(simulator: Simulator, operator: Browser, other: Browser) -> None:
    form = operator.preview()

    page = form.send(by=other)

    assert page.code == 403
    assert_no_post(form.change, simulator, "change.prepared", "authz.denied", status="PREPARED")


@pytest.mark.parametrize(
    "over", [{"target_status": "ACTIVE"}, {"request": "{}"}, {"organization": "acme-dr"}, {"url": "https://a.example"}]
)
def test_row_54_fields_that_the_form_has_not_change_nothing(
    over: dict[str, Any], simulator: Simulator, operator: Browser
) -> None:
    form = operator.preview()

    form.send(**over)

    assert [post.body.decode() for post in simulator.posts] == [form.change.request]
    assert simulator.posts[0].organization == "acme"


def test_row_55_form_that_comes_back_with_the_back_button_sends_nothing(
    simulator: Simulator, operator: Browser
) -> None:
    form = operator.preview()
    shown = operator.client.get(form.path)
    form.send()

    again = operator.client.get(form.path)
    page = form.send()

    assert shown["Cache-Control"] == "no-store"
    assert (again.status_code, again["Location"]) == (302, page_of(form.change))
    assert page.leads_to == page_of(form.change)
    assert page.headers["Cache-Control"] == "no-store"
    assert_sent(form.change, simulator, *VERIFIED, status="VERIFIED")


# --- rows 57 and 58 ---------------------------------------------------------------------------------------------


def test_row_57_unknown_outcome_is_resolved_with_a_reason_and_then_a_new_change_is_possible(
    simulator: Simulator, operator: Browser, other: Browser
) -> None:
    simulator.set_fault("acme", "drop_before", verb="POST")
    form = operator.preview()
    form.send()
    simulator.set_fault("acme", None)
    blocked = other.preview()

    refused = blocked.send()

    assert refused.code == 409
    assert "Not sent" in refused.text
    assert other.end(form.change, "resolve", reason=" ").code == 422
    assert fresh(form.change).status == "UNKNOWN"

    assert other.end(form.change, "resolve", reason="The region burns").leads_to == page_of(form.change)
    page = other.preview().send()

    assert "reads back FAILOVER" in Page(other.client.get(page.leads_to)).text
    assert story(form.change)[-1] == "change.resolved_by_operator"
    assert fresh(form.change).status == "RESOLVED"
    assert len(simulator.posts) == 2


def test_row_58_nobody_approves_a_change_of_their_own_on_the_pages(simulator: Simulator, operator: Browser) -> None:
    Organization.objects.update(requires_approval=True)
    form = operator.preview()
    form.send()
    Person.objects.update(role=Role.APPROVER)

    page = operator.end(form.change, "approve", typed_name="acme")

    assert page.code == 403
    events = ["change.prepared", "change.approval_asked", "approval.refused_self"]
    assert_no_post(form.change, simulator, *events, status="AWAITING_APPROVAL")

    Person.objects.update(role=Role.OPERATOR)
    Browser(Role.APPROVER).end(form.change, "approve", typed_name="acme")

    assert fresh(form.change).status == "VERIFIED"
    assert len(simulator.posts) == 1
