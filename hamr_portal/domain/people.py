"""Who may do what? One table, from which the views, the tests and the docs are driven."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from .audit import Event


class Role(StrEnum):
    """What a person is; a person has exactly one role, and nothing beyond it."""

    VIEWER = "VIEWER"
    OPERATOR = "OPERATOR"
    APPROVER = "APPROVER"
    ADMIN = "ADMIN"
    AUDITOR = "AUDITOR"

    @property
    def word(self) -> str:
        """Give the word that people read and type."""
        return self.value.lower()


class Action(StrEnum):
    """What a view or a service may ask to be allowed."""

    SEE_STATUS = "SEE_STATUS"
    READ_NOW = "READ_NOW"
    MANAGE_ORGANIZATIONS = "MANAGE_ORGANIZATIONS"
    NAME_PAIRS = "NAME_PAIRS"
    EDIT_RUN_SHEETS = "EDIT_RUN_SHEETS"
    CHANGE_STATUS = "CHANGE_STATUS"
    DRIVE_CHANGES = "DRIVE_CHANGES"
    TICK_STEPS = "TICK_STEPS"
    TAKE_OFFLINE_PACK = "TAKE_OFFLINE_PACK"
    RUN_DRILLS = "RUN_DRILLS"
    LINK_ORGANIZATIONS = "LINK_ORGANIZATIONS"
    APPROVE_CHANGES = "APPROVE_CHANGES"
    FREEZE_CHANGES = "FREEZE_CHANGES"
    ACKNOWLEDGE_OUTSIDE = "ACKNOWLEDGE_OUTSIDE"
    READ_LOG = "READ_LOG"
    ADOPT_LOG = "ADOPT_LOG"
    MANAGE_PEOPLE = "MANAGE_PEOPLE"
    MANAGE_TOKENS = "MANAGE_TOKENS"
    SEE_NEWS = "SEE_NEWS"
    OWN_ACCOUNT = "OWN_ACCOUNT"


_EVERYBODY = frozenset({Action.SEE_STATUS, Action.READ_NOW, Action.OWN_ACCOUNT})
_OPERATOR = _EVERYBODY | {
    Action.EDIT_RUN_SHEETS,
    Action.CHANGE_STATUS,
    Action.DRIVE_CHANGES,
    Action.TICK_STEPS,
    Action.TAKE_OFFLINE_PACK,
    Action.ACKNOWLEDGE_OUTSIDE,
    Action.RUN_DRILLS,
}

ALLOWED: Mapping[Role, frozenset[Action]] = {
    Role.VIEWER: _EVERYBODY,
    Role.OPERATOR: _OPERATOR,
    Role.APPROVER: _EVERYBODY | {Action.APPROVE_CHANGES, Action.TICK_STEPS},
    Role.AUDITOR: _EVERYBODY | {Action.READ_LOG},
    Role.ADMIN: _OPERATOR
    | {
        Action.MANAGE_ORGANIZATIONS,
        Action.NAME_PAIRS,
        Action.LINK_ORGANIZATIONS,
        Action.FREEZE_CHANGES,
        Action.READ_LOG,
        Action.ADOPT_LOG,
        Action.MANAGE_PEOPLE,
        Action.MANAGE_TOKENS,
        Action.SEE_NEWS,
    },
}
"""What each role may do. Nothing else decides: no superuser, no group, no flag."""


NEEDS_FRESH_SIGN_IN = frozenset(
    {
        Action.MANAGE_ORGANIZATIONS,
        Action.EDIT_RUN_SHEETS,
        Action.CHANGE_STATUS,
        Action.LINK_ORGANIZATIONS,
        Action.APPROVE_CHANGES,
        Action.FREEZE_CHANGES,
        Action.ADOPT_LOG,
        Action.MANAGE_PEOPLE,
        Action.MANAGE_TOKENS,
    }
)
"""What nobody does with a sign-in of an hour ago: a browser may have been left open, or its cookie be stolen."""


def may(role: Role | None, action: Action) -> bool:
    """Tell whether a role allows an action; nobody without a role may do anything."""
    return role is not None and action in ALLOWED[role]


def roles_for(action: Action) -> list[Role]:
    """Give the roles that allow an action, for the sentence that says who can help."""
    return [role for role in Role if may(role, action)]


ANNOUNCED = (
    Event.PERSON_ADDED,
    Event.ROLE_CHANGED,
    Event.PERSON_DISABLED,
    Event.PERSON_ENABLED,
    Event.FACTORS_RESET,
    Event.PASSWORD_SET,
    Event.FREEZE_BROKEN,
)
"""What all admins are told: each of these can let somebody in who should not be, or goes past what an admin said."""
