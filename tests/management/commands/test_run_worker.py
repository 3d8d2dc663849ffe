from __future__ import annotations

import os
import signal

import pytest

from hamr_portal.models import Organization, Snapshot, Worker
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


def test_once_reads_everything_that_is_due_finds_the_pairs_and_ends(run, simulator):
    made = [simulator.add_organization("acme-us1", "us1"), simulator.add_organization("acme-us5", "us5")]
    simulator.add_pair("acme-us1", "acme-us5", status=3)
    for each in made:
        factories.simulated(each)

    ended = run("run_worker", "--once")

    assert ended.exit == 0
    assert set(Snapshot.objects.values_list("status", flat=True)) == {3}
    assert {each.column for each in Organization.objects.all()} == {"PRIMARY", "SECONDARY"}
    assert {request.verb for request in simulator.requests} == {"GET"}
    assert Worker.objects.get().stopped_at is not None


def test_once_ends_when_nothing_is_due(run):
    assert run("run_worker", "--once").exit == 0
    assert Worker.objects.get().stopped_at is not None


def test_a_signal_ends_a_worker_after_the_piece_in_hand(run, simulator):
    made = simulator.add_organization("acme-us1", "us1")
    factories.simulated(made)
    simulator.set_fault("acme-us1", "403")
    ask = simulator._api.answer

    def answer_and_ask_to_end(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        return ask(*args, **kwargs)

    simulator._api.answer = answer_and_ask_to_end

    ended = run("run_worker")

    assert ended.exit == 0
    assert Snapshot.objects.get().outcome == "KEY_REFUSED"
    assert Worker.objects.get().stopped_at is not None


def test_a_worker_without_a_key_ring_does_not_start(run, settings):
    settings.KEY_RING_FILE.unlink()

    ended = run("run_worker", "--once")

    assert ended.exit == 1
    assert ended.error.startswith("Nothing can be read. The key ring")
    assert not Worker.objects.exists()
