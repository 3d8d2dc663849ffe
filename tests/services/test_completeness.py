"""Does every write of the portal put an entry on the record, in its own transaction? What does not, is named here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, connection
from django.utils import timezone

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import Move
from hamr_portal.models import AuditEntry, Organization, Snapshot
from hamr_portal.models.changes import NEVER_SENT
from hamr_portal.services import changes, moves
from hamr_portal.services.refusals import Blocked
from hamr_portal.simulator import Simulator
from tests import factories
from tests.faults import database
from tests.services import changing
from tests.services.writes import DRIVEN, SEEN_BEFOREHAND, Write, pin, storing

SERVICES = Path(changes.__file__).parent
WRITES = {"save", "create", "update", "delete", "bulk_create", "bulk_update", "get_or_create", "update_or_create"}

ON_RECORD = {
    "adoption.adopt",
    "audit.append",
    "changes.prepare",
    "changes.see_skip",
    "drivers.offer",
    "drivers.take",
    "changes._tell_the_skipped",  # in the transaction of the move that skips them
    "drills.begin",
    "drills._sides",  # in the transaction that begins the drill
    "drills.turn",
    "drills._ended",
    "freezes.begin",
    "freezes.end",
    "integrity._alarm",
    "keys._swap_keys",  # in the transaction of the rotation that seals them anew
    "keys._swap_secrets",  # and in that one too
    "moves.move",
    "moves._write",  # the log of a change, in the transaction of its move; what is only seen has no entry
    "organizations._switch",
    "organizations._insert",
    "organizations._update",
    "organizations._forget_view",
    "outside.acknowledge",
    "outside._clear",
    "pairs.rename",
    "pairs.part",
    "pairs._join",
    "people._added",
    "people.set_password",
    "people.give_password",
    "people.choose_password",
    "people.change_role",
    "people.disable",
    "people.enable",
    "people.reset_factors",
    "announcements.notice",  # in the transaction of what was done
    "announcements.see",
    "notifications.queue",  # in the transaction of what it tells of; of what was only seen there is an observation
    "tokens.add_token",
    "tokens.revoke",
    "readings.store",  # what is news has an entry; that the same was seen again has none
    "readings._pin",
    "run_sheets._write",  # in the transaction of `save`
    "run_sheets.start",  # in the transaction of the move that starts its change
    "run_sheets.tick",
    "sessions._end",  # those that were open; the rows of those that were over are swept out
    "sso.link",
    "verification._record",
    "workers._register",
}

NOT_ON_RECORD = {
    "adoption._forget_the_present": "when an organization is read next; the moves that it makes have entries",
    "connections._lease": "who reads an organization now",
    "connections.read_anew": "when an organization is read next",
    "integrity._keep": "how far the record was verified: it says itself what it is worth",
    "notifications._give_up": "how telling fared: the page of news has it",
    "notifications._lease": "who tells it now",
    "notifications.settle": "how telling fared: the page of news has it",
    "notifications.sweep": "what was told a month ago",
    "readings._read_other_sides_again": "when an organization is read next",
    "lapses._goes_on": "when nobody read an organization, told by what was read before and after",
    "reconciliation.take_due": "when a change is read next",
    "reconciliation._keep_waiting": "how often a change was read without news",
    "reconciliation._tell_again": "how often a change was read without news",
    "tokens._note_use": "when a token was last used, to the hour",
    "sessions.end_sessions": "that sign-ins which wait for a second factor count no more; open sessions have an entry",
    "sessions.signed_in": "sessions that nobody could go on with any more",
    "tallies.SharedCache": "how often somebody failed lately; what came of it has entries",
    "watch.look": "which verdicts people were called for",
    "watch._weigh": "which verdicts people were called for",
    "watch._took": "which verdicts people were called for",
    "workers._Work": "that a worker lives, and that it ended",
}


def writing_functions() -> set[str]:
    """Give the functions of services that write rows, as module.function."""
    return {name for path in SERVICES.glob("*.py") for name in _writing(path)}


def _writing(path: Path) -> Iterator[str]:
    for part in ast.parse(path.read_text()).body:
        if isinstance(part, ast.FunctionDef | ast.ClassDef) and any(map(_is_write, ast.walk(part))):
            yield f"{path.stem}.{part.name}"


def _is_write(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    is_of_a_dictionary = node.func.attr == "update" and bool(node.args)
    return node.func.attr in WRITES and not is_of_a_dictionary


def test_every_function_that_writes_is_known_to_have_an_entry_or_to_need_none():
    assert writing_functions() == ON_RECORD | set(NOT_ON_RECORD)


@pytest.mark.parametrize("source", ["x.objects.update(a=1)", "x.save()", "x.objects.bulk_create(rows)", "x.delete()"])
def test_a_new_write_would_be_found(tmp_path, source):
    made = tmp_path / "made.py"
    made.write_text(f"def write(x, rows):\n    {source}\n")

    assert list(_writing(made)) == ["made.write"]


# --- each write, with a record that refuses its entry -----------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(("event", "arrange"), DRIVEN)
def test_what_cannot_be_recorded_is_not_written_and_what_can_is_both(event: Event, arrange: Any, simulator: Simulator):
    write = arrange(simulator)

    besides = frozenset({Snapshot._meta.db_table} if event in SEEN_BEFOREHAND else ())
    assert_recorded_or_undone(event, write, besides=besides)


@pytest.mark.django_db
@pytest.mark.parametrize("by_way_of", Move)
def test_each_move_of_a_change_is_recorded_or_not_made(by_way_of: Move):
    primary, _ = factories.pair()
    change = changing.standing(primary, min(by_way_of.leaves))
    fields = {} if by_way_of.reaches in NEVER_SENT else {"sent_at": timezone.now()}

    def write() -> None:
        moves.move(changing.fresh(change), by_way_of, by=factories.ADMIN, fields=fields)

    assert_recorded_or_undone(by_way_of.event, write)


def assert_recorded_or_undone(event: Event, write: Write, *, besides: frozenset[str] = frozenset()) -> None:
    """Hold that nothing is written with a record that refuses the entry, and without it both are."""
    before = rows(besides)
    with database.refusing(event):
        # Some of them take the refusal of a constraint for a name that is taken, and look who has it.
        with pytest.raises((DatabaseError, Blocked, ObjectDoesNotExist)):
            write()
        undone = rows(besides)
    entries = AuditEntry.objects.filter(event=event).count()

    write()

    assert undone == before
    assert rows(besides) != before
    assert AuditEntry.objects.filter(event=event).count() == entries + 1


def rows(besides: frozenset[str]) -> dict[str, list[str]]:
    """Give every row of every table but these and the record itself."""
    leave_out = besides | {AuditEntry._meta.db_table}
    with connection.cursor() as cursor:
        found = {}
        for table in set(connection.introspection.table_names(cursor)) - leave_out:
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            found[table] = sorted(map(repr, cursor.fetchall()))
    return found


@pytest.mark.django_db
def test_a_uuid_is_not_learned_from_an_answer_that_came_in_as_the_key_for_entries_went(simulator: Simulator):
    store = pin(simulator)
    away = settings.KEY_RING_FILE.rename(settings.KEY_RING_FILE.with_name("away"))

    store()
    learned = Organization.objects.get().uuid
    away.rename(settings.KEY_RING_FILE)
    storing(Organization.objects.get())()

    assert learned is None
    assert Organization.objects.get().uuid is not None
    assert AuditEntry.objects.filter(event=Event.ORGANIZATION_PINNED).count() == 1
