"""The page of news: where it goes, what was told, and a test; shown to admins, and never an address."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.news import MOST_TRIES, Kind
from hamr_portal.domain.organizations import Secret
from hamr_portal.domain.people import Role
from hamr_portal.models import Delivery, News
from hamr_portal.services import notifications

from .conftest import SignIn

pytestmark = pytest.mark.django_db

INDEX, TEST = "/news/", "/news/test/"


@pytest.fixture
def channel(settings: Settings) -> None:
    settings.NOTIFY_URLS = [Secret("json://hooks.example/canary0token")]


def words(client: Client, path: str = INDEX) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode().partition("<body")[2]).split())


def queued(**over: object) -> None:
    notifications.queue(Kind.TEST, by="mara@halden.example")
    Delivery.objects.update(**over)


def test_without_a_channel_the_page_says_how_to_set_one(admin: Client) -> None:
    queued()

    page = words(admin)

    assert "It goes nowhere" in page
    assert "NOTIFY_URLS" in page
    assert "EMAIL_URL" in page
    assert "Nobody: no channel was set" in page
    assert "Send test message" not in page


def test_what_was_told_is_shown_with_where_and_when(admin: Client, channel: None) -> None:
    queued(state="TOLD", told_at=timezone.now(), tries=1)

    page = words(admin)

    assert "Test message, asked for by mara" in page
    assert "Told 1: json://h…e at" in page
    assert "canary0token" not in page


def test_what_was_not_told_yet_is_shown_with_why_and_when_next(admin: Client, channel: None) -> None:
    queued(tries=3, error="HTTP 503")

    page = words(admin)

    assert "Not told yet 1: json://h…e , 3 tries: HTTP 503, next" in page
    assert "<title>News" in admin.get(INDEX).content.decode()


def test_what_was_given_up_is_the_title_of_the_page(admin: Client, channel: None) -> None:
    queued(state="GIVEN_UP", tries=MOST_TRIES, error="no connection")

    page = words(admin)

    assert "1 message given up" in admin.get(INDEX).content.decode().partition("<title>")[2].partition("</title>")[0]
    assert f"Given up after {MOST_TRIES} tries. Next: look at NOTIFY_URLS" in page


def test_every_page_of_an_admin_says_that_something_was_given_up(admin: Client, channel: None) -> None:
    before = words(admin, "/people/")
    queued(state="GIVEN_UP")

    assert "given up" not in before
    assert "1 message given up in the last day: somebody was not told." in words(admin, "/people/")


def test_nobody_else_is_told_on_their_pages_that_something_was_given_up(viewer: Client, channel: None) -> None:
    queued(state="GIVEN_UP")

    assert "given up" not in words(viewer, "/")


def test_a_test_is_queued_and_the_page_shows_it(admin: Client, channel: None) -> None:
    response = admin.post(TEST, follow=True)

    assert response.redirect_chain == [(reverse("news"), 302)]
    assert "Test message queued." in response.content.decode()
    assert News.objects.get().kind == Kind.TEST
    assert "Waiting 1: json://h…e" in words(admin)


def test_a_second_test_is_told_to_wait(admin: Client, channel: None) -> None:
    admin.post(TEST)

    response = admin.post(TEST, follow=True)

    assert "Not queued. The test before is still on its way." in response.content.decode()
    assert News.objects.count() == 1


def test_a_test_without_a_channel_is_told_why_not(admin: Client) -> None:
    response = admin.post(TEST, follow=True)

    assert "Nothing to test. Neither NOTIFY_URLS nor EMAIL_URL is set." in response.content.decode()


def test_a_role_that_was_lost_meanwhile_sends_no_test(
    admin: Client, channel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hamr_portal.services import news, people

    def refuses(**_: object) -> None:
        raise people.NotAllowed("Needs: admin.")

    monkeypatch.setattr(news, "send_test", refuses)

    assert admin.post(TEST).status_code == 403


def test_the_page_takes_no_other_method(admin: Client) -> None:
    assert admin.post(INDEX).status_code == 405
    assert admin.get(TEST).status_code == 405


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
def test_nobody_but_admins_sees_it(role: Role, signed_in: SignIn) -> None:
    client = signed_in(role)

    assert client.get(INDEX).status_code == 403
    assert client.post(TEST).status_code == 403


def test_who_is_not_signed_in_is_led_to_the_sign_in(client: Client) -> None:
    assert client.get(INDEX)["Location"].startswith(reverse("account_login"))


def test_what_waits_and_what_was_given_up_is_measured(admin: Client, channel: None) -> None:
    queued(state="GIVEN_UP")
    notifications.queue(Kind.TEST, by="mara@halden.example")

    page = admin.get("/metrics").content.decode()

    assert "hamr_portal_news_waiting 1.0" in page
    assert "hamr_portal_news_given_up 1.0" in page
    assert re.search(r"^hamr_portal_news_waiting_age_seconds [\d.e-]+$", page, re.M)
