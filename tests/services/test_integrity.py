"""Each way in which the record can come into doubt: what is said, what is recorded, and that nothing mends itself."""

from __future__ import annotations

import json
from datetime import timedelta
from threading import Event as Signal
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.crypto import KeyRingUnusable, create_ring
from hamr_portal.domain.audit import Event
from hamr_portal.domain.chain import Broken, Place
from hamr_portal.models import AuditEntry, LogStanding, Worker, guards
from hamr_portal.services import adoption, anchors, audit, exports, integrity, log, workers
from hamr_portal.services.integrity import Trouble
from tests import factories

from .changing import admin
from .records import entries
from .tampering import cut, edit, events, shown, unguarded, write

WORKER = factories.WORKER
IS_SQLITE = connection.vendor == "sqlite"

SPOILT = (
    [
        "at = '2026-13-45 99:00:00'",
        "at = 'never'",
        "at = 7",
        "reason = CAST(x'ff' AS TEXT)",
        "reason = x'ff'",
        "change = 'none'",
    ]
    if IS_SQLITE
    else ["at = 'infinity'", "at = '20000-01-01'"]
)
"""What the database takes for a field and no entry can hold."""

pytestmark = pytest.mark.django_db(transaction=True)


def look() -> None:
    """Look after the record, as a worker does each interval."""
    LogStanding.objects.update(verified_at=None)
    integrity.verify_and_keep(by=WORKER)


def told() -> tuple[Trouble, str] | None:
    found = integrity.trouble()
    return (found.trouble, found.detail) if found is not None else None


def alarms() -> list[str]:
    return [entry.outcome for entry in entries(Event.LOG_ALARM)]


def adopt(reason: str = "The disk was restored") -> None:
    adoption.adopt(by=admin(), reason=reason, seen=shown())


# --- whole ------------------------------------------------------------------------------------------------------


def test_a_whole_log_is_no_trouble_and_is_anchored() -> None:
    write(5)

    look()

    assert told() is None
    known = integrity.standing()
    assert (known.seq, known.hash, known.trouble) == (5, audit.head().hash, "")
    anchor = anchors.newest()
    assert anchor is not None
    assert (anchor.seq, anchor.hash) == (5, audit.head().hash)


def test_an_empty_log_is_no_trouble_and_has_no_anchor() -> None:
    look()

    assert told() is None
    assert anchors.newest() is None


def test_a_head_that_is_anchored_is_not_anchored_again(settings: Settings) -> None:
    write(3)

    look()
    look()
    write(1)
    look()

    assert len(settings.ANCHOR_FILE.read_text().splitlines()) == 2


def test_a_whole_verification_is_on_the_record() -> None:
    write(5)

    came = integrity.verify_and_keep(by=WORKER, whole=True)

    assert (came.entries, came.broken) == (5, None)
    (entry,) = entries(Event.LOG_VERIFIED)
    assert (entry.outcome, entry.data) == ("WHOLE", {"entries": 5, "head": 5})
    assert integrity.standing().seq == 5


def test_entries_of_both_keys_verify_after_a_rotation(settings: Settings) -> None:
    write(3)
    ring = json.loads(settings.KEY_RING_FILE.read_text())
    another = settings.KEY_RING_FILE.with_name("another")
    create_ring(another)
    new = json.loads(another.read_text())
    new["primary"] += "-new"
    new["keys"] = {new["primary"]: next(iter(new["keys"].values())), **ring["keys"]}
    settings.KEY_RING_FILE.write_text(json.dumps(new))

    write(3)

    assert integrity.verify().entries == 6
    assert len(set(AuditEntry.objects.values_list("key_id", flat=True))) == 2


# --- each trouble -----------------------------------------------------------------------------------------------


def test_missing_guards_are_a_trouble_at_once_and_stay_one_after_they_are_back() -> None:
    write(2)
    guards.lift(connection)

    seen = told()
    look()
    look()
    guards.install(connection)
    look()

    assert seen is not None
    assert seen[0] is Trouble.GUARDS_MISSING
    assert seen[1].startswith("guards of the audit log are missing: audit_guard_")
    assert told() == seen
    assert alarms() == ["GUARDS_MISSING"]


@pytest.mark.parametrize("field", ["reason", "event", "actor_name", "data", "hash", "key_id"])
def test_an_edited_entry_is_found_and_alarmed_once(field: str) -> None:
    write(9)
    edit(4, **{field: "another"})

    look()
    look()

    found = integrity.trouble()
    assert found is not None
    assert (found.trouble, found.broken_seq) == (Trouble.BROKEN, 4)
    assert found.detail.startswith("entry #4: it")
    assert alarms() == ["BROKEN"]


def test_a_deleted_entry_is_found() -> None:
    write(9)
    unguarded(f"DELETE FROM {guards.TABLE} WHERE seq = 4")

    look()

    assert told() == (Trouble.BROKEN, "entry #5: it comes after entry 3: one is missing, twice there, or out of order")


def test_an_edit_after_it_was_verified_is_found_as_the_old_entries_are_gone_over_again() -> None:
    write(9)
    look()
    edit(4, reason="another")

    look()

    assert told() == (Trouble.BROKEN, "entry #4: its content is not what was signed")


def test_every_pass_goes_over_a_further_portion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "AGAIN_AT_A_TIME", 4)
    write(10)

    places = []
    for _ in range(7):
        look()
        known = integrity.standing()
        places.append((known.seq, known.again_seq))

    assert places == [(4, 0), (8, 4), (10, 8), (10, 0), (10, 4), (10, 8), (10, 0)]


def test_an_edit_far_behind_is_found_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "AGAIN_AT_A_TIME", 4)
    write(10)
    for _ in range(4):
        look()
    edit(7, reason="another")

    look()
    seen = told()
    look()

    assert seen is None
    assert told() == (Trouble.BROKEN, "entry #7: its content is not what was signed")


def test_a_log_that_was_not_gone_over_to_its_end_anchors_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "AGAIN_AT_A_TIME", 4)
    write(10)

    look()

    anchor = anchors.newest()
    assert anchor is not None
    assert anchor.seq == 4
    assert told() is None


def test_an_older_database_is_told_by_its_anchor() -> None:
    write(10)
    look()
    cut(after=6)

    seen = told()
    look()

    assert seen == (Trouble.OLDER_THAN_ANCHOR, "the database is older than its anchor (#6 < #10)")
    assert told() == seen
    assert alarms() == ["OLDER_THAN_ANCHOR"]


def test_a_database_that_was_emptied_is_told_by_its_anchor() -> None:
    write(3)
    look()
    cut(after=0)
    LogStanding.objects.all().delete()

    assert told() == (Trouble.OLDER_THAN_ANCHOR, "the database is older than its anchor (#0 < #3)")


def test_a_log_that_regrew_is_told_by_its_anchor() -> None:
    write(10)
    look()
    anchor = anchors.newest()
    assert anchor is not None
    cut(after=6)
    write(8)

    look()

    assert told() == (Trouble.NOT_ITS_ANCHOR, f"entry #10 is not the one that was anchored at {anchor.at}")
    assert alarms() == ["NOT_ITS_ANCHOR"]


def test_a_forged_adoption_does_not_excuse_an_older_database() -> None:
    write(10)
    look()
    cut(after=6)
    write(1)
    edit(7, event=Event.LOG_ADOPTED)

    assert told() == (Trouble.OLDER_THAN_ANCHOR, "the database is older than its anchor (#7 < #10)")


def test_an_anchor_file_that_cannot_be_read_is_a_trouble(settings: Settings) -> None:
    write(3)
    look()
    settings.ANCHOR_FILE.unlink()
    settings.ANCHOR_FILE.mkdir()

    look()

    assert told() == (Trouble.ANCHOR_UNREADABLE, f"{settings.ANCHOR_FILE} cannot be read (Is a directory)")
    assert alarms() == []
    settings.ANCHOR_FILE.rmdir()
    assert told() is None


def test_an_anchor_file_that_was_emptied_is_a_trouble(settings: Settings) -> None:
    write(3)
    look()
    settings.ANCHOR_FILE.write_bytes(b"")
    cut(after=2)

    look()

    assert told() == (
        Trouble.NO_GENUINE_ANCHOR,
        f"{settings.ANCHOR_FILE} holds nothing that was signed with a key of this installation",
    )
    assert alarms() == ["NO_GENUINE_ANCHOR"]


def test_a_copy_of_an_older_anchor_hides_no_cut(settings: Settings) -> None:
    write(3)
    look()
    older = settings.ANCHOR_FILE.read_bytes()
    write(3)
    look()
    with settings.ANCHOR_FILE.open("ab") as file:
        file.write(older)

    cut(after=4)

    assert told() == (Trouble.OLDER_THAN_ANCHOR, "the database is older than its anchor (#4 < #6)")


def test_an_adoption_with_the_clock_ahead_excuses_no_later_cut(time_machine: Any) -> None:
    time_machine.move_to("2027-09-01T10:00:00Z", tick=False)
    by = admin()
    write(5)
    look()
    cut(after=4)
    adoption.adopt(by=by, reason="Restored, with the clock ahead", seen=shown())
    time_machine.move_to("2026-11-23T10:00:00Z", tick=False)
    write(4)
    look()
    adopted_and_whole = told()

    cut(after=7)

    assert adopted_and_whole is None
    assert told() == (Trouble.OLDER_THAN_ANCHOR, "the database is older than its anchor (#7 < #9)")


def test_a_word_that_nobody_put_down_is_a_break() -> None:
    LogStanding.objects.create(pk=1, trouble="X", detail="whatever")

    assert told() == (Trouble.BROKEN, "whatever")


def test_a_missing_ring_is_a_trouble_until_it_is_back(settings: Settings) -> None:
    write(3)
    look()
    ring = settings.KEY_RING_FILE.read_bytes()
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(KeyRingUnusable):
        look()
    seen = told()
    settings.KEY_RING_FILE.write_bytes(ring)
    settings.KEY_RING_FILE.chmod(0o600)

    assert seen is not None
    assert seen[0] is Trouble.CANNOT_SIGN
    assert "init_key_ring" in seen[1]
    assert told() is None


def test_an_entry_of_a_ring_that_is_gone_is_a_break(settings: Settings) -> None:
    write(3)
    settings.KEY_RING_FILE.unlink()
    create_ring(settings.KEY_RING_FILE)

    look()

    found = integrity.trouble()
    assert found is not None
    assert (found.trouble, found.broken_seq) == (Trouble.BROKEN, 1)
    assert found.detail.endswith("which is not known here")


@pytest.mark.parametrize("spoilt", SPOILT)
def test_an_entry_that_was_spoilt_beyond_reading_is_a_break(spoilt: str) -> None:
    write(9)
    unguarded(f"UPDATE {guards.TABLE} SET {spoilt} WHERE seq = 4")

    look()

    assert told() == (Trouble.BROKEN, "entry #4: it cannot be read")


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_spoilt_entry_is_adopted_and_hides_no_other(spoilt: str) -> None:
    write(9)
    unguarded(f"UPDATE {guards.TABLE} SET {spoilt} WHERE seq = 4")
    look()

    shown = [each.entry.seq for each in log.checked(log.page(log.Filters()).entries)]
    left = [json.loads(line).get("seq") for line in exports.lines(log.Filters(), format="jsonl", by=admin())]
    adopt()
    unguarded(f"UPDATE {guards.TABLE} SET {spoilt} WHERE event = '{Event.LOG_ADOPTED}'")

    assert shown == [10, 9, 8, 7, 6, 5, 3, 2, 1]
    assert left == [1, 2, 3, 5, 6, 7, 8, 9, 10, None]
    assert log.one(4) is None
    assert told() is None
    look()
    assert alarms() == ["BROKEN", "BROKEN"]


def test_a_database_that_is_gone_is_no_break() -> None:
    write(3)

    def gone(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if f'"{guards.TABLE}"."reason"' in sql:  # the entries themselves, after their numbers
            raise OperationalError("the connection was closed")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(gone), pytest.raises(OperationalError):
        integrity.verify()


def test_a_standing_that_was_wiped_is_found_again() -> None:
    write(9)
    edit(4, reason="another")
    look()
    LogStanding.objects.update(trouble="", detail="")

    look()

    found = told()
    assert found is not None
    assert found[0] is Trouble.BROKEN


def test_a_standing_that_was_set_ahead_hides_nothing() -> None:
    write(9)
    LogStanding.objects.create(pk=1, seq=9, hash="f" * 64, again_seq=9, again_hash="f" * 64)
    edit(4, reason="another")

    look()

    assert told() is not None


def test_a_restored_backup_is_told_behind_another_trouble_with_that() -> None:
    write(10)
    look()
    cut(after=6)
    edit(4, reason="another")
    LogStanding.objects.update(trouble=Trouble.BROKEN, detail="entry #4: it was edited", broken_seq=4)

    found = integrity.trouble()

    assert found == integrity.Found(
        Trouble.OLDER_THAN_ANCHOR, "the database is older than its anchor (#6 < #10); entry #4: it was edited", 4
    )


# --- adopted ----------------------------------------------------------------------------------------------------


def test_an_adopted_break_is_not_alarmed_again_and_what_follows_is_verified_and_anchored() -> None:
    write(9)
    edit(4, reason="another")
    edit(6, reason="another")
    look()

    adopt()
    write(3)
    for _ in range(3):
        look()

    assert told() is None
    assert alarms() == ["BROKEN"]
    anchor = anchors.newest()
    assert anchor is not None
    assert anchor.seq == AuditEntry.objects.count()
    assert integrity.verify_and_keep(by=WORKER, whole=True).broken == Broken(4, "its content is not what was signed")
    assert told() is None


@pytest.mark.parametrize("seq", [2, 4, 5, 9, 10, 12], ids="entry {}".format)
def test_another_break_is_alarmed_before_it_among_it_and_after_it(seq: int) -> None:
    write(9)
    edit(4, reason="another")
    look()  # the alarm is entry 10
    adopt()  # entry 11
    write(3)
    look()

    edit(seq, ticket="one more")
    for _ in range(3):
        look()

    assert alarms() == ["BROKEN", "BROKEN"]
    adopt("That one as well")
    for _ in range(3):
        look()
    assert told() is None
    assert alarms() == ["BROKEN", "BROKEN"]


def test_guards_that_a_migration_put_back_raise_the_alarm_once() -> None:
    write(2)

    for _ in range(2):
        integrity.guards_were_away(["audit_guard_update", "audit_guard_delete"])

    detail = "guards of the audit log were missing before a migration: audit_guard_update, audit_guard_delete"
    assert told() == (Trouble.GUARDS_MISSING, detail)
    (entry,) = entries(Event.LOG_ALARM)
    assert (entry.actor, entry.outcome, entry.data) == ("migrate", "GUARDS_MISSING", {"detail": detail})


def test_what_more_is_wrong_than_was_adopted_is_named() -> None:
    write(9)
    edit(4, reason="another")
    look()
    adopt()
    look()

    unguarded(f"DELETE FROM {guards.TABLE} WHERE seq = %s", 7)
    look()

    assert told() == (
        Trouble.BROKEN,
        "entry #4: its content is not what was signed; touched since it was adopted in entry #11; "
        "entry #8: it comes after entry 6: one is missing, twice there, or out of order",
    )


def test_between_two_rounds_only_what_is_new_is_gone_over() -> None:
    write(5)
    look()
    edit(2, reason="another")

    integrity.verify_and_keep(by=WORKER)
    unseen = told()
    look()

    assert unseen is None
    assert alarms() == ["BROKEN"]


def test_an_adoption_that_was_edited_adopts_nothing() -> None:
    write(9)
    edit(4, reason="another")
    look()
    adopt()

    edit(11, reason="I did not say that")
    look()

    assert alarms() == ["BROKEN", "BROKEN"]


def test_a_restored_backup_that_was_adopted_is_no_trouble_and_another_is() -> None:
    write(10)
    look()
    cut(after=6)
    look()

    adopt()
    write(9)
    look()
    after_the_first = told()
    cut(after=9)

    assert after_the_first is None
    found = told()
    assert found is not None
    assert found[0] is Trouble.OLDER_THAN_ANCHOR


def test_after_an_adoption_that_could_not_be_anchored_the_next_look_anchors(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(10)
    look()
    cut(after=6)
    put = anchors.put

    def full(_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(anchors, "put", full)
    adopt()
    monkeypatch.setattr(anchors, "put", put)
    assert told() is None
    look()

    anchor = anchors.newest()
    assert anchor is not None
    assert anchor.seq == AuditEntry.objects.count()
    assert "the adoption is not anchored" in caplog.text


def test_what_is_adopted_while_the_log_is_gone_over_is_not_alarmed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    write(9)
    edit(4, reason="another")
    look()
    glance = integrity._at_a_glance

    def and_meanwhile() -> Any:
        monkeypatch.setattr(integrity, "_at_a_glance", glance)
        adopt()
        return glance()

    monkeypatch.setattr(integrity, "_at_a_glance", and_meanwhile)
    look()

    assert told() is None
    assert alarms() == ["BROKEN"]


# --- against checkpoints from elsewhere -------------------------------------------------------------------------


def test_checkpoints_from_elsewhere_tell_what_was_cut_off_and_raise_no_alarm() -> None:
    write(10)
    elsewhere = anchors.checkpoint(audit.head())
    cut(after=6)

    came = integrity.verify_against([elsewhere], by=WORKER)

    assert came.broken is not None
    assert came.broken.seq == 7
    assert events()[-1] == "audit.verified"
    assert told() is None


def test_a_break_that_is_seen_without_checkpoints_raises_the_alarm_as_well() -> None:
    write(5)
    made = anchors.checkpoint(audit.head())
    edit(3, reason="another")

    integrity.verify_against([made], by=admin())

    assert alarms() == ["BROKEN"]


def test_from_the_last_checkpoint_on_only_what_follows_is_verified() -> None:
    write(4)
    first, last = anchors.checkpoint(Place(1, AuditEntry.objects.get(seq=1).hash)), anchors.checkpoint(audit.head())
    write(3)

    came = integrity.verify_against([last, first], by=WORKER, from_last=True)

    assert (came.entries, came.head.seq, came.broken) == (4, 7, None)


def test_an_entry_that_is_not_the_one_of_the_last_checkpoint_is_told() -> None:
    write(4)
    last = anchors.checkpoint(audit.head())
    write(3)
    edit(4, reason="another")

    came = integrity.verify_against([last], by=WORKER, from_last=True)

    assert came.broken == Broken(4, "its content is not what was signed")


def test_from_a_checkpoint_that_the_log_does_not_reach_the_whole_is_verified() -> None:
    write(6)
    last = anchors.checkpoint(audit.head())
    cut(after=4)

    came = integrity.verify_against([last], by=WORKER, from_last=True)

    assert came.entries == 4
    assert came.broken is not None
    assert came.broken.seq == 5


# --- when -------------------------------------------------------------------------------------------------------


def test_in_doubt_it_is_due_each_interval_only(time_machine: Any) -> None:
    time_machine.move_to("2026-11-23T10:00:00Z", tick=False)
    write(9)
    edit(4, reason="another")
    write(1, change=7)
    look()
    soon = integrity.is_due()
    time_machine.shift(60)

    assert not soon
    assert integrity.is_due()


def test_it_is_due_at_first_after_a_change_and_each_interval(time_machine: Any) -> None:
    time_machine.move_to("2026-11-23T10:00:00Z", tick=False)
    write(1)
    at_first = integrity.is_due()
    look()
    then = integrity.is_due()
    write(1)
    after_something = integrity.is_due()
    write(1, change=7)
    after_a_change = integrity.is_due()
    look()
    time_machine.shift(59)
    soon = integrity.is_due()
    time_machine.shift(1)
    later = integrity.is_due()
    time_machine.shift(-3600)

    assert (at_first, then, after_something, after_a_change, soon, later) == (True, False, False, True, False, True)
    assert integrity.is_due()  # the clock was set back


# --- the worker -------------------------------------------------------------------------------------------------


def test_a_worker_verifies_and_anchors_and_raises_the_alarm() -> None:
    write(5)

    workers.run(Signal(), once=True)
    beat()
    anchored = anchors.newest()
    edit(2, reason="another")
    LogStanding.objects.update(verified_at=None)
    beat()
    beat()

    assert anchored is not None
    assert anchored.seq == 5
    assert alarms() == ["BROKEN"]
    assert json.loads(AuditEntry.objects.get(event=Event.LOG_ALARM).data)["detail"].startswith("entry #2")


def test_a_worker_anchors_after_each_change_and_each_interval(time_machine: Any, settings: Settings) -> None:
    time_machine.move_to("2026-11-23T10:00:00Z", tick=False)
    anchored = []
    for step in ({}, {"change": 7}, {}):
        write(1, **step)
        time_machine.shift(3)
        beat()
        anchored.append(len(settings.ANCHOR_FILE.read_text().splitlines()))
    time_machine.shift(60)
    beat()
    anchored.append(len(settings.ANCHOR_FILE.read_text().splitlines()))

    assert anchored == [1, 2, 2, 3]


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("a bug"), "looking after the record failed"), (OSError(28, "full"), "the record is not verified")],
)
def test_a_worker_reads_on_whatever_happens_with_the_record(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(integrity, "verify_and_keep", fail)

    before = timezone.now()
    beat()

    assert said in caplog.text
    assert Worker.objects.get().seen_at >= before


def test_a_worker_whose_database_is_gone_meanwhile_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(integrity, "verify_and_keep", fail)

    with pytest.raises(OperationalError):
        beat()


def beat() -> None:
    """Let a worker look after what it looks after now and then."""
    now = timezone.now()
    row, _ = Worker.objects.get_or_create(name="tests", defaults={"started_at": now, "seen_at": now})
    row.seen_at = now - timedelta(minutes=1)
    workers._Work(row, once=True)._beat()
