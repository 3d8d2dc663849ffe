"""How is a drill begun, staged and ended? Its pair stands beside the real ones, on a stage of its own."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from hamr_portal.crypto import KeyRing
from hamr_portal.domain import drills as domain
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import UNSETTLED, ChangeStatus, Move
from hamr_portal.domain.drills import Scene, Sent
from hamr_portal.domain.organizations import Credentials, Secret
from hamr_portal.domain.pairs import Column
from hamr_portal.domain.people import Action
from hamr_portal.hamr_client import HamrError
from hamr_portal.models import Change, Drill, Organization, Pair, Person, Snapshot

from . import audit, connections, keys, outcomes
from .moves import AlreadyMoved, move
from .outcomes import Story
from .people import entitled

FIRST_READ_AFTER = timedelta(seconds=3)
"""So long after its begin a drill is read first: by then the stage, which looks each second, knows its keys."""

STAGE_SECONDS = 0.5
"""Seconds that the stage has to answer. It is on this machine."""

LOOKED_BACK = 100
"""So many verified changes of drills are looked at, the newest first, for one that reached its goal."""

_NOBODY = Credentials(Secret("0" * 32), Secret("0" * 40))


class NotSetUp(Exception):
    """No port is set for the stage. Next: set DRILL_PORT."""


class NobodyOnStage(Exception):
    """The stage does not answer. Next: start it with `run_drills`."""


class UnderWay(Exception):
    """Another drill is under way; `drill` is that one. Next: end it, or join it."""

    def __init__(self, drill: Drill) -> None:
        super().__init__(f"{drill} is under way")
        self.drill = drill


class AlreadyOver(Exception):
    """The drill is over, or somebody else ended it first."""


# --- begin ------------------------------------------------------------------------------------------------------


def stage_answers() -> bool:
    """Tell whether the stage answers: it does not know these keys, and says so. Raises `NotSetUp`."""
    # No scene closes this side's port.
    site = settings.DRILL_SITES.get(domain.SITES[Column.SECONDARY])
    if site is None:
        raise NotSetUp("DRILL_PORT is not set.")
    try:
        return not connections.client_for(site).api_key_is_valid(site, _NOBODY, seconds=STAGE_SECONDS)
    except HamrError:
        return False


def begin(scene: Scene, *, approval: bool = False, by: Actor) -> Drill:
    """Begin a drill: two organizations with made-up keys, as a pair. With `approval`, a second person is needed.

    Raises `people.NotAllowed`, `NotSetUp`, `NobodyOnStage`, `UnderWay`, `KeyRingUnusable`.
    """
    entitled(by, Action.RUN_DRILLS)
    ring = keys.ring()
    if not stage_answers():
        raise NobodyOnStage("Nobody answers on the stage.")
    now = timezone.now()
    drill = Drill(scene=scene.name, begun_at=now, begun_by=by.name, ends_at=now + domain.LASTS)
    try:
        with transaction.atomic():
            drill.save(force_insert=True)
            sides = _sides(drill, ring, approval=approval, now=now)
            told = _told(drill) | {"sides": [side.name for side in sides], "approval": approval}
            audit.append(Event.DRILL_BEGUN, by=by, organization=sides[0].name, data=told)
    except IntegrityError:
        standing = under_way()
        if standing is None:
            raise  # it is the record that did not take it
        raise UnderWay(standing) from None
    return drill


def _sides(drill: Drill, ring: KeyRing, *, approval: bool, now: datetime) -> list[Organization]:
    pair = Pair.objects.create(name=_free_name(drill), found_at=now)
    sides = []
    for column, site in domain.SITES.items():
        side = Organization(
            name=domain.name_of(drill.pk, column),
            site=site,
            uuid=uuid4(),
            requires_approval=approval,
            keys_saved_at=now,
            added_at=now,
            pair=pair,
            column=column,
            drill=drill,
        )
        keys.seal_into(side, Credentials(Secret(secrets.token_hex(16)), Secret(secrets.token_hex(20))), ring)
        side.save(force_insert=True)
        Snapshot.objects.create(organization=side, due_at=now + FIRST_READ_AFTER)
        sides.append(side)
    return sides


def _free_name(drill: Drill) -> str:
    """Give the pair's name; another where somebody called a pair like that before there were drills."""
    name = f"Drill {drill.pk}"
    return f"{name}, {uuid4()}" if Pair.objects.filter(name__iexact=name).exists() else name


def _told(drill: Drill) -> dict[str, object]:
    return {"drill": drill.pk, "scene": drill.scene}


def under_way() -> Drill | None:
    """Give the drill that is under way; there is one at a time."""
    return Drill.objects.under_way().first()


# --- stage ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One side of a drill's pair, with the keys that the stage is to know."""

    name: str
    site: str
    uuid: UUID
    column: Column
    credentials: Credentials = field(repr=False)


@dataclass(frozen=True)
class Script:
    """What is to be staged: which scene with which sides; whether both were seen to be well, and the trouble began."""

    number: int
    scene: Scene
    parts: tuple[Part, ...]
    seen: bool
    turned: bool


def script() -> Script | None:
    """Give what is to be staged now. Raises `KeyRingUnusable`, `SealBroken`."""
    drill = under_way()
    if drill is None:
        return None
    ring = keys.ring()
    sides = drill.organizations.select_related("snapshot").order_by("column")
    return Script(
        number=drill.pk,
        scene=drill.staged,
        parts=tuple(_part(side, ring) for side in sides),
        seen=all(side.snapshot.answered_at is not None for side in sides),
        turned=drill.turned_at is not None,
    )


def _part(side: Organization, ring: KeyRing) -> Part:
    assert side.uuid is not None  # noqa: S101 - it was made with one
    return Part(side.name, side.site, side.uuid, Column(side.column or ""), keys.open_for(side, ring))


def turn(number: int, *, by: Actor) -> None:
    """Put down that a scene's trouble has begun, and read both sides. Nothing is written where it had, or is over."""
    with transaction.atomic():
        if not Drill.objects.under_way().filter(pk=number, turned_at=None).update(turned_at=timezone.now()):
            return
        drill = Drill.objects.get(pk=number)
        name = domain.name_of(number, Column.PRIMARY)
        audit.append(Event.DRILL_TURNED, by=by, organization=name, data=_told(drill))
    for side in drill.organizations.all():
        connections.read_anew(side.pk)


# --- end --------------------------------------------------------------------------------------------------------


def end(drill: Drill, *, by: Actor) -> None:
    """End a drill: its pair is not read any more, and on no list. Raises `AlreadyOver`, `people.NotAllowed`."""
    person = entitled(by, Action.RUN_DRILLS)
    if not _ended(drill, by, person):
        raise AlreadyOver(f"{drill} is over already.")


def tidy(*, by: Actor) -> None:
    """End what nobody ended in time, and close what was open in drills that are over: nobody reads there any more."""
    now = timezone.now()
    # Both ways: after the clock was set back, it would go on for longer than it may.
    for drill in Drill.objects.under_way().filter(Q(ends_at__lte=now) | Q(ends_at__gt=now + domain.LASTS)):
        _ended(drill, by)
    _let_go(by)


def _ended(drill: Drill, by: Actor, person: Person | None = None) -> bool:
    now = timezone.now()
    with transaction.atomic():
        if not Drill.objects.under_way().filter(pk=drill.pk).update(ended_at=now, ended_by=by.name):
            return False
        Organization.objects.filter(drill=drill).update(disabled_at=now)
        name = domain.name_of(drill.pk, Column.PRIMARY)
        audit.append(Event.DRILL_ENDED, by=by, organization=name, data=_told(drill))
    _let_go(by, person)
    return True


def _let_go(by: Actor, person: Person | None = None) -> None:
    over = Change.objects.filter(organization__drill__ended_at__isnull=False).select_related("organization")
    for change in over.filter(status__in=[*UNSETTLED, ChangeStatus.AWAITING_APPROVAL]):
        waits = change.status == ChangeStatus.AWAITING_APPROVAL
        closed: dict[str, object] = {"closed_by": person, "closing_reason": "The drill ended."}
        closed |= {"settled_at": timezone.now(), "check_at": None}
        by_way_of, told = (Move.EXPIRE, {}) if waits else (Move.RESOLVE, closed)
        try:
            move(change, by_way_of, by=by, fields=told, data={"drill_ended": change.organization.drill_id})
        except AlreadyMoved:
            continue  # somebody who read or decided was faster


# --- what came of it --------------------------------------------------------------------------------------------


def facts(stories: Iterable[Story]) -> list[Sent]:
    """Give changes of drills as their goals and wrong turns are judged by."""
    return [_fact(story) for story in stories]


def _fact(story: Story) -> Sent:
    change = story.change
    return Sent(
        number=change.pk,
        side=Column(change.organization.column or ""),
        target=change.target,
        status=ChangeStatus(change.status),
        sent_at=change.sent_at,
        settled_at=change.settled_at,
        http_status=change.http_status,
        again_at=story.again_at,
        agrees=story.other_agrees,
    )


def last_reached() -> datetime | None:
    """Give when a drill last reached its goal. Two queries."""
    verified = Change.objects.filter(organization__drill__isnull=False, status=ChangeStatus.VERIFIED)
    newest = verified.select_related("organization__drill").order_by("-settled_at")[:LOOKED_BACK]
    stories = outcomes.stories(newest)
    moments = (domain.reached_at(_scene(story), facts([story])) for story in stories)
    return next((moment for moment in moments if moment is not None), None)


def _scene(story: Story) -> Scene:
    drill = story.change.organization.drill
    assert drill is not None  # noqa: S101 - filtered by the query
    return drill.staged
