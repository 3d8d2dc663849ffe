"""The board of what would fail tonight."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from hamr_portal.domain.people import Action, may
from hamr_portal.services import readiness

from .access import requires


@requires(Action.SEE_STATUS)
@require_GET
def board(request: HttpRequest) -> HttpResponse:
    """Show what would fail tonight, what is due, and in one line each what is fine."""
    names_people = may(request.user.held_role, Action.MANAGE_PEOPLE)  # type: ignore[union-attr]
    shown = readiness.board(now=timezone.now(), names_people=names_people)
    return render(request, "readiness/board.html", {"board": shown})
