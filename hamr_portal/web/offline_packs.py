"""The offline pack: what it is, when it was last made, and the file to keep where it opens without the portal."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from hamr_portal.domain.people import Action
from hamr_portal.services import offline_packs
from hamr_portal.services.audit import CannotSign

from .access import requires
from .actors import actor_of


@requires(Action.TAKE_OFFLINE_PACK)
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Show what the pack is, and which one was made last."""
    return _page(request)


@requires(Action.TAKE_OFFLINE_PACK)
@require_POST
def make(request: HttpRequest) -> HttpResponse:
    """Make the pack, and give it as a file: the page stays where it is, so that there is nowhere to redirect to."""
    try:
        made = offline_packs.make(by=actor_of(request))
    except CannotSign as error:
        return _page(request, trouble=str(error), status=503)
    response = HttpResponse(made.content)
    response["Content-Disposition"] = f'attachment; filename="{made.name}"'
    return response


def _page(request: HttpRequest, *, trouble: str = "", status: int = 200) -> HttpResponse:
    context = {"last": offline_packs.last(), "trouble": trouble}
    return render(request, "offline/page.html", context, status=status)
