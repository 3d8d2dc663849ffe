"""Pages that lead to a change: choose what to ask for, then see what would be sent and confirm it."""

from __future__ import annotations

from math import ceil

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from hamr_portal.domain.changes import Again, ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Action
from hamr_portal.models import Change, Organization
from hamr_portal.services import changes, overview, sending
from hamr_portal.services.moves import AlreadyMoved
from hamr_portal.services.previews import Link
from hamr_portal.services.refusals import Blocked, Busy, Forbidden, Frozen, Incomplete, LookAgain, NotAllowed
from hamr_portal.services.sending import NotRecordedYet

from . import errors, previews, step_up
from .access import requires
from .actors import actor_of
from .change_forms import CHOSEN, CONFIRMED, ConfirmForm, LinkForm, StatusForm
from .step_up import always, steps_up

_STILL_A_PREVIEW = (ChangeStatus.PREPARED, ChangeStatus.EXPIRED)


# --- choose -----------------------------------------------------------------------------------------------------


def _new_needs(name: str) -> Action:
    """Give what is needed to make the change that comes next: a connection has to be there before its status."""
    unconnected = Organization.objects.filter(name=name, snapshot__has_connection=False).exists()
    return Action.LINK_ORGANIZATIONS if unconnected else Action.CHANGE_STATUS


@requires(Action.CHANGE_STATUS, says=_new_needs)
@steps_up("change_new", keeps=CHOSEN, ahead=always)
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest, name: str) -> HttpResponse:
    """Choose a status, or where no connection exists the other side of one; then read both sides."""
    organization = get_object_or_404(Organization.objects.select_related("snapshot", "pair"), name=name)
    if request.method != "POST":
        return _choices(request, organization, kept=step_up.kept(request).of("change_new"))
    if "target_status" in request.POST or organization.snapshot.has_connection is not False:
        status_form = StatusForm(request.POST)
        if not status_form.is_valid():
            return _choices(request, organization, status_form=status_form, status=422)
        return _prepared(request, organization, status_form.cleaned_data["target_status"])
    link_form = LinkForm(request.POST, organization=organization)
    if not link_form.is_valid():
        return _choices(request, organization, link_form=link_form, status=422)
    return _prepared(request, organization, HamrStatus.ONBOARDING, link_form.link)


def _prepared(
    request: HttpRequest, organization: Organization, target: HamrStatus, link: Link | None = None
) -> HttpResponse:
    change = changes.prepare(organization, target, by=actor_of(request), link=link)
    return redirect("change_confirm", pk=change.pk)


def _choices(
    request: HttpRequest,
    organization: Organization,
    *,
    status_form: StatusForm | None = None,
    link_form: LinkForm | None = None,
    kept: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    if link_form is None and organization.snapshot.has_connection is False:
        link_form = LinkForm(organization=organization, kept=kept)
    row = overview.row_of(organization, now=timezone.now())
    context = {
        "organization": organization,
        "row": row,
        "mine": next(side for side in row.sides if side.organization.pk == organization.pk),
        "status_form": status_form,
        "link_form": link_form,
        "chosen": (kept or {}).get("target_status", ""),
    }
    return render(request, "changes/choose.html", context, status=status)


# --- confirm ----------------------------------------------------------------------------------------------------


def _asks_again(request: HttpRequest) -> bool:
    return "again" in request.POST


def _takes_back(request: HttpRequest) -> bool:
    return "cancel" in request.POST and not _asks_again(request)


@requires(Action.CHANGE_STATUS)
@steps_up("change_confirm", keeps=CONFIRMED, ahead=_asks_again, eased=_takes_back)
@require_http_methods(["GET", "POST"])
def confirm(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what was read and what would be sent; then send it once, or say why not."""
    rows = Change.objects.select_related("organization__snapshot", "other__snapshot", "author", "replaces")
    change = get_object_or_404(rows, pk=pk)
    if request.method == "POST":
        return _answered(request, change)
    kept = step_up.kept(request).of("change_confirm")
    is_over = change.status == ChangeStatus.EXPIRED and change.author_id == request.user.pk
    if change.status != ChangeStatus.PREPARED and not (is_over and kept):
        return redirect("change", pk=pk)
    if change.author_id != request.user.pk:
        return _of_another(request, change)
    return _preview(request, change, ConfirmForm(change=change, kept=kept))


def _answered(request: HttpRequest, change: Change) -> HttpResponse:
    """Do what the pressed button says. Whatever is refused ends on a page that says what is true."""
    form = ConfirmForm(request.POST, change=change)
    if change.author_id == request.user.pk:
        if "cancel" in request.POST:
            return _cancelled(request, change)
        still = change.status in _STILL_A_PREVIEW
        if "again" in request.POST:
            return _renewed(request, change, form, Again.ASKED) if still else redirect("change", pk=change.pk)
        if still and not form.is_valid():
            return _preview(request, change, form, status=422)
    return _confirmed(request, change, form)


def _confirmed(request: HttpRequest, change: Change, form: ConfirmForm) -> HttpResponse:
    # Said here and not below: once the change moves, its relations would be read from the database anew.
    asked = {"name": change.organization.name, "site": change.organization.site, "target": change.target.name}
    pk, author = change.pk, change.author_id
    try:
        changes.confirm(change, form.words(request.POST.get("token", "")), by=actor_of(request))
    except NotAllowed:
        if author != request.user.pk:
            return _of_another(request, change)
        raise
    except Incomplete as error:
        form.say(error.problems)
        return _preview(request, change, form, status=422)
    except LookAgain as error:
        return _renewed(request, change, form, error.again)
    except Busy as error:
        return _preview(request, change, form, status=409, busy=True, open_change=error.other)
    except Frozen as error:
        return _preview(request, change, form, status=409, refused_frozen=error.freeze)
    except Forbidden:
        return _preview(request, change, form, status=409, forbidden=True)
    except Blocked:
        return errors.without_the_database(request, "changes/blocked.html", pk=pk, **asked)
    except NotRecordedYet as error:
        seen = {"came": error.came, "spooled": error.spooled}
        return errors.without_the_database(request, "changes/not_recorded.html", pk=pk, **asked, **seen)
    except AlreadyMoved:
        pass
    return redirect("change", pk=pk)


def _renewed(request: HttpRequest, change: Change, form: ConfirmForm, again: Again) -> HttpResponse:
    made = changes.renew(change, by=actor_of(request), again=again, words=form.words(""))
    return redirect("change_confirm", pk=made.pk)


def _cancelled(request: HttpRequest, change: Change) -> HttpResponse:
    name = change.organization.name
    try:
        changes.cancel(change, by=actor_of(request))
    except AlreadyMoved:
        change.refresh_from_db()
        if change.status not in (ChangeStatus.EXPIRED, ChangeStatus.CANCELLED):
            return redirect("change", pk=change.pk)
    messages.info(request, f"{name}: cancelled. Nothing was sent.")
    return redirect("organization", name=name)


def _of_another(request: HttpRequest, change: Change) -> HttpResponse:
    return render(request, "changes/of_another.html", {"change": change}, status=403)


def _preview(
    request: HttpRequest, change: Change, form: ConfirmForm, *, status: int = 200, **context: object
) -> HttpResponse:
    seconds = settings.HAMR_DEADLINE + sending.post_deadline() + min(changes.READ_BACK_SECONDS, settings.HAMR_DEADLINE)
    shown = {
        "change": change,
        "evidence": previews.evidence(change),
        "form": form,
        "over": timezone.now() > change.expires_at,
        "elsewhere": not form.errors and change.author_session != actor_of(request).session,
        "seconds": ceil(seconds),
    }
    return render(request, "changes/confirm.html", {**shown, **context}, status=status)
