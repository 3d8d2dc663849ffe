"""Who hears of a change that the portal saw and did not make? What a reading brought to light is told, once a write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from hamr_portal.domain.audit import Event
from hamr_portal.domain.connections import name_of
from hamr_portal.domain.news import Kind
from hamr_portal.models import Observation

from . import notifications

ONE_WRITE_WITHIN = timedelta(minutes=10)
"""Both sides show one write; they are read at most this far apart."""


def tell(observations: Iterable[Observation], entries: Iterable[Mapping[str, Any]]) -> None:
    """Queue news of what was changed outside the portal; both sides of a pair show one write, and it is told once."""
    before = {
        each["organization"]: each["data"]["before"]
        for each in entries
        if each["event"] == Event.STATUS_CHANGED_OUTSIDE
    }
    for seen in observations:
        organization = seen.organization
        if not seen.outside or organization.drill_id is not None:
            continue
        where = f"pair {organization.pair_id}" if organization.pair_id is not None else organization.name
        key = f"{where} {seen.status} {seen.modified_by}"
        if notifications.was_told_lately(Kind.OUTSIDE, key, since=seen.at - ONE_WRITE_WITHIN):
            continue
        was = before[organization.name]
        notifications.queue(
            Kind.OUTSIDE,
            at=seen.at,
            key=key,
            organization=organization.name,
            site=organization.site,
            before=name_of(was["status"]) if was["status"] is not None else None,
            after=name_of(seen.status) if seen.status is not None else None,
            turned=was["is_primary"] != seen.is_primary,
            is_primary=seen.is_primary,
            names=seen.target_name if was["target_uuid"] != seen.target_uuid else "",
            modified_by=seen.modified_by,
            modified_at=seen.modified_at,
        )
