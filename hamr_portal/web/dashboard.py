"""The dashboard: every pair and every unpaired organization, the worst first."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.findings import Group
from hamr_portal.domain.people import Action
from hamr_portal.services import overview, versions

from .access import requires
from .refreshes import refreshes

SHOW = {
    "action": Group.NEED_ACTION,
    "progress": Group.IN_PROGRESS,
    "failedover": Group.FAILED_OVER,
    "degraded": Group.DEGRADED,
    "setup": Group.SETTING_UP,
    "ok": Group.IN_SYNC,
}


@requires(Action.SEE_STATUS)
@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    """Show the state of everything, or what to do first where nothing is saved."""
    context = _context(request)
    everything: overview.Overview = context["overview"]
    if everything.rows:
        return render(request, "dashboard/dashboard.html", context)
    return render(request, "dashboard/empty.html", {"saved": overview.count_saved(), "overview": everything})


@requires(Action.SEE_STATUS)
@require_GET
@refreshes(versions.of_everything)
def live(request: HttpRequest) -> HttpResponse:
    """Show the part of the dashboard that refreshes itself."""
    return render(request, "dashboard/_live.html", _context(request))


def _context(request: HttpRequest) -> dict[str, Any]:
    filters = overview.Filters(
        text=request.GET.get("q", "").strip()[:100],
        site=_one_of(request.GET.get("site", ""), settings.HAMR_SITES),
        status=_one_of(request.GET.get("status", ""), HamrStatus.__members__),
        group=SHOW.get(request.GET.get("show", "")),
    )
    return {
        "overview": overview.overview(now=timezone.now(), filters=filters),
        "filters": filters,
        "show": {group: word for word, group in SHOW.items()},
        "sites": settings.HAMR_SITES,
        "statuses": HamrStatus.__members__,
        "query": request.GET.urlencode(),
    }


def _one_of(text: str, known: object) -> str:
    return text if text in known else ""  # type: ignore[operator]
