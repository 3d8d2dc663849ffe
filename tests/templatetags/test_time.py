from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from hamr_portal.templatetags import _time

from .drawing import ago, drawn


@pytest.mark.parametrize(
    ("length", "words"),
    [
        ({"seconds": -3}, "0 s"),
        ({"seconds": 9}, "9 s"),
        ({"minutes": 4, "seconds": 13}, "4 min 13 s"),
        ({"hours": 2, "minutes": 5, "seconds": 59}, "2 h 5 min"),
        ({"hours": 47, "minutes": 59}, "47 h 59 min"),
        ({"hours": 48}, "2 days"),
        ({"days": 41}, "41 days"),
    ],
)
def test_span_has_at_most_two_units(length: dict[str, float], words: str):
    assert _time.span(timedelta(**length)) == words


def test_age_is_readable_by_people_and_by_the_script():
    assert drawn("{% age moment %}", moment=ago(seconds=9)) == (
        '<time datetime="2026-03-15T03:12:35Z" data-age="" data-at="03:12:35">9 s ago</time>'
    )


@pytest.mark.parametrize(("seconds", "words"), [(30, "30 s ago"), (31, "31 s ago, late")])
def test_view_shown_as_the_present_says_when_it_is_late(seconds: int, words: str):
    text = drawn("{% age moment view=True %}", moment=ago(seconds=seconds))

    assert f">{words}</time>" in text
    assert ('data-age="late"' in text) is ("late" in words)


def test_age_of_anything_else_is_never_late():
    assert "late" not in drawn("{% age moment %}", moment=ago(hours=3))


def test_age_is_the_same_for_a_moment_given_in_another_zone():
    elsewhere = ago(seconds=9).astimezone(tz=datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)

    assert drawn("{% age moment %}", moment=elsewhere) == drawn("{% age moment %}", moment=ago(seconds=9))


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (ago(minutes=4, seconds=13), "03:08:31"),
        (ago(hours=4), "14 Mar 23:12:44"),
        (ago(days=365), "15 Mar 2025 03:12:44"),
    ],
)
def test_moment_names_its_day_where_that_is_not_today(moment: datetime, words: str):
    assert f">{words}</time>" in drawn("{% at moment %}", moment=moment)


@pytest.mark.parametrize(("moment", "words"), [(ago(days=1), "14 Mar"), (ago(days=365), "15 Mar 2025")])
def test_day_names_its_year_where_that_is_another_one(moment: datetime, words: str):
    assert f">{words}</time>" in drawn("{% day moment %}", moment=moment)


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (ago(minutes=2, seconds=18), "for 2 min 18 s"),
        (ago(days=41), "for 41 days"),
        (ago(days=99), "for 99 days"),
        (ago(days=100), "since 5 Dec 2025"),
    ],
)
def test_long_lasting_is_said_by_its_date(moment: datetime, words: str):
    assert f">{words}</time>" in drawn("{% lasting moment %}", moment=moment)


def test_what_lasts_is_kept_true_by_the_script_and_prints_its_beginning():
    assert 'data-lasting data-at="since 03:10:26"' in drawn("{% lasting moment %}", moment=ago(minutes=2, seconds=18))
