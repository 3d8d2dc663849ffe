from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
from django.conf import settings as portal
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import get_resolver, path, reverse

from hamr_portal import urls
from hamr_portal.checks import views
from hamr_portal.domain.people import Role
from hamr_portal.models import Person
from hamr_portal.simulator import Simulator
from hamr_portal.web.access import public
from hamr_portal.web.middleware import PERMISSIONS
from tests import factories

from .conftest import pk_for, recorded

pytestmark = pytest.mark.django_db

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": PERMISSIONS,
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


def _leads(attribute: str) -> bool:
    """Tell whether a browser or htmx goes to what an attribute says; in others it is text."""
    return attribute in {"href", "xlink:href", "src", "action", "formaction", "data", "poster"} or "hx-" in attribute


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
            if name == "style"
            or name.startswith("on")
            or (_leads(name) and value.strip().lower().startswith("javascript:"))
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
    # A file to keep is no page: it has its style inside, and a policy of its own for that.
    is_a_file = response.headers.get("Content-Disposition", "").startswith("attachment")
    assert page.faults == (["<style>"] if is_a_file else [])
    assert page.elements or response.status_code == 302 or not response["Content-Type"].startswith("text/html")


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
    if route == "tokens/<int:pk>/revoke/":
        return {302, 405}
    if route.startswith("accounts/sso/"):
        return {302, 404, 405}  # there is none while none is set up
    return {403} if route.endswith(("/approve/", "/decline/")) else {200, 302, 405, *others}


def sso(route: str) -> set[int]:
    return {404} if route.startswith("accounts/sso/") else set()


@pytest.mark.parametrize("who", ["admin", "anonymous"])
@pytest.mark.parametrize("route", ROUTES)
def test_every_answer_carries_the_headers_and_no_page_holds_anything_inline(
    route: str, who: str, admin: Client
) -> None:
    address = filled(route)
    client = admin if who == "admin" else Client()

    response = client.get(address)

    assert response.status_code in (answers(route) if who == "admin" else {200, 302, 401, 405} | sso(route))
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
    "too many fields": (400, lambda client: client.post("/theme/", {f"field-{n}": "" for n in range(201)})),
    "a role that may not": (403, lambda client: client.get(reverse("organizations"))),
    "a form from elsewhere": (403, lambda _: Client(enforce_csrf_checks=True).post(reverse("account_login"))),
    "no such page": (404, lambda client: client.get("/no-such-page/")),
    "no such organization": (404, lambda client: client.get("/organizations/no-such-one/")),
    "a wrong method": (405, lambda client: client.post("/")),
    "too large a form": (413, lambda client: client.post("/theme/", {"theme": "x" * 10_000_000})),
    "a file": (413, lambda client: client.post("/theme/", {"theme": BytesIO(b"x" * 100_000)})),
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


@pytest.mark.parametrize("route", ROUTES)
def test_what_is_sent_without_the_forms_token_is_refused(route: str) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(factories.person(Role.ADMIN))
    address = filled(route)

    response = strict.post(address)

    # What takes no POST at all says so, whoever asks.
    assert response.status_code == 403 or takes_no_post(route, address)
    assert "form is not valid any more" in response.content.decode() or response.status_code != 403


def takes_no_post(route: str, address: str) -> bool:
    client = Client()
    client.force_login(Person.objects.get(role=Role.ADMIN))
    return client.post(address).status_code == 405


def test_no_view_is_exempt_from_the_forms_token() -> None:
    code = list(Path(portal.BASE_DIR, "hamr_portal").rglob("*.py"))

    assert [path.name for path in code if "csrf_exempt" in path.read_text()] == []
    assert [route for route, view in views(get_resolver().url_patterns) if getattr(view, "csrf_exempt", False)] == []


def test_no_template_says_that_a_text_is_safe() -> None:
    unsafe = re.compile(r"\|\s*safe(seq)?\b|autoescape\s+off|mark_safe|format_html\b")
    templates = Path(portal.BASE_DIR, "templates").rglob("*.html")

    assert [path.name for path in templates if unsafe.search(path.read_text())] == []


def test_an_unknown_host_is_refused(viewer: Client) -> None:
    response = viewer.get(reverse("dashboard"), headers={"host": "evil.example"})

    assert response.status_code == 400


# --- files, redirects, and everything over TLS ------------------------------------------------------------------

STATIC = "/static/css/portal.css"


def test_a_file_carries_the_headers_too_and_may_be_kept() -> None:
    response = Client().get(STATIC)
    again = Client().get(STATIC, headers={"If-Modified-Since": response["Last-Modified"]})
    missing = Client().get("/static/no-such-file.css")

    assert (response.status_code, again.status_code, missing.status_code) == (200, 304, 404)
    for answer in (response, again, missing):
        expected = {name: value for name, value in HEADERS.items() if name != "Cache-Control" or answer is missing}
        assert {name: answer.headers.get(name) for name in expected} == expected
        assert answer["Content-Security-Policy"]
        answer.close()
    assert "no-store" not in response["Cache-Control"]


def test_who_comes_without_tls_is_led_to_it_with_the_headers(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True

    response = Client().get("/accounts/login/")

    assert (response.status_code, response["Location"]) == (301, "https://testserver/accounts/login/")
    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    assert response["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/", "/accounts/login/", "/no-such-page/", "/api/status", STATIC])
def test_every_answer_over_tls_says_that_there_is_no_other_way(path: str, settings: Any) -> None:
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = settings.SECURE_HSTS_PRELOAD = True

    response = Client().get(path, secure=True)

    response.close()
    assert response["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains; preload"


# --- where a page may lead --------------------------------------------------------------------------------------

ELSEWHERE = [
    "//evil.example",
    "///evil.example",
    "https:evil.example",
    "https://evil.example",
    "http:/evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "\n//evil.example",
    "//evil.example%2f..",
    "https://testserver@evil.example",
    "https://testserver.evil.example",
    "javascript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "@evil.example",
    "http://[::1",
    "\u202e//evil.example",
]


@pytest.mark.parametrize("place", ELSEWHERE)
def test_no_page_leads_to_another_host(place: str, admin: Client) -> None:
    person = factories.person(Role.VIEWER)
    sign_in = {"login": person.email, "password": "correct horse battery", "next": place}

    answers = {
        "theme": admin.post("/theme/", {"theme": "dark", "next": place}),
        "refused": Client().post(
            "/organizations/verify/", headers={"Referer": place.encode("ascii", "ignore").decode()}
        ),
        "sign-in": Client().post("/accounts/login/", sign_in),
        "sign-in, by address": Client().post("/accounts/login/", sign_in | {"next": ""}, query_params={"next": place}),
        "sign-out": Client().post("/accounts/logout/", {"next": place}),
        "signed in already": admin.get("/accounts/login/", query_params={"next": place}),
    }

    for name, answer in answers.items():
        if answer.status_code != 302:
            continue
        landed = urljoin("http://testserver/here/", answer["Location"].replace("\\", "/"))
        assert urlsplit(landed).netloc == "testserver", (name, answer["Location"])
