"""What became of a change, and what came to the simulator: what each test of a fault asks."""

from __future__ import annotations

import json
from typing import Any

from hamr_portal.domain.changes import UNSETTLED
from hamr_portal.models import AuditEntry, Change
from hamr_portal.services import reconciliation
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services.changing import fresh

SENT = ["change.prepared", "change.sending"]


def story(change: Change) -> list[str]:
    """Give the events on the record that name this change, oldest first."""
    return list(AuditEntry.objects.filter(change=change.pk).order_by("seq").values_list("event", flat=True))


def data_of(change: Change, event: str) -> dict[str, Any]:
    """Give what the record says with the one entry of an event."""
    data: dict[str, Any] = json.loads(AuditEntry.objects.get(change=change.pk, event=event).data)
    return data


def assert_sent(change: Change, simulator: Simulator, *then: str, status: str) -> None:
    """Hold a change that was sent: where it is, the record, one POST, and nothing but readings after it."""
    assert fresh(change).status == status
    assert story(change) == [*SENT, *then]
    verbs = [request.verb for request in simulator.requests]
    assert verbs.count("POST") == 1
    assert set(verbs[verbs.index("POST") + 1 :]) <= {"GET"}


def assert_no_post(change: Change, simulator: Simulator, *events: str, status: str) -> None:
    """Hold a change of which no request reached the simulator."""
    assert fresh(change).status == status
    assert story(change) == [*events]
    assert simulator.posts == []


def settle(change: Change, clock: Any) -> None:
    """Let time pass from one look to the next until it is known what came of a change."""
    for _ in range(20):
        now = fresh(change)
        if now.status not in UNSETTLED:
            return
        assert now.check_at is not None
        clock.move_to(now.check_at)
        reconciliation.reconcile(by=factories.WORKER)
    raise AssertionError("It was read twenty times and is not settled.")
