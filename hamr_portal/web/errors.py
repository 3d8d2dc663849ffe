"""What does a person see when something is wrong? These pages need no database and no session."""

from __future__ import annotations

import sys

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say that the request cannot be read."""
    return _page(request, 400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say what the role lacks."""
    needs = str(exception) if isinstance(exception, PermissionDenied) else ""
    return _page(request, 403, needs=needs)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Say that the form was not from here, or too old."""
    return _page(request, 403, form_expired=True)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Say that there is no such page."""
    return _page(request, 404)


def not_for_visits(request: HttpRequest) -> HttpResponse:
    """Say that an address takes what a button sends, and no visit."""
    return _page(request, 405)


def too_large(request: HttpRequest) -> HttpResponse:
    """Say that more was sent than any form of the portal holds."""
    return _page(request, 413)


def server_error(request: HttpRequest) -> HttpResponse:
    """Say that the portal failed, or that its database is busy or away."""
    error = sys.exc_info()[1]
    away = isinstance(error, OperationalError | InterfaceError)
    return _page(request, 503 if away else 500, busy=away and "locked" in str(error))


def without_the_database(request: HttpRequest, template: str, **context: object) -> HttpResponse:
    """Say what became of a change at a moment when the database takes nothing, and may give nothing."""
    return HttpResponse(render_to_string(template, {**_frame(request, 503), **context}), status=503)


def _page(request: HttpRequest, status: int, **context: object) -> HttpResponse:
    return HttpResponse(render_to_string("errors/error.html", {**_frame(request, status), **context}), status=status)


def _frame(request: HttpRequest, status: int) -> dict[str, object]:
    return {
        "status": status,
        "now": timezone.now(),
        "reference": getattr(request, "id", ""),
        "environment": settings.ENVIRONMENT_NAME,
        "theme": theme_of(request),
        "again": request.get_full_path() if request.method == "GET" else "/",
    }


def theme_of(request: HttpRequest) -> str:
    """Give the theme that the person chose; empty means that the machine decides."""
    theme = request.COOKIES.get("theme", "")
    return theme if theme in ("light", "dark") else ""
