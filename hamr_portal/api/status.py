"""`/api/status`: the dashboard, for programs."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from hamr_portal.domain.access import Machines, requires
from hamr_portal.domain.people import Action
from hamr_portal.domain.tokens import Scope
from hamr_portal.services import freezes, overview
from hamr_portal.services.overview_json import as_json


@requires(Action.SEE_STATUS, or_machines=Machines(Scope.STATUS))
@require_safe
def status(request: HttpRequest) -> JsonResponse:
    """Give every pair and every unpaired organization, the worst first, and the freeze that holds."""
    now = timezone.now()
    worker, freeze = freezes.beside_workers(now=now)
    return JsonResponse(as_json(overview.overview(now=now), worker, freeze))
