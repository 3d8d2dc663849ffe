"""What in the database keeps the record append-only? Triggers, installed after each migration and compared at start."""

from __future__ import annotations

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from hamr_portal.domain.chain import BEGINNING

TABLE = "hamr_portal_auditentry"

# SQLite. An insert that replaces fires no delete trigger, so the insert itself is guarded: it cannot meet a row, not
# by its number and not by SQLite's own, which is known only afterwards where nobody named it. Each row has a higher one
# than the row before; where that row is the one that was replaced, there is none to be higher than.
_SQLITE = {
    "audit_guard_insert": f"""CREATE TRIGGER audit_guard_insert BEFORE INSERT ON {TABLE}
WHEN NEW.seq IS NOT coalesce((SELECT max(seq) FROM {TABLE}), 0) + 1
  OR NEW.previous IS NOT coalesce((SELECT hash FROM {TABLE} ORDER BY seq DESC LIMIT 1), '{BEGINNING}')
  OR length(NEW.hash) IS NOT 64 OR NEW.hash GLOB '*[^0-9a-f]*' OR NEW.hash IS NEW.previous
  OR NEW.at NOT GLOB '[12][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9]*'
  OR typeof(NEW.at) IS NOT 'text'
  OR EXISTS (SELECT 1 FROM {TABLE} WHERE rowid = NEW.rowid)
BEGIN SELECT RAISE(ABORT, 'an audit entry follows on the last one'); END""",
    "audit_guard_place": f"""CREATE TRIGGER audit_guard_place AFTER INSERT ON {TABLE}
WHEN NEW.seq > 1 AND NOT coalesce(NEW.rowid > (SELECT rowid FROM {TABLE} WHERE seq = NEW.seq - 1), 0)
BEGIN SELECT RAISE(ABORT, 'an audit entry takes the place of no other'); END""",
    "audit_guard_update": f"""CREATE TRIGGER audit_guard_update BEFORE UPDATE ON {TABLE}
BEGIN SELECT RAISE(ABORT, 'audit entries are never updated'); END""",
    "audit_guard_delete": f"""CREATE TRIGGER audit_guard_delete BEFORE DELETE ON {TABLE}
BEGIN SELECT RAISE(ABORT, 'audit entries are never deleted'); END""",
}

_BODY = f"""
DECLARE
  last_seq bigint := 0;
  last_hash text := '{BEGINNING}';
BEGIN
  IF TG_OP <> 'INSERT' THEN
    RAISE EXCEPTION 'audit entries are never updated or deleted' USING ERRCODE = 'check_violation';
  END IF;
  SELECT seq, hash INTO last_seq, last_hash FROM {TABLE} ORDER BY seq DESC LIMIT 1;
  IF NEW.seq IS DISTINCT FROM coalesce(last_seq, 0) + 1
    OR NEW.previous IS DISTINCT FROM coalesce(last_hash, '{BEGINNING}')
    OR (NEW.hash ~ '^[0-9a-f]{{64}}$') IS NOT TRUE OR NEW.hash = NEW.previous
    OR (NEW.at BETWEEN '1970-01-01' AND '9999-12-30') IS NOT TRUE THEN
    RAISE EXCEPTION 'an audit entry follows on the last one' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END;
"""
_FUNCTION = "audit_guard"
# Row triggers see no TRUNCATE, so a statement's trigger does. The number is what pg_trigger.tgtype says of each.
_POSTGRESQL = {
    "audit_guard_insert": ("BEFORE INSERT", "ROW", 7),
    "audit_guard_change": ("BEFORE UPDATE OR DELETE", "ROW", 27),
    "audit_guard_truncate": ("BEFORE TRUNCATE", "STATEMENT", 34),
}


def can_stand(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether there is a chain to guard: a schema may be one of before."""
    with connection.cursor() as cursor:
        if TABLE not in connection.introspection.table_names(cursor):
            return False
        columns = connection.introspection.get_table_description(cursor, TABLE)
    return "previous" in {column.name for column in columns}


def install(connection: BaseDatabaseWrapper) -> None:
    """Put the guards there as they are shipped, in place of whatever has their names."""
    if not missing(connection):
        return  # a role that may not replace them has nothing to do
    # In one transaction: nobody writes between the old ones and the new ones.
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        lift(connection)
        if connection.vendor == "sqlite":
            for statement in _SQLITE.values():
                cursor.execute(statement)
            return
        schema = _schema(connection)
        # The table is found by the path of whoever installs, not of whoever inserts.
        cursor.execute(
            f"CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql "
            f"SET search_path = {schema}, pg_temp AS $guard${_BODY}$guard$"
        )
        for name, (when, each, _) in _POSTGRESQL.items():
            cursor.execute(f"CREATE TRIGGER {name} {when} ON {TABLE} FOR EACH {each} EXECUTE FUNCTION {_FUNCTION}()")
            # Always: for a session that calls itself a replica as well.
            cursor.execute(f"ALTER TABLE {TABLE} ENABLE ALWAYS TRIGGER {name}")


def _schema(connection: BaseDatabaseWrapper) -> str:
    """Give the schema that the table is in, as PostgreSQL writes it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(n.nspname) FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid "
            "WHERE c.oid = to_regclass(%s)",
            [TABLE],
        )
        row = cursor.fetchone()
    return str(row[0]) if row else ""


def lift(connection: BaseDatabaseWrapper) -> None:
    """Take the guards away: for `install`, and for whoever owns the database and means to."""
    with connection.cursor() as cursor:
        on_table = "" if connection.vendor == "sqlite" else f" ON {TABLE}"
        for name in _SQLITE if connection.vendor == "sqlite" else _POSTGRESQL:
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}{on_table}")


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Give the names of the guards that are not there exactly as they are shipped, and of triggers and rules that
    nobody shipped: one of those could swallow entries.
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [TABLE])
            there = dict(cursor.fetchall())
        absent = [name for name, statement in _SQLITE.items() if there.get(name) != statement]
        return sorted(absent) + _strange(set(there) - set(_SQLITE))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT t.tgname, t.tgtype, t.tgenabled = 'A' AND t.tgqual IS NULL AND t.tgattr::text = '' "
            "AND p.proname = %s AND p.prosrc = %s AND p.proconfig = ARRAY[%s] "
            "FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
            "WHERE t.tgrelid = to_regclass(%s) AND NOT t.tgisinternal "
            "UNION ALL SELECT r.rulename, 0, false FROM pg_rewrite r WHERE r.ev_class = to_regclass(%s)",
            [_FUNCTION, _BODY, f"search_path={_schema(connection)}, pg_temp", TABLE, TABLE],
        )
        rows = cursor.fetchall()
    whole = {name: kind for name, kind, is_whole in rows if is_whole}
    absent = [name for name, (_, _, kind) in _POSTGRESQL.items() if whole.get(name) != kind]
    return sorted(absent) + _strange({name for name, _, _ in rows} - set(_POSTGRESQL))


def _strange(names: set[str]) -> list[str]:
    return [f"{name} (not shipped)" for name in sorted(names)]


def dropped(connection: BaseDatabaseWrapper) -> list[str]:
    """Give the names of the guards that are not there at all: no older version's, but taken away."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [TABLE])
        else:
            cursor.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = to_regclass(%s)", [TABLE])
        there = {name for (name,) in cursor.fetchall()}
    return sorted(set(_SQLITE if connection.vendor == "sqlite" else _POSTGRESQL) - there)
