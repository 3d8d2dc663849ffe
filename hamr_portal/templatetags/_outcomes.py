"""How do pages show what became of a change? Its outcome in words, a status that is asked for, moments to the ms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Protocol, TypeVar

from django.utils.html import format_html
from django.utils.safestring import SafeString

from hamr_portal.domain.changes import OPEN, WATCHED_FOR, ChangeStatus
from hamr_portal.domain.connections import name_of
from hamr_portal.domain.previews import Check

from ._looks import said
from ._time import machine


class Story(Protocol):
    """A change and its log."""

    @property
    def change(self) -> Any: ...
    @property
    def was_in_doubt(self) -> bool: ...
    @property
    def arrived_late(self) -> bool: ...
    @property
    def other_agrees(self) -> bool: ...


S = TypeVar("S", bound=Story)


_LOOKS: Mapping[ChangeStatus, tuple[str, str, str]] = {
    ChangeStatus.PREPARED: ("Preview", "i-clock", ""),
    ChangeStatus.AWAITING_APPROVAL: ("Waiting for approval", "i-lock", "progress"),
    ChangeStatus.SENDING: ("Sending", "i-clock", "progress"),
    ChangeStatus.ACCEPTED: ("Accepted", "i-clock", "progress"),
    ChangeStatus.UNKNOWN: ("Outcome unknown", "v-unknown", "warning"),
    ChangeStatus.VERIFIED: ("Verified", "i-check", "ok"),
    ChangeStatus.REJECTED: ("Rejected", "i-x", "critical"),
    ChangeStatus.NOT_SENT: ("Not sent", "i-x", "critical"),
    ChangeStatus.NOT_APPLIED: ("Reconciled: not applied", "i-x", "critical"),
    ChangeStatus.SUPERSEDED: ("Overtaken by another write", "i-user", "warning"),
    ChangeStatus.RESOLVED: ("Resolved, outcome unknown", "v-unknown", "warning"),
    ChangeStatus.CANCELLED: ("Cancelled", "i-x", ""),
    ChangeStatus.DECLINED: ("Declined", "i-x", ""),
    ChangeStatus.EXPIRED: ("Expired", "i-clock", ""),
}
"""The words, the glyph and the colour of where a change is."""

WORDS = {status: words for status, (words, _, _) in _LOOKS.items()}


def outcome(story: Story) -> SafeString:
    """Show what became of a change: glyph and words."""
    _, symbol, colour = _LOOKS[ChangeStatus(story.change.status)]
    return said(outcome_words(story), symbol, colour)


def outcome_words(story: Story) -> str:
    """Give what became of a change, in the words that every page uses."""
    change = story.change
    if change.status == ChangeStatus.VERIFIED:
        return _verified(story)
    words = WORDS[ChangeStatus(change.status)]
    coded = change.status == ChangeStatus.REJECTED and change.http_status is not None
    return f"{words}, HTTP {change.http_status}" if coded else words


def _verified(story: Story) -> str:
    if story.arrived_late:
        return "Took effect late"
    if story.was_in_doubt:
        return "Reconciled: applied"
    return "Verified" if story.other_agrees else f"Verified on {story.change.organization.site}"


_BEFORE: Mapping[ChangeStatus, str] = {
    ChangeStatus.PREPARED: "it was not confirmed yet",
    ChangeStatus.AWAITING_APPROVAL: "it was confirmed before, and waits for approval",
    ChangeStatus.SENDING: "it is being sent",
    ChangeStatus.ACCEPTED: "it was sent before, and accepted",
    ChangeStatus.UNKNOWN: "it was sent before, and its outcome is not known",
    ChangeStatus.VERIFIED: "it was verified before",
    ChangeStatus.REJECTED: "it was sent before, and rejected",
    ChangeStatus.NOT_SENT: "it was tried before, and not sent",
    ChangeStatus.NOT_APPLIED: "it was sent before, and not applied",
    ChangeStatus.SUPERSEDED: "it was sent before, and overtaken by another write",
    ChangeStatus.RESOLVED: "it was resolved before",
    ChangeStatus.CANCELLED: "it was cancelled before",
    ChangeStatus.DECLINED: "it was declined before",
    ChangeStatus.EXPIRED: "it expired before",
}


def moved_before(status: ChangeStatus) -> str:
    """Say where a change was already when somebody pressed a button for it."""
    return _BEFORE[status]


def watched_until(sent_at: datetime) -> datetime:
    """Give until when a request that was sent may still land, and is recognized."""
    return sent_at + WATCHED_FOR


def _is_waiting(story: Story) -> bool:
    """Tell whether a change waits for a second person."""
    return ChangeStatus(story.change.status) is ChangeStatus.AWAITING_APPROVAL


_GROUPS = ("Waiting for approval", "Open", "Previews", "Final")


def in_groups(stories: Iterable[S]) -> list[tuple[str, list[S]]]:
    """Put changes into groups, each in the order in which they come: what waits for somebody is first."""

    def group(story: S) -> int:
        if _is_waiting(story):
            return 0
        if story.change.status == ChangeStatus.PREPARED:
            return 2
        return 1 if story.change.status in OPEN else 3

    return [(_GROUPS[key], list(listed)) for key, listed in groupby(sorted(stories, key=group), key=group)]


def to_the_ms(moment: datetime, first: datetime | None = None) -> SafeString:
    """Show a moment to the millisecond, with its day where that is not the day of the `first`."""
    moment = moment.astimezone(UTC)
    time = f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03d}"
    if first is None or moment.date() == first.astimezone(UTC).date():
        return format_html('<time datetime="{}">{}</time>', machine(moment), time)
    day = f"{moment.day} {moment:%b}"
    return format_html('<time datetime="{}">{}<span class="sub">{}</span></time>', machine(moment), time, day)


def seconds(length: float) -> str:
    """Give a length of time in whole seconds: `41 s`."""
    return f"{round(length)} s"


def view_name(view: Any) -> str:
    """Give what a side said, in a sentence: a status's name, or that there is no connection; nothing where nothing."""
    if view is None or view.has_connection is None:
        return ""
    return name_of(view.status or 0) if view.has_connection else "no connection"


def check_label(name: str) -> str:
    """Give a check's name in words."""
    return Check[name].label
