"""The verdict on two sides: each row of the design's table, and what holds for any two sides."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hamr_portal.domain.changes import OPEN, ChangeStatus
from hamr_portal.domain.connections import HamrStatus, ReadOutcome
from hamr_portal.domain.findings import (
    OUTSIDE_CHANGE_SHOWN_FOR,
    UNREACHABLE_AFTER,
    VERDICT_OF,
    Finding,
    Group,
    Join,
    Judgement,
    OpenChange,
    Verdict,
    judge_alone,
    judge_pair,
)
from hamr_portal.domain.pairs import Column, Side
from hamr_portal.domain.transit import PASSED_WITHIN, Transit

NOW = datetime(2026, 11, 2, 3, 10, tzinfo=UTC)
STALE_AFTER = timedelta(minutes=2)
CHANGED = NOW - timedelta(days=12)
FAILING_SINCE = NOW - timedelta(minutes=4)
US1 = UUID("11111111-1111-1111-1111-111111111111")
US5 = UUID("55555555-5555-5555-5555-555555555555")
ELSEWHERE = UUID("99999999-9999-9999-9999-999999999999")
PASSIVE, FAILOVER, ACTIVE, RECOVERY = (
    HamrStatus.PASSIVE,
    HamrStatus.FAILOVER,
    HamrStatus.ACTIVE,
    HamrStatus.RECOVERY,
)

PRIMARY = Side(
    name="halden-checkout",
    site="us1",
    uuid=US1,
    column=Column.PRIMARY,
    has_connection=True,
    status=2,
    is_primary=True,
    modified_at=CHANGED,
    modified_by="mara.lindqvist@halden.example",
    target_uuid=US5,
    target_name="halden-checkout-dr",
    target_datacenter="us5",
    answered_at=NOW - timedelta(seconds=9),
    view_since=NOW - timedelta(hours=1),
    outcome=ReadOutcome.ANSWERED,
    outcome_since=NOW - timedelta(days=1),
    repeats=200,
)
SECONDARY = replace(
    PRIMARY,
    name="halden-checkout-dr",
    site="us5",
    uuid=US5,
    column=Column.SECONDARY,
    is_primary=False,
    target_uuid=US1,
    target_name="halden-checkout",
    target_datacenter="us1",
)


SENT = NOW - timedelta(seconds=4)
SENDING = OpenChange(ChangeStatus.SENDING, SECONDARY.name, before=PASSIVE, target=FAILOVER, since=SENT)


def judged(primary: Side = PRIMARY, secondary: Side = SECONDARY, change: OpenChange | None = None) -> Judgement:
    return judge_pair(primary, secondary, now=NOW, stale_after=STALE_AFTER, change=change)


def alone(side: Side = PRIMARY, *, target_is_saved: bool = False, change: OpenChange | None = None) -> Judgement:
    because = Finding.TARGETS_DIFFER if target_is_saved else Finding.OTHER_SIDE_NOT_SAVED
    return judge_alone(side, now=NOW, stale_after=STALE_AFTER, because=because, change=change)


def both(status: int, **fields: Any) -> tuple[Side, Side]:
    return replace(PRIMARY, status=status, **fields), replace(SECONDARY, status=status, **fields)


def failing(side: Side, outcome: ReadOutcome, repeats: int = 1) -> Side:
    return replace(side, outcome=outcome, repeats=repeats, outcome_since=FAILING_SINCE, answered_at=FAILING_SINCE)


def bare(side: Side) -> Side:
    """A side whose organization has no connection."""
    return Side(
        name=side.name,
        site=side.site,
        uuid=side.uuid,
        column=side.column,
        has_connection=False,
        answered_at=side.answered_at,
        view_since=side.view_since,
        outcome=ReadOutcome.NO_CONNECTION,
        outcome_since=side.view_since,
        repeats=3,
    )


def unread(side: Side) -> Side:
    return Side(name=side.name, site=side.site, uuid=side.uuid, column=side.column)


# --- each verdict -----------------------------------------------------------------------------------------------


def test_two_fresh_passive_views_that_name_each_other_are_in_sync():
    judgement = judged()

    assert judgement.verdict is Verdict.IN_SYNC
    assert judgement.join is Join.AGREE
    assert judgement.since == CHANGED


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (HamrStatus.ONBOARDING, Verdict.ONBOARDING),
        (HamrStatus.PASSIVE, Verdict.IN_SYNC),
        (HamrStatus.FAILOVER, Verdict.FAILOVER_IN_PROGRESS),
        (HamrStatus.ACTIVE, Verdict.FAILED_OVER),
        (HamrStatus.RECOVERY, Verdict.RECOVERY_IN_PROGRESS),
        (HamrStatus.UNSPECIFIED, Verdict.UNKNOWN_STATUS),
        (6, Verdict.UNKNOWN_STATUS),
        (99, Verdict.UNKNOWN_STATUS),
        (-1, Verdict.UNKNOWN_STATUS),
    ],
)
def test_a_status_on_both_sides_makes_its_verdict(status, verdict):
    judgement = judged(*both(status))

    assert judgement.verdict is verdict
    assert judgement.join is Join.AGREE


@pytest.mark.parametrize(
    ("primary", "secondary", "finding"),
    [
        ({"status": ACTIVE}, {}, Finding.STATUSES_DIFFER),
        ({}, {"status": 99}, Finding.STATUSES_DIFFER),
        ({}, {"is_primary": True}, Finding.BOTH_PRIMARY),
        ({"is_primary": False}, {}, Finding.NEITHER_PRIMARY),
        ({"target_uuid": ELSEWHERE}, {}, Finding.TARGETS_DIFFER),
        ({}, {"target_uuid": ELSEWHERE}, Finding.TARGETS_DIFFER),
        ({}, {"target_uuid": None}, Finding.TARGETS_DIFFER),
    ],
)
def test_views_that_contradict_each_other_are_a_split_view(primary, secondary, finding):
    judgement = judged(replace(PRIMARY, **primary), replace(SECONDARY, **secondary))

    assert judgement.verdict is Verdict.SPLIT_VIEW
    assert judgement.join is Join.DISAGREE
    assert judgement.has(finding)


def test_a_wrong_target_is_found_on_the_side_that_names_it():
    strayed = replace(SECONDARY, target_uuid=ELSEWHERE)

    found = [found for found in judged(secondary=strayed).findings if found.finding is Finding.TARGETS_DIFFER]

    assert [each.side for each in found] == [strayed]


def test_a_target_cannot_be_wrong_while_the_other_uuid_is_not_known():
    judgement = judged(secondary=replace(SECONDARY, uuid=None))

    assert not judgement.has(Finding.TARGETS_DIFFER)


@pytest.mark.parametrize("status", [HamrStatus.ONBOARDING, HamrStatus.UNSPECIFIED])
@pytest.mark.parametrize("primary_is_bare", [True, False])
def test_no_connection_on_one_side_is_onboarding_while_the_other_is_set_up(status, primary_is_bare):
    sides = (bare(PRIMARY), replace(SECONDARY, status=status))
    sides = sides if primary_is_bare else (replace(PRIMARY, status=status), bare(SECONDARY))

    judgement = judged(*sides)

    assert judgement.verdict is Verdict.ONBOARDING
    assert judgement.join is Join.ONE_SIDE
    assert [found.side for found in judgement.findings] == [sides[0] if primary_is_bare else sides[1]]


@pytest.mark.parametrize("status", [PASSIVE, FAILOVER, ACTIVE, RECOVERY, 99])
@pytest.mark.parametrize("primary_is_bare", [True, False])
def test_no_connection_on_one_side_is_a_split_view_once_the_other_is_beyond_onboarding(status, primary_is_bare):
    sides = (bare(PRIMARY), replace(SECONDARY, status=status))
    sides = sides if primary_is_bare else (replace(PRIMARY, status=status), bare(SECONDARY))

    judgement = judged(*sides)

    assert judgement.verdict is Verdict.SPLIT_VIEW
    assert judgement.join is Join.ONE_SIDE
    assert judgement.has(Finding.CONNECTION_ON_ONE_SIDE)


def test_no_connection_on_both_sides():
    judgement = judged(bare(PRIMARY), bare(SECONDARY))

    assert judgement.verdict is Verdict.NO_CONNECTION
    assert judgement.join is Join.AGREE
    assert judgement.since == PRIMARY.view_since


@pytest.mark.parametrize(
    ("primary_is", "secondary_is", "verdict"),
    [
        (3, 0, Verdict.PRIMARY_UNREACHABLE),
        (0, 3, Verdict.SECONDARY_UNREACHABLE),
        (3, 3, Verdict.BOTH_UNREACHABLE),
        (24, 2, Verdict.PRIMARY_UNREACHABLE),
        (2, 0, Verdict.NO_ANSWER),
        (0, 1, Verdict.NO_ANSWER),
        (2, 2, Verdict.NO_ANSWER),
    ],
)
def test_three_reads_in_a_row_without_an_answer_make_a_side_unreachable(primary_is, secondary_is, verdict):
    sides = [
        failing(side, ReadOutcome.NO_ANSWER, repeats) if repeats else side
        for side, repeats in ((PRIMARY, primary_is), (SECONDARY, secondary_is))
    ]

    judgement = judged(sides[0], sides[1])

    assert judgement.verdict is verdict
    assert judgement.join is Join.NOT_KNOWN
    assert judgement.since == FAILING_SINCE


def test_both_are_unreachable_since_the_second_of_them_is():
    later = FAILING_SINCE + timedelta(minutes=1)
    secondary = replace(failing(SECONDARY, ReadOutcome.NO_ANSWER, 3), outcome_since=later)

    judgement = judged(failing(PRIMARY, ReadOutcome.NO_ANSWER, 9), secondary)

    assert judgement.since == later


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (ReadOutcome.KEY_REFUSED, Verdict.KEY_REFUSED),
        (ReadOutcome.KEYS_UNREADABLE, Verdict.KEYS_UNREADABLE),
        (ReadOutcome.WRONG_ORGANIZATION, Verdict.WRONG_ORGANIZATION),
        (ReadOutcome.RATE_LIMITED, Verdict.RATE_LIMITED),
        (ReadOutcome.SERVER_ERROR, Verdict.SERVER_ERRORS),
        (ReadOutcome.REFUSED, Verdict.SERVER_ERRORS),
        (ReadOutcome.UNREADABLE, Verdict.UNREADABLE_ANSWER),
        (ReadOutcome.NO_ANSWER, Verdict.NO_ANSWER),
    ],
)
@pytest.mark.parametrize("on_primary", [True, False])
def test_a_failed_read_makes_its_verdict_at_once_whichever_side_it_is_on(outcome, verdict, on_primary):
    bad = failing(PRIMARY if on_primary else SECONDARY, outcome)

    judgement = judged(bad, SECONDARY) if on_primary else judged(PRIMARY, bad)

    assert judgement.verdict is verdict
    assert judgement.join is Join.NOT_KNOWN
    assert judgement.since == FAILING_SINCE
    assert [found.side for found in judgement.findings] == [bad]


def test_a_view_is_stale_when_it_is_older_than_the_limit_and_not_before():
    at_the_limit = replace(SECONDARY, answered_at=NOW - STALE_AFTER)
    over_it = replace(SECONDARY, answered_at=NOW - STALE_AFTER - timedelta(microseconds=1))

    assert judged(secondary=at_the_limit).verdict is Verdict.IN_SYNC
    assert judged(secondary=over_it).verdict is Verdict.STALE
    assert judged(secondary=over_it).since == over_it.answered_at
    assert judged(secondary=over_it).join is Join.NOT_KNOWN


def test_a_view_from_before_the_clock_was_set_back_is_not_shown_as_the_present():
    tomorrow = replace(SECONDARY, answered_at=NOW + timedelta(days=1))

    assert judged(secondary=tomorrow).verdict is Verdict.STALE
    assert judged(secondary=replace(SECONDARY, answered_at=NOW + timedelta(seconds=2))).verdict is Verdict.IN_SYNC


def test_a_side_that_was_never_read_leaves_the_pair_unjudged():
    judgement = judged(secondary=unread(SECONDARY))

    assert judgement.verdict is Verdict.NOT_READ_YET
    assert judgement.join is Join.NOT_KNOWN
    assert judgement.since is None


# --- findings that are no verdict -------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [{"modified_by": "priya.raman"}, {"modified_at": NOW - timedelta(days=2)}])
def test_another_author_or_time_is_pointed_out_and_leaves_the_pair_in_sync(other):
    judgement = judged(secondary=replace(SECONDARY, **other))

    assert judgement.verdict is Verdict.IN_SYNC
    assert judgement.join is Join.AGREE
    assert judgement.has(Finding.MODIFIED_DIFFERS)


def test_a_change_from_outside_is_pointed_out_for_an_hour():
    recent = replace(SECONDARY, outside_at=NOW - OUTSIDE_CHANGE_SHOWN_FOR)
    older = replace(SECONDARY, outside_at=NOW - OUTSIDE_CHANGE_SHOWN_FOR - timedelta(seconds=1))

    assert judged(secondary=recent).has(Finding.CHANGED_OUTSIDE)
    assert judged(secondary=recent).verdict is Verdict.IN_SYNC
    assert not judged(secondary=older).has(Finding.CHANGED_OUTSIDE)


def test_a_change_from_outside_stays_pointed_out_while_the_side_is_dark():
    dark = replace(failing(SECONDARY, ReadOutcome.NO_ANSWER, 3), outside_at=FAILING_SINCE)

    assert judged(secondary=dark).has(Finding.CHANGED_OUTSIDE)


# --- since ------------------------------------------------------------------------------------------------------


def test_a_split_holds_since_the_later_of_the_two_changes():
    judgement = judged(replace(PRIMARY, status=ACTIVE, modified_at=NOW - timedelta(minutes=2)))

    assert judgement.since == NOW - timedelta(minutes=2)


def test_where_a_side_gives_no_time_it_counts_from_when_its_view_was_first_seen():
    judgement = judged(*both(FAILOVER, modified_at=None))

    assert judgement.since == PRIMARY.view_since


def test_where_nothing_tells_the_time_since_is_not_known():
    assert judged(*both(FAILOVER, modified_at=None, view_since=None)).since is None


def test_two_causes_of_one_verdict_count_from_the_earlier():
    earlier = FAILING_SINCE - timedelta(minutes=3)
    primary = replace(failing(PRIMARY, ReadOutcome.RATE_LIMITED), outcome_since=earlier)

    judgement = judged(primary, failing(SECONDARY, ReadOutcome.RATE_LIMITED))

    assert judgement.since == earlier


# --- worst wins -------------------------------------------------------------------------------------------------

TABLE = [
    # The design's table, in its order; indented are the portal's own additions.
    "Split view",
    "Both unreachable",
    "Primary unreachable",
    "Secondary unreachable",
    "  Unreachable",
    "Key refused",
    "  Keys unreadable",
    "Wrong organization",
    "Outcome unknown",
    "Failover in progress",
    "Recovery in progress",
    "Sending",
    "Waiting for approval",
    "Failed over",
    "Rate limited",
    "Server errors",
    "Unreadable answer",
    "  No answer",
    "Stale",
    "  Unknown status",
    "  One side disabled",
    "Onboarding",
    "No connection",
    "Not read yet",
    "  Unpaired",
    "In sync",
]


def test_verdicts_stand_in_the_order_of_the_design():
    assert [verdict.label for verdict in VERDICT_OF] == [label.strip() for label in TABLE]
    assert list(VERDICT_OF) == list(Verdict)


def test_groups_follow_each_other_in_the_order_of_the_design():
    in_order = list(dict.fromkeys(verdict.group for verdict in VERDICT_OF))

    assert in_order == list(Group)
    assert [group.value for group in Group] == [
        "Need action",
        "In progress",
        "Failed over",
        "Degraded",
        "Setting up",
        "In sync",
    ]


@pytest.mark.parametrize(
    ("primary", "secondary", "verdict"),
    [
        (
            failing(PRIMARY, ReadOutcome.NO_ANSWER, 3),
            failing(SECONDARY, ReadOutcome.KEY_REFUSED),
            "Primary unreachable",
        ),
        (failing(PRIMARY, ReadOutcome.WRONG_ORGANIZATION), failing(SECONDARY, ReadOutcome.KEY_REFUSED), "Key refused"),
        (
            failing(PRIMARY, ReadOutcome.WRONG_ORGANIZATION),
            failing(SECONDARY, ReadOutcome.SERVER_ERROR),
            "Wrong organization",
        ),
        (failing(PRIMARY, ReadOutcome.SERVER_ERROR), failing(SECONDARY, ReadOutcome.RATE_LIMITED), "Rate limited"),
        (failing(PRIMARY, ReadOutcome.UNREADABLE), failing(SECONDARY, ReadOutcome.NO_ANSWER), "Unreadable answer"),
        (failing(PRIMARY, ReadOutcome.NO_ANSWER), unread(SECONDARY), "No answer"),
        (replace(PRIMARY, status=FAILOVER, is_primary=False), replace(SECONDARY, status=FAILOVER), "Split view"),
        (replace(PRIMARY, status=99, target_uuid=ELSEWHERE), replace(SECONDARY, status=99), "Split view"),
    ],
)
def test_the_worst_of_two_wins(primary, secondary, verdict):
    assert judged(primary, secondary).verdict.label == verdict


# --- an open change ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (ChangeStatus.AWAITING_APPROVAL, Verdict.WAITING_FOR_APPROVAL),
        (ChangeStatus.SENDING, Verdict.SENDING),
        (ChangeStatus.ACCEPTED, Verdict.SENDING),
        (ChangeStatus.UNKNOWN, Verdict.OUTCOME_UNKNOWN),
    ],
)
def test_an_open_change_makes_its_verdict_on_the_side_that_gets_the_request(status, verdict):
    change = replace(SENDING, status=status)

    judgements = (judged(change=change), alone(SECONDARY, change=change))

    assert {(each.verdict, each.since) for each in judgements} == {(verdict, SENT)}
    assert [[found.side for found in each.findings if found.finding is change.finding] for each in judgements] == [
        [SECONDARY],
        [SECONDARY],
    ]


def test_a_change_of_an_organization_that_is_not_shown_here_is_on_no_side():
    judgement = alone(PRIMARY, change=SENDING)

    assert [found.side for found in judgement.findings if found.finding is Finding.SENDING] == [None]


@pytest.mark.parametrize(
    ("primary", "secondary", "status", "verdict"),
    [
        (failing(PRIMARY, ReadOutcome.NO_ANSWER, 3), SECONDARY, ChangeStatus.UNKNOWN, "Primary unreachable"),
        (failing(PRIMARY, ReadOutcome.WRONG_ORGANIZATION), SECONDARY, ChangeStatus.UNKNOWN, "Wrong organization"),
        (*both(FAILOVER), ChangeStatus.UNKNOWN, "Outcome unknown"),
        (*both(RECOVERY), ChangeStatus.SENDING, "Recovery in progress"),
        (*both(ACTIVE), ChangeStatus.AWAITING_APPROVAL, "Waiting for approval"),
        (failing(PRIMARY, ReadOutcome.RATE_LIMITED), SECONDARY, ChangeStatus.SENDING, "Sending"),
    ],
)
def test_an_open_change_has_its_place_among_what_else_is_found(primary, secondary, status, verdict):
    judgement = judged(primary, secondary, replace(SENDING, status=status))

    assert judgement.verdict.label == verdict
    assert judgement.has(replace(SENDING, status=status).finding)


@pytest.mark.parametrize("status", [ChangeStatus.SENDING, ChangeStatus.ACCEPTED])
@pytest.mark.parametrize("on_primary", [True, False])
def test_statuses_that_differ_by_a_change_on_its_way_are_no_split_view(status, on_primary):
    arrived: dict[str, Any] = {"status": FAILOVER, "modified_at": SENT, "modified_by": "jonas.weber@halden.example"}
    sides = (replace(PRIMARY, **arrived), SECONDARY) if on_primary else (PRIMARY, replace(SECONDARY, **arrived))

    judgement = judged(*sides, replace(SENDING, status=status))

    assert judgement.verdict is Verdict.SENDING
    assert judgement.join is Join.DISAGREE
    assert [found.finding for found in judgement.findings] == [Finding.SENDING]


@pytest.mark.parametrize("status", [ChangeStatus.UNKNOWN, ChangeStatus.AWAITING_APPROVAL])
def test_only_a_change_on_its_way_accounts_for_statuses_that_differ(status):
    judgement = judged(secondary=replace(SECONDARY, status=FAILOVER), change=replace(SENDING, status=status))

    assert judgement.verdict is Verdict.SPLIT_VIEW
    assert judgement.has(replace(SENDING, status=status).finding)


@pytest.mark.parametrize(
    ("primary", "secondary"),
    [
        ({"status": ACTIVE}, {"status": FAILOVER}),
        ({"status": ACTIVE}, {"status": PASSIVE}),
        ({}, {"status": FAILOVER, "is_primary": True}),
        ({}, {"status": FAILOVER, "target_uuid": ELSEWHERE}),
    ],
)
def test_a_change_on_its_way_accounts_for_nothing_but_its_own_step(primary, secondary):
    judgement = judged(replace(PRIMARY, **primary), replace(SECONDARY, **secondary), SENDING)

    assert judgement.verdict is Verdict.SPLIT_VIEW


def test_a_change_on_its_way_accounts_for_no_difference_that_nobody_looks_at():
    answered_at = NOW - timedelta(minutes=30)
    sides = (replace(PRIMARY, answered_at=answered_at), replace(SECONDARY, status=FAILOVER, answered_at=answered_at))

    judgement = judged(*sides, replace(SENDING, status=ChangeStatus.ACCEPTED))

    assert (judgement.verdict, judgement.join) == (Verdict.SPLIT_VIEW, Join.NOT_KNOWN)


def test_every_open_status_of_a_change_says_something_about_its_pair():
    assert {replace(SENDING, status=status).finding for status in OPEN} == {
        Finding.OUTCOME_UNKNOWN,
        Finding.SENDING,
        Finding.WAITING_FOR_APPROVAL,
    }


# --- one organization without its other side --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "saved", "verdict"),
    [
        (PRIMARY, False, Verdict.UNPAIRED),
        (PRIMARY, True, Verdict.SPLIT_VIEW),
        (bare(PRIMARY), False, Verdict.NO_CONNECTION),
        (unread(PRIMARY), False, Verdict.NOT_READ_YET),
        (failing(PRIMARY, ReadOutcome.NO_ANSWER, 2), False, Verdict.NO_ANSWER),
        (failing(PRIMARY, ReadOutcome.NO_ANSWER, 3), True, Verdict.UNREACHABLE),
        (failing(PRIMARY, ReadOutcome.KEY_REFUSED), True, Verdict.KEY_REFUSED),
        (replace(PRIMARY, answered_at=NOW - timedelta(minutes=3)), True, Verdict.STALE),
    ],
)
def test_an_organization_by_itself_gets_a_verdict_too(side, saved, verdict):
    judgement = alone(side, target_is_saved=saved)

    assert judgement.verdict is verdict
    assert judgement.join is Join.ONE_SIDE


def test_an_organization_by_itself_counts_from_its_own_change_or_from_its_trouble():
    assert alone(PRIMARY).since is None
    assert alone(bare(PRIMARY)).since == PRIMARY.view_since
    assert alone(failing(PRIMARY, ReadOutcome.NO_ANSWER, 3)).since == FAILING_SINCE


# --- what holds for any two sides -------------------------------------------------------------------------------

moments = st.one_of(
    st.none(),
    st.sampled_from([timedelta(0), STALE_AFTER, STALE_AFTER + timedelta(seconds=1), timedelta(days=-1)]).map(
        lambda age: NOW - age
    ),
    st.datetimes(datetime(2026, 11, 1), datetime(2026, 11, 3), timezones=st.just(UTC)),  # noqa: DTZ001
)
sides = st.builds(
    Side,
    name=st.sampled_from(["a", "b"]),
    site=st.just("us1"),
    uuid=st.sampled_from([None, US1, US5]),
    column=st.sampled_from([None, *Column]),
    has_connection=st.sampled_from([None, True, True, False]),
    status=st.sampled_from([None, *range(-1, 8), 99]),
    is_primary=st.sampled_from([None, True, False]),
    modified_at=moments,
    modified_by=st.sampled_from(["", "mara"]),
    target_uuid=st.sampled_from([None, US1, US5, ELSEWHERE]),
    answered_at=moments,
    view_since=moments,
    outside_at=moments,
    outcome=st.sampled_from([None, *ReadOutcome, ReadOutcome.ANSWERED, ReadOutcome.ANSWERED]),
    outcome_since=moments,
    repeats=st.integers(0, 5),
)
changes = st.one_of(
    st.none(),
    st.builds(
        OpenChange,
        status=st.sampled_from(sorted(OPEN)),
        organization=st.sampled_from(["a", "b"]),
        before=st.sampled_from([None, *range(6)]),
        target=st.sampled_from(range(6)),
        since=moments,
    ),
)
of_the_present = {
    Verdict.IN_SYNC,
    Verdict.FAILOVER_IN_PROGRESS,
    Verdict.RECOVERY_IN_PROGRESS,
    Verdict.FAILED_OVER,
    Verdict.SPLIT_VIEW,
    Verdict.ONBOARDING,
    Verdict.NO_CONNECTION,
    Verdict.UNKNOWN_STATUS,
}
of_a_known_status = {
    Verdict.IN_SYNC,
    Verdict.FAILOVER_IN_PROGRESS,
    Verdict.RECOVERY_IN_PROGRESS,
    Verdict.FAILED_OVER,
    Verdict.ONBOARDING,
}


@given(sides, sides, changes)
@example(PRIMARY, SECONDARY, None)
@example(PRIMARY, SECONDARY, SENDING)
def test_any_two_sides_get_the_first_verdict_of_which_a_finding_holds(primary, secondary, change):
    judgement = judged(primary, secondary, change)

    held = {found.finding for found in judgement.findings}
    assert judgement.verdict is next(verdict for verdict, wanted in VERDICT_OF.items() if held & wanted)


@given(sides, st.booleans(), changes)
def test_any_organization_by_itself_gets_the_first_verdict_of_which_a_finding_holds(side, saved, change):
    judgement = alone(side, target_is_saved=saved, change=change)

    held = {found.finding for found in judgement.findings}
    assert judgement.verdict is next(verdict for verdict, wanted in VERDICT_OF.items() if held & wanted)


@given(sides, sides, changes)
def test_a_view_of_the_past_never_makes_a_verdict_on_the_present(primary, secondary, change):
    judgement = judged(primary, secondary, change)

    if not all(side.is_current(NOW, STALE_AFTER) for side in (primary, secondary)):
        assert judgement.verdict not in of_the_present - {Verdict.SPLIT_VIEW}
        assert judgement.join is Join.NOT_KNOWN


@pytest.mark.parametrize("ending", [{"repeats": 1, "outcome": ReadOutcome.NO_ANSWER}, {}])
def test_a_split_does_not_heal_by_not_being_looked_at(ending):
    split = replace(PRIMARY, status=ACTIVE, answered_at=NOW - timedelta(minutes=30), **ending)
    other = replace(SECONDARY, answered_at=NOW - timedelta(minutes=30))

    judgement = judged(split, other)

    assert (judgement.verdict, judgement.join) == (Verdict.SPLIT_VIEW, Join.NOT_KNOWN)


def test_sides_that_were_never_seen_to_disagree_are_no_split():
    went_dark = failing(replace(PRIMARY, answered_at=NOW - timedelta(minutes=30)), ReadOutcome.NO_ANSWER, 9)
    moved_since = replace(SECONDARY, status=FAILOVER, view_since=NOW - timedelta(minutes=1))

    assert judged(went_dark, moved_since).verdict is Verdict.PRIMARY_UNREACHABLE


@given(sides, st.booleans())
def test_a_view_of_the_past_never_makes_a_lone_organization_unpaired_or_split(side, saved):
    judgement = alone(side, target_is_saved=saved)

    if not side.is_current(NOW, STALE_AFTER):
        assert judgement.verdict not in of_the_present | {Verdict.UNPAIRED}


@given(sides, sides, st.integers().filter(lambda number: number not in set(HamrStatus)))
def test_an_undocumented_status_never_makes_a_verdict_of_a_documented_one(primary, secondary, number):
    judgement = judged(
        replace(primary, status=number),
        replace(secondary, status=number if secondary.has_connection else secondary.status),
    )

    assert judgement.verdict not in of_a_known_status


@given(sides, sides, changes)
def test_an_open_change_takes_nothing_from_what_the_sides_say(primary, secondary, change):
    without, judgement = judged(primary, secondary), judged(primary, secondary, change)

    taken = {found.finding for found in without.findings} - {found.finding for found in judgement.findings}
    assert judgement.join is without.join
    assert taken <= {Finding.STATUSES_DIFFER, Finding.MODIFIED_DIFFERS}
    assert not taken or (change is not None and change.makes(primary, secondary))


@given(st.integers(-1, 99), st.integers(-1, 99))
def test_two_fresh_views_agree_exactly_when_their_statuses_do(first, second):
    judgement = judged(replace(PRIMARY, status=first), replace(SECONDARY, status=second))

    assert (judgement.join is Join.AGREE) is (first == second)
    assert (judgement.verdict is Verdict.SPLIT_VIEW) is (first != second)


@given(sides, sides)
def test_the_same_sides_at_the_same_moment_get_the_same_judgement(primary, secondary):
    later = NOW + timedelta(days=400)

    first = judged(primary, secondary)
    judge_pair(primary, secondary, now=later, stale_after=STALE_AFTER)

    assert judged(replace(primary), replace(secondary)) == first


@given(sides, sides)
def test_the_columns_name_the_trouble_but_do_not_weigh_it(primary, secondary):
    mirrored = {
        Verdict.PRIMARY_UNREACHABLE: Verdict.SECONDARY_UNREACHABLE,
        Verdict.SECONDARY_UNREACHABLE: Verdict.PRIMARY_UNREACHABLE,
    }

    one_way, other_way = judged(primary, secondary), judged(secondary, primary)

    assert other_way.verdict is mirrored.get(one_way.verdict, one_way.verdict)
    assert (other_way.since, other_way.join) == (one_way.since, one_way.join)


@given(sides, sides)
def test_repeats_below_three_never_make_a_side_unreachable(primary, secondary):
    few = UNREACHABLE_AFTER - 1
    primary, secondary = (replace(side, repeats=min(side.repeats, few)) for side in (primary, secondary))

    assert not judged(primary, secondary).verdict.label.endswith("unreachable")


# --- between two statuses for long ------------------------------------------------------------------------------

LONG = Transit(NOW - PASSED_WITHIN, is_known=True)
SHORT = Transit(NOW - PASSED_WITHIN / 2, is_known=True)


def lingering(judgement: Judgement) -> list[tuple[str | None, datetime | None]]:
    found = [each for each in judgement.findings if each.finding is Finding.LONG_BETWEEN]
    return [(each.side.name if each.side is not None else None, each.since) for each in found]


def between(side: Side, transit: Transit | None, status: HamrStatus = FAILOVER) -> Side:
    return replace(side, status=status, transit=transit)


def test_both_sides_that_are_between_for_long_are_said_once_since_the_earlier() -> None:
    longer = Transit(LONG.since - timedelta(minutes=5), is_known=False)

    judgement = judged(between(PRIMARY, LONG), between(SECONDARY, longer))

    assert lingering(judgement) == [(None, longer.since)]
    assert judgement.verdict is Verdict.FAILOVER_IN_PROGRESS


def test_sides_that_are_between_in_two_ways_are_each_said() -> None:
    judgement = judged(between(PRIMARY, LONG), between(SECONDARY, LONG, RECOVERY))

    assert lingering(judgement) == [(PRIMARY.name, LONG.since), (SECONDARY.name, LONG.since)]


def test_only_the_side_that_is_between_for_long_is_said() -> None:
    assert lingering(judged(between(PRIMARY, SHORT), between(SECONDARY, LONG))) == [(SECONDARY.name, LONG.since)]
    assert lingering(judged(between(PRIMARY, SHORT), between(SECONDARY, None))) == []


def test_of_a_side_that_is_not_current_nothing_is_said() -> None:
    dark = replace(between(PRIMARY, LONG), outcome=ReadOutcome.NO_ANSWER, repeats=UNREACHABLE_AFTER)

    assert lingering(judged(dark, between(SECONDARY, SHORT))) == []


def test_a_side_alone_is_said_too() -> None:
    because = Finding.OTHER_SIDE_NOT_SAVED

    judgement = judge_alone(between(PRIMARY, LONG), now=NOW, stale_after=STALE_AFTER, because=because)

    assert lingering(judgement) == [(PRIMARY.name, LONG.since)]
    assert judgement.verdict is Verdict.UNPAIRED
