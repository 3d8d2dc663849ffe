from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cache
from pathlib import Path
from sqlite3 import connect
from threading import Barrier
from typing import TypeVar

import pytest
from django.db import connection, connections

from hamr_portal.hamr_client import HamrClient
from hamr_portal.services import connections as reads
from hamr_portal.services import verification

T = TypeVar("T")
InParallel = Callable[[int, Callable[[], T]], list[T]]


@pytest.fixture(autouse=True)
def _no_pause_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry at once: the pauses are the client's own tests' subject."""
    for module in (reads, verification):
        monkeypatch.setattr(module, "client", _client)


@cache
def _client() -> HamrClient:
    return HamrClient(connect_timeout=2.0, pause=lambda _seconds: None)


@pytest.fixture
def in_parallel(transactional_db: None, tmp_path: Path) -> Iterator[InParallel[T]]:
    """Let threads do the same thing at once, each with its own connection to one real database."""
    if connection.vendor != "sqlite":
        yield _all_at_once
        return
    # Threads cannot share the database in memory as processes share a file.
    memory, name = connection.connection, connection.settings_dict["NAME"]
    options = connection.settings_dict["OPTIONS"]
    with closing(connect(tmp_path / "portal.sqlite3")) as file:
        memory.backup(file)
    connection.connection = None
    connection.settings_dict["NAME"] = str(tmp_path / "portal.sqlite3")
    connection.settings_dict["OPTIONS"] = {**options, "timeout": 30}  # a busy machine is no failure
    yield _all_at_once
    connection.close()
    connection.settings_dict["NAME"] = name
    connection.settings_dict["OPTIONS"] = options
    connection.connection = memory


def _all_at_once(count: int, do: Callable[[], T]) -> list[T]:
    barrier = Barrier(count)

    def begin() -> T:
        try:
            barrier.wait(10)
            return do()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return [each.result() for each in [pool.submit(begin) for _ in range(count)]]
