"""How does something get on the record? The only code that touches audit entries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import Max, Min, Q
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event, canonical
from hamr_portal.domain.connections import sanitized
from hamr_portal.models import AuditEntry

_HEAD_LOCK = 0x48414D52  # "HAMR": one advisory lock a database, taken for the rest of the transaction


class NotInTransaction(Exception):
    """An entry was to be appended outside the transaction of the write that it records."""


def append(
    event: Event,
    *,
    by: Actor,
    organization: str = "",
    change: int | None = None,
    ticket: str = "",
    reason: str = "",
    outcome: str = "",
    data: Mapping[str, Any] | None = None,
) -> AuditEntry:
    """Put one event on the record, in the caller's transaction. Raises `NotInTransaction`."""
    if not connection.in_atomic_block:
        raise NotInTransaction(str(event))
    return AuditEntry.objects.create(
        seq=_next_seq(),
        at=timezone.now(),
        event=event,
        actor_kind=by.kind,
        actor_name=sanitized(by.name, 254),
        actor_role=by.role,
        actor_address=sanitized(by.address, 64),
        actor_session=by.session,
        request_id=by.request_id,
        organization=organization,
        change=change,
        ticket=sanitized(ticket, 100),
        reason=sanitized(reason, 2000),
        outcome=outcome,
        data=canonical(data or {}),
    )


@dataclass(frozen=True)
class Entries:
    """The numbers of what the record says of one change; `receipt` is the one that says that it is verified."""

    first: int | None
    last: int | None
    receipt: int | None


def entries_of(change_id: int) -> Entries:
    """Give where the record tells of a change."""
    verified = Max("seq", filter=Q(event__in=(Event.CHANGE_VERIFIED, Event.CHANGE_LATE)))
    found = AuditEntry.objects.filter(change=change_id).aggregate(first=Min("seq"), last=Max("seq"), receipt=verified)
    return Entries(**found)


def _next_seq() -> int:
    """Give the next number; writers queue for it, so that none is given twice and none is left out."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_HEAD_LOCK])
    head: int | None = AuditEntry.objects.aggregate(head=Max("seq"))["head"]
    return (head or 0) + 1
