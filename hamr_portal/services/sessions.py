"""Who signed in and out, and who tried to? Failures are counted, so that no flood of them fills the record."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from threading import Lock

from django.db import Error as DatabaseError
from django.db import transaction
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.connections import sanitized
from hamr_portal.models import AuditEntry

from . import audit

logger = logging.getLogger(__name__)

SAME_FOR = timedelta(minutes=5)
"""So long no second entry tells that the same address failed at the same account, or was locked out of it."""

AT_MOST = 30
"""So many entries an hour tell of failures, and as many of lock-outs: with 10,000 failures an hour there are 60."""

PER = timedelta(hours=1)


class Failure(StrEnum):
    """Why somebody was not let in."""

    MISMATCH = "MISMATCH"
    DISABLED = "DISABLED"


class _Left:
    """How many attempts this process did not put on the record since the last one that it did.

    It is not shared, and gone after a restart: the number that an entry carries is of its process, and at least so.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[str, int] = {}

    def add(self, event: Event, count: int = 1) -> None:
        """Count some that are left out."""
        with self._lock:
            self._counts[event] = self._counts.get(event, 0) + count

    def take(self) -> dict[str, int]:
        """Give the counts, and begin anew."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken


left_out = _Left()


def signed_in(*, by: Actor) -> None:
    """Put a sign-in on the record."""
    _record(Event.SIGNED_IN, by)


def signed_out(*, by: Actor) -> None:
    """Put a sign-out on the record."""
    _record(Event.SIGNED_OUT, by)


def failed(*, by: Actor, why: Failure) -> None:
    """Put a failed sign-in on the record, or count it; `by` is named by the address that was typed."""
    _record_or_count(Event.SIGN_IN_FAILED, by, outcome=why)


def locked_out(*, by: Actor) -> None:
    """Put it on the record that no more sign-ins are taken for a while, once for each time that it comes to that."""
    _record_or_count(Event.LOCKED_OUT, by)


def _record(event: Event, by: Actor) -> None:
    counts = left_out.take()
    try:
        with transaction.atomic():
            audit.append(event, by=by, data={"not_recorded": counts} if counts else {})
    except DatabaseError as error:
        _put_back(counts)
        _not_recorded(event, error)


def _record_or_count(event: Event, by: Actor, *, outcome: str = "") -> None:
    try:
        if not _has_room(event, by) or not _appended(event, by, outcome):
            left_out.add(event)
    except DatabaseError as error:
        left_out.add(event)
        _not_recorded(event, error)


def _appended(event: Event, by: Actor, outcome: str) -> bool:
    """Append, unless others at the same moment took the room: only with the head locked is that known."""
    counts = left_out.take()
    stays = False
    try:
        with transaction.atomic():
            data = {"not_recorded": counts} if counts else {}
            entry = audit.append(event, by=by, outcome=outcome, data=data)
            stays = _has_room(event, by, before=entry.seq)
            if not stays:
                transaction.set_rollback(True)
    finally:
        if not stays:
            _put_back(counts)
    return stays


def _put_back(counts: Mapping[str, int]) -> None:
    for missed, count in counts.items():
        left_out.add(Event(missed), count)


def _has_room(event: Event, by: Actor, *, before: int | None = None) -> bool:
    """Tell whether one more is to be told: the record itself is what all processes count by."""
    told = AuditEntry.objects.filter(event=event)
    told = told.filter(seq__lt=before) if before is not None else told
    now = timezone.now()
    last = list(told.order_by("-seq").values_list("at", "actor_name", "actor_address")[:AT_MOST])
    # A clock that was set back must not silence the record until it has caught up.
    recent = [(abs(now - at), who) for at, *who in last if abs(now - at) < PER]
    same = [sanitized(by.name, 254), sanitized(by.address, 64)]
    return len(recent) < AT_MOST and not any(who == same and age < SAME_FOR for age, who in recent)


def _not_recorded(event: Event, error: DatabaseError) -> None:
    # People come in all the same: in the worst hour they have to read the statuses, and with the same fault no
    # change is sent. Who is kept out is kept out all the same.
    logger.critical("audit.write_failed: %s: %s", event, type(error).__name__)
