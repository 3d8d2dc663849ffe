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
    CHANGE_STATUS = "CHANGE_STATUS"
    LINK_ORGANIZATIONS = "LINK_ORGANIZATIONS"
    APPROVE_CHANGES = "APPROVE_CHANGES"
    ACKNOWLEDGE_OUTSIDE = "ACKNOWLEDGE_OUTSIDE"
    READ_LOG = "READ_LOG"
    ADOPT_LOG = "ADOPT_LOG"
    MANAGE_PEOPLE = "MANAGE_PEOPLE"
    MANAGE_TOKENS = "MANAGE_TOKENS"
    OWN_ACCOUNT = "OWN_ACCOUNT"


_EVERYBODY = frozenset({Action.SEE_STATUS, Action.READ_NOW, Action.OWN_ACCOUNT})
_OPERATOR = _EVERYBODY | {Action.CHANGE_STATUS, Action.ACKNOWLEDGE_OUTSIDE}

ALLOWED: Mapping[Role, frozenset[Action]] = {
    Role.VIEWER: _EVERYBODY,
    Role.OPERATOR: _OPERATOR,
    Role.APPROVER: _EVERYBODY | {Action.APPROVE_CHANGES},
    Role.AUDITOR: _EVERYBODY | {Action.READ_LOG},
    Role.ADMIN: _OPERATOR
    | {
        Action.MANAGE_ORGANIZATIONS,
        Action.NAME_PAIRS,
        Action.LINK_ORGANIZATIONS,
        Action.READ_LOG,
        Action.ADOPT_LOG,
        Action.MANAGE_PEOPLE,
        Action.MANAGE_TOKENS,
    },
}
"""What each role may do. Nothing else decides: no superuser, no group, no flag."""


NEEDS_FRESH_SIGN_IN = frozenset(
    {
        Action.MANAGE_ORGANIZATIONS,
        Action.CHANGE_STATUS,
        Action.LINK_ORGANIZATIONS,
        Action.APPROVE_CHANGES,
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
)
"""What all admins are told when it is done to somebody: each of these can let somebody in who should not be."""
