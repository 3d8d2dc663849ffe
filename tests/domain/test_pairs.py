"""Which organizations form a pair, and what a side can say of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.pairs import Claim, Column, Match, Side, discover, shared_name

NOW = datetime(2026, 11, 2, 3, 10, tzinfo=UTC)
STALE_AFTER = timedelta(minutes=2)


def uuid_of(name: str) -> UUID:
    return UUID(bytes=name.encode().rjust(16, b"-"))


def claim(
    name: str,
    target: str = "",
    *,
    primary: bool | None = None,
    pair: int | None = None,
    column: Column | None = None,
    has_uuid: bool = True,
) -> Claim:
    """What an organization says: its key and its UUID are two things, made from its name."""
    return Claim(
        key=uuid_of(f"key-{name}"),
        name=name,
        uuid=uuid_of(name) if has_uuid else None,
        target_uuid=uuid_of(target) if target else None,
        is_primary=primary,
        pair=pair,
        column=column,
    )


def found(*claims: Claim) -> list[tuple[str, str]]:
    return [(match.primary.name, match.secondary.name) for match in discover(claims)]


def applied(claims: Sequence[Claim], matches: Sequence[Match]) -> list[Claim]:
    """Give the claims as they are once the matches are saved: who is left behind is free."""
    numbers = count(1000)
    joined: dict[UUID, tuple[int, Column]] = {}
    left = set()
    for match in matches:
        together = match.primary.pair is not None and match.primary.pair == match.secondary.pair
        number = match.primary.pair if together and match.primary.pair is not None else next(numbers)
        left |= set() if together else {match.primary.pair, match.secondary.pair}
        joined[match.primary.key] = (number, Column.PRIMARY)
        joined[match.secondary.key] = (number, Column.SECONDARY)
    free: tuple[None, None] = (None, None)
    saved = {each.key: joined.get(each.key, free if each.pair in left else (each.pair, each.column)) for each in claims}
    return [replace(each, pair=saved[each.key][0], column=saved[each.key][1]) for each in claims]


# --- discovery --------------------------------------------------------------------------------------------------


def test_two_that_name_each_other_are_a_pair_in_the_columns_that_they_say():
    assert found(claim("dr", "main", primary=False), claim("main", "dr", primary=True)) == [("main", "dr")]


@pytest.mark.parametrize(
    ("first", "second", "columns"),
    [
        (True, None, ("a", "b")),
        (False, None, ("b", "a")),
        (None, True, ("b", "a")),
        (None, False, ("a", "b")),
        (False, True, ("b", "a")),
        (None, None, ("a", "b")),
        (True, True, ("a", "b")),
        (False, False, ("a", "b")),
    ],
)
def test_columns_follow_what_is_said_and_the_names_where_nothing_decides(first, second, columns):
    assert found(claim("a", "b", primary=first), claim("b", "a", primary=second)) == [columns]


def test_one_names_another_that_names_nobody():
    assert found(claim("main", "dr", primary=True), claim("dr")) == [("main", "dr")]


def test_one_names_another_that_names_somebody_who_is_not_saved():
    assert found(claim("main", "dr", primary=True), claim("dr", "gone", primary=False)) == [("main", "dr")]


def test_nobody_is_paired_with_one_that_names_a_third_who_is_saved():
    assert found(claim("a", "b"), claim("b", "c"), claim("c", "x")) == [("b", "c")]


def test_three_that_name_each_other_in_a_circle_are_no_pair():
    assert found(claim("a", "b"), claim("b", "c"), claim("c", "a")) == []


def test_the_mutual_come_before_the_one_sided():
    assert found(claim("a", "b"), claim("b", "c"), claim("c", "b")) == [("b", "c")]


def test_two_that_name_the_same_one_are_decided_by_name():
    assert found(claim("z", "dr"), claim("y", "dr"), claim("dr")) == [("y", "dr")]


def test_an_organization_that_names_itself_stays_alone():
    assert found(claim("a", "a", primary=True)) == []


def test_an_organization_whose_own_uuid_is_not_known_is_named_by_nobody():
    assert found(claim("a", "b"), claim("b", "", has_uuid=False)) == []


def test_a_target_that_is_not_saved_makes_no_pair():
    assert found(claim("a", "gone", primary=True)) == []


# --- what is a pair already -------------------------------------------------------------------------------------

MAIN = claim("main", "dr", primary=True, pair=7, column=Column.PRIMARY)
DR = claim("dr", "main", primary=False, pair=7, column=Column.SECONDARY)


def test_a_pair_that_is_saved_as_it_is_said_needs_nothing():
    assert found(MAIN, DR) == []


@pytest.mark.parametrize("lost", [{"target_uuid": None, "is_primary": None}, {"target_uuid": uuid_of("gone")}])
def test_a_pair_stays_when_one_view_is_lost_or_strays(lost):
    assert found(MAIN, replace(DR, **lost)) == []
    assert found(replace(MAIN, **lost), DR) == []
    assert found(replace(MAIN, **lost), replace(DR, **lost)) == []


def test_a_pair_stays_when_a_third_names_one_of_its_sides():
    assert found(MAIN, replace(DR, target_uuid=None), claim("new", "dr", primary=True)) == []


def test_a_pair_stays_when_one_of_its_sides_names_a_third_that_does_not_name_it():
    assert found(replace(MAIN, target_uuid=uuid_of("new")), DR, claim("new", "")) == []


def test_a_pair_moves_when_two_name_each_other_anew():
    assert found(MAIN, replace(DR, target_uuid=uuid_of("new")), claim("new", "dr", primary=True)) == [("new", "dr")]


def test_who_is_left_behind_may_be_paired_at_once():
    strayed = replace(MAIN, target_uuid=uuid_of("spare"))
    news = [claim("new", "dr", primary=True), claim("spare")]

    assert found(strayed, replace(DR, target_uuid=uuid_of("new")), *news) == [("new", "dr"), ("main", "spare")]


def test_both_sides_say_the_other_role_so_the_columns_are_swapped():
    assert found(replace(MAIN, is_primary=False), replace(DR, is_primary=True)) == [("dr", "main")]


@pytest.mark.parametrize("said", [True, False, None])
def test_columns_stay_while_both_sides_say_the_same_role(said):
    assert found(replace(MAIN, is_primary=said), replace(DR, is_primary=said)) == []


# --- what holds for any organizations ---------------------------------------------------------------------------

NAMES = "abcdef"


@st.composite
def landscapes(draw):
    """Any claims, and any pairs that were found before: two organizations each, one a column."""
    order = draw(st.permutations(NAMES))
    pairs: dict[str, tuple[int, Column]] = {}
    for number in range(draw(st.integers(0, 3))):
        pairs[order[2 * number]] = (number, Column.PRIMARY)
        pairs[order[2 * number + 1]] = (number, Column.SECONDARY)
    targets = st.sampled_from(["", *NAMES, "gone"])
    roles = st.sampled_from([None, True, False])
    return [
        claim(
            name,
            draw(targets),
            primary=draw(roles),
            pair=pairs[name][0] if name in pairs else None,
            column=pairs[name][1] if name in pairs else None,
            has_uuid=draw(st.integers(0, 5)) > 0,
        )
        for name in NAMES
    ]


@given(landscapes())
def test_no_organization_is_in_two_matches_or_its_own_other_side(claims):
    matches = discover(claims)

    keys = [key for match in matches for key in (match.primary.key, match.secondary.key)]
    assert len(keys) == len(set(keys))


@given(landscapes())
def test_once_saved_discovery_finds_nothing_more(claims):
    after = applied(claims, discover(claims))

    assert discover(after) == []


@given(landscapes(), st.randoms(use_true_random=False))
def test_the_order_of_the_claims_does_not_matter(claims, random):
    shuffled = list(claims)
    random.shuffle(shuffled)

    assert discover(shuffled) == discover(claims)


@given(landscapes())
def test_a_pair_is_left_only_for_two_that_name_each_other_or_are_free(claims):
    matches = discover(claims)
    mutual = [
        match for match in matches if match.primary.names(match.secondary) and match.secondary.names(match.primary)
    ]
    ended = {side.pair for match in mutual for side in (match.primary, match.secondary)}

    for match in matches:
        assert match.primary.names(match.secondary) or match.secondary.names(match.primary)
        if match not in mutual:
            assert {match.primary.pair, match.secondary.pair} <= ended | {None}


@given(landscapes(), st.sampled_from([0, 1, 2]))
def test_a_pair_that_went_dark_stays_whatever_the_others_say(claims, pair):
    darkened = [replace(each, target_uuid=None, is_primary=None) if each.pair == pair else each for each in claims]

    matches = discover(darkened)

    assert pair not in {side.pair for match in matches for side in (match.primary, match.secondary)}


@given(landscapes(), st.sampled_from(NAMES))
def test_a_side_that_went_dark_leaves_its_pair_only_when_the_other_side_did(claims, name):
    dark = next(each for each in claims if each.name == name)
    darkened = [replace(each, target_uuid=None, is_primary=None) if each is dark else each for each in claims]

    matches = discover(darkened)

    moved = {side.key for match in matches for side in (match.primary, match.secondary)}
    mates = {each.key for each in claims if each.pair == dark.pair and each is not dark}
    if dark.pair is not None and dark.key in moved:
        assert mates <= moved


# --- names ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("primary", "secondary", "name"),
    [
        ("halden-checkout", "halden-checkout-dr", "halden-checkout"),
        ("acme-us1", "acme-us5", "acme"),
        ("us1-acme-shop", "us5-acme-shop", "acme-shop"),
        ("acme", "acme", "acme"),
        ("main", "standby", "main and standby"),
        ("checkout", "checkouts", "checkout and checkouts"),
    ],
)
def test_a_pair_is_named_by_the_words_that_its_sides_share(primary, secondary, name):
    assert shared_name(primary, secondary) == name


def test_the_longest_names_make_a_pair_name_that_fits_its_column():
    from hamr_portal.models import Pair

    longest = shared_name("a" * 63, "b" * 63)

    limit = Pair._meta.get_field("name").max_length
    assert limit is not None
    assert len(longest) <= limit


# --- a side -----------------------------------------------------------------------------------------------------


def side(outcome: ReadOutcome | None, age: timedelta | None) -> Side:
    return Side(name="a", site="us1", outcome=outcome, answered_at=None if age is None else NOW - age)


@pytest.mark.parametrize("outcome", list(ReadOutcome))
def test_only_a_view_makes_a_side_answer(outcome):
    brought_a_view = outcome in (ReadOutcome.ANSWERED, ReadOutcome.NO_CONNECTION)

    assert side(outcome, timedelta(0)).answers is brought_a_view
    assert side(outcome, timedelta(0)).is_current(NOW, STALE_AFTER) is brought_a_view


@pytest.mark.parametrize(
    ("age", "current"),
    [(timedelta(0), True), (STALE_AFTER, True), (STALE_AFTER + timedelta(seconds=1), False), (None, False)],
)
def test_a_view_is_current_up_to_its_limit(age, current):
    assert side(ReadOutcome.ANSWERED, age).is_current(NOW, STALE_AFTER) is current


@pytest.mark.parametrize(
    ("column", "says", "contradicts"),
    [
        (Column.PRIMARY, True, False),
        (Column.PRIMARY, False, True),
        (Column.SECONDARY, True, True),
        (Column.SECONDARY, False, False),
        (None, True, False),
        (Column.PRIMARY, None, False),
    ],
)
def test_a_side_contradicts_its_column_only_by_saying_the_other_role(column, says, contradicts):
    assert Side(name="a", site="us1", column=column, is_primary=says).contradicts_column is contradicts
