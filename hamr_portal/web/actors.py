"""Who is behind this request, as the record keeps them?"""

from __future__ import annotations

from datetime import UTC, datetime

from allauth.account.authentication import get_authentication_records
from django.conf import settings
from django.http import HttpRequest

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.connections import sanitized
from hamr_portal.models import Person
from hamr_portal.services.sessions import fingerprint


def actor_of(request: HttpRequest, person: Person | None = None) -> Actor:
    """Give the signed-in person as an actor, or the one whose session this was until they were disabled."""
    acting = person or request.user
    assert isinstance(acting, Person)  # noqa: S101 - the access middleware lets nobody else through
    session = request.session.session_key or ""
    return Actor(
        kind="person",
        name=acting.email,
        role=acting.role or "",
        address=address_of(request),
        session=fingerprint(session),
        request_id=getattr(request, "id", ""),
        agent=agent_of(request),
        signed_in=_signed_in(request, acting),
    )


def visitor_of(request: HttpRequest, typed: str) -> Actor:
    """Give whoever tries to sign in, named by what they typed as their address: nobody vouches for that."""
    return Actor(
        kind="visitor",
        name=sanitized(typed, 254),
        address=address_of(request),
        request_id=getattr(request, "id", ""),
        agent=agent_of(request),
    )


def address_of(request: HttpRequest) -> str:
    """Give the caller's address; what proxies say counts only as far as there are trusted ones."""
    proxies: int = settings.TRUSTED_PROXIES
    hops = [hop.strip() for hop in request.headers.get("X-Forwarded-For", "").split(",")]
    if proxies and len(hops) >= proxies and hops[-proxies]:
        return hops[-proxies][:64]
    address: str = request.META.get("REMOTE_ADDR", "")
    return address


def agent_of(request: HttpRequest) -> str:
    """Give what the caller's browser says it is."""
    return sanitized(request.headers.get("User-Agent", ""), 200)


def _signed_in(request: HttpRequest, person: Person) -> str:
    """Tell how and when: the sign-in, and where more was asked for since, the newest of that."""
    told = [
        f"{step['method']}, {datetime.fromtimestamp(step['at'], UTC):%Y-%m-%dT%H:%M:%SZ}"
        for step in get_authentication_records(request, person)
    ]
    return "; ".join(told[:1] + told[1:][-1:])
