"""People, organizations and pairs for tests, made the way the portal makes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from allauth.usersessions.models import UserSession
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.utils import timezone

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.organizations import Credentials, Secret
from hamr_portal.domain.pairs import Column
from hamr_portal.domain.people import Role
from hamr_portal.models import Organization, Pair, Person, Snapshot
from hamr_portal.services import keys, sessions

WORKER = Actor(kind="worker", name="tests")
SHELL = Actor(kind="command", name="root@portal.halden.example")
ADMIN = Actor(kind="person", name="admin@halden.example", role=Role.ADMIN)
CANARY_API_KEY = "canary0api0key0aaaaaaaaaaaa1e07"
CANARY_APPLICATION_KEY = "canary0application0key0bbbbbbbbb3d4"


def credentials(api_key: str = CANARY_API_KEY, application_key: str = CANARY_APPLICATION_KEY) -> Credentials:
    return Credentials(Secret(api_key), Secret(application_key))


def person(role: Role | None = Role.VIEWER, email: str = "") -> Person:
    name = role.word if role else "nobody"
    made = Person(email=email or f"{name}@halden.example", role=role, added_at=timezone.now())
    made.set_password("correct horse battery")
    made.save()
    return made


def session(person: Person, *, began_ago: float = 10) -> None:
    """Let somebody be signed in somewhere."""
    moment = timezone.now().timestamp() - began_ago
    store = SessionStore()
    store.update({SESSION_KEY: str(person.pk), sessions.BEGAN: moment, sessions.SEEN: moment})
    store.save()
    UserSession.objects.create(user=person, session_key=store.session_key, ip="192.0.2.7", user_agent="tests")


def organization(
    name: str = "halden-checkout",
    *,
    site: str = "us1",
    uuid: UUID | None = None,
    with_credentials: Credentials | None = None,
    **fields: Any,
) -> Organization:
    """Save an organization that was never read."""
    now = timezone.now()
    made = Organization(name=name, site=site, uuid=uuid or uuid4(), keys_saved_at=now, added_at=now, **fields)
    keys.seal_into(made, with_credentials or credentials(), keys.ring())
    made.save()
    Snapshot.objects.create(organization=made, due_at=now)
    return made


def simulated(simulated_organization: Any, **fields: Any) -> Organization:
    """Save an organization of the simulator, with its keys."""
    return organization(
        simulated_organization.name,
        site=simulated_organization.site,
        uuid=UUID(str(simulated_organization.uuid)),
        with_credentials=credentials(simulated_organization.api_key, simulated_organization.application_key),
        **fields,
    )


def seen(made: Organization, *, at: datetime | None = None, **view: Any) -> Organization:
    """Let an organization have answered with a view."""
    moment = at or timezone.now()
    fields: dict[str, Any] = {
        "has_connection": True,
        "status": 2,
        "is_primary": True,
        "modified_at": moment,
        "modified_by": "jonas.weber@halden.example",
        "outcome": ReadOutcome.ANSWERED,
        "outcome_since": moment,
        "repeats": 1,
        "answered_at": moment,
        "attempted_at": moment,
        "answer_status": 200,
        "attempt_status": 200,
        "answer_ms": 212,
        "attempt_ms": 212,
        "view_since": moment,
        "raw": "{}",
    }
    Snapshot.objects.filter(pk=made.pk).update(**{**fields, **view})
    return Organization.objects.select_related("snapshot", "pair").get(pk=made.pk)


def pair(
    primary_name: str = "halden-checkout",
    secondary_name: str = "halden-checkout-dr",
    *,
    sites: tuple[str, str] = ("us1", "us5"),
    at: datetime | None = None,
    status: int = 2,
) -> tuple[Organization, Organization]:
    """Save a pair whose sides agree."""
    moment = at or timezone.now()
    joined = Pair.objects.create(name=primary_name.removeprefix("halden-").title(), found_at=moment)
    primary = organization(primary_name, site=sites[0], pair=joined, column=Column.PRIMARY)
    secondary = organization(secondary_name, site=sites[1], pair=joined, column=Column.SECONDARY)
    targets = {primary: secondary, secondary: primary}
    for side, target in targets.items():
        seen(
            side,
            at=moment,
            status=status,
            is_primary=side is primary,
            target_uuid=target.uuid,
            target_name=target.name,
            target_datacenter=target.site,
        )
    rows = Organization.objects.select_related("snapshot", "pair")
    return rows.get(pk=primary.pk), rows.get(pk=secondary.pk)


def newest_migration() -> tuple[str, str]:
    """Give the app and the name of the migration that comes last."""
    ((app, name),) = MigrationLoader(connection).graph.leaf_nodes("hamr_portal")
    return app, name
