"""What a reading says about a change that was sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamr_portal.domain.changes import Move
from hamr_portal.domain.connections import Connection, HamrStatus, View
from hamr_portal.domain.evidence import (
    LONGEST_GAP,
    READ_AFTER,
    SAME_WRITE,
    Agreement,
    Asked,
    Patience,
    Sign,
    is_older,
    move_after,
    sign_of,
    was_written_by,
)
from hamr_portal.domain.organizations import Spelling

OWN, TARGET, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MOMENT = timedelta(seconds=1)
ASKED = Asked(HamrStatus.FAILOVER, True, TARGET, "mara.lindqvist@halden.example")
BEFORE = View(True, HamrStatus.PASSIVE, True, AT, "jonas.weber@halden.example", TARGET, "acme-dr", "us5.prod.dog")
APPLIED = replace(BEFORE, status=HamrStatus.FAILOVER, modified_at=AT + MOMENT, modified_by=ASKED.writer)


def sign(view: View, before: View = BEFORE, asked: Asked = ASKED) -> Sign:
    return sign_of(view, before=before, asked=asked)


# --- what one view says -----------------------------------------------------------------------------------------


def test_what_was_asked_by_who_asked_is_applied():
    assert sign(APPLIED) is Sign.APPLIED


@pytest.mark.parametrize(
    "changed",
    [
        {"status": HamrStatus.ACTIVE},
        {"is_primary": False},
        {"target_uuid": OTHER},
        {"modified_by": "elif.kaya@halden.example"},
        {"modified_by": ""},
    ],
)
def test_anything_else_than_what_was_asked_is_somebody_elses_write(changed):
    assert sign(replace(APPLIED, **changed)) is Sign.SOMETHING_ELSE


def test_no_connection_where_there_was_one_is_nothing_to_go_by():
    assert sign(View.of(None)) is Sign.GONE


def test_a_view_that_says_all_that_was_asked_and_has_no_connection_is_not_applied():
    assert sign(replace(APPLIED, has_connection=False)) is Sign.GONE


def test_names_and_datacenters_are_not_asked_for():
    assert sign(replace(APPLIED, target_name="renamed", target_datacenter="")) is Sign.APPLIED


@pytest.mark.parametrize("writer", ["Mara.Lindqvist@HALDEN.example", "  mara.lindqvist@halden.example\n"])
def test_the_same_writer_in_another_case_is_the_same_writer(writer):
    assert sign(replace(APPLIED, modified_by=writer)) is Sign.APPLIED
    assert sign(APPLIED, asked=replace(ASKED, writer=writer)) is Sign.APPLIED


def test_what_was_there_before_is_as_before():
    assert sign(BEFORE) is Sign.AS_BEFORE


def test_a_datacenter_in_its_other_form_is_as_before():
    assert sign(replace(BEFORE, target_datacenter="us5")) is Sign.AS_BEFORE


def test_the_same_status_written_again_by_another_is_not_as_before():
    again = replace(BEFORE, modified_at=AT + MOMENT, modified_by="elif.kaya@halden.example")

    assert sign(again) is Sign.SOMETHING_ELSE


def test_a_view_from_before_what_was_seen_is_older():
    assert sign(replace(BEFORE, status=HamrStatus.ONBOARDING, modified_at=AT - MOMENT)) is Sign.OLDER


def test_an_older_write_of_the_same_writer_is_not_taken_for_this_one():
    assert sign(replace(APPLIED, modified_at=AT - MOMENT)) is Sign.OLDER


def test_a_write_at_the_very_moment_of_the_one_before_is_not_older():
    assert not is_older(replace(APPLIED, modified_at=AT), BEFORE)
    assert sign(replace(APPLIED, modified_at=AT)) is Sign.APPLIED


@pytest.mark.parametrize(("seen", "before"), [(None, AT), (AT - MOMENT, None), (None, None)])
def test_without_both_times_nothing_is_older(seen, before):
    view, earlier = replace(APPLIED, modified_at=seen), replace(BEFORE, modified_at=before)

    assert not is_older(view, earlier)
    assert sign(view, earlier) is Sign.APPLIED


def test_a_link_that_was_made_is_applied_although_there_was_nothing_before():
    assert sign(APPLIED, View.of(None)) is Sign.APPLIED
    assert sign(View.of(None), View.of(None)) is Sign.AS_BEFORE


# --- whose write it is ------------------------------------------------------------------------------------------


def test_the_other_side_shows_the_write_with_its_status_and_writer():
    mirrored = replace(APPLIED, is_primary=False, target_uuid=OWN)

    assert was_written_by(mirrored, HamrStatus.FAILOVER, " MARA.LINDQVIST@halden.example")
    assert not was_written_by(mirrored, HamrStatus.ACTIVE, ASKED.writer)
    assert not was_written_by(mirrored, HamrStatus.FAILOVER, "elif.kaya@halden.example")
    assert not was_written_by(replace(mirrored, has_connection=False), HamrStatus.FAILOVER, ASKED.writer)


def test_the_two_sides_may_name_one_write_a_minute_apart():
    assert timedelta(minutes=1) == SAME_WRITE


# --- what the answer says ---------------------------------------------------------------------------------------

ECHO = Connection(
    organization_uuid=OWN,
    status=HamrStatus.FAILOVER,
    is_primary=True,
    modified_at=AT + MOMENT,
    modified_by=ASKED.writer,
    target_uuid=TARGET,
    target_name="acme-dr",
    target_datacenter="us5",
    own_datacenter="",
    spelling=Spelling.SNAKE_CASE,
)


def test_an_answer_that_repeats_what_was_asked_is_recognized():
    assert ASKED.is_repeated_by(ECHO, OWN)


@pytest.mark.parametrize(
    "changed", [{"status": HamrStatus.PASSIVE}, {"status": 6}, {"is_primary": False}, {"target_uuid": None}]
)
def test_an_answer_that_repeats_something_else_is_not(changed):
    assert not ASKED.is_repeated_by(replace(ECHO, **changed), OWN)


@pytest.mark.parametrize("uuid", [OTHER, None])
def test_an_answer_for_another_organization_repeats_nothing(uuid):
    assert not ASKED.is_repeated_by(ECHO, uuid)


def test_an_answer_may_name_another_writer():
    assert ASKED.is_repeated_by(replace(ECHO, modified_by="hamr-service"), OWN)


# --- agreement and patience -------------------------------------------------------------------------------------


def test_each_agreeing_read_counts_with_the_seconds_since_the_one_before():
    assert Agreement().with_another(0).with_another(2.5).with_another(40) == Agreement(3, 42.5)


@pytest.mark.parametrize(
    ("gap", "counts"),
    [(59.0, 59.0), (60.0, 60.0), (60.5, 60.0), (120.0, 60.0), (121.0, 0.0), (86400.0, 0.0), (-5.0, 0.0)],
)
def test_a_gap_counts_a_minute_at_most_and_nothing_where_the_clock_was_set(gap, counts):
    assert Agreement(1, 10.0).with_another(gap) == Agreement(2, 10.0 + counts)


@given(st.lists(st.floats(-1e6, 1e6)))
def test_no_clock_makes_more_of_n_reads_than_a_minute_between_two(gaps):
    agreement = Agreement()

    for gap in gaps:
        agreement = agreement.with_another(gap)

    assert agreement.reads == len(gaps)
    assert 0 <= agreement.seconds <= LONGEST_GAP * len(gaps)


@pytest.mark.parametrize(
    ("reads", "seconds", "over"),
    [(3, 120.0, True), (2, 120.0, False), (3, 119.9, False), (2, 500.0, False), (50, 119.0, False), (4, 121.0, True)],
)
def test_patience_is_over_after_so_many_reads_and_so_many_seconds(reads, seconds, over):
    assert Patience(3, 120.0).is_over(Agreement(reads, seconds)) is over


def test_it_is_read_after_2_5_10_20_40_60_and_120_seconds_and_then_each_minute():
    patience = Patience(3, 1e9)
    at: list[float] = []
    for done in range(9):
        at.append(patience.next_read_in(done, Agreement()) + (at[-1] if at else 0.0))

    assert at == [2, 5, 10, 20, 40, 60, 120, 180, 240]
    assert READ_AFTER[0] == 2


@pytest.mark.parametrize(
    ("done", "agreement", "seconds"),
    [
        (6, Agreement(4, 100.0), 20.0),
        (6, Agreement(4, 10.0), 60.0),
        (6, Agreement(4, 119.5), 1.0),
        (6, Agreement(4, 300.0), 1.0),
        (6, Agreement(0, 0.0), 60.0),
        (0, Agreement(1, 119.0), 1.0),
        (0, Agreement(1, 0.0), 2.0),
    ],
)
def test_the_read_that_could_settle_it_comes_as_soon_as_it_can(done, agreement, seconds):
    assert Patience(3, 120.0).next_read_in(done, agreement) == seconds


def test_without_an_answer_yet_the_schedule_stays_however_short_the_patience():
    assert Patience(1, 1.0).next_read_in(3, Agreement()) == 10.0
    assert Patience(1, 1.0).next_read_in(3, Agreement(1, 0.0)) == 1.0


# --- what it comes to -------------------------------------------------------------------------------------------

PATIENCE, PATIENT, IMPATIENT = Patience(3, 120.0), Agreement(2, 30.0), Agreement(3, 120.0)


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("agreement", [PATIENT, IMPATIENT])
def test_what_is_seen_to_be_applied_is_verified_at_once(accepted, agreement):
    assert move_after(Sign.APPLIED, accepted=accepted, agreement=agreement, patience=PATIENCE) is Move.VERIFY


@pytest.mark.parametrize("agreement", [PATIENT, IMPATIENT])
@pytest.mark.parametrize(
    ("sign", "expected"), [(Sign.AS_BEFORE, Move.DOUBT), (Sign.SOMETHING_ELSE, Move.DOUBT), (Sign.OLDER, None)]
)
def test_what_was_accepted_and_reads_back_otherwise_is_doubted_and_never_ruled_out_at_once(sign, expected, agreement):
    assert move_after(sign, accepted=True, agreement=agreement, patience=PATIENCE) is expected


@pytest.mark.parametrize(
    ("sign", "expected"),
    [(Sign.AS_BEFORE, Move.RULE_OUT), (Sign.SOMETHING_ELSE, Move.OVERTAKE), (Sign.OLDER, None)],
)
def test_what_is_not_known_is_settled_once_patience_is_over(sign, expected):
    assert move_after(sign, accepted=False, agreement=IMPATIENT, patience=PATIENCE) is expected
    assert move_after(sign, accepted=False, agreement=PATIENT, patience=PATIENCE) is None


@pytest.mark.parametrize("seconds", [-59.0, 0.0, 5.0])
def test_a_write_of_when_it_was_sent_is_ours_though_what_was_before_names_a_later_time(seconds):
    sent_at = AT - timedelta(seconds=90)
    view = replace(APPLIED, modified_at=sent_at + timedelta(seconds=seconds))

    assert sign(view, asked=replace(ASKED, sent_at=sent_at)) is Sign.APPLIED
    assert sign(view, asked=ASKED) is Sign.OLDER


def test_the_write_that_the_answer_named_is_ours_whenever_that_was():
    written_at = AT - timedelta(hours=1)
    asked = replace(ASKED, sent_at=AT, written_at=written_at)

    assert sign(replace(APPLIED, modified_at=written_at), asked=asked) is Sign.APPLIED
    assert sign(replace(APPLIED, modified_at=written_at - timedelta(seconds=1)), asked=asked) is Sign.OLDER


@pytest.mark.parametrize("silent", [Sign.OLDER, Sign.GONE])
def test_what_says_nothing_moves_nothing(silent):
    long = Agreement(99, 9999.0)

    assert move_after(silent, accepted=True, agreement=long, patience=Patience(3, 120.0)) is None
    assert move_after(silent, accepted=False, agreement=long, patience=Patience(3, 120.0)) is None
