from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pytest_django.fixtures import Settings

from hamr_portal.models import Worker
from hamr_portal.services import pulse
from hamr_portal.services.pulse import Pulse, WorkerState

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def worker(seconds_ago: float, *, stopped: bool = False) -> datetime:
    seen_at = NOW - timedelta(seconds=seconds_ago)
    name = f"worker-{Worker.objects.count()}"
    Worker.objects.create(name=name, started_at=seen_at, seen_at=seen_at, stopped_at=seen_at if stopped else None)
    return seen_at


def test_a_portal_without_a_worker_is_stopped_and_was_never_read():
    assert pulse.state(now=NOW) == WorkerState(Pulse.STOPPED, None)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, Pulse.LIVE),
        (90, Pulse.LIVE),
        (91, Pulse.LATE),
        (600, Pulse.LATE),
        (601, Pulse.STOPPED),
        (-60, Pulse.LIVE),
        (-61, Pulse.STOPPED),
    ],
)
def test_a_worker_is_late_after_three_intervals_and_stopped_after_ten_minutes(seconds: float, expected: Pulse):
    seen_at = worker(seconds)

    assert pulse.state(now=NOW) == WorkerState(expected, seen_at)


def test_a_longer_interval_makes_late_later(settings: Settings):
    settings.HAMR_POLL_INTERVAL = 60
    worker(179)

    assert pulse.state(now=NOW).pulse is Pulse.LIVE
    assert pulse.late_after() == timedelta(minutes=3)


def test_a_worker_that_ended_is_not_at_work_and_was_last_seen_then():
    seen_at = worker(5, stopped=True)

    assert pulse.state(now=NOW) == WorkerState(Pulse.STOPPED, seen_at)


def test_one_worker_at_work_is_enough():
    worker(5, stopped=True)
    worker(-3600)
    seen_at = worker(20)
    worker(700)

    assert pulse.state(now=NOW) == WorkerState(Pulse.LIVE, seen_at)
