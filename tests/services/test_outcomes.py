from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from hamr_portal.domain.changes import ChangeStatus, Move, What
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.models import Change, LogLine, Organization
from hamr_portal.services import audit, outcomes
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing

pytestmark = pytest.mark.django_db


@pytest.fixture
def sides() -> tuple[Organization, Organization]:
    return factories.pair("acme", "acme-dr")


@pytest.fixture
def change(sides: tuple[Organization, Organization]) -> Change:
    return changing.standing(sides[0], ChangeStatus.UNKNOWN, other=sides[1])


def tell(change: Change, what: What, organization: Organization | None = None, **fields: Any) -> LogLine:
    at = timezone.now()
    return LogLine.objects.create(
        change=change, what=what, organization=organization, **{"at": at, "last_at": at, **fields}
    )


def answered(change: Change, what: What, organization: Organization, status: int) -> LogLine:
    return tell(
        change, what, organization, has_connection=True, status=status, outcome=ReadOutcome.ANSWERED, is_primary=True
    )


def moved(change: Change, move: Move, **fields: Any) -> LogLine:
    return tell(change, What.MOVED, move=move.name, **fields)


def test_a_log_without_lines_tells_nothing(change: Change) -> None:
    story = outcomes.story(change)

    assert (story.before, story.other_before, story.result, story.own_read, story.other_read) == (None,) * 5
    assert (story.own_answer, story.move, story.again_at) == (None,) * 3
    assert (story.told, story.was_in_doubt, story.arrived_late, story.is_unchanged) == ([], False, False, False)


def test_what_was_there_before_is_each_sides_reading_at_the_preview(
    change: Change, sides: tuple[Organization, Organization]
) -> None:
    own, other = (answered(change, What.PREVIEWED, side, 2) for side in sides)
    again = answered(change, What.READ_AGAIN, sides[0], 2)

    story = outcomes.story(change)

    assert (story.before, story.other_before) == (own, other)
    assert story.told == [again]


def test_the_result_is_what_came_of_the_request_and_not_of_reading_it_back(change: Change) -> None:
    moved(change, Move.SEND)
    lost = moved(change, Move.LOSE, retry_after=60.0)
    verified = moved(change, Move.VERIFY)

    story = outcomes.story(change)

    assert (story.result, story.move) == (lost, verified)
    assert story.again_at == lost.at + timedelta(seconds=60)
    assert story.was_in_doubt
    assert not story.arrived_late


def test_what_is_read_after_the_last_move_is_no_move(change: Change, sides: tuple[Organization, Organization]) -> None:
    lost = moved(change, Move.LOSE)
    answered(change, What.READ_BACK, sides[0], 2)

    assert outcomes.story(change).move == lost


def test_nobody_says_when_it_may_be_sent_again_where_the_answer_did_not(change: Change) -> None:
    moved(change, Move.REJECT)

    assert outcomes.story(change).again_at is None


def test_the_last_answer_of_the_side_may_be_older_than_its_last_reading(
    change: Change, sides: tuple[Organization, Organization]
) -> None:
    answer = answered(change, What.READ_BACK, sides[0], 2)
    silence = tell(change, What.READ_BACK, sides[0], outcome=ReadOutcome.NO_ANSWER)

    story = outcomes.story(change)

    assert (story.own_answer, story.own_read) == (answer, silence)


@pytest.mark.parametrize(("status", "agrees"), [(3, True), (2, False), (None, False)])
def test_the_other_side_agrees_where_it_shows_what_was_asked(
    change: Change, sides: tuple[Organization, Organization], status: int | None, agrees: bool
) -> None:
    if status is None:
        tell(change, What.READ_BACK, sides[1], outcome=ReadOutcome.NO_ANSWER)
    else:
        answered(change, What.READ_BACK, sides[1], status)

    assert outcomes.story(change).other_agrees is agrees


def test_nobody_disagrees_where_there_is_no_other_side(sides: tuple[Organization, Organization]) -> None:
    assert outcomes.story(changing.standing(sides[0], ChangeStatus.VERIFIED)).other_agrees


@pytest.mark.parametrize(("status", "unchanged"), [(2, True), (3, False)])
def test_a_side_is_unchanged_where_it_says_what_it_said_just_before(
    change: Change, sides: tuple[Organization, Organization], status: int, unchanged: bool
) -> None:
    answered(change, What.PREVIEWED, sides[0], 1)
    answered(change, What.READ_AGAIN, sides[0], 2)
    answered(change, What.READ_BACK, sides[0], status)

    assert outcomes.story(change).is_unchanged is unchanged


def test_many_logs_cost_one_query(
    sides: tuple[Organization, Organization], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    made = [changing.standing(side, ChangeStatus.CANCELLED) for side in sides]
    lines = [moved(change, Move.CANCEL) for change in made]

    with django_assert_num_queries(1):
        stories = outcomes.stories(made)

    assert [story.move for story in stories] == lines


def test_the_record_says_where_it_tells_of_a_change(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)

    change = changing.changed(primary)
    entries = audit.entries_of(change.pk)

    assert entries.first is not None
    assert entries.last is not None
    assert entries.first < entries.last == entries.receipt


def test_the_record_says_nothing_of_a_change_that_is_not_there() -> None:
    assert audit.entries_of(7) == audit.Entries(None, None, None)
