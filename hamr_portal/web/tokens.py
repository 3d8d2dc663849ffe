"""Pages about tokens: which programs may read, and how one gets a token or loses it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from hamr_portal.domain.people import Action
from hamr_portal.models import ApiToken
from hamr_portal.services import people, tokens

from . import access
from .access import requires
from .actors import actor_of
from .step_up import kept, steps_up
from .token_forms import TokenForm

SHOWN = 100
"""So many tokens are shown, the newest ones; those of years ago are on the record."""


@requires(Action.MANAGE_TOKENS)
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the tokens."""
    return _list(request)


@requires(Action.MANAGE_TOKENS)
@steps_up("token_new", keeps=("name", "scope", "days"))
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Make a token, and show it: the answer to this POST is the only place where it ever is.

    No cache keeps this page, and loading it anew makes no second token, for the name is taken.
    """
    if request.method != "POST":
        return _list(request, TokenForm(initial=kept(request).of("token_new")))
    form = TokenForm(request.POST)
    if form.is_valid():
        try:
            token, text = tokens.add_token(**form.cleaned_data, by=actor_of(request))
            return render(request, "tokens/made.html", {"token": token, "text": text})
        except tokens.NameTaken as error:
            form.add_error("name", str(error))
        except people.NotAllowed as error:
            raise access.NotAllowed(str(error)) from None
    return _list(request, form, status=422)


@requires(Action.MANAGE_TOKENS)
@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Take a token back."""
    token = get_object_or_404(ApiToken, pk=pk)
    try:
        tokens.revoke(token, by=actor_of(request))
        messages.success(request, f"{token.name}: revoked. It is refused from now on.")
    except tokens.AlreadyRevoked as error:
        messages.info(request, str(error))
    except people.NotAllowed as error:
        raise access.NotAllowed(str(error)) from None
    return redirect("tokens")


def _list(request: HttpRequest, form: TokenForm | None = None, *, status: int = 200) -> HttpResponse:
    rows = ApiToken.objects.by_age()[:SHOWN]
    return render(request, "tokens/list.html", {"tokens": rows, "form": form}, status=status)
