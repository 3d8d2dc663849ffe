from __future__ import annotations

from datetime import timedelta

import pytest

from hamr_portal.domain.changes import ChangeStatus, Move
from hamr_portal.domain.findings import Verdict
from hamr_portal.domain.news import (
    LASTS,
    MOST_TRIES,
    TOLD,
    InvalidAddresses,
    Kind,
    Lean,
    addresses_in,
    kind_of,
    lean_of,
    short_address,
    telling,
    wait_after,
)
from hamr_portal.domain.people import Role, may


def test_every_kind_has_somebody_who_is_told():
    assert set(TOLD) == set(Kind)
    assert all(any(may(role, action) for role in Role for action in actions) for actions in TOLD.values())


def test_what_kind_of_news_each_move_is():
    kinds = {move: kind_of(move, min(move.leaves)) for move in Move if move not in (Move.CANCEL, Move.EXPIRE)}

    assert kinds.pop(Move.ACCEPT) is None
    assert kinds.pop(Move.ASK) is Kind.APPROVAL
    assert kinds.pop(Move.SKIP_APPROVAL) is Kind.BREAK_GLASS
    assert {kinds.pop(move) for move in (Move.LOSE, Move.ABANDON, Move.DOUBT, Move.RESTORE)} == {Kind.UNKNOWN}
    assert set(kinds.values()) == {Kind.CHANGE}


@pytest.mark.parametrize("move", [Move.CANCEL, Move.EXPIRE])
def test_a_preview_that_nobody_used_is_no_news_and_an_approval_that_nobody_gave_is(move: Move):
    assert kind_of(move, ChangeStatus.PREPARED) is None
    assert kind_of(move, ChangeStatus.AWAITING_APPROVAL) is Kind.CHANGE


def test_the_wait_doubles_from_five_seconds_to_an_hour():
    waits = [wait_after(tries, chance=0).total_seconds() for tries in range(1, MOST_TRIES + 1)]

    assert waits[:3] == [5, 10, 20]
    assert waits[-3:] == [3600, 3600, 3600]
    assert waits == sorted(waits)


def test_chance_takes_off_half_of_the_wait_at_most():
    assert wait_after(3, chance=1) == timedelta(seconds=10)


def test_all_tries_together_take_hours_and_no_day():
    total = sum(wait_after(tries, chance=0).total_seconds() for tries in range(1, MOST_TRIES))

    assert 3 * 3600 < total < 6 * 3600


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("", []),
        ("json://a,jsons://b", ["json://a", "jsons://b"]),
        (" json://a/x, jsons://b ,\tslack://T/B/C\n", ["json://a/x", "jsons://b", "slack://T/B/C"]),
        ("mailto://u:p@h?to=x@y.z,v@y.z,json://a,", ["mailto://u:p@h?to=x@y.z,v@y.z", "json://a"]),
        ("json://a json://a", ["json://a"]),
    ],
)
def test_addresses_are_apart_by_commas_or_spaces_and_each_is_taken_once(text: str, addresses: list[str]):
    assert [address.reveal() for address in addresses_in(text)] == addresses


@pytest.mark.parametrize("text", ["canary", "json://a canary", "://canary", "json://canäry", "canary://"])
def test_what_is_no_address_is_refused_by_its_number_and_not_repeated(text: str):
    with pytest.raises(InvalidAddresses, match=r"number [12] is no address") as caught:
        addresses_in(text)

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("slack://TokenA/TokenB/TokenC", "slack://T…A"),
        ("jsons://user:secret@hooks.example:8443/path?x=secret", "jsons://h…e"),
        ("tgram://123456789:secret/12345", "tgram://1…9"),
        ("mailtos://user:se@cret@mail.example", "mailtos://m…e"),
        ("JSON://h?secret", "json://h…h"),
        ("json://", "json://…"),
    ],
)
def test_of_an_address_the_scheme_and_two_letters_are_shown(url: str, shown: str):
    assert short_address(url) == shown


# --- verdicts ---------------------------------------------------------------------------------------------------


def test_people_are_called_for_what_needs_action_and_hear_of_an_unknown_outcome_from_the_change():
    called = {verdict for verdict in Verdict if telling(verdict) is not None}

    assert {Verdict.SPLIT_VIEW, Verdict.PRIMARY_UNREACHABLE, Verdict.KEY_REFUSED} <= called
    assert not {Verdict.OUTCOME_UNKNOWN, Verdict.STALE, Verdict.FAILED_OVER, Verdict.IN_SYNC} & called


@pytest.mark.parametrize(
    ("told", "seen", "lean"),
    [
        (None, None, Lean.LEVEL),
        (None, Verdict.KEY_REFUSED, Lean.WORSE),
        (Verdict.KEY_REFUSED, Verdict.SPLIT_VIEW, Lean.WORSE),
        (Verdict.SPLIT_VIEW, Verdict.SPLIT_VIEW, Lean.LEVEL),
        (Verdict.SPLIT_VIEW, Verdict.KEY_REFUSED, Lean.BETTER),
        (Verdict.KEY_REFUSED, None, Lean.BETTER),
    ],
)
def test_what_is_seen_leans_to_worse_or_better_than_what_was_told(
    told: Verdict | None, seen: Verdict | None, lean: Lean
):
    assert lean_of(told, seen) is lean


def test_what_is_better_has_to_last_far_longer_than_what_is_worse():
    assert LASTS[Lean.BETTER] > 10 * LASTS[Lean.WORSE]
