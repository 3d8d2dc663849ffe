"""What does every page carry? The moment, the environment, the theme, and whether anybody reads."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from hamr_portal.domain.people import Action, may
from hamr_portal.models import Change, Person, SkipNotice
from hamr_portal.services import announcements, chain_states, freezes, integrity, notifications, overview
from hamr_portal.services.sso import is_linked

from . import sessions, step_up
from .access import named, nothing_done, public
from .errors import theme_of

THEMES = ("auto", "light", "dark")


def frame(request: HttpRequest) -> dict[str, Any]:
    """Give templates what the frame around each page shows."""
    now = timezone.now()
    context: dict[str, Any] = {
        "now": now,
        "environment": settings.ENVIRONMENT_NAME,
        "theme": theme_of(request),
        "themes": THEMES,
        "sso": settings.OIDC_NAME if settings.OIDC_ISSUER else "",
    }
    context["nothing_done"] = nothing_done(request)
    # Asked only where they are shown.
    context["over"] = partial(sessions.why_over, request)
    context["step_up"] = partial(step_up.purpose, request)
    context["limits"] = {
        "idle": settings.SESSION_IDLE_SECONDS,
        "absolute": settings.SESSION_ABSOLUTE_SECONDS,
        "step_up": settings.STEP_UP_SECONDS,
    }
    person = getattr(request, "user", None)
    if isinstance(person, Person):
        # What its validator rests on, where a page refreshes itself: not asked for twice.
        known = getattr(request, "version", None)
        worker, freeze = (known.worker, known.freeze) if known else freezes.beside_workers(now=now)
        context |= {
            "person": person,
            "worker": worker,
            "freeze": freeze,
            "freshness": known.freshness if known else overview.freshness(now=now),
            "manages_organizations": may(person.held_role, Action.MANAGE_ORGANIZATIONS),
            "names_pairs": may(person.held_role, Action.NAME_PAIRS),
            "freezes_changes": may(person.held_role, Action.FREEZE_CHANGES),
            "changes_status": may(person.held_role, Action.CHANGE_STATUS),
            "edits_run_sheets": may(person.held_role, Action.EDIT_RUN_SHEETS),
            "drives_changes": may(person.held_role, Action.DRIVE_CHANGES),
            "ticks_steps": may(person.held_role, Action.TICK_STEPS),
            "takes_offline_pack": may(person.held_role, Action.TAKE_OFFLINE_PACK),
            "approves": may(person.held_role, Action.APPROVE_CHANGES),
            "links_organizations": may(person.held_role, Action.LINK_ORGANIZATIONS),
            "linkers": cache(partial(named, Action.LINK_ORGANIZATIONS)),
            "linked": cache(partial(is_linked, person)),
            # Asked only where they are shown, so not by what refreshes itself.
            "waiting": cache(Change.objects.waiting().real().count),
            "skipped": cache(partial(_skipped, person)),
            "record": cache(integrity.standing),
            "log_whole_from": cache(chain_states.whole_from),
            "people_news": cache(partial(announcements.unseen, person)),
            "news_backlog": cache(partial(notifications.backlog, now=now)),
            "sees_news": may(person.held_role, Action.SEE_NEWS),
            "manages_people": may(person.held_role, Action.MANAGE_PEOPLE),
            "reads_log": may(person.held_role, Action.READ_LOG),
            "adopts_log": may(person.held_role, Action.ADOPT_LOG),
        }
    return context


def _skipped(person: Person) -> list[SkipNotice]:
    """Give what was sent without approval that this person could have given, and has not seen yet."""
    real = {"change__organization__drill__isnull": True}
    unseen = SkipNotice.objects.filter(person=person, seen_at__isnull=True, **real)
    return list(unseen.select_related("change__organization", "change__author").order_by("-change"))


@public
@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Keep the theme that was chosen, for browsers without script."""
    wanted = request.POST.get("theme", "auto")
    response = _back(request)
    response.set_cookie(
        "theme", wanted if wanted in THEMES else "auto", max_age=31_536_000, samesite="Lax", secure=settings.HTTPS
    )
    return response


@public
@require_GET
def runbook(request: HttpRequest) -> HttpResponse:
    """Show what to do when the portal cannot help. Needs no database."""
    context = {"now": timezone.now(), "environment": settings.ENVIRONMENT_NAME, "theme": theme_of(request)}
    return HttpResponse(render_to_string("runbook.html", context))


def _back(request: HttpRequest) -> HttpResponseRedirect:
    path = request.POST.get("next", "/")
    safe = path.startswith("/") and url_has_allowed_host_and_scheme(path, allowed_hosts=None)
    # Not `redirect`: it takes a word for the name of a page, and fails where there is none.
    return HttpResponseRedirect(path if safe else "/")
