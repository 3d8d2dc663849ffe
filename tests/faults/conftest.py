"""A database that several connections share, and a witness at each POST."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from sqlite3 import connect

import pytest
from django.db import connection, connections
from pytest_django.fixtures import Settings

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.hamr_client import HamrClient
from hamr_portal.models import AuditEntry, Change, Organization
from hamr_portal.services import connections as reads
from hamr_portal.simulator import RecordedRequest, Simulator
from tests.services.changing import connected

from .browsers import Browser


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the table of faults to CI, which plays it on both databases."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _shared_database(transactional_db: None, tmp_path: Path) -> Iterator[None]:
    """Put the database where another thread's connection sees what is committed, and nothing else."""
    options = connection.settings_dict["OPTIONS"]
    if connection.vendor != "sqlite":
        connection.settings_dict["OPTIONS"] = {**options}
        yield
        connection.close()
        connection.settings_dict["OPTIONS"] = options
        return
    memory, name = connection.connection, connection.settings_dict["NAME"]
    file_name = str(tmp_path / "portal.sqlite3")
    with closing(connect(file_name)) as file:
        memory.backup(file)
    connection.connection = None
    connection.settings_dict["NAME"] = file_name
    connection.settings_dict["OPTIONS"] = {
        **options,
        "timeout": 30,  # a busy machine is no failure
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
    }
    yield
    connection.close()
    connection.settings_dict["NAME"] = name
    connection.settings_dict["OPTIONS"] = options
    connection.connection = memory


@pytest.fixture(autouse=True)
def _no_pause_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read again at once: the pauses are the client's own tests' subject."""
    monkeypatch.setattr(reads, "client", _client)


@cache
def _client() -> HamrClient:
    return HamrClient(connect_timeout=1.0, pause=lambda _seconds: None)


@pytest.fixture(autouse=True)
def _long_deadline(settings: Settings) -> None:
    """Let a busy machine be no failure: a test that waits for a deadline shortens it."""
    settings.HAMR_DEADLINE = 10.0


class Witness:
    """Asks the database at each POST, on a connection of its own, whether it was announced: who sends what, and why.

    `also` is done then, before the POST acts.
    """

    def __init__(self) -> None:
        self.announced: list[int | None] = []
        self.also: Callable[[], object] = lambda: None

    def __call__(self, request: RecordedRequest) -> None:
        try:
            self.announced.append(self._announced(request))
            self.also()
        finally:
            connections.close_all()

    def _announced(self, request: RecordedRequest) -> int | None:
        """Give the change whose committed entry announced exactly this request; None where there is not one."""
        sending_now = Change.objects.filter(organization__name=request.organization, status=ChangeStatus.SENDING)
        for change in sending_now.filter(request=request.body.decode()):
            entries = [entry for entry in AuditEntry.objects.filter(change=change.pk) if _announces(entry)]
            if len(entries) == 1 and entries[0].actor_name and json.loads(entries[0].data)["request"] == change.request:
                return change.pk
        return None


def _announces(entry: AuditEntry) -> bool:
    return bool(json.loads(entry.data).get("after") == "SENDING")


@pytest.fixture(autouse=True)
def witness(_shared_database: None, simulator: Simulator) -> Iterator[Witness]:
    """Hold iron rules 1 and 2 in every test: each POST was announced and committed, and no change has two."""
    asked = Witness()
    simulator.on_post = asked

    yield asked

    assert len(asked.announced) == len(simulator.posts)
    assert None not in asked.announced
    assert len(set(asked.announced)) == len(asked.announced)


@pytest.fixture
def acme(simulator: Simulator) -> Organization:
    """Give the primary of a pair that is PASSIVE; its other side is acme-dr."""
    return connected(simulator)[0]


@pytest.fixture
def operator(acme: Organization) -> Browser:
    return Browser()


@pytest.fixture
def other(acme: Organization) -> Browser:
    return Browser(email="second@halden.example")
