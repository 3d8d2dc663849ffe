"""Who drives a change: the page on which it is handed over, taken, or taken over for a reason."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from hamr_portal.domain.drivers import LONGEST_REASON, Problem
from hamr_portal.domain.people import Action
from hamr_portal.models import Change
from hamr_portal.services import drivers, people

from . import access
from .access import requires
from .actors import actor_of
from .forms import LOOKS_LIKE_A_KEY

_SENTENCES = {
    Problem.REASON_MISSING: "Say why, in a few words, such as: does not answer the phone.",
    Problem.REASON_TOO_LONG: f"At most {LONGEST_REASON} characters.",
    Problem.KEY_IN_REASON: LOOKS_LIKE_A_KEY,
}


@requires(Action.DRIVE_CHANGES)
@require_GET
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show who drives a change, and what it takes to hand it over or to take it over."""
    return _page(request, _change(pk))


@requires(Action.DRIVE_CHANGES)
@require_POST
def offer(request: HttpRequest, pk: int) -> HttpResponse:
    """Offer a change to somebody, or to nobody again."""
    change, to = _change(pk), request.POST.get("to", "")
    try:
        return _done(request, change, lambda: drivers.offer(change, to, by=actor_of(request)))
    except drivers.NobodyToOfferTo:
        return _page(request, change, error="Choose somebody from the list.", status=422)
    except drivers.AnotherDrives:
        messages.warning(request, f"Nothing was done: {_change(pk).driven_by.label} drives change {pk}, not you.")
        return redirect("change_driver", pk)


@requires(Action.DRIVE_CHANGES)
@require_POST
def take(request: HttpRequest, pk: int) -> HttpResponse:
    """Drive a change from now on: as offered, or for a reason."""
    change, reason = _change(pk), request.POST.get("reason", "")
    seen = request.POST.get("seen", "")
    driver = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 19 else 0
    try:
        return _done(request, change, lambda: drivers.take(change, seen=driver, by=actor_of(request), reason=reason))
    except drivers.ReasonWrong as error:
        return _page(request, change, reason=reason, error=_SENTENCES[error.problem], status=422)
    except drivers.AnotherDrives:
        change = _change(pk)
        messages.warning(request, f"Nothing was done: {change.driven_by.label} drives change {pk} now.")
        return _page(request, change, reason=reason, status=409)


def _change(pk: int) -> Change:
    people = ("author", "driver", "offered_to")
    return get_object_or_404(Change.objects.select_related("organization__snapshot", *people), pk=pk)


def _done(request: HttpRequest, change: Change, do: Callable[[], None]) -> HttpResponse:
    try:
        do()
    except drivers.NotDriven:
        messages.info(request, f"Nothing was done: change {change.pk} is over, so nobody drives it any more.")
    except people.NotAllowed as error:
        raise access.NotAllowed(str(error)) from None
    return redirect("change", change.pk)


def _page(
    request: HttpRequest, change: Change, *, status: int = 200, reason: str = "", error: str = ""
) -> HttpResponse:
    context = {
        "change": change,
        "is_driven": drivers.is_driven(change),
        "takers": drivers.may_take(change),
        "reason": reason,
        "error": error,
    }
    return render(request, "changes/driver.html", context, status=status)
