"""How is a preview shown? Both sides as they were read, the fields that change, and the request as it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from hamr_portal.domain import connections
from hamr_portal.domain.changes import OFFERED, Again, Step, What, skipped, step, way_back
from hamr_portal.domain.connections import HamrStatus, known_status, sanitized
from hamr_portal.domain.organizations import site_of_datacenter
from hamr_portal.domain.pairs import Column
from hamr_portal.domain.previews import Check, Noticed, Weight, refusing
from hamr_portal.models import Change, LogLine, Organization
from hamr_portal.services.outside_news import ONE_WRITE_WITHIN

_ATTRIBUTE = "      "
"""An attribute stands so deep in the request that is shown."""


@dataclass(frozen=True)
class Lane:
    """One side of a change: who it is, and what was read of it for this preview (None: it was not read)."""

    name: str
    site: str
    organization: Organization | None
    line: LogLine | None
    is_primary: bool | None

    @property
    def view(self) -> connections.View | None:
        """Give what it said."""
        return self.line.view if self.line is not None else None


@dataclass(frozen=True)
class Field:
    """One field of the request that differs from what was read; None: there was none before."""

    name: str
    before: str | None
    after: str


@dataclass(frozen=True)
class Difference:
    """What one side says otherwise than in the preview before; `at` and `by` as that side says."""

    name: str
    kind: str
    before: str = ""
    after: str = ""
    at: datetime | None = None
    by: str = ""


@dataclass(frozen=True)
class Evidence:
    """Everything that a person sees before a change is confirmed or approved."""

    change: Change
    own: Lane
    other: Lane | None

    @property
    def before(self) -> int | None:
        """Give the status before, where it was read."""
        return self.own.view.status if self.own.view is not None else None

    @property
    def read_at(self) -> datetime:
        """Give when the sides were read for it."""
        times = [lane.line.at for lane in (self.own, self.other) if lane is not None and lane.line is not None]
        return max(times, default=self.change.prepared_at)

    @property
    def step(self) -> str:
        """Give the name of the kind of step; nothing where it cannot be told."""
        if self.change.links:
            return "LINK"
        return step(self.before, self.change.target).name if self.before is not None else ""

    @property
    def between(self) -> HamrStatus | None:
        """Give the status that the step leaves out."""
        return skipped(self.before, self.change.target)

    @property
    def way_back(self) -> tuple[HamrStatus, ...]:
        """Give the usual steps back."""
        return () if self.step == Step.NONE.name else way_back(self.before, self.change.target)

    @property
    def track(self) -> list[tuple[HamrStatus, str]]:
        """Give the statuses in their usual order, with where the change begins and leads."""
        places = {known_status(self.before): "now", self.change.target: "next"}
        if self.step == Step.NONE.name:
            places[self.change.target] = "now"
        return [(status, places.get(status, "")) for status in OFFERED]

    @property
    def noticed(self) -> list[Noticed]:
        """Give what is to be said, each write from outside once although both sides show it."""
        listed: list[Noticed] = []
        for each in self.change.noticed:
            if listed and self._agree and _is_one_write(listed[-1], each):
                listed[-1] = Noticed(each.check, {**listed[-1].facts, "other": each.facts["name"]})
            else:
                listed.append(each)
        return listed

    @property
    def _agree(self) -> bool:
        own, other = self.own.view, self.other.view if self.other is not None else None
        return own is not None and other is not None and own.status == other.status

    @property
    def refusing(self) -> tuple[Noticed, ...]:
        """Give what forbids to send."""
        return refusing(self.change.noticed)

    @property
    def overrides(self) -> list[Noticed]:
        """Give what a person has to tick."""
        return [each for each in self.change.noticed if each.weight is Weight.NEEDS_OVERRIDE]

    @property
    def fields(self) -> list[Field]:
        """Give the fields that change, in the spelling of the request; only asked where there is one."""
        return list(_fields(self.change, self.own.view))

    @property
    def request(self) -> list[tuple[str, bool]]:
        """Give the lines of the request's body, and whether each changes."""
        changing = {field.name for field in self.fields}
        text = json.dumps(json.loads(self.change.request), indent=2, ensure_ascii=False)
        lines = sanitized(text, len(text)).split("\n")
        return [(line, _attribute_in(line) in changing) for line in lines]

    @property
    def request_bytes(self) -> int:
        """Give the length of the body as it is sent."""
        return len(self.change.request.encode())

    @property
    def differences(self) -> list[Difference]:
        """Give what the sides say otherwise than in the preview that this one took the place of."""
        old = self.change.replaces
        if old is None or self.change.again != Again.SIDES_CHANGED:
            return []
        was = _lines(old)
        lanes = [lane for lane in (self.own, self.other) if lane is not None and lane.organization is not None]
        return [found for lane in lanes for found in _differences(was.get(lane.organization.pk), lane)]  # type: ignore[union-attr]

    @property
    def new_checks(self) -> list[Noticed]:
        """Give the checks that had nothing to say in the preview that this one took the place of."""
        if self.change.replaces is None:
            return []
        known = {each.check for each in self.change.replaces.noticed}
        return [each for each in self.noticed if each.check not in known]


def _is_one_write(one: Noticed, other: Noticed) -> bool:
    """Tell whether two checks were found on either side of one write: the same writer, seen at nearly the same time."""
    if not one.check is other.check is Check.CHANGED_OUTSIDE or one.facts["by"] != other.facts["by"]:
        return False
    moments = [datetime.fromisoformat(each.facts["at"]) for each in (one, other) if each.facts["at"]]
    return len(moments) == 2 and abs(moments[0] - moments[1]) <= ONE_WRITE_WITHIN


def evidence(change: Change) -> Evidence:
    """Give what was seen when a change was previewed."""
    lines = _lines(change)
    own = _lane(change.organization, lines, change.is_primary if change.links else None)
    return Evidence(change, own, _other(change, lines))


def _other(change: Change, lines: Mapping[object, LogLine]) -> Lane | None:
    if change.other is not None:
        return _lane(change.other, lines, not change.is_primary if change.links else None)
    if change.target_uuid is None:
        return None
    name = change.target_name or str(change.target_uuid)
    return Lane(name, site_of_datacenter(change.target_datacenter), None, None, not change.is_primary)


def _lane(organization: Organization, lines: Mapping[object, LogLine], will_be_primary: bool | None) -> Lane:
    line = lines.get(organization.pk)
    is_primary = will_be_primary if will_be_primary is not None else _is_primary(organization, _view(line))
    return Lane(organization.name, organization.site, organization, line, is_primary)


def _is_primary(organization: Organization, view: connections.View | None) -> bool | None:
    """Tell whether a side is the primary: by its pair, else as it says now, else as it last said."""
    if organization.column is not None:
        return organization.column == Column.PRIMARY
    return view.is_primary if view is not None else organization.snapshot.is_primary


def _lines(change: Change) -> dict[object, LogLine]:
    return {line.organization_id: line for line in change.log.filter(what=What.PREVIEWED).order_by("id")}


def _view(line: LogLine | None) -> connections.View | None:
    return line.view if line is not None else None


# --- the request ------------------------------------------------------------------------------------------------


def _fields(change: Change, view: connections.View | None) -> Iterator[Field]:
    """Hold each attribute of the request against the reading; both have the same six, in the client's order."""
    attributes = json.loads(change.request)["data"]["attributes"]
    for (name, after), before in zip(attributes.items(), _read(view), strict=True):
        if before is None or before != after:
            yield Field(name, _shown(before) if before is not None else None, _shown(after))


def _read(view: connections.View | None) -> tuple[object, ...]:
    if view is None or not view.has_connection:
        return (None,) * 6
    target = str(view.target_uuid or "")
    return (view.status, view.is_primary, view.modified_by, view.target_datacenter, view.target_name, target)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        known = known_status(value)
        return f"{value} {known.name}" if known is not None else str(value)
    return sanitized(str(value), 200) or "(empty)"


def _attribute_in(line: str) -> str:
    indent, quote, rest = line.partition('"')
    return rest.partition('"')[0] if quote and indent == _ATTRIBUTE else ""


# --- what changed while somebody read ---------------------------------------------------------------------------


def _differences(was: LogLine | None, lane: Lane) -> Iterator[Difference]:
    before, after = _view(was), lane.view
    if after is None:
        if before is not None:
            yield Difference(lane.name, "silent")
        return
    if before is None:
        yield Difference(lane.name, "answers", after=_status(after))
        return
    told = partial(Difference, lane.name, at=after.modified_at, by=after.modified_by)
    if _status(before) != _status(after):
        yield told("status", _status(before), _status(after))
    elif (before.modified_at, before.modified_by) != (after.modified_at, after.modified_by):
        yield told("written", _status(before), _status(after))
    if before.has_connection and after.has_connection:
        if before.is_primary is not after.is_primary:
            yield told("role", _role(before), _role(after))
        if _target(before) != _target(after):
            yield told("target", before.target_name, after.target_name)


def _status(view: connections.View) -> str:
    return connections.name_of(view.status or 0) if view.has_connection else "no connection"


def _role(view: connections.View) -> str:
    return "primary" if view.is_primary else "secondary"


def _target(view: connections.View) -> tuple[object, ...]:
    return view.target_uuid, view.target_name, site_of_datacenter(view.target_datacenter)
