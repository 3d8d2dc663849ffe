"""What becomes of changes when the record is not whole, or of an earlier time? Rows 47, 48 and 49, on every door."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from threading import Event as Signal
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, transaction
from django.urls import reverse

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.models import AuditEntry, Change, LogLine, LogStanding, Organization, Snapshot, guards
from hamr_portal.services import adoption, audit, changes, integrity, reconciliation, workers
from hamr_portal.services.moves import AlreadyMoved
from hamr_portal.services.refusals import Blocked, Refused
from hamr_portal.simulator import PASSIVE, Simulator
from tests import factories
from tests.services import tampering
from tests.services.changing import admin, approver, confirmed, fresh, prepared, words
from tests.services.changing import operator as operator_actor

from . import database
from .browsers import Browser, Page
from .marks import slow
from .stories import assert_no_post, assert_sent, story

READING_PAGES = [("dashboard",), ("dashboard_live",), ("organization", "acme"), ("changes",)]


def look() -> None:
    LogStanding.objects.update(verified_at=None)  # an interval later
    integrity.verify_and_keep(by=factories.WORKER)


def write(count: int) -> None:
    """Put so many entries on the record, in one go."""
    with transaction.atomic():
        for _ in range(count):
            audit.append(Event.WORKER_RESUMED, by=factories.WORKER)


def lift() -> None:
    guards.lift(connection)


def edit() -> None:
    tampering.edit(2, reason="nothing happened")
    look()


def cut() -> None:
    tampering.cut(after=3)


def regrow() -> None:
    tampering.cut(after=3)
    write(20)


def spoil() -> None:
    settings.ANCHOR_FILE.write_text("nothing of the kind\n")


DOUBTS = {
    "guards missing": (lift, "guards of the audit log are missing"),
    "chain broken": (edit, "entry #2: its content is not what was signed"),
    "older than its anchor": (cut, "the database is older than its anchor (#"),
    "another entry than anchored": (regrow, "is not the one that was anchored at"),
    "anchors overwritten": (spoil, "holds nothing that was signed with a key of this installation"),
}


@pytest.mark.parametrize("doubt", ["guards missing", *map(slow, [*DOUBTS][1:])])
def test_row_48_record_in_doubt_blocks_a_change_and_shows_the_statuses(
    doubt: str, simulator: Simulator, acme: Organization, operator: Browser
) -> None:
    write(5)
    form = operator.preview()
    look()
    begin, says = DOUBTS[doubt]
    begin()

    page = form.send()
    another = operator.form(page.leads_to)  # a preview of now, which says it

    assert "The audit log is in doubt" in Page(operator.client.get(page.leads_to)).text
    assert another.change.pk != form.change.pk
    assert "LOG_IN_DOUBT" in [each.check.name for each in another.change.noticed]
    assert says in str([each.facts for each in another.change.noticed])
    assert simulator.posts == []
    assert fresh(form.change).sent_at is None
    assert simulator.organizations.named("acme").view.hamr_status == PASSIVE  # type: ignore[union-attr]
    for name, *words_of_path in READING_PAGES:
        assert operator.client.get(reverse(str(name), args=words_of_path)).status_code == 200


def test_row_48_each_way_to_send_is_blocked(simulator: Simulator, acme: Organization) -> None:
    Organization.objects.filter(pk=acme.pk).update(requires_approval=True)
    waiting = confirmed(prepared(acme))
    lift()

    for attempt in (
        lambda: changes.approve(fresh(waiting), by=approver(), typed_name="acme"),
        lambda: changes.skip_approval(
            fresh(waiting), by=by_author(waiting), typed_name="acme", reason="Nobody is there"
        ),
    ):
        with pytest.raises(Refused):
            attempt()

    assert fresh(waiting).status == ChangeStatus.AWAITING_APPROVAL
    assert simulator.posts == []


def by_author(change: Change) -> Any:
    return operator_actor(email=change.author.email)


def test_row_48_worker_raises_the_alarm_once_and_reads_on(
    simulator: Simulator, acme: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    lift()
    Snapshot.objects.update(due_at="2026-01-01T00:00:00Z")
    read = len(simulator.requests)

    for _ in range(3):
        workers.run(Signal(), once=True)
        look()

    assert [*AuditEntry.objects.filter(event=Event.LOG_ALARM).values_list("outcome", flat=True)] == ["GUARDS_MISSING"]
    assert any("audit.integrity_alarm" in record.getMessage() for record in caplog.records)
    assert len(simulator.requests) > read


def test_row_48_guards_that_are_put_back_clear_nothing_and_an_admin_does(
    simulator: Simulator, acme: Organization, operator: Browser
) -> None:
    form = operator.preview()
    lift()
    look()

    call_command("migrate", verbosity=0)
    still = operator.form(form.send().leads_to)
    pages = [operator.client.get(reverse("dashboard")).content.decode()]
    adoption.adopt(by=admin(), reason="A migration of another tool took them away", seen=tampering.shown())
    pages.append(operator.client.get(reverse("dashboard")).content.decode())

    assert guards.missing(connection) == []
    assert "LOG_IN_DOUBT" in [each.check.name for each in still.change.noticed]
    assert ["The audit log is in doubt" in page for page in pages] == [True, False]
    assert simulator.posts == []
    now = operator.preview()
    now.send()
    assert_sent(now.change, simulator, "change.accepted", "change.verified", status="VERIFIED")


def test_row_48_operator_does_not_clear_it(simulator: Simulator, acme: Organization, operator: Browser) -> None:
    lift()
    look()
    guards.install(connection)

    operator.client.post("/audit/adopt/", {"reason": "I want to go on"})

    assert integrity.trouble() is not None


# --- row 47: what the guards refuse -----------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"previous": "f" * 64}, {"seq": 1}, {"hash": "short"}], ids=str)
def test_row_47_entry_that_a_guard_refuses_rolls_everything_back(
    wrong: dict[str, Any], simulator: Simulator, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = prepared(acme)
    before = (story(change), AuditEntry.objects.count(), LogLine.objects.count())
    save = AuditEntry.save

    def save_wrong(self: AuditEntry, *args: Any, **kwargs: Any) -> None:
        for name, value in wrong.items():
            setattr(self, name, value)
        save(self, *args, **kwargs)

    monkeypatch.setattr(AuditEntry, "save", save_wrong)
    with pytest.raises(Blocked):
        confirmed(change)
    monkeypatch.undo()

    assert_no_post(change, simulator, "change.prepared", status="PREPARED")
    assert (story(change), AuditEntry.objects.count(), LogLine.objects.count()) == before


# --- row 49: a restored backup ----------------------------------------------------------------------------------


@pytest.fixture
def backup(tmp_path: Any) -> Callable[[], Callable[[], None]]:
    """Keep the database as it is, and give what puts it back."""

    def keep() -> Callable[[], None]:
        if database.IS_SQLITE:
            kept = tmp_path / "backup.sqlite3"
            with connection.cursor() as cursor:
                cursor.execute("VACUUM INTO %s", [str(kept)])
            return lambda: _put_back(kept)
        last, rows = audit.head().seq, Change.objects.values()
        was = {row["id"]: row for row in rows}
        lines = set(LogLine.objects.values_list("pk", flat=True))

        def put_back() -> None:
            tampering.cut(after=last)
            LogLine.objects.exclude(pk__in=lines).delete()
            for change in Change.objects.order_by("-pk"):
                if change.pk in was:
                    Change.objects.filter(pk=change.pk).update(**was[change.pk])
                else:
                    change.delete()

        return put_back

    return keep


def _put_back(kept: Any) -> None:
    name = connection.settings_dict["NAME"]
    connection.close()
    for beside in ("-wal", "-shm"):
        with_it = type(kept)(f"{name}{beside}")
        with_it.unlink(missing_ok=True)
    shutil.copy(kept, name)


@pytest.mark.parametrize("regrown", [False, slow(True)])
def test_row_49_restored_backup_is_recognized_and_nothing_is_sent_twice(
    regrown: bool, simulator: Simulator, acme: Organization, backup: Any
) -> None:
    Organization.objects.filter(pk=acme.pk).update(requires_approval=True)
    waiting = confirmed(prepared(acme))
    write(200 - audit.head().seq)
    put_back = backup()
    changes.approve(waiting, by=approver(), typed_name="acme")
    write(250 - audit.head().seq)
    look()

    put_back()
    if regrown:
        write(60)
    look()
    blocked = integrity.trouble()
    with pytest.raises(Refused):
        changes.approve(fresh(waiting), by=approver(), typed_name="acme")
    adoption.adopt(by=admin(), reason="Disk failure, restored from 09:00", seen=tampering.shown())
    with pytest.raises(AlreadyMoved):
        changes.approve(fresh(waiting), by=approver(), typed_name="acme")
    reconciliation.reconcile(by=factories.WORKER)
    another = admin("s9", "another@halden.example")
    again = confirmed(prepared(acme, HamrStatus.ACTIVE, another), another)

    assert blocked is not None
    told = "entry #250 is not the one" if regrown else "the database is older than its anchor (#200 < #250)"
    assert told in blocked.detail
    entry = AuditEntry.objects.get(event=Event.LOG_ADOPTED)
    assert '"anchor":{' in entry.data
    assert '"seq":250' in entry.data
    assert entry.reason == "Disk failure, restored from 09:00"
    assert fresh(waiting).status == ChangeStatus.VERIFIED
    assert fresh(waiting).restored_at is not None
    assert "change.restored" in story(waiting)
    assert len(simulator.posts) == 1
    assert again.status == ChangeStatus.AWAITING_APPROVAL
    assert integrity.trouble() is None


@pytest.mark.parametrize("status", [ChangeStatus.PREPARED, slow(ChangeStatus.SENDING)])
def test_row_49_form_of_before_the_backup_cannot_be_used_again(
    status: ChangeStatus, simulator: Simulator, acme: Organization, backup: Any, witness: Any
) -> None:
    change = prepared(acme)
    put_back = backup() if status == ChangeStatus.PREPARED else None
    kept: list[Any] = []
    witness.also = lambda: kept.append(backup()) if put_back is None else None
    confirmed(change)
    write(5)
    look()

    (put_back or kept[0])()
    as_restored = fresh(change).status
    adoption.adopt(by=admin(), reason="Disk failure", seen=tampering.shown())

    with pytest.raises((AlreadyMoved, Refused)):
        changes.confirm(fresh(change), words(fresh(change)), by=by_author(change))
    assert as_restored == status
    assert len(simulator.posts) == 1


# --- no record, no change ---------------------------------------------------------------------------------------


class NoRing:
    """A key ring that is away."""

    def __enter__(self) -> None:
        self.file = settings.KEY_RING_FILE
        self.file.rename(self.file.with_name("away"))

    def __exit__(self, *_: object) -> None:
        self.file.with_name("away").rename(self.file)


class NoDatabase:
    """A database that is gone: no connection comes about."""

    def __enter__(self) -> None:
        self.name = "NAME" if database.IS_SQLITE else "PORT"
        self.before = connection.settings_dict[self.name]
        connection.close()
        connection.settings_dict[self.name] = "/nowhere/portal.sqlite3" if database.IS_SQLITE else "1"

    def __exit__(self, *_: object) -> None:
        connection.close()
        connection.settings_dict[self.name] = self.before


OUTAGES: dict[str, Callable[[], Any]] = {
    "locked": database.Lock,
    "full": database.full,
    "read-only": database.read_only,
    "disk error": database.broken_disk,
    "gone": NoDatabase,
    "ring missing": NoRing,
}


@pytest.mark.slow
def test_rows_43_to_45_no_outage_of_the_record_lets_a_change_out(
    simulator: Simulator, acme: Organization, capsys: pytest.CaptureFixture[str]
) -> None:
    database.impatient()
    form, browser, by = prepared(acme), Browser(), operator_actor()
    said = words(form, reason=database.LONGER_THAN_A_PAGE)

    refused = {}
    for name, outage in OUTAGES.items():
        with outage():
            try:
                changes.confirm(form, said, by=by)
            except (Blocked, Refused) as error:
                refused[name] = type(error).__name__
            if name == "ring missing":
                pages = [browser.client.get(reverse(name, args=rest)).status_code for name, *rest in READING_PAGES]

    with capsys.disabled():
        sent = len(simulator.posts)
        print(f"\nchanges sent while the log could not be written: {sent}")  # noqa: T201 - a figure of the scorecard
    assert refused.keys() == OUTAGES.keys()
    assert simulator.posts == []
    assert set(pages) == {200}
    assert fresh(form).status == ChangeStatus.PREPARED
