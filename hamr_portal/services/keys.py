"""Where are credentials sealed and opened? Here, and nowhere else."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from hamr_portal.crypto import KeyRing, create_ring, load_ring
from hamr_portal.domain.organizations import Credentials
from hamr_portal.models import Organization


def ring() -> KeyRing:
    """Read the installation's key ring. Raises `KeyRingUnusable`."""
    return load_ring(settings.KEY_RING_FILE)


def init_ring() -> Path:
    """Make the installation's key ring and give its path. Raises `RingExists`."""
    path: Path = settings.KEY_RING_FILE
    create_ring(path)
    return path


def sealed(organization: Organization, credentials: Credentials, ring: KeyRing) -> dict[str, str]:
    """Give an organization's fields for credentials, sealed for this row; saving is the caller's."""
    fields: dict[str, str] = {}
    for field in ("api_key", "application_key"):
        key = getattr(credentials, field)
        fields |= {f"sealed_{field}": ring.seal(key, organization.identity(field)), f"{field}_tail": key.tail}
    return fields


def seal_into(organization: Organization, credentials: Credentials, ring: KeyRing) -> None:
    """Put credentials into an organization's fields, sealed for this row; saving is the caller's."""
    for name, value in sealed(organization, credentials, ring).items():
        setattr(organization, name, value)


def open_for(organization: Organization, ring: KeyRing) -> Credentials:
    """Give an organization's credentials. Raises `SealBroken`."""
    return Credentials(
        api_key=ring.open(organization.sealed_api_key, organization.identity("api_key")),
        application_key=ring.open(organization.sealed_application_key, organization.identity("application_key")),
    )
