"""How does the overview read for machines? The words of the domain in upper case, moments in ISO 8601."""

from __future__ import annotations

from collections import Counter

from django.urls import reverse

from hamr_portal.domain.connections import known_status
from hamr_portal.domain.findings import Group
from hamr_portal.models import Change, Freeze

from .overview import Overview, Row, SideRow, needing_action
from .pulse import WorkerState


def as_json(everything: Overview, worker: WorkerState, freeze: Freeze | None) -> dict[str, object]:
    """Give the overview, and the freeze that holds, as what JSON can hold."""
    counted = Counter(row.verdict.group for row in everything.shown)
    return {
        "at": everything.at.isoformat(),
        "worker": {
            "pulse": worker.pulse.name,
            "seen_at": worker.seen_at.isoformat() if worker.seen_at else None,
        },
        "freeze": _freeze_json(freeze),
        "fresh": everything.fresh,
        "views": len(everything.views),
        "needs_action": needing_action(everything),
        "counts": {group.name: counted[group] for group in Group},
        "pairs": [_row_json(row) for row in everything.shown],
    }


def _freeze_json(freeze: Freeze | None) -> dict[str, object] | None:
    if freeze is None:
        return None
    return {
        "reason": freeze.reason,
        "begun_at": freeze.begun_at.isoformat(),
        "begun_by": freeze.begun_by,
        "ends_at": freeze.ends_at.isoformat(),
    }


def _row_json(row: Row) -> dict[str, object]:
    judgement = row.judgement
    return {
        "name": row.name,
        "paired": row.pair is not None,
        "group": row.verdict.group.name,
        "verdict": row.verdict.name,
        "since": judgement.since.isoformat() if judgement.since else None,
        "join": judgement.join.name,
        "findings": [
            {"finding": found.finding, "organization": found.side.name if found.side else None}
            for found in judgement.findings
        ],
        "change": _change_json(row.change),
        "driven": _driven_json(row.driven),
        "primary": _side_json(row.primary),
        "secondary": _side_json(row.secondary),
    }


def _change_json(change: Change | None) -> dict[str, object] | None:
    if change is None:
        return None
    since = change.sent_at or change.confirmed_at
    return {
        "id": change.pk,
        "organization": change.organization.name,
        "status": change.status,
        "target": change.target.name,
        "by": change.author.email,
        "since": since.isoformat() if since else None,
        "url": reverse("change", kwargs={"pk": change.pk}),
    }


def _driven_json(change: Change | None) -> dict[str, object] | None:
    """Give who drives the open change, or the one by which a side is still between two statuses."""
    if change is None:
        return None
    offered = change.offered_to.email if change.offered_to is not None else None
    return {"id": change.pk, "driver": change.driven_by.email, "offered_to": offered}


def _side_json(row: SideRow | None) -> dict[str, object] | None:
    if row is None:
        return None
    side, snapshot = row.side, row.snapshot
    known = known_status(side.status)
    return {
        "organization": side.name,
        "site": side.site,
        "uuid": str(side.uuid) if side.uuid else None,
        "current": row.is_current,
        "status": known.name if known is not None else None,
        "status_number": side.status,
        "between_since": side.transit.since.isoformat() if side.transit else None,
        "between_since_is_known": side.transit.is_known if side.transit else None,
        "has_connection": side.has_connection,
        "says_primary": side.is_primary,
        "target_uuid": str(side.target_uuid) if side.target_uuid else None,
        "modified_at": side.modified_at.isoformat() if side.modified_at else None,
        "modified_by": side.modified_by,
        "answered_at": side.answered_at.isoformat() if side.answered_at else None,
        "last_read": side.outcome,
        "last_read_at": snapshot.attempted_at.isoformat() if snapshot.attempted_at else None,
        "reads_in_a_row": side.repeats,
        "reason": snapshot.attempt_reason,
    }
