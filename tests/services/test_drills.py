"""The life of a drill on its stage, and the wall between it and what is real, from both sides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
import time_machine
from django.db import IntegrityError, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from hamr_portal.crypto import SealBroken
from hamr_portal.domain import drills as domain
from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus, ReadOutcome
from hamr_portal.domain.drills import Scene
from hamr_portal.domain.organizations import SITES, Site
from hamr_portal.domain.pairs import Column
from hamr_portal.domain.people import Role
from hamr_portal.management.drill_stage import Stage
from hamr_portal.models import AuditEntry, Change, Drill, Freeze, News, Organization, Pair, Snapshot
from hamr_portal.services import (
    audit,
    changes,
    connections,
    drills,
    evidence_packs,
    imports,
    keys,
    metrics,
    offline_packs,
    organizations,
    outside,
    overview,
    overview_json,
    pairs,
    people,
    previews,
    pulse,
    readiness,
    reconciliation,
    sending,
    verification,
    versions,
    watch,
)
from hamr_portal.services.evidence_packs import Scope
from hamr_portal.services.moves import AlreadyMoved
from hamr_portal.services.organizations import Draft
from hamr_portal.services.refusals import Frozen, NotAllowed
from hamr_portal.simulator import Simulator
from tests import factories

from . import changing, practising
from .changing import again, confirmed, fresh, frozen, look, prepared, waiting
from .practising import begun, played, sides
from .records import entries

pytestmark = pytest.mark.django_db

US1, US5 = domain.SITES[Column.PRIMARY], domain.SITES[Column.SECONDARY]


@pytest.fixture
def on_stage(settings: Settings) -> Iterator[Simulator]:
    with practising.a_stage(settings) as simulator:
        yield simulator


@pytest.fixture
def stage(on_stage: Simulator) -> Stage:
    return practising.player(on_stage)


# --- begin and end ----------------------------------------------------------------------------------------------


def test_a_drill_is_a_pair_with_keys_of_its_own_and_on_the_record():
    drill = begun(Scene.LATE_ANSWER, approval=True)

    primary, secondary = sides(drill)
    assert (primary.name, secondary.name) == (f"drill-{drill.pk}-us1", f"drill-{drill.pk}-us5")
    assert (primary.site, secondary.site) == (US1, US5)
    assert primary.pair is not None
    assert primary.pair == secondary.pair
    assert primary.pair.name == f"Drill {drill.pk}"
    assert primary.requires_approval
    opened = [keys.open_for(side, keys.ring()) for side in (primary, secondary)]
    assert opened[0] != opened[1]
    (entry,) = entries(Event.DRILL_BEGUN)
    assert (entry.organization, entry.actor) == (primary.name, changing.operator().name)
    assert entry.data == {
        "drill": drill.pk,
        "scene": "LATE_ANSWER",
        "sides": [primary.name, secondary.name],
        "approval": True,
    }
    assert str(drill) == f"drill {drill.pk}"


def test_it_is_not_read_before_the_stage_can_know_its_keys():
    begun()

    assert connections.due(10) == []
    with time_machine.travel(timezone.now() + drills.FIRST_READ_AFTER + timedelta(seconds=1)):
        assert all(snapshot.due_at < timezone.now() for snapshot in Snapshot.objects.all())


def test_there_is_one_drill_at_a_time():
    drill = begun()

    with pytest.raises(drills.UnderWay) as refused:
        begun(Scene.SPLIT_VIEW)

    assert refused.value.drill == drill
    assert Organization.objects.count() == 2
    drills.end(drill, by=changing.operator())
    assert begun(Scene.SPLIT_VIEW).pk != drill.pk


def test_what_the_record_does_not_take_is_no_second_drill():
    def refuse(*_: Any, **__: Any) -> None:
        raise IntegrityError

    with patch.object(audit, "append", refuse), pytest.raises(IntegrityError):
        begun()

    assert not Drill.objects.exists()


def test_a_pair_that_is_called_like_a_drill_stays_and_the_drill_is_called_otherwise():
    drill = begun()
    drills.end(drill, by=changing.operator())
    Pair.objects.create(name=f"drill {drill.pk + 1}", found_at=timezone.now())

    other = begun()

    assert str(sides(other)[0].pair).startswith(f"Drill {other.pk}, ")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.APPROVER, Role.AUDITOR])
def test_who_only_looks_on_neither_begins_nor_ends_one(role: Role):
    drill = begun()

    with pytest.raises(people.NotAllowed):
        begun(by=changing.actor(role))
    with pytest.raises(people.NotAllowed):
        drills.end(drill, by=changing.actor(role))


def test_nothing_is_begun_without_a_stage():
    with pytest.raises(drills.NotSetUp):
        drills.begin(Scene.REGION_DARK, by=changing.operator())

    assert not Drill.objects.exists()


def test_nothing_is_begun_where_nobody_answers_on_it(on_stage: Simulator):
    on_stage.stop()

    with pytest.raises(drills.NobodyOnStage):
        drills.begin(Scene.REGION_DARK, by=changing.operator())

    assert not Drill.objects.exists()


def test_a_drill_begins_where_the_stage_answers_that_it_knows_nobody(on_stage: Simulator):
    drill = drills.begin(Scene.REGION_DARK, by=changing.operator())

    assert drills.under_way() == drill


def test_what_knows_everybody_is_no_stage(on_stage: Simulator):
    on_stage.add_organization("anybody", US5, api_key="0" * 32)

    assert not drills.stage_answers()


def test_no_proxy_stands_before_the_stage(on_stage: Simulator, settings: Settings):
    settings.HAMR_PROXY = "http://127.0.0.1:9"

    assert drills.stage_answers()


def test_an_ended_drill_is_on_no_list_and_stays_on_the_record():
    drill = begun()

    drills.end(drill, by=changing.operator())

    drill.refresh_from_db()
    assert (drill.ended_by, drills.under_way()) == (changing.operator().name, None)
    assert not Organization.objects.enabled().exists()
    assert overview.overview(now=timezone.now()).drills == ()
    (entry,) = entries(Event.DRILL_ENDED)
    assert entry.data == {"drill": drill.pk, "scene": "REGION_DARK"}
    with pytest.raises(drills.AlreadyOver):
        drills.end(drill, by=changing.operator())


@pytest.mark.parametrize("hours", [2.01, -1])
def test_a_worker_ends_what_nobody_ended_in_time_or_what_is_from_the_future(hours: float):
    drill = begun()

    with time_machine.travel(timezone.now() + timedelta(hours=hours)):
        drills.tidy(by=factories.WORKER)

    drill.refresh_from_db()
    assert drill.ended_by == factories.WORKER.name


def test_a_worker_lets_a_drill_go_on_until_then():
    begun()

    with time_machine.travel(timezone.now() + timedelta(hours=1.9)):
        drills.tidy(by=factories.WORKER)

    assert drills.under_way() is not None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ChangeStatus.UNKNOWN, ChangeStatus.RESOLVED),
        (ChangeStatus.ACCEPTED, ChangeStatus.RESOLVED),
        (ChangeStatus.AWAITING_APPROVAL, ChangeStatus.EXPIRED),
        (ChangeStatus.SENDING, ChangeStatus.SENDING),
        (ChangeStatus.VERIFIED, ChangeStatus.VERIFIED),
    ],
)
def test_what_is_open_in_a_drill_ends_with_it(before: ChangeStatus, after: ChangeStatus):
    drill = begun()
    change = changing.standing(sides(drill)[1], before)

    drills.end(drill, by=changing.operator())

    change.refresh_from_db()
    assert change.status == after
    assert change.closing_reason == ("The drill ended." if after == ChangeStatus.RESOLVED else "")
    assert (change.closed_by and change.closed_by.email) == (
        changing.operator().name if after == ChangeStatus.RESOLVED else None
    )


def test_nobody_is_said_to_have_closed_what_a_worker_ended():
    drill = begun()
    change = changing.standing(sides(drill)[1], ChangeStatus.UNKNOWN)
    Drill.objects.filter(pk=drill.pk).update(ends_at=timezone.now())

    drills.tidy(by=factories.WORKER)

    change.refresh_from_db()
    assert (change.status, change.closed_by, change.closing_reason) == ("RESOLVED", None, "The drill ended.")
    (last,) = AuditEntry.objects.filter(event=Event.CHANGE_RESOLVED)
    assert (last.actor_kind, last.change) == ("worker", change.pk)
    told = evidence_packs.make(Scope(change=fresh(change)), by=factories.ADMIN).changes[0]
    assert "who closed it" not in told.differs


def test_what_somebody_else_settles_meanwhile_is_theirs():
    drill = begun()
    change = changing.standing(sides(drill)[1], ChangeStatus.UNKNOWN)

    def faster(*_: Any, **__: Any) -> None:
        raise AlreadyMoved

    with patch.object(drills, "move", faster):
        drills.end(drill, by=changing.operator())

    assert fresh(change).status == ChangeStatus.UNKNOWN


# --- the stage --------------------------------------------------------------------------------------------------


def test_the_trouble_begins_after_both_sides_were_seen_to_be_well(stage: Stage, on_stage: Simulator):
    drill = begun()
    stage.look()
    stage.look()
    assert (on_stage.faults(f"drill-{drill.pk}-us1"), entries(Event.DRILL_TURNED)) == ({}, [])
    look(*sides(drill))
    assert [side.snapshot.status for side in sides(drill)] == [2, 2]

    stage.look()
    stage.look()

    assert on_stage.faults(f"drill-{drill.pk}-us1") == {"ANY": "refuse"}
    drill.refresh_from_db()
    assert drill.turned_at is not None
    assert len(entries(Event.DRILL_TURNED)) == 1
    assert {pk for pk, _ in connections.due(10)} == {side.pk for side in sides(drill)}


def test_a_drill_that_is_over_turns_no_more():
    drill = begun()
    drills.end(drill, by=changing.operator())

    drills.turn(drill.pk, by=factories.SHELL)

    assert entries(Event.DRILL_TURNED) == []


def test_the_stage_is_clear_for_the_next_drill(stage: Stage, on_stage: Simulator):
    stage.look()
    first, *_ = played(stage, Scene.REGION_DARK)
    drills.end(first, by=changing.operator())
    second = begun(Scene.LATE_ANSWER)

    stage.look()
    look(*sides(second))

    assert [side.snapshot.outcome for side in sides(second)] == [ReadOutcome.ANSWERED] * 2


def test_a_stage_that_was_started_anew_plays_what_is_under_way(stage: Stage, settings: Settings):
    drill, primary, secondary = played(stage, Scene.REGION_DARK)

    with practising.a_stage(settings) as another:
        practising.player(another).look()
        look(primary, secondary)

    assert [side.snapshot.outcome for side in sides(drill)] == [ReadOutcome.NO_ANSWER, ReadOutcome.ANSWERED]


# --- the scenes, each to its goal -------------------------------------------------------------------------------


def test_region_dark_is_a_failover_with_one_side_alone(stage: Stage, on_stage: Simulator):
    _, primary, secondary = played(stage, Scene.REGION_DARK)

    look(primary)
    change = confirmed(prepared(secondary))

    assert again(primary).snapshot.outcome == ReadOutcome.NO_ANSWER
    assert change.status == ChangeStatus.VERIFIED
    assert drills.last_reached() == change.settled_at
    assert [post.organization for post in on_stage.posts] == [secondary.name]


def test_late_answer_is_unknown_and_then_reconciled(stage: Stage, on_stage: Simulator):
    _, _, secondary = played(stage, Scene.LATE_ANSWER)

    change = prepared(secondary)
    with patch.object(sending, "post_deadline", lambda: 0.5), patch.object(changes, "_read_back"):
        confirmed(change)
    unknown = fresh(change).status
    reconciliation.reconcile(by=factories.WORKER)

    assert unknown == ChangeStatus.UNKNOWN
    assert fresh(change).status == ChangeStatus.VERIFIED
    assert drills.last_reached() == fresh(change).settled_at
    assert len(on_stage.posts) == 1


def test_split_view_is_set_right_by_one_change(stage: Stage):
    drill, primary, secondary = played(stage, Scene.SPLIT_VIEW)
    look(primary, secondary)
    assert [side.snapshot.status for side in sides(drill)] == [HamrStatus.ACTIVE, HamrStatus.PASSIVE]

    change = confirmed(prepared(primary, HamrStatus.PASSIVE))

    assert change.status == ChangeStatus.VERIFIED
    assert drills.last_reached() == change.settled_at


def test_a_rate_limit_refuses_once_and_says_how_long(stage: Stage):
    _, _, secondary = played(stage, Scene.RATE_LIMITED)

    first = confirmed(prepared(secondary))
    second = confirmed(prepared(secondary))

    assert (first.status, first.http_status) == (ChangeStatus.REJECTED, 429)
    assert second.status == ChangeStatus.VERIFIED
    assert drills.last_reached() == second.settled_at


def test_keys_that_may_not_write_are_gone_round_by_the_other_side(stage: Stage):
    _, primary, secondary = played(stage, Scene.KEY_REFUSED)

    first = confirmed(prepared(secondary))
    second = confirmed(prepared(primary))

    assert (first.status, first.http_status) == (ChangeStatus.REJECTED, 403)
    assert second.status == ChangeStatus.VERIFIED
    assert drills.last_reached() == second.settled_at


def test_a_drill_with_approval_waits_for_a_second_person(stage: Stage, on_stage: Simulator):
    _, _, secondary = played(stage, Scene.REGION_DARK, approval=True)

    change = confirmed(prepared(secondary))
    assert change.status == ChangeStatus.AWAITING_APPROVAL
    changes.approve(fresh(change), by=changing.approver(), typed_name=secondary.name)

    assert fresh(change).status == ChangeStatus.VERIFIED
    assert len(on_stage.posts) == 1


def test_roles_hold_as_for_a_real_change(stage: Stage):
    _, _, secondary = played(stage, Scene.REGION_DARK)

    with pytest.raises(NotAllowed):
        prepared(secondary, by=changing.actor(Role.VIEWER))


def test_a_freeze_does_not_stop_a_drill_and_stops_what_is_real(stage: Stage, simulator: Simulator):
    _, _, secondary = played(stage, Scene.REGION_DARK)
    real, _ = changing.connected(simulator)
    frozen()

    change = confirmed(prepared(secondary))

    assert (change.status, change.broke_freeze) == (ChangeStatus.VERIFIED, None)
    assert Freeze.objects.exists()
    with pytest.raises(Frozen):
        confirmed(prepared(real))


def test_no_goal_was_reached_where_nothing_was_verified(stage: Stage):
    _, _, secondary = played(stage, Scene.REGION_DARK)
    confirmed(prepared(secondary, HamrStatus.ACTIVE))

    assert drills.last_reached() is None


# --- the wall ---------------------------------------------------------------------------------------------------


def moved(organization: Organization, **fields: Any) -> bool:
    """Tell whether the database takes it, when somebody changes a row by hand."""
    try:
        with transaction.atomic():
            Organization.objects.filter(pk=organization.pk).update(**fields)
    except IntegrityError:
        return False
    return True


def test_the_database_keeps_a_drill_on_its_stage_and_everything_else_off_it():
    drill = begun()
    real, ours = factories.organization("acme"), sides(drill)[0]

    assert not moved(ours, site="us1")
    assert not moved(ours, drill=None)
    assert not moved(ours, name="acme-us1")
    assert not moved(real, site=US1)
    assert not moved(real, drill=drill)
    assert not moved(real, drill=drill, site=US1)  # its name is not a drill's


def test_a_row_that_is_made_real_by_hand_has_keys_that_open_nowhere(simulator: Simulator):
    ours = sides(begun())[0]
    assert moved(ours, drill=None, site="us1", name="acme")

    made = again(ours)
    look(made)

    with pytest.raises(SealBroken):
        keys.open_for(made, keys.ring())
    assert again(made).snapshot.outcome == ReadOutcome.KEYS_UNREADABLE
    assert simulator.requests == []


def test_a_real_row_that_is_made_a_drills_by_hand_tells_its_keys_to_nobody(on_stage: Simulator):
    drill = begun()
    real = factories.organization("acme")
    assert moved(real, drill=drill, site=US5, name="drill-acme")

    look(again(real))

    assert again(real).snapshot.outcome == ReadOutcome.KEYS_UNREADABLE
    assert on_stage.requests == []


def test_a_drill_is_asked_on_its_stage_alone_and_a_real_organization_never_there(
    on_stage: Simulator, settings: Settings
):
    ours, real = sides(begun())[0], factories.organization("acme")

    assert connections.site_of(ours) == settings.DRILL_SITES[US1]
    assert connections.site_of(real) == SITES["us1"]
    ours.site, real.site = "us1", US1
    assert connections.site_of(ours) is None
    assert connections.site_of(real) is None
    assert previews.url_of(ours) == ""


def test_settings_that_lead_a_stage_elsewhere_are_not_followed(settings: Settings):
    ours = sides(begun())[0]
    settings.DRILL_SITES = {US1: Site(US1, "https://api.datadoghq.com")}

    elsewhere = connections.site_of(ours)
    settings.DRILL_SITES = {}
    look(ours)

    assert elsewhere is None
    assert again(ours).snapshot.attempt_reason == f"site {US1} is in no list: DRILL_PORT is not set"


def test_a_request_that_was_built_for_the_wrong_place_does_not_leave(
    stage: Stage, on_stage: Simulator, simulator: Simulator, settings: Settings
):
    _, _, secondary = played(stage, Scene.LATE_ANSWER)
    flight = connections.seize([secondary.pk])[0]
    astray = replace(flight, site=settings.HAMR_SITES["us1"])
    as_real = replace(flight, is_drill=False)
    change = changing.standing(secondary, ChangeStatus.SENDING)
    asked = len(on_stage.requests)

    for wrong in (astray, as_real):
        came = sending.post(change, wrong, since=0)
        result = connections.fetch(wrong)

        assert (came.move.name, came.reason) == ("NOT_SENT", connections.ASTRAY)
        assert (result.outcome, result.reason) == (ReadOutcome.NO_ANSWER, connections.ASTRAY)
    assert simulator.requests == []
    assert len(on_stage.requests) == asked


def test_nobody_edits_disables_enables_or_verifies_what_is_of_a_drill(simulator: Simulator):
    drill = begun()
    ours = sides(drill)[0]
    draft = Draft("acme", "us1", factories.credentials())

    for attempt in (
        lambda: organizations.edit(ours, draft, by=factories.ADMIN),
        lambda: organizations.disable(ours, by=factories.ADMIN),
        lambda: organizations.enable(ours, by=factories.ADMIN),
    ):
        with pytest.raises(organizations.OfDrill):
            attempt()
    found = verification.verify_all([ours], by=factories.ADMIN)[ours.name]

    assert "made up" in found.reason
    assert again(ours).site == US1
    assert simulator.requests == []


def test_a_row_that_became_a_drills_meanwhile_is_not_edited():
    drill = begun()
    loaded = factories.organization("drill-like")
    stale = again(loaded)
    assert moved(loaded, drill=drill, site=US1)

    with pytest.raises(organizations.OfDrill):
        organizations.edit(stale, Draft("acme", "us1"), by=factories.ADMIN)


@pytest.mark.parametrize("name", ["drill-7-us1", "drill-acme"])
def test_nobody_saves_what_would_be_taken_for_a_drill(name: str, simulator: Simulator):
    saved = factories.organization("acme")

    with pytest.raises(organizations.OfDrill, match="Choose another name"):
        organizations.add(Draft(name, "us1", factories.credentials()), by=factories.ADMIN)
    with pytest.raises(organizations.OfDrill, match="Choose another name"):
        organizations.edit(saved, Draft(name, "us1"), by=factories.ADMIN)


def test_a_file_imports_over_no_drill_and_onto_no_stage(simulator: Simulator):
    ours = sides(begun())[0]
    onto = {"name": "acme", "site": US1, "api_key": "a" * 32, "application_key": "b" * 40}
    simulator.add_organization("x", "us1", api_key="a" * 32, application_key="b" * 40)

    (result,) = imports.import_all(
        [Draft(ours.name, "us1", factories.credentials("a" * 32, "b" * 40))], by=factories.ADMIN
    )
    with pytest.raises(imports.InvalidFile, match="the site is in no list"):
        imports.parse(json.dumps([onto]))

    assert result.result == "not saved"
    assert "of drill" in result.detail
    assert again(ours).site == US1


def test_a_drill_is_paired_with_nothing_real_whatever_the_views_say():
    ours, _ = sides(begun())
    real = factories.organization("acme")
    Organization.objects.filter(pk=ours.pk).update(pair=None, column=None)
    factories.seen(ours, target_uuid=real.uuid, is_primary=True)
    factories.seen(real, target_uuid=ours.uuid, is_primary=False)

    pairs.discover_pairs(by=factories.WORKER)

    assert again(ours).pair is None
    assert again(real).pair is None
    assert previews.other_side(again(ours)) is None
    assert previews.other_side(again(real)) is None


def test_the_sides_of_a_drill_find_each_other_again():
    ours, theirs = sides(begun())
    Organization.objects.update(pair=None, column=None)
    factories.seen(ours, target_uuid=theirs.uuid, is_primary=True)
    factories.seen(theirs, target_uuid=ours.uuid, is_primary=False)

    pairs.discover_pairs(by=factories.WORKER)

    assert again(ours).pair_id == again(theirs).pair_id is not None


def test_no_pair_is_renamed_into_a_drill_or_out_of_one():
    drilled, (real, _) = sides(begun())[0].pair, factories.pair()
    assert drilled is not None
    assert real.pair is not None

    with pytest.raises(pairs.NameKept, match="goes with it"):
        pairs.rename(drilled, "Checkout", by=factories.ADMIN)
    with pytest.raises(pairs.NameKept, match="Choose another name"):
        pairs.rename(real.pair, "Drill-7", by=factories.ADMIN)
    with pytest.raises(pairs.NameKept, match="Choose another name"):
        pairs.rename(real.pair, "Drill 7", by=factories.ADMIN)


# --- counts in no real figure -----------------------------------------------------------------------------------


@pytest.fixture
def in_trouble(stage: Stage, simulator: Simulator) -> Drill:
    """A drill whose both sides do not agree, with an open change and a change from outside, beside a pair in sync."""
    changing.connected(simulator)
    drill, primary, secondary = played(stage, Scene.SPLIT_VIEW)
    look(primary, secondary)
    changing.standing(secondary, ChangeStatus.UNKNOWN)
    return drill


def test_the_dashboard_shows_a_drill_apart_and_counts_it_nowhere(
    in_trouble: Drill, django_assert_num_queries: DjangoAssertNumQueries
):
    with django_assert_num_queries(2):
        everything = overview.overview(now=timezone.now())

    assert len(everything.rows) == 1
    assert everything.action == []
    assert sum(everything.counts.values()) == 1
    assert {answers.site for answers in everything.sites} == {"us1", "us5"}
    assert (len(everything.views), everything.fresh) == (2, 2)
    assert overview.needing_action(everything) == 0
    (row,) = everything.drills
    assert row.drill == in_trouble
    assert row.verdict.label == "Split view"


def test_the_poller_counts_no_view_of_a_drill(in_trouble: Drill):
    now = timezone.now()

    assert overview.freshness(now=now).total == 2
    assert versions.of_everything(now=now).freshness == overview.freshness(now=now)
    assert overview.count_saved() == 2


def test_programs_are_told_of_no_drill(in_trouble: Drill):
    now = timezone.now()
    told = overview_json.as_json(overview.overview(now=now), pulse.state(now=now), None)

    assert told["needs_action"] == 0
    assert "drill" not in str(told).lower()


def test_metrics_measure_no_drill(in_trouble: Drill):
    measured = metrics.measured(now=timezone.now())

    assert {reading.organization for reading in measured.readings} == {"acme", "acme-dr"}
    assert measured.needing_action == 0
    assert not any(measured.open_changes.values())


def test_nobody_is_called_for_a_drill(in_trouble: Drill):
    secondary = sides(in_trouble)[1]
    Change.objects.all().delete()
    for later in (0, 600):
        with time_machine.travel(timezone.now() + timedelta(seconds=later)):
            watch.look(now=timezone.now())
    change = waiting(secondary)
    changes.cancel(fresh(change), by=changing.operator())

    assert not News.objects.exists()
    assert outside.listed(limit=10) == []
    assert len(entries(Event.STATUS_CHANGED_OUTSIDE)) == 1


def test_the_offline_pack_holds_no_drill(in_trouble: Drill):
    drills.end(in_trouble, by=changing.operator())
    over = offline_packs.make(by=changing.operator())
    begun()

    made = offline_packs.make(by=changing.operator())

    assert b"drill-" not in over.content
    assert b"drill-" not in made.content


def test_readiness_looks_at_no_drill_but_says_when_one_was(in_trouble: Drill):
    board = readiness.board(now=timezone.now(), names_people=False)

    assert not any(found.name.startswith("drill-") for found in board.found)
    assert [found.risk.name for found in board.found if found.risk.topic.name == "DRILLS"] == ["DRILL_DUE"]


def test_a_drill_that_reached_its_goal_is_good_for_a_quarter(in_trouble: Drill):
    Change.objects.all().delete()
    confirmed(prepared(sides(in_trouble)[0], HamrStatus.PASSIVE))

    def topic(days: int) -> list[str]:
        board = readiness.board(now=timezone.now() + timedelta(days=days), names_people=False)
        told = [("fine", each.topic) for each in board.fine] + [
            (each.risk.name, each.risk.topic) for each in board.found
        ]
        return [word for word, about in told if about.name == "DRILLS"]

    assert topic(89) == ["fine"]
    assert topic(91) == ["DRILL_DUE"]
