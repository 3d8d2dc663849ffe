"""The portal's requests as commands for a shell: which names they take keys from, and that no text breaks out."""

from __future__ import annotations

import json
import shlex
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamr_portal.domain import by_hand
from hamr_portal.domain.by_hand import SENDER, KeyNames
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.organizations import NAME
from hamr_portal.domain.pairs import Side
from hamr_portal.domain.previews import Check

URL = "https://api.datadoghq.com/api/v2/hamr"
IN_JSON = json.dumps(SENDER)


@pytest.mark.parametrize(
    ("name", "api_key", "application_key"),
    [
        ("acme-us1", "ACME_US1_API_KEY", "ACME_US1_APPLICATION_KEY"),
        ("acme", "ACME_API_KEY", "ACME_APPLICATION_KEY"),
        ("3scale", "_3SCALE_API_KEY", "_3SCALE_APPLICATION_KEY"),
    ],
)
def test_the_names_of_the_keys_say_whose_they_are(name, api_key, application_key):
    assert KeyNames.of(name) == KeyNames(api_key, application_key)


@given(st.from_regex(NAME, fullmatch=True), st.from_regex(NAME, fullmatch=True))
def test_no_two_organizations_share_a_variable_and_each_is_one(one, other):
    names = KeyNames.of(one)

    assert names.api_key.isidentifier()
    assert names.api_key.isascii()
    assert (names == KeyNames.of(other)) is (one == other)


def test_keys_are_asked_for_unseen_in_one_line():
    asked = by_hand.ask_for_keys("acme-us1")

    assert "\n" not in asked
    assert "read -rs ACME_US1_API_KEY;" in asked
    assert "read -rs ACME_US1_APPLICATION_KEY;" in asked


def test_who_sends_is_asked_for_in_one_line():
    assert by_hand.ask_for_sender().endswith("; read -r MODIFIED_BY")


def test_a_read_takes_its_keys_from_the_shell_and_waits_no_longer_than_that():
    words = shlex.split(by_hand.read("acme-us1", URL))

    assert words[:2] == ["curl", "-q"]  # counts only where it comes first
    assert words[words.index("--max-time") + 1] == "30"
    assert {"DD-API-KEY: $ACME_US1_API_KEY", "DD-APPLICATION-KEY: $ACME_US1_APPLICATION_KEY", URL} < set(words)
    assert not {"-L", "--location", "--retry", "-k", "--insecure", "--data-raw"} & set(words)


@given(st.text())
def test_whatever_a_name_holds_the_body_is_one_word_with_the_sender_in_its_place(text):
    body = json.dumps({"modified_by": SENDER, "name": text.replace(SENDER, "")})

    words = shlex.split(by_hand.send("acme", URL, body))

    assert words[-2:] == ["--data-raw", body.replace(IN_JSON, '"$MODIFIED_BY"')]


@pytest.mark.parametrize("text", ["$(id)", "`id`", '"$MODIFIED_BY"', "\\u0000", '"\\u0000"', "!!", "\n"])
def test_only_the_sender_is_outside_of_single_quotes(text):
    body = json.dumps({"modified_by": SENDER, "name": text})

    command = by_hand.send("acme", URL, body)

    filled_in = command.partition("--data-raw ")[2]
    between = filled_in.split("'")[::2]
    assert set(between) == {"", '"$MODIFIED_BY"'}


def side(**over: Any) -> Side:
    known: dict[str, Any] = {"has_connection": True, "status": 2, "uuid": UUID(int=1), "outcome": ReadOutcome.ANSWERED}
    return Side("acme", "us1", **known | over)


@pytest.mark.parametrize(
    ("over", "is_split", "forbids"),
    [
        ({}, False, None),
        ({"outcome": ReadOutcome.NO_ANSWER}, False, None),
        ({"outcome": ReadOutcome.KEY_REFUSED}, False, None),
        ({"outcome": ReadOutcome.WRONG_ORGANIZATION}, False, Check.WRONG_ORGANIZATION),
        ({"outcome": ReadOutcome.WRONG_ORGANIZATION, "has_connection": None}, True, Check.WRONG_ORGANIZATION),
        ({"has_connection": None, "outcome": None}, False, Check.NO_READING),
        ({"has_connection": False}, True, Check.NO_CONNECTION),
        ({"uuid": None}, False, Check.UUID_NOT_KNOWN),
        ({}, True, Check.SIDES_DISAGREE),
    ],
)
def test_no_request_is_made_of_what_cannot_be_relied_on(over, is_split, forbids):
    assert by_hand.forbids(side(**over), is_split=is_split) is forbids
