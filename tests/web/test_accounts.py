from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from hamr_portal.domain.people import Role
from tests import factories

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"


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
