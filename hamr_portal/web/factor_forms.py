"""What is typed or signed for a second factor, and what is said where it is not right?"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from allauth.account.adapter import get_adapter as get_account_adapter
from allauth.account.internal.flows.login import record_authentication
from allauth.core import context
from allauth.core.internal import ratelimit
from allauth.core.internal.cryptokit import normalize_user_code
from allauth.mfa import app_settings
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY, validate_totp_code
from allauth.mfa.webauthn.forms import AddWebAuthnForm, AuthenticateWebAuthnForm, ReauthenticateWebAuthnForm
from allauth.mfa.webauthn.internal import auth
from django import forms
from django.core.cache import cache
from django.core.exceptions import ValidationError

from hamr_portal.crypto import KeyRingUnusable, SealBroken
from hamr_portal.domain.connections import sanitized
from hamr_portal.models import Person
from hamr_portal.services import sessions
from hamr_portal.services.sessions import Failure

from .actors import actor_of, visitor_of

NAME_LENGTH = 60


@contextmanager
def _counted(person: Person) -> Iterator[None]:
    """Take a second factor unless too many were wrong; put a wrong one on the record.

    Counted for the person: to come here at all takes their password. Of who is signed in, for the address as well:
    there a stolen cookie is enough, and must not keep its owner from signing in again.
    """
    request = context.request
    is_in = isinstance(request.user, Person)
    by = actor_of(request) if is_in else visitor_of(request, person.email)
    key = f"second-factor:{person.pk}" + (f" at {ratelimit.get_ip(request)}" if is_in else "")
    used = ratelimit.consume(request, app="allauth.account", action="login_failed", key=key)
    if used is None:
        sessions.locked_out(by=by, why=Failure.FACTOR)
        raise get_account_adapter().validation_error("too_many_login_attempts")
    try:
        yield
    except KeyRingUnusable:
        raise get_adapter().validation_error("ring_unusable") from None
    except ValidationError:
        sessions.failed(by=by, why=Failure.FACTOR)
        raise
    # Not wiped, as the library does: with an account of one's own the count of one's address could be reset.
    used.rollback()


@contextmanager
def _readable() -> Iterator[None]:
    """Refuse what no security key writes: the library looks into it before it knows what it is."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, struct.error):
        raise get_adapter().validation_error("incorrect_code") from None


def _unused(person: Person, code: str) -> bool:
    """Tell whether a code of the authenticator app comes for the first time, and remember it as long as it would do.

    The library remembers it for one step of the clock, and takes it for as many as are tolerated.
    """
    steps = 1 + 2 * app_settings.TOTP_TOLERANCE
    key = f"second-factor:{person.pk}:{normalize_user_code(code)}"
    return cache.add(key, True, timeout=app_settings.TOTP_PERIOD * steps)


def _proven(person: Person, kind: Authenticator.Type) -> None:
    """Let the factor that is being added count as used to sign in: from now on a password alone is not fresh."""
    record_authentication(context.request, person, "mfa", type=kind.value, reauthenticated=True)


class ActivateForm(ActivateTOTPForm):  # type: ignore[misc]
    """The first code of an authenticator app; its secret waits for it in the session, sealed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        session = context.request.session
        waiting = session.get(SECRET_SESSION_KEY)
        super().__init__(*args, **kwargs)
        if self.is_bound and waiting:
            self.secret = get_adapter().decrypt(waiting)
        else:
            session[SECRET_SESSION_KEY] = get_adapter().encrypt(self.secret)

    def clean_code(self) -> str:
        """Take a code that the app shows now, and take it nowhere else any more."""
        code: str = self.cleaned_data["code"]
        with _counted(self.user):
            if not validate_totp_code(self.secret, code) or not _unused(self.user, code):
                raise get_adapter().validation_error("incorrect_code")
        _proven(self.user, Authenticator.Type.TOTP)
        return code


class CodeForm(AuthenticateForm):  # type: ignore[misc]
    """A code of the authenticator app, or a recovery code."""

    def clean_code(self) -> str:
        """Take a code that is right, for the first time."""
        with _counted(self.user):
            code: str = self.cleaned_data["code"]
            for factor in Authenticator.objects.filter(user=self.user).exclude(type=Authenticator.Type.WEBAUTHN):
                if self._fits(factor, code):
                    factor.user = self.user
                    self.authenticator = factor
                    return code
            raise get_adapter().validation_error("incorrect_code")

    def _fits(self, factor: Authenticator, code: str) -> bool:
        try:
            fits: bool = factor.wrap().validate_code(code)
        except SealBroken:
            return False  # another of their factors may still do
        return fits and (factor.type != Authenticator.Type.TOTP or _unused(self.user, code))


class CodeAgainForm(CodeForm, ReauthenticateForm):  # type: ignore[misc]
    """The same, of somebody who is signed in."""

    save = ReauthenticateForm.save


class CredentialField(forms.JSONField):
    """What a browser says of a security key, as JSON; nested deeper than can be read, it is no JSON."""

    def to_python(self, value: Any) -> Any:
        """Read it, or say that it is not valid."""
        try:
            return super().to_python(value)
        except RecursionError:
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Give what a form that comes back shows: nothing of what cannot be read."""
        try:
            return super().bound_data(data, initial)
        except RecursionError:
            return None


class KeyForm(AuthenticateWebAuthnForm):  # type: ignore[misc]
    """What a security key has signed."""

    credential = CredentialField(widget=forms.HiddenInput)

    def clean_credential(self) -> Authenticator:
        """Take what one of this person's keys has signed for this sign-in."""
        credential: dict[str, Any] = self.cleaned_data["credential"]
        with _counted(self.user), _readable():
            auth.parse_authentication_response(credential)
            return auth.complete_authentication(self.user, credential)


class KeyAgainForm(KeyForm):
    """The same, of somebody who is signed in."""

    reauthenticated = ReauthenticateWebAuthnForm.reauthenticated


class AddKeyForm(AddWebAuthnForm):  # type: ignore[misc]
    """A security key, and what its owner calls it."""

    credential = CredentialField(widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        """Take what the key has signed."""
        with _readable():
            cleaned: dict[str, Any] = super().clean()
        # Only with a factor that is added: or else what is refused again and again would keep a sign-in fresh.
        if cleaned.get("credential") and not self.errors:
            _proven(self.user, Authenticator.Type.WEBAUTHN)
        return cleaned

    def clean_name(self) -> str:
        """Take a name that can be shown and kept."""
        name: str = super().clean_name()
        return sanitized(name, NAME_LENGTH)
