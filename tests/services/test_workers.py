from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event as Signal
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection
from django.db.models import Q
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Event
from hamr_portal.models import Change, Organization, Snapshot, Worker
from hamr_portal.services import connections, pulse, readings, reconciliation, workers
from hamr_portal.services.connections import Flight, Result
from hamr_portal.services.pulse import Pulse
from hamr_portal.services.workers import choose
from hamr_portal.simulator import Simulator
from tests import factories

from . import changing
from .records import entries

# A worker closes the connections that it cannot use any more; inside a test's transaction that would be its end.
pytestmark = pytest.mark.django_db(transaction=True)


class StopWhen(Signal):
    """A signal that is set as soon as something has happened; asked at every turn of the worker."""

    def __init__(self, happened: Callable[[], bool]) -> None:
        super().__init__()
        self.happened = happened
        self.turns = 0
        self.gives_up_at = time.monotonic() + 120

    def is_set(self) -> bool:
        self.turns += 1
        if not super().is_set() and self.happened():
            self.set()
        assert time.monotonic() < self.gives_up_at, "it never happened"
        return super().is_set()


def simulated(simulator: Simulator, count: int, site: str = "us1", name: str = "org") -> list[Organization]:
    return [factories.simulated(simulator.add_organization(f"{name}-{number}", site)) for number in range(1, count + 1)]


def answered() -> int:
    return Snapshot.objects.filter(outcome="NO_CONNECTION").count()


# --- reading ----------------------------------------------------------------------------------------------------


def test_one_pass_reads_every_organization_with_fewer_threads_than_organizations(
    simulator: Simulator, settings: Settings
):
    settings.HAMR_SWEEP_THREADS = 2
    simulated(simulator, 5)
    simulated(simulator, 2, site="us5", name="dr")

    workers.run(Signal(), once=True)

    assert answered() == 7
    assert Counter(request.organization for request in simulator.requests).most_common(1)[0][1] == 1


def test_one_pass_discovers_the_pairs(simulator: Simulator):
    simulated(simulator, 2)
    simulator.add_pair("org-1", "org-2")

    workers.run(Signal(), once=True)

    one, two = Organization.objects.by_name()
    assert one.pair_id is not None
    assert one.pair_id == two.pair_id


def test_one_pass_without_organizations_ends():
    workers.run(Signal(), once=True)

    assert Worker.objects.get().stopped_at is not None


def test_one_pass_reads_nothing_twice_though_it_is_due_again(simulator: Simulator, settings: Settings):
    settings.HAMR_POLL_INTERVAL = 0
    settings.HAMR_SWEEP_THREADS = 2
    simulated(simulator, 4)

    workers.run(StopWhen(lambda: len(simulator.requests) > 4), once=True)

    assert answered() == 4
    assert len(simulator.requests) == 4


def test_a_worker_goes_on_reading_each_interval_until_it_is_stopped(simulator: Simulator, settings: Settings):
    settings.HAMR_POLL_INTERVAL = 0
    simulated(simulator, 1)

    workers.run(StopWhen(lambda: len(simulator.requests) >= 3))

    assert Snapshot.objects.get().repeats == len(simulator.requests) >= 3


def test_nine_are_stored_while_the_tenth_hangs(simulator: Simulator, settings: Settings):
    settings.HAMR_DEADLINE = 60
    simulated(simulator, 9)
    (hanging,) = simulated(simulator, 1, site="us5", name="hanging")
    simulator.set_fault("hanging-1", "hang")
    seen: list[tuple[str, bool]] = []

    def nine_are_stored() -> bool:
        if answered() == 9 and not seen:
            tenth = Snapshot.objects.get(pk=hanging.pk)
            seen.append((tenth.outcome, tenth.lease is not None))
            simulator.set_fault("hanging-1", "refuse")  # cuts the connection that hangs
            simulator.set_fault("hanging-1", None)
        return bool(seen)

    workers.run(StopWhen(nine_are_stored))

    assert seen == [("", True)]
    assert Snapshot.objects.exclude(outcome="").count() == 10


def test_a_stop_signal_lets_what_is_in_the_air_land_and_takes_nothing_new(simulator: Simulator, settings: Settings):
    settings.HAMR_SWEEP_THREADS = 2
    settings.HAMR_POLL_INTERVAL = 0
    simulated(simulator, 4)

    workers.run(StopWhen(lambda: len(simulator.requests) >= 1))

    assert not Snapshot.objects.exclude(lease=None).exists()
    assert Snapshot.objects.exclude(outcome="").count() == len({each.organization for each in simulator.requests}) < 4


def test_a_signal_before_the_start_reads_nothing(simulator: Simulator):
    simulated(simulator, 1)
    stop = Signal()
    stop.set()

    workers.run(stop)

    assert simulator.requests == []
    assert Worker.objects.get().stopped_at is not None


# --- sharing the threads ----------------------------------------------------------------------------------------


def test_a_dark_site_takes_at_most_half_of_the_threads():
    dark = [(uuid4(), "us1") for _ in range(50)]
    fine = [(uuid4(), "us5") for _ in range(3)]

    chosen = choose(dark + fine, Counter(), 8)

    assert chosen == [pk for pk, _ in dark[:4] + fine]


def test_what_is_in_the_air_counts_towards_a_sites_share():
    due = [(uuid4(), "us1"), (uuid4(), "us5"), (uuid4(), "eu1"), (uuid4(), "us5")]

    chosen = choose(due, Counter({"us1": 4, "us5": 2}), 8)

    assert chosen == [due[1][0], due[2][0]]


def test_one_thread_still_reads():
    due = [(uuid4(), "us1"), (uuid4(), "us1")]

    assert choose(due, Counter(), 1) == [due[0][0]]
    assert choose(due, Counter({"us1": 1}), 1) == []


def test_a_worker_with_full_hands_takes_nothing(simulator: Simulator, settings: Settings):
    settings.HAMR_SWEEP_THREADS = 1
    settings.HAMR_DEADLINE = 0.2
    simulated(simulator, 2)
    simulator.set_fault("org-1", "hang")

    workers.run(Signal(), once=True)

    assert {s.outcome for s in Snapshot.objects.all()} == {"NO_ANSWER", "NO_CONNECTION"}


# --- what goes wrong --------------------------------------------------------------------------------------------


@pytest.fixture
def table() -> str:
    return Snapshot._meta.db_table


def rename(table: str, to: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {to}")


def test_the_loop_survives_a_database_error(simulator: Simulator, caplog: pytest.LogCaptureFixture, table: str):
    simulated(simulator, 1)
    rename(table, "away")
    stop = StopWhen(lambda: stop.turns > 2 and came_back() and answered() == 1)

    def came_back() -> bool:
        if stop.turns == 3:
            rename("away", table)
        return True

    workers.run(stop)

    assert answered() == 1
    assert any("the database did not take it" in record.message for record in caplog.records)


def test_an_answer_is_stored_once_the_database_is_back(simulator: Simulator, table: str):
    simulated(simulator, 1)

    def stored() -> bool:
        # Away as soon as the request has arrived, for three turns.
        if len(simulator.requests) == 1 and "away" not in times:
            times["away"] = stop.turns
            rename(table, "away")
        if times.get("away") == stop.turns - 3:
            rename("away", table)
        return "away" in times and stop.turns > times["away"] + 3 and answered() == 1

    times: dict[str, int] = {}
    stop = StopWhen(stored)
    workers.run(stop)

    assert answered() == 1
    assert len(simulator.requests) == 1


def test_a_worker_that_is_stopped_does_not_wait_for_a_database(
    simulator: Simulator, settings: Settings, caplog: pytest.LogCaptureFixture, table: str
):
    settings.HAMR_DEADLINE = 0.5
    simulated(simulator, 1)
    simulator.set_fault("org-1", "hang")

    def flying() -> bool:
        if not simulator.requests:
            return False
        rename(table, "away")
        return True

    try:
        workers.run(StopWhen(flying))
    finally:
        rename("away", table)

    assert "the database did not take it" in caplog.text
    assert Snapshot.objects.get().lease is not None


def test_one_pass_says_that_the_database_failed_instead_of_reading_nothing(simulator: Simulator, table: str):
    simulated(simulator, 1)
    rename(table, "away")

    try:
        with pytest.raises(DatabaseError):
            workers.run(Signal(), once=True)
    finally:
        rename("away", table)

    assert simulator.requests == []


def test_a_worker_ends_though_the_database_does_not_take_its_end(caplog: pytest.LogCaptureFixture):
    table = Worker._meta.db_table

    def broken() -> bool:
        rename(table, "away")
        return True

    try:
        workers.run(StopWhen(broken))
    finally:
        rename("away", table)

    assert "did not take the end of this worker" in caplog.text
    assert Worker.objects.get().stopped_at is None


def test_a_bug_in_one_read_stops_no_other(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    simulated(simulator, 3)
    fetch = connections.fetch

    def stumble(flight: Flight) -> Result:
        if flight.name == "org-2":
            raise RuntimeError(factories.CANARY_API_KEY)
        return fetch(flight)

    monkeypatch.setattr(connections, "fetch", stumble)

    workers.run(Signal(), once=True)

    assert answered() == 2
    assert "reading org-2 failed: RuntimeError" in caplog.text
    assert factories.CANARY_API_KEY not in caplog.text


def test_an_answer_that_the_database_refuses_takes_no_other_with_it(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    simulated(simulator, 3)
    fetch = connections.fetch
    together = threading.Barrier(3)

    def spoil(flight: Flight) -> Result:
        result = fetch(flight)
        together.wait(10)
        # No answer's date is None; here it stands for whatever no column holds.
        return result if flight.name != "org-2" else Result(flight, result.at, None)  # type: ignore[arg-type]

    monkeypatch.setattr(connections, "fetch", spoil)
    monkeypatch.setattr(readings, "seconds_until_next_read", lambda *_, **__: 30.0)

    workers.run(Signal(), once=True)

    assert answered() == 2
    assert "storing what org-2 answered failed" in caplog.text


def test_what_landed_together_is_stored_each_by_itself_where_the_database_refuses_one(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    made = simulated(simulator, 3)
    results = [connections.fetch(flight) for flight in connections.claim([each.pk for each in made], Q())]
    results[1] = Result(results[1].flight, results[1].at, None)  # type: ignore[arg-type]
    monkeypatch.setattr(readings, "seconds_until_next_read", lambda *_, **__: 30.0)
    row = Worker.objects.create(name="tests", started_at=timezone.now(), seen_at=timezone.now())

    workers._Work(row, once=True)._store(results)

    assert answered() == 2
    assert f"storing what {results[1].flight.name} answered failed" in caplog.text


# --- whether anybody reads --------------------------------------------------------------------------------------


def worker(seen_at: datetime, stopped_at: datetime | None = None) -> Worker:
    return Worker.objects.create(name="host:1", started_at=seen_at, seen_at=seen_at, stopped_at=stopped_at)


def test_without_a_worker_ever_the_state_is_stopped_and_never():
    state = pulse.state(now=timezone.now())

    assert (state.pulse, state.seen_at) == (Pulse.STOPPED, None)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, Pulse.LIVE), (90, Pulse.LIVE), (91, Pulse.LATE), (600, Pulse.LATE), (601, Pulse.STOPPED)],
)
def test_a_killed_worker_becomes_late_and_then_stopped(settings: Settings, seconds: int, expected: Pulse):
    settings.HAMR_POLL_INTERVAL = 30
    now = timezone.now()
    seen_at = now - timedelta(seconds=seconds)
    worker(seen_at)

    state = pulse.state(now=now)

    assert (state.pulse, state.seen_at) == (expected, seen_at)


def test_a_worker_that_ended_by_itself_is_stopped_at_once():
    now = timezone.now()
    worker(now, stopped_at=now)

    assert pulse.state(now=now) == pulse.WorkerState(Pulse.STOPPED, now)


def test_one_live_worker_of_many_is_enough():
    now = timezone.now()
    worker(now - timedelta(hours=1))
    worker(now, stopped_at=now)
    worker(now - timedelta(seconds=1))

    assert pulse.state(now=now) == pulse.WorkerState(Pulse.LIVE, now - timedelta(seconds=1))


def test_a_worker_seen_by_a_clock_that_ran_ahead_is_not_at_work():
    now = timezone.now()
    worker(now + timedelta(days=1))

    assert pulse.state(now=now).pulse is Pulse.STOPPED


def test_a_working_worker_is_live_and_beats(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "HEARTBEAT", timedelta(0))
    seen: list[datetime] = []

    def beaten_twice() -> bool:
        row = Worker.objects.get()
        assert pulse.state(now=timezone.now()).pulse is Pulse.LIVE
        seen.append(row.seen_at)
        return len(set(seen)) == 3

    workers.run(StopWhen(beaten_twice))

    assert seen == sorted(seen)
    assert pulse.state(now=timezone.now()).pulse is Pulse.STOPPED


# --- the record -------------------------------------------------------------------------------------------------


def test_reading_again_after_long_goes_on_the_record():
    long_ago = timezone.now() - timedelta(hours=3)
    worker(long_ago)

    workers.run(Signal(), once=True)

    (entry,) = entries(Event.WORKER_RESUMED)
    assert entry.data == {"last_seen_at": long_ago.isoformat()}
    assert entry.actor == Worker.objects.latest("seen_at").name


@pytest.mark.parametrize("ended", [True, False])
def test_a_worker_right_after_another_or_the_very_first_is_nothing_for_the_record(ended: bool):
    if ended:
        workers.run(Signal(), once=True)

    workers.run(Signal(), once=True)

    assert entries(Event.WORKER_RESUMED) == []


def test_workers_of_last_week_are_forgotten():
    old = worker(timezone.now() - timedelta(days=8))

    workers.run(Signal(), once=True)

    assert not Worker.objects.filter(pk=old.pk).exists()
    assert Worker.objects.count() == 1


def test_two_workers_read_nothing_twice(
    simulator: Simulator, in_parallel: Callable[[int, Callable[[], None]], list[None]]
):
    simulated(simulator, 12)

    in_parallel(2, lambda: workers.run(Signal(), once=True))

    assert answered() == 12
    assert len(simulator.requests) == 12


# --- changes ----------------------------------------------------------------------------------------------------


def not_due() -> None:
    """Let no organization be due for a long time."""
    Snapshot.objects.update(due_at=timezone.now() + timedelta(minutes=5))


def lost(simulator: Simulator) -> Change:
    """Give a change whose request was lost, to be read again a minute ago."""
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", "drop_before", verb="POST")
    change = changing.changed(acme)
    Change.objects.update(check_at=timezone.now() - timedelta(minutes=1))
    return change


def test_what_a_change_waits_for_is_read_on_both_sides_though_it_is_not_due(simulator: Simulator):
    change = lost(simulator)
    simulated(simulator, 1)
    not_due()
    before = len(simulator.requests)

    workers.run(Signal(), once=True)

    assert changing.fresh(change).reads == 2
    assert sorted(str(each.organization) for each in simulator.requests[before:]) == ["acme", "acme-dr"]


def test_what_no_change_waits_for_yet_is_not_read_before_it_is_due(simulator: Simulator):
    lost(simulator)
    Change.objects.update(check_at=timezone.now() + timedelta(minutes=1))
    not_due()
    before = len(simulator.requests)

    workers.run(Signal(), once=True)

    assert len(simulator.requests) == before


def test_one_pass_reads_what_a_change_waits_for_once(simulator: Simulator, settings: Settings):
    settings.HAMR_SETTLE_SECONDS = 1
    settings.HAMR_SETTLE_READS = 1000
    change = lost(simulator)
    Change.objects.update(agreed_seconds=1e9)
    before = len(simulator.requests)

    workers.run(StopWhen(lambda: len(simulator.requests) > before + 2), once=True)

    assert changing.fresh(change).reads == 2
    assert len(simulator.requests) == before + 2


def test_what_a_change_waits_for_is_read_before_what_is_only_due(simulator: Simulator, settings: Settings):
    settings.HAMR_SWEEP_THREADS = 2
    lost(simulator)
    not_due()
    simulated(simulator, 3)
    before = len(simulator.requests)

    workers.run(Signal(), once=True)

    first = simulator.requests[before : before + 2]
    assert sorted(str(each.organization) for each in first) == ["acme", "acme-dr"]
    assert len(simulator.requests) == before + 5


def test_an_answer_is_held_against_the_change_that_waits_for_it(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", "late", verb="POST", seconds=3600)
    change = changing.changed(acme)
    Change.objects.update(check_at=timezone.now())
    simulator.act_late()

    workers.run(Signal(), once=True)

    assert changing.fresh(change).status == "VERIFIED"
    assert len(simulator.posts) == 1


def test_one_pass_ends_what_is_over_first(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = changing.standing(acme, "PREPARED", expires_at=timezone.now() - timedelta(minutes=5))

    workers.run(Signal(), once=True)

    assert changing.moves(change) == ["EXPIRE"]


def test_a_worker_ends_what_is_over_at_its_beat(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "HEARTBEAT", timedelta(0))
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    Change.objects.update(status="SENDING", sent_at=timezone.now() - timedelta(minutes=5))

    workers.run(StopWhen(lambda: changing.fresh(change).status != "SENDING"))

    assert changing.moves(change)[0] == "ABANDON"


def test_between_two_beats_a_worker_leaves_things_as_they_are(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(workers, "HEARTBEAT", timedelta(hours=1))
    simulated(simulator, 1)
    acme, _ = changing.connected(simulator, names=("acme", "acme-dr"))
    change = changing.standing(acme, "PREPARED", expires_at=timezone.now() - timedelta(minutes=5))

    workers.run(StopWhen(lambda: answered() == 1))

    assert changing.moves(change) == []


def test_a_bug_in_holding_readings_against_changes_lets_reading_go_on(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    simulated(simulator, 3)

    def stumble(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(reconciliation, "learn", stumble)

    workers.run(Signal(), once=True)

    assert answered() == 3
    assert "holding readings against changes failed" in caplog.text


def test_a_database_that_fails_while_learning_is_no_bug(simulator: Simulator, monkeypatch: pytest.MonkeyPatch):
    simulated(simulator, 1)

    def away(*_: object, **__: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(reconciliation, "learn", away)

    with pytest.raises(DatabaseError):
        workers.run(Signal(), once=True)
