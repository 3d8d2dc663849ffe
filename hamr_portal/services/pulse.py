"""Is a worker at work, and when was one last seen?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from django.conf import settings
from django.db.models import Max, Q

from hamr_portal.models import Worker

STOPPED_AFTER = timedelta(minutes=10)
CLOCK_SKEW = timedelta(minutes=1)
"""A worker that was seen further in the future was seen by a clock that ran ahead, and says nothing about now."""


class Pulse(Enum):
    """The state of the workers as the bar on every page shows it."""

    LIVE = "Live"
    LATE = "Late"
    STOPPED = "Stopped"


@dataclass(frozen=True)
class WorkerState:
    """Whether anybody reads, and when somebody last did (None: never)."""

    pulse: Pulse
    seen_at: datetime | None


def state(*, now: datetime) -> WorkerState:
    """Tell whether a worker is at work; an absent one must never look like calm."""
    return judged(Worker.objects.aggregate(**asked(now=now)), now=now)


def asked(*, now: datetime) -> dict[str, Max]:
    """Give what `judged` has to know of all workers, for a query that asks for more besides."""
    at_work = Q(stopped_at__isnull=True, seen_at__lte=now + CLOCK_SKEW)
    return {"any": Max("seen_at"), "at_work": Max("seen_at", filter=at_work)}


def judged(seen: Mapping[str, Any], *, now: datetime) -> WorkerState:
    """Tell whether a worker is at work, of what was asked."""
    if seen["at_work"] is None or now - seen["at_work"] > STOPPED_AFTER:
        return WorkerState(Pulse.STOPPED, seen["any"])
    late = now - seen["at_work"] > late_after()
    return WorkerState(Pulse.LATE if late else Pulse.LIVE, seen["at_work"])


def late_after() -> timedelta:
    """Give how long a worker may be unseen before it is late: three intervals."""
    return timedelta(seconds=3 * settings.HAMR_POLL_INTERVAL)
