"""How do pages offer and preview a change? Who may, which statuses, and what was read for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString

from hamr_portal.domain import connections
from hamr_portal.domain.changes import OFFERED, Step, skipped, step, usual_next
from hamr_portal.domain.connections import HamrStatus, ReadOutcome, name_of
from hamr_portal.domain.people import Action, roles_for
from hamr_portal.domain.previews import Check, Noticed, Weight

from ._looks import _READS, View, badge, read_words, said
from ._time import span

if TYPE_CHECKING:
    from hamr_portal.models import Change


class Reading(Protocol):
    """One reading of a side, as a change's log has it."""

    outcome: str
    http_status: int | None


@dataclass(frozen=True)
class Choice:
    """One status that can be asked for, and how it stands to the present one."""

    status: HamrStatus
    tag: str
    is_now: bool = False
    is_usual: bool = False


_WORDS = {
    HamrStatus.ONBOARDING: "Initial setup of the connection.",
    HamrStatus.PASSIVE: "Secondary on standby.",
    HamrStatus.FAILOVER: "On the way from PASSIVE to ACTIVE.",
    HamrStatus.ACTIVE: "The organization is an active failover.",
    HamrStatus.RECOVERY: "On the way back to the primary.",
}

_TITLES = {
    Check.LOG_IN_DOUBT: "The audit log is in doubt",
    Check.DISABLED: "{own} is disabled",
    Check.WRONG_ORGANIZATION: "The keys of {name} belong to another organization",
    Check.NO_READING: "{site} cannot be read",
    Check.OPEN_CHANGE: "Another change is open",
    Check.NO_CONNECTION: "{own} has no connection to change",
    Check.CONNECTED_ALREADY: "{own} has a connection already",
    Check.UUID_NOT_KNOWN: "The UUID of {name} is not known",
    Check.LINKED_TO_ITSELF: "{own} cannot be linked to itself",
    Check.ALREADY_SO: "{own} is {status} already",
    Check.NOT_COPIED: "The connection cannot be written back unchanged",
    Check.OTHER_SIDE_DARK: "{site} cannot be read",
    Check.SIDES_DISAGREE: "The sides disagree",
    Check.OTHER_SIDE_ACTIVE: "{site} is ACTIVE already",
    Check.STATUS_NOT_DOCUMENTED: "{status} is not documented",
    Check.STEP_SKIPPED: "This skips {between}",
    Check.STEP_UNUSUAL: "{target} is unusual from {before}",
    Check.MAY_LAND_LATE: "An earlier request may still land",
    Check.CHANGED_OUTSIDE: "{name} was changed outside the portal",
    Check.SITE_IN_USE: "{name} is failing over to {site} too",
    Check.OTHER_SIDE_NOT_SAVED: "The other side is not read here",
    Check.NOT_FROM_PRIMARY: "The connection is made from the secondary",
    Check.WORKER_STOPPED: "No worker reads",
}
"""What each check found, as a fact; `own` and `target` are the change's, the rest is of the check."""

_ON_THE_PATH = frozenset({Check.STEP_SKIPPED, Check.STEP_UNUSUAL})
"""What needs a tick, and says nothing about a side."""


def needs(action: str) -> str:
    """Give the roles that may do something: `operator or admin`."""
    return " or ".join(role.word for role in roles_for(Action(action)))


def choices(view: View, current: bool) -> list[Choice]:
    """Give the statuses to choose from; the present one is no choice, the last known one is."""
    before = view.status if view.has_connection else None
    return [_choice(status, before, current) for status in OFFERED]


def _choice(status: HamrStatus, before: int | None, current: bool) -> Choice:
    if before is None:
        return Choice(status, "")
    kind = step(before, status)
    if kind is Step.NONE:
        return Choice(status, "Now" if current else "Last known", is_now=current)
    if kind is Step.SKIPPING:
        between = skipped(before, status)
        return Choice(status, f"Skips {between.name}" if between is not None else "")
    if kind is Step.USUAL:
        return Choice(status, "Usual next step", is_usual=True)
    known = usual_next(before) is not None
    return Choice(status, f"Unusual from {name_of(before)}" if known else "")


def is_offered(view: View) -> bool:
    """Tell whether the present status is one of those to choose from."""
    return bool(view.has_connection) and view.status in OFFERED


def status_words(status: HamrStatus) -> str:
    """Give what a status means, in one line."""
    return _WORDS[status]


def status_badge(status: int, *, size: str = "") -> SafeString:
    """Show a status that is asked for."""
    return badge(connections.View(has_connection=True, status=status), size=size)


def reading(line: Reading) -> SafeString:
    """Show what came of reading a side for a change: `Answered`, `HTTP 503`, `No answer`."""
    outcome = ReadOutcome(line.outcome)
    _, symbol, colour = _READS[outcome]
    return said(read_words(outcome, line.http_status), symbol, colour)


def moment(text: str) -> datetime | None:
    """Give the moment that a fact of a check names."""
    return datetime.fromisoformat(text) if text else None


def check_title(noticed: Noticed, change: Change) -> str:
    """Give what a check found, in a few words."""
    own = {"own": change.organization.name, "target": change.target.name}
    if "other" in noticed.facts:
        return "{name} and {other} were changed outside the portal".format_map(noticed.facts)
    return _TITLES[noticed.check].format_map({**noticed.facts, **own})


def weighs(noticed: Noticed) -> str:
    """Give how loud a check is: critical, warning, or nothing special."""
    if noticed.weight is Weight.REFUSES:
        return "critical"
    if noticed.weight is Weight.NEEDS_OVERRIDE:
        return "warning" if noticed.check in _ON_THE_PATH else "critical"
    return "warning"


def until(context: Context, end: datetime) -> SafeString:
    """Show how long something still holds; the page's script counts it down."""
    machine = f"{end.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    left = end - context["now"]
    return format_html('<span data-until="{}">{}</span>', machine, span(left) if left.total_seconds() > 0 else "over")
