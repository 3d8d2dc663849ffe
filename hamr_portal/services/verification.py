"""Do these keys read, and for which organization?"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from hamr_portal.crypto import KeyRing, SealBroken
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.connections import ReadOutcome, sanitized
from hamr_portal.domain.organizations import Credentials, Site
from hamr_portal.hamr_client import HamrError
from hamr_portal.models import Organization

from . import audit, keys, pairs
from .connections import client, read_anew


class UnknownSite(Exception):
    """The site is in no list. The text says which there are."""


class VerifyOutcome(StrEnum):
    """What verifying keys showed. Nothing but a real change can prove that they may write."""

    READS = "READS"
    KEY_REFUSED = "KEY_REFUSED"
    PERMISSION_MISSING = "PERMISSION_MISSING"
    WRONG_ORGANIZATION = "WRONG_ORGANIZATION"
    NO_ANSWER = "NO_ANSWER"
    NOT_VERIFIED = "NOT_VERIFIED"
    KEYS_UNREADABLE = "KEYS_UNREADABLE"

    @property
    def word(self) -> str:
        """Give the words that people read."""
        return self.value.replace("_", " ").capitalize()


@dataclass(frozen=True)
class Verification:
    """What verifying showed, why, and which organization the keys belong to where that was learned."""

    outcome: VerifyOutcome
    reason: str = ""
    uuid: UUID | None = None

    @property
    def forbids_saving(self) -> bool:
        """Tell whether keys must not be saved: refused ones. No answer forbids nothing: a region may be dark."""
        return self.outcome in (VerifyOutcome.KEY_REFUSED, VerifyOutcome.PERMISSION_MISSING)


def probe(site: Site, credentials: Credentials, *, pinned: UUID | None) -> Verification:
    """Ask the API whether these keys read, and for whom. Touches no database."""
    until = time.monotonic() + settings.HAMR_DEADLINE
    try:
        answer = client().read(site, credentials, seconds=_left(until))
    except HamrError as error:
        if error.read_outcome is not ReadOutcome.KEY_REFUSED:
            silent = error.read_outcome is ReadOutcome.NO_ANSWER
            outcome = VerifyOutcome.NO_ANSWER if silent else VerifyOutcome.NOT_VERIFIED
            return Verification(outcome, sanitized(error.reason, 300))
        found = _why_refused(site, credentials, until)
    else:
        uuid = answer.connection.organization_uuid if answer.connection else _own_uuid(site, credentials, until)
        found = Verification(VerifyOutcome.READS, uuid=uuid)
    if found.outcome is VerifyOutcome.READS and pinned is not None and found.uuid not in (None, pinned):
        reason = f"the keys answer for organization {found.uuid}, saved is {pinned}"
        return Verification(VerifyOutcome.WRONG_ORGANIZATION, reason, found.uuid)
    return found


def _why_refused(site: Site, credentials: Credentials, until: float) -> Verification:
    """Tell a missing permission from a refused key, and which key, where the site's other answers show it."""
    which, both_refused = "keys were", False
    try:
        uuid = client().organization_uuid(site, credentials, seconds=_left(until))
        reason = "the keys work, but lack disaster_recovery_status_read"
        return Verification(VerifyOutcome.PERMISSION_MISSING, reason, uuid)
    except HamrError as error:
        both_refused = error.read_outcome is ReadOutcome.KEY_REFUSED
    try:
        if not client().api_key_is_valid(site, credentials, seconds=_left(until)):
            which = "API key was"
        elif both_refused:
            which = "application key was"
    except HamrError:
        pass
    return Verification(VerifyOutcome.KEY_REFUSED, f"the {which} refused")


def _own_uuid(site: Site, credentials: Credentials, until: float) -> UUID | None:
    try:
        return client().organization_uuid(site, credentials, seconds=_left(until))
    except HamrError:
        return None


def _left(until: float) -> float:
    """Give the seconds that are left for the next question; all questions about one key pair share one deadline."""
    return max(0.1, until - time.monotonic())


def verify_all(organizations: Iterable[Organization], *, by: Actor) -> dict[str, Verification]:
    """Verify saved keys, all at once; pin each UUID that was not known yet, and put each result on the record.

    Raises `KeyRingUnusable`.
    """
    ring = keys.ring()
    with ThreadPoolExecutor(settings.HAMR_SWEEP_THREADS) as pool:
        probes = {organization: pool.submit(_probe_saved, organization, ring) for organization in organizations}
    found = {organization.name: _record(organization, probe.result(), by) for organization, probe in probes.items()}
    pairs.discover_pairs(by=by)
    return found


def verify_typed(name: str, site: str, credentials: Credentials, *, pinned: UUID | None, by: Actor) -> Verification:
    """Verify typed keys without saving anything but the fact that they were tried. Raises `UnknownSite`."""
    found = probe(site_named(site), credentials, pinned=pinned)
    with transaction.atomic():
        audit.append(
            Event.ORGANIZATION_VERIFIED,
            by=by,
            organization=name,
            outcome=found.outcome,
            data={"detail": found.reason, "uuid": found.uuid, "saved": False, "keys": dots(credentials)},
        )
    return found


def _probe_saved(organization: Organization, ring: KeyRing) -> Verification:
    try:
        credentials = keys.open_for(organization, ring)
        return probe(_site_of(organization), credentials, pinned=organization.uuid)
    except SealBroken as error:
        return Verification(VerifyOutcome.KEYS_UNREADABLE, str(error))
    except UnknownSite as error:
        return Verification(VerifyOutcome.NO_ANSWER, str(error))


def _record(organization: Organization, found: Verification, by: Actor) -> Verification:
    with transaction.atomic():
        if organization.uuid is None and found.uuid is not None:
            found = _pinnable(organization, found)
        # Only where nobody saved other keys meanwhile: the result would speak for keys that it has not seen.
        rows = Organization.objects.filter(pk=organization.pk, **asked_with(organization))
        saved = bool(rows.update(**verified_fields(found)))
        if saved and found.outcome is VerifyOutcome.READS:
            read_anew(organization.pk)
        if found.uuid is not None and found.outcome is not VerifyOutcome.WRONG_ORGANIZATION:
            rows.filter(uuid__isnull=True).update(uuid=found.uuid)
        audit.append(
            Event.ORGANIZATION_VERIFIED,
            by=by,
            organization=organization.name,
            outcome=found.outcome,
            data={"detail": found.reason, "uuid": found.uuid, "saved": saved},
        )
    return found


def asked_with(organization: Organization) -> dict[str, str]:
    """Give what an organization is asked with: a result speaks for these keys at this site only."""
    return {name: getattr(organization, name) for name in ("site", "sealed_api_key", "sealed_application_key")}


def _pinnable(organization: Organization, found: Verification) -> Verification:
    other = Organization.objects.filter(uuid=found.uuid).exclude(pk=organization.pk).first()
    if other is None:
        return found
    reason = f"the keys answer for organization {found.uuid}, which is saved as {other.name}"
    return Verification(VerifyOutcome.WRONG_ORGANIZATION, reason, found.uuid)


def site_named(name: str) -> Site:
    """Give a site by its name. Raises `UnknownSite`."""
    site: Site | None = settings.HAMR_SITES.get(name)
    if site is None:
        known = ", ".join(settings.HAMR_SITES)
        raise UnknownSite(f"Site {name!r} is in no list. Known: {known}. Others are added with HAMR_SITES.")
    return site


def _site_of(organization: Organization) -> Site:
    if organization.drill_id is not None:
        raise UnknownSite(f"{organization.name} is of a drill: its keys are made up.")
    return site_named(organization.site)


def verified_fields(found: Verification) -> dict[str, Any]:
    """Give what an organization keeps of a verification."""
    return {"verify_outcome": found.outcome, "verify_reason": found.reason, "verified_at": timezone.now()}


def dots(credentials: Credentials) -> dict[str, str]:
    """Give what the record may hold of keys."""
    return {
        "api_key": f"••••{credentials.api_key.tail}",
        "application_key": f"••••{credentials.application_key.tail}",
    }
