"""What is on the record, what is in the database, and one read: what most tests of services ask."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Q

from hamr_portal.domain.audit import Event
from hamr_portal.models import AuditEntry, Organization, Snapshot
from hamr_portal.services import connections, readings
from tests import factories


@dataclass(frozen=True)
class Entry:
    event: str
    organization: str
    outcome: str
    reason: str
    actor: str
    data: dict[str, Any]


def entries(*events: Event) -> list[Entry]:
    """Give what is on the record, oldest first, of these events or of all."""
    rows = AuditEntry.objects.order_by("seq")
    return [
        Entry(row.event, row.organization, row.outcome, row.reason, row.actor_name, json.loads(row.data))
        for row in (rows.filter(event__in=events) if events else rows)
    ]


def read(*organizations: Organization) -> list[Snapshot]:
    """Read these now, whether they are due or not, and give their snapshots."""
    ids = [organization.pk for organization in organizations]
    results = [connections.fetch(flight) for flight in connections.claim(ids, Q())]
    readings.store(results, by=factories.WORKER)
    return [Snapshot.objects.get(pk=pk) for pk in ids]


def whole_database() -> str:
    """Give every value of every table as text."""
    with connection.cursor() as cursor:
        texts = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            texts += [repr(row) for row in cursor.fetchall()]
    return "\n".join(texts)
