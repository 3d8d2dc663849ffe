"""Changes that hold their pair: what findings, the overview and the dashboard are asked about."""

from __future__ import annotations

from datetime import datetime, timedelta
from secrets import token_urlsafe
from typing import Any

from django.utils import timezone

from hamr_portal.domain.changes import APPROVAL_LASTS, ChangeStatus, What
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Role
from hamr_portal.models import Change, LogLine, Organization, Person
from tests import factories

AUTHOR = "mara.lindqvist@halden.example"


def opened(
    organization: Organization,
    status: ChangeStatus = ChangeStatus.SENDING,
    *,
    target: HamrStatus = HamrStatus.FAILOVER,
    at: datetime | None = None,
    **fields: Any,
) -> Change:
    """Save a change at one moment of its life, as services leave it, with what was read before."""
    now = at or timezone.now()
    author = Person.objects.filter(email=AUTHOR).first() or factories.person(Role.OPERATOR, AUTHOR)
    waits = status == ChangeStatus.AWAITING_APPROVAL
    given: dict[str, Any] = {
        "nonce": token_urlsafe(32),
        "organization": organization,
        "pair": organization.pair,
        "author": author,
        "status": status,
        "target_status": target,
        "target_uuid": organization.snapshot.target_uuid,
        "writer": AUTHOR,
        "needs_approval": waits,
        "prepared_at": now - timedelta(seconds=40),
        "confirmed_at": now,
        "sent_at": None if waits else now,
        "expires_at": now + APPROVAL_LASTS,
    }
    change = Change.objects.create(**{**given, **fields})
    LogLine.objects.create(
        change=change,
        at=now,
        last_at=now,
        what=What.PREVIEWED,
        organization=organization,
        has_connection=organization.snapshot.has_connection,
        status=organization.snapshot.status,
    )
    return change
