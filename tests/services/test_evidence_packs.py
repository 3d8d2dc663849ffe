from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.db import connection, transaction

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.people import Role
from hamr_portal.domain.run_sheets import PROPOSED
from hamr_portal.models import AuditEntry, Change, Organization, Pair, Person, SheetCopy, Tick, guards
from hamr_portal.services import audit, changes, drivers, evidence_packs, integrity, run_sheets
from hamr_portal.services.evidence_packs import Pack, Scope, TooMuch
from hamr_portal.services.refusals import Incomplete
from hamr_portal.simulator import Simulator
from tests import factories

from . import changing, tampering

pytestmark = pytest.mark.django_db

TODAY = Scope(since=date(2000, 1, 1), until=date(2100, 1, 1))


def made(scope: Scope) -> Pack:
    return evidence_packs.make(scope, by=factories.ADMIN)


def of(change: Change) -> Pack:
    return made(Scope(change=changing.fresh(change)))


def events(pack: Pack) -> list[str]:
    return [entry.event for entry in pack.changes[0].decisions]


def tamper(seq: int, **fields: Any) -> None:
    """Write into the log past its guards."""
    guards.lift(connection)
    AuditEntry.objects.filter(seq=seq).update(**fields)


def test_that_a_pack_is_made_is_on_the_record_and_not_in_the_pack(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)

    pack = of(change)

    last = AuditEntry.objects.order_by("-seq").first()
    assert last == pack.made
    assert (pack.made.event, pack.made.actor_name) == (Event.PACK_MADE, factories.ADMIN.name)
    assert json.loads(pack.made.data) == {"change": change.pk}
    assert pack.made not in pack.entries


def test_the_pack_of_a_change_rests_on_every_entry_of_it_and_no_other(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    changing.prepared(primary)

    pack = of(change)

    assert [told.story.change for told in pack.changes] == [change]
    assert {entry.change for entry in pack.entries} == {change.pk}
    assert [entry.seq for entry in pack.entries] == sorted(entry.seq for entry in pack.entries)
    assert pack.changes[0].receipt is not None
    assert pack.changes[0].receipt.event == Event.CHANGE_VERIFIED


def test_a_change_is_told_with_the_name_that_the_organization_had_then(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    Organization.objects.filter(pk=primary.pk).update(name="renamed")

    told = of(change).changes[0]

    assert (told.named, told.story.change.organization.name) == (changing.NAME, "renamed")


# --- every kind of end ------------------------------------------------------------------------------------------


def test_a_verified_change_tells_how_long_each_step_took(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)

    told = of(change).changes[0]

    assert [step.name for step in told.steps] == ["Previewed", "Confirmed", "Announced", "Answered", "Verified"]
    assert told.steps[0].after_last is None
    assert all(step.after_last is not None for step in told.steps[1:])
    assert told.steps[-1].after_first == (told.steps[-1].at - told.story.change.prepared_at).total_seconds()
    assert told.read_backs
    assert events(of(change)) == [Event.CHANGE_PREPARED, Event.CHANGE_SENDING]


@pytest.mark.parametrize(("fault", "status"), [("403", ChangeStatus.REJECTED), ("drop_before", ChangeStatus.UNKNOWN)])
def test_a_change_that_is_not_verified_has_no_receipt(simulator: Simulator, fault: str, status: ChangeStatus) -> None:
    primary, _ = changing.connected(simulator)
    simulator.set_fault("acme", fault, verb="POST")
    change = changing.changed(primary)

    told = of(change).changes[0]

    assert told.story.change.status == status
    assert told.receipt is None
    assert [step.name for step in told.steps] == ["Previewed", "Confirmed", "Announced", "Answered"]


def test_an_approved_change_names_both_decisions(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.waiting(primary)
    changes.approve(change, by=changing.approver(), typed_name="acme", comment="Go")

    pack = of(change)

    decided = {entry.event: entry for entry in pack.changes[0].decisions}
    assert decided[Event.APPROVAL_ASKED].reason == changing.REASON
    assert decided[Event.CHANGE_APPROVED].actor_name == changing.approver().name
    assert decided[Event.CHANGE_APPROVED].reason == "Go"
    assert "Approved" in [step.name for step in pack.changes[0].steps]


def test_a_skipped_approval_names_everybody_who_was_told(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    changing.approver()
    change = changing.waiting(primary)
    changes.skip_approval(change, by=changing.operator(), typed_name="acme", reason="Nobody answers the phone")
    changes.see_skip(change, by=changing.approver())

    pack = of(change)

    assert [(notice.person.email, notice.seen_at is not None) for notice in pack.changes[0].skipped] == [
        (changing.approver().name, True)
    ]
    assert events(pack)[-2:] == [Event.APPROVAL_SKIPPED, Event.SKIP_SEEN]


def test_a_declined_change_has_the_words_of_who_declined(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.waiting(primary)
    changes.decline(change, by=changing.approver(), comment="Not today")

    told = of(change).changes[0]

    assert told.decisions[-1].event == Event.CHANGE_DECLINED
    assert told.decisions[-1].reason == "Not today"
    assert [step.name for step in told.steps] == ["Previewed", "Confirmed"]


def test_a_preview_that_was_never_confirmed_shows_the_request_that_would_have_been(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.prepared(primary)

    told = of(change).changes[0]

    assert told.confirmed is None
    assert (told.request, told.url) == (change.request, change.url)
    assert told.differs == []


def test_a_refused_attempt_is_among_the_decisions(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.prepared(primary)
    with pytest.raises(Incomplete):
        changing.confirmed(change, typed_name="acme-dr")

    told = of(change).changes[0]

    assert [entry.event for entry in told.decisions] == [Event.CHANGE_PREPARED, Event.CHANGE_INCOMPLETE]


def test_overridden_checks_are_told_from_those_that_only_warned(simulator: Simulator) -> None:
    primary, secondary = changing.connected(simulator)
    simulator.set_fault(secondary.name, "503")
    change = changing.changed(primary)

    told = of(change).changes[0]

    assert told.story.change.override
    assert [noticed.check.name for noticed in told.overridden] == ["OTHER_SIDE_DARK"]
    assert [noticed.check.name for noticed in told.other_checks] == ["WORKER_STOPPED"]


# --- what somebody edited ---------------------------------------------------------------------------------------


EDITS: dict[str, dict[str, Any]] = {
    "status": {"status": ChangeStatus.NOT_SENT},
    "reason": {"reason": "Another one"},
    "ticket": {"ticket": "INC-1"},
    "request": {"request": "{}"},
    "address": {"url": "https://elsewhere.example/"},
    "override": {"override": True},
}


@pytest.mark.parametrize("name", list(EDITS))
def test_a_change_that_was_edited_by_hand_is_told_from_its_record(simulator: Simulator, name: str) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    before = of(change).changes[0]
    Change.objects.filter(pk=change.pk).update(**EDITS[name])

    after = of(change).changes[0]

    assert before.differs == []
    assert after.differs == [name]
    assert (after.request, after.url) == (before.request, before.url)


def test_a_move_while_the_pack_is_made_is_no_edit_by_hand(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.prepared(primary)
    scope = Scope(change=changing.fresh(change))
    moved: list[Change] = []

    def and_meanwhile(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        came = execute(sql, params, many, context)
        if not moved and sql.startswith("SELECT") and '"hamr_portal_change"."status"' in sql:
            moved.append(change)
            changes.cancel(changing.fresh(change), by=changing.operator())
        return came

    with connection.execute_wrapper(and_meanwhile):
        pack = made(scope)

    assert moved
    assert pack.changes[0].differs == []
    assert pack.changes[0].story.change.status == ChangeStatus.CANCELLED


def test_an_edited_entry_is_found_and_named(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    entries = of(change).entries
    tamper(entries[2].seq, reason="Never said")

    pack = of(change)

    assert pack.walked.broken is not None
    assert (pack.walked.entries, pack.walked.broken.seq) == (2, entries[2].seq)
    assert pack.spoilt == {entries[2].seq}


@pytest.mark.parametrize("data", ["no JSON", "[1]", "[" * 100_000])
def test_an_entry_whose_data_was_broken_breaks_no_pack(simulator: Simulator, data: str) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    confirmed = of(change).changes[0].confirmed
    assert confirmed is not None
    tamper(confirmed.seq, data=data)

    pack = of(change)

    assert pack.changes[0].request == change.request
    assert pack.walked.broken is not None


def test_a_pack_says_whether_the_log_is_in_doubt(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    guards.lift(connection)

    pack = of(change)

    assert pack.walked.broken is None
    assert pack.state.trouble is not None
    assert pack.state.trouble.trouble is integrity.Trouble.GUARDS_MISSING


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL keeps numbers in a field of numbers")
@pytest.mark.parametrize("change", ["abc", b"\xff", 5.5, -1])
def test_an_entry_that_names_no_number_of_a_change_breaks_no_pack(simulator: Simulator, change: Any) -> None:
    primary, _ = changing.connected(simulator)
    kept = changing.changed(primary)
    seq = AuditEntry.objects.filter(event=Event.PAIR_FOUND).get().seq
    tampering.unguarded("UPDATE hamr_portal_auditentry SET change = %s WHERE seq = %s", change, seq)

    pack = made(TODAY)

    assert [told.story.change for told in pack.changes] == [kept]
    assert pack.gone == ()
    assert pack.walked.broken is not None


def test_a_change_of_which_only_the_record_is_left_is_named() -> None:
    with transaction.atomic():
        audit.append(Event.CHANGE_SENDING, by=factories.ADMIN, change=4711)

    pack = made(TODAY)

    assert (pack.changes, pack.gone) == ((), (4711,))


# --- pairs and days ---------------------------------------------------------------------------------------------


def test_the_pack_of_a_pair_tells_of_both_sides_and_of_no_other_pair(simulator: Simulator) -> None:
    primary, secondary = changing.connected(simulator)
    other, _ = changing.connected(simulator, names=("borg", "borg-dr"), sites=("us3", "eu1"))
    ours, across, others = changing.prepared(primary), changing.prepared(secondary), changing.prepared(other)
    pair = Pair.objects.get(sides=primary)

    pack = made(Scope(pair=pair, since=TODAY.since, until=TODAY.until))

    assert [told.story.change for told in pack.changes] == [ours, across]
    assert pack.sides == ("acme", "acme-dr")
    assert others.pk not in {entry.change for entry in pack.entries}
    assert {"acme", "acme-dr"} <= {entry.organization for entry in pack.entries} <= {"acme", "acme-dr", ""}
    assert json.loads(pack.made.data) == {"pair": pair.name, "since": "2000-01-01", "until": "2100-01-01"}


def test_the_pack_of_a_pair_tells_of_its_changes_of_an_organization_that_has_left_it(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    pair = Pair.objects.get(sides=primary)
    Organization.objects.filter(pk=primary.pk).update(pair=None, column=None)

    pack = made(Scope(pair=pair, since=TODAY.since, until=TODAY.until))

    assert [told.story.change for told in pack.changes] == [change]
    assert change.pk in {entry.change for entry in pack.entries}


def test_the_pack_of_days_has_both_days_whole_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [
        datetime(2026, 3, 13, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 14, tzinfo=UTC),
        datetime(2026, 3, 15, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 3, 16, tzinfo=UTC),
    ]
    for moment in moments:
        monkeypatch.setattr("hamr_portal.services.audit.timezone.now", lambda moment=moment: moment)
        with transaction.atomic():
            audit.append(Event.PAIR_NAMED, by=factories.ADMIN)

    pack = made(Scope(since=date(2026, 3, 14), until=date(2026, 3, 15)))

    assert [entry.at for entry in pack.entries] == moments[1:3]
    assert pack.changes == ()
    assert pack.left_out == 0


def test_an_open_ended_scope_takes_everything() -> None:
    with transaction.atomic():
        first = audit.append(Event.PAIR_NAMED, by=factories.ADMIN)

    pack = made(Scope())

    assert pack.entries == (first,)


def test_a_day_without_entries_gives_an_empty_pack() -> None:
    pack = made(Scope(since=date(2020, 1, 1), until=date(2020, 1, 1)))

    assert (pack.entries, pack.changes, pack.left_out, pack.walked.broken) == ((), (), 0, None)


def test_numbers_between_that_are_of_something_else_are_counted(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.prepared(primary)
    for _ in range(3):
        with transaction.atomic():
            audit.append(Event.PAIR_NAMED, by=factories.ADMIN)
    changing.confirmed(change)

    pack = of(change)

    assert pack.left_out == 3
    assert pack.walked.broken is None


@pytest.mark.parametrize("most", ["MOST_ENTRIES", "MOST_CHANGES"])
def test_what_nobody_would_read_is_refused_and_nothing_is_recorded(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, most: str
) -> None:
    primary, _ = changing.connected(simulator)
    changing.prepared(primary)
    changing.prepared(primary)
    head = audit.head()
    monkeypatch.setattr(evidence_packs, most, 1)

    with pytest.raises(TooMuch, match="more than 1"):
        made(TODAY)

    assert audit.head() == head


def test_exactly_as_much_as_a_pack_holds_is_in_it(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    primary, _ = changing.connected(simulator)
    changing.prepared(primary)
    count = AuditEntry.objects.count()
    monkeypatch.setattr(evidence_packs, "MOST_ENTRIES", count)

    pack = made(TODAY)

    assert len(pack.entries) == count


def test_a_change_whose_record_is_gone_still_has_its_story(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    changing.operator()
    change = changing.standing(primary, ChangeStatus.NOT_SENT)

    pack = of(change)

    assert pack.entries == ()
    assert pack.changes[0].story.change == change


# --- the run sheet and who drives -------------------------------------------------------------------------------


def ticked(simulator: Simulator) -> Change:
    """A change of which the first step was ticked, and the second one ticked and taken back."""
    primary, _ = changing.connected(simulator)
    assert primary.pair is not None
    run_sheets.save(primary.pair, PROPOSED, version=0, by=changing.operator())
    change = changing.changed(primary)
    for place, number, role in ((1, 1, Role.OPERATOR), (2, 1, Role.OPERATOR), (2, 2, Role.APPROVER)):
        run_sheets.tick(change, place, number=number, by=changing.actor(role))
    return change


def test_the_run_sheet_is_in_the_pack_with_its_ticks_as_they_were_signed(simulator: Simulator) -> None:
    (told,) = of(ticked(simulator)).changes

    one, two, *rest = told.run_sheet
    assert (one.step.what, one.is_done, two.is_done) == (PROPOSED[0].what, True, False)
    assert [tick.by for tick in two.ticks] == ["operator@halden.example", "approver@halden.example"]
    assert rest
    assert not any(line.ticks for line in rest)
    assert told.differs == []


def test_a_change_without_a_run_sheet_has_none_in_the_pack(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)

    (told,) = of(changing.changed(primary)).changes

    assert told.run_sheet == ()
    assert told.differs == []


@pytest.mark.parametrize("edit", ["a tick", "who ticked", "a step", "the whole sheet"])
def test_a_run_sheet_that_was_edited_in_the_database_stands_as_it_was_signed(edit: str, simulator: Simulator) -> None:
    change = ticked(simulator)
    if edit == "a tick":
        Tick.objects.filter(step=1).delete()
    elif edit == "who ticked":
        Tick.objects.filter(step=1).update(by="other@halden.example")
    elif edit == "a step":
        SheetCopy.objects.update(steps_json=json.dumps([{"what": "Nothing to do"}]))
    else:
        Tick.objects.all().delete()
        SheetCopy.objects.all().delete()

    (told,) = of(change).changes

    assert told.differs == ["run sheet"]
    assert told.run_sheet[0].step.what == PROPOSED[0].what
    assert [tick.by for tick in told.run_sheet[0].ticks] == ["operator@halden.example"]


def test_a_sheet_that_nobody_started_is_told_of(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    SheetCopy.objects.create(change=change, version=1, steps_json=json.dumps([{"what": "Made up"}]))

    (told,) = of(change).changes

    assert told.differs == ["run sheet"]
    assert told.run_sheet == ()


def test_who_drove_is_told_by_the_record(simulator: Simulator) -> None:
    change = ticked(simulator)
    drivers.take(change, seen=change.author_id, by=changing.admin(), reason="operator does not answer")

    (told,) = of(change).changes

    assert told.differs == []
    assert told.story.change.driven_by.email == changing.admin().name
    assert Event.DRIVER_TAKEN_OVER in [entry.event for entry in told.decisions]


@pytest.mark.parametrize("was_taken", [True, False])
def test_a_driver_that_was_put_in_by_hand_is_told_of(was_taken: bool, simulator: Simulator) -> None:
    change = ticked(simulator)
    if was_taken:
        drivers.take(change, seen=change.author_id, by=changing.admin(), reason="operator does not answer")
    Change.objects.update(driver=Person.objects.get(email=changing.approver().name))

    (told,) = of(change).changes

    assert told.differs == ["who drives it"]
