from __future__ import annotations

import pytest

from hamr_portal.domain.people import Role
from hamr_portal.domain.sso import SKEW, InvalidRoles, role_of, roles_in, signed_in_since

ROLES = [("admins", Role.ADMIN), ("on-call", Role.OPERATOR), ("all", Role.VIEWER)]
BEGUN, NOW = 1_000_000.0, 1_000_030.0


# --- which group stands for which role --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" , ", []),
        ("admins=admin,on-call=operator,all=viewer", ROLES),
        (" admins = Admin , on-call=OPERATOR,, all=viewer,", ROLES),
        ("cn=sre=approver", [("cn=sre", Role.APPROVER)]),
    ],
)
def test_a_map_is_read_in_its_order_whatever_blanks_and_case(text: str, expected: list[tuple[str, Role]]) -> None:
    assert roles_in(text) == expected


@pytest.mark.parametrize("part", ["admins", "=admin", "admins=", "admins=root", "admin = "])
def test_what_maps_no_group_to_a_role_is_refused_by_name(part: str) -> None:
    with pytest.raises(InvalidRoles, match=f"^'{part.strip()}' is no group=role, with a role of: viewer, "):
        roles_in(f"all=viewer, {part}")


# --- which role somebody has ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["all", "on-call"], Role.OPERATOR),
        (["all"], Role.VIEWER),
        ("admins", Role.ADMIN),
        (["strangers"], None),
        ("admins2", None),
        (["Admins", "admin"], None),
        ([["admins"], {"admins": True}, 1], None),
        ({"admins": True}, None),
        (None, None),
        (7, None),
        ([], None),
    ],
    ids=str,
)
def test_of_somebodys_groups_the_first_of_the_map_counts_and_nothing_but_groups_does(
    groups: object, expected: Role | None
) -> None:
    assert role_of(groups, ROLES) is expected


def test_without_a_map_no_group_stands_for_anything() -> None:
    assert role_of(["admins"], []) is None


# --- how fresh a sign-in is -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth_time", "is_fresh"),
    [
        (BEGUN, True),
        (int(NOW), True),
        (BEGUN - SKEW, True),
        (NOW + SKEW, True),
        (BEGUN - SKEW - 1, False),
        (NOW + SKEW + 1, False),
        (float("nan"), False),
        (float("inf"), False),
        (str(NOW), False),
        (None, False),
    ],
    ids=str,
)
def test_a_sign_in_is_fresh_where_it_is_told_to_be_between_the_question_and_now(
    auth_time: object, is_fresh: bool
) -> None:
    assert signed_in_since(auth_time, begun=BEGUN, now=NOW) is is_fresh


def test_a_yes_is_no_moment() -> None:
    assert not signed_in_since(True, begun=0, now=1)
