from __future__ import annotations

import logging
import os
import signal
import socket

import pytest

from hamr_portal.domain import drills as domain
from hamr_portal.domain.drills import Scene
from hamr_portal.management.commands import run_drills
from hamr_portal.management.demo_environment import _two_free_ports
from hamr_portal.management.drill_stage import Stage
from hamr_portal.services import drills
from tests.services import changing
from tests.services.practising import begun, sides

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def port(settings):
    settings.DRILL_PORT = _two_free_ports()
    settings.DRILL_SITES = domain.stage(settings.DRILL_PORT)
    return settings.DRILL_PORT


def test_it_is_the_stage_of_what_is_under_way_at_its_port_until_a_signal_comes(run, port, monkeypatch):
    drill = begun(Scene.LATE_ANSWER)
    monkeypatch.setattr(run_drills, "LOOK_EVERY", 0.001)
    look = Stage.look
    seen: list[bool] = []

    def look_and_read(self):
        look(self)
        if not seen:
            changing.look(*sides(drill))
        seen.extend([drills.stage_answers()])
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Stage, "look", look_and_read)

    ended = run("run_drills")

    assert ended.exit == 0
    assert seen[0]
    assert [side.snapshot.status for side in sides(drill)] == [2, 2]
    drill.refresh_from_db()
    assert drill.turned_at is not None
    assert not drills.stage_answers()


def test_without_a_port_it_says_what_to_set(run):
    ended = run("run_drills", "--once")

    assert ended.exit == 1
    assert ended.error.startswith("DRILL_PORT is not set. Set it to a free port")


def test_a_port_that_is_taken_is_told_in_a_sentence(run, port):
    with socket.create_server(("127.0.0.1", port)):
        ended = run("run_drills", "--once")

    assert ended.exit == 1
    assert ended.error.startswith(f"Ports {port} and {port + 1} cannot be opened: ")
    assert ended.error.endswith("Choose another DRILL_PORT.")


def test_without_a_key_ring_the_stage_stays_as_it_is(run, port, settings, caplog):
    begun()
    settings.KEY_RING_FILE.unlink()
    caplog.set_level(logging.WARNING)

    ended = run("run_drills", "--once")

    assert ended.exit == 0
    assert "what is to be staged is not known: KeyRingUnusable" in caplog.text


def test_the_terminals_dashboard_knows_no_drill_and_says_where_it_is(run):
    name = sides(begun())[0].name

    everything, one = run("status"), run("status", name)

    assert (everything.exit, one.exit) == (0, 1)
    assert "drill" not in everything.out
    assert one.error == f"{name} is of a drill, and counts here for nothing. It is on /drills/."
