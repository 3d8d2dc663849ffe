"""Which programs may reach what declares itself for them? With a token, or from this very machine."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

from hamr_portal.domain.access import Machines
from hamr_portal.domain.organizations import is_loopback
from hamr_portal.models import Person
from hamr_portal.services import tokens

_BEARER = "bearer"
_FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip", "Forwarded", "Via")


def is_meant(request: HttpRequest, machines: Machines) -> bool:
    """Tell whether a program asks: it sends a token, or nobody is signed in."""
    return _token_in(request) is not None or not isinstance(request.user, Person)


def refusal(request: HttpRequest, machines: Machines) -> HttpResponse | None:
    """Give the answer for a program that may not; None: it may."""
    text = _token_in(request)
    if text is None:
        if machines.from_loopback and _is_from_this_machine(request):
            return None
        return _refused(401, "A bearer token is needed. An admin makes one on /tokens/.")
    token = tokens.accepted(text, now=timezone.now())
    if token is None:
        return _refused(401, "This token is not known, was revoked, or has expired.", "invalid_token")
    if token.scope != machines.scope:
        return _refused(403, f"This token is not for {machines.scope.word}.", "insufficient_scope")
    return None


def _token_in(request: HttpRequest) -> str | None:
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    return text.strip() if kind.lower() == _BEARER else None


def _is_from_this_machine(request: HttpRequest) -> bool:
    """Tell whether nobody stands between: what a proxy on this machine passes on comes from loopback as well."""
    if settings.TRUSTED_PROXIES or any(name in request.headers for name in _FORWARDED):
        return False
    return is_loopback(request.META.get("REMOTE_ADDR", ""))


def _refused(status: int, sentence: str, error: str = "") -> HttpResponse:
    response = JsonResponse({"error": sentence}, status=status)
    response["WWW-Authenticate"] = 'Bearer realm="HAMR Portal"' + (f', error="{error}"' if error else "")
    return response
