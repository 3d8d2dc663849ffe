"""Where does the status of a change change? Here, in `move`, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import Move, What
from hamr_portal.domain.connections import name_of
from hamr_portal.domain.news import kind_of
from hamr_portal.models import Change, LogLine

from . import audit, notifications

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
    then: Callable[[], object] = lambda: None,
    fields: Mapping[str, Any] | None = None,
    seen: Iterable[LogLine] = (),
    told: LogLine | None = None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Move a change along one arrow of the table: row, log, record and news of it, in one durable transaction.

    `provided` looks at the database first, in that transaction, and `then` last, when writers queue behind its entry;
    each raises to stop the move. The move brings `fields` to the row, and to the log the readings that it rests on,
    `seen`; `told` is its own line there, where that tells more than that it happened. Raises `AlreadyMoved`.
    """
    brought, lines = dict(fields or {}), _in_order(seen)
    with transaction.atomic(durable=True):
        provided()
        rows = Change.objects.filter(pk=change.pk, status__in=by_way_of.leaves)
        before = rows.select_for_update(no_key=True).values_list("status", flat=True).first()
        if before is None or not rows.update(status=by_way_of.reaches, **brought):
            raise AlreadyMoved(f"change {change.pk} cannot be {by_way_of.name} any more")
        line = told or LogLine()
        line.what, line.move, line.by = What.MOVED, by_way_of.name, by.name
        _write([*lines, line], change)
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
        then()
        # Within, so that no query between the commit and its caller can make a move look undone that was made.
        change.refresh_from_db()
        _announce(change, by_way_of, before, by, said=reason, seen=lines)


def _announce(change: Change, by_way_of: Move, before: str, by: Actor, *, said: str, seen: Iterable[LogLine]) -> None:
    """Queue the news of a move; what was read for it goes along, with the moment of that reading."""
    kind = kind_of(by_way_of, before)
    # Nobody is called for a drill: who is in it looks at it.
    if kind is None or change.organization.drill_id is not None:
        return
    read = [line for line in seen if line.organization_id == change.organization_id and line.status is not None]
    notifications.queue(
        kind,
        change=change.pk,
        organization=change.organization.name,
        site=change.organization.site,
        target=change.target.name,
        move=by_way_of.name,
        before=before,
        http_status=change.http_status,
        author=change.author.email,
        by=by.name,
        by_kind=by.kind,
        reason=change.reason,
        said=said,
        ticket=change.ticket,
        ends_at=change.expires_at,
        read_status=name_of(read[-1].status or 0) if read else None,
        read_at=read[-1].at if read else None,
    )


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
