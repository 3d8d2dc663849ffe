from __future__ import annotations

import pytest
from django.db import transaction

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.models import AuditEntry
from hamr_portal.services import audit
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


def test_eight_writers_at_once_leave_no_gap_and_no_double(in_parallel: InParallel[None]):
    def write() -> None:
        for _ in range(25):
            with transaction.atomic():
                audit.append(Event.WORKER_RESUMED, by=factories.WORKER)

    in_parallel(8, write)

    assert list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 201))
