"""When is a session over, although nobody ended it?"""

from __future__ import annotations

from enum import StrEnum


class Over(StrEnum):
    """Why a session is over."""

    IDLE = "IDLE"
    OLD = "OLD"


def over(began: object, seen: object, *, now: float, idle: float, absolute: float) -> Over | None:
    """Tell why a session is over; None: it is not. All in seconds, moments since the epoch.

    `began` and `seen` are what is stored in it; one that does not say when it began is over.
    """
    if not isinstance(began, int | float) or not isinstance(seen, int | float) or now - began >= absolute:
        return Over.OLD
    return Over.IDLE if now - seen >= idle else None
