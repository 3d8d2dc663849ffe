from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

from hamr_portal.domain.audit import Event
from hamr_portal.models import AuditEntry
from tests import factories
from tests.faults import database
from tests.shell import by_a_shell

pytestmark = pytest.mark.django_db


def test_the_file_is_written_whole_for_whoever_carries_it_away(run, tmp_path):
    factories.organization("acme")
    path = tmp_path / "pack.html"

    ended = run("offline_pack", "--out", str(path))

    assert ended.exit == 0
    assert path.read_text().endswith("</html>\n")
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.glob("*pack*")) == [path]
    assert f"entry {AuditEntry.objects.get().seq} of the audit log" in ended.out
    assert "No request is prepared for: acme." in ended.out


@by_a_shell
def test_the_check_that_it_tells_passes_and_after_an_edit_fails(run, tmp_path):
    path = tmp_path / "it's a pack.html"
    ended = run("offline_pack", "--out", str(path))
    (check,) = re.findall(r"^Check it with: (.*)$", ended.out, re.MULTILINE)

    good = subprocess.run(["bash", "-c", check], capture_output=True, text=True, check=False)
    path.write_text(path.read_text().replace("PASSIVE", "ACTIVE", 1))
    bad = subprocess.run(["bash", "-c", check], capture_output=True, check=False)

    assert (good.returncode, good.stdout) == (0, "-: OK\n")
    assert bad.returncode == 1


def test_without_a_name_it_goes_to_standard_output_alone(run):
    ended = run("offline_pack")

    assert ended.exit == 0
    assert ended.out.startswith("<!doctype html>")
    assert ended.out.endswith("</html>\n")
    assert "Check it with: sed '$d' FILE" in ended.err


def test_it_is_on_the_record_who_made_it_at_the_shell(run):
    run("offline_pack")

    entry = AuditEntry.objects.get(event="offline_pack.made")
    assert entry.actor_kind == "command"


def an_older_one(tmp_path: Path) -> Path:
    path = tmp_path / "pack.html"
    path.write_text("the one of yesterday")
    return path


def test_what_cannot_be_recorded_is_not_written_and_the_older_file_stays(run, tmp_path):
    path = an_older_one(tmp_path)
    settings.KEY_RING_FILE.unlink()

    ended = run("offline_pack", "--out", str(path))

    assert ended.exit == 1
    assert path.read_text() == "the one of yesterday"
    assert list(tmp_path.glob(".pack*")) == []


def test_a_database_that_fails_is_said_and_the_older_file_stays(run, tmp_path):
    path = an_older_one(tmp_path)

    with database.refusing(Event.OFFLINE_PACK_MADE):
        ended = run("offline_pack", "--out", str(path))

    assert ended.exit == 1
    assert ended.error.startswith("Not made: the database failed")
    assert path.read_text() == "the one of yesterday"


def test_a_place_that_takes_no_file_is_said_and_nothing_is_recorded(run, tmp_path):
    ended = run("offline_pack", "--out", str(tmp_path / "nowhere" / "pack.html"))

    assert ended.exit == 1
    assert ended.error.endswith("pack.html cannot be written: No such file or directory.")
    assert not AuditEntry.objects.exists()


def test_a_folder_is_no_place_for_it(run, tmp_path):
    (tmp_path / "pack.html").mkdir()

    ended = run("offline_pack", "--out", str(tmp_path / "pack.html"))

    assert ended.exit == 1
    assert ended.error.endswith("pack.html cannot be written: Is a directory.")
    assert [path.name for path in tmp_path.glob("*pack*")] == ["pack.html"]
