from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Field, ProtectedError

from hamr_portal.domain import connections
from hamr_portal.domain.changes import MAY_STILL_LAND, OPEN, UNSETTLED, ChangeStatus, Move, What
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.evidence import Agreement, Asked
from hamr_portal.domain.people import Role
from hamr_portal.domain.previews import Check, Noticed
from hamr_portal.models import Change, Freeze, LogLine, Organization, Pair, Person, SkipNotice
from tests import factories

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TARGET = UUID(int=2)
WRITER = "mara.lindqvist@halden.example"
NEVER_SENT = {"PREPARED", "AWAITING_APPROVAL", "CANCELLED", "DECLINED", "EXPIRED"}
SENT = [status for status in ChangeStatus if status not in NEVER_SENT]
numbers = count(1)


def author() -> Person:
    return Person.objects.filter(email=WRITER).first() or factories.person(Role.OPERATOR, WRITER)


def organization(name: str = "") -> Organization:
    return factories.organization(name or f"acme-{next(numbers)}")


def change(status: str = "PREPARED", **fields: Any) -> Change:
    given: dict[str, Any] = {
        "nonce": uuid4().hex,
        "organization": fields.pop("organization", None) or organization(),
        "author": author(),
        "status": status,
        "target_status": HamrStatus.FAILOVER,
        "is_primary": True,
        "target_uuid": TARGET,
        "writer": WRITER,
        "prepared_at": AT,
        "expires_at": AT + timedelta(minutes=2),
        "sent_at": None if status in NEVER_SENT else AT,
    }
    return Change.objects.create(**{**given, **fields})


def refused(made: Change, constraint: str, **update: Any) -> None:
    """Hold that the database itself refuses to write this, whatever the code says."""
    before = Change.objects.filter(pk=made.pk).values().get()
    columns = [_column(name) for name in update]
    names = ", ".join(f"{column.column} = %s" for column in columns)
    values = [column.get_db_prep_save(update[column.name], connection) for column in columns]

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE {Change._meta.db_table} SET {names} WHERE id = %s", [*values, made.pk])

    assert Change.objects.filter(pk=made.pk).values().get() == before


def _column(name: str) -> Field[Any, Any]:
    return next(column for column in Change._meta.concrete_fields if column.name == name)


def taken(name: str) -> str:
    """Give how each database says that a unique constraint is broken: PostgreSQL by its name, SQLite by its columns."""
    columns = {"change_open_once_an_organization": "organization_id", "change_open_once_a_pair": "pair_id"}
    return f"{name}|change.{columns[name]}"


# --- constraints ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", sorted(OPEN))
@pytest.mark.parametrize("other", sorted(OPEN))
def test_an_organization_has_one_open_change(status: str, other: str):
    acme = organization()
    change(status, organization=acme)

    with pytest.raises(IntegrityError), transaction.atomic():
        change(other, organization=acme)

    assert Change.objects.count() == 1


@pytest.mark.parametrize("status", sorted(OPEN))
def test_a_pair_has_one_open_change(status: str):
    acme, acme_dr = factories.pair()
    change(status, organization=acme, pair=acme.pair)

    with pytest.raises(IntegrityError), transaction.atomic():
        change("UNKNOWN", organization=acme_dr, pair=acme.pair)

    assert Change.objects.count() == 1


@pytest.mark.parametrize("status", sorted(set(ChangeStatus) - OPEN))
def test_what_is_not_open_holds_nothing(status: str):
    acme, acme_dr = factories.pair()
    change("SENDING", organization=acme, pair=acme.pair)

    change(status, organization=acme, pair=acme.pair)
    change(status, organization=acme_dr, pair=acme.pair)

    assert Change.objects.count() == 3


def test_a_second_change_is_not_opened_by_a_raw_update_either():
    acme, acme_dr = factories.pair()
    change("UNKNOWN", organization=acme, pair=acme.pair)

    for second, constraint in (
        (change(organization=acme), "change_open_once_an_organization"),
        (change(organization=acme_dr, pair=acme.pair), "change_open_once_a_pair"),
    ):
        refused(second, taken(constraint), status="AWAITING_APPROVAL")


def test_organizations_without_a_pair_hold_only_themselves():
    change("UNKNOWN")
    change("UNKNOWN")

    assert Change.objects.open().count() == 2


def test_a_status_that_the_table_does_not_know_is_refused():
    refused(change("UNKNOWN"), "change_status_known", status="DONE")


@pytest.mark.parametrize("target", [HamrStatus.UNSPECIFIED, 6, -1])
def test_what_is_never_offered_is_not_asked_for(target: int):
    refused(change(), "change_target_offered", target_status=target)


def test_nobody_approves_a_change_of_their_own():
    waits = change("AWAITING_APPROVAL", needs_approval=True)

    refused(waits, "change_approved_by_another", approver=waits.author_id)


def test_somebody_elses_change_does_not_become_ones_own_after_approving_it():
    other = factories.person(Role.APPROVER)
    sent = change("SENDING", needs_approval=True, approver=other)

    refused(sent, "change_approved_by_another", author=other.pk)


@pytest.mark.parametrize("status", SENT)
def test_what_needs_approval_is_not_sent_without_it(status: str):
    waits = change("AWAITING_APPROVAL", needs_approval=True)

    refused(waits, "change_sent_as_approved", status=status, sent_at=AT)


def test_what_was_sent_without_approval_does_not_turn_into_what_needs_it():
    refused(change("VERIFIED"), "change_sent_as_approved", needs_approval=True)


@pytest.mark.parametrize("reason", [{"approver": True}, {"skip_reason": "Region is down, nobody answers"}])
def test_what_needs_approval_is_sent_with_an_approver_or_a_reason(reason: dict[str, Any]):
    fields = {"approver": factories.person(Role.APPROVER)} if "approver" in reason else reason

    change("SENDING", needs_approval=True, **fields)

    assert Change.objects.sent().count() == 1


@pytest.mark.parametrize("status", sorted(NEVER_SENT))
def test_what_was_never_sent_has_no_moment_of_sending(status: str):
    refused(change(status), "change_sent_says_when", sent_at=AT)


@pytest.mark.parametrize("status", SENT)
def test_what_was_sent_keeps_the_moment_of_sending(status: str):
    refused(change(status), "change_sent_says_when", sent_at=None)


@pytest.mark.parametrize("status", SENT)
def test_nothing_is_sent_without_saying_when(status: str):
    refused(change(), "change_sent_says_when", status=status)


def test_a_form_is_of_one_change():
    change(nonce="n" * 43)

    with pytest.raises(IntegrityError), transaction.atomic():
        change(nonce="n" * 43)


def test_somebody_is_told_of_a_skip_once():
    skipped, person = change("VERIFIED"), factories.person(Role.APPROVER)
    SkipNotice.objects.create(change=skipped, person=person)

    with pytest.raises(IntegrityError), transaction.atomic():
        SkipNotice.objects.create(change=skipped, person=person)


def test_what_a_change_tells_of_is_not_deleted_under_it():
    acme, acme_dr = factories.pair()
    approver = factories.person(Role.APPROVER)
    made = change("VERIFIED", organization=acme, other=acme_dr, approver=approver, closed_by=approver)
    LogLine.objects.create(change=made, at=AT, last_at=AT, what=What.MOVED, organization=acme)
    SkipNotice.objects.create(change=made, person=approver)
    change(replaces=made)

    for thing in (made, acme_dr, acme, approver, made.author):
        with pytest.raises(ProtectedError), transaction.atomic():
            thing.delete()


def test_a_change_outlives_its_pair():
    acme, _ = factories.pair()
    made = change("VERIFIED", organization=acme, pair=acme.pair)
    Organization.objects.update(pair=None, column=None)

    Pair.objects.all().delete()

    assert Change.objects.get(pk=made.pk).pair_id is None


# --- named questions --------------------------------------------------------------------------------------------


def kept(changes: Any) -> set[str]:
    return {each.status for each in changes}


def test_the_named_questions_keep_what_their_names_say():
    for status in ChangeStatus:
        change(status)

    assert kept(Change.objects.open()) == {"AWAITING_APPROVAL", "SENDING", "ACCEPTED", "UNKNOWN"}
    assert kept(Change.objects.waiting()) == {"AWAITING_APPROVAL"}
    assert kept(Change.objects.unsettled()) == {"ACCEPTED", "UNKNOWN"}
    assert kept(Change.objects.sent()) == set(SENT)


def test_changes_of_organizations_are_those_of_either_side_and_of_the_pair():
    acme, acme_dr = factories.pair()
    third = organization()
    own = change(organization=acme)
    across = change(organization=third, other=acme)
    of_the_pair = change(organization=acme_dr, pair=acme.pair)
    change(organization=third)

    assert set(Change.objects.of([acme.pk])) == {own, across}
    assert set(Change.objects.of([acme.pk], acme.pair_id)) == {own, across, of_the_pair}
    assert set(Change.objects.of([])) == set()


@pytest.mark.parametrize("status", sorted(ChangeStatus))
def test_a_reading_may_tell_something_of_what_is_not_settled_or_may_still_land(status: str):
    made = change(status)

    listens = status in UNSETTLED | MAY_STILL_LAND

    assert set(Change.objects.listening(AT + timedelta(hours=1))) == ({made} if listens else set())


@pytest.mark.parametrize("status", sorted(MAY_STILL_LAND))
@pytest.mark.parametrize(("hours", "listens"), [(23.9, True), (24.1, False), (-48, True)])
def test_what_is_over_is_watched_for_a_day_while_another_was_sent_after_it(status: str, hours: float, listens: bool):
    made = change(status)
    change("VERIFIED", organization=made.organization)

    assert Change.objects.listening(AT + timedelta(hours=hours)).contains(made) is listens


@pytest.mark.parametrize("status", sorted(MAY_STILL_LAND))
def test_the_last_one_that_was_sent_is_watched_however_late(status: str):
    earlier = change(status)
    made = change(status, organization=earlier.organization)
    change(organization=made.organization)
    change("VERIFIED")

    assert set(Change.objects.listening(AT + timedelta(days=400))) == {made}


@pytest.mark.parametrize("status", sorted(UNSETTLED))
def test_what_is_not_settled_listens_for_ever(status: str):
    made = change(status)
    change("VERIFIED", organization=made.organization)

    assert Change.objects.listening(AT + timedelta(days=400)).contains(made)


@pytest.mark.parametrize(("hours", "may"), [(23.9, True), (24.1, False), (-48, True)])
def test_a_request_may_land_for_a_day(hours: float, may: bool):
    made = {change(status).pk for status in ChangeStatus if status in MAY_STILL_LAND}
    change("VERIFIED")

    found = {each.pk for each in Change.objects.may_still_land(AT + timedelta(hours=hours))}

    assert found == (made if may else set())


# --- what a change tells ----------------------------------------------------------------------------------------


def view(**fields: Any) -> connections.View:
    given = {"status": HamrStatus.FAILOVER, "modified_at": AT, "modified_by": WRITER}
    return connections.View(**{"has_connection": True, **given, **fields})


def test_a_change_says_what_it_asks_for():
    made = change(agreed_reads=2, agreed_seconds=12.5)

    assert made.target is HamrStatus.FAILOVER
    assert made.asked == Asked(HamrStatus.FAILOVER, True, TARGET, WRITER)
    assert made.agreement == Agreement(2, 12.5)
    assert str(made) == f"change {made.pk}"


def test_a_change_keeps_what_the_checks_said():
    made = change(noticed_json='[{"check": "STEP_SKIPPED", "facts": {"between": "FAILOVER"}}]')

    assert made.noticed == (Noticed(Check.STEP_SKIPPED, {"between": "FAILOVER"}),)


@pytest.mark.parametrize("status", sorted(ChangeStatus))
def test_a_change_may_make_the_moves_that_leave_its_status(status: str):
    made = Change(status=status)

    assert made.is_open is (status in OPEN)
    assert {each for each in Move if made.may_make(each)} == {each for each in Move if status in each.leaves}


@pytest.mark.parametrize("status", sorted(set(SENT) - {"NOT_SENT", "REJECTED", "VERIFIED"}))
@pytest.mark.parametrize(
    ("modified_at", "seen_at", "explained"),
    [
        (AT + timedelta(hours=23), AT + timedelta(days=9), True),
        (AT + timedelta(hours=25), AT, False),
        (AT - timedelta(hours=25), AT, False),
        (None, AT + timedelta(hours=23), True),
        (None, AT + timedelta(hours=25), False),
    ],
)
def test_what_was_sent_explains_its_own_write_for_a_day(
    status: str, modified_at: datetime | None, seen_at: datetime, explained: bool
):
    assert change(status).explains(view(modified_at=modified_at), seen_at) is explained


@pytest.mark.parametrize("status", ["NOT_SENT", "REJECTED"])
def test_what_never_took_effect_explains_nothing(status: str):
    assert not change(status).explains(view(), AT)


@pytest.mark.parametrize("differs", [{"status": 4}, {"modified_by": "somebody.else"}, {"has_connection": False}])
def test_nothing_explains_what_somebody_else_wrote(differs: dict[str, Any]):
    assert not change("UNKNOWN").explains(view(**differs), AT)


@pytest.mark.parametrize(("seconds", "explained"), [(0, True), (60, True), (-60, True), (61, False), (-61, False)])
def test_what_was_verified_explains_that_one_write_only(seconds: int, explained: bool):
    made = change("VERIFIED", applied_modified_at=AT + timedelta(hours=2))

    seen = view(modified_at=AT + timedelta(hours=2, seconds=seconds))

    assert made.explains(seen, AT) is explained


def test_what_was_verified_without_a_time_explains_its_write_for_a_day():
    undated = change("VERIFIED")
    dated = change("VERIFIED", applied_modified_at=AT + timedelta(hours=2))

    assert undated.explains(view(modified_at=AT + timedelta(hours=20)), AT)
    assert dated.explains(view(modified_at=None), AT + timedelta(hours=20))
    assert not dated.explains(view(modified_at=None), AT + timedelta(hours=25))


def test_a_line_of_the_log_gives_the_view_that_it_was_made_of():
    seen = view(is_primary=True, target_uuid=TARGET, target_name="acme-dr", target_datacenter="us5")
    made = change("UNKNOWN")
    line = LogLine(change=made, at=AT, last_at=AT, what=What.READ_BACK, **vars(seen))
    line.save()

    assert LogLine.objects.get(pk=line.pk).view == seen


def test_a_line_without_a_reading_has_no_view():
    made = change("UNKNOWN")
    line = LogLine(change=made, at=AT, last_at=AT, what=What.MOVED, move="SEND")

    assert line.view is None
    assert LogLine(has_connection=False).view == connections.View(has_connection=False)
    assert str(line) == f"{made.pk} at {AT}: MOVED SEND"


def test_a_change_that_broke_a_freeze_says_why():
    freeze = Freeze.objects.create(reason="x", begun_at=AT, begun_by="x", ends_at=AT + timedelta(hours=1))
    made = change("VERIFIED", broke_freeze=freeze, break_reason="The region is dark")

    refused(made, "change_says_why_it_broke_a_freeze", break_reason="")


def test_a_freeze_ends_after_it_began():
    with pytest.raises(IntegrityError, match="freeze_ends_after_it_began"), transaction.atomic():
        Freeze.objects.create(reason="x", begun_at=AT, begun_by="x", ends_at=AT)


def test_a_freeze_is_known_by_its_number():
    assert str(Freeze(pk=7)) == "freeze 7"


def test_a_notice_says_who_and_about_what():
    made, person = change("VERIFIED"), factories.person(Role.APPROVER)

    assert str(SkipNotice(change=made, person=person)) == f"{person.pk} about {made.pk}"


# --- the migration ----------------------------------------------------------------------------------------------


def test_every_constraint_is_in_the_database():
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, Change._meta.db_table)

    named = {each.name for each in Change._meta.constraints}
    assert named == {name for name in found if name.startswith("change_")} - {"change_newest", "change_in_status"}
    assert len(named) == 8


@pytest.fixture
def before_changes(transactional_db: None) -> Iterator[MigrationExecutor]:
    """Take the tables back to before there were changes, and bring them to what they are after the test."""
    call_command("migrate", "hamr_portal", "0001", verbosity=0)
    yield MigrationExecutor(connection)
    call_command("migrate", "hamr_portal", verbosity=0)


def test_what_was_saved_before_there_were_changes_is_kept(before_changes: MigrationExecutor):
    old = before_changes.loader.project_state([("hamr_portal", "0001_initial")]).apps
    organization_then, observation_then = (
        old.get_model("hamr_portal", name) for name in ("Organization", "Observation")
    )
    acme = organization_then.objects.create(name="acme", site="us1", keys_saved_at=AT, added_at=AT)
    observation_then.objects.create(organization=acme, at=AT, outcome="ANSWERED", outside=True)

    call_command("migrate", "hamr_portal", "0002", verbosity=0)

    new = MigrationExecutor(connection).loader.project_state([("hamr_portal", "0002_changes")]).apps
    row = new.get_model("hamr_portal", "Observation").objects.get()
    assert (row.outside, row.acknowledged_at, row.acknowledged_by, row.comment) == (True, None, "", "")
    assert not new.get_model("hamr_portal", "Change").objects.exists()
