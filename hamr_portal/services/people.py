"""How do people come in, and with which role?"""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.db import IntegrityError, transaction
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.people import Action, Role, may, roles_for
from hamr_portal.models import Change, Person

from . import audit


class NobodyThere(Exception):
    """Nobody has this e-mail address."""


class PersonExists(Exception):
    """Somebody has this e-mail address already."""


class NotAllowed(Exception):
    """This person's role does not allow it, or does not any more."""


def entitled(by: Actor, action: Action) -> Person:
    """Give the person behind an actor, as the database has them now. Raises `NotAllowed`."""
    person = Person.objects.filter(email=by.name, is_active=True).first()
    if person is None or not may(person.held_role, action):
        roles = " or ".join(role.word for role in roles_for(action))
        raise NotAllowed(f"Needs: {roles}.")
    return person


def record_denied(by: Actor, action: Action, *, page: str, organization: str = "", change: int = 0) -> None:
    """Put on the record that somebody asked for what their role does not allow, where, and about what."""
    about = Change.objects.filter(pk=change).values_list("pk", flat=True).first()
    with transaction.atomic():
        audit.append(
            Event.ACCESS_DENIED, by=by, outcome=action, organization=organization, change=about, data={"page": page}
        )


def add_person(email: str, role: Role, password: str, *, by: Actor) -> Person:
    """Let somebody in. Raises `PersonExists`, and Django's `ValidationError` for a weak password."""
    person = Person(email=email.strip().lower(), role=role, added_at=timezone.now())
    validate_password(password, person)
    person.set_password(password)
    try:
        with transaction.atomic():
            person.save(force_insert=True)
            audit.append(Event.PERSON_ADDED, by=by, data={"email": person.email, "role": role})
    except IntegrityError:
        saved = Person.objects.filter(email__iexact=person.email).first()
        if saved is None:
            raise  # it is the record that did not take it
        role_word = saved.held_role.word if saved.held_role else "nobody"
        raise PersonExists(f"{saved.email} is here already, as {role_word}.") from None
    return person


def set_password(email: str, password: str, *, by: Actor) -> Person:
    """Give somebody another password. Raises `NobodyThere`, and Django's `ValidationError` for a weak one."""
    person = Person.objects.filter(email__iexact=email.strip()).first()
    if person is None:
        raise NobodyThere(f"Nobody is here as {email}. Use: manage.py add_person {email} --role ROLE")
    validate_password(password, person)
    person.set_password(password)
    with transaction.atomic():
        person.save(update_fields=["password"])
        audit.append(Event.PASSWORD_SET, by=by, data={"email": person.email})
    return person
