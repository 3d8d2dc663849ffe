"""Who signed in and out, who tried to, and which sessions are open?

Failures are counted, so that no flood of them fills the record.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from threading import Lock
from typing import Any

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.connections import sanitized
from hamr_portal.domain.sessions import Over, over
from hamr_portal.models import AuditEntry, Person

from . import audit

logger = logging.getLogger(__name__)

SAME_FOR = timedelta(minutes=5)
"""So long no second entry tells that the same address failed at the same account, or was locked out of it."""

AT_MOST = 30
"""So many entries an hour tell of failures, and as many of lock-outs: with 10,000 failures an hour there are 60."""

PER = timedelta(hours=1)

NOWHERE = "0.0.0.0"  # noqa: S104 - it stands for no address, nothing listens there
"""What stands for an address that is not known, where there has to be one."""

BEGAN, SEEN = "began", "seen"
"""What a session stores: when its person signed in, and when they last did something; seconds since the epoch."""

LATELY = timedelta(days=30)
"""So long an address stays one that somebody is known to sign in from."""


class Failure(StrEnum):
    """Why somebody was not let in."""

    MISMATCH = "MISMATCH"
    DISABLED = "DISABLED"
    FACTOR = "FACTOR"
    SSO = "SSO"
    STEP_UP = "STEP_UP"


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
    """Put a sign-in on the record, and sweep out sessions that are too old for anybody."""
    _record(Event.SIGNED_IN, by)
    try:
        Session.objects.filter(expire_date__lt=timezone.now()).delete()
    except DatabaseError as error:
        logger.warning("sessions are not swept out: %s", type(error).__name__)


def signed_out(*, by: Actor) -> None:
    """Put a sign-out on the record."""
    _record(Event.SIGNED_OUT, by)


def stepped_up(*, by: Actor) -> None:
    """Put it on the record that somebody signed in again, for what asks for that."""
    _record(Event.STEPPED_UP, by)


def failed(*, by: Actor, why: Failure) -> None:
    """Put a failed sign-in on the record, or count it; `by` is named by the address that was typed."""
    _record_or_count(Event.SIGN_IN_FAILED, by, outcome=why)


def locked_out(*, by: Actor) -> None:
    """Put it on the record that no more sign-ins are taken for a while, once for each time that it comes to that."""
    _record_or_count(Event.LOCKED_OUT, by)


def signed_in_lately(*, by: Actor) -> bool:
    """Tell whether somebody of this name has signed in from this address: the record knows."""
    theirs = AuditEntry.objects.filter(actor_name=by.name.lower(), at__gt=timezone.now() - LATELY)
    return theirs.filter(event=Event.SIGNED_IN, actor_kind="person", actor_address=by.address).exists()


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


# --- open sessions ----------------------------------------------------------------------------------------------


class NoSuchSession(Exception):
    """There is no such session of this person, or not any more."""


@dataclass(frozen=True)
class OpenSession:
    """A session that somebody could go on with."""

    number: int
    key: str
    address: str
    agent: str
    since: datetime
    seen_at: datetime

    def __repr__(self) -> str:
        return f"OpenSession({self.number})"


def fingerprint(key: str) -> str:
    """Give what tells sessions apart without being one."""
    return salted_hmac("hamr_portal.session", key).hexdigest()[:16] if key else ""


def why_over(stored: Mapping[str, Any], *, now: datetime) -> Over | None:
    """Tell from what is stored in a session why it is over; None: it is not."""
    limits = {"idle": settings.SESSION_IDLE_SECONDS, "absolute": settings.SESSION_ABSOLUTE_SECONDS}
    return over(stored.get(BEGAN), stored.get(SEEN), now=now.timestamp(), **limits)


def open_sessions(person: Person, *, now: datetime) -> list[OpenSession]:
    """Give somebody's sessions, the one that was used last first."""
    known = {row.session_key: row for row in UserSession.objects.filter(user=person)}
    found = []
    for key, stored in _within_limits(known, now).items():
        # Each carries a mark of the password that it was made with.
        if stored.get(HASH_SESSION_KEY) == person.get_session_auth_hash():
            row = known[key]
            since, seen_at = (datetime.fromtimestamp(stored[name], UTC) for name in (BEGAN, SEEN))
            found.append(OpenSession(row.pk, key, row.ip.replace(NOWHERE, ""), row.user_agent, since, seen_at))
    return sorted(found, key=lambda each: (each.seen_at, each.number), reverse=True)


def end_session(person: Person, number: int, *, by: Actor) -> None:
    """End one of somebody's sessions. Raises `NoSuchSession`."""
    with transaction.atomic():
        if not _end(person, UserSession.objects.filter(user=person, pk=number), by):
            raise NoSuchSession(f"{person.email} has no session {number}")


def end_sessions(person: Person, *, by: Actor, but: str | None = None) -> int:
    """End somebody's sessions, but the one with a key; give how many were open."""
    with transaction.atomic():
        return _end(person, UserSession.objects.filter(user=person).exclude(session_key=but or ""), by)


def _within_limits(keys: Iterable[str], now: datetime) -> dict[str, dict[str, Any]]:
    stored = {row.pk: row.get_decoded() for row in Session.objects.filter(pk__in=keys)}
    return {key: each for key, each in stored.items() if why_over(each, now=now) is None}


def _end(person: Person, rows: QuerySet[UserSession], by: Actor) -> int:
    """Delete sessions, so that no cookie leads to one any more; those that were open go on the record."""
    keys = list(rows.values_list("session_key", flat=True))
    ended = sorted(map(fingerprint, _within_limits(keys, timezone.now())))
    Session.objects.filter(pk__in=keys).delete()
    UserSession.objects.filter(session_key__in=keys).delete()
    if ended:
        audit.append(Event.SESSIONS_ENDED, by=by, data={"email": person.email, "sessions": ended})
    return len(ended)
