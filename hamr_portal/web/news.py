"""The page of what was told: to whom, whether it arrived, and a test."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from hamr_portal.domain.news import MOST_TRIES
from hamr_portal.domain.people import Action
from hamr_portal.services import news, notifications, people

from . import access
from .access import requires
from .actors import actor_of

SHOWN = 100
"""So many pieces of news are shown, the newest ones."""


@requires(Action.SEE_NEWS)
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """Show where news goes, and what was told."""
    now = timezone.now()
    channels = news.channels(now=now)
    context = {
        "channels": channels,
        "given_up": sum(channel.given_up for channel in channels),
        "pieces": news.listed(limit=SHOWN, now=now),
        "most_tries": MOST_TRIES,
        "kept_days": notifications.KEPT_FOR.days,
        "now": now,
    }
    return render(request, "news/list.html", context)


@requires(Action.SEE_NEWS)
@require_POST
def test(request: HttpRequest) -> HttpResponse:
    """Queue a test message for every channel."""
    try:
        news.send_test(by=actor_of(request))
        messages.success(request, "Test message queued. Next: load this page again in half a minute.")
    except news.NoChannel as error:
        messages.error(request, f"Nothing to test. {error}")
    except news.StillUnderWay as error:
        messages.warning(request, f"Not queued. {error}")
    except people.NotAllowed as error:
        raise access.NotAllowed(str(error)) from None
    return redirect("news")
