"""Who may open which page? Every view says so; one that does not is refused to everybody."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from allauth.account.authentication import get_authentication_records
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from hamr_portal.domain.access import PUBLIC as PUBLIC
from hamr_portal.domain.access import access_of as access_of
from hamr_portal.domain.access import machines_of
from hamr_portal.domain.access import public as public
from hamr_portal.domain.access import requires as requires
from hamr_portal.domain.connections import sanitized
from hamr_portal.domain.people import Action, may, roles_for
from hamr_portal.models import Person
from hamr_portal.services import people

from . import machine_access, step_up
from .actors import actor_of

NOTHING_DONE = ("done", "nothing")
"""Beside the page to come back to. A word of ours alone: no visitor's text reaches the sign-in page."""

WHO_CAN_HELP = 3
"""So many people are named to somebody who may not do it."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class NotAllowed(PermissionDenied):
    """The person's role does not allow this. The text says whose does."""


def page_of(request: HttpRequest) -> str:
    """Give the page to come back to: this one, or the one whose button was pressed."""
    if request.method in ("GET", "HEAD"):
        return request.get_full_path()
    came_from = request.headers.get("Referer", "")
    ours = url_has_allowed_host_and_scheme(came_from, {request.get_host()}, require_https=request.is_secure())
    page = urlsplit(came_from)._replace(scheme="", netloc="").geturl() if ours else ""
    # A word alone would be taken for the name of a page.
    return page if page.startswith("/") and not page.startswith("//") else "/"


def named(action: Action, *, but: int | None = None) -> list[str]:
    """Name some of those who may do something."""
    found = Person.objects.who_may(action).order_by("email")
    found = found.exclude(pk=but) if but is not None else found
    return [person.label for person in found[:WHO_CAN_HELP]]


class AccessMiddleware:
    """Lets a request through to its view when the declared access allows it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        """Refuse, ask to sign in or to sign in again, or let through."""
        access = access_of(view)
        if access == PUBLIC:
            return None
        if access is None:
            raise NotAllowed("This page declares no access.")
        machines = machines_of(view)
        if machines is not None and machine_access.is_meant(request, machines):
            return machine_access.refusal(request, machines)
        if not isinstance(request.user, Person):
            disabled = _disabled(request)
            if disabled is not None:
                _record_denied(request, disabled, Action(access), kwargs)
            return _to_sign_in(request)
        if not may(request.user.held_role, Action(access)):
            _record_denied(request, request.user, Action(access), kwargs)
            roles = " or ".join(role.word for role in roles_for(_needed(view, Action(access), kwargs)))
            held = request.user.held_role
            raise NotAllowed(f"Needs: {roles}. You are {held.word if held else 'without a role'}.")
        if not _chooses_a_password(request) and _came_with_a_given_password(request):
            return redirect("account_change_password")
        return step_up.asked(request, view, Action(access), kwargs, came_from=page_of(request))


def _chooses_a_password(request: HttpRequest) -> bool:
    route = request.resolver_match.url_name if request.resolver_match is not None else ""
    return route in ("account_change_password", "account_reauthenticate")


def _came_with_a_given_password(request: HttpRequest) -> bool:
    """Tell whether somebody else knows what this person signed in with: then nothing is done in their name yet."""
    person = request.user
    if not isinstance(person, Person) or person.password_given_at is None:
        return False
    return any(record["method"] == "password" for record in get_authentication_records(request, person))


def _to_sign_in(request: HttpRequest) -> HttpResponseBase:
    """Lead to the sign-in; where something was to be done, with word that it was not."""
    response = redirect_to_login(page_of(request))
    if request.method not in _SAFE:
        response["Location"] += "&" + "=".join(NOTHING_DONE)
    return response


def nothing_done(request: HttpRequest) -> str:
    """Tell the sign-in page what was not done for want of a sign-in: `confirm`, `change`, `other`; else nothing."""
    if NOTHING_DONE not in request.GET.items():
        return ""
    page = request.POST.get("next") or request.GET.get("next", "")
    if not page.startswith("/changes/"):
        return "other"
    return "confirm" if page.endswith("/confirm/") else "change"


def _needed(view: Callable[..., Any], access: Action, kwargs: Mapping[str, Any]) -> Action:
    """Give the action that the sentence names: of what this address stands for now, more may be asked than of all."""
    says = getattr(view, "says_needed", None)
    return says(**kwargs) if says is not None else access


def _disabled(request: HttpRequest) -> Person | None:
    """Give the person who was disabled since they signed in."""
    signed_in_as = request.session.get(SESSION_KEY)
    return Person.objects.filter(pk=signed_in_as, is_active=False).first() if signed_in_as is not None else None


def _record_denied(request: HttpRequest, person: Person, action: Action, kwargs: Mapping[str, Any]) -> None:
    """Put on the record that somebody tried to do what they may not; opening a page is no try."""
    if request.method in _SAFE:
        return
    change = kwargs.get("pk", 0) if re.match(r"/changes/\d", request.path) else 0
    about = {"page": sanitized(request.path, 200), "organization": kwargs.get("name", ""), "change": change}
    people.record_denied(by=actor_of(request, person), action=action, **about)
