from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hamr_portal.domain.readiness import (
    KEYS_DUE_AFTER_DAYS,
    LOG_LATE_AFTER,
    SKEW_ALLOWED,
    Fine,
    Found,
    Keys,
    Risk,
    Topic,
    Urgency,
    fine_keys,
    in_order,
    is_skewed,
    of_keys,
    of_log,
    skew,
)

NOW = datetime(2026, 3, 15, 3, 12, tzinfo=UTC)
FRESH = timedelta(minutes=2)
SAVED = NOW - timedelta(days=38)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def keys(**over: Any) -> Keys:
    """Give keys with which all is well, but for `over`."""
    fine = {"answered_at": NOW - SECOND, "read_outcome": "ANSWERED", "verify_outcome": "READS", "verified_at": SAVED}
    return Keys("acme", "us1", **{"saved_at": SAVED, **fine, **over})


def risks(of: Keys) -> list[Risk]:
    return [found.risk for found in of_keys(of, now=NOW, fresh=FRESH)]


def test_keys_that_read_a_moment_ago_are_no_risk():
    assert risks(keys()) == []


@pytest.mark.parametrize("outcome", ["KEY_REFUSED", "WRONG_ORGANIZATION", "KEYS_UNREADABLE"])
def test_what_the_last_read_says_against_keys_hides_that_they_do_not_read(outcome: str):
    assert risks(keys(read_outcome=outcome, answered_at=None)) == [Risk[outcome]]


@pytest.mark.parametrize(
    ("verified_at", "answered_at", "expected"),
    [
        (NOW, NOW - SECOND, [Risk.PERMISSION_MISSING]),
        (NOW, None, [Risk.PERMISSION_MISSING]),
        (NOW - 2 * SECOND, NOW - SECOND, []),
        (None, NOW - SECOND, []),
    ],
)
def test_a_verify_counts_until_a_newer_read_answers(
    verified_at: datetime | None, answered_at: datetime | None, expected: list[Risk]
):
    made = keys(verify_outcome="PERMISSION_MISSING", verified_at=verified_at, answered_at=answered_at)

    assert risks(made) == expected


def test_who_never_answered_was_never_read():
    (found,) = of_keys(keys(answered_at=None, read_outcome="NO_ANSWER"), now=NOW, fresh=FRESH)

    assert found == Found(Risk.NEVER_READ, "acme", "us1", detail="NO_ANSWER")


@pytest.mark.parametrize(
    ("ago", "expected"), [(FRESH, []), (FRESH + SECOND, [Risk.NOT_READ]), (-FRESH - SECOND, [Risk.NOT_READ])]
)
def test_a_view_is_fresh_so_long(ago: timedelta, expected: list[Risk]):
    assert risks(keys(answered_at=NOW - ago)) == expected


@pytest.mark.parametrize(
    ("wrote_at", "refused_at", "expected"),
    [
        (None, NOW - DAY, [Risk.WRITE_REFUSED]),
        (NOW - 2 * DAY, NOW - DAY, [Risk.WRITE_REFUSED]),
        (NOW - DAY, NOW - 2 * DAY, []),
        (None, SAVED - DAY, []),
        (SAVED - DAY, NOW - DAY, [Risk.WRITE_REFUSED]),
        (None, None, []),
    ],
)
def test_a_write_that_was_refused_counts_for_these_very_keys_until_one_goes_through(
    wrote_at: datetime | None, refused_at: datetime | None, expected: list[Risk]
):
    assert risks(keys(wrote_at=wrote_at, refused_at=refused_at)) == expected


@pytest.mark.parametrize(("days", "expected"), [(KEYS_DUE_AFTER_DAYS, []), (KEYS_DUE_AFTER_DAYS + 1, [Risk.KEYS_OLD])])
def test_keys_are_due_after_so_many_days(days: int, expected: list[Risk]):
    made = keys(saved_at=NOW - days * DAY)

    assert risks(made) == expected
    assert [found.count for found in of_keys(made, now=NOW, fresh=FRESH)] == [days] * len(expected)


def test_what_is_fine_is_counted_of_all():
    every = [
        keys(wrote_at=NOW - DAY),
        keys(wrote_at=NOW - 2 * DAY, refused_at=NOW - DAY),
        keys(answered_at=NOW - DAY, saved_at=NOW - 100 * DAY),
        keys(read_outcome="KEY_REFUSED"),
        keys(answered_at=None),
    ]

    assert list(fine_keys(every, now=NOW, fresh=FRESH)) == [
        Fine(Topic.KEYS, 3, 5),
        Fine(Topic.WRITES, 1, 5, NOW - DAY),
        Fine(Topic.READS, 3, 5, limit=120.0),
        Fine(Topic.AGE, 4, 5),
    ]


@pytest.mark.parametrize(
    ("verified_ago", "unanchored_ago", "expected"),
    [
        (SECOND, None, []),
        (LOG_LATE_AFTER, LOG_LATE_AFTER, []),
        (LOG_LATE_AFTER + SECOND, None, [Risk.LOG_NOT_VERIFIED]),
        (None, None, [Risk.LOG_NOT_VERIFIED]),
        (SECOND, LOG_LATE_AFTER + SECOND, [Risk.ANCHOR_LATE]),
    ],
)
def test_a_log_is_late_when_nobody_verifies_or_anchors_it(
    verified_ago: timedelta | None, unanchored_ago: timedelta | None, expected: list[Risk]
):
    verified_at = NOW - verified_ago if verified_ago is not None else None
    unanchored = NOW - unanchored_ago if unanchored_ago is not None else None

    assert [found.risk for found in of_log(verified_at, unanchored, now=NOW)] == expected


def test_one_site_with_a_wrong_clock_is_not_this_machines_trouble():
    assert skew([0.4, 0.6, 3600.0]) == 0.6
    assert skew([]) is None


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, False), (SKEW_ALLOWED, False), (-SKEW_ALLOWED, False), (61.0, True), (-61.0, True)],
)
def test_a_clock_may_differ_so_much_either_way(seconds: float | None, expected: bool):
    assert is_skewed(seconds) is expected


def test_the_worst_comes_first_and_then_by_name():
    listed = [Found(Risk.KEYS_OLD, "a"), Found(Risk.KEY_REFUSED, "c"), Found(Risk.KEY_REFUSED, "b")]

    assert [found.name for found in in_order(listed)] == ["b", "c", "a"]


def test_what_fails_stands_before_what_is_due():
    urgencies = [risk.urgency for risk in Risk]

    assert urgencies == sorted(urgencies, key=list(Urgency).index)
