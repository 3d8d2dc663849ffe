"""Freezes as people meet them: the banner, the page, and the form that breaks one."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Change, Freeze, Organization
from hamr_portal.services import freezes, people
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing
from tests.web.conftest import SignIn
from tests.web.test_changes import confirm_url, page, previewed, shown, typed

pytestmark = pytest.mark.django_db

BREAK = {"break_freeze": "on", "break_reason": "The region is dark"}
FROZEN = "Changes are frozen until"


@pytest.fixture
def operator(signed_in: SignIn) -> Client:
    return signed_in(Role.OPERATOR)


@pytest.fixture
def acme(simulator: Simulator) -> Simulator:
    """A pair that is PASSIVE, of which `acme-dr` is changed."""
    changing.connected(simulator)
    return simulator


def at(hours: float) -> str:
    return f"{timezone.now() + timedelta(hours=hours):%Y-%m-%dT%H:%M}"


def begin(admin: Client, **over: str) -> Any:
    return admin.post(reverse("freeze_new"), {"reason": "Quarter end", "ends_at": at(2)} | over)


# --- banner and page --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_everybody_sees_on_every_page_what_is_frozen_by_whom_until_when_and_why(role: Role, signed_in: SignIn) -> None:
    factories.pair()
    changing.frozen(by=changing.admin(email="tomas@halden.example"))
    client = signed_in(role)

    for route in ("dashboard", "dashboard_live", "changes", "freezes", "mfa_index"):
        shown = page(client.get(reverse(route)))
        assert FROZEN in shown, route
        assert "by tomas: “Quarter end”" in shown, route
        assert "A new change goes out only by breaking the freeze" in shown, route


def test_a_page_costs_no_query_more_than_before_while_nothing_is_frozen(
    viewer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    factories.pair()

    with django_assert_max_num_queries(6):
        shown = page(viewer.get(reverse("dashboard_live")))

    assert FROZEN not in shown


def test_an_admin_freezes_changes_and_ends_that(admin: Client) -> None:
    begun = begin(admin)

    assert begun["Location"] == reverse("freezes")
    freeze = Freeze.objects.get()
    assert (freeze.reason, freeze.begun_by) == ("Quarter end", "admin@halden.example")
    assert "In force" in page(admin.get(reverse("freezes")))

    admin.post(reverse("freeze_end", args=[freeze.pk]))

    shown = page(admin.get(reverse("freezes")))
    assert "Changes go out as usual." in shown
    assert "Nothing is frozen" in shown
    assert "ended early by admin" in shown


def test_a_freeze_that_is_over_is_not_ended_again(admin: Client) -> None:
    begin(admin)
    end = reverse("freeze_end", args=[Freeze.objects.get().pk])
    admin.post(end)

    response = admin.post(end, follow=True)

    assert "Nothing was done: that freeze is over already." in page(response)


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"reason": ""}, "Say why, in a few words"),
        ({"ends_at": "tomorrow"}, "Say when it ends, in UTC"),
        ({"ends_at": "2020-01-01T00:00"}, "That moment has passed. Times are UTC."),
        ({"ends_at": "2099-01-01T00:00"}, "At most 30 days from now."),
        ({"reason": "key 0123456789abcdef0123456789abcdef"}, "This looks like a key"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_the_text_is_kept(
    over: dict[str, str], sentence: str, admin: Client
) -> None:
    response = begin(admin, **over)

    body = response.content.decode()
    assert response.status_code == 422
    assert "Not begun" in body
    assert sentence in page(response)
    assert all(text in body for text in over.values())
    assert not Freeze.objects.exists()


def test_a_second_freeze_is_not_begun_and_its_text_is_kept(admin: Client) -> None:
    begin(admin)

    response = begin(admin, reason="Release weekend")

    assert response.status_code == 409
    assert "Not begun: changes are frozen already. Next: end that freeze first." in page(response)
    assert "Release weekend" in response.content.decode()


def test_a_freeze_asks_for_a_fresh_sign_in_and_keeps_what_was_typed(admin: Client) -> None:
    session = admin.session
    session["account_authentication_methods"] = [{"method": "password", "at": 0, "email": "admin@halden.example"}]
    session.save()

    response = begin(admin)

    assert response["Location"].startswith(reverse("account_reauthenticate"))
    assert not Freeze.objects.exists()
    assert "Quarter end" in admin.get(reverse("freeze_new")).content.decode()


def test_whose_role_was_taken_away_meanwhile_is_refused(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(admin)
    ends = reverse("freeze_end", args=[Freeze.objects.get().pk])

    def too_late(*_: Any, **__: Any) -> None:
        raise people.NotAllowed("Needs: admin.")

    for name in ("begin", "end"):
        monkeypatch.setattr(freezes, name, too_late)

    assert begin(admin).status_code == 403
    assert admin.post(ends).status_code == 403


# --- the change -------------------------------------------------------------------------------------------------


def test_a_preview_of_before_is_refused_with_the_reason_and_its_text_is_kept(acme: Simulator, operator: Client) -> None:
    change = previewed(operator)
    changing.frozen()

    response = operator.post(confirm_url(change), typed(change, reason="us1 does not answer"))

    body = page(response)
    assert response.status_code == 409
    assert "Not sent: changes are frozen" in body
    assert "Quarter end" in body
    assert "us1 does not answer" in response.content.decode()
    assert "Break the freeze: it cannot wait. Every admin is told." in body
    assert acme.posts == []


def test_the_form_breaks_a_freeze_with_its_tick_and_reason(acme: Simulator, operator: Client) -> None:
    changing.frozen()
    change = previewed(operator)
    assert "Break the freeze. Set acme-dr to FAILOVER" in shown(operator, change)

    operator.post(confirm_url(change), typed(change, **BREAK))

    assert len(acme.posts) == 1
    assert AuditEntry.objects.get(event="freeze.broken").reason == BREAK["break_reason"]
    for route, arguments in (("change", [change.pk]), ("changes", []), ("freezes", [])):
        told = page(operator.get(reverse(route, args=arguments)))
        assert "Broke the freeze" in told or "broke the freeze" in told or "acme-dr to FAILOVER" in told


def test_a_tick_without_a_reason_is_said_beside_the_field(acme: Simulator, operator: Client) -> None:
    changing.frozen()
    change = previewed(operator)

    response = operator.post(confirm_url(change), typed(change, **BREAK | {"break_reason": ""}))

    assert response.status_code == 422
    assert "Say why it cannot wait until the freeze is over." in page(response)
    assert acme.posts == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("x" * 2001, "At most 2000 characters; these are 2001."), ("0123456789abcdef" * 2, "This looks like a key")],
)
def test_a_reason_that_does_not_do_is_said_and_kept(
    text: str, sentence: str, acme: Simulator, operator: Client
) -> None:
    changing.frozen()
    change = previewed(operator)

    response = operator.post(confirm_url(change), typed(change, **BREAK | {"break_reason": text}))

    assert sentence in page(response)
    assert text in response.content.decode()


def test_reading_again_keeps_what_was_typed_to_break_the_freeze(acme: Simulator, operator: Client) -> None:
    changing.frozen()
    change = previewed(operator)

    response = operator.post(confirm_url(change), typed(change, **BREAK, again="1"), follow=True)

    assert BREAK["break_reason"] in response.content.decode()
    assert 'name="break_freeze" checked' not in response.content.decode()


def test_nothing_about_a_freeze_is_asked_for_while_there_is_none(acme: Simulator, operator: Client) -> None:
    change = previewed(operator)

    assert "break_freeze" not in operator.get(confirm_url(change)).content.decode()


def test_a_waiting_change_says_that_it_is_frozen_and_is_not_approved(acme: Simulator, signed_in: SignIn) -> None:
    approver = signed_in(Role.APPROVER)
    change = changing.waiting(Organization.objects.get(name="acme-dr"))
    url = reverse("change", args=[change.pk])
    changing.frozen()
    assert "This was asked for without breaking that freeze" in page(approver.get(url))

    response = approver.post(reverse("change_approve", args=[change.pk]), {"typed_name": "acme-dr"})

    assert response.status_code == 409
    assert "Changes are frozen. Nothing was sent." in page(response)
    assert "acme-dr" in response.content.decode()
    assert acme.posts == []


def test_who_approves_is_told_that_it_breaks_the_freeze(acme: Simulator, signed_in: SignIn) -> None:
    approver = signed_in(Role.APPROVER)
    Organization.objects.update(requires_approval=True)
    changing.frozen()
    made = changing.prepared(Organization.objects.get(name="acme-dr"))
    change: Change = changing.confirmed(made, break_freeze=True, break_reason="The region is dark")

    told = page(approver.get(reverse("change", args=[change.pk])))

    assert "operator breaks the freeze with this The region is dark" in told


def test_every_other_admin_is_told_on_each_page_until_they_say_that_they_saw_it(
    acme: Simulator, operator: Client, admin: Client
) -> None:
    changing.frozen()
    change = previewed(operator)
    operator.post(confirm_url(change), typed(change, **BREAK))

    told = page(admin.get(reverse("dashboard")))

    assert "operator@halden.example broke the freeze: acme-dr to FAILOVER, “The region is dark”." in told
    assert f"Change {change.pk}" in told


def test_an_evidence_pack_says_that_a_freeze_was_broken_and_why(
    acme: Simulator, operator: Client, admin: Client
) -> None:
    changing.frozen()
    change = previewed(operator)
    operator.post(confirm_url(change), typed(change, **BREAK))

    pack = admin.get(reverse("evidence_pack"), {"change": str(change.pk)})

    told = " ".join(re.sub(r"<[^>]*>", " ", pack.getvalue().decode()).split())
    assert "Freeze broken : The region is dark" in told
    assert "Freeze broken The region is dark" in told
