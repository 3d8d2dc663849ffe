"""Who is refused at the door, and what is put on the record of that? Row 56, through the pages."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Organization, Person
from hamr_portal.simulator import Simulator

from . import database
from .browsers import Browser
from .stories import assert_no_post


def denied() -> list[tuple[str, str, str]]:
    rows = AuditEntry.objects.filter(event="authz.denied").order_by("seq")
    return list(rows.values_list("actor_name", "actor_role", "outcome"))


def test_row_56_role_that_was_revoked_since_the_page_is_refused_and_recorded(
    simulator: Simulator, operator: Browser
) -> None:
    form = operator.preview()
    Person.objects.update(role=Role.VIEWER)

    page = form.send()

    assert page.code == 403
    assert "Needs: operator or admin" in page.text
    assert denied() == [(operator.email, "VIEWER", "CHANGE_STATUS")]
    assert_no_post(form.change, simulator, "change.prepared", "authz.denied", status="PREPARED")


def test_row_56_person_who_was_disabled_since_the_page_has_to_sign_in_and_is_recorded(
    simulator: Simulator, operator: Browser
) -> None:
    form = operator.preview()
    Person.objects.update(is_active=False)

    page = form.send()

    assert page.leads_to.startswith(reverse("account_login"))
    assert denied() == [(operator.email, "OPERATOR", "CHANGE_STATUS")]
    assert_no_post(form.change, simulator, "change.prepared", "authz.denied", status="PREPARED")


def test_row_56_visit_of_a_page_is_refused_and_not_recorded(operator: Browser) -> None:
    path = reverse("change_new", args=["acme"])
    viewer = Browser(Role.VIEWER)

    visit, try_it = viewer.client.get(path), viewer.client.post(path, {"target_status": "FAILOVER"})

    assert (visit.status_code, try_it.status_code) == (403, 403)
    assert denied() == [(viewer.email, "VIEWER", "CHANGE_STATUS")]


def test_row_56_somebody_who_never_signed_in_is_not_recorded(acme: Organization) -> None:
    came = Client().post(reverse("change_new", args=["acme"]), {"target_status": "FAILOVER"})

    assert came.status_code == 302
    assert denied() == []


def test_rows_43_and_56_refusal_stays_one_where_it_cannot_be_recorded(
    simulator: Simulator, operator: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    form = operator.preview()
    Person.objects.update(role=Role.VIEWER)
    database.impatient()

    with database.Lock():
        page = form.send()

    assert page.code == 403
    assert "Needs: operator or admin" in page.text
    assert any("audit.write_failed: authz.denied" in record.getMessage() for record in caplog.records)
    assert denied() == []
