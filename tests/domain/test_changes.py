"""The life of a change, arrow by arrow, and the path of a status, step by step."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest

from hamr_portal.domain.changes import (
    APPROVAL_LASTS,
    BEFORE_SENDING,
    MAY_STILL_LAND,
    OFFERED,
    OPEN,
    UNSETTLED,
    USUAL_NEXT,
    WATCHED_FOR,
    Again,
    ChangeStatus,
    Move,
    Step,
    What,
    skipped,
    step,
    usual_next,
    usual_path,
    way_back,
)
from hamr_portal.domain.connections import HamrStatus

# --- the life of a change ---------------------------------------------------------------------------------------

# As reference/RELIABILITY.md tells it: from where, which move, to where, and how the record calls it.
ARROWS = """
PREPARED          ASK            AWAITING_APPROVAL  change.approval_asked
PREPARED          SEND           SENDING            change.sending
PREPARED          CANCEL         CANCELLED          change.cancelled
PREPARED          EXPIRE         EXPIRED            change.expired
AWAITING_APPROVAL APPROVE        SENDING            change.approved
AWAITING_APPROVAL SKIP_APPROVAL  SENDING            change.approval_skipped
AWAITING_APPROVAL DECLINE        DECLINED           change.declined
AWAITING_APPROVAL CANCEL         CANCELLED          change.cancelled
AWAITING_APPROVAL EXPIRE         EXPIRED            change.expired
AWAITING_APPROVAL RESTORE        UNKNOWN            change.restored
SENDING           RESTORE        UNKNOWN            change.restored
SENDING           NOT_SENT       NOT_SENT           change.not_sent
SENDING           REJECT         REJECTED           change.rejected
SENDING           ACCEPT         ACCEPTED           change.accepted
SENDING           LOSE           UNKNOWN            change.unknown
SENDING           ABANDON        UNKNOWN            change.abandoned
ACCEPTED          DOUBT          UNKNOWN            change.unknown
ACCEPTED          VERIFY         VERIFIED           change.verified
ACCEPTED          RESOLVE        RESOLVED           change.resolved_by_operator
UNKNOWN           NOT_SENT       NOT_SENT           change.not_sent
UNKNOWN           REJECT         REJECTED           change.rejected
UNKNOWN           ACCEPT         ACCEPTED           change.accepted
UNKNOWN           VERIFY         VERIFIED           change.verified
UNKNOWN           RULE_OUT       NOT_APPLIED        change.not_applied
UNKNOWN           OVERTAKE       SUPERSEDED         change.superseded
UNKNOWN           RESOLVE        RESOLVED           change.resolved_by_operator
NOT_APPLIED       ARRIVE_LATE    VERIFIED           change.took_effect_late
SUPERSEDED        ARRIVE_LATE    VERIFIED           change.took_effect_late
RESOLVED          ARRIVE_LATE    VERIFIED           change.took_effect_late
"""


def test_the_table_has_these_arrows_and_no_others():
    expected = {tuple(line.split()) for line in ARROWS.split("\n") if line}

    arrows = {
        (leaves.value, each.name, each.reaches.value, each.event.value) for each in Move for leaves in each.leaves
    }

    assert arrows == expected


def test_what_is_stored_is_called_as_it_is_in_the_code():
    for names in (ChangeStatus, What, Again):
        assert [each.value for each in names] == [each.name for each in names]


def test_every_move_says_what_happens():
    sentences = [each.happens for each in Move]

    assert all(sentences)
    assert len(set(sentences)) == len(list(Move))


def test_a_request_goes_out_after_three_moves_only():
    assert {each for each in Move if each.sends} == {Move.SEND, Move.APPROVE, Move.SKIP_APPROVAL}


def test_nothing_comes_back_to_before_sending():
    for each in Move:
        if each.reaches in BEFORE_SENDING | {ChangeStatus.SENDING}:
            assert each.leaves <= BEFORE_SENDING


def test_what_was_verified_rejected_or_never_sent_is_final():
    left = {status for each in Move for status in each.leaves}

    assert set(ChangeStatus) - left == {
        ChangeStatus.VERIFIED,
        ChangeStatus.REJECTED,
        ChangeStatus.NOT_SENT,
        ChangeStatus.CANCELLED,
        ChangeStatus.DECLINED,
        ChangeStatus.EXPIRED,
    }


def test_the_statuses_are_put_together_as_their_names_say():
    assert {"PREPARED", "AWAITING_APPROVAL"} == BEFORE_SENDING
    assert {"ACCEPTED", "UNKNOWN"} == UNSETTLED
    assert {"NOT_APPLIED", "SUPERSEDED", "RESOLVED"} == MAY_STILL_LAND
    assert {"AWAITING_APPROVAL", "SENDING", "ACCEPTED", "UNKNOWN"} == OPEN


def test_an_approval_waits_half_an_hour_and_a_request_is_watched_for_a_day():
    assert timedelta(minutes=30) == APPROVAL_LASTS
    assert timedelta(hours=24) == WATCHED_FOR


# --- the path of a status ---------------------------------------------------------------------------------------

# From the status of the row to that of the column: = is so already, u usual, s skips one, ! unusual.
MATRIX = """
            UNSPECIFIED ONBOARDING PASSIVE FAILOVER ACTIVE RECOVERY
UNSPECIFIED =           !          !       !        !      !
ONBOARDING  !           =          u       s        !      !
PASSIVE     !           !          =       u        s      !
FAILOVER    !           !          !       =        u      s
ACTIVE      !           !          s       !        =      u
RECOVERY    !           !          u       s        !      =
"""
KINDS = {"=": Step.NONE, "u": Step.USUAL, "s": Step.SKIPPING, "!": Step.UNUSUAL}
BETWEEN = {
    ("ONBOARDING", "FAILOVER"): "PASSIVE",
    ("PASSIVE", "ACTIVE"): "FAILOVER",
    ("FAILOVER", "RECOVERY"): "ACTIVE",
    ("ACTIVE", "PASSIVE"): "RECOVERY",
    ("RECOVERY", "FAILOVER"): "PASSIVE",
}


def cells() -> list[tuple[HamrStatus, HamrStatus, Step]]:
    rows = [line.split() for line in MATRIX.strip().split("\n")[1:]]
    return [
        (HamrStatus[name], after, KINDS[letter])
        for name, *letters in rows
        for after, letter in zip(HamrStatus, letters, strict=True)
    ]


def test_the_matrix_has_six_times_six_cells():
    assert [(before, after) for before, after, _ in cells()] == list(product(HamrStatus, HamrStatus))


@pytest.mark.parametrize(("before", "after", "kind"), cells())
def test_a_step_is_of_the_kind_that_the_matrix_says(before, after, kind):
    assert step(before, after) is kind


@pytest.mark.parametrize(("before", "after"), list(product(HamrStatus, HamrStatus)))
def test_a_step_that_leaves_out_exactly_one_names_it(before, after):
    between = BETWEEN.get((before.name, after.name))

    assert skipped(before, after) is (HamrStatus[between] if between else None)


@pytest.mark.parametrize("before", [None, 6, 99, -1])
@pytest.mark.parametrize("after", list(HamrStatus))
def test_from_a_status_that_is_not_documented_every_step_is_unusual(before, after):
    assert step(before, after) is Step.UNUSUAL
    assert skipped(before, after) is None


@pytest.mark.parametrize(
    ("status", "after"), [(1, 2), (2, 3), (3, 4), (4, 5), (5, 2), (0, None), (6, None), (None, None)]
)
def test_the_usual_next_status_follows_the_path(status, after):
    assert usual_next(status) == after


def test_every_status_that_can_be_asked_for_has_a_usual_next_one():
    assert set(OFFERED) == set(USUAL_NEXT) == set(HamrStatus) - {HamrStatus.UNSPECIFIED}
    assert [status.name for status in OFFERED] == ["ONBOARDING", "PASSIVE", "FAILOVER", "ACTIVE", "RECOVERY"]


@pytest.mark.parametrize(
    ("before", "after", "steps"),
    [
        ("PASSIVE", "FAILOVER", "ACTIVE RECOVERY PASSIVE"),
        ("FAILOVER", "ACTIVE", "RECOVERY PASSIVE FAILOVER"),
        ("ACTIVE", "RECOVERY", "PASSIVE FAILOVER ACTIVE"),
        ("RECOVERY", "PASSIVE", "FAILOVER ACTIVE RECOVERY"),
        ("PASSIVE", "ACTIVE", "RECOVERY PASSIVE"),
        ("PASSIVE", "RECOVERY", "PASSIVE"),
        ("RECOVERY", "ONBOARDING", "PASSIVE FAILOVER ACTIVE RECOVERY"),
        ("PASSIVE", "PASSIVE", ""),
        ("ONBOARDING", "PASSIVE", ""),
        ("UNSPECIFIED", "PASSIVE", ""),
    ],
)
def test_the_way_back_is_the_usual_path_from_the_new_status_to_the_old(before, after, steps):
    assert [each.name for each in way_back(HamrStatus[before], HamrStatus[after])] == steps.split()


@pytest.mark.parametrize("before", [None, 6, 99])
@pytest.mark.parametrize("after", OFFERED)
def test_there_is_no_usual_way_back_to_what_is_not_documented(before, after):
    assert way_back(before, after) == ()


@pytest.mark.parametrize("before", [*HamrStatus, None])
def test_from_what_nobody_offers_there_is_no_usual_way_back(before):
    assert way_back(before, HamrStatus.UNSPECIFIED) == ()


@pytest.mark.parametrize(
    ("status", "path"),
    [
        (2, [(2, 3), (3, 4), (4, 5), (5, 2)]),
        (4, [(4, 5), (5, 2), (2, 3), (3, 4)]),
        (1, [(1, 2), (2, 3), (3, 4), (4, 5), (5, 2)]),
        (0, []),
        (99, []),
        (None, []),
    ],
)
def test_the_usual_path_goes_on_until_it_repeats(status, path):
    assert usual_path(status) == path
