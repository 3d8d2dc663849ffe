"""A page's refresh of itself: 304 while it shows what it would get, and the page as soon as anything of it differs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import time_machine
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.models import F
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.people import Role
from hamr_portal.models import Drill, Organization, Pair, Person, Snapshot, Worker
from hamr_portal.services import changes, organizations, pairs, people
from hamr_portal.web import refreshes
from tests import factories
from tests.open_changes import opened
from tests.services import changing, practising

from .conftest import SignIn

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 3, 8, 20, tzinfo=UTC)
PAGES = ["dashboard", "organization", "change", "changes", "drill", "drills"]


@pytest.fixture(autouse=True)
def clock(time_machine: time_machine.TimeMachineFixture) -> time_machine.TimeMachineFixture:
    """Let no minute pass by itself."""
    time_machine.move_to(NOW, tick=False)
    return time_machine


@pytest.fixture
def waiting() -> None:
    """Save a pair that was read nine seconds ago, with a change that waits, and a worker that is at work."""
    _, secondary = factories.pair(at=NOW - timedelta(seconds=9))
    Snapshot.objects.update(due_at=NOW + timedelta(seconds=21))
    opened(secondary, ChangeStatus.AWAITING_APPROVAL)
    Worker.objects.create(name="here:1", started_at=NOW, seen_at=NOW)


def address(page: str) -> str:
    if page == "organization":
        return reverse("organization", kwargs={"name": "halden-checkout-dr"})
    if page == "change":
        change = Organization.objects.get(name="halden-checkout-dr").changes.get()
        return reverse("change", kwargs={"pk": change.pk})
    if page == "drill":
        drill = Drill.objects.first() or practising.begun()
        return reverse("drill", kwargs={"pk": drill.pk})
    return reverse("dashboard_live" if page == "dashboard" else page)


def ask(client: Client, where: str, validator: str = "") -> Any:
    headers = {"HX-Request": "true"} | ({"If-None-Match": validator} if validator else {})
    return client.get(where, headers=headers)


def validator(client: Client, where: str = "/live/") -> str:
    ask(client, where)  # a browser's first visit brings the token of its forms
    response = ask(client, where)
    assert response.status_code == 200
    return str(response["ETag"])


@pytest.mark.parametrize("page", PAGES)
def test_an_unchanged_page_costs_a_304_without_a_body(page: str, waiting: None, viewer: Client) -> None:
    known = validator(viewer, address(page))

    response = ask(viewer, address(page), known)

    assert response.status_code == 304
    assert response.content == b""
    assert response["Cache-Control"] == "no-store"
    assert response["ETag"] == known


def test_a_304_says_the_moment_and_when_a_worker_was_seen_so_that_no_age_is_false(
    waiting: None, viewer: Client, clock: time_machine.TimeMachineFixture
) -> None:
    known = validator(viewer)
    later = NOW + timedelta(seconds=10)
    Worker.objects.update(seen_at=later - timedelta(seconds=1))
    clock.move_to(later, tick=False)

    response = ask(viewer, "/live/", known)

    assert response.status_code == 304
    assert datetime.fromisoformat(response[refreshes.NOW]) == later
    assert datetime.fromisoformat(response[refreshes.READ_AT]) == later - timedelta(seconds=1)


def test_of_a_dashboard_on_which_all_was_read_again_only_the_ages_come_back(waiting: None, viewer: Client) -> None:
    known = validator(viewer)
    Snapshot.objects.update(repeats=F("repeats") + 1, answered_at=NOW - timedelta(seconds=1))

    response = ask(viewer, "/live/", known)

    assert response.status_code == 304
    assert response[refreshes.AGES] == "0101"


@pytest.mark.parametrize("page", ["organization", "change"])
def test_a_reading_makes_the_pages_new_that_show_all_of_it(page: str, waiting: None, viewer: Client) -> None:
    known = validator(viewer, address(page))
    Snapshot.objects.update(repeats=F("repeats") + 1, answered_at=NOW)

    assert ask(viewer, address(page), known).status_code == 200


def test_each_age_that_is_told_is_of_the_view_at_that_place(waiting: None, viewer: Client) -> None:
    factories.pair("halden-a", "halden-z", sites=("us3", "eu1"), at=NOW - timedelta(seconds=40))
    keys = list(Snapshot.objects.order_by("pk").values_list("organization__name", flat=True))

    shown = ask(viewer, "/live/").content.decode()

    places = re.findall(r'id="side-([a-z-]+)".*?data-place="(\d+)"', shown, re.DOTALL)
    assert {name: int(place) for name, place in places} == {name: keys.index(name) for name in keys}


def test_where_no_worker_ever_ran_nothing_is_said_of_it(waiting: None, viewer: Client) -> None:
    Worker.objects.all().delete()

    response = ask(viewer, "/live/")

    assert response[refreshes.READ_AT] == ""


def go_dark() -> None:
    Snapshot.objects.filter(organization__name="halden-checkout").update(
        outcome=ReadOutcome.NO_ANSWER, attempt_failed=True, repeats=3, outcome_since=NOW
    )


def change_a_role() -> None:
    by = changing.admin(email=factories.person(Role.ADMIN).email)
    people.change_role(Person.objects.get(role=Role.VIEWER), Role.AUDITOR, was=Role.VIEWER, by=by)


def rename() -> None:
    pairs.rename(Pair.objects.get(name="Checkout"), "Till", by=factories.ADMIN)


def cancel() -> None:
    change = Organization.objects.get(name="halden-checkout-dr").changes.select_related("organization").get()
    changes.cancel(change, by=changing.operator(email=change.author.email))


@pytest.mark.parametrize(
    "happens",
    [
        go_dark,
        cancel,
        rename,
        change_a_role,
        lambda: organizations.disable(factories.organization("halden-new"), by=factories.ADMIN),
        lambda: Worker.objects.update(seen_at=NOW - timedelta(minutes=5)),
    ],
    ids=["a verdict", "a change", "a name", "a role", "an organization", "a late worker"],
)
@pytest.mark.parametrize("page", PAGES)
def test_what_happens_makes_the_page_new(
    page: str, happens: Callable[[], object], waiting: None, viewer: Client
) -> None:
    known = validator(viewer, address(page))

    happens()
    response = ask(viewer, address(page), known)

    assert response.status_code == 200
    assert response["ETag"] != known
    assert response.content


@pytest.mark.parametrize("page", PAGES)
def test_a_view_that_is_no_longer_the_present_makes_the_page_new(
    page: str, waiting: None, viewer: Client, clock: time_machine.TimeMachineFixture
) -> None:
    Snapshot.objects.update(answered_at=NOW - timedelta(seconds=115))
    known = validator(viewer, address(page))
    clock.move_to(NOW + timedelta(seconds=6), tick=False)

    response = ask(viewer, address(page), known)

    assert response.status_code == 200
    assert "last known" in response.content.decode() or page in ("changes", "drill", "drills")


@pytest.mark.parametrize("query", ["?show=action", "?q=fleet", "?site=us1", "?status=ACTIVE"])
def test_a_validator_is_of_one_filter_alone(query: str, waiting: None, viewer: Client) -> None:
    known = validator(viewer)

    assert ask(viewer, f"/live/{query}", known).status_code == 200


def test_a_validator_is_of_one_person_one_session_one_theme_and_one_form_token(
    waiting: None, signed_in: SignIn
) -> None:
    client = signed_in(Role.OPERATOR)
    known = [validator(client)]
    client.cookies["theme"] = "dark"
    known.append(validator(client))
    client.cookies["csrf"] = "x" * 32
    known.append(validator(client))
    session = client.session
    session["step_up"] = {"path": "/"}
    session.save()
    known.append(validator(client))
    client.force_login(Person.objects.get(role=Role.OPERATOR, email__startswith="operator"))
    known.append(validator(client))
    known.append(validator(signed_in(Role.ADMIN)))

    assert all(one != other for one, other in pairwise(known))
    assert len(set(known)) == len(known)


def test_that_somebody_is_active_makes_no_page_new(
    waiting: None, viewer: Client, clock: time_machine.TimeMachineFixture
) -> None:
    session = viewer.session
    known = validator(viewer)
    session["seen"] = NOW.timestamp() + 1
    session.save()

    assert ask(viewer, "/live/", known).status_code == 304


def test_another_release_makes_every_page_new(waiting: None, viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    known = validator(viewer)
    monkeypatch.setattr(refreshes, "_release", lambda: "another")

    assert ask(viewer, "/live/", known).status_code == 200


def test_a_visit_is_answered_in_full_and_never_with_a_304(waiting: None, viewer: Client) -> None:
    where = address("organization")
    known = validator(viewer, where)

    response = viewer.get(where, headers={"If-None-Match": known})

    assert response.status_code == 200
    assert "ETag" not in response


def test_a_validator_lets_nobody_past_the_sign_in(waiting: None, viewer: Client) -> None:
    known = validator(viewer)
    Session.objects.all().delete()

    response = ask(viewer, "/live/", known)

    assert response.status_code == 302
    assert SESSION_KEY not in viewer.session


def test_an_unchanged_page_costs_fewer_queries_than_the_page(waiting: None, viewer: Client) -> None:
    known = validator(viewer)
    with CaptureQueriesContext(connection) as whole:
        ask(viewer, "/live/")

    with CaptureQueriesContext(connection) as unchanged:
        response = ask(viewer, "/live/", known)

    assert response.status_code == 304
    assert len(unchanged) == 5  # the session, the person, and the version: the record, the readings, the workers
    assert len(whole) == 7
