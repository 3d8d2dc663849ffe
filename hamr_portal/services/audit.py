"""How does something get on the record? The only code that touches audit entries."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import DatabaseError, DataError, OperationalError, connection, transaction
from django.db.models import Max, Min, Q, QuerySet
from django.utils import timezone

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.audit import Actor, Event, canonical
from hamr_portal.domain.chain import FIELDS, Place, hash_of
from hamr_portal.domain.connections import sanitized
from hamr_portal.models import AuditEntry

from . import keys

heads = logging.getLogger("hamr_portal.heads")
"""Says the new head of the log after each commit, one JSON line each, on standard output."""

RECEIPTS = (Event.CHANGE_VERIFIED, Event.CHANGE_LATE)
"""What says that a change is verified."""

_TEXTS = tuple({*FIELDS, "hash"} - {"seq", "at", "change"})
_AT_A_TIME = 2000
_HEAD_LOCK = 0x48414D52  # "HAMR": one advisory lock a database, taken for the rest of the transaction


class CannotSign(DatabaseError):
    """The key that signs entries cannot be read: nothing can be recorded, as with a database that takes nothing."""


class NotKept(DatabaseError):
    """The database took an entry and does not have it: a trigger or a rule that nobody shipped swallows entries."""


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
    """Put one event on the record, in the caller's transaction. Raises `NotInTransaction`, `CannotSign`, `NotKept`."""
    if not connection.in_atomic_block:
        raise NotInTransaction(str(event))
    try:
        ring = keys.ring()
    except KeyRingUnusable as error:
        raise CannotSign(str(error)) from None
    last = hold()
    entry = AuditEntry(
        seq=last.seq + 1,
        at=timezone.now(),
        event=event,
        **_who(by),
        organization=organization,
        change=change,
        ticket=sanitized(ticket, 100),
        reason=sanitized(reason, 2000),
        outcome=outcome,
        data=canonical(data or {}),
        key_id=ring.primary,
        previous=last.hash,
    )
    entry.hash = hash_of(ring.audit_keys[ring.primary], plain(entry))
    entry.save()
    if head() != place_of(entry):
        raise NotKept(f"entry {entry.seq} is not on the record after it was taken")
    transaction.on_commit(partial(_say_head, entry), robust=True)
    return entry


def plain(entry: AuditEntry) -> dict[str, Any]:
    """Give an entry as it is signed and exported."""
    return {name: getattr(entry, name) for name in FIELDS} | {"at": moment(entry.at), "hash": entry.hash}


def _who(by: Actor) -> dict[str, str]:
    return {
        "actor_kind": by.kind,
        "actor_name": sanitized(by.name, 254),
        "actor_role": by.role,
        "actor_address": sanitized(by.address, 64),
        "actor_agent": sanitized(by.agent, 200),
        "actor_session": by.session,
        "actor_signed_in": by.signed_in[:100],
        "request_id": by.request_id,
    }


def _numbers(found: QuerySet[AuditEntry]) -> list[int]:
    return list(found.values_list("seq", flat=True))


def loaded(found: QuerySet[AuditEntry]) -> list[AuditEntry]:
    """Load entries, but those that were spoilt so that nobody can read them.

    SQLite keeps anything in any field, and PostgreSQL keeps moments that Python does not know.
    """
    rows = _all_of(found)
    if rows is None:
        one_by_one = (_all_of(AuditEntry.objects.filter(seq=number)) for number in _numbers(found))
        rows = [row for alone in one_by_one for row in alone or ()]
    return [row for row in rows if _is_readable(row)]


def _all_of(found: QuerySet[AuditEntry]) -> list[AuditEntry] | None:
    """Load entries; None where one of them cannot be loaded."""
    try:
        return list(found)
    except (ValueError, TypeError, AttributeError, DataError, OperationalError) as error:
        if isinstance(error, OperationalError) and "decode" not in str(error).lower():
            raise
        return None


def _is_readable(entry: AuditEntry) -> bool:
    is_text = all(type(getattr(entry, name)) is str for name in _TEXTS)
    return is_text and isinstance(entry.at, datetime) and isinstance(entry.change, int | None)


def signed_forms(found: QuerySet[AuditEntry]) -> list[dict[str, Any]]:
    """Give entries as they are signed and exported; of one that nobody can read, its number is all there is."""
    rows = _all_of(found)
    if rows is not None and all(map(_is_readable, rows)):
        return [plain(row) for row in rows]
    # The numbers first: what is appended meanwhile is loaded, but not asked for.
    numbers = _numbers(found)
    readable = {entry.seq: plain(entry) for entry in loaded(found)}
    return [readable.get(number, {"seq": number}) for number in numbers]


def signed_after(seq: int) -> Iterator[dict[str, Any]]:
    """Give all that follows, as it is signed, in portions: a cursor that stays open would hold the database as long."""
    rows = AuditEntry.objects.order_by("seq")
    is_last = False
    while not is_last and (portion := signed_forms(rows.filter(seq__gt=seq)[:_AT_A_TIME])):
        yield from portion
        seq, is_last = portion[-1]["seq"], len(portion) < _AT_A_TIME


def is_genuine(entry: AuditEntry, audit_keys: Mapping[str, bytes]) -> bool:
    """Tell whether an entry is as it was signed with one of these keys."""
    key = audit_keys.get(entry.key_id)
    return key is not None and hash_of(key, plain(entry)) == entry.hash


def moment(at: datetime) -> str:
    """Give a moment as it is signed: UTC, to the microsecond."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def place_of(entry: AuditEntry) -> Place:
    """Give an entry's number and hash."""
    return Place(entry.seq, entry.hash)


def head() -> Place:
    """Give the last entry's number and hash."""
    last = AuditEntry.objects.order_by("-seq").values_list("seq", "hash").first()
    return Place(*last) if last is not None else Place()


def _say_head(entry: AuditEntry) -> None:
    heads.info(json.dumps({"audit": "head", "seq": entry.seq, "hash": entry.hash, "at": moment(entry.at)}))


@dataclass(frozen=True)
class Entries:
    """The numbers of what the record says of one change; `receipt` is the one that says that it is verified."""

    first: int | None
    last: int | None
    receipt: int | None


def entries_of(change_id: int) -> Entries:
    """Give where the record tells of a change."""
    verified = Max("seq", filter=Q(event__in=RECEIPTS))
    found = AuditEntry.objects.filter(change=change_id).aggregate(first=Min("seq"), last=Max("seq"), receipt=verified)
    return Entries(**found)


def hold() -> Place:
    """Give the head to follow on; writers queue for it, so that no number is given twice and none is left out.

    Who counts entries before they append holds it first: nothing comes between.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_HEAD_LOCK])
    return head()
