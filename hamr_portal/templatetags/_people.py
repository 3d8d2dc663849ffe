"""How do pages and the docs say what a role allows, and how somebody signs in?"""

from __future__ import annotations

from collections.abc import Mapping

from hamr_portal.domain.people import Action, Role, may

ACTIONS: Mapping[Action, str] = {
    Action.SEE_STATUS: "See every status, organization and change",
    Action.READ_NOW: "Have an organization read now",
    Action.OWN_ACCOUNT: "Look after their own account: password, second factor, sessions",
    Action.CHANGE_STATUS: "Change a HAMR status, where asked for with a second person's approval",
    Action.DRIVE_CHANGES: "Drive a change: hand it over, take it, or take it over for a reason",
    Action.TICK_STEPS: "Tick the steps of a change's run sheet, and take a tick back",
    Action.EDIT_RUN_SHEETS: "Edit the run sheet of a pair",
    Action.TAKE_OFFLINE_PACK: "Make the offline pack: what to do when the portal is away",
    Action.RUN_DRILLS: "Begin and end drills",
    Action.ACKNOWLEDGE_OUTSIDE: "Say who made a change outside the portal, and why",
    Action.APPROVE_CHANGES: "Approve or decline the change of somebody else",
    Action.READ_LOG: "Read, verify and export the audit log, and make evidence packs",
    Action.MANAGE_ORGANIZATIONS: "Add and edit organizations, and replace their keys",
    Action.NAME_PAIRS: "Name pairs",
    Action.FREEZE_CHANGES: "Freeze changes until an end, for a reason, and end that early",
    Action.LINK_ORGANIZATIONS: "Link two organizations to a pair: a status where there is none yet",
    Action.ADOPT_LOG: "Adopt an audit log that is in doubt, for a reason",
    Action.MANAGE_PEOPLE: "Add people, change their roles, disable them, reset their sign-in",
    Action.MANAGE_TOKENS: "Make and revoke tokens for monitoring",
    Action.SEE_NEWS: "See what was told to whom, and send a test message",
}
"""What each action is, in words, from what everybody may do to what few may."""

SUMMARIES: Mapping[Role, str] = {
    Role.VIEWER: "sees everything but the audit log, changes nothing",
    Role.OPERATOR: "also changes statuses",
    Role.APPROVER: "also approves changes of others",
    Role.ADMIN: "also changes statuses, keys and people, and reads the audit log",
    Role.AUDITOR: "also reads the audit log",
}
"""What each role is for, in a few words."""

_METHODS = {
    "password": "password",
    "mfa": "second factor",
    "socialaccount": "single sign-on",
}

_FACTORS = {
    "totp": "authenticator app",
    "webauthn": "security key",
    "recovery_codes": "recovery codes",
}


def summary(role: Role) -> str:
    """Give what a role is for, in a few words."""
    return SUMMARIES[role]


def allowed(role: Role) -> list[str]:
    """Give what a role allows, in words."""
    return [words for action, words in ACTIONS.items() if may(role, action)]


def method_words(method: str) -> str:
    """Give by what somebody signed in, in words; one that is not known here as it is kept."""
    return _METHODS.get(method, method)


def factor_words(kind: str) -> str:
    """Give a kind of second factor in words; one that is not known here as it is kept."""
    return _FACTORS.get(kind, kind)
