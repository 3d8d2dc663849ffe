"""What happens to every request: an id, headers that tell browsers what not to do, and no refusal as an empty page."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed

from hamr_portal.log_lines import request_id

from .errors import not_for_visits, too_large

Next = Callable[[HttpRequest], HttpResponseBase]

_OF_FILES = frozenset({200, 206, 304})

_FEATURES = (
    *("accelerometer", "autoplay", "bluetooth", "camera", "display-capture", "encrypted-media", "fullscreen"),
    *("gamepad", "geolocation", "gyroscope", "hid", "idle-detection", "local-fonts", "magnetometer", "microphone"),
    *(
        "midi",
        "otp-credentials",
        "payment",
        "picture-in-picture",
        "screen-wake-lock",
        "serial",
        "storage-access",
        "usb",
    ),
    *("web-share", "window-management", "xr-spatial-tracking"),
)
PERMISSIONS = ", ".join(
    [*(f"{name}=()" for name in _FEATURES), "publickey-credentials-create=(self)", "publickey-credentials-get=(self)"]
)
"""Nothing that a browser can do for a page but passkeys."""


class RequestIdMiddleware:
    """Gives each request an id that the page, the log and the audit entry share."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        name = f"e-{token_hex(4)}"
        request.id = name  # type: ignore[attr-defined]
        before = request_id.set(name)
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(before)
        response["X-Request-Id"] = name
        return response


class HeadersMiddleware:
    """Tells browsers what not to do, with every answer: pages, redirects, errors, and files.

    What is no file is kept out of every cache: an old status must not come back with the browser's back button.
    """

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response["Cross-Origin-Resource-Policy"] = "same-origin"
        response["Permissions-Policy"] = PERMISSIONS
        if response.status_code not in _OF_FILES or not request.path.startswith(settings.STATIC_URL):
            response["Cache-Control"] = "no-store"
        return response


class BodyLimitMiddleware:
    """Answers a body that is too large before any of it is read: Django reads files whatever their size."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            length = 0  # as Django reads it: no body
        if length > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return too_large(request)
        return self.get_response(request)


METHODS = ("GET", "HEAD", "POST")
"""What any page may be asked with. No view means another, and some of the libraries' take a PUT for a POST."""


class NotAllowedMiddleware:
    """Refuses methods that no page takes before anything is done, and puts a page where Django answers with nothing."""

    def __init__(self, get_response: Next) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method not in METHODS:
            return HttpResponseNotAllowed(
                METHODS, "Only GET, HEAD and POST are taken here.\n", content_type="text/plain"
            )
        response = self.get_response(request)
        if not isinstance(response, HttpResponseNotAllowed):
            return response
        page = not_for_visits(request)
        page["Allow"] = response["Allow"]
        return page
