"""When did nobody read?

A worker that rests, hangs or does not keep up leaves no other trace in an organization's history.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings

from hamr_portal.domain.connections import ReadOutcome, seconds_until_unread
from hamr_portal.models import Lapse, Observation, Snapshot


def due_at(snapshot: Snapshot) -> datetime | None:
    """Give from when on nobody can be said to read, unless somebody has read again; None where nobody has yet."""
    if snapshot.attempted_at is None:
        return None
    seconds = seconds_until_unread(
        ReadOutcome(snapshot.outcome), repeats=snapshot.repeats, interval=settings.HAMR_POLL_INTERVAL
    )
    return snapshot.attempted_at + timedelta(seconds=seconds)


def ended(before: Snapshot, at: datetime) -> list[Lapse]:
    """Give the lapse that a read ends, to be saved with it, if one there was. `before` is from before that read."""
    limit = due_at(before)
    if limit is not None and at <= limit:
        return []
    since = before.attempted_at or _last_seen(before)
    if since is None or since >= at or _goes_on(before, at):
        return []
    return [Lapse(organization_id=before.pk, since=since, until=at)]


def _last_seen(snapshot: Snapshot) -> datetime | None:
    """Give when there was news last: where keys were pinned anew, no more is known of the reads before."""
    lines = Observation.objects.filter(organization=snapshot.pk)
    return lines.order_by("-at", "-id").values_list("at", flat=True).first()


def _goes_on(before: Snapshot, at: datetime) -> bool:
    """Let the last lapse go on where it was ended by one read without news: a row for each would be many."""
    if before.attempted_at is None or before.attempted_at in (before.view_since, before.outcome_since):
        return False
    return bool(Lapse.objects.filter(organization=before.pk, until=before.attempted_at).update(until=at))
