"""What is to be said of a change before it is confirmed, check by check."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from hamr_portal.domain.connections import HamrStatus, ReadOutcome, View
from hamr_portal.domain.previews import (
    Check,
    Noticed,
    Reading,
    Weight,
    in_order,
    link_checks,
    needs_override,
    refusing,
    status_checks,
)

ACME, ACME_DR, STRANGER = UUID(int=1), UUID(int=2), UUID(int=3)
NO_CONNECTION = View(has_connection=False)


def own(status: int | None = 2, **view: Any) -> Reading:
    said = View(True, status, True, None, "", ACME_DR, "acme-dr", "us5")
    return Reading("acme", "us1", ACME, ReadOutcome.ANSWERED, replace(said, **view))


def other(status: int | None = 2, **view: Any) -> Reading:
    said = View(True, status, False, None, "", ACME, "acme", "us1")
    return Reading("acme-dr", "us5", ACME_DR, ReadOutcome.ANSWERED, replace(said, **view))


def without(reading: Reading) -> Reading:
    return replace(reading, outcome=ReadOutcome.NO_CONNECTION, view=NO_CONNECTION)


def dark(reading: Reading, outcome: ReadOutcome = ReadOutcome.NO_ANSWER) -> Reading:
    return replace(reading, outcome=outcome, view=None, reason="it did not listen")


def said(*noticed: Noticed) -> dict[Check, dict[str, str]]:
    return {each.check: dict(each.facts) for each in noticed}


def checks(mine: Reading, across: Reading | None, target: HamrStatus = HamrStatus.FAILOVER) -> dict[Any, Any]:
    return said(*status_checks(mine, across, target))


def linking(mine: Reading, across: Reading | None, **wish: Any) -> dict[Any, Any]:
    return said(*link_checks(mine, across, **{"target_uuid": ACME_DR, "is_primary": True, **wish}))


# --- weights and order ------------------------------------------------------------------------------------------


def test_every_check_has_a_label_of_its_own_and_the_heaviest_come_first():
    order = list(Weight)

    assert len({each.label for each in Check}) == len(list(Check))
    assert sorted(Check, key=lambda each: order.index(each.weight)) == list(Check)
    assert order == [Weight.REFUSES, Weight.NEEDS_OVERRIDE, Weight.WARNS]


def test_what_is_unusual_needs_a_tick_and_what_cannot_be_right_refuses():
    by_weight = {weight: {each.name for each in Check if each.weight is weight} for weight in Weight}

    assert by_weight[Weight.REFUSES] == {
        *(
            "LOG_IN_DOUBT",
            "DISABLED",
            "WRONG_ORGANIZATION",
            "NO_READING",
            "OPEN_CHANGE",
            "NO_CONNECTION",
            "CONNECTED_ALREADY",
        ),
        *("UUID_NOT_KNOWN", "LINKED_TO_ITSELF", "ALREADY_SO", "NOT_COPIED"),
    }
    assert by_weight[Weight.NEEDS_OVERRIDE] == {
        *("OTHER_SIDE_DARK", "SIDES_DISAGREE", "OTHER_SIDE_ACTIVE"),
        *("STATUS_NOT_DOCUMENTED", "STEP_SKIPPED", "STEP_UNUSUAL"),
    }


def test_what_was_noticed_is_put_in_order_whoever_noticed_it():
    slow, refused, unusual = Noticed(Check.WORKER_STOPPED), Noticed(Check.NO_READING), Noticed(Check.STEP_UNUSUAL)

    assert in_order([slow], [unusual, refused]) == (refused, unusual, slow)
    assert in_order() == ()


def test_only_what_refuses_refuses_and_only_what_needs_a_tick_needs_one():
    warns, ticks, refuses = Noticed(Check.SITE_IN_USE), Noticed(Check.STEP_SKIPPED), Noticed(Check.ALREADY_SO)

    assert refusing([warns, ticks, refuses]) == (refuses,)
    assert needs_override([warns, ticks])
    assert not needs_override([warns, refuses])
    assert (warns.weight, ticks.weight, refuses.weight) == (Weight.WARNS, Weight.NEEDS_OVERRIDE, Weight.REFUSES)


# --- a change of status -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "target"),
    [(1, HamrStatus.PASSIVE), (2, HamrStatus.FAILOVER), (3, HamrStatus.ACTIVE), (4, HamrStatus.RECOVERY)],
)
def test_a_usual_step_of_a_pair_that_agrees_is_without_remark(before, target):
    assert checks(own(before), other(before), target) == {}


def test_keys_of_another_organization_are_said_and_nothing_else_of_that_side():
    mine = replace(dark(own(), ReadOutcome.WRONG_ORGANIZATION), reason="the keys answer for another")

    assert checks(mine, other()) == {
        Check.WRONG_ORGANIZATION: {"name": "acme", "site": "us1", "reason": "the keys answer for another"}
    }


def test_no_reading_says_why():
    assert checks(dark(own()), other()) == {
        Check.NO_READING: {"name": "acme", "site": "us1", "outcome": "NO_ANSWER", "reason": "it did not listen"}
    }


def test_without_a_connection_there_is_nothing_to_change():
    assert checks(without(own()), other()) == {Check.NO_CONNECTION: {}}


def test_what_is_so_already_is_nothing_to_send():
    assert checks(own(3), other(3)) == {Check.ALREADY_SO: {"status": "FAILOVER"}}


def test_a_skipped_step_names_the_one_between():
    assert checks(own(2), other(2), HamrStatus.ACTIVE) == {
        Check.STEP_SKIPPED: {"before": "PASSIVE", "between": "FAILOVER"}
    }


def test_a_step_off_the_path_is_unusual():
    assert checks(own(4), other(4), HamrStatus.ONBOARDING) == {Check.STEP_UNUSUAL: {"before": "ACTIVE"}}


@pytest.mark.parametrize(
    ("status", "name"), [(6, "Unknown status 6"), (99, "Unknown status 99"), (None, "UNSPECIFIED")]
)
def test_a_status_that_is_not_documented_needs_a_tick(status, name):
    assert checks(own(status), other(status)) == {Check.STATUS_NOT_DOCUMENTED: {"status": name}}


def test_unspecified_is_documented_so_that_a_step_from_it_is_unusual():
    assert checks(own(0), other(0)) == {Check.STEP_UNUSUAL: {"before": "UNSPECIFIED"}}


def test_another_side_that_is_not_saved_is_said():
    assert checks(own(), None) == {Check.OTHER_SIDE_NOT_SAVED: {}}


def test_another_side_that_is_dark_says_why():
    assert checks(own(), dark(other(), ReadOutcome.KEY_REFUSED)) == {
        Check.OTHER_SIDE_DARK: {
            "name": "acme-dr",
            "site": "us5",
            "outcome": "KEY_REFUSED",
            "reason": "it did not listen",
        }
    }


@pytest.mark.parametrize(
    ("mine", "across", "facts"),
    [
        (own(3), other(2), {"statuses": "us1 says FAILOVER, us5 says PASSIVE"}),
        (own(3), other(6), {"statuses": "us1 says FAILOVER, us5 says Unknown status 6"}),
        (own(3), other(None), {"statuses": "us1 says FAILOVER, us5 says UNSPECIFIED"}),
        (own(3), other(3, is_primary=True), {"primary": "both"}),
        (own(3, is_primary=False), other(3), {"primary": "neither"}),
        (own(3, target_uuid=STRANGER), other(3), {"targets": "acme"}),
        (own(3), other(3, target_uuid=STRANGER), {"targets": "acme-dr"}),
        (own(3), other(3, target_uuid=None), {"targets": "acme-dr"}),
        (own(3), without(other()), {"connection": "none"}),
    ],
)
def test_sides_that_disagree_say_in_what(mine, across, facts):
    found = checks(mine, across, HamrStatus.ACTIVE)

    assert found == {Check.SIDES_DISAGREE: {"name": "acme-dr", "site": "us5", **facts}}


def test_all_disagreements_are_said_at_once():
    found = checks(own(3), other(2, is_primary=True, target_uuid=STRANGER), HamrStatus.ACTIVE)

    assert found[Check.SIDES_DISAGREE].keys() == {"name", "site", "statuses", "primary", "targets"}


def test_a_target_is_not_held_against_a_uuid_that_nobody_knows():
    assert checks(own(target_uuid=STRANGER), replace(other(), uuid=None)) == {}
    assert checks(replace(own(), uuid=None), other(target_uuid=STRANGER)) == {}


def test_nothing_is_held_against_a_side_that_has_no_connection_of_its_own():
    assert checks(without(own()), other(4)) == {Check.NO_CONNECTION: {}}
    assert checks(dark(own()), other(4)).keys() == {Check.NO_READING}


@pytest.mark.parametrize(
    ("status", "across", "target", "warned"),
    [
        (2, 4, HamrStatus.FAILOVER, True),
        (3, 4, HamrStatus.ACTIVE, True),
        (2, 4, HamrStatus.RECOVERY, False),
        (3, 4, HamrStatus.PASSIVE, False),
        (4, 4, HamrStatus.FAILOVER, False),
        (2, 3, HamrStatus.FAILOVER, False),
        (2, None, HamrStatus.FAILOVER, False),
    ],
)
def test_taking_over_from_a_side_that_is_active_needs_a_tick(status, across, target, warned):
    found = checks(own(status), other(across), target)

    assert found.get(Check.OTHER_SIDE_ACTIVE) == ({"name": "acme-dr", "site": "us5"} if warned else None)


def test_everything_is_said_at_once():
    found = checks(own(2, is_primary=False), other(4), HamrStatus.ACTIVE)

    assert found.keys() == {Check.STEP_SKIPPED, Check.SIDES_DISAGREE, Check.OTHER_SIDE_ACTIVE}


# --- a connection that is to be made ----------------------------------------------------------------------------


def test_linking_two_organizations_without_a_connection_from_the_primary_is_without_remark():
    assert linking(without(own()), without(other())) == {}


def test_a_connection_that_exists_is_not_made_again():
    assert linking(own(3), without(other())) == {Check.CONNECTED_ALREADY: {"status": "FAILOVER"}}
    assert linking(own(None), without(other())) == {Check.CONNECTED_ALREADY: {"status": "UNSPECIFIED"}}


def test_linking_needs_a_reading_too():
    assert linking(dark(own()), without(other())).keys() == {Check.NO_READING}


@pytest.mark.parametrize(
    ("mine", "across", "target_uuid", "name"),
    [
        (replace(without(own()), uuid=None), without(other()), ACME_DR, "acme"),
        (replace(without(own()), uuid=None), None, None, "acme"),
        (without(own()), without(other()), None, "acme-dr"),
        (without(own()), None, None, "acme"),
    ],
)
def test_a_uuid_that_is_not_known_is_said_with_whose_it_is(mine, across, target_uuid, name):
    found = linking(mine, across, target_uuid=target_uuid)

    assert found[Check.UUID_NOT_KNOWN] == {"name": name}
    assert Check.LINKED_TO_ITSELF not in found


def test_an_organization_is_not_linked_to_itself():
    assert linking(without(own()), without(other()), target_uuid=ACME) == {Check.LINKED_TO_ITSELF: {}}


def test_linking_to_a_side_that_is_dark_or_not_saved_says_so():
    dark_side = linking(without(own()), dark(other()))

    assert dark_side == {
        Check.OTHER_SIDE_DARK: {
            "name": "acme-dr",
            "site": "us5",
            "outcome": "NO_ANSWER",
            "reason": "it did not listen",
        }
    }
    assert linking(without(own()), None) == {Check.OTHER_SIDE_NOT_SAVED: {}}


def test_linking_to_a_side_that_is_connected_to_another_needs_a_tick():
    taken = other(target_uuid=STRANGER, target_name="globex")

    assert linking(without(own()), taken) == {
        Check.SIDES_DISAGREE: {"name": "acme-dr", "site": "us5", "targets": "globex"}
    }
    assert linking(without(own()), other()) == {}


def test_linking_from_the_secondary_is_said():
    assert linking(without(own()), without(other()), is_primary=False) == {Check.NOT_FROM_PRIMARY: {}}
