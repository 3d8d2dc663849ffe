"""Has anything changed since? A version of what pages show, from few columns, for pages that refresh themselves."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, Max, Q, QuerySet, Sum

from hamr_portal.domain.changes import UNSETTLED
from hamr_portal.models import Change, Freeze, LogLine, Organization, Snapshot

from . import audit, freezes, overview
from .overview import Freshness
from .pulse import WorkerState

MOST_AGES = 1000
"""So many views have their ages told beside a version: they go into a header, and proxies take 4 KiB of headers."""

_LONGEST_AGE = 0xFF
"""Seconds. What is current is mostly younger; where it may be older, its moment is part of the version."""


@dataclass(frozen=True)
class Version:
    """What pages show at one moment rests on this; where all of it is the same, so are they, but for `ages`.

    Whatever is written is on the record, so `entry` tells of it; what is not is here beside it: the `readings`, the
    `log` of changes that are read back, the workers, a freeze that ends by itself, and what else passes by itself, at
    the latest with the `minute`.
    `ages` are the seconds since each view, two hexadecimal digits a view in the order of their keys; empty where the
    moments of all views are among the readings.
    """

    minute: datetime
    entry: int
    readings: tuple[object, ...]
    log: tuple[object, ...]
    freshness: Freshness
    worker: WorkerState
    freeze: Freeze | None
    ages: str = ""

    @property
    def parts(self) -> tuple[object, ...]:
        """Give all that makes another version."""
        fresh, worker = self.freshness, self.worker
        return (
            *(self.minute, self.entry, self.readings, self.log),
            *(fresh.fresh, fresh.total, None if fresh.fresh else fresh.last),
            *(worker.pulse.name, worker.seen_at is None, self.freeze and self.freeze.pk),
        )


def of_everything(*, now: datetime) -> Version:
    """Give the version of all pairs; a reading that says the same again only makes it younger. Three queries."""
    entry = audit.head().seq  # first: whatever is committed while this looks belongs to the next version
    views = _views(Snapshot.objects.order_by("pk"))
    told = [_age(view, now) if len(views) <= MOST_AGES else None for view in views]
    readings = tuple(view.shown(now, aged=age is not None) for view, age in zip(views, told, strict=True))
    real = [view for view in views if view.organization__drill is None]
    answers = [view.answered_at for view in real if view.answered_at is not None]
    fresh = Freshness(sum(view.is_current(now) for view in real), len(real), max(answers, default=None))
    ages = "".join(".." if age is None else f"{age:02x}" for age in told)
    beside = freezes.beside_workers(now=now)
    return Version(_minute(now), entry, readings, (), fresh, *beside, ages if ages.strip(".") else "")


def of_organization(name: str, *, now: datetime) -> Version:
    """Give the version of one organization with its pair and its changes. Five queries."""
    sides = Organization.objects.filter(Q(name=name) | Q(pair__sides__name=name))
    return _version(now, sides, Q(change__organization__name=name) | Q(change__other__name=name))


def of_change(pk: int, *, now: datetime) -> Version:
    """Give the version of one change with the sides that it concerns. Five queries."""
    other = Change.objects.filter(pk=pk).values("other")
    sides = Organization.objects.filter(Q(changes=pk) | Q(pair__changes=pk) | Q(pk__in=other))
    return _version(now, sides, Q(change=pk))


def of_changes(*, now: datetime) -> Version:
    """Give the version of all changes, of which readings say nothing. Five queries."""
    return _version(now, Organization.objects.none(), Q(change__status__in=UNSETTLED))


def of_drill(pk: int, *, now: datetime) -> Version:
    """Give the version of one drill with its sides and its changes. Five queries."""
    return _version(now, Organization.objects.filter(drill=pk), Q(change__organization__drill=pk))


def of_drills(*, now: datetime) -> Version:
    """Give the version of the list of drills, of which neither readings nor what is read back say anything.

    Whether the stage answers is seen anew each minute.
    """
    return _version(now, Organization.objects.none(), Q(pk__in=()))


def _version(now: datetime, sides: QuerySet[Organization], log: Q) -> Version:
    entry = audit.head().seq
    views = _views(Snapshot.objects.filter(organization__in=sides.values("pk")).order_by("pk"))
    readings = tuple((view, view.shown(now)) for view in views)
    fresh = overview.freshness(now=now)
    return Version(_minute(now), entry, readings, _log(log, now), fresh, *freezes.beside_workers(now=now))


class _View(NamedTuple):
    """What is asked of each view: few columns, for there may be a thousand."""

    answered_at: datetime | None
    view_since: datetime | None
    status: int | None
    outcome: str
    outcome_since: datetime | None
    attempt_failed: bool
    repeats: int
    due_at: datetime
    leased_until: datetime | None
    organization__drill: int | None

    def is_current(self, now: datetime) -> bool:
        """Tell whether it may be shown as the present."""
        is_recent = self.answered_at is not None and abs(now - self.answered_at) <= overview.stale_after()
        return is_recent and not self.attempt_failed

    def shown(self, now: datetime, *, aged: bool = False) -> tuple[object, ...]:
        """Give what pages show of it, without the moment of an `aged` one; of a side in trouble its next read too."""
        known = self.view_since, self.status, self.outcome, self.outcome_since, None if aged else self.answered_at
        unasked = now - self.due_at > overview.stale_after()
        is_read = self.leased_until is not None and self.leased_until > now
        next_read = (self.repeats, self.due_at, self.due_at <= now, is_read)
        return (*known, self.is_current(now), unasked, *(next_read if self.attempt_failed or not aged else ()))


def _views(found: QuerySet[Snapshot]) -> list[_View]:
    enabled = found.filter(organization__disabled_at__isnull=True)
    return [_View(*row) for row in enabled.values_list(*_View._fields)]


def _age(view: _View, now: datetime) -> int | None:
    """Give the whole seconds since a view that is shown as the present; None where that cannot be told."""
    if view.answered_at is None or not view.is_current(now):
        return None
    seconds = int(now.timestamp()) - int(view.answered_at.timestamp())
    return seconds if 0 <= seconds <= _LONGEST_AGE else None


def _minute(now: datetime) -> datetime:
    return now.replace(second=0, microsecond=0)


def _log(lines: Q, now: datetime) -> tuple[object, ...]:
    """Give how much was read back for these changes, and whether their next read or their end has come."""
    found = LogLine.objects.filter(lines).aggregate(
        lines=Count("pk"), times=Sum("times"), check_at=Max("change__check_at"), ends_at=Max("change__expires_at")
    )
    passed = (moment is not None and moment <= now for moment in (found["check_at"], found["ends_at"]))
    return (*found.values(), *passed)
