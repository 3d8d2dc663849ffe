"""How does the audit log say what happened, and what came of it? A word for each event and each outcome."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.people import Action
from hamr_portal.domain.previews import Check

from ._changes import needs
from ._looks import _KEYS, _READS, read_words
from ._outcomes import _LOOKS

EVENTS: Mapping[str, str] = {
    Event.ORGANIZATION_ADDED: "Organization added",
    Event.ORGANIZATION_EDITED: "Organization edited",
    Event.ORGANIZATION_DISABLED: "Organization disabled",
    Event.ORGANIZATION_ENABLED: "Organization enabled",
    Event.ORGANIZATION_VERIFIED: "Verification of keys",
    Event.ORGANIZATION_PINNED: "Organization pinned",
    Event.KEYS_REPLACED: "Keys replaced",
    Event.KEYS_UNREADABLE: "Keys unreadable",
    Event.READ_CHANGED: "Read outcome changed",
    Event.KEYS_REFUSED: "Key refused",
    Event.IDENTITY_MISMATCH: "Wrong organization",
    Event.TLS_FAILURE: "TLS failure",
    Event.REDIRECT_REFUSED: "Redirect refused",
    Event.STATUS_CHANGED_OUTSIDE: "Changed outside the portal",
    Event.OUTSIDE_ACKNOWLEDGED: "Outside change acknowledged",
    Event.PAIR_FOUND: "Pair found",
    Event.PAIR_MOVED: "Pair moved",
    Event.PAIR_PARTED: "Pair parted",
    Event.PAIR_NAMED: "Pair named",
    Event.RUN_SHEET_SAVED: "Run sheet saved",
    Event.PERSON_ADDED: "Person added",
    Event.PASSWORD_SET: "Password set",
    Event.ROLE_CHANGED: "Role changed",
    Event.PERSON_DISABLED: "Person disabled",
    Event.PERSON_ENABLED: "Person enabled",
    Event.PERSON_NOTICE_SEEN: "Seen: what was done to people",
    Event.FACTOR_ADDED: "Second factor added",
    Event.FACTOR_REMOVED: "Second factor removed",
    Event.FACTORS_RESET: "Second factors reset",
    Event.SSO_LINKED: "Linked to single sign-on",
    Event.TOKEN_MADE: "Token made",
    Event.TOKEN_REVOKED: "Token revoked",
    Event.NEWS_TESTED: "Test message sent off",
    Event.KEYS_ROTATED: "Key ring rotated",
    Event.WORKER_RESUMED: "Worker resumed",
    Event.ACCESS_DENIED: "Refused: role does not allow it",
    Event.SIGNED_IN: "Sign-in",
    Event.SIGNED_OUT: "Sign-out",
    Event.STEPPED_UP: "Sign-in again",
    Event.SESSIONS_ENDED: "Sessions ended",
    Event.SIGN_IN_FAILED: "Sign-in failed",
    Event.LOCKED_OUT: "Locked out",
    Event.KEYS_ROTATED: "Key ring rotated",
    Event.TOKEN_MADE: "Token made",
    Event.TOKEN_REVOKED: "Token revoked",
    Event.FREEZE_BEGUN: "Freeze begun",
    Event.FREEZE_ENDED: "Freeze ended",
    Event.FREEZE_BROKEN: "Freeze broken",
    Event.DRILL_BEGUN: "Drill begun",
    Event.DRILL_TURNED: "Drill: the trouble began",
    Event.DRILL_ENDED: "Drill ended",
    Event.LOG_VERIFIED: "Verification of the audit log",
    Event.LOG_EXPORTED: "Export of the audit log",
    Event.LOG_KEYS_GIVEN: "Keys of the audit log given out",
    Event.LOG_ALARM: "Audit log in doubt",
    Event.LOG_ADOPTED: "Audit log adopted",
    Event.PACK_MADE: "Evidence pack made",
    Event.OFFLINE_PACK_MADE: "Offline pack made",
    Event.CHANGE_PREPARED: "Preview",
    Event.CHANGE_REFUSED: "Refused: a check forbids it",
    Event.CHANGE_INCOMPLETE: "Refused: something is missing",
    Event.CHANGE_BUSY: "Refused: another change is open",
    Event.CHANGE_STALE: "Refused: the sides changed",
    Event.CHANGE_TOKEN: "Refused: not this preview",
    Event.CHANGE_FROZEN: "Refused: changes are frozen",
    Event.APPROVAL_OF_OWN: "Refused: approval of one's own change",
    Event.APPROVAL_ASKED: "Approval asked for",
    Event.CHANGE_APPROVED: "Approval",
    Event.APPROVAL_SKIPPED: "Status change without approval",
    Event.CHANGE_DECLINED: "Approval declined",
    Event.CHANGE_CANCELLED: "Change cancelled",
    Event.CHANGE_EXPIRED: "Change expired",
    Event.CHANGE_SENDING: "Status change",
    Event.CHANGE_NOT_SENT: "Answer: not sent",
    Event.CHANGE_REJECTED: "Answer: rejected",
    Event.CHANGE_ACCEPTED: "Answer: accepted",
    Event.CHANGE_UNKNOWN: "Answer: outcome unknown",
    Event.CHANGE_ABANDONED: "The process that sent it ended",
    Event.CHANGE_RESTORED: "Backup restored, may be sent",
    Event.CHANGE_VERIFIED: "Read back: verified",
    Event.CHANGE_LATE: "Read back: took effect late",
    Event.CHANGE_NOT_APPLIED: "Reconciled: not applied",
    Event.CHANGE_SUPERSEDED: "Overtaken by another write",
    Event.CHANGE_RESOLVED: "Lock opened, outcome unknown",
    Event.SKIP_SEEN: "Seen: sent without approval",
    Event.STEP_TICKED: "Step ticked",
    Event.STEP_TAKEN_BACK: "Tick taken back",
    Event.DRIVER_OFFERED: "Hand-over offered",
    Event.DRIVER_KEPT: "Hand-over offer taken back",
    Event.DRIVER_TAKEN: "Hand-over taken",
    Event.DRIVER_TAKEN_OVER: "Taken over as driver",
}

_CHECKS = {check.name: check.label for check in Check}
_OTHERS = {
    "WHOLE": ("Whole", "i-chain", "ok"),
    "BROKEN": ("Broken", "v-critical", "critical"),
    "GUARDS_MISSING": ("Guards missing", "v-critical", "critical"),
    "OLDER_THAN_ANCHOR": ("Older than its anchor", "v-critical", "critical"),
    "NOT_ITS_ANCHOR": ("Another log than anchored", "v-critical", "critical"),
    "NO_GENUINE_ANCHOR": ("No genuine anchor", "v-critical", "critical"),
    "ANCHOR_UNREADABLE": ("Anchor unreadable", "v-critical", "critical"),
    "CANNOT_SIGN": ("Cannot be signed", "v-critical", "critical"),
    "BEGUN": ("Begun", "i-clock", ""),
    "COMPLETE": ("Complete", "i-check", ""),
    "PARTLY": ("Partly", "v-warning", "warning"),
    "SEALED": ("Sealed under the new key", "i-lock", ""),
    "DROPPED": ("Old keys dropped", "i-check", ""),
    "STEP_UP": ("Wrong, on signing in again", "i-x", "warning"),
    "MISMATCH": ("Wrong password", "i-x", "warning"),
    "NOBODY": ("Nobody has this address", "i-x", "warning"),
    "OVERTAKEN": ("Account changed before the second factor", "i-x", "warning"),
    "DISABLED": ("Person is disabled", "i-lock", "warning"),
    "FACTOR": ("Wrong second factor", "i-x", "warning"),
    "SSO": ("Refused after single sign-on", "i-x", "warning"),
    "NotAllowed": ("Not allowed", "i-lock", "warning"),
    "NotYourself": ("Not to one's own account", "i-lock", "warning"),
    "LastAdmin": ("The last admin stays", "i-lock", "warning"),
    "OwnChange": ("Not by its author", "i-lock", "warning"),
    "Incomplete": ("Incomplete", "i-x", ""),
    "Forbidden": ("Forbidden", "i-x", "warning"),
    "Busy": ("Blocked", "i-lock", "warning"),
    "Frozen": ("Frozen", "i-lock", "warning"),
    "LookAgain": ("Preview again", "i-x", ""),
    "SidesChanged": ("Preview again", "i-x", ""),
}
"""Outcomes that are neither a change's, nor a read's, nor of keys."""

_DONE = {
    Event.ORGANIZATION_ADDED: "Saved",
    Event.ORGANIZATION_EDITED: "Saved",
    Event.KEYS_REPLACED: "Saved",
    Event.TOKEN_MADE: "Made",
    Event.TOKEN_REVOKED: "Revoked",
    Event.NEWS_TESTED: "Queued",
    Event.PAIR_NAMED: "Saved",
    Event.RUN_SHEET_SAVED: "Saved",
    Event.PERSON_ADDED: "Saved",
    Event.PASSWORD_SET: "Saved",
    Event.PERSON_DISABLED: "Disabled",
    Event.PERSON_ENABLED: "Enabled",
    Event.FACTORS_RESET: "Reset",
    Event.FACTOR_ADDED: "Added",
    Event.FACTOR_REMOVED: "Removed",
    Event.SSO_LINKED: "Linked",
    Event.OUTSIDE_ACKNOWLEDGED: "Acknowledged",
    Event.SIGNED_IN: "Signed in",
    Event.SIGNED_OUT: "Signed out",
    Event.STEPPED_UP: "Signed in again",
    Event.SESSIONS_ENDED: "Ended",
    Event.LOG_EXPORTED: "Exported",
    Event.LOG_KEYS_GIVEN: "Given out",
    Event.PACK_MADE: "Made",
    Event.OFFLINE_PACK_MADE: "Made",
    Event.FREEZE_BEGUN: "Begun",
    Event.FREEZE_ENDED: "Ended early",
    Event.DRILL_BEGUN: "Begun",
    Event.DRILL_TURNED: "Begun",
    Event.DRILL_ENDED: "Ended",
}
"""What came of an event that can come to one thing only."""

_DECIDED = {
    Event.FREEZE_BROKEN: ("Broken", "v-warning", "warning"),
    Event.CHANGE_APPROVED: ("Approved", "i-check", "ok"),
    Event.CHANGE_LATE: ("Took effect late", "i-check", "ok"),
}
"""Where an entry says less of a change than of what a person did."""


def event_words(event: str) -> str:
    """Give an event in words; one of another version of the portal as it is called there."""
    return EVENTS.get(event, event or "not named")


def outcome_look(event: str, outcome: str) -> tuple[str, str, str] | None:
    """Give the words, the glyph and the colour of what came of an event; nothing where nothing is said."""
    if event in _DECIDED:
        return _DECIDED[Event(event)]
    if not outcome:
        return (_DONE[Event(event)], "i-check", "") if event in _DONE else None
    return look_of(outcome)


def look_of(outcome: str) -> tuple[str, str, str]:
    """Give the words, the glyph and the colour of an outcome; one that is not known here is shown as it is kept."""
    if outcome in list(ChangeStatus):
        return _LOOKS[ChangeStatus(outcome)]
    if outcome in list(ReadOutcome):
        _, symbol, colour = _READS[ReadOutcome(outcome)]
        return read_words(outcome), symbol, colour
    if outcome in _KEYS:
        return _KEYS[outcome]
    if outcome in list(Action):
        return f"Needs {needs(outcome)}", "i-lock", "warning"
    return _OTHERS.get(outcome, (value_words(outcome), "i-check", ""))


def outcomes() -> list[tuple[str, str]]:
    """Give every outcome that can be asked for, with its words."""
    known = [*ChangeStatus, *ReadOutcome, *(outcome for outcome in _KEYS if outcome), *_OTHERS]
    return [(str(outcome), look_of(outcome)[0]) for outcome in dict.fromkeys(map(str, known))]


def value_words(value: str) -> str:
    """Give a value in words where it is one of the portal's own: `OPEN_CHANGE`, `NO_ANSWER`; else as it is kept."""
    if value in list(ChangeStatus) or value in list(ReadOutcome):
        return look_of(value)[0]
    if value in _CHECKS:
        return _CHECKS[value]
    if value in _PHASES:
        return _PHASES[value]
    if _MOMENT.fullmatch(value):
        return _MOMENT.sub(_in_utc, value)
    return name_words(value) if "_" in value and value.isupper() else value


_PHASES = {
    "RESOLVE": "the address was not found",
    "CONNECT": "no connection was made",
    "TLS": "no TLS connection was made",
    "SEND": "it was being sent",
    "WAIT": "sent, no answer yet",
    "BODY": "the answer had begun",
    "ANSWER": "answered",
}
"""How far a request had come."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
_NUMBER = re.compile(r"(?:\bentry )?#(\d+)", re.ASCII | re.IGNORECASE)


def _in_utc(found: re.Match[str]) -> str:
    try:
        moment = datetime.fromisoformat(found[0]).astimezone(UTC)
    except (ValueError, OverflowError):
        return found[0]
    return f"{moment.day} {moment:%b %Y %H:%M:%S} UTC"


def plainly(text: str) -> str:
    """Give the portal's own sentence with its entries and its moments written as on every page."""
    return _NUMBER.sub(r"entry \1", _MOMENT.sub(_in_utc, text))


_NAMES = {
    "api_key": "API",
    "application_key": "application",
    "retry_after": "Retry after, in s",
    "sha256": "SHA-256",
    "uuid": "UUID",
    "target_uuid": "Target UUID",
    "detail": "In particular",
    "reason": "Because",
    "author": "Asked for by",
    "reads": "Times read back",
    "phase": "How far it came",
}


def name_words(name: str) -> str:
    """Give the name under which something is kept in words: `seen_at` is `Seen at`."""
    return _NAMES.get(name, name.replace("_", " ").capitalize())
