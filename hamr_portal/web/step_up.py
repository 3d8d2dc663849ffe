"""What asks for a fresh sign-in, and what happens to what was typed meanwhile?

Nothing that was asked for is done later by itself: the text is kept, and the person presses the button again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from allauth.account.authentication import get_authentication_records
from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse

from hamr_portal.domain.people import NEEDS_FRESH_SIGN_IN, Action
from hamr_portal.models import Person

View = TypeVar("View", bound=Callable[..., HttpResponseBase])
Test = Callable[[HttpRequest], bool]

LONGEST = 4_000
"""So many characters of a field are kept; a longer text is refused by its form anyway, and is not kept."""

_KEPT = "step_up"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def always(request: HttpRequest) -> bool:
    """Hold for each request."""
    return True


def never(request: HttpRequest) -> bool:
    """Hold for none."""
    return False


@dataclass(frozen=True)
class StepUp:
    """How a view asks for a fresh sign-in, where its action needs one.

    `page` is the route whose page has the form, with the same arguments; without one it is the page that one
    comes from. `keeps` names what is kept of the form: nothing that is not named, so no secret by oversight. `ahead`
    says which requests begin something that takes a while, and need a sign-in that lasts for that; `first`, which pages
    are only shown after it, since what is typed there cannot be kept; `eased`, what goes with any sign-in: it only
    takes back, or only reads.
    """

    page: str = ""
    keeps: tuple[str, ...] = ()
    ahead: Test = never
    first: Test = never
    eased: Test = never


@dataclass(frozen=True)
class Kept:
    """What was typed into the form of a route before it asked for a fresh sign-in."""

    route: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    def of(self, *routes: str) -> dict[str, str]:
        """Give what was typed, if it was into the form of one of these."""
        return dict(self.fields) if self.route in routes else {}


_PLAIN = StepUp()


def steps_up(
    page: str = "", *, keeps: tuple[str, ...] = (), ahead: Test = never, first: Test = never, eased: Test = never
) -> Callable[[View], View]:
    """Declare how a view asks for a fresh sign-in. Whether it does, its action decides."""

    def declare(view: View) -> View:
        view.step_up = StepUp(page, keeps, ahead, first, eased)  # type: ignore[attr-defined]
        return view

    return declare


# --- asking -----------------------------------------------------------------------------------------------------


def asked(
    request: HttpRequest, view: Callable[..., Any], action: Action, arguments: Mapping[str, Any], *, came_from: str
) -> HttpResponseBase | None:
    """Lead to the sign-in where this needs a fresh one, and keep what was typed; None: go on."""
    how: StepUp = getattr(view, "step_up", _PLAIN)
    pressed = request.method not in _SAFE
    if action not in NEEDS_FRESH_SIGN_IN or not (pressed or how.first(request)) or how.eased(request):
        return None
    if is_fresh(request, _seconds(ahead=not pressed or how.ahead(request))):
        return None
    page = reverse(how.page, kwargs=dict(arguments)) if pressed and how.page else came_from
    _keep(request, how, action, page, pressed=pressed)
    return redirect(f"{reverse('account_reauthenticate')}?{urlencode({'next': page})}")


def is_fresh(request: HttpRequest, seconds: float | None = None) -> bool:
    """Tell whether the person has signed in, or signed in again, so many seconds ago at most."""
    person = request.user
    if not isinstance(person, Person):
        return False
    limit = settings.STEP_UP_SECONDS if seconds is None else seconds
    records = get_authentication_records(request, person)
    if is_mfa_enabled(person):
        # A password alone was not enough to come in.
        records = [record for record in records if record["method"] == "mfa"]
    # Single sign-on may have been signed in to days before: there it counts only where it was asked for anew.
    records = [record for record in records if record["method"] != "socialaccount" or record.get("reauthenticated")]
    now = time.time()
    # Both ways: the clock may have been set back.
    return any(0 <= now - record["at"] <= limit for record in records)


def _seconds(*, ahead: bool) -> float:
    """Give how old a sign-in may be; where it has to last for a preview, younger, yet never beyond anybody's reach."""
    limit: float = settings.STEP_UP_SECONDS
    return max(limit - settings.PREVIEW_SECONDS, limit / 2) if ahead else limit


def _keep(request: HttpRequest, how: StepUp, action: Action, page: str, *, pressed: bool) -> None:
    path = urlsplit(page).path
    entry = request.session.get(_KEPT, {})
    if not pressed and entry.get("path") == path:
        return  # what was typed there before is still to be shown
    typed = {name: request.POST[name] for name in how.keeps if name in request.POST} if pressed else {}
    request.session[_KEPT] = {
        "path": path,
        "route": request.resolver_match.url_name if request.resolver_match else "",
        "action": action,
        "pressed": pressed,
        "fields": {name: text for name, text in typed.items() if len(text) <= LONGEST},
    }


# --- and coming back --------------------------------------------------------------------------------------------


def kept(request: HttpRequest) -> Kept:
    """Give what was typed on this page before it asked for a fresh sign-in: once, and on no other page."""
    entry = request.session.get(_KEPT)
    if entry is None or entry["path"] != request.path or "HX-Request" in request.headers:
        return Kept()
    del request.session[_KEPT]
    return Kept(entry["route"], entry["fields"])


def purpose(request: HttpRequest) -> dict[str, Any]:
    """Tell the page that asks to sign in again what for, whether a button was pressed, and whether text is kept."""
    entry = request.session.get(_KEPT, {})
    return {
        "action": entry.get("action", ""),
        "pressed": entry.get("pressed", False),
        "kept": bool(entry.get("fields")),
    }
