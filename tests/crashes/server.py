"""A PostgreSQL server of a test's own, which it may stop and start again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import environ
import psycopg
from django.db import connection, connections

from tests import pgcluster


class Server:
    """A server on a port of loopback, with commits that are on the disk when they are said to be."""

    def __init__(self, url: str) -> None:
        self.url = url
        with closing(psycopg.connect(url)) as asking:
            row = asking.execute("SHOW data_directory").fetchone()
        assert row is not None
        self._data = Path(row[0])
        self.stop()
        self.start()

    def stop(self) -> None:
        """End it at once, as a power cut does."""
        self._control("stop", "-m", "immediate")

    def start(self) -> None:
        """Start it again; it recovers what was committed."""
        options = f"-p {urlsplit(self.url).port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
        self._control("start", "-o", options, "-l", f"{self._data}/log")

    def end_connection(self, backend: int) -> None:
        """End one connection, as an administrator does."""
        with closing(psycopg.connect(self.url, autocommit=True)) as asking:
            assert asking.execute("SELECT pg_terminate_backend(%s, 10000)", [backend]).fetchone() == (True,)

    def _control(self, *words: str) -> None:
        is_root = os.geteuid() == 0
        subprocess.run(
            [f"{pgcluster.binaries()}/pg_ctl", "-s", "-w", "-D", str(self._data), *words],
            check=True,
            cwd=self._data.parent,
            stdout=subprocess.DEVNULL,
            user="postgres" if is_root else None,
            group="postgres" if is_root else None,
            extra_groups=[] if is_root else None,
        )


@contextmanager
def running() -> Iterator[Server]:
    """Start a server with an empty database."""
    with pgcluster.running() as url:
        server = Server(url)
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def in_place_of_the_suites(url: str) -> Iterator[None]:
    """Let this test, and every thread of it, use another database than the suite."""
    suites, place = connections["default"], connections.settings["default"]
    connections.settings["default"] = {**place, "OPTIONS": {}, **environ.Env.db_url_config(url)}
    connections["default"] = connections.create_connection("default")
    try:
        yield
    finally:
        connection.close()
        connections.settings["default"] = place
        connections["default"] = suites
