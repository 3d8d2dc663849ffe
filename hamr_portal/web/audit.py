"""The audit log: who did what, whether it is whole, one entry, its export, and answering for it when it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.chain import Walked
from hamr_portal.domain.connections import sanitized
from hamr_portal.domain.log import Kind
from hamr_portal.domain.people import Action, may
from hamr_portal.models import Change, Organization
from hamr_portal.services import adoption, audit, chain_states, exports, integrity, log
from hamr_portal.services.audit import CannotSign
from hamr_portal.services.chain_states import ChainState
from hamr_portal.services.integrity import VERIFIED_EVERY
from hamr_portal.templatetags._entry_words import event_words, look_of, plainly

from . import access, step_up
from .access import requires
from .actors import actor_of
from .audit_forms import AdoptForm, FilterForm
from .step_up import steps_up

FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson; charset=utf-8"}
"""What an export can be, and how it is called on the way."""

LATE = 10 * VERIFIED_EVERY
"""After so long without verifying, the chain does not count as verified any more."""


_DIGITS = 18
"""So many digits fit into a number of the database; an address may hold more than Python reads."""


@dataclass(frozen=True)
class Chip:
    """One filter that is in use, and the address without it."""

    words: str
    without: str


# --- read -------------------------------------------------------------------------------------------------------


@requires(Action.READ_LOG)
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List entries by filters, the newest first, with the state of the chain."""
    return _page(request)


@requires(Action.READ_LOG)
@require_GET
def detail(request: HttpRequest, seq: int) -> HttpResponse:
    """Show everything of one entry."""
    shown, head = log.one(seq), audit.head()
    if shown is None:
        return _missing(request, seq, head.seq)
    return render(
        request,
        "audit/entry.html",
        {
            "shown": shown,
            "entry": shown.entry,
            "whole": True,
            "earlier": seq - 1 if seq > 1 else None,
            "later": seq + 1 if seq < head.seq else None,
            **_around([shown]),
        },
    )


def _missing(request: HttpRequest, seq: int, head: int) -> HttpResponse:
    """Say that an entry was taken away, where it has been there: numbers have no gaps."""
    if not 0 < seq <= head:
        raise Http404
    context = {"seq": seq, "is_kept": log.is_kept(seq), "earlier": seq - 1 if seq > 1 else None, "later": seq + 1}
    return render(request, "audit/missing.html", context, status=404)


@requires(Action.READ_LOG)
@require_GET
def export(request: HttpRequest) -> HttpResponseBase:
    """Stream exactly what is filtered, as a file."""
    form = FilterForm(request.GET)
    wanted = request.GET.get("format", "")
    if not form.is_valid():
        return _page(request, status=400)
    if wanted not in FORMATS:
        return _page(request, status=400, problem="Not exported: the format is csv or jsonl.")
    try:
        lines = iter(exports.lines(form.filters(), format=wanted, by=actor_of(request)))
        # What cannot be put on the record is to be a page that says so, not an empty file.
        first = next(lines, "")
    except CannotSign as error:
        return _page(request, status=503, problem=f"Not exported. {_unusable(error)}")
    response = StreamingHttpResponse(chain([first], lines), content_type=FORMATS[wanted])
    response["Content-Disposition"] = f'attachment; filename="audit-log-{timezone.now():%Y%m%dT%H%M%SZ}.{wanted}"'
    response["Cache-Control"] = "no-store"
    return response


# --- verify, adopt ----------------------------------------------------------------------------------------------


@requires(Action.READ_LOG)
@require_POST
def verify(request: HttpRequest) -> HttpResponse:
    """Verify the whole log now, and say what came of it."""
    try:
        came = integrity.verify_and_keep(by=actor_of(request), whole=True)
        _say_verified(request, came, chain_states.now())
    except (KeyRingUnusable, CannotSign, OSError) as error:
        messages.error(request, f"Not verified. {_unusable(error)}")
    return redirect(_came_from(request))


@requires(Action.ADOPT_LOG)
@steps_up("audit", keeps=("reason",))
@require_POST
def adopt(request: HttpRequest) -> HttpResponse:
    """Answer for the log as it is, so that changes can be made again."""
    form, status = AdoptForm(request.POST, auto_id="adopt_%s"), 422
    if form.is_valid():
        try:
            adoption.adopt(by=actor_of(request), reason=form.cleaned_data["reason"], seen=request.POST.get("seen", ""))
        except adoption.LookAgain:
            status = 409
            form.add_error(
                None, "What is wrong now is not what this page had shown. Next: look at what it says below, then adopt."
            )
        except adoption.ReasonMissing:
            form.add_error("reason", "Say why the log is as it is, and who knows of it.")
        except adoption.NothingToAdopt:
            messages.info(request, "Nothing was adopted: the log is not in doubt, as far as is known.")
        except adoption.GuardsMissing as error:
            form.add_error(
                None, f"The guards that keep the log append-only are not there: {error}. Next: run manage.py migrate."
            )
        except (KeyRingUnusable, CannotSign, OSError) as error:
            form.add_error(None, _unusable(error))
        else:
            messages.success(request, "The audit log is adopted as it is. Changes are possible again.")
    if form.errors:
        return _page(request, status=status, adopt_form=form)
    return redirect("audit")


def _say_verified(request: HttpRequest, came: Walked, state: ChainState) -> None:
    whole = f"{came.entries:,} entries are whole"
    if came.broken is None and state.trouble is None:
        kept = f" This verification is entry {state.whole_pass.seq}." if state.whole_pass is not None else ""
        messages.success(request, f"Chain verified: {whole}, up to entry {came.head.seq}.{kept}")
        return
    if came.broken is None:
        messages.error(
            request, f"All {whole}, up to entry {came.head.seq}, but the log is in doubt. What was found stands below."
        )
        return
    broken = f"Chain broken at entry {came.broken.seq}: {plainly(came.broken.what)}. {whole} before it."
    if state.trouble is None:
        adopted = ", ".join(f"entry {each.seq}" for each in state.breaks)
        since = f"Verified from entry {state.whole_from} on, up to entry {state.standing.seq}."
        messages.warning(request, f"{broken} An admin adopted the log as it is ({adopted}). {since}")
    else:
        messages.error(request, f"{broken} No change can be sent. Next: an admin looks at it, and adopts the log.")


def _unusable(error: Exception) -> str:
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        return f"The anchor file cannot be used: {reason}. Next: let the portal read and write it."
    return f"The key that signs entries cannot be read: {error} Next: look at the key ring's file."


def _came_from(request: HttpRequest) -> str:
    page = access.page_of(request)
    ours = page == reverse("audit") or page.startswith(f"{reverse('audit')}?")
    return page if ours else reverse("audit")


# --- the page ---------------------------------------------------------------------------------------------------


def _page(
    request: HttpRequest, *, status: int = 200, problem: str = "", adopt_form: AdoptForm | None = None
) -> HttpResponse:
    # After a post or an export that was refused, the list is the whole one: their fields are not its filters.
    form = FilterForm(request.GET)
    is_valid = form.is_valid()
    asked = form.asked()
    filters = form.filters() if is_valid else log.Filters()
    before = _number(request.GET.get("before", ""))
    page = log.page(filters, before=before) if is_valid else log.Page([], None)
    shown = log.checked(page.entries)
    state = chain_states.now()
    found = state.trouble
    role = request.user.held_role  # type: ignore[union-attr]
    return render(
        request,
        "audit/list.html",
        {
            "form": form,
            "chips": _chips(asked, filters) if is_valid else [],
            "query": urlencode(asked),
            "problem": problem,
            "page": page,
            "lines": shown,
            "is_first": before is None,
            "found": log.count(filters) if is_valid else 0,
            "most": log.MOST_COUNTED,
            "state": state,
            "standing": state.standing,
            "late": timezone.now() - LATE,
            "trouble": found,
            "seen": integrity.seen_as(found) if found is not None else "",
            "restored": found is not None and found.trouble in integrity.RESTORED,
            "adopt_form": adopt_form or AdoptForm(auto_id="adopt_%s", initial=step_up.kept(request).of("audit_adopt")),
            "adopters": [] if found is None or may(role, Action.ADOPT_LOG) else access.named(Action.ADOPT_LOG),
            **_around(shown),
        },
        status=status if is_valid or status != 200 else 422,
    )


def _around(shown: Sequence[log.Checked]) -> Mapping[str, Any]:
    """Give what is still there of what entries tell of: the sites of organizations, and changes with a page."""
    names = {each.entry.organization for each in shown}
    numbers = {each.entry.change for each in shown if each.entry.change is not None}
    return {
        "sites": dict(Organization.objects.filter(name__in=names).values_list("name", "site")),
        "changes_there": set(Change.objects.filter(pk__in=numbers).values_list("pk", flat=True)),
    }


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def _chips(asked: Mapping[str, str], filters: log.Filters) -> list[Chip]:
    kinds = {kind.word: kind.label for kind in Kind}
    words = {
        "q": f"“{sanitized(filters.q, 60)}”",
        "organization": sanitized(filters.organization, 63),
        "actor": sanitized(filters.actor, 60),
        "event": kinds.get(filters.event) or event_words(sanitized(filters.event, 60)),
        "outcome": look_of(sanitized(filters.outcome, 60))[0],
        "change": f"Change {filters.change}",
    }
    chips = [Chip(words[name], _without(asked, [name])) for name in words if name in asked]
    if filters.since or filters.until:
        chips.append(Chip(_range(filters.since, filters.until), _without(asked, ["since", "until"])))
    return chips


def _without(asked: Mapping[str, str], names: Iterable[str]) -> str:
    return "?" + urlencode({name: value for name, value in asked.items() if name not in names})


def _range(since: date | None, until: date | None) -> str:
    if since and until and since != until:
        return f"{_day(since)} to {_day(until)}"
    if until is None or since is None:
        return f"Up to {_day(until)}" if until else f"From {_day(since)}" if since else ""
    return _day(since)


def _day(day: date) -> str:
    words = f"{day.day} {day:%b}"
    return words if day.year == timezone.now().year else f"{words} {day.year}"
