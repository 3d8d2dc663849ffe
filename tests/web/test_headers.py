from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import get_resolver, path, reverse

from hamr_portal import urls
from hamr_portal.checks import views
from hamr_portal.domain.people import Role
from hamr_portal.simulator import Simulator
from hamr_portal.web.access import public
from tests import factories

from .conftest import pk_for, recorded

pytestmark = pytest.mark.django_db

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
POLICY = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
}
ROUTES = [route for route, _ in views(get_resolver().url_patterns)]


class Page(HTMLParser):
    """A page, looked through for what the policy forbids and for forms without a token."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.faults = text, list[str]()
        self.elements = 0
        self._posts: list[tuple[str, bool]] = []
        self._in_script = False
        self.feed(text)
        self.close()
        self.faults += [f"no token: {action}" for action, has_token in self._posts if not has_token]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.elements += 1
        self._in_script = tag == "script"
        self.faults += [
            f"<{tag} {name}>"
            for name, value in given.items()
            if name == "style" or name.startswith("on") or value.strip().lower().startswith("javascript:")
        ]
        if tag in ("style", "base", "iframe", "object", "embed"):
            self.faults.append(f"<{tag}>")
        if tag == "script" and not given.get("src", "").startswith("/static/"):
            self.faults.append(f"<script src={given.get('src')}>")
        if tag == "form" and given.get("method", "").lower() == "post":
            self._posts.append((given.get("action", ""), False))
        if tag == "input" and given.get("name") == "csrfmiddlewaretoken" and given.get("value") and self._posts:
            self._posts[-1] = (self._posts[-1][0], True)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = self._in_script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.faults.append(f"inline script: {data.strip()[:40]}")


def hold(response: Any) -> None:
    """Hold an answer against what every answer must carry, and its page against what no page may hold."""
    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    assert {part.strip() for part in response["Content-Security-Policy"].split(";") if part.strip()} == POLICY
    assert response["X-Request-Id"].startswith("e-")
    page = Page(response.content.decode())
    assert page.faults == []
    assert page.elements or response.status_code == 302


def filled(route: str) -> str:
    """Give the address of a route, on an installation where one pair does not agree and one has gone dark."""
    primary, secondary = factories.pair()
    factories.seen(primary, status=4, target_uuid=secondary.uuid, target_name=secondary.name)
    factories.organization("halden-archive")
    address = "/" + route.replace("<slug:name>", primary.name).replace("<int:seq>", str(recorded()))
    return address.replace("<int:pk>", str(pk_for(route, primary))) if "<int:pk>" in route else address


def answers(route: str, *others: int) -> set[int]:
    """Give what an admin may be answered: decisions are for approvers alone, an export is of a format."""
    if route == "audit/export/":
        return {400, 405}
    return {403} if route.endswith(("/approve/", "/decline/")) else {200, 302, 405, *others}


@pytest.mark.parametrize("who", ["admin", "anonymous"])
@pytest.mark.parametrize("route", ROUTES)
def test_every_answer_carries_the_headers_and_no_page_holds_anything_inline(
    route: str, who: str, admin: Client
) -> None:
    address = filled(route)
    client = admin if who == "admin" else Client()

    response = client.get(address)

    assert response.status_code in (answers(route) if who == "admin" else {200, 302, 405})
    hold(response)


@pytest.mark.parametrize("route", ROUTES)
def test_the_same_holds_for_what_is_sent(route: str, admin: Client, simulator: Simulator) -> None:
    address = filled(route)

    response = admin.post(address)

    assert response.status_code in answers(route, 422)
    hold(response)


# --- errors -----------------------------------------------------------------------------------------------------


@public
def _away(request: HttpRequest) -> HttpResponse:
    raise OperationalError("could not connect to server")


@public
def _bug(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a bug")


class Broken:
    """The portal's addresses and two that fail."""

    handler400, handler403 = urls.handler400, urls.handler403
    handler404, handler500 = urls.handler404, urls.handler500
    urlpatterns = [*urls.urlpatterns, path("away/", _away), path("bug/", _bug)]


ERRORS: dict[str, tuple[int, Callable[[Client], Any]]] = {
    "another host": (400, lambda client: client.get("/", headers={"host": "evil.example"})),
    "too many fields": (400, lambda client: client.post("/theme/", {f"field-{n}": "" for n in range(60)})),
    "a role that may not": (403, lambda client: client.get(reverse("organizations"))),
    "a form from elsewhere": (403, lambda _: Client(enforce_csrf_checks=True).post(reverse("account_login"))),
    "no such page": (404, lambda client: client.get("/no-such-page/")),
    "no such organization": (404, lambda client: client.get("/organizations/no-such-one/")),
    "a wrong method": (405, lambda client: client.post("/")),
    "a bug": (500, lambda client: client.get("/bug/")),
    "the database is away": (503, lambda client: client.get("/away/")),
}


@pytest.mark.parametrize("error", list(ERRORS))
def test_error_pages_carry_the_headers_and_hold_nothing_inline(error: str, viewer: Client, settings: Any) -> None:
    settings.ROOT_URLCONF = Broken
    viewer.raise_request_exception = False
    status, cause = ERRORS[error]

    response = cause(viewer)

    assert response.status_code == status
    hold(response)


# --- what they are for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<script src='https://evil.example/x.js'></script>",
        "<style>p{}</style>",
        "<p style='color:red'>",
        "<p onclick='x()'>",
        "<a href=' JavaScript:x()'>",
        "<form method=POST action=/x/></form>",
        "<form method=post><input name=csrfmiddlewaretoken value=a></form><form method=post></form>",
    ],
)
def test_what_must_not_be_on_a_page_would_be_found(text: str) -> None:
    assert Page(text).faults != []


def test_a_form_without_its_token_is_refused() -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(factories.person(Role.ADMIN))
    primary, _ = factories.pair()

    response = strict.post(reverse("organization_disable", kwargs={"name": primary.name}))

    assert response.status_code == 403
    primary.refresh_from_db()
    assert primary.disabled_at is None


def test_an_unknown_host_is_refused(viewer: Client) -> None:
    response = viewer.get(reverse("dashboard"), headers={"host": "evil.example"})

    assert response.status_code == 400
