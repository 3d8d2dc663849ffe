from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

import pytest
import time_machine
from django.conf import settings
from django.test import Client
from django.urls import reverse

from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Person
from hamr_portal.services import rooms
from tests import factories
from tests.services.records import whole_database

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
MARA = "mara@halden.example"
NOW = datetime.fromisoformat("2026-03-15T03:06:32+00:00")


@pytest.fixture(autouse=True)
def _nothing_left_out_before() -> Iterator[None]:
    rooms.left_out.take()
    yield
    rooms.left_out.take()


def told() -> list[tuple[str, str, str]]:
    """Give what is on the record: what happened, and the kind and name of who did it."""
    return list(AuditEntry.objects.order_by("seq").values_list("event", "actor_kind", "actor_name"))


def sign_in(client: Client, email: str, password: str, path: str = "") -> object:
    return client.post(reverse("account_login") + path, {"login": email, "password": password})


def test_the_right_password_leads_to_the_dashboard(client: Client) -> None:
    factories.person(Role.VIEWER, "mara@halden.example")

    response = client.post(reverse("account_login"), {"login": "Mara@halden.example", "password": PASSWORD})

    assert response.status_code == 302
    assert response["Location"] == "/"
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("email", ["mara@halden.example", "nobody@halden.example"])
def test_a_wrong_password_and_an_unknown_address_read_the_same(client: Client, email: str) -> None:
    factories.person(Role.VIEWER, "mara@halden.example")

    response = client.post(reverse("account_login"), {"login": email, "password": "wrong"})

    assert response.status_code == 200
    assert "This address and password do not match." in response.content.decode()
    assert client.get("/").status_code == 302


def read_of(client: Client, email: str) -> str:
    """Give what the page says to a wrong password, without what differs by nature: what was typed, and the token."""
    page = sign_in(client, email, "wrong").content.decode()  # type: ignore[attr-defined]
    page = re.sub(r'(name="csrfmiddlewaretoken" value=")[^"]*', r"\1", page)
    return re.sub(r"\d\d:\d\d:\d\d|data-now=\"[^\"]*\"|datetime=\"[^\"]*\"", "", page).replace(email, "")


@pytest.mark.parametrize("kind", ["good", "disabled", "unusable"])
def test_whether_somebody_is_here_is_not_to_be_read(kind: str, client: Client) -> None:
    person = factories.person(Role.VIEWER, MARA)
    person.is_active = kind != "disabled"
    if kind == "unusable":
        person.set_unusable_password()
    person.save()

    here, unknown = read_of(client, MARA), read_of(client, "nobody@halden.example")

    assert here == unknown


def test_a_disabled_person_does_not_get_in(client: Client) -> None:
    person = factories.person(Role.ADMIN, "mara@halden.example")
    person.is_active = False
    person.save()

    sign_in(client, "mara@halden.example", PASSWORD)

    assert client.get("/").status_code == 302


@pytest.mark.parametrize("path", ["//evil.example", "https:evil.example", "/\\evil.example", "https://evil.example/"])
def test_sign_in_never_leads_to_another_host(client: Client, path: str) -> None:
    factories.person(Role.VIEWER, "mara@halden.example")

    response = client.post(
        reverse("account_login"), {"login": "mara@halden.example", "password": PASSWORD, "next": path}
    )

    assert response["Location"] == "/"


def test_sign_in_leads_to_the_page_that_was_wanted(client: Client) -> None:
    factories.person(Role.ADMIN, "mara@halden.example")
    wanted = client.get(reverse("organizations"))["Location"]

    response = client.post(wanted, {"login": "mara@halden.example", "password": PASSWORD, "next": "/organizations/"})

    assert response["Location"] == "/organizations/"


def test_signing_out_ends_the_session(viewer: Client) -> None:
    viewer.post(reverse("account_logout"))

    assert viewer.get("/").status_code == 302


@pytest.mark.parametrize("path", ["signup/", "password/reset/", "email/"])
def test_nobody_can_let_themselves_in(client: Client, path: str) -> None:
    assert client.get(f"/accounts/{path}").status_code == 404


def test_the_fifth_wrong_password_is_the_last_for_a_while(client: Client) -> None:
    factories.person(Role.VIEWER, "mara@halden.example")
    for _ in range(5):
        sign_in(client, "mara@halden.example", "wrong")

    sign_in(client, "mara@halden.example", PASSWORD)

    assert client.get("/").status_code == 302


def test_too_many_sign_ins_from_one_address_end_in_a_page_of_ours(client: Client) -> None:
    for _ in range(31):
        response = client.post(reverse("account_login"), {"login": "x@halden.example", "password": "wrong"})

    assert response.status_code == 429
    assert "Too many sign-ins from here" in response.content.decode()


# --- on the record ----------------------------------------------------------------------------------------------


def test_signing_in_and_out_is_on_the_record_with_how_and_when(client: Client) -> None:
    factories.person(Role.VIEWER, MARA)

    with time_machine.travel(NOW, tick=False):
        sign_in(client, MARA, PASSWORD)
        client.post(reverse("account_logout"))

    came, left = AuditEntry.objects.order_by("seq")
    assert [came.event, left.event] == ["session.signed_in", "session.signed_out"]
    for entry in (came, left):
        assert (entry.actor_kind, entry.actor_name, entry.actor_role) == ("person", MARA, "VIEWER")
        assert entry.actor_signed_in == "password, 2026-03-15T03:06:32Z"
        assert entry.actor_address == "127.0.0.1"
        assert entry.actor_session
    assert came.actor_session == left.actor_session
    assert came.request_id != left.request_id


def test_a_wrong_password_is_on_the_record_under_what_was_typed_and_no_password_is(client: Client) -> None:
    factories.person(Role.VIEWER, MARA)

    sign_in(client, MARA, "canary wrong password")
    sign_in(client, "\u202enobody@halden.example", "canary wrong password")
    sign_in(client, "nobody@halden.example", "canary wrong password")

    assert told() == [
        ("session.sign_in_failed", "visitor", MARA),
        ("session.sign_in_failed", "visitor", "nobody@halden.example"),
    ]
    assert list(AuditEntry.objects.order_by("seq").values_list("outcome", "actor_role", "actor_session")) == [
        ("MISMATCH", "", ""),
        ("NOBODY", "", ""),
    ]
    assert "canary" not in whole_database()


def test_a_disabled_person_with_the_right_password_is_on_the_record(client: Client) -> None:
    factories.person(Role.ADMIN, MARA)
    Person.objects.update(is_active=False)

    sign_in(client, MARA, PASSWORD)

    assert told() == [("session.sign_in_failed", "visitor", MARA)]
    assert AuditEntry.objects.get().outcome == "DISABLED"


def test_a_lock_out_is_on_the_record_once(client: Client) -> None:
    factories.person(Role.VIEWER, MARA)

    for _ in range(9):
        sign_in(client, MARA, "wrong")

    assert told() == [("session.sign_in_failed", "visitor", MARA), ("session.locked_out", "visitor", MARA)]
    assert rooms.left_out.take() == {"session.locked_out MISMATCH": 3}


def test_a_lock_out_tells_how_many_failures_came_before_it(client: Client) -> None:
    for _ in range(6):
        sign_in(client, MARA, "wrong")

    entry = AuditEntry.objects.get(event="session.locked_out")
    assert entry.data == '{"not_recorded":{"session.sign_in_failed NOBODY":4}}'


def test_signing_out_without_having_signed_in_is_no_event(client: Client) -> None:
    client.post(reverse("account_logout"))

    assert told() == []


@pytest.mark.django_db(transaction=True)
def test_people_come_in_and_go_when_the_record_takes_nothing(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    factories.person(Role.VIEWER, MARA)
    settings.KEY_RING_FILE.unlink()

    sign_in(client, MARA, PASSWORD)
    inside = client.get("/").status_code
    client.post(reverse("account_logout"))
    outside = client.get("/").status_code
    refused = sign_in(client, MARA, "wrong")

    assert (inside, outside) == (200, 302)
    assert "This address and password do not match." in refused.content.decode()  # type: ignore[attr-defined]
    assert not AuditEntry.objects.exists()
    events = ("session.signed_in", "session.signed_out", "session.sign_in_failed")
    assert [line for line in caplog.messages if line.startswith("audit.")] == [
        f"audit.write_failed: {event}: CannotSign" for event in events
    ]


def test_whoever_signs_in_where_a_disabled_person_was_is_on_the_record_with_how_and_when(client: Client) -> None:
    factories.person(Role.ADMIN, MARA)
    factories.person(Role.VIEWER, "ada@halden.example")
    sign_in(client, MARA, PASSWORD)
    Person.objects.filter(email=MARA).update(is_active=False)

    sign_in(client, "ada@halden.example", PASSWORD)

    entry = AuditEntry.objects.get(event="session.signed_in", actor_name="ada@halden.example")
    assert entry.actor_signed_in.startswith("password, ")
    assert client.get("/").status_code == 200
