"""How is an organization asked for its view?

A read has three steps, so that no transaction is open on the wire: `claim` takes leases in the database, `fetch` asks
the API and touches no database, and `readings.store` writes what came of it. The worker and "read now" take the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from hamr_portal.crypto import KeyRing, KeyRingUnusable, SealBroken
from hamr_portal.domain import drills
from hamr_portal.domain.connections import REFUSED_WAIT, Connection, ReadOutcome, sanitized
from hamr_portal.domain.organizations import Credentials, Site
from hamr_portal.hamr_client import Answer, HamrClient, HamrError
from hamr_portal.models import Organization, Snapshot

from . import keys

LEASE_MARGIN = 15.0
"""Seconds that a lease outlives the deadline of its read, for storing the answer."""


ASTRAY = "a drill is asked on its stage alone, and a real organization never there"
"""Why nothing is sent to a site that an organization has no business with."""


@cache
def client() -> HamrClient:
    """Give the one client of this process; its TLS context is shared by all calls."""
    proxies = {"http": settings.HAMR_PROXY, "https": settings.HAMR_PROXY} if settings.HAMR_PROXY else None
    return HamrClient(connect_timeout=settings.HAMR_CONNECT_TIMEOUT, proxies=proxies)


@cache
def _client_of_the_stage() -> HamrClient:
    # No proxy leads to this machine.
    return HamrClient(connect_timeout=settings.HAMR_CONNECT_TIMEOUT)


def client_for(site: Site) -> HamrClient:
    """Give the client that asks a site."""
    return _client_of_the_stage() if site.name in settings.DRILL_SITES else client()


def site_of(organization: Organization) -> Site | None:
    """Give where an organization is asked: one of a drill on the stage only, a real one never there; else None."""
    is_drill = organization.drill_id is not None
    site = (settings.DRILL_SITES if is_drill else settings.HAMR_SITES).get(organization.site)
    return site if drills.belongs(site, is_drill=is_drill) else None


@dataclass(frozen=True)
class Flight:
    """One read under way: everything that `fetch` needs, so that it needs no database."""

    organization_id: UUID
    name: str
    site_name: str
    site: Site | None
    pinned: UUID | None
    lease: UUID
    credentials: Credentials | None = field(repr=False)
    trouble: str = ""
    is_drill: bool = False

    @property
    def is_astray(self) -> bool:
        """Tell whether its site is none where its organization may be asked: nothing leaves then."""
        return self.site is not None and not drills.belongs(self.site, is_drill=self.is_drill)


@dataclass(frozen=True)
class Result:
    """What came of one flight."""

    flight: Flight
    at: datetime
    outcome: ReadOutcome
    connection: Connection | None = None
    reason: str = ""
    phase: str = ""
    raw: str = ""
    http_status: int | None = None
    elapsed_ms: int | None = None
    retry_after: float | None = None
    skew: float | None = None

    @property
    def answered(self) -> bool:
        """Tell whether a view came back."""
        return self.outcome in (ReadOutcome.ANSWERED, ReadOutcome.NO_CONNECTION)


# --- claim ------------------------------------------------------------------------------------------------------


def due(limit: int) -> list[tuple[UUID, str]]:
    """Give the organizations (id and site) whose time has come and that nobody reads, the answering ones first."""
    rows = Snapshot.objects.filter(_is_free(), is_due(), organization__disabled_at__isnull=True)
    return list(rows.order_by("attempt_failed", "due_at").values_list("pk", "organization__site")[:limit])


def is_due() -> Q:
    """Give the condition that a snapshot's time has come; further off than any wait means that a clock ran ahead."""
    farthest = timedelta(seconds=2 * max(REFUSED_WAIT, settings.HAMR_POLL_INTERVAL))
    return Q(due_at__lte=Now()) | Q(due_at__gt=Now() + farthest)


def claim(organization_ids: Collection[UUID], still: Q) -> list[Flight]:
    """Take the lease of each of these that nobody holds and that is `still` to be read, and give what reading needs."""
    lease = uuid4()
    with transaction.atomic():
        # Asked again under a lock: since they were chosen, they may have been read or disabled.
        wanted = _enabled(organization_ids).filter(_is_free(), still).select_for_update(skip_locked=True)
        taken = _lease(wanted.values_list("pk", flat=True), lease)
        organizations = list(Organization.objects.filter(pk__in=taken))
    return _flights(organizations, lease)


def seize(organization_ids: Collection[UUID]) -> list[Flight]:
    """Take the leases of these, whoever holds them and whatever the limits say: a change must not wait for a poll."""
    lease = uuid4()
    with transaction.atomic():
        wanted = _enabled(organization_ids).select_for_update().order_by("pk")
        taken = _lease(wanted.values_list("pk", flat=True), lease)
        organizations = list(Organization.objects.filter(pk__in=taken))
    return _flights(organizations, lease)


def hold(organization_ids: Collection[UUID]) -> None:
    """Let nobody's reading of these count that began before now, in the caller's transaction: a change is being sent.

    The lease passes by itself, and the read back takes it over.
    """
    rows = Snapshot.objects.select_for_update().filter(pk__in=organization_ids).order_by("pk")
    _lease(rows.values_list("pk", flat=True), uuid4())


def _enabled(organization_ids: Collection[UUID]) -> QuerySet[Snapshot]:
    enabled = Organization.objects.enabled().filter(pk__in=organization_ids)
    return Snapshot.objects.filter(pk__in=enabled.values("pk"))


def _lease(snapshot_ids: Iterable[UUID], lease: UUID) -> list[UUID]:
    taken = list(snapshot_ids)
    Snapshot.objects.filter(pk__in=taken).update(lease=lease, leased_until=Now() + _lease_lasts())
    return taken


def _flights(organizations: list[Organization], lease: UUID) -> list[Flight]:
    if not organizations:
        return []
    try:
        ring, trouble = keys.ring(), ""
    except KeyRingUnusable:
        ring, trouble = None, "the key ring cannot be used"
    return [_flight(organization, lease, ring, trouble) for organization in organizations]


def read_anew(organization_id: UUID) -> None:
    """Make an organization due at once; what is in the air is dropped, for it asked with what holds no longer."""
    Snapshot.objects.filter(pk=organization_id).update(due_at=Now(), lease=None, leased_until=None)


def _lease_lasts() -> timedelta:
    return timedelta(seconds=settings.HAMR_DEADLINE + LEASE_MARGIN)


def _is_free() -> Q:
    over = Q(leased_until__lt=Now()) | Q(leased_until__gt=Now() + 2 * _lease_lasts())
    return Q(leased_until__isnull=True) | over


def _flight(organization: Organization, lease: UUID, ring: KeyRing | None, trouble: str) -> Flight:
    credentials = None
    if ring is not None:
        try:
            credentials = keys.open_for(organization, ring)
        except SealBroken as error:
            trouble = f"the saved keys failed their integrity check: {error}"
    return Flight(
        organization_id=organization.id,
        name=organization.name,
        site_name=organization.site,
        site=site_of(organization),
        pinned=organization.uuid,
        lease=lease,
        credentials=credentials,
        trouble=trouble,
        is_drill=organization.drill_id is not None,
    )


# --- fetch ------------------------------------------------------------------------------------------------------


def fetch(flight: Flight, *, seconds: float | None = None) -> Result:
    """Ask the API for one organization's view, within the usual deadline or `seconds`.

    It raises nothing that the API or the network can cause.
    """
    if flight.credentials is None:
        return Result(flight, timezone.now(), ReadOutcome.KEYS_UNREADABLE, reason=flight.trouble)
    if flight.site is None:
        setting = "DRILL_PORT is not set" if flight.is_drill else "add it to HAMR_SITES"
        reason = f"site {flight.site_name} is in no list: {setting}"
        return Result(flight, timezone.now(), ReadOutcome.NO_ANSWER, reason=reason)
    if flight.is_astray:
        return Result(flight, timezone.now(), ReadOutcome.NO_ANSWER, reason=ASTRAY)
    try:
        answer = client_for(flight.site).read(
            flight.site, flight.credentials, seconds=seconds or settings.HAMR_DEADLINE
        )
    except HamrError as error:
        return _failed(flight, error)
    return _answered(flight, answer)


def _failed(flight: Flight, error: HamrError) -> Result:
    return Result(
        flight,
        timezone.now(),
        error.read_outcome,
        reason=sanitized(error.reason, 300),
        phase=error.phase,
        raw=sanitized(error.raw, 300),
        http_status=error.http_status,
        elapsed_ms=error.elapsed_ms,
        retry_after=error.retry_after,
    )


def _answered(flight: Flight, answer: Answer) -> Result:
    outcome, reason = ReadOutcome.ANSWERED, ""
    if answer.connection is None:
        outcome = ReadOutcome.NO_CONNECTION
    elif flight.pinned is not None and answer.connection.organization_uuid != flight.pinned:
        outcome = ReadOutcome.WRONG_ORGANIZATION
        reason = f"the keys answer for organization {answer.connection.organization_uuid}"
    return Result(
        flight,
        timezone.now(),
        outcome,
        connection=answer.connection,
        reason=reason,
        raw=answer.raw,
        http_status=answer.http_status,
        elapsed_ms=answer.elapsed_ms,
        skew=answer.skew,
    )
