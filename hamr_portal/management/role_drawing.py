"""Who may do what, and open which page, on paper? Drawn from `domain.people` and the routes, the same each time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from inspect import getclosurevars, unwrap
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

from hamr_portal.domain.access import PUBLIC, access_of, machines_of
from hamr_portal.domain.people import NEEDS_FRESH_SIGN_IN, Action, Role, may
from hamr_portal.templatetags._people import ACTIONS, SUMMARIES

METHODS = ("GET", "HEAD", "POST")
"""All that any page takes; the rest is refused before a page is asked."""

_INTRODUCTION = """\
# Roles

Drawn by `manage.py draw_roles` from the table in `hamr_portal/domain/people.py` and from what every view declares.
Change those, then draw again.

A person has one role and nothing beyond it. There is no superuser, no group, no permission of Django's that counts, and
no admin site. What is not allowed below is refused. Who is disabled, or has no role, may do nothing but sign out."""

_FRESH = """\
A star says: only with a sign-in that is no older than `STEP_UP_SECONDS`. Whether somebody is still allowed to is asked
again at the moment when a request would be sent, of the database. Nobody approves a change of their own, whatever their
role; nobody changes their own role or disables themself; the last admin who can sign in stays one."""

_PAGES = """\
Every address, with the methods that it takes and what it asks for. Any other method is answered with 405. Who is not
signed in, or was disabled since, is led to the sign-in by all but the public pages; a role without a yes gets 403."""


@dataclass(frozen=True)
class Page:
    """An address: its name, its pattern, the methods that it takes, and what it declares: an action, or `public`.

    With a token of a scope programs reach it as well.
    """

    name: str
    route: str
    methods: tuple[str, ...]
    access: Action | None
    is_public: bool
    scope: str = ""

    def is_for(self, role: Role | None) -> bool:
        """Tell whether a person of this role is let in."""
        return self.is_public or (self.access is not None and may(role, self.access))


def pages() -> list[Page]:
    """Give every address that the portal answers at, in the order in which they are looked through."""
    return list(_pages(get_resolver().url_patterns, ""))


def drawing() -> str:
    """Give the whole page as Markdown."""
    roles = [role.word for role in Role]
    parts = (
        _INTRODUCTION,
        "## What a role is for",
        _table(("Role", "In short"), ((role.word, SUMMARIES[role]) for role in Role)),
        "## What a role allows",
        _FRESH,
        _table(("Action", "", *roles), _actions()),
        "## Which pages a role opens",
        _PAGES,
        _table(("Address", "Methods", "Needs", *roles), _routes()),
    )
    return "\n\n".join(parts) + "\n"


def _pages(patterns: Iterable[URLPattern | URLResolver], prefix: str) -> Iterator[Page]:
    for each in patterns:
        route = prefix + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from _pages(each.url_patterns, route)
            continue
        access = access_of(each.callback)
        action = Action(access) if access in list(Action) else None
        machines = machines_of(each.callback)
        scope = machines.scope.word if machines is not None else ""
        yield Page(str(each.name), route, _methods(each.callback), action, access == PUBLIC, scope)


def _methods(view: Callable[..., Any]) -> tuple[str, ...]:
    """Give what a view takes: what a decorator of Django's says, or which methods the view of a class has."""
    wrapped: Callable[..., Any] | None = view
    while wrapped is not None:
        named = getclosurevars(wrapped).nonlocals.get("request_method_list")
        if named is not None:
            return tuple(method for method in METHODS if method in named)
        wrapped = getattr(wrapped, "__wrapped__", None)
    of_class = getattr(view, "view_class", None) or getattr(unwrap(view), "view_class", None)
    if of_class is None:
        return METHODS
    return tuple(method for method in METHODS if hasattr(of_class, method.lower().replace("head", "get")))


def _actions() -> Iterator[tuple[str, ...]]:
    for action, words in ACTIONS.items():
        star = " \\*" if action in NEEDS_FRESH_SIGN_IN else ""
        yield (f"`{action}`{star}", words, *("yes" if may(role, action) else "" for role in Role))


def _routes() -> Iterator[tuple[str, ...]]:
    for page in pages():
        needs = "nothing: public" if page.is_public else f"`{page.access}`"
        needs += f", or a token for {page.scope}" if page.scope else ""
        yes = ("yes" if page.is_for(role) else "" for role in Role)
        yield (f"`/{page.route}`", ", ".join(page.methods), needs, *yes)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(heads)
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
