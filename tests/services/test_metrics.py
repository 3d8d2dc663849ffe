from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.models import Snapshot, Worker
from hamr_portal.services import integrity, metrics
from hamr_portal.services.pulse import Pulse
from tests import factories
from tests.services import changing
from tests.services.tampering import write

pytestmark = pytest.mark.django_db


def test_how_each_organization_was_read_last() -> None:
    now = timezone.now()
    _, secondary = factories.pair(at=now - timedelta(seconds=9))
    silent = {"outcome": "NO_ANSWER", "attempt_failed": True, "repeats": 7, "attempted_at": now}
    Snapshot.objects.filter(pk=secondary.pk).update(**silent)
    factories.organization("halden-new")
    factories.organization("halden-off", disabled_at=now)

    found = {reading.organization: reading for reading in metrics.measured(now=now).readings}

    assert list(found) == ["halden-checkout", "halden-checkout-dr", "halden-new"]
    read, failed, new = found.values()
    assert (read.outcome, read.answered_ago, read.failed_in_a_row, read.site) == ("ANSWERED", 9.0, 0, "us1")
    assert (failed.outcome, failed.answered_ago, failed.attempted_ago, failed.failed_in_a_row) == ("NO_ANSWER", 9, 0, 7)
    assert (new.outcome, new.answered_ago, new.attempted_ago) == ("", None, None)


def test_open_changes_by_status_with_every_status_that_can_be_open() -> None:
    primary, _ = factories.pair()
    changing.standing(primary, ChangeStatus.UNKNOWN)

    found = metrics.measured(now=timezone.now())

    assert found.open_changes["UNKNOWN"] == 1
    assert {status: count for status, count in found.open_changes.items() if count} == {"UNKNOWN": 1}
    assert "SENDING" in found.open_changes
    assert found.needing_action == 1


def test_the_record_its_anchor_and_whether_it_is_in_doubt() -> None:
    write(3)
    before = metrics.measured(now=timezone.now())
    integrity.verify_and_keep(by=factories.WORKER)

    after = metrics.measured(now=timezone.now() + timedelta(seconds=90))

    assert (before.audit_seq, before.anchor_seq, before.anchor_ago) == (3, None, None)
    assert (after.audit_seq, after.anchor_seq, after.audit_in_doubt) == (3, 3, False)
    assert after.anchor_ago is not None
    assert after.anchor_ago >= 90


def test_without_the_ring_the_record_is_in_doubt_and_the_rest_is_measured() -> None:
    write(1)
    integrity.verify_and_keep(by=factories.WORKER)
    settings.KEY_RING_FILE.unlink()

    found = metrics.measured(now=timezone.now())

    assert (found.audit_seq, found.anchor_seq, found.audit_in_doubt) == (1, None, True)


def test_the_workers_pulse() -> None:
    now = timezone.now()
    none = metrics.measured(now=now)
    Worker.objects.create(name="w", started_at=now, seen_at=now - timedelta(seconds=4))

    found = metrics.measured(now=now)

    assert (none.worker.pulse, none.worker_ago) == (Pulse.STOPPED, None)
    assert (found.worker.pulse, found.worker_ago) == (Pulse.LIVE, 4.0)


def test_how_long_a_freeze_still_holds() -> None:
    now = timezone.now()
    freeze = changing.frozen()

    during, after = metrics.measured(now=freeze.ends_at - timedelta(seconds=9)), metrics.measured(now=freeze.ends_at)

    assert metrics.measured(now=now).freeze_left is not None
    assert (during.freeze_left, after.freeze_left) == (9.0, None)
