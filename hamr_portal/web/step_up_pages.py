"""Where does one sign in again? The pages of the sign-in library for it, and what goes on the record of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from allauth.account import views as account
from allauth.account.authentication import get_authentication_records
from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from allauth.mfa.base import views as base
from allauth.mfa.webauthn import views as webauthn
from django.contrib import messages
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters

from hamr_portal.domain.people import Action
from hamr_portal.models import Person
from hamr_portal.services import sessions

from . import step_up
from .access import requires
from .actors import actor_of

View = Callable[..., HttpResponseBase]

_SENDS = frozenset({Action.CHANGE_STATUS, Action.LINK_ORGANIZATIONS, Action.APPROVE_CHANGES})


def again(view: View) -> View:
    """Declare a way to sign in again: a person's own, and on the record.

    What did not fit is put down where it is looked at: a password by the sign-in's adapter, a factor by its form.
    """

    @requires(Action.OWN_ACCOUNT)
    @sensitive_post_parameters()
    @wraps(view)
    def signing_in_again(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        # The library would go on with a form that it kept itself, past all that stands before a view.
        request.session.pop(STATE_SESSION_KEY, None)
        before = _times(request)
        response = view(request, *args, **kwargs)
        if _times(request) > before:
            sessions.stepped_up(by=actor_of(request))
            say_what_next(request)
        elif response.status_code == 429:
            sessions.locked_out(by=actor_of(request), why=sessions.Failure.STEP_UP)
        elif response.headers.get("Location") == reverse("account_login"):
            # So the library takes a key that did not fit; and from there it leads away from what one came for.
            return redirect(f"{request.path}?{urlencode({'next': request.POST.get('next', '/')})}")
        return response

    return signing_in_again


def _times(request: HttpRequest) -> int:
    assert isinstance(request.user, Person)  # noqa: S101 - the access middleware lets nobody else through
    return len(get_authentication_records(request, request.user))


def say_what_next(request: HttpRequest) -> None:
    """Say, once somebody has signed in again, that the button they pressed did nothing yet."""
    asked = step_up.purpose(request)
    if asked["pressed"]:
        done = "sent" if asked["action"] in _SENDS else "done"
        keys = ", paste new keys again" if asked["action"] == Action.MANAGE_ORGANIZATIONS else ""
        messages.warning(request, f"Nothing was {done} yet. Next: look at it again{keys}, then press the button again.")


by_password = again(account.reauthenticate)
by_code = again(base.reauthenticate)
by_key = again(webauthn.reauthenticate_webauthn)
