"""Role × URL × method, from the table that the views themselves are driven by."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import URLPattern, get_resolver, path, reverse

from hamr_portal import urls
from hamr_portal.checks import views
from hamr_portal.domain.people import Action, Role, may
from hamr_portal.models import Person
from hamr_portal.web.access import PUBLIC, access_of
from tests import factories

from .conftest import SignIn, pk_for, recorded

ROUTES = {str(route.name): route for route in get_resolver().url_patterns if isinstance(route, URLPattern)}
POST_ONLY = {
    "organizations_verify",
    "organization_refresh",
    "organization_verify",
    "organization_disable",
    "organization_enable",
    "pair_rename",
    "theme",
    *("change_cancel", "change_approve", "change_decline", "change_skip_approval", "change_resolve"),
    *("change_read", "change_again", "change_seen", "outside_acknowledge"),
    *("audit_verify", "audit_adopt"),
}
GET_ONLY = {
    *("dashboard", "dashboard_live", "organizations", "organization", "changes", "change"),
    *("audit", "audit_entry", "audit_export"),
}
WHO: list[Role | str | None] = ["anonymous", None, *Role]

pytestmark = pytest.mark.django_db


def address(name: str) -> str:
    primary, _ = factories.pair()
    arguments: dict[str, Any] = {}
    route = str(ROUTES[name].pattern)
    if "<slug:name>" in route:
        arguments["name"] = primary.name
    if "<int:pk>" in route:
        arguments["pk"] = pk_for(route, primary)
    if "<int:seq>" in route:
        arguments["seq"] = recorded()
    query = "?format=csv" if name == "audit_export" else ""
    return reverse(name, kwargs=arguments) + query


def browser(who: Role | str | None, signed_in: SignIn) -> Client:
    return Client() if who == "anonymous" else signed_in(Role(who) if who else None)


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
    who: Role | str | None, method: str, signed_in: SignIn, settings: Any
) -> None:
    client = browser(who, signed_in)
    settings.ROOT_URLCONF = Forgetful

    response = getattr(client, method)("/forgotten/")

    assert response.status_code == 403
    assert "what nobody said" not in response.content.decode()


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("name", list(ROUTES))
def test_only_roles_of_the_table_reach_a_view(
    name: str, who: Role | str | None, method: str, signed_in: SignIn, simulator: object
) -> None:
    access = access_of(ROUTES[name].callback)
    anonymous = who == "anonymous"
    client = browser(who, signed_in)
    page = address(name)

    response = getattr(client, method)(page)

    to_sign_in = response.status_code == 302 and response["Location"].startswith(f"{reverse('account_login')}?next=")
    if access == PUBLIC:
        assert response.status_code != 403
    elif anonymous:
        assert to_sign_in
    elif may(Role(who) if who else None, Action(str(access))):
        assert response.status_code in (200, 302, 405, 422)
        assert not to_sign_in
    else:
        assert response.status_code == 403


def _action(name: str) -> Action:
    access = access_of(ROUTES[name].callback)
    return Action.SEE_STATUS if access == PUBLIC else Action(str(access))


@pytest.mark.parametrize("name", sorted(POST_ONLY))
def test_what_changes_something_refuses_get(name: str, signed_in: SignIn) -> None:
    may_reach = next(role for role in [Role.ADMIN, *Role] if may(role, _action(name)))
    client = signed_in(may_reach)

    response = client.get(address(name))

    assert response.status_code == 405


@pytest.mark.parametrize("name", sorted(GET_ONLY))
def test_what_only_shows_refuses_post(name: str, admin: Client) -> None:
    response = admin.post(address(name))

    assert response.status_code == 405


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
