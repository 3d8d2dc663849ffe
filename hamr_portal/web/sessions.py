"""How long does a sign-in last? The limits of each session, and the page where people see and end their own."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.middleware import get_user
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import UpdateError
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.views.decorators.http import require_GET, require_POST

from hamr_portal.domain.people import Action
from hamr_portal.models import Person
from hamr_portal.services import sessions
from hamr_portal.services.sessions import BEGAN, SEEN

from .access import requires
from .actors import actor_of

logger = logging.getLogger(__name__)

NOTED_EVERY = 60.0
"""Seconds after which it is noted again that somebody does something; not at each page, for pages only read."""

BY_ITSELF = "live"
"""What a page adds to its address where it loads itself anew without script."""

_WHY = "over"


# --- the limits -------------------------------------------------------------------------------------------------


class SessionLimitsMiddleware:
    """Signs people out after a while without activity, and after a day's work; what refreshes itself is no activity.

    Only once somebody asks who it is: what needs no session, needs no database.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.user = SimpleLazyObject(lambda: _within_limits(request))  # type: ignore[assignment]
        response = self.get_response(request)
        _note_activity(request)
        return response


def begin(request: HttpRequest) -> None:
    """Note when a session begins."""
    request.session[BEGAN] = request.session[SEEN] = time.time()
    request.session.pop(_WHY, None)


def why_over(request: HttpRequest) -> str:
    """Tell the sign-in page why the session before is over: `IDLE`, `OLD`; else nothing."""
    return str(request.session.get(_WHY, ""))


def _within_limits(request: HttpRequest) -> Person | AnonymousUser:
    session = request.session
    if SESSION_KEY in session:
        why = sessions.why_over(session, now=timezone.now())
        if why is not None:
            session.flush()
            # In the session that comes next: a page that refreshes itself may be what notices, unseen.
            session[_WHY] = why
            return AnonymousUser()
    person: Person | AnonymousUser = get_user(request)
    return person


def _note_activity(request: HttpRequest) -> None:
    session = request.session
    if not session.accessed or SESSION_KEY not in session or _refreshes_itself(request):
        return
    seen = session.get(SEEN, 0)
    now = timezone.now()
    every = min(NOTED_EVERY, settings.SESSION_IDLE_SECONDS / 4)
    if sessions.why_over(session, now=now) is not None or abs(now.timestamp() - seen) < every:
        return
    saves_anyway = session.modified
    session[SEEN] = now.timestamp()
    if saves_anyway:
        return
    try:
        session.save()
    except (UpdateError, DatabaseError) as error:
        # The page is shown nevertheless: in the worst hour people have to read the statuses.
        logger.warning("activity is not noted: %s", type(error).__name__)
    session.modified = False


def _refreshes_itself(request: HttpRequest) -> bool:
    return request.method == "GET" and ("HX-Request" in request.headers or BY_ITSELF in request.GET)


# --- one's own --------------------------------------------------------------------------------------------------


@requires(Action.OWN_ACCOUNT)
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List one's own open sessions."""
    found = sessions.open_sessions(_person(request), now=timezone.now())
    here = request.session.session_key
    limits = {"idle": settings.SESSION_IDLE_SECONDS, "absolute": settings.SESSION_ABSOLUTE_SECONDS}
    return render(request, "sessions/list.html", {"sessions": found, "here": here, **limits})


@requires(Action.OWN_ACCOUNT)
@require_POST
def end(request: HttpRequest, pk: int) -> HttpResponse:
    """End one of one's own sessions."""
    person = _person(request)
    this = request.session.session_key
    if any(each.number == pk and each.key == this for each in sessions.open_sessions(person, now=timezone.now())):
        messages.info(request, "Not ended: it is the one that you are in. Next: sign out.")
        return redirect("usersessions_list")
    try:
        sessions.end_session(person, pk, by=actor_of(request))
        messages.success(request, "The session is ended.")
    except sessions.NoSuchSession:
        messages.info(request, "That session is over already.")
    return redirect("usersessions_list")


@requires(Action.OWN_ACCOUNT)
@require_POST
def end_others(request: HttpRequest) -> HttpResponse:
    """End all of one's own sessions but this one."""
    ended = sessions.end_sessions(_person(request), by=actor_of(request), but=request.session.session_key)
    if ended:
        messages.success(request, f"{ended} other session{'s are' if ended > 1 else ' is'} ended.")
    else:
        messages.info(request, "No other session was open.")
    return redirect("usersessions_list")


def _person(request: HttpRequest) -> Person:
    assert isinstance(request.user, Person)  # noqa: S101 - the access middleware lets nobody else through
    return request.user
