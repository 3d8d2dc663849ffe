"""The evidence pack: what to ask for, and the file that an auditor keeps. It needs no portal to be read."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from hamr_portal.domain.people import Action
from hamr_portal.services import documents, evidence_packs
from hamr_portal.services.audit import CannotSign
from hamr_portal.services.evidence_packs import Pack, Scope, TooMuch

from .access import requires
from .actors import actor_of
from .evidence_forms import PackForm


@requires(Action.READ_LOG)
@require_GET
def pack(request: HttpRequest) -> HttpResponse:
    """Give the evidence for a change, a pair or some days as a file; or ask what it is to be about."""
    if not request.GET:
        return _ask(request, PackForm())
    form = PackForm(request.GET)
    if not form.is_valid():
        return _ask(request, form, status=400)
    scope = form.scope()
    try:
        made = evidence_packs.make(scope, by=actor_of(request))
    except TooMuch as error:
        form.add_error(None, f"That is {error}, which nobody reads on one page. Next: ask for fewer days, or export.")
        return _ask(request, form, status=400)
    except CannotSign as error:
        form.add_error(None, f"It cannot be put on the record that a pack is made: {error}")
        return _ask(request, form, status=503)
    response = HttpResponse(_document(made))
    response["Content-Disposition"] = f'attachment; filename="{_named(made)}"'
    return response


def _ask(request: HttpRequest, form: PackForm, *, status: int = 200) -> HttpResponse:
    most = evidence_packs.MOST_ENTRIES
    return render(request, "evidence/ask.html", {"form": form, "most": most}, status=status)


def _document(made: Pack) -> bytes:
    context = {"pack": made, "scope": made.scope, "environment": settings.ENVIRONMENT_NAME, "now": made.made.at}
    return documents.document("evidence", context).content


def _named(made: Pack) -> str:
    about = _about(made.scope)
    return f"evidence-{about}-{made.made.at:%Y%m%dT%H%M%SZ}.html"


def _about(scope: Scope) -> str:
    if scope.change is not None:
        return f"change-{scope.change.pk}"
    days = f"{scope.since:%Y%m%d}-{scope.until:%Y%m%d}" if scope.since and scope.until else ""
    return f"pair-{scope.pair.pk}-{days}" if scope.pair is not None else days
