"""What may stand on a run sheet, which of it is for a status, and what may be followed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.run_sheets import (
    LONGEST_LINK,
    LONGEST_OWNER,
    LONGEST_TEXT,
    MOST_STEPS,
    PROPOSED,
    Problem,
    Step,
    for_status,
    is_link,
    plain,
    steps_of,
    wrong_with,
)

KEY = "0123456789abcdef" * 2
STEP = Step("Point DNS at us5", "TRAFFIC", "Network on call", "https://wiki.halden.example/dns", "Point it back")


@pytest.mark.parametrize(
    ("over", "problem", "field"),
    [
        ({"what": ""}, Problem.WHAT_MISSING, "what"),
        ({"what": "x" * (LONGEST_TEXT + 1)}, Problem.TEXT_TOO_LONG, "what"),
        ({"back": "x" * (LONGEST_TEXT + 1)}, Problem.TEXT_TOO_LONG, "back"),
        ({"owner": "x" * (LONGEST_OWNER + 1)}, Problem.OWNER_TOO_LONG, "owner"),
        ({"link": "x" * (LONGEST_LINK + 1)}, Problem.LINK_TOO_LONG, "link"),
        ({"what": f"use {KEY}"}, Problem.KEY_IN_TEXT, "what"),
        ({"link": f"https://x.example/?api_key={KEY}"}, Problem.KEY_IN_TEXT, "link"),
        ({"link": KEY}, Problem.KEY_IN_TEXT, "link"),
        ({"about": "LUNCH"}, Problem.NOT_OFFERED, "about"),
        ({"target": "UNSPECIFIED"}, Problem.NOT_OFFERED, "target"),
    ],
)
def test_what_is_wrong_is_said_with_its_step_and_field(over: dict[str, Any], problem: Problem, field: str) -> None:
    (wrong,) = wrong_with([STEP, replace(STEP, **over)])

    assert (wrong.problem, wrong.place, wrong.field) == (problem, 1, field)


def test_a_wiki_may_name_its_pages_by_32_digits() -> None:
    assert wrong_with([replace(STEP, link=f"https://wiki.halden.example/Failover-{KEY}")]) == []


def test_a_sheet_has_an_end() -> None:
    assert wrong_with([STEP] * MOST_STEPS) == []

    assert [each.problem for each in wrong_with([STEP] * (MOST_STEPS + 1))] == [Problem.TOO_MANY]


def test_what_is_proposed_is_right_and_about_each_way() -> None:
    assert wrong_with(PROPOSED) == []
    assert {step.about for step in PROPOSED} == {"TRAFFIC", "INTEGRATIONS", "SSO", "SYNC", "TELEMETRY"}


@pytest.mark.parametrize(
    "link",
    [
        "http://wiki.halden.example/",
        "javascript:alert(1)",
        "https://",
        "https://user:secret@halden.example/",
        "https://halden.example:port/",
        "https://halden.example/a b",
        "https://halden.example\\@evil.example/",
        "https://[halden.example/",
        "https://halden.example/\u202egpj.exe",
        "https://halden.example/\n",
        "page 7 of the binder",
        "",
    ],
)
def test_what_is_no_https_address_is_text(link: str) -> None:
    assert not is_link(link)


def test_an_https_address_is_followed() -> None:
    assert STEP.is_link
    assert is_link("https://halden.example:8443/a?b=c#d")


def test_a_status_gets_its_own_steps_and_those_of_each_in_their_order() -> None:
    every, failover, active = (replace(STEP, target=target) for target in ("", "FAILOVER", "ACTIVE"))

    assert for_status([active, failover, every], HamrStatus.FAILOVER) == [failover, every]


def test_what_is_kept_comes_back_and_what_is_not_known_is_left_out() -> None:
    assert steps_of(plain([STEP])) == [STEP]
    assert steps_of([{"what": "x", "severity": "high"}]) == [Step("x", about="")]


def test_a_step_says_in_words_what_it_is_about() -> None:
    assert STEP.about_word == "DNS or agent policy"
    assert Step("x", about="LUNCH").about_word == "LUNCH"
