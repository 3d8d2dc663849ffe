"""Where does the status of a change change? Here, in `move`, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import Move, What
from hamr_portal.models import Change, LogLine

from . import audit

T = TypeVar("T")


class AlreadyMoved(Exception):
    """The change is not where this move begins any more: somebody else was first."""


def move(
    change: Change,
    by_way_of: Move,
    *,
    by: Actor,
    reason: str = "",
    provided: Callable[[], object] = lambda: None,
    fields: Mapping[str, Any] | None = None,
    seen: Iterable[LogLine] = (),
    told: LogLine | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Move a change along one arrow of the table: the row, its log and the record, in one durable transaction.

    `provided` looks at the database first, in that transaction, and raises to stop the move. The move brings `fields`
    to the row, and to the log the readings that it rests on, `seen`; `told` is its own line there, where that tells
    more than that it happened. Raises `AlreadyMoved`.
    """
    brought = dict(fields or {})
    with transaction.atomic(durable=True):
        provided()
        rows = Change.objects.filter(pk=change.pk, status__in=by_way_of.leaves)
        before = rows.select_for_update(no_key=True).values_list("status", flat=True).first()
        if before is None or not rows.update(status=by_way_of.reaches, **brought):
            raise AlreadyMoved(f"change {change.pk} cannot be {by_way_of.name} any more")
        line = told or LogLine()
        line.what, line.move, line.by = What.MOVED, by_way_of.name, by.name
        _write([*_in_order(seen), line], change)
        audit.append(
            by_way_of.event,
            by=by,
            organization=change.organization.name,
            change=change.pk,
            ticket=brought.get("ticket") or change.ticket,
            reason=reason,
            outcome=by_way_of.reaches,
            data={"before": before, "after": by_way_of.reaches, **(data or {})},
        )
        # Within, so that no query between the commit and its caller can make a move look undone that was made.
        change.refresh_from_db()


def tell(change: Change, lines: Iterable[LogLine]) -> None:
    """Put lines into a change's log, in the caller's transaction: what was seen, without a move."""
    _write(_in_order(lines), change)


def _in_order(readings: Iterable[LogLine]) -> list[LogLine]:
    """Put readings that were made side by side in the order in which they ended."""
    return sorted(readings, key=lambda line: line.at)


def _write(lines: list[LogLine], change: Change) -> None:
    for line in lines:
        line.change = change
        line.at = line.at or timezone.now()
        line.last_at = line.last_at or line.at
    LogLine.objects.bulk_create(lines)


def once_more(write: Callable[[], T]) -> T:
    """Do a transaction, and where the database was busy or gone, once more; the second failure is the caller's."""
    try:
        return write()
    except (OperationalError, InterfaceError):
        connection.close_if_unusable_or_obsolete()
        return write()
