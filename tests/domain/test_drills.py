"""The scenes are what can be staged, the stage is on this machine, and what went wrong is told from facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hamr_portal.domain import drills
from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.drills import Happened, Scene, Sent, Turn, WrongTurn
from hamr_portal.domain.organizations import OF_DRILLS, SITES, InvalidSites, Site, sites_with
from hamr_portal.domain.pairs import Column
from hamr_portal.simulator._faults import REFUSE, make

AT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
US1, US5 = drills.SITES[Column.PRIMARY], drills.SITES[Column.SECONDARY]


def at(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def sent(number: int = 1, side: Column = Column.SECONDARY, **over: Any) -> Sent:
    """Give a change to FAILOVER that was verified on both sides."""
    fields: dict[str, Any] = {
        "target": HamrStatus.FAILOVER,
        "status": ChangeStatus.VERIFIED,
        "sent_at": at(60 * number),
        "settled_at": at(60 * number + 1),
        "agrees": True,
    }
    return Sent(number, side, **{**fields, **over})


def turns(scene: Scene, *changes: Sent, happened: list[Happened] | None = None) -> list[WrongTurn]:
    return [turn.what for turn in drills.wrong_turns(scene, happened or [], changes)]


# --- the stage --------------------------------------------------------------------------------------------------


def test_the_stage_is_at_a_port_of_this_machine_and_at_the_next():
    stage = drills.stage(8071)

    assert {name: site.base_url for name, site in stage.items()} == {
        US1: "http://127.0.0.1:8071",
        US5: "http://127.0.0.1:8072",
    }
    assert all(drills.belongs(site, is_drill=True) for site in stage.values())


@pytest.mark.parametrize(
    ("site", "is_drill"),
    [
        (None, True),
        (None, False),
        (SITES["us1"], True),
        (Site(US1, "http://127.0.0.1:8071"), False),
        (Site(US1, "https://api.datadoghq.com"), True),
        (Site(US1, "http://192.0.2.1:8071"), True),
    ],
)
def test_nobody_is_asked_where_they_do_not_belong(site: Site | None, is_drill: bool):
    assert not drills.belongs(site, is_drill=is_drill)


def test_every_real_site_is_for_real_organizations():
    assert all(drills.belongs(site, is_drill=False) for site in SITES.values())


@pytest.mark.parametrize(
    ("address", "leads_there"),
    [
        ("http://127.0.0.1:8071", True),
        ("http://localhost:8072/path", True),
        ("http://127.0.0.1:8073", False),
        ("https://api.example.com:8071", False),
        ("https://api.example.com", False),
    ],
)
def test_an_address_that_leads_to_the_stage_is_known(address: str, leads_there: bool):
    assert drills.is_on_stage(Site("us1", address), drills.stage(8071)) is leads_there


def test_no_site_may_be_called_as_those_of_the_stage_are():
    with pytest.raises(InvalidSites, match="are of drills"):
        sites_with(f"{US1}=https://api.example.com")


def test_the_name_of_a_side_says_drill_which_one_and_where():
    assert drills.name_of(7, Column.SECONDARY) == "drill-7-us5"
    assert all(name.startswith(OF_DRILLS) for name in drills.SITES.values())


# --- the scenes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scene", Scene)
def test_a_scene_is_told_in_sentences_and_the_simulator_can_play_it(scene: Scene):
    assert scene.sees.endswith(".")
    assert scene.expected.endswith(".")
    assert scene.never is not scene.goal.side
    for fault in scene.faults:
        if fault.name != REFUSE:
            make(fault.name, times=fault.times, **fault.options)
    assert scene.faults or scene.splits


# --- the goal ---------------------------------------------------------------------------------------------------


def test_the_goal_is_reached_by_the_first_change_that_was_verified_as_asked():
    changes = [sent(2), sent(1), sent(3)]

    assert drills.reached_at(Scene.LATE_ANSWER, changes) == at(61)


@pytest.mark.parametrize(
    "over",
    [
        {"side": Column.PRIMARY},
        {"target": HamrStatus.ACTIVE},
        {"status": ChangeStatus.UNKNOWN, "settled_at": None},
        {"settled_at": None},
        {"agrees": False},
    ],
)
def test_what_is_anything_else_does_not_reach_it(over: dict[str, Any]):
    assert drills.reached_at(Scene.LATE_ANSWER, [sent(1, **over)]) is None


def test_a_dark_side_need_not_agree():
    assert drills.reached_at(Scene.REGION_DARK, [sent(1, agrees=False)]) == at(61)


# --- wrong turns ------------------------------------------------------------------------------------------------


def test_the_straight_way_has_no_wrong_turns():
    happened = [Happened(AT, Event.CHANGE_PREPARED, "mara"), Happened(AT, Event.CHANGE_SENDING, "mara")]

    assert turns(Scene.REGION_DARK, sent(), happened=happened) == []


@pytest.mark.parametrize(
    ("event", "problems", "what"),
    [
        (Event.CHANGE_INCOMPLETE, {"NAME_WRONG", "REASON_MISSING"}, WrongTurn.NAME),
        (Event.CHANGE_INCOMPLETE, {"NAME_OF_OTHER_SIDE"}, WrongTurn.NAME),
        (Event.CHANGE_INCOMPLETE, {"REASON_MISSING"}, WrongTurn.INCOMPLETE),
        (Event.CHANGE_STALE, set(), WrongTurn.STALE),
        (Event.CHANGE_TOKEN, set(), WrongTurn.STALE),
        (Event.CHANGE_REFUSED, set(), WrongTurn.FORBIDDEN),
        (Event.CHANGE_BUSY, set(), WrongTurn.WHILE_OPEN),
        (Event.ACCESS_DENIED, set(), WrongTurn.NOT_ALLOWED),
        (Event.CHANGE_CANCELLED, set(), WrongTurn.CANCELLED),
        (Event.CHANGE_RESOLVED, set(), WrongTurn.LOCK_OPENED),
    ],
)
def test_what_was_refused_or_given_up_is_a_wrong_turn_of_whoever_did_it(
    event: Event, problems: set[str], what: WrongTurn
):
    entry = Happened(AT, event, "mara", 7, frozenset(problems))

    assert drills.wrong_turns(Scene.REGION_DARK, [entry], []) == [Turn(AT, what, "mara", 7)]


def test_the_end_of_a_drill_opens_no_lock_by_a_persons_fault():
    entry = Happened(AT, Event.CHANGE_RESOLVED, "mara", 7, by_drill=True)

    assert drills.wrong_turns(Scene.LATE_ANSWER, [entry], []) == []


def test_what_goes_to_the_dark_side_is_a_wrong_turn_also_where_nothing_left():
    not_sent = sent(1, Column.PRIMARY, status=ChangeStatus.NOT_SENT)

    assert turns(Scene.REGION_DARK, not_sent, sent(2)) == [WrongTurn.WRONG_SIDE]


def test_another_status_is_a_wrong_turn_until_the_goal_is_reached():
    active = sent(1, target=HamrStatus.ACTIVE)
    later = sent(3, target=HamrStatus.ACTIVE)

    assert turns(Scene.REGION_DARK, active, sent(2), later) == [WrongTurn.OTHER_STATUS]
    assert turns(Scene.REGION_DARK, active) == [WrongTurn.OTHER_STATUS]


def test_what_was_never_sent_went_to_no_wrong_side():
    assert turns(Scene.REGION_DARK, sent(1, Column.PRIMARY, status=ChangeStatus.EXPIRED, sent_at=None)) == []


def test_sending_again_before_it_is_time_is_a_wrong_turn():
    limited = sent(1, status=ChangeStatus.REJECTED, http_status=429, again_at=at(130))

    assert turns(Scene.RATE_LIMITED, limited, sent(2)) == [WrongTurn.TOO_SOON]
    assert turns(Scene.RATE_LIMITED, limited, sent(3)) == []
    assert turns(Scene.RATE_LIMITED, limited, sent(2, Column.PRIMARY)) == []


def test_asking_again_where_the_keys_are_refused_is_a_wrong_turn_and_asking_once_is_none():
    refused = sent(1, status=ChangeStatus.REJECTED, http_status=403)

    assert turns(Scene.KEY_REFUSED, refused, sent(2, Column.PRIMARY)) == []
    assert turns(Scene.KEY_REFUSED, refused, sent(2, status=ChangeStatus.REJECTED)) == [WrongTurn.REFUSED_AGAIN]


def test_wrong_turns_are_in_the_order_of_their_moments():
    entry = Happened(at(70), Event.CHANGE_BUSY, "mara")

    found = turns(Scene.REGION_DARK, sent(1, Column.PRIMARY), sent(2, Column.PRIMARY), happened=[entry])

    assert found == [WrongTurn.WRONG_SIDE, WrongTurn.WHILE_OPEN, WrongTurn.WRONG_SIDE]
