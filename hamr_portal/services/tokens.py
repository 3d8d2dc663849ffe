"""How does a program get a token, and when is one taken?"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import Error as DatabaseError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.organizations import Secret
from hamr_portal.domain.people import Action
from hamr_portal.domain.tokens import Scope, is_of, make, prefix_of
from hamr_portal.models import ApiToken

from . import audit, people

logger = logging.getLogger(__name__)

USE_IS_NOTED_EVERY = timedelta(hours=1)
"""So often it is kept that a token was used: a scrape each 15 s is no write each 15 s."""

_NOBODYS = "0" * 64


class NameTaken(Exception):
    """A token that is not revoked has this name."""


class AlreadyRevoked(Exception):
    """Somebody else revoked it first."""


def add_token(name: str, scope: Scope, *, days: int, by: Actor) -> tuple[ApiToken, Secret]:
    """Make a token, and give its text: it is kept nowhere. Raises `NameTaken`, `people.NotAllowed`."""
    people.entitled(by, Action.MANAGE_TOKENS)
    made, now = make(), timezone.now()
    token = ApiToken(
        name=name,
        scope=scope,
        prefix=made.prefix,
        hash=made.hash,
        made_by=by.name,
        made_at=now,
        expires_at=now + timedelta(days=days),
    )
    try:
        with transaction.atomic():
            token.save(force_insert=True)
            data = {"name": name, "scope": scope, "prefix": made.prefix, "expires_at": audit.moment(token.expires_at)}
            audit.append(Event.TOKEN_MADE, by=by, data=data)
    except IntegrityError:
        if not ApiToken.objects.filter(name=name, revoked_at__isnull=True).exists():
            raise  # it is the record that did not take it
        raise NameTaken(f"A token is called {name} already. Revoke it, or choose another name.") from None
    return token, made.text


def revoke(token: ApiToken, *, by: Actor) -> None:
    """Take a token back: from now on it is refused. Raises `AlreadyRevoked`, `people.NotAllowed`."""
    people.entitled(by, Action.MANAGE_TOKENS)
    with transaction.atomic():
        if not ApiToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=timezone.now()):
            raise AlreadyRevoked(f"{token.name} was revoked already.")
        data = {"name": token.name, "scope": token.scope, "prefix": token.prefix}
        audit.append(Event.TOKEN_REVOKED, by=by, data=data)


def accepted(text: str, *, now: datetime) -> ApiToken | None:
    """Give the token that this is the text of; None where it is of none, of a revoked one, or of one that expired."""
    prefix = prefix_of(text)
    token = ApiToken.objects.valid(now).filter(prefix=prefix).first() if prefix is not None else None
    # Compared in any case: how long it takes does not say whether there is one with this prefix.
    if not is_of(text, token.hash if token is not None else _NOBODYS) or token is None:
        return None
    _note_use(token, now)
    return token


def _note_use(token: ApiToken, now: datetime) -> None:
    if token.last_used_at is not None and abs(now - token.last_used_at) < USE_IS_NOTED_EVERY:
        return
    long_ago = Q(last_used_at__isnull=True) | ~Q(
        last_used_at__range=(now - USE_IS_NOTED_EVERY, now + USE_IS_NOTED_EVERY)
    )
    try:
        with transaction.atomic():
            ApiToken.objects.filter(long_ago, pk=token.pk).update(last_used_at=now)
    except DatabaseError as error:
        # It may read all the same: this is the hour in which somebody has to see the statuses.
        logger.warning("that token %s was used is not kept: %s", token.prefix, type(error).__name__)
