"""How is the sign-in library set up for this portal?"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from ipaddress import ip_address
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal import ratelimit
from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from hamr_portal.domain.audit import Actor
from hamr_portal.models import Person
from hamr_portal.services import people, sessions
from hamr_portal.services.sessions import Failure
from hamr_portal.services.sso import is_linked

from . import step_up, waiting
from .actors import actor_of, address_of, visitor_of
from .sessions import begin

View = Callable[..., HttpResponseBase]

TOO_MANY = frozenset({"too_many_login_attempts", "too_many_from_everywhere"})


class Adapter(DefaultAccountAdapter):  # type: ignore[misc]
    """People are added by an admin, never by themselves; each sign-in and each try goes on the record."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "incorrect_password": "This is not your password. Type it again.",
        "email_password_mismatch": "This address and password do not match. Check both, then try again.",
        "enter_current_password": "This is not your current password. Type it again.",
        "too_many_login_attempts": "Too many sign-ins failed. Wait 5 min, then try again.",
        "too_many_from_everywhere": "Too many sign-ins failed at this e-mail address, from many places. "
        "Wait 1 h, or sign in from where you have before.",
    }

    def get_client_ip(self, request: HttpRequest) -> str:
        """Give the address that failures are counted by, the one that the record has too."""
        address = address_of(request)
        try:
            ip_address(address)
        except ValueError:
            return sessions.NOWHERE  # what a proxy says need not be one, and a column of addresses takes nothing else
        return address

    def is_safe_url(self, url: str | None) -> bool:
        """Tell whether a page to come back to is one of ours: the library fails on some that are none."""
        return url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say no."""
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the attempt, and refuse it where there were too many."""
        try:
            super().pre_authenticate(request, **credentials)
            self._count_from_everywhere(request, credentials)
        except ValidationError:
            by = _typed(request, credentials)
            sessions.locked_out(by=by, why=_why(request, by))
            raise

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        # Both: whoever fails from one address locks nobody out who signs in from another.
        return f"{ratelimit.get_ip(request)} at {credentials.get('email', '').lower()}"

    def _count_from_everywhere(self, request: HttpRequest, credentials: dict[str, Any]) -> None:
        """Count what one address alone never comes to; who has signed in from here lately is let through."""
        email = credentials.get("email", "").lower()
        used = ratelimit.consume(request, app="allauth.account", action="login_failed_account", key=email)
        if used is not None:
            # Taken back together with the others where the password is right.
            self._login_failed_rl_usage.usage += used.usage
        elif not sessions.signed_in_lately(by=_typed(request, credentials)):
            raise self.validation_error("too_many_from_everywhere")

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Person | None:
        """Give the person whose address and password these are."""
        person: Person | None = super().authenticate(request, **credentials)
        if person is not None and request.session.get(SESSION_KEY) not in (None, str(person.pk)):
            # What is left of somebody who was disabled. Django would empty the session only after the sign-in
            # library has noted there how this one was made, and the record would not know.
            request.session.flush()
        return person

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        """Put a wrong password or an unknown address on the record, never the password."""
        by = actor_of(request) if isinstance(request.user, Person) else _typed(request, credentials)
        sessions.failed(by=by, why=_why(request, by))

    def respond_user_inactive(self, request: HttpRequest, user: Person) -> HttpResponse:
        """Keep somebody out who is disabled."""
        sessions.failed(by=visitor_of(request, user.email), why=Failure.DISABLED)
        response: HttpResponse = super().respond_user_inactive(request, user)
        return response

    def clean_password(self, password: str, user: Person | None = None) -> str:
        """Refuse a weak password, and the one that somebody else gave them."""
        chosen: str = super().clean_password(password, user=user)
        if user is not None and user.password_given_at is not None and user.check_password(chosen):
            raise ValidationError("Choose another than the one that was given to you.")
        return chosen

    def set_password(self, user: Person, password: str) -> None:
        """Keep the password that somebody chose, and end their other sessions."""
        request = context.request
        people.choose_password(user, password, by=actor_of(request), but=request.session.session_key)

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        """Go on to what they came for."""
        return reverse("dashboard")

    def pre_login(self, request: HttpRequest, user: Person, **kwargs: Any) -> HttpResponse | None:
        """Note what a sign-in rests on, before a second factor is waited for."""
        response: HttpResponse | None = super().pre_login(request, user, **kwargs)
        # A sign-in that waits would keep what single sign-on said, a secret of it, and this person's row.
        (kwargs.get("signal_kwargs") or {}).pop("sociallogin", None)
        if response is None:
            waiting.begin(request, user)
        return response

    def login(self, request: HttpRequest, user: Person) -> None:
        """Begin a session, unless what the sign-in rests on is another since it began."""
        if not waiting.stands(request, user):
            raise ImmediateHttpResponse(waiting.refused(request, user))
        waiting.end(request)
        super().login(request, user)
        begin(request)
        sessions.signed_in(by=actor_of(request, user))

    def logout(self, request: HttpRequest) -> None:
        """End the session."""
        by = actor_of(request)  # afterwards nobody knows whose it was
        super().logout(request)
        sessions.signed_out(by=by)

    # --- signing in again ---------------------------------------------------------------------------------------

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Tell whether the library's own pages need a fresh sign-in: by the same rule as the portal's."""
        return not step_up.is_fresh(context.request)

    def get_reauthentication_methods(self, user: Person | AnonymousUser) -> list[dict[str, Any]]:
        """Give the ways to sign in again; who has a second factor does it with that."""
        ways: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        with_factor = [way for way in ways if way["id"].startswith("mfa_")]
        if not with_factor and isinstance(user, Person) and settings.OIDC_ISSUER and is_linked(user):
            ways.append({"id": "sso", "description": f"Use {settings.OIDC_NAME}", "url": reverse("sso_again")})
        return with_factor or ways


def counted(view: View) -> View:
    """Answer 429 with the page that says that too many sign-ins failed."""

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        context = getattr(response, "context_data", None) or {}
        forms = [context[name] for name in ("form", "webauthn_form") if context.get(name) is not None]
        wrong = [error for form in forms for errors in form.errors.as_data().values() for error in errors]
        if any(error.code in TOO_MANY for error in wrong):
            response.status_code = 429
        return response

    return answered


def _why(request: HttpRequest, by: Actor) -> Failure:
    return Failure.STEP_UP if isinstance(request.user, Person) else sessions.mismatched(by.name)


def _typed(request: HttpRequest, credentials: dict[str, Any]) -> Actor:
    return visitor_of(request, credentials.get("email", ""))
