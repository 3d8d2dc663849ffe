"""How are run sheets saved, started with a change, and ticked? Each save and each tick is on the record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.connections import sanitized
from hamr_portal.domain.people import Action
from hamr_portal.domain.run_sheets import PROPOSED, Step, Wrong, for_status, plain, steps_of, wrong_with
from hamr_portal.models import Change, Organization, Pair, RunSheet, SheetCopy, Tick

from . import audit
from .people import entitled


class Incomplete(Exception):
    """Something is missing or wrong in what was typed; `found` says what and where, all at once."""

    def __init__(self, found: list[Wrong]) -> None:
        super().__init__(", ".join(each.problem for each in found))
        self.found = found


class OutOfDate(Exception):
    """Somebody else saved this sheet meanwhile; `saved` is theirs. Next: compare, and save again."""

    def __init__(self, saved: RunSheet) -> None:
        super().__init__(f"saved by {saved.saved_by}")
        self.saved = saved


class NothingNew(Exception):
    """The sheet says so already."""


class NoSuchStep(Exception):
    """The change has no such step, or nobody can have ticked it so often."""


class TickedMeanwhile(Exception):
    """Somebody else was first with this step; `last` is what they did."""

    def __init__(self, last: Tick) -> None:
        super().__init__(f"by {last.by}")
        self.last = last


# --- the sheet of a pair ----------------------------------------------------------------------------------------


def sheet_of(pair: Pair) -> RunSheet | None:
    """Give the run sheet of a pair, where one was saved."""
    return RunSheet.objects.filter(pair=pair).first()


def proposed_for(pair: Pair) -> list[Step]:
    """Give what a pair without a sheet is offered: that of a pair of the same name that was parted, or a beginning."""
    parted = RunSheet.objects.filter(pair__isnull=True, pair_name__iexact=pair.name).order_by("-saved_at").first()
    return parted.steps if parted is not None and parted.steps else list(PROPOSED)


def save(pair: Pair, steps: Sequence[Step], *, version: int, by: Actor) -> RunSheet:
    """Save the run sheet of a pair; `version` is the one that it was typed over, 0 where there was none.

    Raises `Incomplete`, `OutOfDate`, `NothingNew`, `people.NotAllowed`.
    """
    found = wrong_with(steps)
    if found:
        raise Incomplete(found)
    kept = _plain(steps)
    fields = {"pair_name": pair.name, "steps_json": json.dumps(kept), "saved_at": timezone.now(), "saved_by": by.name}
    try:
        with transaction.atomic():
            entitled(by, Action.EDIT_RUN_SHEETS)
            before = sheet_of(pair)
            was = plain(before.steps) if before is not None else []
            if before is not None and before.version != version:
                raise OutOfDate(before)
            if kept == was:
                raise NothingNew(f"{pair.name} has this sheet already.")
            _write(pair, version, fields)
            data = {"pair": pair.name, "version": version + 1, "was": was, "is": kept}
            audit.append(Event.RUN_SHEET_SAVED, by=by, data=data)
    except IntegrityError:
        saved = sheet_of(pair)
        if saved is None or saved.version == version:
            raise  # the pair is gone, or it is the record that did not take it
        raise OutOfDate(saved) from None
    return RunSheet.objects.get(pair=pair)


def _write(pair: Pair, version: int, fields: dict[str, Any]) -> None:
    if not version:
        RunSheet.objects.create(pair=pair, **fields)
    elif not RunSheet.objects.filter(pair=pair, version=version).update(version=version + 1, **fields):
        raise IntegrityError(f"the sheet of {pair.name} was saved meanwhile")


def _plain(steps: Sequence[Step]) -> list[dict[str, str]]:
    return [{name: sanitized(text, len(text)) for name, text in step.items()} for step in plain(steps)]


# --- the copy of a change ---------------------------------------------------------------------------------------


def begun(change: Change, organization: Organization) -> SheetCopy | None:
    """Give the copy that starts with a change, not saved yet; None where its pair has no step for it. No query.

    The organization is loaded with its pair and that pair's sheet.
    """
    sheet: RunSheet | None = getattr(organization.pair, "run_sheet", None)
    steps = for_status(sheet.steps, change.target) if sheet is not None else []
    if sheet is None or not steps:
        return None
    return SheetCopy(change=change, version=sheet.version, steps_json=json.dumps(plain(steps)))


def told(copy: SheetCopy) -> list[dict[str, str]]:
    """Give the steps of a copy as the record keeps them."""
    return plain(copy.steps)


def start(copy: SheetCopy) -> None:
    """Save a copy, in the transaction that starts its change: the entry of the move has its steps."""
    copy.pk = None  # where the first try was rolled back
    copy.save(force_insert=True)


@dataclass(frozen=True)
class Line:
    """One step of a change, with everything that was ticked and taken back, the oldest first."""

    place: int
    step: Step
    ticks: tuple[Tick, ...] = ()

    @property
    def last(self) -> Tick | None:
        """Give what was done last."""
        return self.ticks[-1] if self.ticks else None

    @property
    def is_done(self) -> bool:
        """Tell whether it is ticked."""
        return self.last is not None and self.last.is_done

    @property
    def number(self) -> int:
        """Give the number of the next tick."""
        return len(self.ticks) + 1


def lines_of(change: Change) -> list[Line]:
    """Give the steps of a change with their ticks; none where it has no run sheet. At most two queries."""
    copy = SheetCopy.objects.filter(change=change).first()
    ticks = list(Tick.objects.filter(copy=copy).order_by("number")) if copy is not None else []
    return lines(copy.steps if copy is not None else [], ticks)


def lines(steps: Sequence[Step], ticks: Sequence[Tick]) -> list[Line]:
    """Put steps and ticks together."""
    return [
        Line(place, step, tuple(tick for tick in ticks if tick.step == place)) for place, step in enumerate(steps, 1)
    ]


def signed_lines(genuine: Sequence[tuple[str, str, Any, dict[str, Any]]]) -> list[Line]:
    """Give the steps and ticks that signed entries tell of: of each its event, who it was, when, and its data."""
    kept: list[dict[str, Any]] = next((data["run_sheet"] for _, _, _, data in genuine if "run_sheet" in data), [])
    ticks = [
        Tick(step=data["step"], number=data["number"], by=by, at=at)
        for event, by, at, data in genuine
        if event in (Event.STEP_TICKED, Event.STEP_TAKEN_BACK)
    ]
    return lines(steps_of(kept), ticks)


def in_words(lines: Sequence[Line]) -> list[str]:
    """Give steps and ticks as text, to hold one against the other."""
    told = []
    for line in lines:
        ticks = [f"{tick.number} by {tick.by}" for tick in line.ticks]
        told.append("; ".join([f"step {line.place}", *filter(None, plain([line.step])[0].values()), *ticks]))
    return told


def tick(change: Change, place: int, *, number: int, by: Actor) -> Tick:
    """Tick a step, or take its tick back; `number` is how often that was done before and one, as the person saw it.

    Raises `NoSuchStep`, `TickedMeanwhile`, `people.NotAllowed`.
    """
    line = _line(change, place)
    if number > line.number or number < 1:
        raise NoSuchStep(f"change {change.pk}, step {place}")
    copy = SheetCopy.objects.get(change=change)
    made = Tick(copy=copy, step=place, number=number, by=by.name, at=timezone.now())
    try:
        with transaction.atomic():
            entitled(by, Action.TICK_STEPS)
            made.save(force_insert=True)
            event = Event.STEP_TICKED if made.is_done else Event.STEP_TAKEN_BACK
            data = {"step": place, "what": line.step.what, "number": number}
            audit.append(event, by=by, organization=change.organization.name, change=change.pk, data=data)
    except IntegrityError:
        last = _line(change, place).last
        if last is None or last.number < number:
            raise  # it is the record that did not take it
        raise TickedMeanwhile(last) from None
    return made


def _line(change: Change, place: int) -> Line:
    found = next((line for line in lines_of(change) if line.place == place), None)
    if found is None:
        raise NoSuchStep(f"change {change.pk}, step {place}")
    return found
