"""Who signed in and out, who tried to, and which sessions are open?"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.crypto import salted_hmac

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.sessions import Over, over
from hamr_portal.models import AuditEntry, Person

from . import audit, rooms

logger = logging.getLogger(__name__)

NOWHERE = "0.0.0.0"  # noqa: S104 - it stands for no address, nothing listens there
"""What stands for an address that is not known, where there has to be one."""

BEGAN, SEEN = "began", "seen"
"""What a session stores: when its person signed in, and when they last did something; seconds since the epoch."""

LATELY = timedelta(days=30)
"""So long an address stays one that somebody is known to sign in from."""


class Failure(StrEnum):
    """Why somebody was not let in. Each has its own room on the record: what nobody aims at hides nothing else."""

    NOBODY = "NOBODY"
    MISMATCH = "MISMATCH"
    DISABLED = "DISABLED"
    FACTOR = "FACTOR"
    OVERTAKEN = "OVERTAKEN"
    SSO = "SSO"
    STEP_UP = "STEP_UP"


def signed_in(*, by: Actor) -> None:
    """Put a sign-in on the record, and sweep out sessions that are too old for anybody."""
    rooms.always(Event.SIGNED_IN, by=by)
    try:
        Session.objects.filter(expire_date__lt=timezone.now()).delete()
    except DatabaseError as error:
        logger.warning("sessions are not swept out: %s", type(error).__name__)


def signed_out(*, by: Actor) -> None:
    """Put a sign-out on the record."""
    rooms.always(Event.SIGNED_OUT, by=by)


def stepped_up(*, by: Actor) -> None:
    """Put it on the record that somebody signed in again, for what asks for that."""
    rooms.always(Event.STEPPED_UP, by=by)


def failed(*, by: Actor, why: Failure) -> None:
    """Put a failed sign-in on the record, or count it; `by` is named by the address that was typed."""
    rooms.of_outcome(Event.SIGN_IN_FAILED, why, by=by)


def locked_out(*, by: Actor, why: Failure) -> None:
    """Put it on the record, or count it, that no more sign-ins are taken for a while, and what failed so often."""
    rooms.of_outcome(Event.LOCKED_OUT, why, by=by)


def mismatched(email: str) -> Failure:
    """Tell a wrong password from an address that is nobody's: for the record, never for the page."""
    return Failure.MISMATCH if Person.objects.filter(email__iexact=email).exists() else Failure.NOBODY


def signed_in_lately(*, by: Actor) -> bool:
    """Tell whether somebody of this name has signed in from this address: the record knows."""
    theirs = AuditEntry.objects.filter(actor_name=by.name.lower(), at__gt=timezone.now() - LATELY)
    return theirs.filter(event=Event.SIGNED_IN, actor_kind="person", actor_address=by.address).exists()


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


def standing(person: Person) -> str:
    """Give a mark of all that a sign-in rests on while it waits for its second factor; nothing can be read from it."""
    factors = sorted(Authenticator.objects.filter(user=person).values_list("pk", flat=True))
    rests_on = [person.get_session_auth_hash(), person.role, person.is_active, person.sessions_ended, factors]
    return salted_hmac("hamr_portal.standing", json.dumps([person.pk, *rests_on])).hexdigest()


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
    """End somebody's sessions, but the one with a key, and sign-ins that wait; give how many were open."""
    with transaction.atomic():
        Person.objects.filter(pk=person.pk).update(sessions_ended=F("sessions_ended") + 1)
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
