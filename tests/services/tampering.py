"""Somebody who may do anything to the database, and a backup that is put back: what tests of the record ask."""

from __future__ import annotations

from typing import Any

from django.db import connection, transaction

from hamr_portal.domain.audit import Event
from hamr_portal.models import AuditEntry, guards
from hamr_portal.services import audit, integrity
from tests import factories


def write(count: int = 1, **fields: Any) -> None:
    """Put so many entries on the record."""
    for number in range(count):
        with transaction.atomic():
            audit.append(Event.WORKER_RESUMED, by=factories.WORKER, **{"reason": f"entry {number}", **fields})


def unguarded(statement: str, *values: Any) -> None:
    """Do this to the record with the guards out of the way; they are back afterwards."""
    guards.lift(connection)
    with connection.cursor() as cursor:
        cursor.execute(statement, list(values))
    guards.install(connection)


def edit(seq: int, **fields: Any) -> None:
    """Edit an entry."""
    assignments = ", ".join(f"{name} = %s" for name in fields)
    unguarded(f"UPDATE {guards.TABLE} SET {assignments} WHERE seq = %s", *fields.values(), seq)


def cut(after: int) -> None:
    """Take away what comes after an entry: what a restored backup looks like."""
    unguarded(f"DELETE FROM {guards.TABLE} WHERE seq > %s", after)


def events() -> list[str]:
    """Give the events on the record, oldest first."""
    return list(AuditEntry.objects.order_by("seq").values_list("event", flat=True))


def shown() -> str:
    """Give what a page would show to be wrong now, as its form sends it."""
    found = integrity.trouble()
    return integrity.seen_as(found) if found is not None else ""
