"""Pages about organizations: the two views of one, and the saved ones with their keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from hamr_portal.crypto import KeyRingUnusable, SealBroken
from hamr_portal.domain.audit import Actor
from hamr_portal.domain.organizations import InvalidKey, Spelling
from hamr_portal.domain.people import Action
from hamr_portal.domain.timeline import Range
from hamr_portal.models import Observation, Organization, Snapshot
from hamr_portal.services import organizations, overview, readings, verification, versions
from hamr_portal.services.comparison import compare
from hamr_portal.services.organizations import Draft, NotSaved
from hamr_portal.services.readings import ReadNow
from hamr_portal.services.timeline import timeline
from hamr_portal.services.verification import UnknownSite, Verification
from hamr_portal.templatetags._time import clock

from . import outcomes, step_up
from .access import requires
from .actors import actor_of
from .forms import OrganizationForm, PairNameForm
from .refreshes import refreshes
from .step_up import always, steps_up

NO_SECRETS = ("name", "site", "requires_approval", "spelling", "pin_anew", "reason")
"""What of the form outlasts a sign-in that it asks for: all but the keys, and so it asks before it is shown."""

ON_A_PAGE = 50
RECENT_CHANGES = 5
HISTORY_LINES = 50
"""So many are shown; one more is loaded, since a line is drawn by what changed from the one before."""


# --- one organization -------------------------------------------------------------------------------------------


@requires(Action.SEE_STATUS)
@require_GET
@refreshes(versions.of_organization)
def detail(request: HttpRequest, name: str) -> HttpResponse:
    """Show both views side by side, their past, and the raw answers."""
    organization, now = _organization(name), timezone.now()
    row = overview.row_of(organization, now=now)
    mine = next(side for side in row.sides if side.organization.pk == organization.pk)
    sides = [side.organization.pk for side in row.sides]
    history = Observation.objects.filter(organization__in=sides).select_related("organization")
    return render(
        request,
        "organizations/detail.html",
        {
            "organization": organization,
            "row": row,
            "mine": mine,
            "other": row.other(mine),
            "comparison": compare(row),
            "timeline": timeline(row, mine, chosen=Range.named(request.GET.get("range", "")), now=now),
            "ranges": list(Range),
            "history": history.order_by("-at", "-id")[: HISTORY_LINES + 1],
            "history_lines": f":{HISTORY_LINES}",
            "recent": outcomes.recent(organization, limit=RECENT_CHANGES),
            "pair_form": PairNameForm(initial={"name": row.name}) if row.pair else None,
        },
    )


@requires(Action.READ_NOW)
@require_POST
def refresh(request: HttpRequest, name: str) -> HttpResponse:
    """Read this organization and its other side now."""
    row = overview.row_of(_organization(name), now=timezone.now())
    answers = readings.read_now([side.organization for side in row.sides], by=actor_of(request))
    for organization, answer in answers.items():
        _say_read(request, organization, answer)
    return redirect("organization", name=name)


_NOT_READ = {
    ReadNow.UNDER_WAY: "a read is under way. Its answer shows here in a moment.",
    ReadNow.RATE_LIMITED: "not read: Datadog limits reads. Next: wait for the read that is due below.",
    ReadNow.DISABLED: "not read: it is disabled.",
    ReadNow.BUSY: "not read: too many people read at this moment. Next: try again in a few seconds.",
}


def _say_read(request: HttpRequest, organization: Organization, answer: ReadNow) -> None:
    """Say what came of it: a read that failed must not sound like one that brought the view below."""
    name = organization.name
    if answer in _NOT_READ:
        messages.info(request, f"{name}: {_NOT_READ[answer]}")
        return
    snapshot = Snapshot.objects.get(pk=organization.pk)
    when = "now" if answer is ReadNow.READ else "less than 10 s ago"
    if not snapshot.attempt_failed:
        messages.success(request, f"{name}: read {when}.")
        return
    at = snapshot.answered_at
    seen = f"The view below is from {clock(at, timezone.now())}." if at else "It was never read."
    messages.error(request, f"{name}: asked {when}, not read: {snapshot.attempt_reason}. {seen}")


# --- saved organizations ----------------------------------------------------------------------------------------


@requires(Action.MANAGE_ORGANIZATIONS)
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List the saved organizations with the dots of their keys."""
    return _list(request)


@requires(Action.MANAGE_ORGANIZATIONS)
@steps_up("organization_new", keeps=NO_SECRETS, first=always)
@require_http_methods(["GET", "POST"])
@sensitive_post_parameters("api_key", "application_key")
def new(request: HttpRequest) -> HttpResponse:
    """Add an organization: verified first, then saved."""
    if request.method != "POST":
        kept = step_up.kept(request).of("organization_new")
        return _list(request, form=OrganizationForm(initial=kept, needs_keys=True))
    form = OrganizationForm(request.POST, needs_keys=True)
    return _submitted(request, form, None)


@requires(Action.MANAGE_ORGANIZATIONS)
@steps_up("organization_edit", keeps=NO_SECRETS, first=always)
@require_http_methods(["GET", "POST"])
@sensitive_post_parameters("api_key", "application_key")
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Edit an organization, or replace its keys."""
    organization = _organization(name)
    if organization.drill_id is not None:
        return _of_a_drill(request, organization)
    if request.method == "POST":
        return _submitted(request, OrganizationForm(request.POST, needs_keys=False), organization)
    kept = {field: getattr(organization, field) for field in ("name", "site", "requires_approval", "spelling")}
    typed = step_up.kept(request).of("organization_edit")
    if typed:
        kept |= {"requires_approval": False, **typed}  # a tick that was taken away was not sent
    return _list(request, form=OrganizationForm(initial=kept, needs_keys=False), editing=organization)


@requires(Action.MANAGE_ORGANIZATIONS)
@steps_up(eased=always)
@require_POST
def verify(request: HttpRequest, name: str) -> HttpResponse:
    """Verify the saved keys of one organization."""
    organization = _organization(name)
    if organization.drill_id is not None:
        return _of_a_drill(request, organization)
    return _verified(request, [organization], redirect("organization_edit", name=name))


@requires(Action.MANAGE_ORGANIZATIONS)
@steps_up(eased=always)
@require_POST
def verify_all(request: HttpRequest) -> HttpResponse:
    """Verify the saved keys of all organizations."""
    return _verified(request, Organization.objects.enabled().real().by_name(), redirect("organizations"))


@requires(Action.MANAGE_ORGANIZATIONS)
@steps_up("organization_edit")
@require_POST
def disable(request: HttpRequest, name: str) -> HttpResponse:
    """Stop reading an organization."""
    return _switched(request, name, organizations.disable, "disabled. It is not read any more; its keys are kept.")


@requires(Action.MANAGE_ORGANIZATIONS)
@steps_up("organization_edit")
@require_POST
def enable(request: HttpRequest, name: str) -> HttpResponse:
    """Read an organization again."""
    return _switched(request, name, organizations.enable, "enabled. It is read within one interval.")


def _organization(name: str) -> Organization:
    return get_object_or_404(Organization.objects.select_related("snapshot", "pair"), name=name)


def _of_a_drill(request: HttpRequest, organization: Organization) -> HttpResponse:
    messages.error(
        request, f"{organization.name} is of a drill: its keys are made up, and nobody edits them. Next: end the drill."
    )
    return redirect("organization", name=organization.name)


def _switched(request: HttpRequest, name: str, switch: Callable[..., None], sentence: str) -> HttpResponse:
    try:
        switch(_organization(name), by=actor_of(request))
        messages.success(request, f"{name}: {sentence}")
    except organizations.ChangeOpen:
        messages.error(request, f"{name}: not disabled. A change is open there. Next: wait until its outcome is known.")
    except organizations.AlreadyMoved:
        messages.warning(request, f"{name}: somebody else did that already.")
    except organizations.OfDrill as error:
        messages.error(request, f"Nothing was done. {error}")
        return redirect("organization", name=name)
    return redirect("organization_edit", name=name)


def _submitted(request: HttpRequest, form: OrganizationForm, organization: Organization | None) -> HttpResponse:
    """Verify or save what was typed; on any trouble the form comes back with the text kept and the keys empty."""
    found: Verification | None = None
    if form.is_valid():
        try:
            if "verify" in request.POST:
                found = _verified_typed(form, organization, actor_of(request))
            else:
                name, found = _saved(form, organization, actor_of(request))
                messages.success(request, _saved_sentence(name, found))
                return redirect("organization_edit", name=name)
        except NotSaved as error:
            form.add_error(_field_of(error), str(error))
            found = error.verification
        except (UnknownSite, KeyRingUnusable, SealBroken, InvalidKey) as error:
            form.add_error(None, str(error))
    return _list(request, form=form, editing=organization, found=found, status=200 if form.is_valid() else 422)


def _verified_typed(form: OrganizationForm, organization: Organization | None, by: Actor) -> Verification:
    draft = _draft(form, organization)
    pinned, credentials = None, draft.credentials
    if organization is not None:
        pinned, credentials = organization.uuid, credentials or organizations.saved_credentials(organization)
    if credentials is None:
        raise NotSaved("Paste both keys to verify them.")
    return verification.verify_typed(draft.name, draft.site, credentials, pinned=pinned, by=by)


def _saved(form: OrganizationForm, organization: Organization | None, by: Actor) -> tuple[str, Verification | None]:
    draft = _draft(form, organization)
    if organization is None:
        saved, found = organizations.add(draft, by=by)
        return saved.name, found
    data = form.cleaned_data
    changed = organizations.edit(organization, draft, by=by, pin_anew=data["pin_anew"], reason=data["reason"])
    return draft.name, changed


def _draft(form: OrganizationForm, organization: Organization | None) -> Draft:
    data = form.cleaned_data
    credentials = organizations.completed(organization, data["api_key"], data["application_key"])
    return Draft(data["name"], data["site"], credentials, data["requires_approval"], Spelling(data["spelling"]))


def _field_of(error: NotSaved) -> str | None:
    return "name" if isinstance(error, organizations.NameTaken | organizations.OfDrill) else None


def _saved_sentence(name: str, found: Verification | None) -> str:
    if found is None or found.outcome is verification.VerifyOutcome.READS:
        return f"{name}: saved." if found is None else f"{name}: saved. The keys read."
    return f"{name}: saved, not verified: {found.reason}. It is read again by itself."


def _verified(request: HttpRequest, wanted: Iterable[Organization], then: HttpResponse) -> HttpResponse:
    try:
        found = verification.verify_all(wanted, by=actor_of(request))
    except KeyRingUnusable as error:
        messages.error(request, f"Not verified. {error}")
        return then
    for name, result in found.items():
        if result.outcome is verification.VerifyOutcome.READS:
            messages.success(request, f"{name}: the keys read.")
        else:
            messages.error(request, f"{name}: {result.outcome.word.lower()}: {result.reason}.")
    return then


def _list(request: HttpRequest, *, status: int = 200, **context: Any) -> HttpResponse:
    page = Paginator(Organization.objects.real().select_related("snapshot").by_name(), ON_A_PAGE).get_page(
        request.GET.get("page")
    )
    return render(request, "organizations/list.html", {"page": page, **context}, status=status)
