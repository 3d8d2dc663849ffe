"""What does a view say about who may reach it? The words for it; `web.access` holds every request against them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from .people import Action
from .tokens import Scope

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC = "public"


@dataclass(frozen=True)
class Machines:
    """How a program may reach a view instead of a person: with a token of a scope, or from this very machine."""

    scope: Scope
    from_loopback: bool = False


def requires(
    action: Action, *, says: Callable[..., Action] | None = None, or_machines: Machines | None = None
) -> Callable[[View], View]:
    """Declare what a person must be allowed to do to reach a view.

    Where what is behind an address needs more, `says` gives that, so that a refusal names who can help at all.
    """

    def declare(view: View) -> View:
        view.access = action  # type: ignore[attr-defined]
        view.says_needed = says  # type: ignore[attr-defined]
        view.machines = or_machines  # type: ignore[attr-defined]
        return view

    return declare


def public(view: View) -> View:
    """Declare that a view is for everybody, signed in or not."""
    view.access = PUBLIC  # type: ignore[attr-defined]
    return view


def access_of(view: Callable[..., Any]) -> Action | str | None:
    """Give what a view declares; None where it declares nothing."""
    declared: Action | str | None = getattr(view, "access", None)
    return declared


def machines_of(view: Callable[..., Any]) -> Machines | None:
    """Give how programs may reach a view; None: not at all."""
    declared: Machines | None = getattr(view, "machines", None)
    return declared
