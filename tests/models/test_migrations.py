from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.models.signals import post_migrate
from pytest_django.fixtures import Settings

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.audit import Event
from hamr_portal.models import AuditEntry, guards
from hamr_portal.services import audit, integrity
from tests import factories

APP = "hamr_portal"
NAMES = sorted(name for app, name in MigrationLoader(None).graph.nodes if app == APP)


@pytest.mark.django_db
def test_the_migrations_make_what_the_models_say(capsys: pytest.CaptureFixture[str]):
    call_command("makemigrations", check=True, dry_run=True)

    assert "No changes detected" in capsys.readouterr().out


@pytest.fixture
def migrated(transactional_db: None) -> Iterator[None]:
    """Leave the newest schema behind, with the guards."""
    yield
    migrate(NAMES[-1])


def migrate(name: str) -> None:
    call_command("migrate", APP, name, verbosity=0)


def old_entries(count: int) -> None:
    """Put entries on the record of before the chain, in the columns that there were."""
    texts = ("actor_role", "actor_address", "actor_session", "request_id", "organization", "ticket", "reason")
    given: dict[str, Any] = dict.fromkeys(texts, "Because — of it")
    given |= {
        "event": "organization.edited",
        "actor_kind": "person",
        "outcome": "",
        "data": '{"a":"ö"}',
        "change": None,
    }
    with connection.cursor() as cursor:
        columns = {each.name for each in connection.introspection.get_table_description(cursor, guards.TABLE)}
        for seq in range(1, count + 1):
            at = connection.ops.adapt_datetimefield_value(datetime(2026, 8, 1, 10, 0, seq, 7 * seq, tzinfo=UTC))
            row = given | {"seq": seq, "at": at, "actor_name": f"admin{seq}@halden.example"}
            row = {name: value for name, value in row.items() if name in columns}
            places = ", ".join(["%s"] * len(row))
            cursor.execute(f"INSERT INTO {guards.TABLE} ({', '.join(row)}) VALUES ({places})", list(row.values()))


def write() -> None:
    with transaction.atomic():
        audit.append(Event.WORKER_RESUMED, by=factories.WORKER)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_guards_are_there_after_migrating_from_every_past_migration(migrated: None, name: str):
    migrate(name)

    call_command("migrate", verbosity=0)

    assert guards.missing(connection) == []
    write()
    assert integrity.verify().entries == 1


@pytest.mark.slow
def test_a_new_database_has_the_guards(migrated: None):
    migrate("zero")

    call_command("migrate", verbosity=0)

    assert guards.missing(connection) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [each for each in NAMES if each < "0003"])
def test_what_was_recorded_before_the_chain_is_signed_and_verifies(migrated: None, name: str):
    migrate(name)
    old_entries(12)

    call_command("migrate", verbosity=0)

    came = integrity.verify()
    assert (came.entries, came.broken) == (12, None)
    assert AuditEntry.objects.get(seq=12).actor_name == "admin12@halden.example"
    write()
    assert integrity.verify().entries == 13


@pytest.mark.slow
def test_entries_cannot_be_signed_without_a_ring(migrated: None, settings: Settings):
    migrate("0002")
    old_entries(1)
    ring = settings.KEY_RING_FILE.read_bytes()
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(KeyRingUnusable, match="init_key_ring"):
        call_command("migrate", verbosity=0)

    settings.KEY_RING_FILE.write_bytes(ring)
    settings.KEY_RING_FILE.chmod(0o600)
    call_command("migrate", verbosity=0)
    assert integrity.verify().entries == 1


def test_a_later_migration_that_makes_the_table_anew_leaves_the_guards_and_the_record(migrated: None):
    for _ in range(5):
        write()
    before = AuditEntry._meta.get_field("outcome")
    after = models.CharField(max_length=80, default="", blank=True)
    after.set_attributes_from_name("outcome")
    after.model = AuditEntry
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA foreign_keys = OFF")  # as the editor asks for it, and migrations do

    with connection.schema_editor() as editor:
        editor.alter_field(AuditEntry, before, after)
    without = guards.missing(connection)
    migrated_again()

    assert without == (sorted(guards._SQLITE) if connection.vendor == "sqlite" else [])
    assert guards.missing(connection) == []
    write()
    assert integrity.verify().entries == 6
    with connection.schema_editor() as editor:
        editor.alter_field(AuditEntry, after, before)
    migrated_again()


def migrated_again() -> None:
    """Say that a migration has ended, as `migrate` does."""
    post_migrate.send(
        sender=apps.get_app_config(APP),
        app_config=apps.get_app_config(APP),
        verbosity=0,
        interactive=False,
        using="default",
        plan=[],
        apps=apps,
    )


@pytest.mark.django_db(transaction=True)
def test_guards_that_were_taken_away_before_a_migration_are_put_back_and_known():
    guards.lift(connection)

    migrate(NAMES[-1])

    assert guards.missing(connection) == []
    found = integrity.trouble()
    assert found is not None
    assert found.trouble is integrity.Trouble.GUARDS_MISSING
    assert "missing before a migration: audit_guard_" in found.detail
    assert AuditEntry.objects.get(event=Event.LOG_ALARM).actor_name == "migrate"
