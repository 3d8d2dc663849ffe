"""Role × URL × method, from the table that the views themselves are driven by."""

from __future__ import annotations

import logging
import re
from http.cookies import SimpleCookie
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import get_resolver, path, reverse

from hamr_portal import urls
from hamr_portal.checks import views
from hamr_portal.domain.people import Role
from hamr_portal.management.role_drawing import METHODS, Page, pages
from hamr_portal.models import Person
from hamr_portal.web.access import access_of
from tests import factories

from .conftest import SignIn, pk_for, recorded

Who = Role | str | None
WHO: list[Who] = ["anonymous", "disabled", "superuser", None, *Role]
"""Everybody who may ask: also an admin who was disabled since, and one without a role whom Django calls superuser."""

ASKED = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")

pytestmark = pytest.mark.django_db


def browser(who: Who, signed_in: SignIn) -> Client:
    if who == "anonymous":
        return Client()
    if who == "disabled":
        client = signed_in(Role.ADMIN)
        Person.objects.update(is_active=False)
        return client
    return signed_in(Role(who) if who and who != "superuser" else None)


def test_every_view_declares_its_access() -> None:
    undeclared = [route for route, view in views(get_resolver().url_patterns) if access_of(view) is None]

    assert undeclared == []


def _forgotten(request: HttpRequest) -> HttpResponse:
    return HttpResponse("what nobody said who may see")


class Forgetful:
    """The portal's addresses and one whose view says nothing about who may open it."""

    handler400, handler403 = urls.handler400, urls.handler403
    handler404, handler500 = urls.handler404, urls.handler500
    urlpatterns = [*urls.urlpatterns, path("forgotten/", _forgotten)]


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("who", WHO)
def test_a_view_that_declares_no_access_is_refused_to_everybody(
    who: Who, method: str, signed_in: SignIn, settings: Any
) -> None:
    client = browser(who, signed_in)
    settings.ROOT_URLCONF = Forgetful

    response = getattr(client, method)("/forgotten/")

    assert response.status_code == 403
    assert "what nobody said" not in response.content.decode()


# --- role, address and method -----------------------------------------------------------------------------------


def cells() -> list[tuple[Who, Page, str]]:
    """Give every cell of the matrix: who asks, for which page, by which method."""
    return [(who, page, method) for who in WHO for page in pages() for method in ASKED]


def expected(who: Who, page: Page, method: str) -> str:
    """Give what the one table says of a cell."""
    if method not in METHODS:
        return "wrong method"
    if not page.is_public:
        if who in ("anonymous", "disabled"):
            return "to the sign-in" if not page.scope else "without a token"
        if not page.is_for(Role(who) if who and who != "superuser" else None):
            return "not allowed"
    return "reached" if method in page.methods else "wrong method"


def came(response: Any) -> str:
    """Give what a cell came to."""
    if response.status_code == 302 and response["Location"].startswith(f"{reverse('account_login')}?next="):
        return "to the sign-in"
    if response.status_code == 302 and response["Location"].startswith(f"{reverse('account_reauthenticate')}?next="):
        return "asked to sign in again"  # everybody here has just done so
    of_a_view = {
        401: "without a token",
        200: "reached",
        302: "reached",
        404: "reached",
        422: "reached",
        403: "not allowed",
        405: "wrong method",
    }
    return of_a_view.get(response.status_code, f"HTTP {response.status_code}")


def addresses() -> dict[str, str]:
    """Give an address of each page at which there is something."""
    primary, _ = factories.pair()
    entry = recorded()
    numbers: dict[str, int | None] = {}
    found = {}
    for page in pages():
        arguments: dict[str, Any] = {}
        if "<slug:name>" in page.route:
            arguments["name"] = primary.name
        if "<int:pk>" in page.route:
            kind = page.route.partition("<")[0] if "outside" in page.route else page.route.partition("/")[0]
            if kind not in numbers:
                numbers[kind] = pk_for(page.route, primary)
            arguments["pk"] = numbers[kind]
        if "<int:seq>" in page.route:
            arguments["seq"] = entry
        found[page.name] = reverse(page.name, kwargs=arguments) + ("?format=csv" if page.name == "audit_export" else "")
    return found


@pytest.mark.parametrize("who", WHO)
def test_every_cell_is_what_the_table_says(
    who: Who,
    signed_in: SignIn,
    simulator: object,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)  # thousands of refusals are no news here, and cost time
    client = browser(who, signed_in)
    client.raise_request_exception = False
    client.defaults["REMOTE_ADDR"] = "203.0.113.7"  # not this machine, whose programs may read the metrics
    if who == "superuser":
        call_a_superuser(Person.objects.get(), monkeypatch)
    at, cookies = addresses(), client.cookies.output(header="", sep=";")
    mine = [(page, method) for whose, page, method in cells() if whose == who]
    wrong = []

    for page, method in mine:
        client.cookies = SimpleCookie(cookies)
        before = transaction.savepoint()
        response = client.generic(method, at[page.name])
        transaction.savepoint_rollback(before)  # what one request does, the next one does not see
        if came(response) != expected(who, page, method):
            wrong.append(f"{method} {at[page.name]}: {came(response)}, not {expected(who, page, method)}")

    print(f"{len(mine)} of {len(cells())} cells: {who}")  # noqa: T201 - seen with -rP
    assert wrong == []
    assert len(mine) == len(pages()) * len(ASKED)


def call_a_superuser(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give somebody all that Django's own permissions know of: attributes, a group, every permission there is."""
    everything = Permission.objects.all()
    Group.objects.create(name="admins").permissions.set(everything)
    assert everything.exists()
    for name in ("is_superuser", "is_staff"):
        monkeypatch.setattr(Person, name, True, raising=False)
    for name in ("has_perm", "has_perms", "has_module_perms"):
        monkeypatch.setattr(Person, name, lambda *_: True, raising=False)
    assert person.has_perm("anything")  # type: ignore[attr-defined]


def test_no_two_words_of_django_stand_for_a_role() -> None:
    fields = {field.name for field in Person._meta.get_fields()}

    assert not fields & {"is_superuser", "is_staff", "groups", "user_permissions"}
    assert not apps.is_installed("django.contrib.admin")
    assert [page.route for page in pages() if page.route.startswith("admin")] == []


def test_a_refusal_says_which_role_is_needed(viewer: Client) -> None:
    response = viewer.get(reverse("organizations"))

    assert response.status_code == 403
    assert "admin" in response.content.decode()


SIGNED_OUT = "you were signed out"


@pytest.mark.parametrize(
    ("came_from", "sentence"),
    [
        ("/changes/7/confirm/", "Nothing was sent: you were signed out. Next: sign in, then confirm again."),
        ("/changes/7/", "Nothing was sent: you were signed out. Next: sign in, then do it again."),
        ("/organizations/acme/", "Nothing was done: you were signed out. Next: sign in, then do it again."),
    ],
)
def test_a_form_that_came_after_the_sign_out_is_told_that_nothing_was_done(
    client: Client, came_from: str, sentence: str
) -> None:
    response = client.post("/changes/7/confirm/", headers={"referer": f"http://testserver{came_from}"}, follow=True)
    address = response.redirect_chain[-1][0]
    wrong = client.post(address, {"login": "x@halden.example", "password": "no", "next": came_from})

    assert sentence in words(response)
    assert f'action="{reverse("account_login")}?done=nothing"' in response.content.decode()
    assert f'action="{reverse("account_login")}?done=nothing"' in wrong.content.decode()


def test_a_page_that_was_only_opened_is_told_nothing(client: Client) -> None:
    response = client.get("/changes/7/confirm/", follow=True)

    assert SIGNED_OUT not in words(response)


@pytest.mark.parametrize("query", ["done=everything", "done=<b>nothing", "done="])
def test_no_other_words_reach_the_sign_in_page(client: Client, query: str) -> None:
    response = client.get(f"{reverse('account_login')}?next=/changes/7/confirm/&{query}")

    assert SIGNED_OUT not in words(response)
    assert "everything" not in words(response)


def words(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]*>", "", response.content.decode()).split())


def test_somebody_who_was_disabled_is_out_at_once(viewer: Client) -> None:
    person = Person.objects.get()
    person.is_active = False
    person.save()

    response = viewer.get(reverse("dashboard"))

    assert response.status_code == 302
