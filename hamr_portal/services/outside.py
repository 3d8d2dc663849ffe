"""Which changes did the portal see that it did not make, and who has looked at them?"""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.db import transaction
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.connections import sanitized
from hamr_portal.domain.findings import OUTSIDE_CHANGE_SHOWN_FOR
from hamr_portal.models import Observation, Organization, Snapshot

from . import audit
from .outside_news import ONE_WRITE_WITHIN

LONGEST_COMMENT = 2000


class AlreadyAcknowledged(Exception):
    """Somebody has acknowledged this already."""


class CommentMissing(Exception):
    """It is not said who made the change, or why."""


@dataclass(frozen=True)
class Outside:
    """A change that the portal saw and did not make, what was there before, and where the other side shows it too."""

    seen: Observation
    before: Observation | None
    mirrored: Observation | None = None


def listed(*, limit: int) -> list[Outside]:
    """Give the newest of them, those that nobody has acknowledged first."""
    earlier = Observation.objects.filter(organization=OuterRef("organization")).filter(
        Q(at__lt=OuterRef("at")) | Q(at=OuterRef("at"), pk__lt=OuterRef("pk"))
    )
    rows = Observation.objects.filter(outside=True, organization__drill__isnull=True).select_related("organization")
    rows = rows.annotate(before_id=Subquery(earlier.order_by("-at", "-pk").values("pk")[:1]))
    found = list(rows.order_by(F("acknowledged_at").desc(nulls_first=True), "-at", "-pk")[: 2 * limit])
    before = Observation.objects.in_bulk([row.before_id for row in found if row.before_id is not None])
    writes: list[Outside] = []
    for row in found:
        one = next((each for each in writes if each.mirrored is None and _is_one_write(each.seen, row)), None)
        if one is not None:
            writes[writes.index(one)] = replace(one, mirrored=row)
        else:
            writes.append(Outside(row, before.get(row.before_id)))
    return writes[:limit]


def _is_one_write(one: Observation, other: Observation) -> bool:
    """Tell whether the two sides of a pair show the same write, and the same was said of it."""
    pair = one.organization.pair_id
    return (
        pair is not None
        and pair == other.organization.pair_id
        and one.organization_id != other.organization_id
        and (one.status, one.modified_by) == (other.status, other.modified_by)
        and one.acknowledged_at == other.acknowledged_at
        and abs(one.at - other.at) <= ONE_WRITE_WITHIN
    )


def acknowledge(observation: Observation, *, comment: str, by: Actor) -> None:
    """Put down who made a change and why, on both sides where both show it; it is no news from then on.

    Raises `CommentMissing`, `AlreadyAcknowledged`.
    """
    if not comment.strip():
        raise CommentMissing(f"observation {observation.pk}")
    words = sanitized(comment.strip(), LONGEST_COMMENT)
    organization, now = observation.organization, timezone.now()
    with transaction.atomic():
        # In the order of `readings.store`: a reading that comes in between waits, and is seen as one.
        list(_snapshots(organization).select_for_update().order_by("pk").values_list("pk"))
        one = Observation.objects.filter(pk=observation.pk, outside=True, acknowledged_at__isnull=True)
        told = {"acknowledged_at": now, "acknowledged_by": by.name, "comment": words}
        if not one.update(**told):
            raise AlreadyAcknowledged(f"observation {observation.pk}")
        mirrored = list(_mirrored(observation).values_list("pk", flat=True))
        Observation.objects.filter(pk__in=mirrored).update(**told)
        _clear(organization)
        audit.append(
            Event.OUTSIDE_ACKNOWLEDGED,
            by=by,
            organization=organization.name,
            reason=words,
            data={
                "seen_at": observation.at,
                "status": observation.status,
                "modified_by": observation.modified_by,
                "observations": [observation.pk, *mirrored],
            },
        )


def _snapshots(organization: Organization) -> QuerySet[Snapshot]:
    side = Q(pk=organization.pk)
    if organization.pair_id is not None:
        side |= Q(organization__pair=organization.pair_id)
    return Snapshot.objects.filter(pk__in=Snapshot.objects.filter(side).values("pk"))


def _mirrored(observation: Observation) -> QuerySet[Observation]:
    """Give what the other side of the pair shows of the same write."""
    if observation.organization.pair_id is None:
        return Observation.objects.none()
    return Observation.objects.filter(
        organization__pair=observation.organization.pair_id,
        outside=True,
        acknowledged_at__isnull=True,
        status=observation.status,
        modified_by=observation.modified_by,
        at__range=(observation.at - ONE_WRITE_WITHIN, observation.at + ONE_WRITE_WITHIN),
    ).exclude(organization=observation.organization_id)


def _clear(organization: Organization) -> None:
    """Let each side tell of the newest that nobody has acknowledged, or of nothing."""
    since = timezone.now() - OUTSIDE_CHANGE_SHOWN_FOR
    news = Observation.objects.filter(outside=True, acknowledged_at__isnull=True, at__gt=since)
    newest = news.filter(organization=OuterRef("pk")).order_by("-at").values("at")[:1]
    _snapshots(organization).update(outside_at=Subquery(newest))
