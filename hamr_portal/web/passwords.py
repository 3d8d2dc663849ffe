"""The page where people change their own password, and where they are led as long as somebody else knows it."""

from __future__ import annotations

from allauth.account import views as account
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from hamr_portal.domain.people import Action
from hamr_portal.models import Person

from .access import requires
from .accounts import counted
from .step_up import is_fresh

_change = counted(account.password_change)


@requires(Action.OWN_ACCOUNT)
@require_http_methods(["GET", "POST"])
def change(request: HttpRequest) -> HttpResponseBase:
    """Change one's own password."""
    assert isinstance(request.user, Person)  # noqa: S101 - the access middleware lets nobody else through
    if request.user.password_given_at is None and not is_fresh(request):
        # Who holds a stolen cookie must neither try passwords here, nor take the account over with one alone.
        return redirect(f"{reverse('account_reauthenticate')}?{urlencode({'next': request.path})}")
    return _change(request)
