from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hamr_portal.domain.freezes import LONGEST, LONGEST_REASON, Problem, problems

NOW = datetime(2026, 3, 15, 3, 12, tzinfo=UTC)
SOON = NOW + timedelta(hours=2)


def test_a_reason_and_an_end_are_all_it_takes():
    assert problems("Quarter end", SOON, now=NOW) == []
    assert problems("x" * LONGEST_REASON, NOW + LONGEST, now=NOW) == []


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("", Problem.REASON_MISSING),
        (" \n", Problem.REASON_MISSING),
        ("x" * (LONGEST_REASON + 1), Problem.REASON_TOO_LONG),
        ("key 0123456789abcdef0123456789abcdef", Problem.KEY_IN_REASON),
    ],
)
def test_a_reason_is_needed_short_and_without_keys(reason: str, expected: Problem):
    assert problems(reason, SOON, now=NOW) == [expected]


@pytest.mark.parametrize(
    ("ends_in", "expected"),
    [
        (timedelta(0), Problem.END_PASSED),
        (timedelta(hours=-1), Problem.END_PASSED),
        (LONGEST + timedelta(seconds=1), Problem.END_TOO_FAR),
    ],
)
def test_the_end_is_ahead_and_not_too_far(ends_in: timedelta, expected: Problem):
    assert problems("Quarter end", NOW + ends_in, now=NOW) == [expected]


def test_everything_that_is_wrong_is_said_at_once():
    assert problems("", NOW, now=NOW) == [Problem.REASON_MISSING, Problem.END_PASSED]
