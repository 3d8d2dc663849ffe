"""A pair in the simulator, people who change it, and each step of a change in one line: what tests of changes ask."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

from django.utils import timezone

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import Move
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Role
from hamr_portal.models import Change, Freeze, LogLine, Organization, Person
from hamr_portal.models.changes import NEVER_SENT
from hamr_portal.services import changes, freezes, readings
from hamr_portal.services.conditions import Words
from hamr_portal.services.previews import Link
from hamr_portal.simulator import Simulator
from tests import factories

NAME, OTHER_NAME = "acme", "acme-dr"
REASON = "Region is down"


def connected(
    simulator: Simulator,
    status: int = 2,
    approval: bool = False,
    spelling: Literal["snake_case", "PascalCase"] = "snake_case",
    *,
    names: tuple[str, str] = (NAME, OTHER_NAME),
    sites: tuple[str, str] = ("us1", "us5"),
    modified_at: datetime | None = None,
    **fields: Any,
) -> tuple[Organization, Organization]:
    """Give the primary and the secondary of a pair: saved, read once, and found to be a pair."""
    saved = []
    for name, site in zip(names, sites, strict=True):
        made = simulator.add_organization(name, site, spelling=spelling)
        saved.append(factories.simulated(made, requires_approval=approval, **fields))
    simulator.add_pair(*names, status=status, modified_at=modified_at)
    look(*saved)
    return again(saved[0]), again(saved[1])


def unconnected(simulator: Simulator) -> tuple[Organization, Organization]:
    """Give two organizations that have no connection: saved, and read once."""
    one, two = (
        factories.simulated(simulator.add_organization(name, site))
        for name, site in ((NAME, "us1"), (OTHER_NAME, "us5"))
    )
    look(one, two)
    return again(one), again(two)


def link_to(other: Organization, **over: Any) -> Link:
    """Give the wish to connect with a saved organization, as its primary."""
    return replace(Link(other.uuid, other.name, other.site, is_primary=True, other=other), **over)


def look(*organizations: Organization) -> None:
    """Read these now, as a worker does, without holding the readings against changes."""
    readings.read_for_change([organization.pk for organization in organizations], by=factories.WORKER)


def again(organization: Organization) -> Organization:
    """Give an organization as the database has it now."""
    return Organization.objects.select_related("snapshot", "pair").get(pk=organization.pk)


def actor(role: Role, session: str = "s1", email: str = "") -> Actor:
    """Give a person of this role as they act in one sign-in; they are saved where nobody has the address."""
    name = email or f"{role.word}@halden.example"
    person = Person.objects.filter(email=name).first() or factories.person(role, name)
    return Actor(kind="person", name=person.email, role=role, address="192.0.2.7", session=session)


def operator(session: str = "s1", email: str = "") -> Actor:
    """Give somebody who changes statuses."""
    return actor(Role.OPERATOR, session, email)


def approver(session: str = "s2", email: str = "") -> Actor:
    """Give somebody who approves changes."""
    return actor(Role.APPROVER, session, email)


def admin(session: str = "s3", email: str = "") -> Actor:
    """Give somebody who links organizations."""
    return actor(Role.ADMIN, session, email)


def prepared(
    organization: Organization, target: HamrStatus = HamrStatus.FAILOVER, by: Actor | None = None, **more: Any
) -> Change:
    """Give a change that was previewed."""
    return changes.prepare(again(organization), target, by=by or operator(), **more)


def words(change: Change, **over: Any) -> Words:
    """Give what a person types to confirm: complete and right, but for `over`."""
    right = Words(
        token=change.nonce,
        reason=REASON,
        ticket="INC-4711",
        typed_name=change.organization.name,
        override=change.needs_override,
    )
    return replace(right, **over)


def confirmed(change: Change, by: Actor | None = None, **over: Any) -> Change:
    """Give a change that was confirmed: sent, or where it has to be approved, waiting for that."""
    return changes.confirm(change, words(change, **over), by=by or operator())


def changed(
    organization: Organization, target: HamrStatus = HamrStatus.FAILOVER, by: Actor | None = None, **more: Any
) -> Change:
    """Give a change that was previewed and confirmed."""
    return confirmed(prepared(organization, target, by, **more), by)


def waiting(organization: Organization, target: HamrStatus = HamrStatus.FAILOVER, by: Actor | None = None) -> Change:
    """Give a change that waits for a second person; the organization is one that asks for that."""
    Organization.objects.filter(pk=organization.pk).update(requires_approval=True)
    return changed(organization, target, by)


def frozen(*, hours: float = 2, by: Actor | None = None) -> Freeze:
    """Freeze changes, as an admin does."""
    ends_at = timezone.now() + timedelta(hours=hours)
    return freezes.begin(reason="Quarter end", ends_at=ends_at, by=by or admin())


def fresh(change: Change) -> Change:
    """Give a change as the database has it now."""
    return Change.objects.get(pk=change.pk)


def moves(change: Change) -> list[str]:
    """Give the moves that a change has made, oldest first, as its log tells them."""
    return list(LogLine.objects.filter(change=change).exclude(move="").order_by("pk").values_list("move", flat=True))


def made(change: Change, by_way_of: Move) -> LogLine:
    """Give the line of a change's log that tells of a move."""
    return LogLine.objects.get(change=change, move=by_way_of.name)


def standing(organization: Organization, status: str, **fields: Any) -> Change:
    """Give a change that is in a status already, however it came there; nothing was sent for it."""
    now, sent = timezone.now(), status not in NEVER_SENT
    given: dict[str, Any] = {
        "nonce": uuid4().hex,
        "author": Person.objects.get(email=operator().name),
        "pair_id": organization.pair_id,
        "target_status": HamrStatus.FAILOVER,
        "is_primary": True,
        "target_uuid": organization.snapshot.target_uuid or uuid4(),
        "writer": operator().name,
        "prepared_at": now,
        "expires_at": now + timedelta(minutes=2),
        "sent_at": now if sent else None,
    }
    return Change.objects.create(organization=organization, status=status, **{**given, **fields})
