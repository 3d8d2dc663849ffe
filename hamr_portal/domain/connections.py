"""What does HAMR say about one organization, and what came of asking?"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum, StrEnum
from uuid import UUID

from .organizations import Spelling, site_of_datacenter


class HamrStatus(IntEnum):
    """The statuses that the API documents. Another number may come: `name_of` shows it and maps it to none of these."""

    UNSPECIFIED = 0
    ONBOARDING = 1
    PASSIVE = 2
    FAILOVER = 3
    ACTIVE = 4
    RECOVERY = 5


def known_status(number: int | None) -> HamrStatus | None:
    """Give the documented status of a number, or None when the number is not documented."""
    return next((status for status in HamrStatus if status == number), None)


def name_of(number: int) -> str:
    """Give a status's name, or `Unknown status N`."""
    known = known_status(number)
    return known.name if known is not None else f"Unknown status {number}"


@dataclass(frozen=True)
class Connection:
    """One organization's own view of its HAMR connection, as read at one moment.

    `modified_at` is UTC; recorded answers give no zone, and UTC is assumed for them.
    `target_datacenter` and `own_datacenter` are as answered; `site_of_datacenter` compares their forms.
    """

    organization_uuid: UUID
    status: int
    is_primary: bool
    modified_at: datetime | None
    modified_by: str
    target_uuid: UUID | None
    target_name: str
    target_datacenter: str
    own_datacenter: str
    spelling: Spelling


@dataclass(frozen=True)
class View:
    """One side's own statement, as far as two of them are compared. Without a connection, nothing else is said."""

    has_connection: bool
    status: int | None = None
    is_primary: bool | None = None
    modified_at: datetime | None = None
    modified_by: str = ""
    target_uuid: UUID | None = None
    target_name: str = ""
    target_datacenter: str = ""

    @classmethod
    def of(cls, connection: Connection | None) -> View:
        """Give what an answer states."""
        if connection is None:
            return cls(has_connection=False)
        return cls(
            has_connection=True,
            status=connection.status,
            is_primary=connection.is_primary,
            modified_at=connection.modified_at,
            modified_by=connection.modified_by,
            target_uuid=connection.target_uuid,
            target_name=connection.target_name,
            target_datacenter=connection.target_datacenter,
        )

    def says_the_same(self, other: View) -> bool:
        """Tell whether two statements are the same; a datacenter's two forms are the same place."""
        return self._compared() == other._compared()

    def _compared(self) -> View:
        return replace(self, target_datacenter=site_of_datacenter(self.target_datacenter))


class ReadOutcome(StrEnum):
    """What came of one read."""

    ANSWERED = "ANSWERED"
    NO_CONNECTION = "NO_CONNECTION"
    NO_ANSWER = "NO_ANSWER"
    KEY_REFUSED = "KEY_REFUSED"
    WRONG_ORGANIZATION = "WRONG_ORGANIZATION"
    RATE_LIMITED = "RATE_LIMITED"
    REFUSED = "REFUSED"
    SERVER_ERROR = "SERVER_ERROR"
    UNREADABLE = "UNREADABLE"
    KEYS_UNREADABLE = "KEYS_UNREADABLE"


_HARMLESS = frozenset({"\n", "\t"})


def sanitized(text: str, limit: int) -> str:
    """Give text that is safe to store and show: control, format and lone surrogate characters become U+FFFD.

    At most `limit` characters are kept; where more are cut, the last one is an ellipsis.
    """
    head = text[: limit + 1]
    clean = "".join(
        character
        if character in _HARMLESS or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        else "\N{REPLACEMENT CHARACTER}"
        for character in head
    )
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


LONGEST_ASKED = 300.0
"""Seconds that a 429 may keep the portal from reading, at most, whatever it asks for."""

REFUSED_WAIT = 300.0
"""Seconds until keys that were refused are tried again by themselves: polling must not lock them out."""

LONGEST_WAIT = 60.0
"""Seconds between reads of what keeps failing, at most."""

PATIENCE = 3
"""So many failed reads in a row are repeated at the usual pace before reading backs off."""

_NEEDS_A_PERSON = frozenset({ReadOutcome.KEY_REFUSED, ReadOutcome.WRONG_ORGANIZATION})


def seconds_until_next_read(
    outcome: ReadOutcome, *, repeats: int, interval: float, retry_after: float | None = None
) -> float:
    """Give how long to wait after a read: `repeats` counts this outcome in a row, `retry_after` is what a 429 asks."""
    if outcome in (ReadOutcome.ANSWERED, ReadOutcome.NO_CONNECTION):
        return interval
    if outcome in _NEEDS_A_PERSON:
        return max(interval, REFUSED_WAIT)
    if outcome is ReadOutcome.RATE_LIMITED:
        return max(interval, min(retry_after or 0.0, LONGEST_ASKED))
    doublings = min(max(0, repeats - PATIENCE), 10)
    return max(interval, min(interval * 2.0**doublings, LONGEST_WAIT))


STALE_AFTER = 120.0
"""Seconds after which a view may not be shown as the present; longer only where reads are set to be rarer."""


def seconds_until_stale(interval: float) -> float:
    """Give the age from which a view is stale, where each organization is read every `interval` seconds."""
    return max(STALE_AFTER, 3 * interval)


def seconds_until_unread(outcome: ReadOutcome, *, repeats: int, interval: float) -> float:
    """Give how long after a read nobody can be said to read any more: what fails is asked more seldom on purpose."""
    wait = seconds_until_next_read(outcome, repeats=repeats, interval=interval, retry_after=LONGEST_ASKED)
    return seconds_until_stale(interval) + (wait - interval)
