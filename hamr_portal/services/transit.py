"""Which sides are between two statuses, since when, and which change brought them there?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.db.models import Q

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.transit import BETWEEN, LOOKED_BACK, Seen, Transit, transit
from hamr_portal.models import Change, Observation, Organization


def between(organizations: Iterable[Organization]) -> list[Organization]:
    """Keep those that say, or last said, a status that is passed through."""
    return [each for each in organizations if each.snapshot.status in BETWEEN]


def clocks(organizations: Iterable[Organization], *, now: datetime) -> dict[UUID, Transit]:
    """Give since when these are between. One query, and none where there is nothing to ask."""
    asked = {each.pk: each for each in between(organizations)}
    if not asked:
        return {}
    lines: dict[UUID, list[Seen]] = {key: [] for key in asked}
    found = Observation.objects.filter(organization__in=asked, at__gte=now - LOOKED_BACK).order_by("at", "pk")
    for key, at, status, modified_at in found.values_list("organization", "at", "status", "modified_at"):
        lines[key].append(Seen(at, status, modified_at))
    clocks = {}
    for key, each in asked.items():
        seen = each.snapshot
        if not lines[key] and seen.view_since is not None:
            lines[key].append(Seen(seen.view_since, seen.status, seen.modified_at))
        found_since = transit(seen.status, lines[key])
        if found_since is not None:
            clocks[key] = found_since
    return clocks


def led_to(organizations: Iterable[Organization], *, now: datetime) -> list[Change]:
    """Give the verified changes of sides that are between, the newest first. One query; none where none is between."""
    keys = {each.pk for each in between(organizations)}
    if not keys:
        return []
    verified = Change.objects.filter(status=ChangeStatus.VERIFIED, sent_at__gt=now - LOOKED_BACK)
    concerned = verified.filter(Q(organization__in=keys) | Q(other__in=keys))
    people = ("organization", "author", "driver", "offered_to")
    return list(concerned.select_related(*people).defer("request", "noticed_json").order_by("-pk"))
