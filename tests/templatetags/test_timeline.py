from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.pictures import drawable
from hamr_portal.domain.timeline import Knowledge, Range, Seen, State, Stretch, Window
from hamr_portal.models import Change, Organization
from hamr_portal.services.timeline import Lane, Timeline
from hamr_portal.templatetags._timeline import Drawing, drawn
from hamr_portal.templatetags._timeline_words import took_effect_later

END = datetime(2026, 3, 15, 3, 12, tzinfo=UTC)
CHECKOUT = Organization(name="halden-checkout", site="us1")
OTHER = Organization(name="halden-checkout-dr", site="us5")


def status(number: int | None, **fields: Any) -> State:
    return State(Knowledge.ANSWERED, ReadOutcome.ANSWERED, number, **fields)


PASSIVE, FAILOVER, ACTIVE = status(2), status(3), status(4)
NO_CONNECTION = State(Knowledge.ANSWERED, ReadOutcome.NO_CONNECTION)
SILENT = State(Knowledge.SILENT, ReadOutcome.NO_ANSWER)
REFUSED = State(Knowledge.SILENT, ReadOutcome.KEY_REFUSED)
UNREAD = State(Knowledge.UNREAD)


def ago(**length: float) -> datetime:
    return END - timedelta(**length)


def lane(*pieces: tuple[float, State], of: Organization = CHECKOUT, outside: tuple[Seen, ...] = ()) -> Lane:
    """Lay stretches one after the other, each ending so many hours ago."""
    start, found = ago(hours=24), []
    for hours, state in pieces:
        found.append(Stretch(start, ago(hours=hours), state))
        start = ago(hours=hours)
    return Lane(of, tuple(found), outside)


def picture(*lanes: Lane, changes: tuple[Change, ...] = (), chosen: Range = Range.HOURS_24) -> Drawing:
    return drawn(Timeline(chosen, Window(END - chosen.length, END), lanes, changes))


def sent(at: datetime) -> Change:
    return Change(pk=7, sent_at=at, target_status=3, organization=OTHER)


def test_each_state_has_its_look_and_the_key_names_what_is_there_once():
    states = [PASSIVE, status(9), status(0), NO_CONNECTION, SILENT, REFUSED, UNREAD, State(Knowledge.UNDRAWN), PASSIVE]

    found = picture(lane(*((len(states) - 1 - place, state) for place, state in enumerate(states))))

    looks = {piece.look: piece.fill for piece in found.tracks[0].pieces}
    assert looks == {
        "passive": "",
        "unspecified": "",
        "absent": "",
        "none": "url(#p-none)",
        "unread": "",
    }
    assert [(each.look, each.words) for each in found.key] == [
        ("unspecified", "Unknown status 9, UNSPECIFIED"),
        ("passive", "PASSIVE"),
        ("absent", "No connection"),
        ("none", "No answer, Key refused"),
        ("unread", "Not read, Not drawn"),
    ]


def test_a_label_is_there_where_it_fits_and_hides_where_it_does_not():
    (track,) = picture(lane((16, PASSIVE), (12.8, PASSIVE), (11, FAILOVER), (9, ACTIVE), (0, PASSIVE))).tracks

    assert [(piece.label, piece.hides) for piece in track.pieces] == [
        ("PASSIVE", ""),
        ("PASSIVE", "tl-sm"),
        ("", ""),
        ("ACTIVE", "tl-lg"),
        ("PASSIVE", ""),
    ]


def test_short_stretches_say_how_many_they_are_and_of_what():
    short = Stretch(
        ago(hours=24), ago(hours=6), State(Knowledge.SHORT), 12, (PASSIVE, SILENT, status(2, elsewhere="x"))
    )
    found = picture(Lane(CHECKOUT, (short, Stretch(ago(hours=6), END, PASSIVE)), ()))

    assert found.tracks[0].pieces[0].label == "12 short"
    assert found.lines[0].sides == (("us1", "12 short stretches: PASSIVE, No answer"),)
    assert [each.words for each in found.key] == ["PASSIVE", "No answer", "Short stretches"]


@pytest.mark.parametrize(
    ("state", "hours", "words"),
    [
        (SILENT, 0.07, "No answer since 03:07"),
        (UNREAD, 5, "Not read since 14 Mar 22:12"),
        (SILENT, 24, "No answer"),
        (ACTIVE, 5, ""),
    ],
)
def test_what_is_not_known_now_says_since_when(state: State, hours: float, words: str):
    pieces = [(0.0, state)] if hours == 24 else [(hours, PASSIVE), (0.0, state)]

    assert picture(lane(*pieces)).tracks[0].trouble == words


def test_a_long_name_is_cut_to_what_there_is_room_for():
    long = Organization(name="halden-" + "x" * 56, site="us1")

    (track,) = picture(lane((1, PASSIVE), (0, SILENT), of=long)).tracks

    assert track.name.endswith("x…")
    assert len(track.name) + len(track.trouble) < 86
    assert track.short_name.endswith("…")
    assert len(track.short_name) + len(track.trouble) < 37


def test_ticks_name_days_before_hours_and_leave_room_for_now():
    found = picture(lane((0, PASSIVE))).ticks

    assert [(tick.words, tick.hides) for tick in found] == [
        ("06:00", ""),
        ("09:00", "tl-alt"),
        ("12:00", ""),
        ("15:00", "tl-alt"),
        ("18:00", ""),
        ("21:00", "tl-alt"),
        ("15 Mar", "tl-alt"),
        ("", "tl-alt"),
    ]


def test_pins_are_as_wide_as_their_words():
    flags = picture(lane((0, PASSIVE)), changes=tuple(sent(ago(hours=each)) for each in (12, 11.9, 3))).flags

    assert [(flag.words, flag.width, flag.left, len(flag.lines)) for flag in flags] == [
        ("1–2", 29, -15, 2),
        ("3", 18, -9, 1),
    ]


def test_the_table_tells_what_was_done_in_each_row():
    outside = Seen(END, ReadOutcome.ANSWERED, 4, outside=True, modified_by="priya.raman")
    lanes = (
        lane((4, PASSIVE), (0, ACTIVE), outside=(outside,)),
        lane((20, PASSIVE), (19.99, SILENT), (0, PASSIVE), of=OTHER),
    )
    change = sent(ago(hours=4, seconds=2))

    found = picture(*lanes, changes=(change,))

    assert [(line.start, line.end, [words for _, words in line.sides]) for line in found.lines] == [
        ("14 Mar 03:12", "07:12", ["PASSIVE", "PASSIVE"]),
        ("14 Mar 07:12:00", "07:12:36", ["PASSIVE", "No answer"]),
        ("14 Mar 07:12", "23:12", ["PASSIVE", "PASSIVE"]),
        ("14 Mar 23:12", "now", ["ACTIVE", "PASSIVE"]),
    ]
    assert [line.sent for line in found.lines] == [(), (), ((1, change),), ()]
    assert found.lines[-1].outside == (("us1", outside),)
    assert found.has_outside


def test_the_table_keeps_the_newest_rows():
    many = lane(*((24 - each / 10, (PASSIVE, ACTIVE)[each % 2]) for each in range(1, 120)), (0, PASSIVE))

    found = picture(many)

    assert (len(found.lines), found.left_out, found.lines[-1].end) == (100, 20, "now")


def test_a_side_that_was_connected_elsewhere_is_thin_and_says_to_what():
    found = picture(lane((12, status(2, elsewhere="halden-old")), (0, PASSIVE)))

    assert [piece.is_thin for piece in found.tracks[0].pieces] == [True, False]
    assert found.has_thin
    assert found.lines[0].sides[0][1] == "PASSIVE, connected to halden-old"


def test_the_description_says_once_what_both_sides_did():
    lanes = lane((5, PASSIVE), (0, ACTIVE)), lane((4.99, PASSIVE), (0, ACTIVE), of=OTHER)

    found = picture(*lanes, changes=(sent(ago(hours=5)),))

    assert found.description == "Both sides: PASSIVE; from 14 Mar 22:12 ACTIVE. 1 change sent from here."


def test_the_description_tells_the_sides_apart_where_they_differ():
    outside = Seen(END, ReadOutcome.ANSWERED, 4, outside=True)
    lanes = lane((0, PASSIVE), outside=(outside, outside)), lane((0.07, PASSIVE), (0, SILENT), of=OTHER)

    found = picture(*lanes, changes=(sent(ago(hours=5)), sent(ago(hours=4))))

    assert found.description == (
        "halden-checkout: PASSIVE. halden-checkout-dr: PASSIVE; from 03:07 No answer. 2 changes sent from here. "
        "Changed outside the portal: seen 2 times."
    )


def test_the_description_of_much_is_what_holds_now():
    found = picture(lane(*((24 - each, (PASSIVE, ACTIVE)[each % 2]) for each in range(1, 9)), (0, SILENT)))

    assert found.description == "halden-checkout: 9 stretches, the last No answer since 14 Mar 11:12."


@pytest.mark.parametrize(("written", "later"), [(None, False), (END, False), (END + timedelta(minutes=9), True)])
def test_what_took_effect_later_than_it_was_sent_is_told(written: datetime | None, later: bool):
    assert took_effect_later(Change(sent_at=END, applied_modified_at=written)) is later


def test_thousands_of_turns_make_a_picture_of_bounded_size():
    step = timedelta(days=30) / 6000
    turns = [
        Stretch(ago(days=30) + step * each, ago(days=30) + step * (each + 1), (PASSIVE, SILENT)[each % 2])
        for each in range(6000)
    ]
    window = Window(ago(days=30), END)

    found = picture(Lane(CHECKOUT, drawable(turns, window), ()), chosen=Range.DAYS_30)

    assert sum(len(repr(track)) for track in found.tracks) < 20_000
    assert len(found.lines) <= 100
