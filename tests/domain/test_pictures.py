from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamr_portal.domain import pictures
from hamr_portal.domain.timeline import Knowledge, Range, State, Window

from .test_timeline import ACTIVE, DAY, END, PASSIVE, SILENT, UNREAD, ago, laid


def test_a_run_of_very_short_stretches_is_one_that_says_of_what():
    flapping = [(0.05, each) for _ in range(5) for each in (SILENT, PASSIVE)]

    drawn = pictures.drawable(laid((20, PASSIVE), *flapping, (3.5, ACTIVE)), DAY)

    assert [(each.state.knowledge, each.count, each.parts) for each in drawn] == [
        (Knowledge.ANSWERED, 1, ()),
        (Knowledge.SHORT, 10, (SILENT, PASSIVE)),
        (Knowledge.ANSWERED, 1, ()),
    ]


def test_a_few_short_stretches_stay_themselves():
    found = laid((20, PASSIVE), (0.05, SILENT), (0.05, PASSIVE), (0.05, ACTIVE), (3.85, PASSIVE))

    assert list(pictures.drawable(found, DAY)) == found


def test_the_present_stays_itself_however_short_it_is():
    found = laid((23, PASSIVE), *[(0.05, each) for _ in range(10) for each in (SILENT, PASSIVE)])

    drawn = pictures.drawable(found, DAY)

    assert (drawn[-2].state.knowledge, drawn[-1]) == (Knowledge.SHORT, found[-1])


@pytest.mark.parametrize(
    "turns",
    [
        [(0.003, SILENT), (0.003, ACTIVE), (0.003, SILENT), (0.13, PASSIVE)] * 170,
        [(0.001, SILENT), (0.25, PASSIVE)] * 95,
        [(0.004, SILENT), (0.004, PASSIVE)] * 3000,
    ],
)
def test_however_many_turns_there_are_a_few_are_drawn(turns: list[tuple[float, State]]):
    drawn = pictures.drawable(laid(*turns), DAY)

    assert len(drawn) <= 201


def test_a_bar_is_as_wide_as_its_time():
    bars = pictures.bars(laid((6, PASSIVE), (12, ACTIVE), (6, PASSIVE)), DAY)

    assert [(bar.x, bar.width) for bar in bars] == [(0, 25), (25, 50), (75, 25)]


@pytest.mark.parametrize(("before", "after", "x"), [(12, 11.9, 49.5167), (11.9, 12, 49.5833)])
def test_a_narrow_gap_covers_some_of_its_longer_neighbour(before: float, after: float, x: float):
    bars = pictures.bars(laid((before, PASSIVE), (0.1, SILENT), (after, ACTIVE)), DAY)

    gap = bars[-1]
    assert gap.stretch.state is SILENT
    assert gap.width == pytest.approx(0.9)
    assert gap.x == pytest.approx(x, abs=0.001)
    assert {round(bar.width, 3) for bar in bars[:-1]} == {49.583, 50}


def test_a_gap_that_began_just_now_ends_with_the_window():
    *_, gap = pictures.bars(laid((23.99, PASSIVE), (0.01, SILENT)), DAY)

    assert gap.x + gap.width == pytest.approx(100)
    assert gap.width == pytest.approx(0.9)


def test_a_gap_at_the_beginning_stays_within():
    bars = pictures.bars(laid((0.01, SILENT), (0.02, UNREAD), (23.97, PASSIVE)), DAY)

    assert [bar.x for bar in bars[-2:]] == pytest.approx([0, 0.04], abs=0.01)


@pytest.mark.parametrize("around", [(0.02, 0.01), (0.01, 0.02)])
def test_a_gap_near_an_end_stays_within(around: tuple[float, float]):
    before, after = around
    near_both = Window(END - timedelta(hours=before + after + 0.001 + 20), END)
    at_the_start = laid((before, ACTIVE), (0.001, SILENT), (after, ACTIVE), (20, PASSIVE), window=near_both)
    at_the_end = laid((20, PASSIVE), (before, ACTIVE), (0.001, SILENT), (after, ACTIVE), window=near_both)

    for found in (at_the_start, at_the_end):
        gap = pictures.bars(found, near_both)[-1]
        assert gap.stretch.state is SILENT
        assert 0 <= gap.x <= gap.x + gap.width <= 100 + 1e-9


def test_what_holds_since_a_moment_ago_is_seen():
    bars = pictures.bars(laid((23.99, PASSIVE), (0.01, ACTIVE)), DAY)

    assert (bars[-1].stretch.state, round(bars[-1].width, 6)) == (ACTIVE, 0.9)


def test_a_gap_lies_over_what_holds_since_a_moment_ago():
    bars = pictures.bars(laid((23.98, PASSIVE), (0.01, SILENT), (0.01, PASSIVE)), DAY)

    assert bars[-1].stretch.state is SILENT


# --- pins and ticks ---------------------------------------------------------------------------------------------


def test_pins_are_numbered_in_the_order_of_time():
    pins = pictures.pins([ago(hours=19), ago(hours=18), ago(hours=10)], DAY)

    assert [pin.words for pin in pins] == ["1", "2", "3"]
    assert pins[2].x == pytest.approx(100 * 14 / 24)


def test_pins_that_would_cover_each_other_are_one_with_all_their_lines():
    pins = pictures.pins([ago(hours=12), ago(hours=11.8), ago(hours=11.5), ago(hours=2)], DAY)

    assert [(pin.words, len(pin.lines)) for pin in pins] == [("1–3", 3), ("4", 1)]


def test_lines_that_would_cover_each_other_are_one():
    (pin,) = pictures.pins([ago(hours=12), ago(hours=12, seconds=-20)], DAY)

    assert (pin.words, len(pin.lines)) == ("1–2", 1)


@given(st.lists(st.integers(0, 86_400), max_size=60).map(sorted))
def test_pins_hold_every_change_once_and_keep_apart(seconds: list[int]):
    pins = pictures.pins([DAY.start + timedelta(seconds=each) for each in seconds], DAY)

    assert [number for pin in pins for number in range(pin.first, pin.last + 1)] == list(range(1, len(seconds) + 1))
    assert all(other.x - one.x >= 3.1 for one, other in pairwise(pins))
    assert len(pins) <= 33


@pytest.mark.parametrize("range_", Range)
def test_ticks_are_whole_steps_of_utc_within_the_window(range_: Range):
    window = Window.until(END, range_.length)

    ticks = pictures.ticks(window, range_.tick)

    assert all(window.start < tick < window.end for tick in ticks)
    assert all(other - one == range_.tick for one, other in pairwise(ticks))
    assert 6 <= len(ticks) <= 8
    assert all((tick.minute, tick.second) == (0, 0) for tick in ticks)
