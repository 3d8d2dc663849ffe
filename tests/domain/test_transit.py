"""Since when a side is between two statuses: known where it dates that itself, else for at least so long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.transit import PASSED_WITHIN, Seen, Transit, transit

PASSIVE, FAILOVER, ACTIVE, RECOVERY = HamrStatus.PASSIVE, HamrStatus.FAILOVER, HamrStatus.ACTIVE, HamrStatus.RECOVERY
NOW = datetime(2026, 11, 2, 3, 10, tzinfo=UTC)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def seen(minutes: float, status: int | None, written: float | None = None) -> Seen:
    return Seen(ago(minutes), status, ago(written) if written is not None else None)


def known(minutes: float) -> Transit:
    return Transit(ago(minutes), is_known=True)


def at_least(minutes: float) -> Transit:
    return Transit(ago(minutes), is_known=False)


@pytest.mark.parametrize("status", [FAILOVER, RECOVERY])
def test_a_beginning_that_the_side_dates_between_two_lines_is_known(status: int) -> None:
    assert transit(status, [seen(60, PASSIVE), seen(14, status, written=15)]) == known(15)


def test_a_beginning_that_nobody_dates_is_known_from_when_it_was_seen_at_least() -> None:
    assert transit(FAILOVER, [seen(60, PASSIVE), seen(14, FAILOVER)]) == at_least(14)


def test_a_side_whose_clock_runs_ahead_dates_nothing() -> None:
    assert transit(FAILOVER, [seen(60, PASSIVE), seen(14, FAILOVER, written=13)]) == at_least(14)


def test_a_write_of_before_the_last_other_line_is_not_the_beginning() -> None:
    assert transit(FAILOVER, [seen(60, PASSIVE), seen(14, FAILOVER, written=61)]) == at_least(14)


def test_where_nothing_else_was_ever_seen_the_side_says_it_for_at_least_as_long_as_its_last_write() -> None:
    assert transit(FAILOVER, [seen(14, FAILOVER, written=40)]) == at_least(40)
    assert transit(FAILOVER, [seen(14, FAILOVER)]) == at_least(14)


def test_a_line_of_the_same_status_does_not_begin_anew() -> None:
    lines = [seen(60, PASSIVE), seen(14, FAILOVER, written=15), seen(5, FAILOVER, written=6)]

    assert transit(FAILOVER, lines) == known(15)


def test_the_last_time_counts_and_not_one_before() -> None:
    lines = [seen(90, FAILOVER, written=91), seen(60, ACTIVE), seen(14, FAILOVER, written=15)]

    assert transit(FAILOVER, lines) == known(15)


@pytest.mark.parametrize("status", [None, 0, HamrStatus.ONBOARDING, PASSIVE, ACTIVE, 99])
def test_what_is_lived_in_has_no_clock(status: int | None) -> None:
    assert transit(status, [seen(14, status)]) is None


def test_a_history_that_does_not_tell_of_the_status_tells_no_beginning() -> None:
    assert transit(FAILOVER, []) is None
    assert transit(FAILOVER, [seen(14, PASSIVE)]) is None


def test_it_lasts_from_the_limit_on() -> None:
    assert Transit(NOW - PASSED_WITHIN, is_known=True).lasts(NOW)
    assert not Transit(NOW - PASSED_WITHIN + timedelta(seconds=1), is_known=True).lasts(NOW)
