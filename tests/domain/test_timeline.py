from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamr_portal.domain import pictures, timeline
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.timeline import Knowledge, Lapse, Range, Seen, State, Stretch, Window

END = datetime(2026, 3, 15, 3, 12, tzinfo=UTC)
DAY = Window(END - timedelta(hours=24), END)

PASSIVE = State(Knowledge.ANSWERED, ReadOutcome.ANSWERED, 2)
ACTIVE = State(Knowledge.ANSWERED, ReadOutcome.ANSWERED, 4)
SILENT = State(Knowledge.SILENT, ReadOutcome.NO_ANSWER)
UNREAD = State(Knowledge.UNREAD)


def ago(**length: float) -> datetime:
    return END - timedelta(**length)


def seen(at: datetime, status: int | None = 2, outcome: ReadOutcome = ReadOutcome.ANSWERED) -> Seen:
    return Seen(at, outcome, status)


def known(lines: list[Seen], *lapses: Lapse, until: datetime = END) -> list[tuple[datetime, State]]:
    found = timeline.stretches(lines, lapses, window=DAY, known_until=until)
    return [(stretch.start, stretch.state) for stretch in found]


def laid(*pieces: tuple[float, State], window: Window = DAY) -> list[Stretch]:
    """Lay stretches of so many hours one after the other, up to the end."""
    start = window.end - timedelta(hours=sum(hours for hours, _ in pieces))
    found = []
    for hours, state in pieces:
        found.append(Stretch(start, start + timedelta(hours=hours), state))
        start = found[-1].end
    return found


# --- the window -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "found"), [("6h", Range.HOURS_6), ("30d", Range.DAYS_30), ("", Range.HOURS_24)])
def test_a_range_is_named_by_its_key_and_is_a_day_without(key: str, found: Range):
    assert Range.named(key) is found


def test_a_window_stands_still_for_a_minute():
    windows = {Window.until(END + timedelta(seconds=each), timedelta(hours=24)) for each in (0, 20, 59.9)}

    assert windows == {DAY}


@pytest.mark.parametrize("second", [0, 31, 40])
def test_a_window_goes_up_to_now_where_something_happened_within_the_minute(second: int):
    now = END + timedelta(seconds=40)

    window = Window.until(now, timedelta(hours=24), [ago(hours=2), END + timedelta(seconds=second)])

    assert window == Window(now - timedelta(hours=24), now)
    assert window.has(END + timedelta(seconds=second))


def test_what_is_yet_to_come_moves_no_window():
    window = Window.until(END, timedelta(hours=24), [END + timedelta(seconds=1)])

    assert window == DAY
    assert not window.has(END + timedelta(seconds=1))


# --- what was known ---------------------------------------------------------------------------------------------


def test_a_status_holds_until_the_next_line():
    assert known([seen(ago(days=3)), seen(ago(hours=1), 4)]) == [(DAY.start, PASSIVE), (ago(hours=1), ACTIVE)]


def test_before_the_first_line_nothing_is_known():
    assert known([seen(ago(hours=1))]) == [(DAY.start, State(Knowledge.BEFORE)), (ago(hours=1), PASSIVE)]


def test_without_any_line_nothing_is_known_at_all():
    assert known([]) == [(DAY.start, State(Knowledge.BEFORE))]


def test_what_was_not_looked_up_is_not_taken_for_the_time_before_the_first_read():
    lines, cut = [seen(ago(hours=3))], ago(hours=2)

    found = timeline.stretches(lines, [], window=DAY, known_until=END, looked_up_from=cut)

    assert [(each.start, each.state) for each in found] == [(DAY.start, State(Knowledge.UNDRAWN)), (cut, PASSIVE)]


def test_a_side_that_gives_no_answer_has_no_status():
    lines = [seen(ago(days=2)), seen(ago(hours=1), 2, ReadOutcome.NO_ANSWER)]

    assert known(lines) == [(DAY.start, PASSIVE), (ago(hours=1), SILENT)]


def test_no_connection_is_an_answer_of_its_own():
    (_, state), *_ = known([seen(ago(days=2), None, ReadOutcome.NO_CONNECTION)])

    assert state == State(Knowledge.ANSWERED, ReadOutcome.NO_CONNECTION)
    assert not state.is_gap


def test_from_the_last_read_on_nothing_is_known():
    assert known([seen(ago(days=2))], until=ago(hours=2)) == [(DAY.start, PASSIVE), (ago(hours=2), UNREAD)]


def test_nothing_is_known_while_nobody_read_and_the_same_again_after():
    lapse = Lapse(ago(hours=5), ago(hours=3))

    found = known([seen(ago(days=2))], lapse)

    assert found == [(DAY.start, PASSIVE), (lapse.since, UNREAD), (lapse.until, PASSIVE)]


def test_a_lapse_that_began_before_the_window_reaches_into_it():
    assert known([seen(ago(days=9))], Lapse(ago(days=8), ago(hours=3))) == [
        (DAY.start, UNREAD),
        (ago(hours=3), PASSIVE),
    ]


def test_lapses_that_overlap_are_one():
    lapses = Lapse(ago(hours=9), ago(hours=3)), Lapse(ago(hours=8), ago(hours=7))

    assert known([seen(ago(days=2))], *lapses) == [
        (DAY.start, PASSIVE),
        (ago(hours=9), UNREAD),
        (ago(hours=3), PASSIVE),
    ]


def test_news_that_leaves_the_status_as_it_was_divides_nothing():
    assert known([seen(ago(days=2)), seen(ago(hours=4))]) == [(DAY.start, PASSIVE)]


MOMENTS = st.integers(-90_000, 3_000).map(lambda seconds: END + timedelta(seconds=seconds))
LINES = st.lists(
    st.builds(Seen, at=MOMENTS, outcome=st.sampled_from(ReadOutcome), status=st.sampled_from([None, 2, 3, 4, 6])),
    max_size=20,
).map(lambda lines: sorted(lines, key=lambda line: line.at))
LAPSES = st.lists(
    st.tuples(MOMENTS, MOMENTS).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: Lapse(min(pair), max(pair))),
    max_size=4,
).map(lambda lapses: sorted(lapses, key=lambda lapse: lapse.since))


@given(lines=LINES, lapses=LAPSES, until=MOMENTS)
def test_stretches_tile_the_window_whatever_was_seen(lines: list[Seen], lapses: list[Lapse], until: datetime):
    found = timeline.stretches(lines, lapses, window=DAY, known_until=until)
    drawn = pictures.drawable(found, DAY)

    for tiles in (found, drawn):
        assert (tiles[0].start, tiles[-1].end) == (DAY.start, DAY.end)
        assert all(one.end == other.start for one, other in pairwise(tiles))
        assert all(tile.start < tile.end for tile in tiles)
        assert sum(DAY.share(tile.length) for tile in tiles) == pytest.approx(100)
    assert sum(tile.count for tile in drawn) == len(found)
    assert drawn[-1] == found[-1]


@given(lines=LINES, lapses=LAPSES, until=MOMENTS, moment=MOMENTS.filter(lambda at: DAY.start <= at < END))
def test_no_status_is_shown_for_a_moment_at_which_nobody_had_seen_it(
    lines: list[Seen], lapses: list[Lapse], until: datetime, moment: datetime
):
    found = timeline.stretches(lines, lapses, window=DAY, known_until=until)

    state = next(stretch.state for stretch in found if stretch.start <= moment < stretch.end)
    before = [line for line in lines if line.at <= moment]
    is_unread = moment >= until or any(lapse.since <= moment < lapse.until for lapse in lapses)
    if state.knowledge in (Knowledge.ANSWERED, Knowledge.SILENT):
        assert not is_unread
        assert state == before[-1].state
    else:
        assert is_unread or not before


# --- the table --------------------------------------------------------------------------------------------------


def told(*lanes: list[Stretch]) -> list[tuple[datetime, tuple[State, ...]]]:
    return [(span.start, tuple(side.state for side in span.sides)) for span in timeline.spans(lanes)]


def test_the_table_has_a_row_for_each_turn_of_either_side():
    rows = told(laid((20, PASSIVE), (4, ACTIVE)), laid((22, PASSIVE), (2, SILENT)))

    assert rows == [
        (DAY.start, (PASSIVE, PASSIVE)),
        (ago(hours=4), (ACTIVE, PASSIVE)),
        (ago(hours=2), (ACTIVE, SILENT)),
    ]


def test_a_side_that_follows_within_a_minute_shares_the_row():
    rows = told(laid((20, PASSIVE), (4, ACTIVE)), laid((20.01, PASSIVE), (3.99, ACTIVE)))

    assert rows == [(DAY.start, (PASSIVE, PASSIVE)), (ago(hours=4), (ACTIVE, ACTIVE))]


def test_what_began_and_ended_within_a_minute_has_its_row():
    rows = told(laid((20, PASSIVE), (0.01, SILENT), (3.99, PASSIVE)), laid((24, PASSIVE)))

    assert [states[0] for _, states in rows] == [PASSIVE, SILENT, PASSIVE]


def test_what_began_within_the_last_minute_has_its_row():
    rows = told(laid((23.99, PASSIVE), (0.01, ACTIVE)), laid((24, PASSIVE)))

    assert rows[-1] == (ago(hours=0.01), (ACTIVE, PASSIVE))


def test_sides_that_keep_turning_one_after_the_other_do_not_vanish_into_one_row():
    one = laid((23.95, PASSIVE), (0.016, ACTIVE), (0.016, PASSIVE), (0.018, ACTIVE))
    other = laid((23.958, PASSIVE), (0.016, ACTIVE), (0.026, PASSIVE))

    rows = told(one, other)

    assert len(rows) >= 4
