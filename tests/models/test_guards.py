"""What can a database user do to the record? Each way round the guards is tried, and the record looked at after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, models, transaction
from django.utils import timezone

from hamr_portal.domain.audit import Event
from hamr_portal.domain.chain import BEGINNING
from hamr_portal.models import AppendOnly, AuditEntry, guards
from hamr_portal.services import audit, integrity
from tests import factories

TABLE = guards.TABLE
IS_SQLITE = connection.vendor == "sqlite"
ROLES = Path(__file__).parents[2] / "docs" / "postgresql-roles.sql"
REFUSED = (DatabaseError, AppendOnly)
HASH = "a" * 64

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _record(request: pytest.FixtureRequest) -> Iterator[None]:
    """Put five entries on the record, and leave the connection as it was."""
    if "as_the_portal" not in request.fixturenames:
        write(5)
    yield
    if IS_SQLITE:
        run("PRAGMA ignore_check_constraints = OFF")()


def write(count: int) -> None:
    for number in range(count):
        with transaction.atomic():
            audit.append(Event.WORKER_RESUMED, by=factories.WORKER, reason=f"entry {number}")


def everything() -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {'rowid, ' if IS_SQLITE else ''}* FROM {TABLE} ORDER BY seq")
        return list(cursor.fetchall())


def entry(**over: Any) -> dict[str, Any]:
    """Give the fields of an entry that would be taken: the next number, on the last hash."""
    head = AuditEntry.objects.order_by("seq").last()
    given = {
        "seq": head.seq + 1 if head else 1,
        "at": timezone.now(),
        "event": "worker.resumed",
        "actor_kind": "worker",
        "actor_name": "tests",
        "key_id": "k",
        "previous": head.hash if head else BEGINNING,
        "hash": HASH,
        "data": "{}",
    }
    texts = [
        field.name for field in AuditEntry._meta.get_fields() if isinstance(field, models.CharField | models.TextField)
    ]
    return {**dict.fromkeys(texts, ""), **given, **over}


def insert(
    verb: str = "INSERT", then: str = "", *, rows: list[dict[str, Any]] | None = None, table: str = TABLE, **over: Any
) -> None:
    """Insert rows by hand."""
    rows = rows or [entry(**over)]
    one = "(" + ", ".join(["%s"] * len(rows[0])) + ")"
    with connection.cursor() as cursor:
        cursor.execute(
            f"{verb} INTO {table} ({', '.join(rows[0])}) VALUES {', '.join([one] * len(rows))} {then}",
            [value for row in rows for value in row.values()],
        )


def run(*statements: str) -> Callable[[], None]:
    def run_them() -> None:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    return run_them


def in_turn(*steps: Callable[[], object]) -> Callable[[], None]:
    def do_them() -> None:
        for step in steps:
            step()

    return do_them


def bulk_update() -> None:
    one = AuditEntry.objects.get(seq=2)
    one.reason = "another"
    AuditEntry.objects.bulk_update([one], ["reason"])


def bulk_create() -> None:
    fields = [field.name for field in AuditEntry._meta.get_fields() if field.name != "seq"]
    one = AuditEntry(**entry(seq=2))
    AuditEntry.objects.bulk_create([one], update_conflicts=True, unique_fields=["seq"], update_fields=fields)


def update_or_create() -> None:
    AuditEntry.objects.update_or_create(seq=2, defaults={"reason": "another"})


def copy(where: str = "") -> None:
    names = ", ".join(name for name in entry() if name != "seq")
    run(f"INSERT INTO {TABLE} (seq, {names}) SELECT seq + 5, {names} FROM {TABLE} {where}")()


ON_BOTH: dict[str, Callable[[], object]] = {
    "queryset update": lambda: AuditEntry.objects.filter(seq=2).update(reason="another"),
    "bulk_update": bulk_update,
    "bulk_create that updates": bulk_create,
    "update_or_create": update_or_create,
    "save of a loaded entry": lambda: AuditEntry.objects.get(seq=2).save(),
    "save of one with a taken number": lambda: AuditEntry(**entry(seq=3)).save(),
    "save through the base class": lambda: AuditEntry.objects.get(seq=2).save_base(force_update=True),
    "delete": lambda: AuditEntry.objects.get(seq=5).delete(),
    "queryset delete": lambda: AuditEntry.objects.filter(seq=5).delete(),
    "raw delete of a queryset": lambda: AuditEntry.objects.all()._raw_delete("default"),
    "UPDATE": run(f"UPDATE {TABLE} SET reason = 'another' WHERE seq = 2"),
    "UPDATE of a number": run(f"UPDATE {TABLE} SET seq = seq + 100"),
    "DELETE of the last": run(f"DELETE FROM {TABLE} WHERE seq = 5"),
    "DELETE of all": run(f"DELETE FROM {TABLE}"),
    "INSERT of a number that is taken": lambda: insert(seq=5),
    "back-dated number": lambda: insert(seq=0),
    "negative number": lambda: insert(seq=-1),
    "gap": lambda: insert(seq=7),
    "fork on the entry before the last": lambda: insert(previous=AuditEntry.objects.get(seq=4).hash),
    "fork on the beginning": lambda: insert(previous=BEGINNING),
    "no number": lambda: insert(seq=None),
    "no hash": lambda: insert(hash=None),
    "no hash before": lambda: insert(previous=None),
    "short hash": lambda: insert(hash="a" * 63),
    "hash that is none": lambda: insert(hash="g" * 64),
    "hash of the one before": lambda: insert(hash=AuditEntry.objects.get(seq=5).hash),
    "two rows, the second wrong": lambda: insert(rows=[entry(), entry(seq=9, previous=HASH, hash="b" * 64)]),
    "two rows, twice the same": lambda: insert(rows=[entry(), entry()]),
    "INSERT SELECT": lambda: copy(),
    "INSERT SELECT of the last": lambda: copy("WHERE seq = 5"),
    "ON CONFLICT DO UPDATE": lambda: insert(then="ON CONFLICT (seq) DO UPDATE SET reason = 'another'", seq=2),
    "ON CONFLICT DO NOTHING": lambda: insert(then="ON CONFLICT DO NOTHING", seq=2),
}

ON_SQLITE: dict[str, Callable[[], object]] = {
    "INSERT OR REPLACE of a number": lambda: insert("INSERT OR REPLACE", seq=2),
    "INSERT OR REPLACE of the last": lambda: insert("INSERT OR REPLACE", seq=5),
    "INSERT OR REPLACE with the last hash": lambda: insert(
        "INSERT OR REPLACE", hash=AuditEntry.objects.get(seq=5).hash
    ),
    "REPLACE INTO": lambda: insert("REPLACE", seq=2),
    "INSERT OR IGNORE": lambda: insert("INSERT OR IGNORE", seq=2),
    "INSERT OR FAIL of two rows": lambda: insert("INSERT OR FAIL", rows=[entry(seq=4), entry(seq=5)]),
    "INSERT OR ABORT": lambda: insert("INSERT OR ABORT", seq=2),
    **{
        f"{verb} in the row of {place}, with the right number": partial(insert, verb, rowid=place)
        for verb in ("INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE", "INSERT")
        for place in (1, 3, 5, -1, 0)
    },
    "REPLACE by the other name of a row": lambda: insert("REPLACE", _rowid_=2),
    "UPDATE OR REPLACE": run(f"UPDATE OR REPLACE {TABLE} SET seq = 2 WHERE seq = 3"),
    "UPDATE OR IGNORE": run(f"UPDATE OR IGNORE {TABLE} SET reason = 'another'"),
    "UPDATE of a row's own number": run(f"UPDATE {TABLE} SET rowid = rowid + 100"),
    "recursive_triggers off, then REPLACE": in_turn(
        run("PRAGMA recursive_triggers = OFF"), lambda: insert("REPLACE", seq=2)
    ),
    "recursive_triggers off, then a row's place": in_turn(
        run("PRAGMA recursive_triggers = OFF"), lambda: insert("REPLACE", rowid=5)
    ),
    "foreign_keys off, then DELETE": run("PRAGMA foreign_keys = OFF", f"DELETE FROM {TABLE}"),
    "ignore_check_constraints, then no number": in_turn(
        run("PRAGMA ignore_check_constraints = ON"), lambda: insert(seq=None)
    ),
    "REPLACE INTO from a SELECT": run(f"REPLACE INTO {TABLE} SELECT * FROM {TABLE} WHERE seq = 5"),
    "a number that is no whole one": lambda: insert(seq=5.5),
    "a number as text": lambda: insert(seq="6x"),
}

ON_POSTGRESQL: dict[str, Callable[[], object]] = {
    "TRUNCATE": run(f"TRUNCATE {TABLE}"),
    "TRUNCATE with what hangs on it": run(f"TRUNCATE {TABLE} CASCADE"),
    "as a replica, UPDATE": run("SET LOCAL session_replication_role = replica", f"UPDATE {TABLE} SET reason = 'x'"),
    "as a replica, DELETE": run("SET LOCAL session_replication_role = replica", f"DELETE FROM {TABLE}"),
    "as a replica, TRUNCATE": run("SET LOCAL session_replication_role = replica", f"TRUNCATE {TABLE}"),
    "as a replica, a fork": in_turn(
        run("SET LOCAL session_replication_role = replica"), lambda: insert(previous=BEGINNING)
    ),
    "another table in the way": in_turn(
        run(
            "CREATE TEMP TABLE decoy (LIKE public.hamr_portal_auditentry)",
            "ALTER TABLE decoy RENAME TO hamr_portal_auditentry",
            "SET LOCAL search_path = pg_temp, public",
        ),
        lambda: insert(seq=1, previous=BEGINNING, table=f"public.{TABLE}"),
    ),
    "MERGE": run(
        f"MERGE INTO {TABLE} t USING (SELECT 2 AS seq) s ON t.seq = s.seq WHEN MATCHED THEN UPDATE SET reason = 'x'"
    ),
    "DELETE that gives": run(f"WITH gone AS (DELETE FROM {TABLE} RETURNING *) SELECT * FROM gone"),
}

ATTEMPTS = ON_BOTH | (ON_SQLITE if IS_SQLITE else ON_POSTGRESQL)


def test_enough_ways_are_tried() -> None:
    assert len(ATTEMPTS) >= (19 if IS_SQLITE else 8)


@pytest.mark.parametrize("way", ATTEMPTS)
def test_no_way_round_the_guards_changes_the_record(way: str) -> None:
    before = everything()

    with (
        pytest.raises(REFUSED, match=r"an audit entry follows|takes the place|audit entries are never|on the record"),
        transaction.atomic(),
    ):
        ATTEMPTS[way]()

    assert everything() == before
    assert integrity.verify().broken is None
    write(1)
    assert integrity.verify().entries == 6


def test_what_follows_is_taken() -> None:
    second = entry(seq=7, previous=HASH, hash="b" * 64)

    insert(rows=[entry(), second])

    assert AuditEntry.objects.count() == 7


def test_the_guards_are_there() -> None:
    assert guards.missing(connection) == []


@pytest.mark.parametrize("name", guards._SQLITE if IS_SQLITE else guards._POSTGRESQL)
def test_a_guard_that_is_gone_is_missed_and_put_back(name: str) -> None:
    run(f"DROP TRIGGER {name}" + ("" if IS_SQLITE else f" ON {TABLE}"))()

    missing = guards.missing(connection)
    guards.install(connection)

    assert missing == [name]
    assert guards.missing(connection) == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (f"CREATE TRIGGER swallow BEFORE INSERT ON {TABLE} BEGIN SELECT RAISE(IGNORE); END", "swallow"),
    ]
    if IS_SQLITE
    else [
        (f"CREATE RULE swallow AS ON INSERT TO {TABLE} DO INSTEAD NOTHING", "swallow"),
        (f"CREATE TRIGGER swallow BEFORE INSERT ON {TABLE} FOR EACH ROW EXECUTE FUNCTION audit_guard()", "swallow"),
    ],
)
def test_what_nobody_shipped_is_named_and_stays_for_who_put_it_there(statement: str, named: str) -> None:
    run(statement)()

    guards.install(connection)

    assert guards.missing(connection) == [f"{named} (not shipped)"]


@pytest.mark.skipif(not IS_SQLITE, reason="of SQLite")
def test_a_guard_that_says_something_else_is_missed() -> None:
    run(
        "DROP TRIGGER audit_guard_update",
        f"CREATE TRIGGER audit_guard_update BEFORE UPDATE ON {TABLE} BEGIN SELECT 1; END",
    )()

    assert guards.missing(connection) == ["audit_guard_update"]


@pytest.mark.skipif(IS_SQLITE, reason="of PostgreSQL")
@pytest.mark.parametrize(
    ("statement", "missed"),
    [
        (f"ALTER TABLE {TABLE} DISABLE TRIGGER audit_guard_change", ["audit_guard_change"]),
        (f"ALTER TABLE {TABLE} ENABLE TRIGGER audit_guard_change", ["audit_guard_change"]),
        (f"ALTER TABLE {TABLE} DISABLE TRIGGER ALL", sorted(guards._POSTGRESQL)),
        (
            "CREATE OR REPLACE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
            sorted(guards._POSTGRESQL),
        ),
        ("ALTER FUNCTION audit_guard() SET search_path = elsewhere", sorted(guards._POSTGRESQL)),
        ("ALTER FUNCTION audit_guard() RESET ALL", sorted(guards._POSTGRESQL)),
        (
            f"CREATE OR REPLACE TRIGGER audit_guard_change BEFORE UPDATE OF reason OR DELETE ON {TABLE}"
            " FOR EACH ROW EXECUTE FUNCTION audit_guard()",
            ["audit_guard_change"],
        ),
    ],
)
def test_a_guard_that_was_weakened_is_missed_and_put_right(statement: str, missed: list[str]) -> None:
    run(statement)()

    missing = guards.missing(connection)
    guards.install(connection)

    assert missing == missed
    assert guards.missing(connection) == []


# --- the role of the portal -------------------------------------------------------------------------------------


@pytest.fixture
def as_the_portal(transactional_db: None) -> Iterator[str]:
    """Let the portal run under the role that docs/postgresql-roles.sql gives it; gives the role's name."""
    write(5)
    mark = uuid4().hex[:8]
    owner, portal = f"owner_{mark}", f"portal_{mark}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (before,) = cursor.fetchone()
        for _ in range(2):  # it may be run again
            # The names are the installation's; roles are a whole cluster's, so a test's have names of its own.
            text = ROLES.read_text().replace("hamr_owner", owner).replace("IN 'hamr_portal'", "")
            cursor.execute(_with_role(text, portal))
    user = connection.settings_dict["USER"]
    connection.close()
    connection.settings_dict["USER"] = portal
    yield portal
    connection.close()
    connection.settings_dict["USER"] = user
    with connection.cursor() as cursor:
        cursor.execute(f"REASSIGN OWNED BY {owner} TO {before}")
        for role in (owner, portal):
            cursor.execute(f"DROP OWNED BY {role}")
            cursor.execute(f"DROP ROLE {role}")
        cursor.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")


def _with_role(text: str, portal: str) -> str:
    """Give the script with another name for the portal's role, which is also what its tables' names begin with."""
    return text.replace("hamr_portal_auditentry", "@").replace("hamr_portal", portal).replace("@", TABLE)


AS_THE_PORTAL = {
    "UPDATE": f"UPDATE {TABLE} SET reason = 'another'",
    "DELETE": f"DELETE FROM {TABLE}",
    "TRUNCATE": f"TRUNCATE {TABLE}",
    "ON CONFLICT DO UPDATE": f"INSERT INTO {TABLE} SELECT * FROM {TABLE} ON CONFLICT (seq) DO UPDATE SET reason = 'x'",
    "a fork": f"INSERT INTO {TABLE} SELECT * FROM {TABLE} WHERE seq = 5",
    "replica": "SET session_replication_role = replica",
    "DISABLE TRIGGER": f"ALTER TABLE {TABLE} DISABLE TRIGGER ALL",
    "DISABLE one TRIGGER": f"ALTER TABLE {TABLE} DISABLE TRIGGER audit_guard_change",
    "CREATE OR REPLACE FUNCTION": "CREATE OR REPLACE FUNCTION audit_guard() RETURNS trigger LANGUAGE plpgsql AS"
    " 'BEGIN RETURN NEW; END'",
    "ALTER FUNCTION": "ALTER FUNCTION audit_guard() RESET ALL",
    "DROP FUNCTION": "DROP FUNCTION audit_guard() CASCADE",
    "DROP TRIGGER": f"DROP TRIGGER audit_guard_change ON {TABLE}",
    "DROP TABLE": f"DROP TABLE {TABLE}",
    "RENAME": f"ALTER TABLE {TABLE} RENAME TO gone",
    "DROP COLUMN": f"ALTER TABLE {TABLE} DROP COLUMN reason",
    "a rule": f"CREATE RULE no_more AS ON INSERT TO {TABLE} DO INSTEAD NOTHING",
    "a trigger": f"CREATE TRIGGER mine BEFORE INSERT ON {TABLE} FOR EACH ROW EXECUTE FUNCTION audit_guard()",
    "a function": "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "the right to": f"GRANT UPDATE ON {TABLE} TO CURRENT_USER",
    "the migrations": "DELETE FROM django_migrations",
}


@pytest.mark.slow
@pytest.mark.skipif(IS_SQLITE, reason="of PostgreSQL")
@pytest.mark.django_db(transaction=True)
def test_the_role_of_the_portal_can_append_and_nothing_else(as_the_portal: str) -> None:
    before = everything()

    passed = []
    for name, statement in AS_THE_PORTAL.items():
        try:
            with transaction.atomic():
                run(statement)()
        except DatabaseError:
            pass
        else:
            # PostgreSQL only warns where somebody grants what is not theirs.
            passed += [name] if name != "the right to" else []
        assert everything() == before, name

    assert passed == []
    write(1)
    factories.organization()
    integrity.verify_and_keep(by=factories.WORKER)
    guards.install(connection)  # nothing to do, so nothing that the role may not
    assert integrity.verify().entries == 6
    assert integrity.trouble() is None
    assert as_the_portal.startswith("portal_")


MOMENTS = ["'never'", "x'ff'", "7"] if IS_SQLITE else ["'infinity'", "'-infinity'", "'20000-01-01'", "'0044-03-15 BC'"]
"""What the database takes for a moment, and nobody could read."""


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_entry_of_no_moment_is_refused(moment: str) -> None:
    with pytest.raises(DatabaseError, match="follows on the last one"), transaction.atomic():
        run(following(at=moment))()

    run(following(at="at"))()


def following(at: str) -> str:
    """Give the insert of a next entry as whoever knows the guards would forge it."""
    names = [str(field.column) for field in AuditEntry._meta.fields]
    forged = {"seq": "seq + 1", "at": at, "previous": "hash", "hash": f"'{HASH}'"}
    values = ", ".join(forged.get(name, name) for name in names)
    return f"INSERT INTO {TABLE} ({', '.join(names)}) SELECT {values} FROM {TABLE} ORDER BY seq DESC LIMIT 1"
