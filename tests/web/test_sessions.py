"""How long a sign-in lasts, what its cookie is, and what people see and end of their own."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Person
from tests import factories
from tests.test_settings import start

from .conftest import SignIn

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
MARA = "mara@halden.example"
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
LIST = "/accounts/sessions/"
EVER_SO_OFTEN = timedelta(minutes=29)
LIVE = {"HX-Request": "true"}


def sign_in(client: Client | None = None, **headers: str) -> Client:
    """Sign Mara in as a browser does."""
    if not Person.objects.filter(email=MARA).exists():
        factories.person(Role.ADMIN, MARA)
    client = client or Client(headers=headers)
    response = client.post(reverse("account_login"), {"login": MARA, "password": PASSWORD})
    assert response.status_code == 302
    return client


def words(response: Any) -> str:
    text = re.sub(r"<svg hidden.*?</svg>", "", response.content.decode(), flags=re.S)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


# --- the limits -------------------------------------------------------------------------------------------------


def test_half_an_hour_without_activity_ends_a_session_and_the_sign_in_says_so_and_leads_back(
    time_machine: time_machine.TimeMachineFixture,
) -> None:
    time_machine.move_to(NOON, tick=False)
    client = sign_in()
    key = client.session.session_key
    time_machine.move_to(NOON + timedelta(minutes=30), tick=False)

    response = client.get("/organizations/?page=2", follow=True)

    assert response.redirect_chain == [("/accounts/login/?next=/organizations/%3Fpage%3D2", 302)]
    said = "Signed out after 30 min without activity. Next: sign in; you come back to where you were."
    assert said in words(response)
    assert not Session.objects.filter(pk=key).exists()
    back = client.post(response.redirect_chain[0][0], {"login": MARA, "password": PASSWORD, "next": "/organizations/"})
    assert back["Location"] == "/organizations/"
    assert "over" not in client.session


def test_activity_keeps_a_session_and_twelve_hours_end_it_nevertheless(
    time_machine: time_machine.TimeMachineFixture,
) -> None:
    time_machine.move_to(NOON, tick=False)
    client = sign_in()
    now, answers = NOON, []

    while now < NOON + timedelta(hours=12):
        now += EVER_SO_OFTEN
        time_machine.move_to(now, tick=False)
        answers.append(client.get(LIST).status_code)

    assert answers == [200] * (len(answers) - 1) + [302]
    assert timedelta(hours=12) <= now - NOON < timedelta(hours=12, minutes=29)
    assert "Signed out: a sign-in lasts 12 h at most." in words(client.get(reverse("account_login")))


@pytest.mark.parametrize(
    ("path", "headers"), [("/live/", LIVE), ("/changes/", LIVE), ("/changes/?live=1", {})], ids=["live", "htmx", "meta"]
)
def test_what_refreshes_itself_keeps_no_session(
    path: str, headers: dict[str, str], time_machine: time_machine.TimeMachineFixture
) -> None:
    time_machine.move_to(NOON, tick=False)
    client = sign_in()
    answers = []

    for minutes in (10, 20, 29, 31):
        time_machine.move_to(NOON + timedelta(minutes=minutes), tick=False)
        answers.append(client.get(path, headers=headers).status_code)

    assert answers == [200, 200, 200, 302]
    # What noticed it was a part of a page; the page that comes after it tells why all the same.
    assert "Signed out after 30 min without activity." in words(client.get("/", follow=True))


def test_a_visit_writes_at_most_once_a_minute(
    time_machine: time_machine.TimeMachineFixture, django_assert_num_queries: Any
) -> None:
    time_machine.move_to(NOON, tick=False)
    client = sign_in()
    key = client.session.session_key
    seen = []

    for seconds in (20, 59, 60, 61, 119, 120):
        time_machine.move_to(NOON + timedelta(seconds=seconds), tick=False)
        client.get(LIST)
        seen.append(int(Session.objects.get(pk=key).get_decoded()["seen"] - NOON.timestamp()))

    assert seen == [0, 0, 60, 60, 60, 120]


def test_the_pages_are_shown_when_activity_cannot_be_noted(
    time_machine: time_machine.TimeMachineFixture, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    time_machine.move_to(NOON, tick=False)
    client = sign_in()
    time_machine.move_to(NOON + timedelta(minutes=2), tick=False)

    def full(*_: object, **__: object) -> None:
        raise DatabaseError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("django.contrib.sessions.backends.db.SessionStore.save", full)
        answer = client.get(LIST).status_code

    assert answer == 200
    assert "activity is not noted: DatabaseError" in caplog.text


def test_a_session_that_does_not_say_when_it_began_is_over(viewer: Client) -> None:
    session = viewer.session
    del session["began"]
    session.save()

    assert viewer.get(LIST).status_code == 302


def test_the_limits_are_settings(settings: Settings, time_machine: time_machine.TimeMachineFixture) -> None:
    settings.SESSION_IDLE_SECONDS, settings.SESSION_ABSOLUTE_SECONDS = 60.0, 300.0
    time_machine.move_to(NOON, tick=False)
    client = sign_in()

    # What is noted every 15 s here is enough for somebody who reads a page a minute.
    answers = []
    for seconds in (55, 110, 171):
        time_machine.move_to(NOON + timedelta(seconds=seconds), tick=False)
        answers.append(client.get(LIST).status_code)

    assert answers == [200, 200, 302]
    assert "without activity" in words(client.get(reverse("account_login")))
    assert "after 60 s" not in words(client.get(reverse("account_login")))  # 60 s are called 1 min
    assert "after 1 min" in words(client.get(reverse("account_login")))


# --- the cookie -------------------------------------------------------------------------------------------------


def test_the_cookie_goes_with_the_browser_and_no_script_or_other_site_gets_it() -> None:
    client = sign_in()

    cookie = client.cookies["session"]

    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["domain"]) == (True, "Lax", "/", "")
    assert (cookie["max-age"], cookie["expires"]) == ("", "")


_COOKIES = """
import django
django.setup()
from django.conf import settings as s
for kind in ("SESSION", "CSRF"):
    names = ("NAME", "SECURE", "HTTPONLY", "SAMESITE", "PATH", "DOMAIN")
    print(*(getattr(s, f"{kind}_COOKIE_{name}") for name in names))
print(s.SESSION_EXPIRE_AT_BROWSER_CLOSE, s.SESSION_COOKIE_AGE)
"""


def test_in_production_the_cookies_are_bound_to_the_host_and_to_tls() -> None:
    made = start("-c", _COOKIES, DJANGO_SETTINGS_MODULE="hamr_portal.settings", ALLOWED_HOSTS="portal.example")

    assert made.stdout.splitlines() == [
        "__Host-session True True Lax / None",
        "__Host-csrf True True Lax / None",
        "True 43200",
    ]


def test_a_planted_session_is_another_one_after_the_sign_in() -> None:
    victim, attacker = Client(), Client()
    planted = victim.session
    planted["marked"] = True
    planted.save()
    key = planted.session_key or ""

    sign_in(victim)

    assert victim.cookies["session"].value != key
    assert not Session.objects.filter(pk=key).exists()
    attacker.cookies["session"] = key
    assert attacker.get("/").status_code == 302


def test_signing_out_leaves_no_row() -> None:
    client = sign_in()
    key = client.session.session_key

    client.post(reverse("account_logout"))

    assert not Session.objects.filter(pk=key).exists()


@pytest.mark.parametrize("what", ["disabled", "password"])
def test_a_live_session_ends_with_what_it_rests_on(what: str) -> None:
    client = sign_in()
    person = Person.objects.get(email=MARA)
    if what == "disabled":
        person.is_active = False
    else:
        person.set_password("another horse battery")
    person.save()

    assert client.get("/").status_code == 302
    assert client.post(reverse("sessions_end_others"))["Location"].startswith("/accounts/login/")


# --- one's own --------------------------------------------------------------------------------------------------


def test_people_see_where_they_are_signed_in(time_machine: time_machine.TimeMachineFixture) -> None:
    time_machine.move_to(NOON, tick=False)
    sign_in(user_agent="Lynx \x1b[2J on a \u202ephone")
    time_machine.move_to(NOON + timedelta(minutes=5), tick=False)
    here = sign_in(user_agent="Firefox <b>140</b>")
    factories.person(Role.VIEWER, "ada@halden.example")
    Client(headers={"user-agent": "Adas"}).post(
        reverse("account_login"), {"login": "ada@halden.example", "password": PASSWORD}
    )

    page = here.get(LIST)

    text = words(page)
    assert "2 open sessions" in text
    assert "127.0.0.1 this one Firefox &lt;b&gt;140&lt;/b&gt; 12:05:00 now" in text
    assert "127.0.0.1 Lynx \ufffd[2J on a \ufffdphone 12:00:00 5 min 0 s ago End the session from 127.0.0.1" in text
    assert "Adas" not in text
    assert "<b>140" not in page.content.decode()


def test_what_is_over_is_not_listed(time_machine: time_machine.TimeMachineFixture) -> None:
    time_machine.move_to(NOON, tick=False)
    sign_in()
    time_machine.move_to(NOON + timedelta(minutes=31), tick=False)
    here = sign_in()

    assert "1 open session " in words(here.get(LIST))
    assert "End all others" not in words(here.get(LIST))


def test_looking_at_them_writes_nothing() -> None:
    sign_in()
    here = sign_in()
    Session.objects.exclude(pk=here.session.session_key).delete()
    before = list(UserSession.objects.order_by("pk").values_list())

    here.get(LIST)

    assert list(UserSession.objects.order_by("pk").values_list()) == before
    assert not AuditEntry.objects.filter(event="session.ended").exists()


def test_people_end_one_of_their_sessions_and_stay_in_the_others() -> None:
    other, third, here = sign_in(), sign_in(), sign_in()
    key = other.session.session_key or ""
    number = UserSession.objects.get(session_key=key).pk

    response = here.post(reverse("session_end", args=[number]), follow=True)

    assert "The session is ended." in words(response)
    assert [client.get(LIST).status_code for client in (other, third, here)] == [302, 200, 200]
    entry = AuditEntry.objects.get(event="session.ended")
    assert entry.actor_name == MARA
    assert key not in entry.data
    fingerprints = AuditEntry.objects.filter(event="session.signed_in").order_by("seq")
    assert fingerprints[0].actor_session in entry.data


def test_people_end_all_others() -> None:
    other, third, here = sign_in(), sign_in(), sign_in()

    first = words(here.post(reverse("sessions_end_others"), follow=True))
    second = words(here.post(reverse("sessions_end_others"), follow=True))

    assert "2 other sessions are ended." in first
    assert "No other session was open." in second
    assert [client.get(LIST).status_code for client in (other, third, here)] == [302, 302, 200]
    assert AuditEntry.objects.filter(event="session.ended").count() == 1


def test_the_session_that_one_is_in_is_left_by_signing_out() -> None:
    here = sign_in()

    response = here.post(reverse("session_end", args=[UserSession.objects.get().pk]), follow=True)

    assert "Not ended: it is the one that you are in. Next: sign out." in words(response)


def test_nobody_ends_a_session_of_somebody_else(signed_in: SignIn) -> None:
    theirs = sign_in()
    number = UserSession.objects.get(session_key=theirs.session.session_key).pk
    viewer = signed_in(Role.VIEWER)

    response = viewer.post(reverse("session_end", args=[number]), follow=True)

    assert "That session is over already." in words(response)
    assert theirs.get(LIST).status_code == 200
    assert not AuditEntry.objects.filter(event="session.ended").exists()


def test_an_address_that_is_none_keeps_nobody_out() -> None:
    factories.person(Role.VIEWER, MARA)
    client = Client()

    client.post(reverse("account_login"), {"login": MARA, "password": PASSWORD}, REMOTE_ADDR="")

    assert "Address not known" in words(client.get(LIST))


# --- what is said to people -------------------------------------------------------------------------------------


def test_what_is_said_to_a_person_is_in_no_cookie_and_goes_with_their_session() -> None:
    here = sign_in()
    here.post(reverse("sessions_end_others"))
    cookies = dict(here.cookies)

    here.post(reverse("account_logout"))
    next_page = words(here.get(reverse("account_login")))

    assert sorted(name for name in cookies if name != "csrf") == ["session"]
    assert "No other session was open." not in next_page
    assert "Signed out." in next_page
    assert "Signed out." not in words(here.get(reverse("account_login")))


def test_pages_to_which_nothing_is_to_be_said_begin_no_session(client: Client) -> None:
    for path in (reverse("account_login"), "/runbook/", "/", "/nowhere/"):
        client.get(path)

    assert "session" not in client.cookies
    assert not Session.objects.exists()


def test_what_is_said_is_shown_while_the_session_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here = sign_in()
    here.post(reverse("sessions_end_others"))

    def full(*_: object, **__: object) -> None:
        raise DatabaseError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("django.contrib.sessions.backends.db.SessionStore.save", full)
        page = here.get(LIST)
    once_more, then = words(here.get(LIST)), words(here.get(LIST))

    assert (page.status_code, "No other session was open." in words(page)) == (200, True)
    assert "No other session was open." in once_more
    assert "No other session was open." not in then
    assert "what was said is not put away: DatabaseError" in caplog.messages
