"""Pairs: what people may do with one beyond looking at it."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from hamr_portal.domain.people import Action
from hamr_portal.models import Pair
from hamr_portal.services import pairs

from .access import requires
from .actors import actor_of
from .forms import PairNameForm


@requires(Action.NAME_PAIRS)
@require_POST
def rename(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a pair another name."""
    pair = get_object_or_404(Pair, pk=pk)
    form = PairNameForm(request.POST)
    if form.is_valid():
        try:
            pairs.rename(pair, form.cleaned_data["name"], by=actor_of(request))
            messages.success(request, f"{pair.name} is now called {form.cleaned_data['name']}.")
        except (pairs.NameTaken, pairs.NameKept) as error:
            messages.error(request, f"{pair.name} keeps its name. {error}")
    else:
        messages.error(request, f"{pair.name} keeps its name. {form.errors['name'][0]}")
    side = pair.sides.order_by("column").first()
    return redirect("organization", name=side.name) if side else redirect("dashboard")
