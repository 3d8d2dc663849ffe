"""Pages about freezes: what is frozen until when, what broke it, and how an admin begins and ends one."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from hamr_portal.domain.people import Action
from hamr_portal.models import Freeze
from hamr_portal.services import freezes, people

from . import access
from .access import requires
from .actors import actor_of
from .freeze_forms import FreezeForm
from .step_up import kept, steps_up

SHOWN = 50
"""So many freezes are shown, the newest ones; those of years ago are on the record."""


@requires(Action.SEE_STATUS)
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Show what is frozen now, and what was."""
    return _list(request)


@requires(Action.FREEZE_CHANGES)
@steps_up("freeze_new", keeps=("reason", "ends_at"))
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Freeze changes."""
    if request.method != "POST":
        return _list(request, FreezeForm(initial=kept(request).of("freeze_new")))
    form = FreezeForm(request.POST)
    if form.is_valid():
        try:
            freezes.begin(**form.cleaned_data, by=actor_of(request))
            return redirect("freezes")
        except freezes.Wrong as error:
            form.say(error.problems)
        except freezes.AlreadyFrozen:
            messages.warning(request, "Not begun: changes are frozen already. Next: end that freeze first.")
            return _list(request, form, status=409)
        except people.NotAllowed as error:
            raise access.NotAllowed(str(error)) from None
    return _list(request, form, status=422)


@requires(Action.FREEZE_CHANGES)
@require_POST
def end(request: HttpRequest, pk: int) -> HttpResponse:
    """End a freeze before its time."""
    freeze = get_object_or_404(Freeze, pk=pk)
    try:
        freezes.end(freeze, by=actor_of(request))
        messages.success(request, "The freeze is ended. Changes go out as usual.")
    except freezes.AlreadyOver:
        messages.info(request, "Nothing was done: that freeze is over already.")
    except people.NotAllowed as error:
        raise access.NotAllowed(str(error)) from None
    return redirect("freezes")


def _list(request: HttpRequest, form: FreezeForm | None = None, *, status: int = 200) -> HttpResponse:
    rows = Freeze.objects.order_by("-pk").prefetch_related("broken_by__organization")[:SHOWN]
    return render(request, "freezes/list.html", {"freezes": rows, "form": form}, status=status)
