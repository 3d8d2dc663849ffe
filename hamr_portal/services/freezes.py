"""How are changes frozen, and when is that over? One freeze at a time, with a reason and an end, on the record."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import F, Max, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.connections import sanitized
from hamr_portal.domain.freezes import LONGEST_REASON, Problem, problems
from hamr_portal.domain.news import Kind
from hamr_portal.domain.people import Action
from hamr_portal.models import Change, Freeze, Organization, Worker

from . import announcements, audit, notifications, pulse
from .people import entitled
from .pulse import WorkerState


class Wrong(Exception):
    """Something is missing or wrong in what was typed; `problems` says what, all at once."""

    def __init__(self, found: list[Problem]) -> None:
        super().__init__(", ".join(found))
        self.problems = found


class AlreadyFrozen(Exception):
    """Another freeze is in force; `freeze` is that one. Next: end it first, or wait for its end."""

    def __init__(self, freeze: Freeze) -> None:
        super().__init__(f"frozen by {freeze.begun_by}")
        self.freeze = freeze


class AlreadyOver(Exception):
    """The freeze has passed its end, or somebody else ended it first."""


def in_force(*, now: datetime) -> Freeze | None:
    """Give the freeze that holds now."""
    return Freeze.objects.in_force(now).first()


def holding(organization: Organization, *, now: datetime) -> Freeze | None:
    """Give the freeze that holds back changes of an organization; a drill changes nothing real, and goes on."""
    return in_force(now=now) if organization.drill_id is None else None


def beside_workers(*, now: datetime) -> tuple[WorkerState, Freeze | None]:
    """Give the workers' state and the freeze that holds now: every page asks for both, and mostly in one query."""
    held = Subquery(Freeze.objects.in_force(now).values("pk")[:1])
    # An aggregate has one row, also where nobody ever worked; no freeze has the number 0.
    frozen = Coalesce(held, Max(Value(0)))
    found = Worker.objects.aggregate(**pulse.asked(now=now), frozen=frozen)
    state = pulse.judged(found, now=now)
    return state, Freeze.objects.filter(pk=found["frozen"]).first() if found["frozen"] else None


def begin(*, reason: str, ends_at: datetime, by: Actor) -> Freeze:
    """Freeze changes from now on until an end. Raises `Wrong`, `AlreadyFrozen`, `people.NotAllowed`."""
    now = timezone.now()
    found = problems(reason, ends_at, now=now)
    if found:
        raise Wrong(found)
    freeze = Freeze(reason=sanitized(reason.strip(), LONGEST_REASON), begun_at=now, begun_by=by.name, ends_at=ends_at)
    try:
        with transaction.atomic():
            entitled(by, Action.FREEZE_CHANGES)
            Freeze.objects.filter(ended_at__isnull=True, ends_at__lte=now).update(ended_at=F("ends_at"))
            freeze.save(force_insert=True)
            audit.append(Event.FREEZE_BEGUN, by=by, reason=reason, data=_facts(freeze))
    except IntegrityError:
        standing = in_force(now=now)
        if standing is None:
            raise  # it is the record that did not take it
        raise AlreadyFrozen(standing) from None
    return freeze


def end(freeze: Freeze, *, by: Actor) -> None:
    """End a freeze before its time. Raises `AlreadyOver`, `people.NotAllowed`."""
    now = timezone.now()
    with transaction.atomic():
        entitled(by, Action.FREEZE_CHANGES)
        if not Freeze.objects.in_force(now).filter(pk=freeze.pk).update(ended_at=now, ended_by=by.name):
            raise AlreadyOver(f"{freeze} is over already.")
        audit.append(Event.FREEZE_ENDED, by=by, data=_facts(freeze))


def put_down_broken(freeze: Freeze, change: Change, *, by: Actor, ticket: str, reason: str) -> None:
    """Put on the record that a change goes out in spite of a freeze, and tell all admins, in its transaction."""
    data = {**_facts(freeze), "to": change.target.name}
    entry = audit.append(
        Event.FREEZE_BROKEN,
        by=by,
        organization=change.organization.name,
        change=change.pk,
        ticket=ticket,
        reason=reason,
        data=data,
    )
    announcements.notice(change.author, entry, by=by, change=change)
    notifications.queue(
        Kind.BREAK_GLASS,
        at=entry.at,
        change=change.pk,
        organization=change.organization.name,
        site=change.organization.site,
        target=change.target.name,
        by=by.name,
        ticket=ticket,
        said=reason,
        frozen_by=freeze.begun_by,
        frozen_ends_at=freeze.ends_at,
    )


def _facts(freeze: Freeze) -> dict[str, object]:
    return {"freeze": freeze.pk, "begun_by": freeze.begun_by, "ends_at": audit.moment(freeze.ends_at)}
