"""Pages about run sheets: what people do around the statuses of a pair, how that is edited, and a change's ticks."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from hamr_portal.domain.people import Action
from hamr_portal.models import Change, Pair
from hamr_portal.services import people, run_sheets
from hamr_portal.templatetags._time import clock

from . import access
from .access import requires
from .actors import actor_of
from .run_sheet_forms import KEPT, SheetForm, number_of
from .step_up import always, kept, steps_up


@requires(Action.SEE_STATUS)
@require_GET
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the run sheet of a pair."""
    return _page(request, get_object_or_404(Pair, pk=pk))


@requires(Action.EDIT_RUN_SHEETS)
@steps_up("run_sheet_edit", keeps=KEPT, first=always)
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Edit the run sheet of a pair, or begin one from what is offered."""
    pair = get_object_or_404(Pair, pk=pk)
    if request.method != "POST":
        return _page(request, pair, _to_edit(request, pair))
    form = SheetForm(request.POST)
    if not form.is_valid():
        return _page(request, pair, form, status=422)
    try:
        run_sheets.save(pair, form.steps, version=form.version, by=actor_of(request))
        messages.success(request, f"The run sheet of {pair.name} is saved. Changes that are under way keep their copy.")
    except run_sheets.Incomplete as error:
        form.say(error.found)
        return _page(request, pair, form, status=422)
    except run_sheets.OutOfDate as error:
        # Saving again goes over theirs, knowingly: it stands beside the form from here on.
        form.version = error.saved.version
        return _page(request, pair, form, meanwhile=error.saved, status=409)
    except run_sheets.NothingNew:
        messages.info(request, f"Nothing was saved: the run sheet of {pair.name} says so already.")
    except people.NotAllowed as error:
        raise access.NotAllowed(str(error)) from None
    return redirect("run_sheet", pk)


def _to_edit(request: HttpRequest, pair: Pair) -> SheetForm:
    typed = kept(request).of("run_sheet_edit")
    if typed:
        form = SheetForm(typed)
        form.is_valid()
        return form
    sheet = run_sheets.sheet_of(pair)
    if sheet is None:
        return SheetForm(steps=run_sheets.proposed_for(pair))
    return SheetForm(steps=sheet.steps, version=sheet.version)


def _page(
    request: HttpRequest, pair: Pair, form: SheetForm | None = None, *, status: int = 200, **more: Any
) -> HttpResponse:
    sheet = run_sheets.sheet_of(pair)
    context = {
        "pair": pair,
        "side": pair.sides.order_by("column").first(),
        "sheet": sheet,
        "steps": sheet.steps if sheet is not None else [],
        "proposed": run_sheets.proposed_for(pair) if sheet is None and form is None else [],
        "form": form,
        **more,
    }
    return render(
        request, "run_sheets/edit.html" if form is not None else "run_sheets/detail.html", context, status=status
    )


@requires(Action.TICK_STEPS)
@require_POST
def tick(request: HttpRequest, pk: int) -> HttpResponse:
    """Tick a step of a change's run sheet, or take its tick back."""
    change = get_object_or_404(Change.objects.select_related("organization"), pk=pk)
    step, number = (number_of(request.POST.get(name), 0) for name in ("step", "number"))
    try:
        run_sheets.tick(change, step, number=number, by=actor_of(request))
    except run_sheets.NoSuchStep:
        messages.warning(request, "Nothing was ticked: the run sheet has no such step. Next: look at it below.")
    except run_sheets.TickedMeanwhile as error:
        done = "ticked it" if error.last.is_done else "took the tick back"
        who, when = error.last.by.partition("@")[0], clock(error.last.at, timezone.now())
        messages.warning(request, f"Nothing more was done to step {step}: {who} {done} at {when}.")
    except people.NotAllowed as error:
        raise access.NotAllowed(str(error)) from None
    return redirect(f"{reverse('change', args=[pk])}#run-sheet")
