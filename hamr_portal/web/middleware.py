"""What happens to every request: it gets an id, no cache keeps its answer, and no refusal is an empty page."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex

from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed

from .errors import not_for_visits

Next = Callable[[HttpRequest], HttpResponseBase]


class RequestIdMiddleware:
    """Gives each request an id that the page, the log and the audit entry share."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.id = f"e-{token_hex(4)}"  # type: ignore[attr-defined]
        response = self.get_response(request)
        response["X-Request-Id"] = request.id  # type: ignore[attr-defined]
        return response


class NoStoreMiddleware:
    """Keeps pages out of every cache: an old status must not come back with the browser's back button."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response["Cache-Control"] = "no-store"
        return response


class NotAllowedMiddleware:
    """Puts a page where Django answers a wrong method with nothing."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        page = not_for_visits(request)
        page["Allow"] = response["Allow"]
        return page
