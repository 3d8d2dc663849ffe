"""Pages about drills: what can be practised, how one is begun and ended, and what came of it."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.drills import LASTS, Scene
from hamr_portal.domain.people import Action, may
from hamr_portal.models import Drill
from hamr_portal.services import debriefs, drills, people, versions

from . import access
from .access import requires
from .actors import actor_of
from .drill_forms import DrillForm
from .refreshes import refreshes

SHOWN = 20
"""So many drills are shown, the newest ones."""


@requires(Action.SEE_STATUS)
@require_GET
@refreshes(versions.of_drills)
def index(request: HttpRequest) -> HttpResponse:
    """Show what can be practised, what is under way, and what was."""
    return _list(request, DrillForm())


@requires(Action.RUN_DRILLS)
@require_POST
def begin(request: HttpRequest) -> HttpResponse:
    """Begin a drill."""
    form = DrillForm(request.POST)
    if form.is_valid():
        asked = form.cleaned_data
        try:
            drill = drills.begin(asked["scene"], approval=asked["approval"], by=actor_of(request))
            return redirect("drill", pk=drill.pk)
        except drills.UnderWay as error:
            messages.warning(request, f"Not begun: {error.drill} is under way. Next: join it, or end it.")
            return redirect("drill", pk=error.drill.pk)
        except (drills.NotSetUp, drills.NobodyOnStage):
            return _list(request, form, status=409)  # it says why
        except KeyRingUnusable as error:
            form.add_error(None, str(error))
        except people.NotAllowed as error:
            raise access.NotAllowed(str(error)) from None
    return _list(request, form, status=422)


@requires(Action.SEE_STATUS)
@require_GET
@refreshes(versions.of_drill)
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what is expected in a drill, and what happened in it."""
    debrief = debriefs.debrief(get_object_or_404(Drill, pk=pk))
    context = {"drill": debrief.drill, "debrief": debrief, "runs_drills": _runs(request)}
    return render(request, "drills/detail.html", context)


@requires(Action.RUN_DRILLS)
@require_POST
def end(request: HttpRequest, pk: int) -> HttpResponse:
    """End a drill."""
    drill = get_object_or_404(Drill, pk=pk)
    try:
        drills.end(drill, by=actor_of(request))
        messages.success(request, "The drill is ended. Its pair is on no list any more; what happened stays here.")
    except drills.AlreadyOver:
        messages.info(request, "Nothing was done: that drill is over already.")
    except people.NotAllowed as error:
        raise access.NotAllowed(str(error)) from None
    return redirect("drill", pk=pk)


def _runs(request: HttpRequest) -> bool:
    return may(request.user.held_role, Action.RUN_DRILLS)  # type: ignore[union-attr]


def _list(request: HttpRequest, form: DrillForm, *, status: int = 200) -> HttpResponse:
    current, runs = drills.under_way(), _runs(request)
    stage_answers = settings.DRILL_PORT is not None and drills.stage_answers()
    context = {
        "form": form,
        "scenes": list(Scene),
        "current": current,
        "listed": debriefs.listed(limit=SHOWN),
        "port": settings.DRILL_PORT,
        "stage_answers": stage_answers,
        "has_form": runs and stage_answers and current is None,
        "lasts": LASTS.total_seconds(),
        "runs_drills": runs,
    }
    return render(request, "drills/list.html", context, status=status)
