from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from django.conf import settings
from django.db import transaction

from hamr_portal.crypto import create_ring
from hamr_portal.domain.audit import Event
from hamr_portal.models import AuditEntry
from hamr_portal.services import audit, keys
from tests import factories

pytestmark = pytest.mark.django_db

BASE_DIR = Path(__file__).resolve().parents[3]
NOW = datetime.fromisoformat("2026-03-15T03:06:32+00:00")


@pytest.fixture(autouse=True)
def _three_days() -> None:
    for days in (-1, 0, 1):
        with time_machine.travel(NOW + timedelta(days=days), tick=False), transaction.atomic():
            audit.append(Event.ORGANIZATION_EDITED, by=factories.ADMIN, organization="acme", reason="Grüße")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [1, 2, 3]),
        (["--since", "2026-03-15"], [2, 3]),
        (["--until", "2026-03-15"], [1, 2]),
        (["--since", "2026-03-15", "--until", "2026-03-15"], [2]),
        (["--since", "2026-03-15T03:06:33Z"], [3]),
        (["--until", "2026-03-15T04:06:32+01:00"], [1, 2]),
        (["--until", "2026-03-15T03:06:31"], [1]),
    ],
)
def test_the_entries_of_a_time_are_written(run, words, expected):
    ended = run("export_audit_log", "--format", "jsonl", *words)

    entries = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.exit == 0
    assert [entry["seq"] for entry in entries[:-1]] == expected
    assert entries[-1]["entries"] == len(expected)


def test_csv_is_written_as_it_is(run):
    ended = run("export_audit_log", "--format", "csv")

    lines = ended.out.split("\r\n")
    assert lines[0].startswith('\ufeff"seq","at",')
    assert [line[:4] for line in lines[1:]] == ['"1",', '"2",', '"3",', ""]


def test_it_is_on_the_record_who_exported_at_the_shell(run):
    run("export_audit_log", "--format", "csv", "--since", "2026-03-15")

    begun = AuditEntry.objects.get(event="audit.exported", outcome="BEGUN")
    assert begun.actor_kind == "command"
    assert json.loads(begun.data) == {"format": "csv", "filters": {"since": "2026-03-15"}}


@pytest.mark.parametrize(
    "time", ["yesterday", "2026-13-01", "2026-3-15", "", "9999-12-31", "0001-01-01T00:00:00+10:00", "20260315T99"]
)
@pytest.mark.parametrize("option", ["--since", "--until"])
def test_what_is_no_time_is_said_and_nothing_is_exported(run, option, time):
    ended = run("export_audit_log", "--format", "csv", option, time)

    assert ended.exit == 1
    assert ended.out == ""
    assert ended.error == f"{option} {time!r} is no time. Write 2026-03-15, or 2026-03-15T03:06:32Z."
    assert not AuditEntry.objects.filter(event="audit.exported").exists()


def test_without_the_key_nothing_is_exported(run):
    settings.KEY_RING_FILE.unlink()

    ended = run("export_audit_log", "--format", "csv")

    assert ended.exit == 1
    assert ended.out == ""
    assert ended.error.startswith("Nothing was done, for it cannot be put on the record.")


# --- in processes of their own ----------------------------------------------------------------------------------


def manage(folder: Path, *words: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """Start a command in an installation that keeps everything in a folder, in a place with another language."""
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "hamr_portal.settings",
        "ENV_FILE": "",
        "SECRET_KEY": "tests-only",
        "HTTPS": "false",
        "DATABASE_URL": f"sqlite:///{folder}/portal.sqlite3",
        "KEY_RING_FILE": str(folder / "keyring"),
        "SPOOL_FILE": str(folder / "spool.jsonl"),
        "ANCHOR_FILE": str(folder / "anchors.jsonl"),
        "PORTAL_PASSWORD": "correct horse battery",
        "PYTHONIOENCODING": "latin-1",
    }
    command = [sys.executable, "-W", "error", "manage.py", *words]
    return subprocess.Popen(command, cwd=BASE_DIR, env=environment, stdout=stdout, stderr=subprocess.PIPE)


def done(folder: Path, *words: str) -> tuple[bytes, bytes]:
    out, err = (process := manage(folder, *words)).communicate()
    assert process.returncode == 0, err
    return out, err


@pytest.mark.slow
def test_a_shell_gets_the_export_alone_verifies_it_and_may_close_the_pipe(tmp_path, settings):
    settings.KEY_RING_FILE = tmp_path / "keyring"
    create_ring(settings.KEY_RING_FILE)
    done(tmp_path, "migrate")
    done(tmp_path, "add_person", "mara@halden.example", "--role", "admin")

    out, err = done(tmp_path, "export_audit_log", "--format", "jsonl")
    table, _ = done(tmp_path, "export_audit_log", "--format", "csv")
    closed = manage(tmp_path, "export_audit_log", "--format", "csv")
    assert closed.stdout is not None
    closed.stdout.close()
    closed.stdout = None
    _, said = closed.communicate()

    lines = [json.loads(line) for line in out.decode().splitlines()]
    assert [line.get("event") for line in lines] == ["person.added", None]
    assert lines[-1]["entries"] == 1
    assert b'"audit": "head"' in err
    assert b'"audit": "head"' not in table
    assert table.startswith(b"\xef\xbb\xbf")
    assert (closed.returncode, b"Traceback" in said, b"BrokenPipe" in said) == (0, False, False)
    export, known = tmp_path / "export.jsonl", tmp_path / "keys.json"
    export.write_bytes(out)
    known.write_text(json.dumps({name: key.hex() for name, key in keys.ring().audit_keys.items()}))
    alone = [sys.executable, "-I", "hamr_portal/domain/chain.py", str(export), "--keys", str(known)]
    verified = subprocess.run(alone, cwd=BASE_DIR, capture_output=True, text=True, check=False)
    assert (verified.returncode, "entries are whole" in verified.stdout) == (0, True)
