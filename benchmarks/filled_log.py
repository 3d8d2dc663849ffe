"""An installation of its own whose audit log is as long as wanted, and what is measured in it, in a process of its own.

Nothing of Django is imported before the process has its environment.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

YEARS = timedelta(days=3 * 365)
MONTH = timedelta(days=30)
ASKED_ORGANIZATION, ASKED_PERSON = "acme-us1", "ada@halden.example"
COMMON, RARE, NOWHERE = "region", "INC-99999999", "nowhere-to-be-found"
RARE_OUTCOME = "SUPERSEDED"
INSERTS = 300

_EVENTS = ("change.prepared", "change.sending", "change.accepted", "change.verified", "read.changed", "authz.denied")
_DATA = {"before": "SENDING", "after": "ACCEPTED", "http_status": 200, "elapsed_ms": 211, "raw": "x" * 300}


def serve(pipe: Connection, environment: dict[str, str]) -> None:
    """Answer the questions that come through the pipe, one of the functions below each, until it closes."""
    os.environ.update(environment)
    import logging

    import django

    django.setup()
    logging.disable()
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(globals()[name](*arguments))


def environment_of(folder: str, url: str) -> dict[str, str]:
    """Give the environment of an installation that keeps everything in a folder, and its rows in a database."""
    return {
        "DJANGO_SETTINGS_MODULE": "hamr_portal.settings",
        "ENV_FILE": "",
        "SECRET_KEY": "benchmarks",
        "HTTPS": "false",
        "DATABASE_URL": url,
        "KEY_RING_FILE": f"{folder}/keyring",
        "ANCHOR_FILE": f"{folder}/anchors.jsonl",
        "SPOOL_FILE": f"{folder}/spool.jsonl",
    }


# --- fill -------------------------------------------------------------------------------------------------------


def set_up() -> None:
    """Make the tables and the ring."""
    from django.core.management import call_command

    from hamr_portal.services import keys

    call_command("migrate", verbosity=0)
    keys.init_ring()


def fill(wanted: int, whole: int, length: timedelta) -> float:
    """Go on with the log up to an entry; it is of so much time, and ends now, when it is `whole`.

    The guards are lifted for it, since they look at the head for each row. Gives the seconds.
    """
    from django.db import connection, transaction

    from hamr_portal.models import AuditEntry, guards
    from hamr_portal.services import audit, keys

    columns = [field.name for field in AuditEntry._meta.concrete_fields]
    table, began = AuditEntry._meta.db_table, time.perf_counter()
    guards.lift(connection)
    # Asked for before: while rows are copied, the connection answers nothing else.
    rows = _rows(range(audit.head().seq + 1, wanted + 1), whole, length, keys.ring(), audit.head().hash)
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row([row[column] for column in columns])
        else:
            places = ", ".join(["%s"] * len(columns))
            adapted = connection.ops.adapt_datetimefield_value
            values: Any = ([adapted(row[name]) if name == "at" else row[name] for name in columns] for row in rows)
            cursor.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})",  # noqa: S608 - a table of ours
                values,
            )
    guards.install(connection)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"VACUUM ANALYZE {table}")  # as autovacuum does within minutes
    return time.perf_counter() - began


def _rows(numbers: range, whole: int, length: timedelta, ring: Any, previous: str) -> Iterator[dict[str, Any]]:
    """Give entries that are chained as the portal does: 6 in 100 are of the asked-for organization and person."""
    from hamr_portal.domain.audit import canonical
    from hamr_portal.domain.chain import hash_of
    from hamr_portal.services import audit

    key, end = ring.audit_keys[ring.primary], datetime.now(UTC)
    rare = {whole // 20, whole // 2}
    for seq in numbers:
        asked = seq % 10 == 0
        row: dict[str, Any] = {
            "seq": seq,
            "at": end - length * (1 - seq / whole),
            "event": _EVENTS[seq % len(_EVENTS)],
            "actor_kind": "person",
            "actor_name": ASKED_PERSON if asked and seq % 50 < 30 else f"person-{seq % 23}@halden.example",
            "actor_role": "OPERATOR",
            "actor_address": f"192.0.2.{seq % 251}",
            "actor_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/143.0",
            "actor_session": f"{seq % 997:016x}",
            "actor_signed_in": "password 2026-11-23T09:00:00Z",
            "request_id": f"e-{seq % 99991:08x}",
            "organization": ASKED_ORGANIZATION if asked else f"organization-{seq % 47}",
            "change": seq // 5,
            "ticket": RARE if seq in rare else f"INC-{seq // 5}",
            "reason": "The region does not answer" if seq % 3 == 0 else "",
            "outcome": RARE_OUTCOME if seq in rare else "ACCEPTED",
            "data": canonical({**_DATA, "number": seq}),
            "key_id": ring.primary,
            "previous": previous,
        }
        row["hash"] = previous = hash_of(key, {**row, "at": audit.moment(row["at"])})
        yield row


# --- ask --------------------------------------------------------------------------------------------------------


def _questions() -> dict[str, Callable[[], object]]:
    from hamr_portal.models import AuditEntry
    from hamr_portal.services import audit, log
    from hamr_portal.services.log import Filters

    today, head = datetime.now(UTC).date(), audit.head().seq
    # A log that is younger has as many entries to find in all of its days.
    is_old = AuditEntry.objects.filter(at__lt=datetime.now(UTC) - YEARS / 2).exists()
    long_ago = today - YEARS // 2 if is_old else today
    both: dict[str, Any] = {"organization": ASKED_ORGANIZATION, "actor": ASKED_PERSON}
    then: dict[str, Any] = {"since": long_ago - MONTH, "until": long_ago}
    return {
        "page 1": lambda: log.page(Filters()),
        "a page in the middle": lambda: log.page(Filters(), before=head // 2),
        "the last page": lambda: log.page(Filters(), before=51),
        "organization": lambda: log.page(Filters(organization=ASKED_ORGANIZATION)),
        "person": lambda: log.page(Filters(actor=ASKED_PERSON)),
        "event": lambda: log.page(Filters(event="change.verified")),
        "kind of event": lambda: log.page(Filters(event="change.")),
        "one change": lambda: log.page(Filters(change=head // 10)),
        "organization + person": lambda: log.page(Filters(**both)),
        "organization + person + 30 days": lambda: log.page(Filters(**both, since=today - MONTH)),
        "organization + person + 30 days, 18 months ago": lambda: log.page(Filters(**both, **then)),
        "organization + 30 days, 18 months ago": lambda: log.page(Filters(organization=ASKED_ORGANIZATION, **then)),
        "person + 30 days, 18 months ago": lambda: log.page(Filters(actor=ASKED_PERSON, **then)),
        "30 days, 18 months ago": lambda: log.page(Filters(**then)),
        "30 days, 18 months ago, a later page": lambda: log.page(Filters(**then), before=_within(head, long_ago)),
        "a rare outcome": lambda: log.page(Filters(outcome=RARE_OUTCOME)),
        "count of all (capped)": lambda: log.count(Filters()),
        "count, organization + person + 30 days": lambda: log.count(Filters(**both, since=today - MONTH)),
        "a common word": lambda: log.page(Filters(q=COMMON)),
        "a rare word": lambda: log.page(Filters(q=RARE)),
        "a word that is nowhere": lambda: log.page(Filters(q=NOWHERE)),
    }


def _within(head: int, day: date) -> int:
    """Give the number of an entry of about a fortnight before a day."""
    gone = (datetime.now(UTC).date() - day + MONTH / 2) / YEARS
    return max(int(head * (1 - gone)), 1)


def questions() -> list[str]:
    """Name what can be asked."""
    return list(_questions())


def ask(name: str) -> float:
    """Give the milliseconds that one of the questions takes."""
    question = _questions()[name]
    began = time.perf_counter()
    question()
    return (time.perf_counter() - began) * 1000


def explain(name: str) -> str:
    """Give how the database finds the answer to one of the questions."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    question = _questions()[name]
    with CaptureQueriesContext(connection) as captured:
        question()
    plans = []
    how = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN (ANALYZE, BUFFERS)"
    for query in captured.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute(f"{how} {query['sql']}")
            plans += [" ".join(str(part) for part in row) for row in cursor.fetchall()]
    return "\n".join(plans)


# --- write, verify, export --------------------------------------------------------------------------------------


def inserts() -> tuple[float, float]:
    """Give the milliseconds of a chained insert and of a plain one, by turns: the table's twin has no guards."""
    from django.db import connection, transaction

    from hamr_portal.domain.audit import Actor, Event
    from hamr_portal.models import AuditEntry
    from hamr_portal.services import audit

    by, chained, plain = Actor(kind="person", name=ASKED_PERSON, role="OPERATOR"), [], []
    columns = [field.name for field in AuditEntry._meta.concrete_fields]
    statement = f"INSERT INTO plain_twin ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"  # noqa: S608
    _make_twin(AuditEntry._meta.db_table)
    for _ in range(INSERTS):
        began = time.perf_counter()
        with transaction.atomic():
            entry = audit.append(Event.CHANGE_SENDING, by=by, organization=ASKED_ORGANIZATION, change=1, data=_DATA)
        chained.append(time.perf_counter() - began)
        values = [str(entry.at) if name == "at" else getattr(entry, name) for name in columns]
        began = time.perf_counter()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, values)
        plain.append(time.perf_counter() - began)
    return statistics.median(chained) * 1000, statistics.median(plain) * 1000


def _make_twin(table: str) -> None:
    """Make a table like the log's, with its rows and indexes and without its guards."""
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"CREATE TABLE plain_twin (LIKE {table} INCLUDING ALL)")
        else:
            cursor.execute("SELECT sql FROM sqlite_master WHERE tbl_name = %s AND type IN ('table', 'index')", [table])
            for (made,) in cursor.fetchall():
                if made:
                    named = made.replace(f'"{table}"', '"plain_twin"').replace('INDEX "', 'INDEX "plain_')
                    cursor.execute(named)
        cursor.execute(f"INSERT INTO plain_twin SELECT * FROM {table}")  # noqa: S608


def verify() -> tuple[int, float, str]:
    """Verify the whole log; give how many entries, in how many seconds, and what was broken."""
    from hamr_portal.services import integrity

    began = time.perf_counter()
    came = integrity.verify()
    return came.entries, time.perf_counter() - began, came.broken.what if came.broken else ""


def export() -> tuple[int, float, float]:
    """Export all, and let it go; give how many lines, in how many seconds, and the process's peak in MB."""
    from hamr_portal.domain.audit import Actor
    from hamr_portal.services import exports, log

    by, began = Actor(kind="command", name="benchmark"), time.perf_counter()
    count = sum(1 for _ in exports.lines(log.Filters(), format="jsonl", by=by))
    return count, time.perf_counter() - began, peak()


def peak() -> float:
    """Give the most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
