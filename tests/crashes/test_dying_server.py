"""The database's server ends a connection, or dies, in the middle of a change. See RELIABILITY.md, rows 45 and 46."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connection

from hamr_portal.domain.changes import ChangeStatus
from tests import pgcluster

from . import server as servers
from .confirm_process import GO_ON
from .installation import BASE_DIR, Form, Installation, confirmed, reconciled, recorded
from .server import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(pgcluster.binaries() is None, reason="no PostgreSQL server here"),
]
VERIFIED = ["PREPARED", "SENDING", "ACCEPTED", "VERIFIED"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of this file's own."""
    with servers.running() as running:
        environment = {
            "PATH": os.environ["PATH"],
            "ENV_FILE": "",
            "SECRET_KEY": settings.SECRET_KEY,
            "HTTPS": "false",
            "DATABASE_URL": running.url,
        }
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=BASE_DIR, env=environment, check=True)
        yield running


@pytest.fixture
def database_url(transactional_db: None, server: Server) -> Iterator[str]:
    """Use that server in place of the suite's database."""
    with servers.in_place_of_the_suites(server.url):
        yield server.url


@pytest.fixture
def form(installation: Installation, request: pytest.FixtureRequest) -> Form:
    """A page that is about to be sent, for a pair that no other test has."""
    number = abs(hash(request.node.name)) % 1_000_000
    _, secondary = installation.pair(f"halden-{number}")
    return installation.form(secondary)


def without_its_connection_at(point: str, installation: Installation, form: Form, server: Server) -> str:
    """Confirm, and end the process's connection at a point."""
    process = installation.process().begin(form, stop_at=point)
    stopped = process.reached()
    assert stopped.get("name") == point
    server.end_connection(stopped["backend"])
    process.tell(GO_ON)
    came: str = process.came()["came"]
    return came


def without_a_server_at(point: str, installation: Installation, form: Form, server: Server) -> str:
    """Confirm, and stop the server at a point; it is started again when the person was answered."""
    process = installation.process().begin(form, stop_at=point)
    assert process.reached().get("name") == point
    connection.close()
    server.stop()
    try:
        process.tell(GO_ON)
        came: str = process.came()["came"]
    finally:
        server.start()
    return came


@pytest.mark.parametrize("point", ["begin 1", "updated SENDING", "commit change.sending"])
def test_connection_that_ends_before_the_intent_is_made_anew(point, installation, form, server):
    came = without_its_connection_at(point, installation, form, server)

    assert came == "sent"
    assert recorded(form.change) == VERIFIED
    assert len(installation.simulator.posts) == 1


@pytest.mark.parametrize(
    "point", ["committed change.sending", "write", "written", "recorded change.accepted", "updated VERIFIED"]
)
def test_connection_that_ends_after_the_intent_loses_nothing(point, installation, form, server):
    came = without_its_connection_at(point, installation, form, server)

    assert came == "sent"
    assert reconciled(form.change) == ChangeStatus.VERIFIED
    assert recorded(form.change) == VERIFIED
    assert not settings.SPOOL_FILE.exists()
    assert len(installation.simulator.posts) == 1


@pytest.mark.parametrize("point", ["begin 1", "updated SENDING", "commit change.sending"])
def test_server_that_dies_before_the_intent_blocks_the_change(point, installation, form, server):
    came = without_a_server_at(point, installation, form, server)

    assert came == "Blocked"
    assert len(installation.simulator.posts) == 0
    assert recorded(form.change) == ["PREPARED"]
    assert confirmed(installation.process(), form)["came"] == "sent"
    assert recorded(form.change) == VERIFIED
    assert len(installation.simulator.posts) == 1


def test_server_that_dies_after_the_intent_blocks_the_change_and_has_the_intent(installation, form, server):
    came = without_a_server_at("committed change.sending", installation, form, server)

    assert came == "Blocked"
    assert len(installation.simulator.posts) == 0
    assert recorded(form.change) == ["PREPARED", "SENDING"]
    assert reconciled(form.change) == ChangeStatus.NOT_APPLIED
    assert len(installation.simulator.posts) == 0


@pytest.mark.parametrize("point", ["answered", "written", "updated ACCEPTED", "commit change.accepted"])
def test_outcome_that_a_dead_server_does_not_take_is_told_and_recorded_later(point, installation, form, server):
    came = without_a_server_at(point, installation, form, server)

    assert came == "NotRecordedYet ACCEPT spooled=True"
    assert recorded(form.change) == ["PREPARED", "SENDING"]
    assert reconciled(form.change) == ChangeStatus.VERIFIED
    assert recorded(form.change) == VERIFIED
    assert settings.SPOOL_FILE.read_bytes() == b""
    assert len(installation.simulator.posts) == 1


def test_server_that_dies_before_the_read_back_keeps_the_outcome(installation, form, server):
    came = without_a_server_at("has read back", installation, form, server)

    assert came == "sent"
    assert recorded(form.change) == ["PREPARED", "SENDING", "ACCEPTED"]
    assert reconciled(form.change) == ChangeStatus.VERIFIED
    assert len(installation.simulator.posts) == 1
