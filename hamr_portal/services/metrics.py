"""What does a monitoring system ask of the portal? Numbers of this moment, read from the database at each scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.changes import OPEN, ChangeStatus
from hamr_portal.models import Change, Organization

from . import anchors, audit, freezes, integrity, notifications, overview
from .pulse import WorkerState


@dataclass(frozen=True)
class Reading:
    """How one organization was read last; what never was is None."""

    organization: str
    site: str
    outcome: str
    answered_ago: float | None
    attempted_ago: float | None
    failed_in_a_row: int


@dataclass(frozen=True)
class Measured:
    """Everything that is measured. Ages are in seconds."""

    readings: tuple[Reading, ...]
    needing_action: int
    open_changes: Mapping[str, int]
    audit_seq: int
    audit_in_doubt: bool
    anchor_seq: int | None
    anchor_ago: float | None
    worker: WorkerState
    worker_ago: float | None
    freeze_left: float | None
    news_waiting: int
    news_oldest_ago: float | None
    news_given_up: int


def measured(*, now: datetime) -> Measured:
    """Measure. Nothing is written, and nobody is asked."""
    anchor = _anchor()
    (worker, freeze), backlog = freezes.beside_workers(now=now), notifications.backlog(now=now)
    return Measured(
        readings=tuple(_reading(organization, now) for organization in _read()),
        needing_action=overview.needing_action(overview.overview(now=now)),
        open_changes=_open_changes(),
        audit_seq=audit.head().seq,
        audit_in_doubt=integrity.trouble() is not None,
        anchor_seq=anchor[0] if anchor is not None else None,
        anchor_ago=_ago(anchor[1], now) if anchor is not None else None,
        worker=worker,
        worker_ago=_ago(worker.seen_at, now),
        freeze_left=(freeze.ends_at - now).total_seconds() if freeze is not None else None,
        news_waiting=backlog.waiting,
        news_oldest_ago=_ago(backlog.oldest, now),
        news_given_up=backlog.given_up,
    )


def _read() -> list[Organization]:
    return list(Organization.objects.enabled().real().select_related("snapshot").by_name())


def _reading(organization: Organization, now: datetime) -> Reading:
    snapshot = organization.snapshot
    return Reading(
        organization=organization.name,
        site=organization.site,
        outcome=snapshot.outcome,
        answered_ago=_ago(snapshot.answered_at, now),
        attempted_ago=_ago(snapshot.attempted_at, now),
        failed_in_a_row=snapshot.repeats if snapshot.attempt_failed else 0,
    )


def _open_changes() -> Mapping[str, int]:
    rows = Change.objects.open().real().order_by().values_list("status").annotate(count=Count("pk"))
    found = Counter(dict(rows))
    return {status.value: found[status] for status in ChangeStatus if status in OPEN}


def _anchor() -> tuple[int, datetime] | None:
    try:
        newest = anchors.newest()
    except (anchors.AnchorsUnreadable, KeyRingUnusable):
        return None  # told by the doubt that it is reason for
    return (newest.seq, datetime.fromisoformat(newest.at)) if newest is not None else None


def _ago(at: datetime | None, now: datetime) -> float | None:
    return (now - at).total_seconds() if at is not None else None
