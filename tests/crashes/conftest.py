from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest
from django.db import connection
from pytest_django.fixtures import Settings

from hamr_portal.services import connections as reads
from hamr_portal.simulator import Simulator

from .installation import Installation


@pytest.fixture
def patient(settings: Settings) -> None:
    """Leave time enough for a machine that is busy with many processes."""
    settings.HAMR_DEADLINE = 20.0
    settings.HAMR_CONNECT_TIMEOUT = 5.0
    settings.PREVIEW_SECONDS = 900.0
    reads.client.cache_clear()


@pytest.fixture
def database_url(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """Give the test and its processes one database: a file, or the PostgreSQL that the suite runs on."""
    place = connection.settings_dict
    if connection.vendor == "postgresql":
        yield f"postgres://{place['USER']}@{place['HOST']}:{place['PORT']}/{place['NAME']}"
        return
    memory, name, file = connection.connection, place["NAME"], tmp_path / "portal.sqlite3"
    with closing(connect(file)) as copy:
        memory.backup(copy)
    connection.connection = None
    place["NAME"] = str(file)
    try:
        yield f"sqlite:///{file}"
    finally:
        connection.close()
        place["NAME"] = name
        connection.connection = memory


@pytest.fixture
def installation(database_url: str, patient: None, tmp_path: Path, simulator: Simulator) -> Iterator[Installation]:
    """Run processes beside the test; none of them may end with a traceback, and no POST may come unannounced."""
    made = Installation(database_url, tmp_path, simulator)
    try:
        yield made
    finally:
        made.end()
    for process in made.processes:
        assert "Traceback" not in process.log.read_text()
    assert made.announced == [True] * len(simulator.posts)
