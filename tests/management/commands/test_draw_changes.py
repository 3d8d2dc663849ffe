"""docs/changes.md is what the tables of the domain say, or CI fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hamr_portal.domain.changes import OFFERED, ChangeStatus, Move
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.management.change_drawing import drawing

BASE_DIR = Path(__file__).resolve().parents[3]


@pytest.fixture
def docs(tmp_path, settings):
    """A repository of its own, with a folder for docs."""
    settings.BASE_DIR = tmp_path
    (tmp_path / "docs").mkdir()
    return tmp_path / "docs" / "changes.md"


def test_the_page_in_the_repository_is_up_to_date(run):
    ended = run("draw_changes", "--check")

    assert (ended.exit, ended.error) == (0, "")


def test_it_draws_where_nothing_is_and_then_it_is_up_to_date(run, docs):
    assert run("draw_changes", "--check").exit == 1

    run("draw_changes")

    assert run("draw_changes", "--check").exit == 0


def test_a_page_that_was_edited_by_hand_is_found_and_left_alone(run, docs):
    run("draw_changes")
    docs.write_text(docs.read_text().replace("already so", "the same"))
    edited = docs.read_text()

    ended = run("draw_changes", "--check")

    assert ended.exit == 1
    assert ended.error == f"{docs} is not what the tables say. Run: manage.py draw_changes"
    assert docs.read_text() == edited


def test_every_arrow_is_drawn_and_told():
    page = drawing()

    for move in Move:
        told = [line for line in page.splitlines() if line.startswith("|") and f"`{move.name}`" in line]
        assert len(told) == 1
        assert f"`{move.event}`" in told[0]
        for status in move.leaves:
            assert f"    {status} --> {move.reaches}: {move.happens}\n" in page
            assert status in told[0]


def test_every_status_has_its_words_and_every_step_its_kind():
    lines = drawing().splitlines()

    for status in ChangeStatus:
        assert any(line.startswith(f"| {status} | ") for line in lines)
    steps = [line.split(" | ") for line in lines if line.startswith(tuple(f"| {each.name} | " for each in HamrStatus))]
    assert len(steps) == len(HamrStatus)
    assert {len(cells) for cells in steps} == {1 + len(OFFERED)}


def test_the_diagram_breaks_no_line_of_mermaid():
    diagram = drawing().partition("```mermaid\n")[2].partition("\n```")[0]

    assert diagram.startswith("stateDiagram-v2\n")
    for line in diagram.splitlines()[1:]:
        arrow, _, label = line.partition(": ")
        assert arrow.count("-->") == 1
        assert not set(label) & set(":;#{}<>")


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_text_is_the_same_however_python_orders_its_sets(seed):
    code = "from hamr_portal.management.change_drawing import drawing; print(drawing())"
    setup = "import django; django.setup(); "

    ended = subprocess.run(
        [sys.executable, "-c", setup + code],
        cwd=BASE_DIR,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONHASHSEED": seed,
            "ENV_FILE": "",
            "SECRET_KEY": "x" * 50,
            "DATABASE_URL": "sqlite://:memory:",
            "DJANGO_SETTINGS_MODULE": "hamr_portal.settings",
        },
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stdout == drawing() + "\n"
