"""How can a database refuse? Real refusals: locks, a full file, a disk that takes no more, a trigger."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, connections

from hamr_portal.models import AuditEntry, Change, LogLine, Snapshot, guards

TABLES = [model._meta.db_table for model in (AuditEntry, Change, LogLine, Snapshot)]
IS_SQLITE = connection.vendor == "sqlite"
LONGER_THAN_A_PAGE = "区" * 2000
"""A reason that no free room in a page holds: where no page can be added, it cannot be written."""


def impatient() -> None:
    """Wait for a lock a tenth of a second only, on each connection that is made from here on."""
    options = connection.settings_dict["OPTIONS"]
    if IS_SQLITE:
        options["timeout"] = 0.1
    else:
        options["options"] = "-c lock_timeout=100ms"
    connection.close()


class Lock:
    """Another process that writes, and does not come to an end; others can read."""

    def take(self) -> None:
        self._rival = connection.copy()
        self._rival.inc_thread_sharing()
        with self._rival.cursor() as cursor:
            cursor.execute("BEGIN IMMEDIATE" if IS_SQLITE else "BEGIN")
            if not IS_SQLITE:
                cursor.execute(f"LOCK TABLE {', '.join(TABLES)} IN EXCLUSIVE MODE")

    def release(self) -> None:
        self._rival.close()

    def __enter__(self) -> Lock:
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@contextmanager
def full() -> Iterator[None]:
    """Let no page be added to the database."""
    if not IS_SQLITE:
        with _entries_raise("53100"):
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE filling (text)")
        pages = _one(cursor, "PRAGMA page_count") + 20
    with _told_to_each_connection(f"PRAGMA max_page_count={pages}"):
        with connection.cursor() as cursor:
            for size in (4000, 100):
                try:
                    while True:
                        cursor.execute("INSERT INTO filling VALUES (%s)", ["x" * size])
                except DatabaseError as error:
                    assert "full" in str(error)  # noqa: PT017 - what fills it up is what is waited for
        yield


@contextmanager
def read_only() -> Iterator[None]:
    """Let nothing be written."""
    if IS_SQLITE:
        with _told_to_each_connection("PRAGMA query_only=ON"):
            yield
        return
    connection.settings_dict["OPTIONS"]["options"] = "-c default_transaction_read_only=on"
    connection.close()
    yield
    del connection.settings_dict["OPTIONS"]["options"]
    connection.close()


@contextmanager
def broken_disk() -> Iterator[None]:
    """Let the disk fail at the next byte: SQLite says "disk I/O error", PostgreSQL is made to say it."""
    if not IS_SQLITE:
        with _entries_raise("58030"):
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_autocheckpoint=0")  # the log grows with each write
    # As long as another process has the file open, the log is not emptied when this one's connection is closed.
    rival = connection.copy()
    rival.ensure_connection()
    log = Path(f"{connection.settings_dict['NAME']}-wal")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        rival.close()


@contextmanager
def refusing(event: str) -> Iterator[None]:
    """Let a trigger refuse the audit entries of one event, as a guard of ours that had a bug would."""
    with _taken_for_a_guard("refusing"), _refusing(event):
        yield


@contextmanager
def _taken_for_a_guard(name: str) -> Iterator[None]:
    missing = guards.missing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(guards, "missing", lambda it: [each for each in missing(it) if not each.startswith(name)])
        yield


@contextmanager
def _refusing(event: str) -> Iterator[None]:
    table = AuditEntry._meta.db_table
    if not IS_SQLITE:
        with _entries_raise("23514", f"NEW.event = '{event}'"):
            yield
        return
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TRIGGER refusing BEFORE INSERT ON {table} WHEN NEW.event = '{event}'"
            " BEGIN SELECT RAISE(ABORT, 'the record is broken'); END"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER refusing")


def end_every_connection() -> None:
    """End every connection of PostgreSQL's but this one, as a restart does."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@contextmanager
def _told_to_each_connection(pragma: str) -> Iterator[None]:
    options = connection.settings_dict["OPTIONS"]
    before = options["init_command"]
    options["init_command"] = f"{before} {pragma};"
    connections.close_all()
    yield
    options["init_command"] = before
    connections.close_all()


@contextmanager
def _entries_raise(state: str, when: str = "true") -> Iterator[None]:
    table = AuditEntry._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refusing() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$BEGIN RAISE 'refused' USING ERRCODE = '{state}'; END$$"
        )
        cursor.execute(
            f"CREATE TRIGGER refusing BEFORE INSERT ON {table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION refusing()"
        )
    try:
        with _taken_for_a_guard("refusing"):
            yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TRIGGER refusing ON {table}")
            cursor.execute("DROP FUNCTION refusing")


def _one(cursor: object, query: str) -> int:
    return int(cursor.execute(query).fetchone()[0])  # type: ignore[attr-defined]
