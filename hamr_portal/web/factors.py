"""Which pages are for the second factor? Those of the sign-in library, and the code that a telephone reads."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import qrcode
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.base import views as base
from allauth.mfa.recovery_codes import views as recovery_codes
from allauth.mfa.totp import views as totp
from allauth.mfa.totp.internal.auth import SECRET_SESSION_KEY
from allauth.mfa.webauthn import views as webauthn
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.views.decorators.http import require_GET
from qrcode.image.svg import SvgPathFillImage

from hamr_portal.crypto import KeyRingUnusable, SealBroken
from hamr_portal.domain.people import Action
from hamr_portal.models import Person
from hamr_portal.services import factors

from . import waiting
from .access import public, requires
from .accounts import counted
from .actors import actor_of
from .step_up import is_fresh

ISSUER = "HAMR Portal"
"""As authenticator apps and security keys call it."""

View = Callable[..., HttpResponseBase]


class Adapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets are sealed for the person whose they are, and the library's sentences are the portal's."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "cannot_generate_recovery_codes": "Recovery codes stand in for another second factor. Add one first.",
        "incorrect_code": "This is not the second factor, or its code was used. Wait for the next one, then try again.",
        "ring_unusable": "The key ring cannot be read, so codes cannot be checked. Use a security key, "
        "or have the key ring put back.",
    }

    def get_totp_issuer(self) -> str:
        """Name the portal to the authenticator app, and which one."""
        name: str = settings.ENVIRONMENT_NAME
        return ISSUER if name == "production" else f"{ISSUER} {name}"

    def encrypt(self, text: str) -> str:
        """Seal a secret. Raises `KeyRingUnusable`."""
        return factors.sealed(text, _whose(context.request))

    def decrypt(self, encrypted_text: str) -> str:
        """Open a secret. Raises `KeyRingUnusable`, `SealBroken`."""
        return factors.opened(encrypted_text, _whose(context.request))

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """Name the portal as people know it, to the security key of its host."""
        return {**super().get_public_key_credential_rp_entity(), "name": ISSUER}

    def build_totp_svg(self, url: str) -> str:
        """Draw nothing into the page: the picture has an address of its own."""
        return ""


def _whose(request: HttpRequest) -> Person:
    """Give the person whose second factor this is about: who is signed in, or has begun to."""
    if isinstance(request.user, Person):
        return request.user
    begun: Person = request._login_stage.login.user  # type: ignore[attr-defined]
    return begun


def _own(view: View, *, fresh: bool = True) -> View:
    """Declare a page of the library as a person's own; what it changes is recorded in one transaction with it."""

    @requires(Action.OWN_ACCOUNT)
    @wraps(view)
    def shown(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        assert isinstance(request.user, Person)  # noqa: S101 - the access middleware lets nobody else through
        if fresh and not is_fresh(request):
            return _to_sign_in_again(request)
        try:
            if request.method != "POST":
                return _rendered(view(request, **kwargs))
            with factors.recorded(request.user, by=actor_of(request)):
                return _rendered(view(request, **kwargs))
        except Http404:
            return redirect("mfa_index")  # what was asked for is gone, or was never theirs
        except (KeyRingUnusable, SealBroken) as error:
            broken = isinstance(error, SealBroken)
            return render(request, "mfa/sealed.html", {"broken": broken}, status=409 if broken else 503)

    return shown


def _to_sign_in_again(request: HttpRequest) -> HttpResponseBase:
    return redirect(f"{reverse('account_reauthenticate')}?{urlencode({'next': request.path})}")


def _rendered(response: HttpResponseBase) -> HttpResponseBase:
    """Render it here, where it is known what to say if a secret cannot be opened."""
    render_now = getattr(response, "render", None)
    return render_now() if render_now is not None else response


index = _own(base.index, fresh=False)
authenticate = public(counted(waiting.checked(base.authenticate)))
activate = _own(totp.activate_totp)
deactivate = _own(totp.deactivate_totp)
codes = _own(recovery_codes.view_recovery_codes)
make_codes = _own(recovery_codes.generate_recovery_codes)
add_key = _own(webauthn.add_webauthn)
remove_key = _own(webauthn.RemoveWebAuthnView.as_view(success_url=reverse_lazy("mfa_index")))


@requires(Action.OWN_ACCOUNT)
@require_GET
def picture(request: HttpRequest) -> HttpResponse:
    """Draw the secret that waits to be taken up by a telephone."""
    waiting = request.session.get(SECRET_SESSION_KEY)
    if waiting is None or not is_fresh(request):
        return redirect("mfa_activate_totp")
    adapter = Adapter()
    try:
        secret = adapter.decrypt(waiting)
    except (KeyRingUnusable, SealBroken):
        return redirect("mfa_activate_totp")
    drawn = BytesIO()
    address = adapter.build_totp_url(_whose(request), secret)
    qrcode.make(address, image_factory=SvgPathFillImage, border=2).save(drawn)
    return HttpResponse(drawn.getvalue(), content_type="image/svg+xml")
