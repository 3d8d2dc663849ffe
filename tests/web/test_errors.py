from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from django.http import HttpRequest
from django.test import Client
from django.urls import path, reverse

from hamr_portal import urls
from hamr_portal.web.access import public


@public
def _database_away(request: HttpRequest) -> Any:
    raise OperationalError("could not connect to server: portal@10.0.0.5")


@public
def _bug(request: HttpRequest) -> Any:
    canary = "canary0api0key0aaaaaaaaaaaa1e07"
    raise RuntimeError(canary)


class Broken:
    """The portal's addresses and two that fail."""

    handler400, handler403 = urls.handler400, urls.handler403
    handler404, handler500 = urls.handler404, urls.handler500
    urlpatterns = [*urls.urlpatterns, path("away/", _database_away), path("bug/", _bug)]


@pytest.fixture
def broken(settings: Any) -> Client:
    settings.ROOT_URLCONF = Broken
    return Client(raise_request_exception=False)


def test_an_absent_database_is_named_and_what_to_do_without_the_portal(broken: Client) -> None:
    response = broken.get("/away/")

    page = response.content.decode()
    assert response.status_code == 503
    assert "The portal cannot reach its database" in page
    assert "curl" in page
    assert "10.0.0.5" not in page
    assert response["X-Request-Id"] in page


def test_a_bug_shows_a_reference_and_nothing_of_itself(broken: Client) -> None:
    response = broken.get("/bug/")

    page = response.content.decode()
    assert response.status_code == 500
    assert response["X-Request-Id"] in page
    assert "canary" not in page


def test_the_session_database_away_is_named_too(broken: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", away)
    broken.cookies["session"] = "x" * 32

    response = broken.get(reverse("dashboard"))

    assert response.status_code == 503


@pytest.mark.django_db
def test_an_unknown_page_says_so(viewer: Client) -> None:
    response = viewer.get("/organizations/no-such-one/")

    assert response.status_code == 404
    assert "<h1" in response.content.decode()


@pytest.mark.django_db
def test_a_form_from_elsewhere_says_to_load_it_again() -> None:
    response = Client(enforce_csrf_checks=True).post(reverse("account_login"), {"login": "a@b.example"})

    assert response.status_code == 403
    assert "form" in response.content.decode().casefold()


@pytest.mark.django_db
def test_a_request_that_cannot_be_read_says_so(viewer: Client) -> None:
    response = viewer.get(reverse("dashboard"), headers={"host": "evil.example"})

    assert response.status_code == 400
    assert "<h1" in response.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(("chosen", "attribute"), [("dark", 'data-theme="dark"'), ("light", 'data-theme="light"')])
def test_a_chosen_theme_is_kept(client: Client, chosen: str, attribute: str) -> None:
    response = client.post(reverse("theme"), {"theme": chosen, "next": "/accounts/login/"}, follow=True)

    assert attribute in response.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil"])
def test_choosing_a_theme_never_leads_to_another_host(client: Client, path: str) -> None:
    response = client.post(reverse("theme"), {"theme": "nonsense", "next": path})

    assert response["Location"] == "/"
    assert response.cookies["theme"].value == "auto"
