"""Texts from outside, statuses by number, and how long to wait."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hamr_portal.domain.connections import (
    LONGEST_ASKED,
    LONGEST_WAIT,
    PATIENCE,
    REFUSED_WAIT,
    Connection,
    HamrStatus,
    ReadOutcome,
    View,
    known_status,
    name_of,
    sanitized,
    seconds_until_next_read,
)
from hamr_portal.domain.organizations import Spelling

REPLACED = "\N{REPLACEMENT CHARACTER}"
# Everything that a JSON text can bring: lone surrogates as well, which Hypothesis leaves out by itself.
any_text = st.text(st.characters(codec=None) | st.integers(0xD800, 0xDFFF).map(chr), max_size=60)

# --- sanitized --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "mara.lindqvist@halden.example", "Müller & Søn — 東京", "two\nlines\tand a tab", "👩 é", "a b"]
)
def test_harmless_text_stays_as_it_is(text):
    assert sanitized(text, 60) == text


@pytest.mark.parametrize(
    "character",
    [
        "\0",
        "\r",
        "\x07",
        "\x1b",  # begins a terminal's escape sequence
        "\x7f",
        "\x85",
        "\x9b",
        "\u202e",  # right to left: shows a name backwards
        "\u2066",
        "\u200b",
        "\ufeff",
        "\ud800",
        "\ue000",
        "\uffff",
        "\U000e0041",  # a tag: text that is there and not seen
    ],
)
def test_characters_that_steer_hide_or_break_are_replaced(character):
    assert sanitized(f"a{character}b", 10) == f"a{REPLACED}b"


def test_text_at_its_limit_stays_and_longer_text_ends_in_an_ellipsis():
    assert sanitized("x" * 10, 10) == "x" * 10
    assert sanitized("x" * 11, 10) == "x" * 9 + "…"


def test_a_very_long_text_is_cut_to_its_limit():
    assert sanitized("\x00" * 1_000_000, 300) == REPLACED * 299 + "…"


@given(any_text, st.integers(1, 70))
@example("\ud83d\ude00", 2)
def test_sanitized_text_can_always_be_stored_and_shown(text, limit):
    clean = sanitized(text, limit)

    assert len(clean) <= limit
    assert len(clean) == min(len(text), limit)
    assert clean.encode("utf-8").decode("utf-8") == clean
    assert {character for character in clean if unicodedata.category(character).startswith("C")} <= {"\n", "\t"}


@given(any_text, st.integers(1, 70))
def test_sanitizing_twice_changes_nothing_more(text, limit):
    once = sanitized(text, limit)

    assert sanitized(once, limit) == once


# --- statuses ---------------------------------------------------------------------------------------------------


def test_the_documented_statuses_have_their_documented_numbers():
    assert {name_of(number): known_status(number) for number in range(6)} == {
        "UNSPECIFIED": HamrStatus.UNSPECIFIED,
        "ONBOARDING": HamrStatus.ONBOARDING,
        "PASSIVE": HamrStatus.PASSIVE,
        "FAILOVER": HamrStatus.FAILOVER,
        "ACTIVE": HamrStatus.ACTIVE,
        "RECOVERY": HamrStatus.RECOVERY,
    }
    assert [status.value for status in HamrStatus] == [0, 1, 2, 3, 4, 5]


@given(st.integers().filter(lambda number: number not in range(6)))
def test_an_undocumented_number_is_named_by_itself_and_known_as_nothing(number):
    assert known_status(number) is None
    assert name_of(number) == f"Unknown status {number}"


def test_no_number_is_no_status():
    assert known_status(None) is None


# --- when to read again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "repeats", "retry_after", "seconds"),
    [
        (ReadOutcome.ANSWERED, 1, None, 30),
        (ReadOutcome.ANSWERED, 9000, None, 30),
        (ReadOutcome.NO_CONNECTION, 5, None, 30),
        (ReadOutcome.KEY_REFUSED, 1, None, REFUSED_WAIT),
        (ReadOutcome.WRONG_ORGANIZATION, 1, None, REFUSED_WAIT),
        (ReadOutcome.KEYS_UNREADABLE, 1, None, 30),
        (ReadOutcome.RATE_LIMITED, 1, 40.0, 40),
        (ReadOutcome.RATE_LIMITED, 9, 1.0, 30),
        (ReadOutcome.RATE_LIMITED, 1, -5.0, 30),
        (ReadOutcome.RATE_LIMITED, 1, 1e9, LONGEST_ASKED),
        (ReadOutcome.RATE_LIMITED, 1, None, 30),
        (ReadOutcome.NO_ANSWER, 1, None, 30),
        (ReadOutcome.NO_ANSWER, PATIENCE, None, 30),
        (ReadOutcome.NO_ANSWER, PATIENCE + 1, None, 60),
        (ReadOutcome.NO_ANSWER, PATIENCE + 2, None, LONGEST_WAIT),
        (ReadOutcome.NO_ANSWER, 10**9, None, LONGEST_WAIT),
        (ReadOutcome.SERVER_ERROR, PATIENCE + 1, None, 60),
        (ReadOutcome.UNREADABLE, PATIENCE + 1, None, 60),
        (ReadOutcome.REFUSED, PATIENCE + 1, None, 60),
    ],
)
def test_the_wait_after_a_read(outcome, repeats, retry_after, seconds):
    wait = seconds_until_next_read(outcome, repeats=repeats, interval=30, retry_after=retry_after)

    assert wait == seconds


@pytest.mark.parametrize("outcome", list(ReadOutcome))
def test_an_interval_longer_than_every_wait_is_kept(outcome):
    assert seconds_until_next_read(outcome, repeats=50, interval=900, retry_after=60) == 900


outcomes = st.sampled_from(list(ReadOutcome))
intervals = st.floats(1, 3600)
asked = st.none() | st.floats(allow_nan=False)


@given(outcomes, st.integers(0, 10**6), intervals, asked)
def test_the_wait_is_never_shorter_than_the_interval_nor_longer_than_five_minutes(outcome, repeats, interval, asked):
    wait = seconds_until_next_read(outcome, repeats=repeats, interval=interval, retry_after=asked)

    assert interval <= wait <= max(300, interval)


@given(outcomes, st.integers(0, 50), st.integers(0, 50), intervals, asked)
def test_more_repeats_never_shorten_the_wait(outcome, fewer, more, interval, asked):
    first = seconds_until_next_read(outcome, repeats=min(fewer, more), interval=interval, retry_after=asked)
    later = seconds_until_next_read(outcome, repeats=max(fewer, more), interval=interval, retry_after=asked)

    assert first <= later


# --- views ------------------------------------------------------------------------------------------------------

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CONNECTION = Connection(
    organization_uuid=UUID(int=1),
    status=3,
    is_primary=True,
    modified_at=AT,
    modified_by="mara.lindqvist@halden.example",
    target_uuid=UUID(int=2),
    target_name="acme-dr",
    target_datacenter="us5.prod.dog",
    own_datacenter="us1",
    spelling=Spelling.PASCAL_CASE,
)
VIEW = View(
    has_connection=True,
    status=3,
    is_primary=True,
    modified_at=AT,
    modified_by="mara.lindqvist@halden.example",
    target_uuid=UUID(int=2),
    target_name="acme-dr",
    target_datacenter="us5.prod.dog",
)


def test_a_view_is_what_an_answer_states():
    assert View.of(CONNECTION) == VIEW


def test_a_view_of_no_connection_says_nothing_else():
    nothing = View.of(None)

    assert nothing == View(has_connection=False)
    assert (nothing.status, nothing.is_primary, nothing.modified_by, nothing.target_uuid) == (None, None, "", None)


def test_a_datacenters_two_forms_say_the_same():
    short = replace(VIEW, target_datacenter="US5")

    assert VIEW.says_the_same(short)
    assert short.says_the_same(VIEW)
    assert short != VIEW


@pytest.mark.parametrize(
    "changed",
    [
        {"has_connection": False},
        {"status": 4},
        {"is_primary": False},
        {"modified_at": AT.replace(second=1)},
        {"modified_at": None},
        {"modified_by": "jonas.weber@halden.example"},
        {"target_uuid": UUID(int=3)},
        {"target_name": "acme-dr-2"},
        {"target_datacenter": "us3.prod.dog"},
    ],
)
def test_any_other_difference_says_something_else(changed):
    assert not VIEW.says_the_same(replace(VIEW, **changed))
