"""What does a page that refreshes itself get? Itself anew, or, where nothing changed, word of that and the moment."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from hashlib import sha256
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.utils.crypto import salted_hmac

from hamr_portal.models import Person
from hamr_portal.services.sessions import SEEN
from hamr_portal.services.versions import Version

from .errors import theme_of

View = Callable[..., HttpResponseBase]

NOW, READ_AT, AGES = "Portal-Now", "Portal-Read-At", "Portal-Ages"
"""Headers of each answer to a refresh: the server's moment, when a worker was last seen, and the age of each view.

A 304 has nothing else, and with these no age on the page that it leaves alone is false.
"""


def refreshes(version_of: Callable[..., Version]) -> Callable[[View], View]:
    """Let a view answer a page's own refresh with 304 where what it shows is still what it would get.

    `version_of` is a service that takes `now` and the view's arguments. The rest of the validator is whose page it is.
    """

    def declare(view: View) -> View:
        @wraps(view)
        def answer(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            if "HX-Request" not in request.headers:
                return view(request, **kwargs)
            now = timezone.now()
            # Before the page looks: whatever is written meanwhile makes another version.
            version = version_of(now=now, **kwargs)
            validator = validator_of(request, version)
            request.version = version  # type: ignore[attr-defined]  # the frame shows some of it
            response: HttpResponseBase | None = get_conditional_response(request, etag=validator)
            if response is None:
                response = view(request, **kwargs)
            response["ETag"] = validator
            response[NOW] = now.isoformat()
            response[READ_AT] = version.worker.seen_at.isoformat() if version.worker.seen_at else ""
            response[AGES] = version.ages
            return response

        return answer

    return declare


def validator_of(request: HttpRequest, version: Version) -> str:
    """Give the validator of a page: what it shows, by whom and where it is seen, and by which release it is made."""
    person = request.user
    assert isinstance(person, Person)  # noqa: S101 - the access middleware lets nobody else through
    session = sorted((name, value) for name, value in request.session.items() if name != SEEN)
    seen_by = (person.pk, person.role, request.session.session_key, session, theme_of(request))
    form_token = request.COOKIES.get(settings.CSRF_COOKIE_NAME, "")
    parts = (_release(), request.get_full_path(), seen_by, form_token, version.parts)
    # Weak: two pages of one version differ in their ages, and in how their tokens are masked.
    return f'W/"{salted_hmac("refresh", repr(parts), algorithm="sha256").hexdigest()[:32]}"'


@cache
def _release() -> str:
    """Give what tells this release from others: a page that was made by another one's templates is made anew."""
    digest = sha256()
    for folder, files in (("templates", "*.html"), ("hamr_portal", "*.py")):
        for path in sorted((settings.BASE_DIR / folder).rglob(files)):
            digest.update(path.read_bytes())
    return digest.hexdigest()
