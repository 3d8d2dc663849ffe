"""Whom does single sign-on let in? Who linked it here: by issuer and subject, never by an e-mail address."""

from __future__ import annotations

import logging

from allauth.socialaccount.models import SocialAccount
from django.db import IntegrityError, transaction

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.people import Role
from hamr_portal.models import Person

from . import audit, people

logger = logging.getLogger(__name__)

PROVIDER = "sso"
"""As the sign-in library calls the one issuer; who it is, is part of each subject."""


class LinkedElsewhere(Exception):
    """Single sign-on, or this person, is linked already, and not to one another."""


def is_linked(person: Person) -> bool:
    """Tell whether somebody can sign in by single sign-on."""
    found: bool = SocialAccount.objects.filter(user=person, provider=PROVIDER).exists()
    return found


def link(person: Person, account: SocialAccount, *, by: Actor) -> None:
    """Let somebody who is here sign in by single sign-on too. Raises `LinkedElsewhere`."""
    account.user = person
    with transaction.atomic():
        # Held: two links at the same moment, to two identities, are one too many.
        Person.objects.select_for_update(no_key=True).get(pk=person.pk)
        if is_linked(person):
            raise LinkedElsewhere
        try:
            with transaction.atomic():
                account.save(force_insert=True)
        except IntegrityError:
            raise LinkedElsewhere from None
        subject = {name: account.extra_data[name] for name in ("iss", "sub")}
        audit.append(Event.SSO_LINKED, by=by, data={"email": person.email, **subject})


def follow(person: Person, role: Role, *, by: Actor) -> Person:
    """Give somebody the role that their groups stand for now, unless nobody would be admin any more."""
    if role is person.held_role:
        return person
    try:
        return people.change_role(person, role, was=person.held_role, by=by)
    except people.LastAdmin:
        logger.warning("sso: the role of the only admin is kept")
    except people.AlreadyMoved:
        pass  # an admin was faster, and is told of it on the record; the next sign-in follows again
    return Person.objects.get(pk=person.pk)
