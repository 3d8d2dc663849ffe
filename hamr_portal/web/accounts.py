"""How is the sign-in library set up for this portal?"""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth import SESSION_KEY
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse

from hamr_portal.domain.audit import Actor
from hamr_portal.models import Person
from hamr_portal.services import sessions
from hamr_portal.services.sessions import Failure

from .actors import actor_of, visitor_of


class Adapter(DefaultAccountAdapter):  # type: ignore[misc]
    """People are added by an admin, never by themselves; each sign-in and each try goes on the record."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": "This address and password do not match. Check both, then try again.",
        "too_many_login_attempts": "Too many sign-ins failed. Wait 5 min, then try again.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say no."""
        return False

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the attempt, and refuse it where there were too many."""
        try:
            super().pre_authenticate(request, **credentials)
        except ValidationError:
            sessions.locked_out(by=_typed(request, credentials))
            raise

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
        sessions.failed(by=_typed(request, credentials), why=Failure.MISMATCH)

    def respond_user_inactive(self, request: HttpRequest, user: Person) -> HttpResponse:
        """Keep somebody out who is disabled."""
        sessions.failed(by=visitor_of(request, user.email), why=Failure.DISABLED)
        response: HttpResponse = super().respond_user_inactive(request, user)
        return response

    def login(self, request: HttpRequest, user: Person) -> None:
        """Begin a session."""
        super().login(request, user)
        sessions.signed_in(by=actor_of(request, user))

    def logout(self, request: HttpRequest) -> None:
        """End the session."""
        by = actor_of(request)  # afterwards nobody knows whose it was
        super().logout(request)
        sessions.signed_out(by=by)


def _typed(request: HttpRequest, credentials: dict[str, Any]) -> Actor:
    return visitor_of(request, credentials.get("email", ""))
