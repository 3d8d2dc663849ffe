"""Which role do somebody's groups at single sign-on stand for, and is what it says fresh?"""

from __future__ import annotations

from collections.abc import Sequence

from .people import Role

SKEW = 60.0
"""Seconds by which the clock of single sign-on may be off."""

RoleMap = Sequence[tuple[str, Role]]


class InvalidRoles(ValueError):
    """A text is no map from groups to roles."""


def roles_in(text: str) -> RoleMap:
    """Read `group=role,group=role`. Raises `InvalidRoles`."""
    found: list[tuple[str, Role]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        group, equals, word = (piece.strip() for piece in part.rpartition("="))
        if not (group and equals) or word.upper() not in list(Role):
            raise InvalidRoles(f"{part!r} is no group=role, with a role of: {', '.join(role.word for role in Role)}.")
        found.append((group, Role(word.upper())))
    return found


def role_of(groups: object, roles: RoleMap) -> Role | None:
    """Give the role that comes first in the map of those that the groups stand for; None: nobody lets them in."""
    held = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
    return next((role for group, role in roles if group in held), None)


def signed_in_since(auth_time: object, *, begun: float, now: float) -> bool:
    """Tell whether single sign-on says that somebody signed in there after a moment; it has to say when."""
    if type(auth_time) not in (int, float):
        return False
    return begun - SKEW <= auth_time <= now + SKEW  # type: ignore[operator]
