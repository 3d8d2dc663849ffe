"""What a debrief tells of a drill: its steps, its wrong turns, what was verified, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.drills import Scene, WrongTurn
from hamr_portal.management.drill_stage import Stage
from hamr_portal.models import AuditEntry
from hamr_portal.services import debriefs, drills
from hamr_portal.services.refusals import Incomplete

from . import changing, practising
from .changing import confirmed, fresh, prepared
from .practising import begun, played, sides
from .tampering import edit

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(settings: Settings) -> Iterator[Stage]:
    with practising.a_stage(settings) as simulator:
        yield practising.player(simulator)


def test_a_drill_is_told_from_its_begin_to_its_end(stage: Stage):
    drill, _, secondary = played(stage, Scene.REGION_DARK)
    with pytest.raises(Incomplete):
        confirmed(prepared(secondary), typed_name=f"drill-{drill.pk}-us1")
    change = confirmed(prepared(secondary))
    drills.end(drill, by=changing.operator())

    told = debriefs.debrief(drill)

    events = [step.entry.event for step in told.steps]
    assert (events[0], events[-1]) == (Event.DRILL_BEGUN, Event.DRILL_ENDED)
    assert {Event.DRILL_TURNED, Event.CHANGE_PREPARED, Event.CHANGE_SENDING, Event.CHANGE_VERIFIED} <= {*events}
    assert told.steps[0].after is None
    assert [step.after for step in told.steps[1:]] == [
        after.entry.at - before.entry.at for before, after in zip(told.steps, told.steps[1:], strict=False)
    ]
    assert [turn.what for turn in told.turns] == [WrongTurn.NAME]
    assert told.turns[0].who == changing.operator().name
    assert [story.change for story in told.stories] == [change]
    assert [story.change for story in told.verified] == [change]
    assert told.reached_at == change.settled_at
    assert told.drill.turned_at is not None
    assert change.settled_at is not None
    assert told.took == change.settled_at - told.drill.turned_at
    assert [side.name for side in told.sides] == [side.name for side in sides(drill)]


def test_a_drill_in_which_nothing_was_done_reached_nothing():
    told = debriefs.debrief(begun())

    assert (told.reached_at, told.took, told.turns, told.stories, told.verified) == (None, None, (), (), [])


def test_what_the_end_of_the_drill_closed_is_nobodys_wrong_turn():
    drill = begun(Scene.LATE_ANSWER)
    change = changing.standing(sides(drill)[1], ChangeStatus.UNKNOWN, confirmed_at=timezone.now())

    drills.end(drill, by=changing.operator())

    assert fresh(change).status == ChangeStatus.RESOLVED
    assert debriefs.debrief(drill).turns == ()


@pytest.mark.parametrize("spoilt", ["no JSON", "[]"])
def test_an_entry_that_somebody_spoilt_is_told_without_particulars(spoilt: str):
    drill = begun()
    edit(AuditEntry.objects.get(event=Event.DRILL_BEGUN).seq, data=spoilt)

    assert len(debriefs.debrief(drill).steps) == 1


def test_drills_are_listed_the_newest_first_with_the_moment_of_their_goal(stage: Stage):
    first, _, secondary = played(stage, Scene.REGION_DARK)
    change = confirmed(prepared(secondary))
    drills.end(first, by=changing.operator())
    stage.look()
    second, primary, _ = played(stage, Scene.SPLIT_VIEW)
    confirmed(prepared(primary, HamrStatus.RECOVERY))

    listed = debriefs.listed(limit=10)

    assert [(each.drill, each.reached_at) for each in listed] == [(second, None), (first, change.settled_at)]
    assert [each.drill for each in debriefs.listed(limit=1)] == [second]
