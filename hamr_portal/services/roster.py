"""Who is here, and how do they sign in?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db.models import OuterRef, QuerySet, Subquery

from hamr_portal.domain.audit import Event
from hamr_portal.models import AuditEntry, Person

from .sessions import why_over


@dataclass(frozen=True)
class Listed:
    """A person, and how they sign in: when and by what the last time, with which second factors, and where now."""

    person: Person
    signed_in_at: datetime | None
    methods: tuple[str, ...]
    factors: tuple[str, ...]
    sessions: int


def everybody() -> QuerySet[Person]:
    """Give all people, by address."""
    return Person.objects.order_by("email")


def listed(people: Sequence[Person], *, now: datetime) -> list[Listed]:
    """Give these people with how they sign in."""
    ids = [person.pk for person in people]
    entries = _last_sign_ins(ids)
    factors = Authenticator.objects.filter(user__in=ids).order_by("pk").values_list("user", "type")
    kinds: dict[int, list[str]] = {}
    for pk, kind in factors:
        kinds.setdefault(pk, []).append(kind)
    open_now = _open_sessions(ids, now)
    return [
        Listed(
            person,
            entries[person.pk].at if person.pk in entries else None,
            _methods(entries[person.pk].actor_signed_in) if person.pk in entries else (),
            tuple(dict.fromkeys(kinds.get(person.pk, ()))),
            open_now[person.pk],
        )
        for person in people
    ]


def _last_sign_ins(ids: Sequence[int]) -> dict[int, AuditEntry]:
    """Give each one's newest sign-in from the record."""
    theirs = AuditEntry.objects.filter(event=Event.SIGNED_IN, actor_kind="person", actor_name=OuterRef("email"))
    newest = Person.objects.filter(pk__in=ids).annotate(seq=Subquery(theirs.order_by("-seq").values("seq")[:1]))
    seqs = dict(newest.exclude(seq=None).values_list("pk", "seq"))
    entries = AuditEntry.objects.in_bulk(list(seqs.values()))
    return {pk: entries[seq] for pk, seq in seqs.items()}


def _open_sessions(ids: Sequence[int], now: datetime) -> Counter[int]:
    """Count the sessions that each one could go on with."""
    whose = dict(UserSession.objects.filter(user__in=ids).values_list("session_key", "user"))
    found = Session.objects.filter(pk__in=whose)
    return Counter(whose[session.pk] for session in found if why_over(session.get_decoded(), now=now) is None)


def _methods(signed_in: str) -> tuple[str, ...]:
    """Give by what somebody signed in, of what the record keeps as `password, 2026-03-14T03:08:31Z; mfa, …`."""
    methods = (step.partition(",")[0].strip() for step in signed_in.split(";"))
    return tuple(method for method in methods if method)
