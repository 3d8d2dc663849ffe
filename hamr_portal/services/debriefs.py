"""What happened in a drill? Read from the record and from its changes; nothing is kept for it besides."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hamr_portal.domain import drills as domain
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.drills import Happened, Turn
from hamr_portal.domain.pairs import Column
from hamr_portal.models import AuditEntry, Change, Drill, Organization

from . import audit, drills, outcomes
from .outcomes import Story


@dataclass(frozen=True)
class Step:
    """One line of the record, and how long after the one before; None: it is the first."""

    entry: AuditEntry
    after: timedelta | None


@dataclass(frozen=True)
class Debrief:
    """A drill from its begin to its end: what happened, what went wrong, what was verified; the oldest first."""

    drill: Drill
    sides: tuple[Organization, ...]
    steps: tuple[Step, ...]
    turns: tuple[Turn, ...]
    stories: tuple[Story, ...]
    reached_at: datetime | None

    @property
    def took(self) -> timedelta | None:
        """Give how long it took from the begin of the trouble until the goal was reached; None: it was not."""
        began = self.drill.turned_at or self.drill.begun_at
        return self.reached_at - began if self.reached_at is not None else None

    @property
    def verified(self) -> list[Story]:
        """Give the changes that were seen to be applied."""
        return [story for story in self.stories if story.change.status == ChangeStatus.VERIFIED]


def debrief(drill: Drill) -> Debrief:
    """Give what happened in a drill so far."""
    names = [domain.name_of(drill.pk, column) for column in Column]
    entries = audit.loaded(AuditEntry.objects.filter(organization__in=names).order_by("seq"))
    changes = Change.objects.filter(organization__drill=drill).order_by("pk")
    stories = outcomes.stories(changes.select_related("organization", "author", "approver"))
    sent = drills.facts(stories)
    return Debrief(
        drill=drill,
        sides=tuple(drill.organizations.select_related("snapshot").order_by("column")),
        steps=tuple(_steps(entries)),
        turns=tuple(domain.wrong_turns(drill.staged, map(_happened, entries), sent)),
        stories=tuple(story for story in stories if story.change.confirmed_at is not None),
        reached_at=domain.reached_at(drill.staged, sent),
    )


@dataclass(frozen=True)
class Listed:
    """A drill, and when its goal was reached; None: it was not."""

    drill: Drill
    reached_at: datetime | None


def listed(*, limit: int) -> list[Listed]:
    """Give the newest drills. Three queries."""
    newest = list(Drill.objects.order_by("-pk")[:limit])
    changes = Change.objects.filter(organization__drill__in=newest, status=ChangeStatus.VERIFIED)
    stories = outcomes.stories(changes.select_related("organization"))
    by_drill: dict[int | None, list[Story]] = {}
    for story in stories:
        by_drill.setdefault(story.change.organization.drill_id, []).append(story)
    return [
        Listed(drill, domain.reached_at(drill.staged, drills.facts(by_drill.get(drill.pk, [])))) for drill in newest
    ]


def _steps(entries: Sequence[AuditEntry]) -> Iterator[Step]:
    before: datetime | None = None
    for entry in entries:
        yield Step(entry, entry.at - before if before is not None else None)
        before = entry.at


def _happened(entry: AuditEntry) -> Happened:
    told = _data(entry)
    problems = frozenset(map(str, told.get("problems", ())))
    return Happened(entry.at, entry.event, entry.actor_name, entry.change, problems, "drill_ended" in told)


def _data(entry: AuditEntry) -> dict[str, Any]:
    try:
        told = json.loads(entry.data)
    except ValueError:  # somebody spoilt it: the log says so
        return {}
    return told if isinstance(told, dict) else {}
