"""How does a terminal say why nothing was sent, and what to do?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.models import Change, Freeze
from hamr_portal.services.conditions import LONGEST_REASON, LONGEST_TICKET
from hamr_portal.services.refusals import (
    Busy,
    Changed,
    Forbidden,
    Frozen,
    Incomplete,
    LookAgain,
    NotAllowed,
    Problem,
    Refused,
    SidesChanged,
)
from hamr_portal.templatetags._outcomes import WORDS
from hamr_portal.templatetags._time import clock

from .outcomes import NOTHING_SENT
from .readings import folded

BLOCKED = "Blocked: this change cannot be recorded, so it was not sent."


def refusal(refused: Refused, change: Change | None, *, now: datetime) -> str:
    """Give why nothing was sent, and what to do."""
    return f"{NOTHING_SENT} {_why(refused, change, now)}"


def _why(refused: Refused, change: Change | None, now: datetime) -> str:
    if isinstance(refused, Incomplete) and change is not None:
        return " ".join(_PROBLEMS[problem].format(**_asked(change)) for problem in refused.problems)
    if isinstance(refused, Forbidden):
        labels = ", ".join(each.check.label for each in refused.noticed)
        return f"Forbidden: {labels}. What to do stands beside each check above."
    if isinstance(refused, Frozen):
        return f"{frozen(refused.freeze, now)} Next: wait, or run this again with --break-freeze REASON."
    if isinstance(refused, Busy):
        return _busy(refused.other, now)
    if isinstance(refused, SidesChanged):
        side, what = refused.facts.get("side"), refused.facts.get("what")
        changed = _CHANGED.get(what, "Something new speaks against it")
        changed = f"{side} does not say any more what was shown above" if side else changed
        return f"{changed}. Run this again, and look at what it shows."
    if isinstance(refused, LookAgain):
        return "The preview is too old. Run this again."
    if isinstance(refused, NotAllowed):
        return f"The role of --as does not allow it. {refused}"
    return f"{refused}."


def frozen(freeze: Freeze, now: datetime) -> str:
    """Give until when changes are frozen, by whom, and why."""
    return f"Changes are frozen until {clock(freeze.ends_at, now)} by {freeze.begun_by}: {folded(freeze.reason)}"


def _busy(other: Change | None, now: datetime) -> str:
    if other is None:
        return "Another change is open on this pair. See /changes/."
    since = clock(other.sent_at or other.confirmed_at or other.prepared_at, now)
    state = WORDS[ChangeStatus(other.status)]
    return (
        f"Change {other.pk} by {other.author.email} is in progress ({state}, since {since}): "
        f"{other.organization.name} to {other.target.name}. See /changes/{other.pk}/."
    )


_CHANGED: Mapping[object, str] = {
    Changed.REQUEST: "The request would not be the one above any more",
    Changed.APPROVAL: "The organization asks for approval by now",
    Changed.DISABLED: "The organization is disabled by now",
    Changed.PAIR: "It is paired with another organization by now",
    Changed.ANOTHER_SENT: "Another change was sent on this pair meanwhile",
}

_PROBLEMS: Mapping[Problem, str] = {
    Problem.TICKET_MISSING: "--ticket is missing; it has to look like {pattern}.",
    Problem.TICKET_MALFORMED: "--ticket has to look like {pattern}, and have at most {longest_ticket} characters.",
    Problem.REASON_MISSING: "--reason is missing: say why, it goes on the record.",
    Problem.KEY_IN_REASON: "--reason holds what looks like a key; it would stay on the record. Leave it out.",
    Problem.KEY_IN_TICKET: "--ticket holds what looks like a key; it would stay on the record. Leave it out.",
    Problem.REASON_TOO_LONG: "--reason is longer than {longest_reason} characters.",
    Problem.BREAK_REASON_MISSING: "--break-freeze is empty: say why it cannot wait; it goes on the record.",
    Problem.KEY_IN_BREAK_REASON: "--break-freeze holds what looks like a key, for ever on the record. Leave it out.",
    Problem.BREAK_REASON_TOO_LONG: "--break-freeze is longer than {longest_reason} characters.",
    Problem.OVERRIDE_MISSING: "A check above needs --override.",
    Problem.NAME_MISSING: "--confirm is missing: repeat the name, {name}.",
    Problem.NAME_WRONG: "--confirm does not name the organization, {name}.",
    Problem.NAME_OF_OTHER_SIDE: "--confirm names the other side, {other}; the request would go to {name}.",
}


def _asked(change: Change) -> dict[str, Any]:
    return {
        "name": change.organization.name,
        "other": change.other.name if change.other is not None else "",
        "pattern": settings.TICKET_PATTERN.pattern or "any text",
        "longest_reason": LONGEST_REASON,
        "longest_ticket": LONGEST_TICKET,
    }
