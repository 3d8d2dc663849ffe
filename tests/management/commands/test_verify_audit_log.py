from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from hamr_portal.crypto import create_ring
from hamr_portal.domain.audit import Event
from hamr_portal.models import guards
from hamr_portal.services import anchors, audit, integrity
from tests import factories
from tests.services.records import entries
from tests.services.tampering import cut, edit, write

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Give a file with a checkpoint of six entries, kept on another machine."""
    write(6)
    file = tmp_path / "elsewhere"
    file.write_text(f"{anchors.checkpoint(audit.head()).line()}\n\n")
    return file


def test_a_whole_log_is_counted_and_it_is_on_the_record(run, capsys: pytest.CaptureFixture[str]) -> None:
    write(1200)
    head = audit.head()
    capsys.readouterr()

    ended = run("verify_audit_log")

    assert (ended.exit, ended.error) == (0, "")
    assert ended.out == f"1,200 entries are whole, up to entry 1200, hash {head.hash}.\n"
    (entry,) = entries(Event.LOG_VERIFIED)
    assert (entry.outcome, entry.data) == ("WHOLE", {"entries": 1200, "head": 1200})
    heads = capsys.readouterr()
    assert (heads.out, heads.err.count('"audit": "head"')) == ("", 1)


def test_the_first_bad_entry_is_named_with_what_is_wrong_with_it(run) -> None:
    write(9)
    edit(4, reason="another")
    edit(6, reason="another")

    ended = run("verify_audit_log")

    assert ended.exit == 1
    assert ended.out.splitlines() == [
        "Entry 4: its content is not what was signed.",
        "3 entries before it are whole.",
        "No change is sent until an admin adopts it on /audit/, with a reason.",
    ]
    (entry,) = entries(Event.LOG_VERIFIED)
    assert (entry.outcome, entry.data["broken"]) == ("BROKEN", 4)
    assert len(entries(Event.LOG_ALARM)) == 1


def test_what_else_puts_a_log_in_doubt_is_told(run) -> None:
    write(9)
    integrity.verify_and_keep(by=factories.WORKER)
    cut(after=6)

    ended = run("verify_audit_log")

    assert ended.exit == 1
    assert ended.out.splitlines()[0].startswith("6 entries are whole")
    assert "In doubt: the database is older than its anchor (#6 < #9)." in ended.out


def test_missing_guards_are_told(run) -> None:
    write(2)
    guards.lift(connection)

    ended = run("verify_audit_log")

    assert ended.exit == 1
    assert "In doubt: guards of the audit log are missing: audit_guard_" in ended.out


def test_a_log_is_held_against_checkpoints_from_elsewhere(run, elsewhere: Path) -> None:
    write(3)

    assert run("verify_audit_log", "--checkpoint", str(elsewhere)).out.startswith("9 entries are whole")
    cut(after=4)
    ended = run("verify_audit_log", "--checkpoint", str(elsewhere))

    assert ended.exit == 1
    assert ended.out.startswith("Entry 5: it is missing, and all after it")
    assert integrity.trouble() is None


def test_an_anchor_file_holds_checkpoints_as_well(run, settings: Settings) -> None:
    write(3)
    integrity.verify_and_keep(by=factories.WORKER)

    assert run("verify_audit_log", "--checkpoint", str(settings.ANCHOR_FILE)).exit == 0


def test_it_may_begin_at_the_last_checkpoint(run, elsewhere: Path) -> None:
    write(3)
    edit(2, reason="another")

    ended = run("verify_audit_log", "--checkpoint", str(elsewhere), "--from-last")

    assert ended.exit == 0
    assert ended.out.startswith("4 entries are whole, up to entry 9")


@pytest.mark.parametrize("text", ["", "no checkpoint\n", None])
def test_a_file_without_a_checkpoint_is_of_no_use(run, elsewhere: Path, text: str | None) -> None:
    elsewhere.unlink() if text is None else elsewhere.write_text(text)

    ended = run("verify_audit_log", "--checkpoint", str(elsewhere))

    assert (ended.exit, ended.out) == (2, "")
    assert str(elsewhere) in ended.error
    assert entries(Event.LOG_VERIFIED) == []


def test_a_checkpoint_of_another_installation_is_of_no_use(run, elsewhere: Path, settings: Settings) -> None:
    settings.KEY_RING_FILE = settings.KEY_RING_FILE.with_name("another")
    create_ring(settings.KEY_RING_FILE)

    ended = run("verify_audit_log", "--checkpoint", str(elsewhere))

    assert ended.exit == 2
    assert "the checkpoint of entry 6 was not signed with a key of this installation" in ended.error


def test_where_to_begin_takes_a_file(run) -> None:
    ended = run("verify_audit_log", "--from-last")

    assert ended.exit == 2
    assert "Add --checkpoint FILE" in ended.error


def test_without_a_ring_it_cannot_be_verified(run, settings: Settings) -> None:
    write(2)
    settings.KEY_RING_FILE.unlink()

    ended = run("verify_audit_log")

    assert (ended.exit, ended.out) == (2, "")
    assert ended.error.startswith("It cannot be verified. The key ring")
