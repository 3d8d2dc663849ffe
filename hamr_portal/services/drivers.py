"""Who drives a change, and how is that handed over? Words on the record: whoever drives may do nothing more by it."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.connections import sanitized
from hamr_portal.domain.drivers import LONGEST_REASON, Problem, wrong_with
from hamr_portal.domain.people import Action
from hamr_portal.models import Change, Person

from . import audit, overview
from .people import entitled


class NotDriven(Exception):
    """The change is over, and no side is still between two statuses by it: there is nothing to drive."""


class AnotherDrives(Exception):
    """Somebody else drives it by now, or it was offered to somebody else. Next: look who, and ask again."""


class NobodyToOfferTo(Exception):
    """This person cannot drive: nobody has the address, or their role does not allow it, or they drive already."""


class ReasonWrong(Exception):
    """To take over needs a reason; `problem` says what is wrong with this one."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def is_driven(change: Change) -> bool:
    """Tell whether somebody drives a change: it is open, or a side is still between two statuses by it."""
    if change.is_open:
        return True
    led_by = overview.row_of(change.organization, now=timezone.now()).led_by
    return led_by is not None and led_by.pk == change.pk


def may_take(change: Change) -> QuerySet[Person]:
    """Give those whom a change can be handed to."""
    return Person.objects.who_may(Action.DRIVE_CHANGES).exclude(pk=change.driven_by.pk).order_by("email")


def offer(change: Change, to: str, *, by: Actor) -> None:
    """Offer a change to somebody, who drives it from when they take it; to nobody: take the offer back.

    Raises `NotDriven`, `AnotherDrives`, `NobodyToOfferTo`, `people.NotAllowed`.
    """
    _driven(change)
    with transaction.atomic():
        driver = entitled(by, Action.DRIVE_CHANGES)
        taker = may_take(change).filter(email__iexact=to).first() if to else None
        if to and taker is None:
            raise NobodyToOfferTo(to)
        if not Change.objects.filter(pk=change.pk).driven_by(driver.pk).update(offered_to=taker):
            raise AnotherDrives(f"change {change.pk}")
        data: dict[str, str | None] = {"offered_to": taker.email} if taker is not None else {}
        _put_down(Event.DRIVER_OFFERED if taker is not None else Event.DRIVER_KEPT, change, by, data)


def take(change: Change, *, seen: int, by: Actor, reason: str = "") -> None:
    """Drive a change from now on: as it was offered, or for a reason where its driver is away.

    `seen` is who drove it as the person saw it.
    Raises `NotDriven`, `AnotherDrives`, `ReasonWrong`, `people.NotAllowed`.
    """
    _driven(change)
    with transaction.atomic():
        taker = entitled(by, Action.DRIVE_CHANGES)
        rows = Change.objects.filter(pk=change.pk).driven_by(seen)
        if taker.pk == seen:
            raise AnotherDrives(f"change {change.pk}")
        was = Person.objects.filter(pk=seen).values_list("email", flat=True).first()
        if rows.filter(offered_to=taker).update(driver=taker, offered_to=None):
            _put_down(Event.DRIVER_TAKEN, change, by, {"driver_before": was})
            return
        problem = wrong_with(reason)
        if problem is not None:
            raise ReasonWrong(problem)
        if not rows.update(driver=taker, offered_to=None):
            raise AnotherDrives(f"change {change.pk}")
        why = sanitized(reason.strip(), LONGEST_REASON)
        _put_down(Event.DRIVER_TAKEN_OVER, change, by, {"driver_before": was}, reason=why)


def _driven(change: Change) -> None:
    if not is_driven(change):
        raise NotDriven(f"change {change.pk}")


def _put_down(event: Event, change: Change, by: Actor, data: dict[str, str | None], reason: str = "") -> None:
    name = change.organization.name
    audit.append(event, by=by, organization=name, change=change.pk, reason=reason, data=data)
