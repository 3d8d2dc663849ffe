"""How do pages show a status, a judgement, a read and keys? Words behind a glyph, in their colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from django.utils.html import format_html
from django.utils.safestring import SafeString

from hamr_portal.domain.connections import ReadOutcome, known_status, name_of
from hamr_portal.domain.findings import Group, Verdict
from hamr_portal.domain.readiness import KEYS_DUE_AFTER_DAYS

from ._time import days


class View(Protocol):
    """What one organization says of its connection: a side, a snapshot, or a line of history."""

    @property
    def has_connection(self) -> bool | None: ...
    @property
    def status(self) -> int | None: ...


class Attempt(Protocol):
    """The last attempt to read an organization."""

    outcome: str
    attempt_status: int | None
    repeats: int


# --- glyphs ---------------------------------------------------------------------------------------------------

_GROUP_LOOKS: Mapping[Group, tuple[str, str]] = {
    Group.NEED_ACTION: ("critical", "v-critical"),
    Group.IN_PROGRESS: ("progress", "v-progress"),
    Group.FAILED_OVER: ("progress", "s-active"),
    Group.DEGRADED: ("warning", "v-warning"),
    Group.SETTING_UP: ("", "v-setup"),
    Group.IN_SYNC: ("ok", "v-ok"),
}
"""The colour and the glyph of a group."""

_VERDICT_GLYPHS = {
    Verdict.OUTCOME_UNKNOWN: "v-unknown",
    Verdict.SENDING: "i-clock",
    Verdict.WAITING_FOR_APPROVAL: "i-lock",
    Verdict.STALE: "i-clock",
    Verdict.UNKNOWN_STATUS: "v-unknown",
}
"""Where a verdict's glyph is not its group's."""


def icon(name: str) -> SafeString:
    """Draw a symbol of the page's sprite; beside it stands a word that says the same."""
    return format_html('<svg class="i" aria-hidden="true"><use href="#{}"/></svg>', name)


def glyph(group: Group) -> str:
    """Give the symbol of a group."""
    return _GROUP_LOOKS[group][1]


def verdict_of(verdict: Verdict) -> SafeString:
    """Show the portal's judgement: glyph and words."""
    colour, symbol = _GROUP_LOOKS[verdict.group]
    return said(verdict.label, _VERDICT_GLYPHS.get(verdict, symbol), colour)


def said(words: str, symbol: str, colour: str = "") -> SafeString:
    """Show words behind a glyph; `colour` is critical, warning, progress, ok, or none."""
    kind = f"verdict verdict--{colour}" if colour else "verdict"
    return format_html('<span class="{}">{}{}</span>', kind, icon(symbol), words)


def badge(view: View, *, current: bool = True, size: str = "") -> SafeString:
    """Show a HAMR status: coloured as the present, grey and dotted where it is only the last known one."""
    kind, symbol, words = _badge_of(view)
    if view.has_connection and not current:
        kind = "old"
    classes = f"badge badge--{kind} badge--{size}" if size else f"badge badge--{kind}"
    return format_html('<span class="{}">{}{}</span>', classes, icon(symbol), words)


def _badge_of(view: View) -> tuple[str, str, str]:
    if view.has_connection is False:
        return "none", "s-none", "No connection"
    if view.has_connection is None or view.status is None:
        return "none", "i-quest", "Not known"
    known = known_status(view.status)
    if known is None:
        return "unspecified", "s-unspecified", name_of(view.status)
    return known.name.lower(), f"s-{known.name.lower()}", known.name


# --- reads and keys --------------------------------------------------------------------------------------------

_READS: Mapping[ReadOutcome, tuple[str, str, str]] = {
    ReadOutcome.ANSWERED: ("Answered", "i-check", "ok"),
    ReadOutcome.NO_CONNECTION: ("no connection", "s-none", ""),
    ReadOutcome.NO_ANSWER: ("No answer", "i-dark", "critical"),
    ReadOutcome.KEY_REFUSED: ("key refused", "i-lock", "critical"),
    ReadOutcome.WRONG_ORGANIZATION: ("Wrong organization", "v-critical", "critical"),
    ReadOutcome.RATE_LIMITED: ("rate limited", "i-clock", "warning"),
    ReadOutcome.REFUSED: ("refused", "v-warning", "warning"),
    ReadOutcome.SERVER_ERROR: ("", "v-warning", "warning"),
    ReadOutcome.UNREADABLE: ("Unreadable answer", "v-warning", "warning"),
    ReadOutcome.KEYS_UNREADABLE: ("Keys unreadable", "i-lock", "critical"),
}
"""The words, the glyph and the colour of a read; words in lower case follow the HTTP status."""

_UNREPEATED = frozenset({ReadOutcome.ANSWERED, ReadOutcome.NO_CONNECTION})


def read_words(outcome: str, http_status: int | None = None) -> str:
    """Give what came of a read: `No answer`, `HTTP 503`, `HTTP 403, key refused`."""
    if not outcome:
        return "Not read yet"
    words = _READS[ReadOutcome(outcome)][0]
    if words[:1].isupper():
        return words
    if http_status is None:
        return words.capitalize() or "Server error"
    return f"HTTP {http_status}, {words}" if words else f"HTTP {http_status}"


def read(attempt: Attempt, *, counted: bool = True, current: bool = True) -> SafeString:
    """Show what came of the last attempt to read, and how often in a row; an answer of long ago is grey."""
    if not attempt.outcome:
        return said("Not read yet", "v-setup")
    outcome = ReadOutcome(attempt.outcome)
    _, symbol, colour = _READS[outcome]
    words = read_words(outcome, attempt.attempt_status)
    if counted and attempt.repeats > 1 and outcome not in _UNREPEATED:
        words = f"{words} × {attempt.repeats}"
    return said(words, symbol, colour if current or outcome not in _UNREPEATED else "")


def past_read(outcome: str) -> SafeString:
    """Show what came of a read in a line of history."""
    _, symbol, colour = _READS[ReadOutcome(outcome)]
    return said(read_words(outcome), symbol, colour)


_KEYS = {
    "READS": ("Reads", "i-check", "ok"),
    "KEY_REFUSED": ("Key refused", "v-critical", "critical"),
    "PERMISSION_MISSING": ("Permission missing", "v-critical", "critical"),
    "WRONG_ORGANIZATION": ("Wrong organization", "v-critical", "critical"),
    "KEYS_UNREADABLE": ("Keys unreadable", "i-lock", "critical"),
    "NO_ANSWER": ("No answer", "i-dark", "warning"),
    "NOT_VERIFIED": ("Not verified", "i-quest", "warning"),
    "": ("Not verified", "i-quest", ""),
}
_CRITICAL_KEYS = frozenset(outcome for outcome, (_, _, colour) in _KEYS.items() if colour == "critical")
_KEY_TROUBLES = frozenset({ReadOutcome.KEY_REFUSED, ReadOutcome.WRONG_ORGANIZATION, ReadOutcome.KEYS_UNREADABLE})


def keys(outcome: str) -> SafeString:
    """Show what verifying keys came to."""
    return said(*_KEYS[str(outcome)])


def newer_trouble(organization: Any) -> bool:
    """Tell whether a read since the last verify found trouble with the keys."""
    return organization.snapshot.outcome in _KEY_TROUBLES and _is_newer(organization)


def newer_read(organization: Any) -> bool:
    """Tell whether a read since the last verify found trouble with the keys, or nobody who answers."""
    silent = organization.snapshot.outcome == ReadOutcome.NO_ANSWER
    return newer_trouble(organization) or (silent and _is_newer(organization))


def _is_newer(organization: Any) -> bool:
    read_at, verified_at = organization.snapshot.attempted_at, organization.verified_at
    return read_at is not None and (verified_at is None or read_at > verified_at)


def keys_trouble(organization: Any) -> str:
    """Give why an organization's keys need a person, by the reads since the last verify, else by that; or nothing."""
    outcome = organization.snapshot.outcome if newer_trouble(organization) else organization.verify_outcome
    return outcome if outcome in _CRITICAL_KEYS else ""


def key_words(outcome: str) -> str:
    """Give what verifying keys came to, in words."""
    return _KEYS[outcome][0]


def in_trouble(organizations: Iterable[Any]) -> int:
    """Count organizations in use whose keys need a person."""
    return sum(each.disabled_at is None and bool(keys_trouble(each)) for each in organizations)


def due(organizations: Iterable[Any], now: datetime) -> int:
    """Count organizations whose keys are due to be replaced."""
    return sum(days(each.keys_saved_at, now) > KEYS_DUE_AFTER_DAYS for each in organizations)


def rotation(days: int) -> int:
    """Give how much of the time until keys are due has passed, in percent."""
    return min(100, round(100 * days / KEYS_DUE_AFTER_DAYS))
