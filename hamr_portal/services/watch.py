"""Which pairs began to need action, and which do not any more? Told once when it begins, and once when it is over."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from hamr_portal.domain.findings import Verdict
from hamr_portal.domain.news import LASTS, Kind, Lean, lean_of, telling
from hamr_portal.models import Watched

from . import notifications, overview
from .overview import Row, SideRow


def look(*, now: datetime) -> None:
    """Hold the verdict on every pair against what was told of it last, and queue news where that has lasted.

    Any number of workers may look at once: each step is taken by one of them.
    """
    rows = {_key(row): row for row in overview.overview(now=now).rows}
    watched = {each.key: each for each in Watched.objects.all()}
    gone = watched.keys() - rows.keys()
    if gone:
        # Whoever disabled or paired it knows.
        Watched.objects.filter(key__in=gone).delete()
    begun = [key for key, row in rows.items() if key not in watched and telling(row.verdict) is not None]
    Watched.objects.bulk_create(
        [Watched(key=key, leans=Lean.WORSE, leans_since=now) for key in begun], ignore_conflicts=True
    )
    for key, row in rows.items():
        if key in watched:
            _weigh(watched[key], row, now)


def _key(row: Row) -> str:
    if row.pair is not None and len(row.sides) == 2:
        return f"pair-{row.pair.pk}"
    return f"organization-{row.sides[0].organization.pk}"


def _weigh(state: Watched, row: Row, now: datetime) -> None:
    seen = telling(row.verdict)
    lean = lean_of(state.verdict, seen)
    still = Watched.objects.filter(key=state.key, told=state.told, leans=state.leans)
    if lean != state.leans:
        if lean is Lean.LEVEL and seen is None:
            still.delete()
        else:
            still.update(leans=lean, leans_since=now)
    # Both ways: a clock may be set back.
    elif lean is not Lean.LEVEL and abs(now - state.leans_since) >= LASTS[lean]:
        with transaction.atomic():
            if _took(still, seen, now):
                _tell(state, row, seen, now)


def _took(still: QuerySet[Watched], seen: Verdict | None, now: datetime) -> bool:
    """Put down that this is told, unless another worker was first; of what is over, nothing need be known."""
    if seen is None:
        return bool(still.delete()[0])
    return bool(still.update(told=seen.name, told_at=now, leans=Lean.LEVEL, leans_since=now))


def _tell(state: Watched, row: Row, seen: Verdict | None, now: datetime) -> None:
    facts: dict[str, Any] = {"name": row.name, "verdict": row.verdict.label}
    facts |= {"before": state.verdict.label if state.verdict is not None else ""}
    facts |= {"sides": [_side(side) for side in row.sides]}
    if seen is not None:
        notifications.queue(Kind.VERDICT, at=now, since_at=row.judgement.since, **facts)
    else:
        notifications.queue(Kind.OVER, at=now, told_at=state.told_at, over_at=state.leans_since, **facts)


def _side(row: SideRow) -> dict[str, Any]:
    return {
        "name": row.organization.name,
        "site": row.organization.site,
        "status": row.status_name,
        "is_current": row.is_current,
        "answered_at": row.snapshot.answered_at,
        "outcome": row.snapshot.outcome,
        "http_status": row.snapshot.attempt_status,
        "repeats": row.snapshot.repeats,
    }
