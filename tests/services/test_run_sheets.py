"""The life of a run sheet: saved over what was seen, copied by a change that starts, ticked by people, never erased."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import Move
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Role
from hamr_portal.domain.run_sheets import PROPOSED, Problem, Step, plain
from hamr_portal.models import Change, Organization, Pair, RunSheet, SheetCopy, Tick
from hamr_portal.services import audit, changes, pairs, people, run_sheets
from hamr_portal.services.refusals import Incomplete
from hamr_portal.simulator import Simulator
from tests import factories
from tests.faults import database

from . import changing
from .conftest import InParallel
from .records import entries

pytestmark = pytest.mark.django_db

DNS = Step("Point DNS at us5", "TRAFFIC", "Network on call", "https://wiki.halden.example/dns", "Point it back")
SSO = Step("Sign in by SSO", "SSO", target="FAILOVER")
BACK = Step("Point DNS back", "TRAFFIC", target="RECOVERY")
SHEET = [DNS, SSO, BACK]


@pytest.fixture
def acme(simulator: Simulator) -> Organization:
    """The primary of a pair that is PASSIVE on both sides."""
    return changing.connected(simulator)[0]


def pair_of(organization: Organization) -> Pair:
    assert organization.pair_id is not None
    return Pair.objects.get(pk=organization.pair_id)


def saved(organization: Organization, steps: list[Step] | None = None, version: int = 0) -> RunSheet:
    kept = steps if steps is not None else SHEET
    return run_sheets.save(pair_of(organization), kept, version=version, by=changing.operator())


def started(organization: Organization) -> Change:
    saved(organization)
    return changing.changed(organization)


# --- the sheet --------------------------------------------------------------------------------------------------


def test_a_sheet_is_saved_in_its_order_with_what_it_was_and_is_on_the_record(acme: Organization) -> None:
    first = saved(acme)
    second = saved(acme, [SSO, DNS], version=first.version)

    assert (second.steps, second.version, second.saved_by) == ([SSO, DNS], 2, changing.operator().name)
    begun, edited = entries(Event.RUN_SHEET_SAVED)
    assert (begun.data["was"], begun.data["is"]) == ([], plain(SHEET))
    assert (edited.data["was"], edited.data["is"]) == (plain(SHEET), plain([SSO, DNS]))
    assert edited.data["pair"] == pair_of(acme).name


def test_what_somebody_else_saved_meanwhile_is_not_overwritten_and_handed_back(acme: Organization) -> None:
    theirs = saved(acme)

    for version in (0, 7):
        with pytest.raises(run_sheets.OutOfDate) as raised:
            saved(acme, [BACK], version=version)
        assert raised.value.saved == theirs

    assert run_sheets.sheet_of(pair_of(acme)) == theirs
    assert len(entries(Event.RUN_SHEET_SAVED)) == 1


@pytest.mark.parametrize("version", [0, 1])
def test_of_two_who_save_at_the_same_moment_the_second_gets_what_the_first_saved(
    version: int, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    if version:
        saved(acme)
    look, seen = run_sheets.sheet_of, [run_sheets.sheet_of(pair_of(acme))]
    theirs = saved(acme, [BACK], version=version)
    # The second one looked just before the first one saved.
    monkeypatch.setattr(run_sheets, "sheet_of", lambda pair: seen.pop() if seen else look(pair))

    with pytest.raises(run_sheets.OutOfDate) as raised:
        saved(acme, [DNS], version=version)

    assert raised.value.saved == theirs
    assert look(pair_of(acme)).steps == [BACK]  # type: ignore[union-attr]
    assert len(entries(Event.RUN_SHEET_SAVED)) == version + 1


def test_of_threads_that_begin_a_sheet_at_once_one_does_and_the_others_get_it(in_parallel: InParallel[object]) -> None:
    primary, _ = factories.pair()
    pair, by = pair_of(primary), changing.operator()

    def begin() -> object:
        try:
            return run_sheets.save(pair, [DNS], version=0, by=by).version
        except run_sheets.OutOfDate as error:
            return error.saved.saved_by

    came = in_parallel(3, begin)

    assert sorted(map(str, came)) == ["1", by.name, by.name]
    assert RunSheet.objects.count() == 1


def test_a_sheet_that_cannot_be_recorded_is_not_saved(acme: Organization) -> None:
    changing.operator()

    with database.refusing(Event.RUN_SHEET_SAVED), pytest.raises(IntegrityError):
        saved(acme)

    assert not RunSheet.objects.exists()


def test_what_is_wrong_is_said_at_once_and_nothing_is_saved(acme: Organization) -> None:
    with pytest.raises(run_sheets.Incomplete) as raised:
        saved(acme, [replace(DNS, what=""), replace(SSO, about="LUNCH")])

    assert [each.problem for each in raised.value.found] == [Problem.WHAT_MISSING, Problem.NOT_OFFERED]
    assert not RunSheet.objects.exists()


def test_what_is_the_same_already_is_not_saved_again(acme: Organization) -> None:
    sheet = saved(acme)

    with pytest.raises(run_sheets.NothingNew):
        saved(acme, version=sheet.version)

    assert len(entries(Event.RUN_SHEET_SAVED)) == 1


def test_nothing_that_hides_or_reorders_text_is_kept(acme: Organization) -> None:
    sheet = saved(acme, [replace(DNS, what="Point\u202e DNS")])

    assert sheet.steps[0].what == "Point\N{REPLACEMENT CHARACTER} DNS"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.APPROVER, Role.AUDITOR])
def test_nobody_else_saves_a_sheet(role: Role, acme: Organization) -> None:
    with pytest.raises(people.NotAllowed):
        run_sheets.save(pair_of(acme), SHEET, version=0, by=changing.actor(role))


def test_the_sheet_of_a_pair_that_was_parted_is_offered_to_one_of_the_same_name(acme: Organization) -> None:
    pair = pair_of(acme)
    assert run_sheets.proposed_for(pair) == list(PROPOSED)
    sheet = saved(acme)

    pairs.part(pair.pk, by=factories.WORKER)
    again = Pair.objects.create(name=pair.name.upper(), found_at=pair.found_at)

    sheet.refresh_from_db()
    assert sheet.pair is None
    assert run_sheets.sheet_of(again) is None
    assert run_sheets.proposed_for(again) == SHEET


def test_a_sheet_that_was_emptied_is_offered_to_nobody(acme: Organization) -> None:
    pair = pair_of(acme)
    saved(acme)
    saved(acme, [], version=1)

    pairs.part(pair.pk, by=factories.WORKER)

    assert run_sheets.proposed_for(pair) == list(PROPOSED)


# --- the copy ---------------------------------------------------------------------------------------------------


def test_a_change_that_starts_takes_the_steps_for_its_status_and_later_edits_leave_them_alone(
    acme: Organization,
) -> None:
    change = started(acme)

    saved(acme, [BACK], version=1)

    assert [line.step for line in run_sheets.lines_of(change)] == [DNS, SSO]
    (entry,) = entries(Event.CHANGE_SENDING)
    assert entry.data["run_sheet"] == plain([DNS, SSO])
    assert change.run_sheet.version == 1


def test_a_change_that_waits_for_approval_has_started(acme: Organization) -> None:
    saved(acme)
    change = changing.waiting(acme)
    saved(acme, [SSO], version=1)

    changes.approve(change, by=changing.approver(), typed_name="acme")

    assert [line.step for line in run_sheets.lines_of(change)] == [DNS, SSO]
    assert "run_sheet" in entries(Event.APPROVAL_ASKED)[0].data
    assert "run_sheet" not in entries(Event.CHANGE_APPROVED)[0].data


def test_a_preview_that_is_not_confirmed_takes_nothing_along(acme: Organization) -> None:
    saved(acme)
    change = changing.prepared(acme)

    with pytest.raises(Incomplete):
        changing.confirmed(change, reason="")

    assert not SheetCopy.objects.exists()
    assert run_sheets.lines_of(change) == []


@pytest.mark.parametrize("steps", [None, [], [BACK]])
def test_without_a_step_for_its_status_a_change_starts_without_a_sheet(
    steps: list[Step] | None, acme: Organization
) -> None:
    if steps is not None:
        saved(acme, [DNS])
        saved(acme, steps, version=1)

    change = changing.changed(acme)

    assert run_sheets.lines_of(change) == []
    assert "run_sheet" not in entries(Event.CHANGE_SENDING)[0].data


def test_an_organization_without_a_pair_has_no_sheet(simulator: Simulator) -> None:
    one, two = changing.unconnected(simulator)

    change = changing.changed(one, by=changing.admin(), link=changing.link_to(two))

    assert run_sheets.lines_of(change) == []


def test_starting_costs_one_query_more_with_a_sheet_and_none_without(acme: Organization) -> None:
    def queries(change: Change) -> tuple[int, int]:
        with CaptureQueriesContext(connection) as asked:
            changing.confirmed(change)
        texts = [query["sql"] for query in asked]
        organizations = sum("hamr_portal_runsheet" in text for text in texts)
        return organizations, sum("hamr_portal_sheetcopy" in text for text in texts)

    without = queries(changing.prepared(acme))
    saved(acme)
    with_one = queries(changing.prepared(acme, HamrStatus.ACTIVE))

    # The sheet itself comes along with the organization, which is read again anyway.
    assert without == (1, 0)
    assert with_one == (1, 1)


def test_a_change_that_cannot_start_leaves_no_copy(acme: Organization) -> None:
    saved(acme)
    change = changing.prepared(acme)

    with database.refusing(Move.SEND.event), pytest.raises(Exception, match="not sent"):
        changing.confirmed(change)

    assert not SheetCopy.objects.exists()


# --- ticks ------------------------------------------------------------------------------------------------------


def tick(change: Change, place: int = 1, number: int = 1, role: Role = Role.OPERATOR) -> Tick:
    return run_sheets.tick(change, place, number=number, by=changing.actor(role))


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.APPROVER, Role.ADMIN])
def test_a_tick_carries_name_and_moment_and_is_on_the_record(role: Role, acme: Organization) -> None:
    change = started(acme)

    made = tick(change, place=2, role=role)

    one, two = run_sheets.lines_of(change)
    assert not one.is_done
    assert two.is_done
    assert two.last == made
    assert made.by == changing.actor(role).name
    (entry,) = entries(Event.STEP_TICKED)
    assert (entry.actor, entry.organization) == (made.by, "acme")
    assert entry.data == {"step": 2, "what": SSO.what, "number": 1}


def test_a_tick_that_is_taken_back_stays_with_who_made_it(acme: Organization) -> None:
    change = started(acme)
    tick(change)

    tick(change, number=2, role=Role.APPROVER)

    line = run_sheets.lines_of(change)[0]
    assert not line.is_done
    assert line.number == 3
    assert [(each.is_done, each.by) for each in line.ticks] == [
        (True, "operator@halden.example"),
        (False, "approver@halden.example"),
    ]
    assert len(entries(Event.STEP_TICKED, Event.STEP_TAKEN_BACK)) == 2


def test_who_ticks_what_another_has_just_ticked_is_told_who_it_was(acme: Organization) -> None:
    change = started(acme)
    first = tick(change)

    with pytest.raises(run_sheets.TickedMeanwhile) as raised:
        tick(change, role=Role.ADMIN)

    assert raised.value.last == first
    assert Tick.objects.count() == 1
    assert len(entries(Event.STEP_TICKED)) == 1


@pytest.mark.parametrize(("place", "number"), [(0, 1), (3, 1), (1, 0), (1, 2)])
def test_what_is_no_step_or_cannot_have_been_seen_is_not_ticked(place: int, number: int, acme: Organization) -> None:
    change = started(acme)

    with pytest.raises(run_sheets.NoSuchStep):
        tick(change, place, number)

    assert not Tick.objects.exists()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
def test_who_only_looks_ticks_nothing(role: Role, acme: Organization) -> None:
    change = started(acme)

    with pytest.raises(people.NotAllowed):
        tick(change, role=role)

    assert not Tick.objects.exists()


def test_a_tick_that_cannot_be_recorded_is_none(acme: Organization) -> None:
    change = started(acme)

    with database.refusing(Event.STEP_TICKED), pytest.raises(IntegrityError):
        tick(change)

    assert not Tick.objects.exists()


def test_of_threads_that_tick_at_once_one_does_and_the_others_are_told(
    simulator: Simulator, in_parallel: InParallel[str]
) -> None:
    change = started(changing.connected(simulator)[0])
    by = changing.operator()

    def one() -> str:
        try:
            run_sheets.tick(change, 1, number=1, by=by)
        except run_sheets.TickedMeanwhile:
            return "told"
        return "ticked"

    assert sorted(in_parallel(3, one)) == ["ticked", "told", "told"]
    assert Tick.objects.count() == 1


def test_the_page_of_a_change_has_another_version_after_a_tick(acme: Organization) -> None:
    change = started(acme)
    before = audit.head()

    tick(change)

    assert audit.head() != before


def test_a_sheet_a_copy_and_a_tick_say_what_they_are(acme: Organization) -> None:
    change = started(acme)
    made = tick(change)

    assert str(RunSheet.objects.get()) == f"run sheet of {pair_of(acme).name}"
    assert str(change.run_sheet) == f"run sheet of change {change.pk}"
    assert str(made) == f"{made.copy_id}: step 1, 1"
