"""What became of a change: its page until it is final, what a second person decides, and everything that was seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from hamr_portal.domain.changes import OPEN, Again, ChangeStatus, Move
from hamr_portal.domain.people import Action, Role, may
from hamr_portal.models import Change, Freeze, Observation, Organization, Person
from hamr_portal.models.changes import ChangeQuerySet
from hamr_portal.services import (
    audit,
    changes,
    conditions,
    outcomes,
    outside,
    overview,
    reconciliation,
    run_sheets,
    versions,
)
from hamr_portal.services.conditions import Words
from hamr_portal.services.moves import AlreadyMoved
from hamr_portal.services.readings import ReadNow
from hamr_portal.services.refusals import Blocked, Busy, Frozen, Incomplete, LookAgain
from hamr_portal.services.sending import NotRecordedYet, post_deadline
from hamr_portal.templatetags._outcomes import moved_before, outcome_words

from . import access, errors, previews, step_up
from .access import requires
from .actors import actor_of
from .outcome_forms import DecisionForm, EndForm, ResolveForm, SkipForm
from .refreshes import refreshes
from .step_up import always, steps_up

ON_A_PAGE = 50
OUTSIDE_LINES = 20

_NOT_READ = {
    ReadNow.JUST_READ: "it was read less than 10 s ago. What it said is below.",
    ReadNow.UNDER_WAY: "a read is under way. Its answer shows here in a moment.",
    ReadNow.RATE_LIMITED: "Datadog limits reads. It is read when the limit resets.",
    ReadNow.BUSY: "too many people read at this moment. Next: try again in a few seconds.",
}

_FOLLOWED_EVERY = {
    ChangeStatus.SENDING: 2,
    ChangeStatus.ACCEPTED: 2,
    ChangeStatus.UNKNOWN: 5,
    ChangeStatus.AWAITING_APPROVAL: 5,
}
"""Seconds after which the page of a change that is not final shows itself anew."""

_TICKED_EVERY = 10
"""Seconds, where the status is settled, and people are still at work around it."""

_CHANGES = Change.objects.select_related(
    "organization__snapshot",
    "organization__pair",
    "other__snapshot",
    "author",
    "approver",
    "closed_by",
    "driver",
    "offered_to",
).defer("organization__snapshot__raw", "other__snapshot__raw")


@dataclass(frozen=True)
class Refusal:
    """What came back with an error: the form as it was typed, and what came between."""

    form: EndForm | None = None
    changed: Mapping[str, Any] | None = None
    busy: Change | None = None
    frozen: Freeze | None = None


# --- one change -------------------------------------------------------------------------------------------------


@requires(Action.SEE_STATUS)
@require_GET
@refreshes(versions.of_change)
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what became of a change, and what to do next."""
    return _page(request, pk)


@requires(Action.CHANGE_STATUS)
@steps_up(eased=always)
@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Take back one's own change before it is sent."""
    change = _change(pk)
    return _done(request, change, lambda: changes.cancel(change, by=actor_of(request)))


@requires(Action.APPROVE_CHANGES)
@steps_up("change", keeps=("typed_name", "comment"))
@require_POST
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    """Send what somebody else confirmed, as a second person."""
    change = _change(pk)
    form = DecisionForm(request.POST, change=change)
    return _done(request, change, lambda: changes.approve(change, by=actor_of(request), **form.texts), form)


@requires(Action.APPROVE_CHANGES)
@steps_up(eased=always)
@require_POST
def decline(request: HttpRequest, pk: int) -> HttpResponse:
    """Refuse what somebody else confirmed, and say why."""
    change = _change(pk)
    form = DecisionForm(request.POST, change=change)
    comment = form.texts["comment"]
    return _done(request, change, lambda: changes.decline(change, by=actor_of(request), comment=comment), form)


@requires(Action.CHANGE_STATUS)
@steps_up("change", keeps=("typed_name", "reason"))
@require_POST
def skip_approval(request: HttpRequest, pk: int) -> HttpResponse:
    """Send one's own change although nobody approved it, for a reason."""
    change = _change(pk)
    form = SkipForm(request.POST, change=change)
    return _done(request, change, lambda: changes.skip_approval(change, by=actor_of(request), **form.texts), form)


@requires(Action.CHANGE_STATUS)
@steps_up("change", keeps=("reason",))
@require_POST
def resolve(request: HttpRequest, pk: int) -> HttpResponse:
    """Open the lock of a change whose outcome is not known, for a reason."""
    change = _change(pk)
    form = ResolveForm(request.POST, change=change)
    return _done(request, change, lambda: changes.resolve(change, by=actor_of(request), **form.texts), form)


@requires(Action.READ_NOW)
@require_POST
def read(request: HttpRequest, pk: int) -> HttpResponse:
    """Read both sides now, and hold them against the change."""
    change = _change(pk)
    if change.status in OPEN:
        answer = reconciliation.read_now(change, by=actor_of(request))
        if answer in _NOT_READ:
            messages.info(request, f"Not read again: {_NOT_READ[answer]}")
    else:
        messages.info(request, f"Not read: the change is final: {_said(change)}.")
    return redirect("change", pk)


@requires(Action.CHANGE_STATUS)
@steps_up("change", ahead=always)
@require_POST
def again(request: HttpRequest, pk: int) -> HttpResponse:
    """Preview the same wish anew; reason and ticket are kept, the name is to be typed again."""
    change = _change(pk)
    if change.status in OPEN or change.status == ChangeStatus.PREPARED:
        messages.warning(request, f"Not previewed again: the change is not over: {_said(change)}.")
        return redirect("change", pk)
    kept = Words(reason=change.reason, ticket=change.ticket)
    renewed = changes.renew(change, by=actor_of(request), again=Again.AFTER_OUTCOME, words=kept)
    return redirect("change_confirm", renewed.pk)


@requires(Action.SEE_STATUS)
@require_POST
def seen(request: HttpRequest, pk: int) -> HttpResponse:
    """Put down that somebody who was skipped has seen it."""
    changes.see_skip(_change(pk), by=actor_of(request))
    return redirect(access.page_of(request))


def _change(pk: int) -> Change:
    return get_object_or_404(_CHANGES, pk=pk)


def _said(change: Change) -> str:
    words = outcome_words(outcomes.story(change))
    return words[0].lower() + words[1:]


def _done(request: HttpRequest, change: Change, do: Callable[[], object], form: EndForm | None = None) -> HttpResponse:
    """Do what a form asks for, and go to the change's page; or show again what was typed, and what is true now."""
    # Said here and not below: once the change moves, its relations would be read from the database anew.
    asked = {"pk": change.pk, "name": change.organization.name, "site": change.organization.site}
    asked |= {"target": change.target.name}
    try:
        do()
    except Incomplete as error:
        assert form is not None  # noqa: S101 - only what is typed can be incomplete
        form.say(error.problems)
        return _page(request, change.pk, Refusal(form), status=422)
    except Busy as error:
        return _page(request, change.pk, Refusal(form, busy=error.other), status=409)
    except Frozen as error:
        return _page(request, change.pk, Refusal(form, frozen=error.freeze), status=409)
    except LookAgain as error:
        return _page(request, change.pk, Refusal(form, changed=error.facts), status=409)
    except Blocked:
        return errors.without_the_database(request, "changes/blocked.html", **asked)
    except NotRecordedYet as error:
        seen = {"came": error.came, "spooled": error.spooled}
        return errors.without_the_database(request, "changes/not_recorded.html", **asked, **seen)
    except AlreadyMoved:
        change.refresh_from_db()
        messages.warning(request, f"Nothing more was done: {moved_before(ChangeStatus(change.status))}.")
    return redirect("change", change.pk)


def _page(request: HttpRequest, pk: int, refusal: Refusal | None = None, *, status: int = 200) -> HttpResponse:
    # As the database has it by now: what was asked for may have ended it.
    change = _change(pk)
    person, now = request.user, timezone.now()
    assert isinstance(person, Person)  # noqa: S101 - the access middleware lets nobody else through
    row = overview.row_of(change.organization, now=now)
    is_author, role = person.pk == change.author_id, person.held_role
    waits = change.status == ChangeStatus.AWAITING_APPROVAL
    # Nobody can decide it any more, also before the worker has put that down.
    ended = waits and now > change.expires_at
    asks = is_author and not ended and may(role, conditions.action_of(change))
    decides = not is_author and not ended and may(role, Action.APPROVE_CHANGES)
    resolves = change.may_make(Move.RESOLVE) and may(role, Action.CHANGE_STATUS)
    lines = run_sheets.lines_of(change)
    ticked = sum(line.is_done for line in lines)
    is_driven = row.driven is not None and row.driven.pk == change.pk
    around = _TICKED_EVERY if change.sent_at and (is_driven or ticked < len(lines)) else None
    return render(
        request,
        "changes/detail.html",
        {
            "change": change,
            "story": outcomes.story(change),
            "row": row,
            "own": _side(row, change.organization),
            "other": _side(row, change.other) if change.other is not None else None,
            "sides": [_side(row, side) for side in (change.organization, change.other) if side is not None],
            "evidence": previews.evidence(change) if waits else None,
            "entries": audit.entries_of(change.pk),
            "every": _FOLLOWED_EVERY.get(ChangeStatus(change.status), around),
            "lines": lines,
            "ticked": ticked,
            "is_driven": is_driven,
            # Without script, what is settled is not loaded anew: the wait is over.
            "has_form": resolves or (waits and (asks or decides)) or change.status not in _FOLLOWED_EVERY,
            "ended": ended,
            "is_author": is_author,
            "asks": asks,
            "decides": decides,
            "resolves": resolves,
            "may_again": may(role, conditions.action_of(change)),
            "helpers": _helpers(change, role),
            "key_helpers": _key_helpers(change, role),
            "settle": {"reads": settings.HAMR_SETTLE_READS, "seconds": settings.HAMR_SETTLE_SECONDS},
            "post_deadline": post_deadline(),
            "refusal": refusal or Refusal(),
            **_forms(change, refusal.form if refusal is not None else None, step_up.kept(request)),
        },
        status=status,
    )


def _forms(change: Change, typed: EndForm | None, before: step_up.Kept) -> dict[str, EndForm]:
    """Give the forms of the page: what was typed in one is kept there."""
    kinds = {"change_approve": DecisionForm, "change_skip_approval": SkipForm, "change_resolve": ResolveForm}
    forms: list[EndForm] = [kind(change=change, kept=before.of(route)) for route, kind in kinds.items()]
    kept = {form.name: form for form in [*forms, *([typed] if typed is not None else [])]}
    return {f"{name}_form": form for name, form in kept.items()}


def _side(row: overview.Row, organization: Organization) -> overview.SideRow:
    """Give a side as it is known now; of another row where the two are no pair."""
    if organization.pk not in [side.organization.pk for side in row.sides]:
        row = overview.row_of(organization, now=timezone.now())
    return next(side for side in row.sides if side.organization.pk == organization.pk)


def _helpers(change: Change, role: Role | None) -> list[str]:
    """Name some of those who may do what comes next, to somebody who may not."""
    waits = change.status == ChangeStatus.AWAITING_APPROVAL
    action = Action.APPROVE_CHANGES if waits else conditions.action_of(change)
    # The author may do everything but decide.
    return [] if may(role, action) else access.named(action, but=change.author_id if waits else None)


def _key_helpers(change: Change, role: Role | None) -> list[str]:
    """Name some of those who may replace keys, where these keys are what is wrong."""
    wrong = change.status == ChangeStatus.REJECTED and change.http_status in (401, 403)
    return [] if not wrong or may(role, Action.MANAGE_ORGANIZATIONS) else access.named(Action.MANAGE_ORGANIZATIONS)


# --- all changes ------------------------------------------------------------------------------------------------


@requires(Action.SEE_STATUS)
@require_GET
@refreshes(versions.of_changes)
def index(request: HttpRequest) -> HttpResponse:
    """List all changes, the waiting ones first, and what was changed outside; it refreshes itself."""
    return _list(request)


@requires(Action.ACKNOWLEDGE_OUTSIDE)
@require_POST
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Put down who made a change outside the portal, and why."""
    observation = get_object_or_404(Observation.objects.select_related("organization"), pk=pk, outside=True)
    comment = request.POST.get("comment", "")
    name = observation.organization.name
    try:
        outside.acknowledge(observation, comment=comment, by=actor_of(request))
        messages.success(request, f"{name}: acknowledged. It stays in the history.")
    except outside.CommentMissing:
        return _list(request, status=422, unsaid=pk, comment=comment)
    except outside.AlreadyAcknowledged:
        observation.refresh_from_db()
        by = observation.acknowledged_by.partition("@")[0]
        messages.warning(request, f"{name}: {by} has acknowledged that already. Nothing was written.")
    return redirect("changes")


def recent(organization: Organization, *, limit: int) -> list[outcomes.Story]:
    """Give the newest changes of an organization and its pair, with their logs."""
    found = Change.objects.of([organization.pk], organization.pair_id).filter(confirmed_at__isnull=False)
    return outcomes.stories(found.select_related("organization", "author", "approver").order_by("-pk")[:limit])


def _list(request: HttpRequest, *, status: int = 200, **context: Any) -> HttpResponse:
    everything = "all" in request.GET
    found = _listed(request, everything=everything)
    before = request.GET.get("before", "")
    # What can still change its group is on the first page; the pages are cut by numbers, which nothing changes.
    ahead = OPEN | {ChangeStatus.PREPARED}
    rest = found.exclude(status__in=ahead)
    first: list[Change] = []
    if before.isascii() and before.isdigit():
        rest = rest.filter(pk__lt=min(int(before), 2**62))
    else:
        first = list(found.filter(status__in=ahead).order_by("-pk"))
    page = list(rest.order_by("-pk")[: ON_A_PAGE + 1])
    news = outside.listed(limit=OUTSIDE_LINES) if not before else []
    may_acknowledge = may(request.user.held_role, Action.ACKNOWLEDGE_OUTSIDE)  # type: ignore[union-attr]
    return render(
        request,
        "changes/list.html",
        {
            "stories": outcomes.stories(sorted([*first, *page[:ON_A_PAGE]], key=_when, reverse=True)),
            "older": page[ON_A_PAGE - 1].pk if len(page) > ON_A_PAGE else None,
            "everything": everything,
            "is_first": not before,
            "query": request.GET.urlencode(),
            "may_acknowledge": may_acknowledge,
            "outside": news,
            # Without script a page is loaded anew as a whole, also under what somebody types.
            "has_form": may_acknowledge and any(each.seen.acknowledged_at is None for each in news),
            **context,
        },
        status=status,
    )


def _when(change: Change) -> tuple[datetime, int]:
    """Give the moment that the list shows, and what decides between two of the same."""
    return change.sent_at or change.confirmed_at or change.prepared_at, change.pk


def _listed(request: HttpRequest, *, everything: bool) -> ChangeQuerySet:
    """Give what may be listed: no preview of anybody else, and what was never confirmed only where asked for."""
    found = Change.objects.real().select_related("organization", "author", "approver")
    mine = Q(status=ChangeStatus.PREPARED, author=request.user.pk)
    if everything:
        return found.filter(~Q(status=ChangeStatus.PREPARED) | mine)
    return found.filter(Q(confirmed_at__isnull=False) | mine)
