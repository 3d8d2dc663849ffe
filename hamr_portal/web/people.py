"""Pages about people: who is here, with which role, how they sign in, and what an admin may do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from hamr_portal.domain.organizations import Secret
from hamr_portal.domain.people import Action
from hamr_portal.models import Person
from hamr_portal.services import announcements, people, roster

from . import access
from .access import requires
from .actors import actor_of
from .people_forms import PersonForm, RoleForm
from .step_up import kept, steps_up

ON_A_PAGE = 50


@requires(Action.MANAGE_PEOPLE)
@require_GET
def index(request: HttpRequest) -> HttpResponse:
    """List everybody: role, last sign-in, second factors, sessions."""
    return _list(request)


@requires(Action.MANAGE_PEOPLE)
@steps_up("person_add", keeps=("email", "role"))
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Let somebody in, and show their first password: the answer to this POST is the only place where it ever is.

    A redirect would have to keep it somewhere until it is shown: in an address, a session or a message. No cache keeps
    this page, and loading it anew adds nobody a second time.
    """
    if request.method != "POST":
        return _list(request, form=PersonForm(initial=kept(request).of("person_add")))
    form = PersonForm(request.POST)
    if form.is_valid():
        try:
            person, password = people.invite(
                form.cleaned_data["email"], form.cleaned_data["role"], by=actor_of(request)
            )
            return _given(request, person, password)
        except people.PersonExists as error:
            form.add_error("email", str(error))
        except people.NotAllowed as error:
            raise access.NotAllowed(str(error)) from None
    return _list(request, form=form, status=422)


@requires(Action.MANAGE_PEOPLE)
@require_GET
def detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one person, with what may be done about them."""
    person = _person(pk)
    shown = {"role": person.role, "was": person.role} | kept(request).of("person_role")
    return _list(request, role_form=RoleForm(initial=shown), chosen=person)


@requires(Action.MANAGE_PEOPLE)
@steps_up("person", keeps=("role",))
@require_POST
def change_role(request: HttpRequest, pk: int) -> HttpResponse:
    """Give somebody another role."""
    person, form = _person(pk), RoleForm(request.POST)
    if not form.is_valid():
        return _list(request, role_form=form, chosen=person, status=422)
    words = f"{person.email}: is {form.words['role'].word} now. All admins are told."
    return _done(request, person, "Role not changed", words, people.change_role, **form.words)


@requires(Action.MANAGE_PEOPLE)
@steps_up("person")
@require_POST
def disable(request: HttpRequest, pk: int) -> HttpResponse:
    """Keep somebody out."""
    person = _person(pk)
    words = f"{person.email}: disabled, and signed out everywhere. All admins are told."
    return _done(request, person, "Not disabled", words, people.disable)


@requires(Action.MANAGE_PEOPLE)
@steps_up("person")
@require_POST
def enable(request: HttpRequest, pk: int) -> HttpResponse:
    """Let somebody in again."""
    person = _person(pk)
    return _done(request, person, "Not enabled", f"{person.email}: enabled. All admins are told.", people.enable)


@requires(Action.MANAGE_PEOPLE)
@steps_up("person")
@require_POST
def reset_factors(request: HttpRequest, pk: int) -> HttpResponse:
    """Take away the second factors that somebody lost."""
    person = _person(pk)
    words = f"{person.email}: second factors taken away. All admins are told. Next: they set up a new one."
    return _done(request, person, "Not reset", words, people.reset_factors)


@requires(Action.MANAGE_PEOPLE)
@steps_up("person")
@require_POST
def end_sessions(request: HttpRequest, pk: int) -> HttpResponse:
    """Sign somebody out everywhere."""
    person = _person(pk)
    return _done(request, person, "Not ended", f"{person.email}: signed out everywhere.", people.end_sessions)


@requires(Action.MANAGE_PEOPLE)
@steps_up("person")
@require_POST
def set_password(request: HttpRequest, pk: int) -> HttpResponse:
    """Give somebody who forgot theirs a new first password, shown once as in `new`.

    Loading the answer anew gives them yet another one, and only that one is good then; the browser asks first.
    """
    person = _person(pk)
    try:
        return _given(request, person, people.give_password(person, by=actor_of(request)))
    except people.NotAllowed as error:
        raise access.NotAllowed(str(error)) from None
    except people.NotYourself as error:
        messages.error(request, f"No new password. {error}")
    return redirect("person", pk)


@requires(Action.OWN_ACCOUNT)
@require_POST
def seen(request: HttpRequest) -> HttpResponse:
    """Put down that somebody saw what they were told of people."""
    newest = request.POST.get("newest", "")
    if newest.isascii() and newest.isdigit():
        announcements.see(min(int(newest), 2**62), by=actor_of(request))
    return redirect(access.page_of(request))


def _person(pk: int) -> Person:
    return get_object_or_404(Person, pk=pk)


def _done(
    request: HttpRequest, person: Person, not_done: str, words: str, do: Callable[..., object], **how: Any
) -> HttpResponse:
    """Do it, and go to the person's page, which says what came of it."""
    try:
        do(person, by=actor_of(request), **how)
        messages.success(request, words)
    except people.NotAllowed as error:
        raise access.NotAllowed(str(error)) from None
    except (people.NotYourself, people.LastAdmin) as error:
        messages.error(request, f"{not_done}. {error}")
    except people.AlreadyMoved as error:
        messages.warning(request, f"{not_done}. {error}")
    return redirect("person", person.pk)


def _given(request: HttpRequest, person: Person, password: Secret) -> HttpResponse:
    return render(request, "people/given.html", {"about": person, "password": password})


def _list(request: HttpRequest, *, status: int = 200, chosen: Person | None = None, **context: Any) -> HttpResponse:
    page = Paginator(roster.everybody(), ON_A_PAGE).get_page(request.GET.get("page"))
    shown = roster.listed([*page.object_list, *([chosen] if chosen else [])], now=timezone.now())
    context |= {"page": page, "people": shown[: len(page.object_list)], "chosen": shown[-1] if chosen else None}
    return render(request, "people/list.html", context, status=status)
