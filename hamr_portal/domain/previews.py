"""What is to be said of a change before it is confirmed? Named checks, all at once; pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from uuid import UUID

from .changes import Step, skipped, step
from .connections import HamrStatus, ReadOutcome, View, known_status, name_of


class Weight(Enum):
    """What a check does to a change."""

    REFUSES = "nothing can be sent"
    NEEDS_OVERRIDE = "a person has to tick that it is sent nevertheless"
    WARNS = "to be known"


class Check(Enum):
    """One thing that speaks against a change or is to be known before it, the heaviest first."""

    LOG_IN_DOUBT = ("The audit log is in doubt", Weight.REFUSES)
    DISABLED = ("Organization disabled", Weight.REFUSES)
    WRONG_ORGANIZATION = ("Keys of another organization", Weight.REFUSES)
    NO_READING = ("No reading of the side that gets the request", Weight.REFUSES)
    OPEN_CHANGE = ("Another change is open", Weight.REFUSES)
    NO_CONNECTION = ("No connection to change", Weight.REFUSES)
    CONNECTED_ALREADY = ("A connection exists already", Weight.REFUSES)
    UUID_NOT_KNOWN = ("UUID not known", Weight.REFUSES)
    LINKED_TO_ITSELF = ("Linked to itself", Weight.REFUSES)
    ALREADY_SO = ("Nothing to send", Weight.REFUSES)
    NOT_COPIED = ("Cannot be written back unchanged", Weight.REFUSES)

    OTHER_SIDE_DARK = ("Other side cannot be read", Weight.NEEDS_OVERRIDE)
    SIDES_DISAGREE = ("The sides disagree", Weight.NEEDS_OVERRIDE)
    OTHER_SIDE_ACTIVE = ("Other side is ACTIVE", Weight.NEEDS_OVERRIDE)
    STATUS_NOT_DOCUMENTED = ("Status not documented", Weight.NEEDS_OVERRIDE)
    STEP_SKIPPED = ("A step is skipped", Weight.NEEDS_OVERRIDE)
    STEP_UNUSUAL = ("Unusual step", Weight.NEEDS_OVERRIDE)

    MAY_LAND_LATE = ("An earlier request may still land", Weight.WARNS)
    CHANGED_OUTSIDE = ("Changed outside the portal", Weight.WARNS)
    SITE_IN_USE = ("Others fail over to the same site", Weight.WARNS)
    OTHER_SIDE_NOT_SAVED = ("Other side not read here", Weight.WARNS)
    NOT_FROM_PRIMARY = ("Not linked from the primary", Weight.WARNS)
    WORKER_STOPPED = ("No worker reads", Weight.WARNS)

    def __init__(self, label: str, weight: Weight) -> None:
        self.label = label
        self.weight = weight


@dataclass(frozen=True)
class Noticed:
    """A check that has something to say, and the facts that its sentence needs, as text."""

    check: Check
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def weight(self) -> Weight:
        """Give what it does to the change."""
        return self.check.weight


@dataclass(frozen=True)
class Reading:
    """What came of reading one side for a change; `view` is None where none was brought."""

    name: str
    site: str
    uuid: UUID | None
    outcome: ReadOutcome
    view: View | None = None
    reason: str = ""


def status_checks(own: Reading, other: Reading | None, target: HamrStatus) -> Iterator[Noticed]:
    """Give what the two readings say about changing the status of `own`."""
    yield from _reading(own)
    if own.view is not None:
        yield from _step(own.view, target) if own.view.has_connection else [Noticed(Check.NO_CONNECTION)]
    if other is None:
        yield Noticed(Check.OTHER_SIDE_NOT_SAVED)
    elif other.view is None:
        yield Noticed(Check.OTHER_SIDE_DARK, _named(other) | {"outcome": other.outcome, "reason": other.reason})
    elif own.view is not None and own.view.has_connection:
        yield from _other_side(own, own.view, other, other.view, target)


def link_checks(
    own: Reading, other: Reading | None, *, target_uuid: UUID | None, is_primary: bool
) -> Iterator[Noticed]:
    """Give what the readings say about making a connection where `own` has none."""
    yield from _reading(own)
    if own.view is not None and own.view.has_connection:
        yield Noticed(Check.CONNECTED_ALREADY, {"status": name_of(own.view.status or 0)})
    if own.uuid is None or target_uuid is None:
        yield Noticed(Check.UUID_NOT_KNOWN, {"name": own.name if own.uuid is None or other is None else other.name})
    elif own.uuid == target_uuid:
        yield Noticed(Check.LINKED_TO_ITSELF)
    if other is not None and other.view is None:
        yield Noticed(Check.OTHER_SIDE_DARK, _named(other) | {"outcome": other.outcome, "reason": other.reason})
    elif other is None:
        yield Noticed(Check.OTHER_SIDE_NOT_SAVED)
    elif other.view is not None and other.view.has_connection and other.view.target_uuid != own.uuid:
        yield Noticed(Check.SIDES_DISAGREE, _named(other) | {"targets": other.view.target_name})
    if not is_primary:
        yield Noticed(Check.NOT_FROM_PRIMARY)


def in_order(*noticed: Iterable[Noticed]) -> tuple[Noticed, ...]:
    """Put what was noticed into one list, the heaviest first."""
    order = list(Check)
    return tuple(sorted(chain(*noticed), key=lambda each: order.index(each.check)))


def refusing(noticed: Iterable[Noticed]) -> tuple[Noticed, ...]:
    """Give what forbids to send."""
    return tuple(each for each in noticed if each.weight is Weight.REFUSES)


def needs_override(noticed: Iterable[Noticed]) -> bool:
    """Tell whether a person has to tick that it is sent nevertheless."""
    return any(each.weight is Weight.NEEDS_OVERRIDE for each in noticed)


def _reading(own: Reading) -> Iterator[Noticed]:
    if own.outcome is ReadOutcome.WRONG_ORGANIZATION:
        yield Noticed(Check.WRONG_ORGANIZATION, _named(own) | {"reason": own.reason})
    elif own.view is None:
        yield Noticed(Check.NO_READING, _named(own) | {"outcome": own.outcome, "reason": own.reason})


def _step(view: View, target: HamrStatus) -> Iterator[Noticed]:
    kind = step(view.status, target)
    before = name_of(view.status or 0)
    if kind is Step.NONE:
        yield Noticed(Check.ALREADY_SO, {"status": target.name})
    elif known_status(view.status) is None:
        yield Noticed(Check.STATUS_NOT_DOCUMENTED, {"status": before})
    elif kind is Step.SKIPPING:
        between = skipped(view.status, target)
        yield Noticed(Check.STEP_SKIPPED, {"before": before, "between": between.name if between else ""})
    elif kind is Step.UNUSUAL:
        yield Noticed(Check.STEP_UNUSUAL, {"before": before})


def _other_side(own: Reading, view: View, other: Reading, other_view: View, target: HamrStatus) -> Iterator[Noticed]:
    facts = dict(_disagreements(own, view, other, other_view))
    if facts:
        yield Noticed(Check.SIDES_DISAGREE, _named(other) | facts)
    taken = other_view.status == HamrStatus.ACTIVE and view.status != HamrStatus.ACTIVE
    if taken and target in (HamrStatus.FAILOVER, HamrStatus.ACTIVE):
        yield Noticed(Check.OTHER_SIDE_ACTIVE, _named(other))


def _disagreements(own: Reading, view: View, other: Reading, other_view: View) -> Iterator[tuple[str, str]]:
    if not other_view.has_connection:
        yield "connection", "none"
        return
    if view.status != other_view.status:
        yield "statuses", f"{own.site} says {_said(view)}, {other.site} says {_said(other_view)}"
    if view.is_primary is other_view.is_primary:
        yield "primary", "both" if view.is_primary else "neither"
    for side, said, across in ((own, view, other), (other, other_view, own)):
        if across.uuid is not None and said.target_uuid != across.uuid:
            yield "targets", side.name


def _named(reading: Reading) -> dict[str, str]:
    return {"name": reading.name, "site": reading.site}


def _said(view: View) -> str:
    return name_of(view.status or 0)
