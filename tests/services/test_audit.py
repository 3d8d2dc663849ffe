from __future__ import annotations

import json

import pytest
from django.db import DatabaseError, connection, transaction
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.chain import walk
from hamr_portal.models import AuditEntry, guards
from hamr_portal.services import audit, integrity, keys
from tests import factories

from .conftest import InParallel


@pytest.mark.django_db(transaction=True)
def test_an_entry_outside_the_transaction_of_its_write_is_refused():
    with pytest.raises(audit.NotInTransaction, match=r"worker\.resumed"):
        audit.append(Event.WORKER_RESUMED, by=factories.WORKER)

    assert not AuditEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_entry_goes_when_the_write_that_it_records_is_rolled_back():
    with transaction.atomic():
        audit.append(Event.WORKER_RESUMED, by=factories.WORKER)
    with transaction.atomic():
        audit.append(Event.WORKER_RESUMED, by=factories.WORKER)
        transaction.set_rollback(True)
    with transaction.atomic():
        audit.append(Event.WORKER_RESUMED, by=factories.WORKER)

    assert list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True)) == [1, 2]


@pytest.mark.django_db
def test_an_entry_holds_the_actor_as_they_are_then():
    by = Actor("person", "anna\x00@halden.example", "ADMIN", "10.0.0.9\x1b[2J", "5e55", "r1")

    with transaction.atomic():
        entry = audit.append(
            Event.ORGANIZATION_EDITED,
            by=by,
            organization="acme",
            reason="dr\u202eill",
            outcome="READS",
            data={"b": 1, "a": "ö"},
        )

    entry.refresh_from_db()
    assert (entry.actor_kind, entry.actor_name, entry.actor_role) == ("person", "anna\ufffd@halden.example", "ADMIN")
    assert (entry.actor_address, entry.actor_session, entry.request_id) == ("10.0.0.9\ufffd[2J", "5e55", "r1")
    assert (entry.event, entry.organization, entry.outcome) == ("organization.edited", "acme", "READS")
    assert (entry.reason, entry.data) == ("dr\ufffdill", '{"a":"ö","b":1}')


def test_the_head_is_said_after_the_commit_and_not_before(transactional_db: None, caplog: pytest.LogCaptureFixture):
    with transaction.atomic():
        entry = audit.append(Event.WORKER_RESUMED, by=factories.WORKER)
        before = [*caplog.records]
    with transaction.atomic():
        audit.append(Event.WORKER_RESUMED, by=factories.WORKER)
        transaction.set_rollback(True)

    (line,) = [record.getMessage() for record in caplog.records if record.name == "hamr_portal.heads"]
    assert before == []
    assert json.loads(line) == {"audit": "head", "seq": 1, "hash": entry.hash, "at": audit.moment(entry.at)}


@pytest.mark.django_db
def test_what_cannot_be_signed_is_not_recorded(settings: Settings):
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(audit.CannotSign, match="init_key_ring") as refused, transaction.atomic():
        audit.append(Event.WORKER_RESUMED, by=factories.WORKER)

    assert isinstance(refused.value, DatabaseError)
    assert not AuditEntry.objects.exists()


SWALLOWS = {
    "sqlite": f"CREATE TRIGGER swallow BEFORE INSERT ON {guards.TABLE} BEGIN SELECT RAISE(IGNORE); END",
    "postgresql": f"CREATE RULE swallow AS ON INSERT TO {guards.TABLE} DO INSTEAD NOTHING",
}
"""What a database's owner can put there so that an insert does nothing, and says nothing."""


@pytest.mark.django_db
def test_what_the_database_swallows_is_not_taken_for_recorded():
    with connection.cursor() as cursor:
        cursor.execute(SWALLOWS[connection.vendor])

    with pytest.raises(audit.NotKept, match="entry 1 is not on the record"), transaction.atomic():
        audit.append(Event.WORKER_RESUMED, by=factories.WORKER)


@pytest.mark.django_db
def test_an_entry_is_signed_as_it_is_kept():
    """What the database gives back hashes as what was appended: no field is cut or turned on the way."""
    long = "ü" * 3000
    by = Actor("person", long, "ADMIN", long, "5e55", "r1", agent=long, signed_in=long)
    with transaction.atomic():
        audit.append(
            Event.ORGANIZATION_EDITED, by=by, organization="acme", change=7, ticket=long, reason=long, data={"a": long}
        )

    entry = AuditEntry.objects.get()

    ring = keys.ring().audit_keys
    assert audit.is_genuine(entry, ring)
    assert walk([audit.plain(entry)], ring).broken is None


@pytest.mark.django_db
def test_an_entry_is_not_genuine_with_another_key():
    with transaction.atomic():
        entry = audit.append(Event.WORKER_RESUMED, by=factories.WORKER)

    assert not audit.is_genuine(entry, {})
    assert not audit.is_genuine(entry, {entry.key_id: b"another"})


@pytest.mark.slow
def test_eight_writers_at_once_leave_no_gap_no_double_and_a_whole_chain(in_parallel: InParallel[None]):
    def write() -> None:
        for number in range(100):
            with transaction.atomic():
                audit.append(Event.WORKER_RESUMED, by=factories.WORKER)
            with transaction.atomic():
                audit.append(Event.WORKER_RESUMED, by=factories.WORKER, reason=f"rolled back {number}")
                transaction.set_rollback(True)

    in_parallel(8, write)

    assert AuditEntry.objects.count() == 800
    came = integrity.verify()
    assert (came.entries, came.head.seq, came.broken) == (800, 800, None)
    assert not AuditEntry.objects.filter(reason__startswith="rolled back").exists()


def test_eight_writers_at_once_leave_no_gap_and_no_double(in_parallel: InParallel[None]):
    def write() -> None:
        for _ in range(25):
            with transaction.atomic():
                audit.append(Event.WORKER_RESUMED, by=factories.WORKER)

    in_parallel(8, write)

    assert list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 201))
