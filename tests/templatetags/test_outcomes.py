from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.templatetags import _outcomes

AT = datetime(2026, 3, 14, 23, 59, 58, 7_900, tzinfo=UTC)


@dataclass(frozen=True)
class Told:
    """A change and what its log says of it."""

    change: Any
    was_in_doubt: bool = False
    arrived_late: bool = False
    other_agrees: bool = True


def told(status: ChangeStatus, http_status: int | None = None, **said: bool) -> Told:
    change = SimpleNamespace(status=status.value, http_status=http_status, organization=SimpleNamespace(site="us5"))
    return Told(change, **said)


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (told(ChangeStatus.VERIFIED), "Verified"),
        (told(ChangeStatus.VERIFIED, other_agrees=False), "Verified on us5"),
        (told(ChangeStatus.VERIFIED, was_in_doubt=True, other_agrees=False), "Reconciled: applied"),
        (told(ChangeStatus.VERIFIED, was_in_doubt=True, arrived_late=True), "Took effect late"),
        (told(ChangeStatus.REJECTED, 403), "Rejected, HTTP 403"),
        (told(ChangeStatus.NOT_SENT), "Not sent"),
        (told(ChangeStatus.UNKNOWN, 503), "Outcome unknown"),
        (told(ChangeStatus.NOT_APPLIED), "Reconciled: not applied"),
        (told(ChangeStatus.SUPERSEDED), "Overtaken by another write"),
    ],
)
def test_an_outcome_has_the_words_of_the_design_language(story: Told, words: str) -> None:
    assert _outcomes.outcome_words(story) == words
    assert f"{words}</span>" in _outcomes.outcome(story)


def test_every_status_has_an_outcome() -> None:
    assert all(_outcomes.outcome(told(status)) for status in ChangeStatus)


def test_changes_are_grouped_by_who_has_to_act() -> None:
    waiting, sending, unknown, sent = (
        told(status)
        for status in (
            ChangeStatus.AWAITING_APPROVAL,
            ChangeStatus.SENDING,
            ChangeStatus.UNKNOWN,
            ChangeStatus.VERIFIED,
        )
    )

    preview = told(ChangeStatus.PREPARED)

    groups = _outcomes.in_groups([sent, preview, sending, waiting, unknown])

    assert groups == [
        ("Waiting for approval", [waiting]),
        ("Open", [sending, unknown]),
        ("Previews", [preview]),
        ("Final", [sent]),
    ]


def test_every_status_says_what_was_done_before() -> None:
    said = [_outcomes.moved_before(status) for status in ChangeStatus]

    assert len(set(said)) == len(ChangeStatus)
    assert all(words.startswith("it ") for words in said)


@pytest.mark.parametrize(("first", "day"), [(None, False), (AT, False), (AT.replace(day=13), True)])
def test_a_moment_is_told_to_the_millisecond_with_its_day_where_that_differs(first: datetime | None, day: bool) -> None:
    shown = _outcomes.to_the_ms(AT, first)

    assert "23:59:58.007" in shown
    assert ("14 Mar" in shown) is day


@pytest.mark.parametrize(
    ("has_connection", "status", "name"),
    [(True, 3, "FAILOVER"), (True, 9, "Unknown status 9"), (False, None, "no connection"), (None, None, "")],
)
def test_what_a_side_said_has_a_name(has_connection: bool | None, status: int | None, name: str) -> None:
    assert _outcomes.view_name(SimpleNamespace(has_connection=has_connection, status=status)) == name


def test_nothing_was_said_where_there_was_no_reading() -> None:
    assert _outcomes.view_name(None) == ""
