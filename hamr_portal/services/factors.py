"""Which second factors does somebody have, and how are their secrets kept? The sign-in library does the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from allauth.mfa.models import Authenticator
from django.db import transaction

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.organizations import Secret
from hamr_portal.models import Person

from . import audit, keys

KINDS = keys.FACTORS
"""What people call each kind."""


def sealed(text: str, person: Person) -> str:
    """Give the sealed form of somebody's secret, which opens for nobody else. Raises `KeyRingUnusable`."""
    return keys.ring().seal(Secret(text), keys.factor_identity(person.pk))


def opened(sealed_text: str, person: Person) -> str:
    """Give somebody's secret. Raises `KeyRingUnusable`, `SealBroken`."""
    return keys.opened(sealed_text, keys.factor_identity(person.pk), keys.ring()).reveal()


@contextmanager
def recorded(person: Person, *, by: Actor) -> Iterator[None]:
    """Put on the record which factors somebody has more, and which less, after what is done within; or undo it.

    Compared, and not told by whatever does it: so nothing that it does goes unrecorded.
    """
    with transaction.atomic():
        before = _held(person)
        yield
        after = _held(person)
        for factor in sorted(before.keys() - after.keys()):
            _append(Event.FACTOR_REMOVED, person, before[factor], by)
        for factor in sorted(after.keys() - before.keys()):
            _append(Event.FACTOR_ADDED, person, after[factor], by)


def _held(person: Person) -> dict[int, str]:
    return dict(Authenticator.objects.filter(user=person).values_list("pk", "type"))


def _append(event: Event, person: Person, kind: str, by: Actor) -> None:
    audit.append(event, by=by, data={"email": person.email, "factor": KINDS[kind]})
