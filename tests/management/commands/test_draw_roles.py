"""docs/roles.md is what the table of the domain and the routes say, or CI fails."""

from __future__ import annotations

import pytest

from hamr_portal.domain.people import ALLOWED, Action, Role, may
from hamr_portal.management.role_drawing import drawing, pages


@pytest.fixture
def docs(tmp_path, settings):
    """A repository of its own, with a folder for docs."""
    settings.BASE_DIR = tmp_path
    (tmp_path / "docs").mkdir()
    return tmp_path / "docs" / "roles.md"


def cells_of(beginning: str) -> list[str]:
    (line,) = [line for line in drawing().splitlines() if line.startswith(beginning)]
    return line[1:-1].split("|")


def test_the_page_in_the_repository_is_up_to_date(run):
    ended = run("draw_roles", "--check")

    assert (ended.exit, ended.error) == (0, "")


def test_it_draws_where_nothing_is_and_then_it_is_up_to_date(run, docs):
    assert run("draw_roles", "--check").exit == 1

    run("draw_roles")

    assert run("draw_roles", "--check").exit == 0


def test_a_page_that_was_edited_by_hand_is_found_and_left_alone(run, docs):
    run("draw_roles")
    docs.write_text(docs.read_text().replace("yes", "no", 1))
    edited = docs.read_text()

    ended = run("draw_roles", "--check")

    assert ended.exit == 1
    assert ended.error == f"{docs} is not what the table says. Run: manage.py draw_roles"
    assert docs.read_text() == edited


@pytest.mark.parametrize("action", list(Action))
def test_every_action_has_words_and_a_cell_for_each_role(action):
    _, words, *cells = cells_of(f"| `{action}`")

    assert words.strip()
    assert [cell.strip() == "yes" for cell in cells] == [may(role, action) for role in Role]


def test_every_page_is_told_with_what_it_takes_and_who_opens_it():
    for page in pages():
        _, methods, needs, *cells = cells_of(f"| `/{page.route}` |")
        assert methods.strip() == ", ".join(page.methods)
        assert page.is_public or f"`{page.access}`" in needs
        assert [cell.strip() == "yes" for cell in cells] == [page.is_for(role) for role in Role]


def test_every_role_has_a_summary():
    for role in ALLOWED:
        assert cells_of(f"| {role.word} |")[1].strip()


def test_every_page_is_known_by_a_name_once_and_takes_something():
    names = [page.name for page in pages()]

    assert len(names) == len(set(names))
    assert all(page.methods for page in pages())


def test_what_takes_a_method_is_read_off_the_views_themselves():
    methods = {page.name: page.methods for page in pages()}

    assert methods["dashboard"] == ("GET",)
    assert methods["person_disable"] == ("POST",)
    assert methods["organization_new"] == ("GET", "POST")
    assert methods["account_login"] == ("GET", "HEAD", "POST")
