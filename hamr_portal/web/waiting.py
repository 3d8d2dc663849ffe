"""Does a sign-in still stand that waits for its second factor? Not once what it rests on is another."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account.internal.stagekit import clear_login, unstash_login
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.utils.crypto import constant_time_compare

from hamr_portal.models import Person
from hamr_portal.services import sessions
from hamr_portal.services.sessions import Failure

from .actors import visitor_of

View = Callable[..., HttpResponseBase]

_RESTS_ON = "rests_on"


def begin(request: HttpRequest, person: Person) -> None:
    """Note what the sign-in of somebody rests on, as they were when it began."""
    request.session[_RESTS_ON] = sessions.standing(person)


def stands(request: HttpRequest, person: Person) -> bool:
    """Tell whether it still is so."""
    now = Person.objects.filter(pk=person.pk).first()
    return now is not None and constant_time_compare(request.session.get(_RESTS_ON, ""), sessions.standing(now))


def end(request: HttpRequest) -> None:
    """Forget what it rested on: it is over, or a session has begun."""
    request.session.pop(_RESTS_ON, None)


def refused(request: HttpRequest, person: Person) -> HttpResponse:
    """Let somebody start again; what has changed is not said to whoever holds no second factor."""
    sessions.failed(by=visitor_of(request, person.email), why=Failure.OVERTAKEN)
    clear_login(request)
    end(request)
    messages.warning(request, "Not signed in: this sign-in is over. Next: sign in again.")
    return redirect("account_login")


def checked(view: View) -> View:
    """Look at it before anything else of the second step: what is typed there then counts for nothing."""

    @wraps(view)
    def looked_at(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        begun = None if isinstance(request.user, Person) else unstash_login(request, peek=True)
        if begun is not None and not stands(request, begun.user):
            return refused(request, begun.user)
        return view(request, *args, **kwargs)

    return looked_at
