from __future__ import annotations

from hamr_portal.domain.access import PUBLIC, Machines, access_of, machines_of, public, requires
from hamr_portal.domain.people import Action
from hamr_portal.domain.tokens import Scope


def page() -> str:
    return "what the page shows"


def test_a_view_that_declares_nothing_is_for_nobody_and_no_program() -> None:
    assert access_of(lambda: None) is None
    assert machines_of(lambda: None) is None


def test_a_declared_view_says_what_it_takes_and_shows_what_it_showed() -> None:
    machines = Machines(Scope.METRICS, from_loopback=True)

    view = requires(Action.OWN_ACCOUNT, or_machines=machines)(lambda: page())

    assert view() == page()
    assert access_of(view) is Action.OWN_ACCOUNT
    assert machines_of(view) is machines


def test_what_is_for_people_is_for_no_program_unless_it_says_so() -> None:
    view = requires(Action.OWN_ACCOUNT)(lambda: page())

    assert machines_of(view) is None


def test_what_is_for_everybody_says_so() -> None:
    view = public(lambda: page())

    assert view() == page()
    assert access_of(view) == PUBLIC
