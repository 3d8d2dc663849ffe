from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import DatabaseError
from pytest_django.fixtures import Settings

from hamr_portal.domain import chain
from hamr_portal.domain.audit import Event
from hamr_portal.domain.chain import checkpoint_in
from hamr_portal.models import AuditEntry
from hamr_portal.services import audit, keys
from tests.faults import database
from tests.services.records import entries
from tests.services.tampering import write

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_signed_line_is_printed_and_nothing_is_recorded(run, capsys: pytest.CaptureFixture[str]) -> None:
    write(3)
    capsys.readouterr()

    ended = run("checkpoint_audit_log")

    made = checkpoint_in(ended.out)
    assert (ended.exit, ended.err) == (0, "")
    assert ended.out.count("\n") == 1
    assert made is not None
    assert made.is_genuine(keys.ring().audit_keys)
    assert (made.seq, made.hash) == (3, audit.head().hash)
    assert AuditEntry.objects.count() == 3
    assert capsys.readouterr().out == ""


def test_an_empty_log_has_nothing_to_sign(run) -> None:
    ended = run("checkpoint_audit_log")

    assert (ended.exit, ended.out) == (1, "")
    assert "nothing to sign yet" in ended.error


def test_without_a_ring_nothing_can_be_signed(run, settings: Settings) -> None:
    write(1)
    settings.KEY_RING_FILE.unlink()

    ended = run("checkpoint_audit_log")

    assert (ended.exit, ended.out) == (1, "")
    assert ended.error.startswith("Nothing can be signed. The key ring")


def test_the_keys_for_the_verifier_are_written_for_its_owner_alone(run, tmp_path: Path) -> None:
    write(3)
    file = tmp_path / "keys.json"

    ended = run("checkpoint_audit_log", "--keys-to", str(file))

    assert ended.exit == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    given = {name: bytes.fromhex(key) for name, key in json.loads(file.read_text()).items()}
    assert given == keys.ring().audit_keys
    assert not set(given.values()) & set(keys.ring().keys.values())
    (entry,) = entries(Event.LOG_KEYS_GIVEN)
    assert entry.data == {"keys": list(given)}
    assert checkpoint_in(ended.out) is not None
    assert checkpoint_in(ended.out).seq == 4  # type: ignore[union-attr]


def test_keys_that_cannot_be_recorded_do_not_leave(run, settings: Settings, tmp_path: Path) -> None:
    write(1)
    with database.refusing(Event.LOG_KEYS_GIVEN), pytest.raises(DatabaseError):
        run("checkpoint_audit_log", "--keys-to", str(tmp_path / "keys.json"))
    settings.KEY_RING_FILE.unlink()

    ended = run("checkpoint_audit_log", "--keys-to", str(tmp_path / "keys.json"))

    assert ended.error.startswith("Nothing can be signed. The key ring")
    assert not (tmp_path / "keys.json").exists()


def test_a_file_that_exists_is_kept(run, tmp_path: Path) -> None:
    write(1)
    file = tmp_path / "keys.json"
    file.write_text("mine")

    ended = run("checkpoint_audit_log", "--keys-to", str(file))

    assert (ended.exit, ended.out) == (1, "")
    assert "exists, and is kept" in ended.error
    assert entries(Event.LOG_KEYS_GIVEN) == []
    assert file.read_text() == "mine"


def test_a_file_that_cannot_be_written_is_named(run, tmp_path: Path) -> None:
    ended = run("checkpoint_audit_log", "--keys-to", str(tmp_path / "missing" / "keys.json"))

    assert ended.exit == 1
    assert "keys.json cannot be written: No such file or directory." in ended.error


def test_with_the_keys_and_the_line_a_verifier_of_its_own_finds_an_export_whole(run, tmp_path: Path) -> None:
    write(5)
    file = tmp_path / "keys.json"
    (tmp_path / "checkpoints").write_text(run("checkpoint_audit_log", "--keys-to", str(file)).out)
    lines = [json.dumps(audit.plain(entry)) + "\n" for entry in AuditEntry.objects.order_by("seq")]
    assert chain.__file__ is not None

    codes = []
    for some in (lines, [*lines[:2], lines[2].replace("entry 2", "entry 7"), *lines[3:]], lines[:4]):
        (tmp_path / "export").write_text("".join([*some, json.dumps({"entries": len(some)}) + "\n"]))
        command = [sys.executable, "-I", "-S", chain.__file__, str(tmp_path / "export"), "--keys", str(file)]
        command += ["--checkpoints", str(tmp_path / "checkpoints")]
        codes.append(subprocess.run(command, env={"PATH": os.environ["PATH"]}, check=False).returncode)

    assert codes == [0, 1, 1]
