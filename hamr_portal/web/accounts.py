"""How is the sign-in library set up for this portal?"""

from __future__ import annotations

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class Adapter(DefaultAccountAdapter):  # type: ignore[misc]
    """People are added by an admin, never by themselves."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": "This address and password do not match. Check both, then try again.",
        "too_many_login_attempts": "Too many sign-ins failed. Wait 5 min, then try again.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Say no."""
        return False
