from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hamr_portal.models import ApiToken
from hamr_portal.services import tokens

pytestmark = pytest.mark.django_db

FORM = {"name": "prometheus-us1", "scope": "METRICS", "days": "90"}


def make(admin: Client, **fields: str) -> str:
    return admin.post(reverse("token_new"), FORM | fields).content.decode()


def test_a_token_is_shown_once_in_the_answer_that_no_cache_keeps(admin: Client) -> None:
    response = admin.post(reverse("token_new"), FORM)

    (text,) = set(re.findall(r"hamr_[0-9a-f]{8}_[0-9A-Za-z_-]{43}", response.content.decode()))
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert tokens.accepted(text, now=timezone.now()) is not None
    for page in ("tokens", "token_new", "audit"):
        assert text.split("_", 2)[2] not in admin.get(reverse(page)).content.decode()


def test_loading_the_answer_anew_makes_no_second_token(admin: Client) -> None:
    make(admin)

    response = admin.post(reverse("token_new"), FORM)

    assert response.status_code == 422
    assert "A token is called prometheus-us1 already." in response.content.decode()
    assert ApiToken.objects.count() == 1


def test_the_list_says_who_made_it_when_it_was_used_and_when_it_ends(admin: Client) -> None:
    empty = admin.get(reverse("tokens")).content.decode()
    make(admin)

    page = admin.get(reverse("tokens")).content.decode()

    token = ApiToken.objects.get()
    assert "No token was made yet" in empty
    assert f"hamr_{token.prefix}…" in page
    assert "admin@halden.example" in page
    assert "Never" in page


def test_a_revoked_token_says_so_and_has_no_button(admin: Client) -> None:
    make(admin)
    token = ApiToken.objects.get()

    first, second = (admin.post(reverse("token_revoke", args=[token.pk]), follow=True) for _ in range(2))

    assert "prometheus-us1: revoked." in first.content.decode()
    assert "was revoked already" in second.content.decode()
    assert reverse("token_revoke", args=[token.pk]) not in second.content.decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "Prometheus"},
        {"name": "prometheus\n"[:-1] + " x"},
        {"name": "<script>alert(1)</script>"},
        {"name": "x" * 64},
        {"scope": "WRITE"},
        {"scope": ""},
        {"days": "36500"},
        {"days": "-1"},
        {"days": "x"},
    ],
)
def test_what_is_typed_wrong_is_said_and_makes_nothing(admin: Client, fields: dict[str, str]) -> None:
    response = admin.post(reverse("token_new"), FORM | fields)

    assert response.status_code == 422
    assert "Not made" in response.content.decode()
    assert ApiToken.objects.count() == 0


def test_there_is_no_token_to_revoke_where_there_is_none(admin: Client) -> None:
    assert admin.post(reverse("token_revoke", args=[4711])).status_code == 404
