"""How do people come in, and with which role? What may an admin do to them?"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.mfa.models import Authenticator
from django.contrib.auth.password_validation import validate_password
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.organizations import Secret
from hamr_portal.domain.people import Action, Role, may, roles_for
from hamr_portal.models import Change, Person

from . import announcements, audit, rooms, sessions

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""What nobody takes for another: no i, l, o, 0 or 1."""


class NobodyThere(Exception):
    """Nobody has this e-mail address."""


class PersonExists(Exception):
    """Somebody has this e-mail address already."""


class NotAllowed(Exception):
    """This person's role does not allow it, or does not any more."""


class NotYourself(Exception):
    """Nobody does this to their own account."""


class LastAdmin(Exception):
    """Nobody would be left who could do it again."""


class AlreadyMoved(Exception):
    """Somebody else was faster, or it is so already. The text says how it is."""


# --- what a role allows -----------------------------------------------------------------------------------------


def entitled(by: Actor, action: Action) -> Person:
    """Give the person behind an actor, as the database has them now. Raises `NotAllowed`."""
    person = Person.objects.filter(email=by.name, is_active=True).first()
    if person is None or not may(person.held_role, action):
        roles = " or ".join(role.word for role in roles_for(action))
        raise NotAllowed(f"Needs: {roles}.")
    return person


def record_denied(by: Actor, action: Action, *, page: str, organization: str = "", change: int = 0) -> None:
    """Put on the record, or count, that somebody asked for what their role does not allow, where, and about what."""
    about = Change.objects.filter(pk=change).values_list("pk", flat=True).first()
    where: dict[str, Any] = {"organization": organization, "change": about}
    rooms.of_person(Event.ACCESS_DENIED, by=by, outcome=action, about={"page": page}, **where)


# --- coming in --------------------------------------------------------------------------------------------------


def add_person(email: str, role: Role, password: str, *, by: Actor) -> Person:
    """Let somebody in. Raises `PersonExists`, and Django's `ValidationError` for a weak password.

    At the shell an installation is set up: nobody is told of that, it is on the record alone.
    """
    person = Person(email=email.strip().lower(), role=role, added_at=timezone.now())
    validate_password(password, person)
    person.set_password(password)
    return _added(person, by)


def invite(email: str, role: Role, *, by: Actor) -> tuple[Person, Secret]:
    """Let somebody in with a first password, which is given this once. Raises `PersonExists`, `NotAllowed`."""
    password = _new_password()
    now = timezone.now()
    person = Person(email=email.strip().lower(), role=role, added_at=now, password_given_at=now)
    person.set_password(password.reveal())
    with _refusals_recorded(person, by):
        return _added(person, by), password


def _added(person: Person, by: Actor) -> Person:
    try:
        with transaction.atomic():
            if by.kind != "command":
                entitled(by, Action.MANAGE_PEOPLE)
            person.save(force_insert=True)
            role = person.held_role
            assert role is not None  # noqa: S101 - nobody comes in without one
            entry = audit.append(Event.PERSON_ADDED, by=by, data={"email": person.email, "role": role})
            if by.kind != "command":
                announcements.announce(person, entry, by=by, after=role.word)
    except IntegrityError:
        saved = Person.objects.filter(email__iexact=person.email).first()
        if saved is None:
            raise  # it is the record that did not take it
        role_word = saved.held_role.word if saved.held_role else "nobody"
        raise PersonExists(f"{saved.email} is here already, as {role_word}.") from None
    return person


# --- passwords --------------------------------------------------------------------------------------------------


def set_password(email: str, password: str, *, by: Actor) -> Person:
    """Give somebody another password. Raises `NobodyThere`, and Django's `ValidationError` for a weak one."""
    person = person_of(email)
    validate_password(password, person)
    person.set_password(password)
    person.password_given_at = None
    with transaction.atomic():
        person.save(update_fields=["password", "password_given_at"])
        entry = audit.append(Event.PASSWORD_SET, by=by, data={"email": person.email})
        announcements.announce(person, entry, by=by)
        sessions.end_sessions(person, by=by)
    return person


def give_password(person: Person, *, by: Actor) -> Secret:
    """Give somebody a new first password, this once; their sessions end. Raises `NotAllowed`, `NotYourself`."""
    password = _new_password()
    with _alone(person, by) as now:
        now.set_password(password.reveal())
        now.password_given_at = timezone.now()
        now.save(update_fields=["password", "password_given_at"])
        entry = audit.append(Event.PASSWORD_SET, by=by, data={"email": now.email})
        announcements.announce(now, entry, by=by)
        sessions.end_sessions(now, by=by)
    return password


def choose_password(person: Person, password: str, *, by: Actor, but: str | None) -> None:
    """Let somebody have the password that they chose; the caller has validated it. Their sessions end `but` one.

    Each session carries a mark of the password: the caller renews that of the one that stays.
    """
    person.set_password(password)
    person.password_given_at = None
    with transaction.atomic():
        person.save(update_fields=["password", "password_given_at"])
        audit.append(Event.PASSWORD_SET, by=by, data={"email": person.email})
        sessions.end_sessions(person, by=by, but=but)


def _new_password() -> Secret:
    """Make a password of 99 bits that can be read out: five groups of four letters and digits."""
    return Secret("-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(5)))


# --- what is done to somebody -----------------------------------------------------------------------------------


def person_of(email: str) -> Person:
    """Find somebody by address. Raises `NobodyThere`."""
    person = Person.objects.filter(email__iexact=email.strip()).first()
    if person is None:
        raise NobodyThere(f"Nobody is here as {email}. Use: manage.py add_person {email} --role ROLE")
    return person


def change_role(person: Person, role: Role, *, was: Role | None, by: Actor) -> Person:
    """Give somebody another role than the one that was shown.

    Raises `NotAllowed`, `NotYourself`, `LastAdmin`, `AlreadyMoved`.
    """
    with _alone(person, by) as now:
        if role is now.held_role or now.held_role is not was:
            raise AlreadyMoved(f"{now.email} is {_word(now) or 'without a role'} already.")
        before, was_admin = _word(now), _is_admin(now)
        now.role = role
        _another_admin_stays(now, was_admin)
        now.save(update_fields=["role"])
        data = {"email": now.email, "before": before, "after": role.word}
        entry = audit.append(Event.ROLE_CHANGED, by=by, data=data)
        announcements.announce(now, entry, by=by, was_admin=was_admin, before=before, after=role.word)
    return now


def disable(person: Person, *, by: Actor) -> Person:
    """Keep somebody out, and end their sessions. What they asked for stays on the record, and is not sent any more.

    Raises `NotAllowed`, `NotYourself`, `LastAdmin`, `AlreadyMoved`.
    """
    with _alone(person, by) as now:
        if not now.is_active:
            raise AlreadyMoved(f"{now.email} is disabled already.")
        was_admin = _is_admin(now)
        now.is_active = False
        _another_admin_stays(now, was_admin)
        now.save(update_fields=["is_active"])
        entry = audit.append(Event.PERSON_DISABLED, by=by, data={"email": now.email, "role": now.role})
        announcements.announce(now, entry, by=by, before=_word(now), was_admin=was_admin)
        sessions.end_sessions(now, by=by)
    return now


def enable(person: Person, *, by: Actor) -> Person:
    """Let somebody in again who was disabled. Raises `NotAllowed`, `AlreadyMoved`."""
    with _alone(person, by) as now:
        if now.is_active:
            raise AlreadyMoved(f"{now.email} is not disabled.")
        now.is_active = True
        now.save(update_fields=["is_active"])
        entry = audit.append(Event.PERSON_ENABLED, by=by, data={"email": now.email, "role": now.role})
        announcements.announce(now, entry, by=by, after=_word(now))
    return now


def reset_factors(person: Person, *, by: Actor) -> Person:
    """Take somebody's second factors away, who lost them. Raises `NotAllowed`, `NotYourself`, `AlreadyMoved`."""
    with _alone(person, by) as now:
        factors = Authenticator.objects.filter(user=now)
        kinds = sorted(set(factors.values_list("type", flat=True)))
        if not kinds:
            raise AlreadyMoved(f"{now.email} has no second factor.")
        factors.delete()
        entry = audit.append(Event.FACTORS_RESET, by=by, data={"email": now.email, "factors": kinds})
        announcements.announce(now, entry, by=by)
    return now


def end_sessions(person: Person, *, by: Actor) -> int:
    """Sign somebody out everywhere; give how often they were in. Raises `NotAllowed`, `NotYourself`, `AlreadyMoved`."""
    with _alone(person, by) as now:
        ended = sessions.end_sessions(now, by=by)
    # Afterwards: a sign-in that waits for its second factor has ended all the same.
    if not ended:
        raise AlreadyMoved(f"{now.email} is signed in nowhere.")
    return ended


@contextmanager
def _alone(person: Person, by: Actor) -> Iterator[Person]:
    """Give somebody as the database has them, with them and all admins held until what is done is committed.

    Two admins who demote each other at the same moment queue here: the second one is no admin any more. SQLite has
    one writer at a time anyhow.
    """
    roles = roles_for(Action.MANAGE_PEOPLE)
    with _refusals_recorded(person, by), transaction.atomic():
        held = Person.objects.select_for_update(no_key=True).filter(Q(pk=person.pk) | Q(role__in=roles))
        now = {each.pk: each for each in held.order_by("pk")}[person.pk]
        if by.kind == "person":
            entitled(by, Action.MANAGE_PEOPLE)
        if by.kind == "person" and by.name == now.email:
            raise NotYourself("This is your own account. Another admin does that.")
        yield now


@contextmanager
def _refusals_recorded(person: Person, by: Actor) -> Iterator[None]:
    try:
        yield
    except (NotAllowed, NotYourself, LastAdmin) as refused:
        outcome = Action.MANAGE_PEOPLE if isinstance(refused, NotAllowed) else type(refused).__name__
        about = {"email": person.email}
        rooms.of_person(Event.ACCESS_DENIED, by=by, outcome=outcome, about=about, repeated=True)
        raise


def _is_admin(person: Person) -> bool:
    return person.is_active and may(person.held_role, Action.MANAGE_PEOPLE)


def _another_admin_stays(changed: Person, was_admin: bool) -> None:
    if not was_admin or _is_admin(changed):
        return
    if not Person.objects.who_may(Action.MANAGE_PEOPLE).exclude(pk=changed.pk).exists():
        raise LastAdmin(f"{changed.email} is the only admin. Make somebody else admin first.")


def _word(person: Person) -> str:
    return person.held_role.word if person.held_role else ""
