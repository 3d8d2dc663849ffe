"""Who may do what: the table, cell by cell."""

from __future__ import annotations

import pytest

from hamr_portal.domain.people import ALLOWED, Action, Role, may, roles_for

EVERYBODY = {"viewer", "operator", "approver", "admin", "auditor"}
TABLE = {
    Action.SEE_STATUS: EVERYBODY,
    Action.READ_NOW: EVERYBODY,
    Action.MANAGE_ORGANIZATIONS: {"admin"},
    Action.NAME_PAIRS: {"admin"},
    Action.EDIT_RUN_SHEETS: {"operator", "admin"},
    Action.CHANGE_STATUS: {"operator", "admin"},
    Action.DRIVE_CHANGES: {"operator", "admin"},
    Action.TICK_STEPS: {"operator", "approver", "admin"},
    Action.TAKE_OFFLINE_PACK: {"operator", "admin"},
    Action.RUN_DRILLS: {"operator", "admin"},
    Action.LINK_ORGANIZATIONS: {"admin"},
    Action.APPROVE_CHANGES: {"approver"},
    Action.FREEZE_CHANGES: {"admin"},
    Action.ACKNOWLEDGE_OUTSIDE: {"operator", "admin"},
    Action.READ_LOG: {"auditor", "admin"},
    Action.ADOPT_LOG: {"admin"},
    Action.MANAGE_PEOPLE: {"admin"},
    Action.MANAGE_TOKENS: {"admin"},
    Action.SEE_NEWS: {"admin"},
    Action.OWN_ACCOUNT: EVERYBODY,
}


def test_the_table_names_every_role_and_every_action():
    assert set(ALLOWED) == set(Role)
    assert set(TABLE) == set(Action)


@pytest.mark.parametrize("action", list(Action))
@pytest.mark.parametrize("role", list(Role))
def test_a_role_may_do_what_the_table_says_and_nothing_else(role, action):
    assert may(role, action) is (role.word in TABLE[action])


@pytest.mark.parametrize("action", list(Action))
def test_nobody_without_a_role_may_do_anything(action):
    assert may(None, action) is False


@pytest.mark.parametrize("action", list(Action))
def test_those_who_can_help_are_those_who_may(action):
    assert {role.word for role in roles_for(action)} == TABLE[action]


def test_roles_are_named_in_one_order_and_in_lower_case():
    assert [role.word for role in roles_for(Action.SEE_STATUS)] == [
        "viewer",
        "operator",
        "approver",
        "admin",
        "auditor",
    ]
