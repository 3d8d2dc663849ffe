"""How much of one kind goes on the record? Each kind has its room, so much an hour; what is over is counted.

So no flood fills the record, and none of one kind hides what is of another.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Lock
from typing import Any

from django.db import Error as DatabaseError
from django.db import transaction
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.connections import sanitized
from hamr_portal.models import AuditEntry

from . import audit

logger = logging.getLogger(__name__)

SAME_FOR = timedelta(minutes=5)
"""So long no second entry tells that the same came from the same address."""

AT_MOST = 30
"""So many entries an hour there is room for."""

PER = timedelta(hours=1)

_OURS = frozenset({"not_recorded", "further"})


class _Left:
    """How many attempts this process did not put on the record since the last one that it did, by their rooms.

    It is not shared, and gone after a restart: the number that an entry carries is of its process, and at least so.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[str, int] = {}

    def add(self, room: str, count: int = 1) -> None:
        """Count some that are left out."""
        with self._lock:
            self._counts[room] = self._counts.get(room, 0) + count

    def take(self) -> dict[str, int]:
        """Give the counts, and begin anew."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def put_back(self, counts: Mapping[str, int]) -> None:
        """Count again what no entry came to carry."""
        for room, count in counts.items():
            self.add(room, count)


left_out = _Left()


@dataclass(frozen=True)
class Attempt:
    """Somebody's attempt at something, and what it shares its room with: all of its event, of one outcome or person."""

    event: Event
    by: Actor
    room: str
    outcome: str = ""
    organization: str = ""
    change: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counted_as(self) -> str:
        """Give how it is counted where it is left out."""
        return f"{self.event} {self.room}"


def always(event: Event, *, by: Actor) -> None:
    """Put something on the record for which there is always room, with what was left out before."""
    counts = left_out.take()
    try:
        with transaction.atomic():
            audit.append(event, by=by, data=_data({}, counts))
    except DatabaseError as error:
        left_out.put_back(counts)
        _not_recorded(event, error)


def of_outcome(event: Event, outcome: str, *, by: Actor) -> None:
    """Tell of an attempt, or count it: each outcome of an event has its room."""
    _tell(Attempt(event, by, room=outcome, outcome=outcome), {"outcome": outcome})


def of_person(
    event: Event,
    *,
    by: Actor,
    outcome: str,
    about: Mapping[str, Any],
    organization: str = "",
    change: int | None = None,
    repeated: bool = False,
) -> None:
    """Tell of an attempt, or count it: each person has their room. Where it is `repeated`, the same is told again."""
    name = sanitized(by.name, 254)
    attempt = Attempt(event, by, name, outcome, organization, change, about)
    _tell(attempt, {"actor_name": name}, repeated=repeated)


def _tell(attempt: Attempt, shared: Mapping[str, str], *, repeated: bool = False) -> None:
    counts: dict[str, int] = {}
    try:
        # Looked at first without a lock, for a flood must not make others wait.
        told = _free(attempt, shared, repeated) > 0
        if told:
            with transaction.atomic():
                audit.hold()
                free = _free(attempt, shared, repeated)
                told = free > 0
                if told:
                    counts = left_out.take()
                    _append(attempt, _data(attempt.about, counts, is_last=free == 1))
    except DatabaseError as error:
        told = False
        left_out.put_back(counts)
        _not_recorded(attempt.event, error)
    if not told:
        left_out.add(attempt.counted_as)


def _append(attempt: Attempt, data: Mapping[str, Any]) -> None:
    where: dict[str, Any] = {"organization": attempt.organization, "change": attempt.change}
    audit.append(attempt.event, by=attempt.by, outcome=attempt.outcome, data=data, **where)


def _data(about: Mapping[str, Any], counts: Mapping[str, int], *, is_last: bool = False) -> dict[str, Any]:
    said: dict[str, Any] = dict(about)
    if counts:
        said["not_recorded"] = counts
    if is_last:
        said["further"] = "counted, not listed"
    return said


def _free(attempt: Attempt, shared: Mapping[str, str], repeated: bool) -> int:
    """Tell for how many there is room, this one included: the record itself is what all processes count by."""
    told = AuditEntry.objects.filter(event=attempt.event, **shared).order_by("-seq")
    now = timezone.now()
    last = list(told.values_list("at", "actor_name", "actor_address", "outcome", "data")[:AT_MOST])
    # A clock that was set back must not silence the record until it has caught up.
    recent = [(abs(now - at), what) for at, *what in last if abs(now - at) < PER]
    if not repeated and any(age < SAME_FOR and _is_same(attempt, *what) for age, what in recent):
        return 0
    return AT_MOST - len(recent)


def _is_same(attempt: Attempt, name: str, address: str, outcome: str, data: str) -> bool:
    by = attempt.by
    who = (sanitized(by.name, 254), sanitized(by.address, 64), attempt.outcome)
    return who == (name, address, outcome) and attempt.about == _about(data)


def _about(data: str) -> dict[str, Any] | None:
    try:
        told = json.loads(data)
        return {name: text for name, text in told.items() if name not in _OURS}
    except (ValueError, AttributeError):
        return None  # somebody spoilt that entry


def _not_recorded(event: Event, error: DatabaseError) -> None:
    # People come in all the same: in the worst hour they have to read the statuses, and with the same fault no
    # change is sent. Who is kept out is kept out all the same.
    logger.critical("audit.write_failed: %s: %s", event, type(error).__name__)
