"""How does somebody sign in by single sign-on, link it, or sign in there again? The sign-in library speaks to it."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from allauth.account.internal.flows.login import record_authentication
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal import ratelimit
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.internal import jwtkit
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from allauth.socialaccount.providers.base.constants import AuthError, AuthProcess
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.people import Action
from hamr_portal.domain.sso import role_of, signed_in_since
from hamr_portal.hamr_client import BoundedSession
from hamr_portal.models import Person
from hamr_portal.services import sessions, sso
from hamr_portal.services.audit import CannotSign
from hamr_portal.services.sessions import Failure
from hamr_portal.services.sso import PROVIDER

from .access import public, requires
from .actors import actor_of, address_of, agent_of, visitor_of
from .step_up import is_fresh

logger = logging.getLogger(__name__)

SECONDS = 4.0
"""So long each of the three calls may take that a sign-in by single sign-on needs."""

UNREADABLE = (OAuth2Error, LookupError, ValueError, TypeError, AttributeError)
"""What the sign-in library raises where an answer is not what it expects."""


class Connection(OpenIDConnectOAuth2Adapter):  # type: ignore[misc]
    """What is asked of the issuer, and what of its answers is believed."""

    @property
    def openid_config(self) -> dict[str, Any]:
        """Give what the issuer says about itself, if it is the one that was asked."""
        config: dict[str, Any] = super().openid_config
        if config["issuer"] != settings.OIDC_ISSUER:
            raise OAuth2Error("another issuer answered")
        return config

    def get_callback_url(self, request: HttpRequest, app: SocialApp) -> str:
        """Give the address to come back to."""
        return request.build_absolute_uri(reverse("sso_callback"))

    def complete_login(self, request: HttpRequest, app: SocialApp, token: SocialToken, **kwargs: Any) -> SocialLogin:
        """Take the signed token and nothing else: what came beside it may be of somebody else."""
        claims = jwtkit.verify_and_decode(
            credential=kwargs["response"]["id_token"],
            keys_url=self.openid_config["jwks_uri"],
            issuer=settings.OIDC_ISSUER,
            audience=app.client_id,
            lookup_kid=jwtkit.lookup_kid_jwk,
        )
        return self.get_provider().sociallogin_from_response(request, claims)


class Provider(OpenIDConnectProvider):  # type: ignore[misc]
    """The one issuer of this installation."""

    oauth2_adapter_class = Connection
    claims: dict[str, Any]

    def extract_uid(self, data: dict[str, Any]) -> str:
        """Give who it is: issuer and subject, so that another issuer's same subject is somebody else."""
        self.claims = data
        return hashlib.sha256(json.dumps([data["iss"], str(data["sub"])]).encode()).hexdigest()

    def extract_extra_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """Keep no more than that."""
        return {"iss": data["iss"], "sub": str(data["sub"])}

    def extract_common_fields(self, data: dict[str, Any]) -> dict[str, Any]:
        """Leave the person to the services."""
        return {}

    def extract_email_addresses(self, data: dict[str, Any]) -> list[Any]:
        """Know nobody by an e-mail address."""
        return []


class Adapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Who single sign-on lets in, and as what."""

    def get_requests_session(self) -> BoundedSession:
        """Wait for no answer longer than a person would."""
        return BoundedSession(SECONDS)

    def get_provider(self, request: HttpRequest, provider: str, client_id: str | None = None) -> Provider:
        """Give the issuer of the settings; no row in the database makes another."""
        app = SocialApp(provider="openid_connect", provider_id=PROVIDER, name=settings.OIDC_NAME)
        app.client_id, app.secret = settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET
        app.settings = {"server_url": settings.OIDC_ISSUER.rstrip("/"), "oauth_pkce_enabled": True}
        return Provider(request, app=app)

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """Say no: whoever is to come in was added before."""
        return False

    def on_authentication_error(
        self, request: HttpRequest, provider: object, error: str = "", exception: Any = None, **_: Any
    ) -> None:
        """Say what is wrong in words of the portal."""
        if error == AuthError.CANCELLED:
            raise ImmediateHttpResponse(redirect("account_login"))
        raise ImmediateHttpResponse(_refused(request, _trouble(exception)))

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Decide about somebody whom the issuer vouches for."""
        process = sociallogin.state["process"]
        decide = {AuthProcess.REDIRECT: _signed_in_again, AuthProcess.CONNECT: _linked}.get(process, _let_in)
        try:
            refused = decide(request, sociallogin)
        except CannotSign:
            refused = _refused(request, "unrecorded")
        if refused is not None:
            raise ImmediateHttpResponse(refused)


# --- deciding ---------------------------------------------------------------------------------------------------


def _let_in(request: HttpRequest, login: SocialLogin) -> HttpResponse | None:
    claims = login.provider.claims
    role = role_of(claims.get(settings.OIDC_GROUPS_CLAIM), settings.OIDC_ROLES)
    if role is None:
        return _refused(request, "no_role", claims)
    if not login.is_existing:
        return _refused(request, "not_linked", claims)
    login.token = None  # nothing is asked with it, and a session that waits for a second factor would keep it
    if login.user.is_active:
        login.user = sso.follow(login.user, role, by=_issuer(request))
    return None


def _linked(request: HttpRequest, login: SocialLogin) -> HttpResponse:
    person = request.user
    if not isinstance(person, Person) or not is_fresh(request):
        return redirect("mfa_index")
    try:
        sso.link(person, login.account, by=actor_of(request))
    except sso.LinkedElsewhere:
        return _refused(request, "linked_elsewhere", login.provider.claims)
    messages.success(request, f"Linked to {settings.OIDC_NAME}.")
    return redirect("mfa_index")


def _signed_in_again(request: HttpRequest, login: SocialLogin) -> HttpResponse | None:
    person, claims = request.user, login.provider.claims
    if not isinstance(person, Person) or login.account.user_id != person.pk:
        return _refused(request, "somebody_else", claims)
    if not signed_in_since(claims.get("auth_time"), begun=login.state["begun"], now=time.time()):
        return _refused(request, "not_fresh", claims)
    role = role_of(claims.get(settings.OIDC_GROUPS_CLAIM), settings.OIDC_ROLES)
    if role is None:
        return _refused(request, "no_role", claims)
    request.user = sso.follow(person, role, by=_issuer(request))
    record_authentication(request, person, "socialaccount", provider=PROVIDER, reauthenticated=True)
    sessions.stepped_up(by=actor_of(request))
    return None


def _issuer(request: HttpRequest) -> Actor:
    """Give single sign-on as the one who says which role somebody has."""
    return Actor(
        kind="sso",
        name=settings.OIDC_NAME,
        address=address_of(request),
        request_id=getattr(request, "id", ""),
        agent=agent_of(request),
    )


def _refused(request: HttpRequest, why: str, claims: dict[str, Any] | None = None) -> HttpResponse:
    if claims is not None:
        email = claims.get("email")
        by = visitor_of(request, email if isinstance(email, str) else "")
        sessions.failed(by=by, why=Failure.SSO)
    status = 503 if why in ("unreachable", "unrecorded") else 403
    return render(request, "sso/refused.html", {"why": why, "sso": settings.OIDC_NAME}, status=status)


def _trouble(exception: object) -> str:
    if exception is not None:
        logger.warning("sso: %s", type(exception).__name__)
    return "unreachable" if isinstance(exception, OSError) else "unreadable"


# --- pages ------------------------------------------------------------------------------------------------------


def _asked(request: HttpRequest, ask: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Ask single sign-on, and say it where it does not answer, or not as it should."""
    if not settings.OIDC_ISSUER:
        raise Http404
    too_many: HttpResponse | None = ratelimit.consume_or_429(
        request, app="allauth.account", action="login", limit_get=True
    )
    if too_many is not None:
        return too_many
    try:
        return ask()
    except (OSError, *UNREADABLE) as error:
        return _refused(request, _trouble(error))


def _begun(request: HttpRequest, process: str, next_url: str, **more: Any) -> HttpResponse:
    provider = Adapter().get_provider(request, PROVIDER)
    safe = url_has_allowed_host_and_scheme(next_url, {request.get_host()}, require_https=request.is_secure())
    response: HttpResponse = provider.redirect(request, process, next_url if safe else "/", **more)
    return response


@public
@require_GET
def login(request: HttpRequest) -> HttpResponseBase:
    """Go to single sign-on, to sign in."""
    return _asked(request, lambda: _begun(request, AuthProcess.LOGIN, request.GET.get("next", "/")))


@public
@require_GET
def callback(request: HttpRequest) -> HttpResponseBase:
    """Come back from there."""
    view = OAuth2CallbackView.adapter_view(lambda _: Connection(request, PROVIDER))
    return _asked(request, lambda: view(request))


@requires(Action.OWN_ACCOUNT)
@require_POST
def link(request: HttpRequest) -> HttpResponseBase:
    """Offer to link; a form may not lead to another host, so that a link on our page does."""
    assert isinstance(request.user, Person)  # noqa: S101 - the access middleware lets nobody else through
    if request.user.password_given_at is not None:
        # Whoever gave it could link themself, and would stay in unseen once another is chosen.
        return redirect("account_change_password")
    if not is_fresh(request):
        return redirect(f"{reverse('account_reauthenticate')}?next={reverse('mfa_index')}")

    def offered() -> HttpResponse:
        there = _begun(request, AuthProcess.CONNECT, reverse("mfa_index"))
        return render(request, "sso/link.html", {"there": there["Location"], "sso": settings.OIDC_NAME})

    return _asked(request, offered)


@requires(Action.OWN_ACCOUNT)
@require_GET
def again(request: HttpRequest) -> HttpResponseBase:
    """Go to single sign-on, to sign in there again, whatever it remembers."""
    anew = {"prompt": "login", "max_age": "0"}
    next_url = request.GET.get("next", "/")
    return _asked(request, lambda: _begun(request, AuthProcess.REDIRECT, next_url, auth_params=anew, begun=time.time()))
