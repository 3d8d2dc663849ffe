"""A stage, a drill on it, and each step of one in a line: what tests of drills ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from allauth.mfa.models import Authenticator
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain import drills as domain
from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.drills import Scene
from hamr_portal.domain.organizations import Site
from hamr_portal.domain.pairs import Column
from hamr_portal.management.drill_stage import Stage
from hamr_portal.models import Drill, Organization, Person
from hamr_portal.services import drills
from hamr_portal.simulator import Simulator
from tests import factories

from . import changing


@contextmanager
def a_stage(settings: Settings) -> Iterator[Simulator]:
    """Give a simulator that is the stage, at ports of its own."""
    with Simulator(list(domain.SITES.values())) as simulator:
        settings.DRILL_SITES = {name: Site(name, url) for name, url in simulator.urls.items()}
        settings.DRILL_PORT = 1024  # only whether there is one matters to pages
        yield simulator


def begun(scene: Scene = Scene.REGION_DARK, *, by: Actor | None = None, approval: bool = False) -> Drill:
    """Give a drill that was begun; the stage is taken to answer."""
    with patch.object(drills, "stage_answers", lambda: True):
        return drills.begin(scene, approval=approval, by=by or changing.operator())


def sides(drill: Drill) -> tuple[Organization, Organization]:
    """Give the primary and the secondary of a drill."""
    primary, secondary = (
        Organization.objects.select_related("snapshot", "pair").get(name=domain.name_of(drill.pk, column))
        for column in Column
    )
    return primary, secondary


def played(stage: Stage, scene: Scene, *, approval: bool = False) -> tuple[Drill, Organization, Organization]:
    """Give a drill whose trouble has begun, and its sides as they were read before that."""
    drill = begun(scene, approval=approval)
    stage.look()
    changing.look(*sides(drill))
    stage.look()
    drill.refresh_from_db()
    return (drill, *sides(drill))


def practised() -> Drill:
    """Give a drill that reached its goal and is over; who did it has a second factor."""
    drill = begun()
    Authenticator.objects.create(user=Person.objects.get(email=drill.begun_by), type=Authenticator.Type.TOTP, data={})
    changing.standing(sides(drill)[1], ChangeStatus.VERIFIED, settled_at=timezone.now())
    drills.end(drill, by=changing.operator())
    return drill


def player(simulator: Simulator) -> Stage:
    """Give who plays on a stage."""
    return Stage(simulator, by=factories.SHELL)
