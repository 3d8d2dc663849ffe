"""Which organizations exist, what is each told about its connection, and how does a write change it? No sockets."""

import hashlib
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

Spelling = Literal["snake_case", "PascalCase"]
Absence = Literal["404", "null", "data_null"]

UNSPECIFIED, ONBOARDING, PASSIVE, FAILOVER, ACTIVE, RECOVERY = range(6)


@dataclass(frozen=True)
class View:
    """What one organization is told about its connection, in the names of the OpenAPI document."""

    hamr_status: int
    is_primary: bool
    modified_at: datetime
    modified_by: str
    target_org_uuid: str
    target_org_name: str
    target_org_datacenter: str  # short, as in `us5`


@dataclass(kw_only=True)
class SimulatedOrganization:
    """One organization at one site, with the keys that open it."""

    name: str
    site: str
    uuid: str
    api_key: str = field(repr=False)
    application_key: str = field(repr=False)
    spelling: Spelling = "snake_case"
    may_read: bool = True
    may_write: bool = True
    own_datacenter: bool = False  # the recorded spelling names OrgDatacenter as well
    mirrors: bool = True  # its POST changes the other side's view too
    absence: Absence = "404"  # how it says that it has no connection
    view: View | None = None


class Organizations:
    """All organizations of all sites."""

    def __init__(self) -> None:
        self._by_name: dict[str, SimulatedOrganization] = {}
        self._lock = threading.RLock()

    def __iter__(self) -> Iterator[SimulatedOrganization]:
        return iter(list(self._by_name.values()))

    def add(self, organization: SimulatedOrganization) -> None:
        """Add an organization under a new name."""
        if organization.name in self._by_name:
            raise ValueError(f"There is already an organization {organization.name}.")
        self._by_name[organization.name] = organization

    def named(self, name: str) -> SimulatedOrganization:
        """Find an organization by its name."""
        if name not in self._by_name:
            raise ValueError(f"No organization {name}; there are: {', '.join(sorted(self._by_name)) or 'none'}.")
        return self._by_name[name]

    def with_api_key(self, site: str, api_key: str | None) -> SimulatedOrganization | None:
        """Find the organization that a key opens at this site; at another site it opens nothing."""
        return next((each for each in self if (each.site, each.api_key) == (site, api_key)), None)

    def with_uuid(self, wanted: str) -> SimulatedOrganization | None:
        """Find an organization by its UUID, in whatever case."""
        return next((each for each in self if each.uuid.lower() == wanted.lower()), None)

    def link(self, primary: str, secondary: str, status: int, modified_by: str, modified_at: datetime) -> None:
        """Make two organizations a pair with mirrored views."""
        target = self.named(secondary)
        view = View(status, True, modified_at, modified_by, target.uuid, target.name, target.site)
        self._store(self.named(primary), view, mirror=True)

    def write(self, organization: SimulatedOrganization, view: View) -> None:
        """Replace a connection as a POST does: this side's view, and mirrored the other side's."""
        self._store(organization, view, mirror=organization.mirrors)

    def write_aside(self, name: str, status: int, modified_by: str) -> None:
        """Change the status of both views as somebody outside the portal would."""
        organization = self.named(name)
        view = replace(
            _connected(organization), hamr_status=status, modified_by=modified_by, modified_at=datetime.now(UTC)
        )
        self._store(organization, view, mirror=True)

    def split(self, name: str, **attributes: Any) -> None:
        """Change one side's own view only."""
        organization = self.named(name)
        self._store(organization, replace(_connected(organization), **attributes), mirror=False)

    def disconnect(self, name: str) -> None:
        """Take one side's own view away, so that it has no connection."""
        self.named(name).view = None

    def _store(self, organization: SimulatedOrganization, view: View, *, mirror: bool) -> None:
        with self._lock:
            organization.view = view
            target = self.with_uuid(view.target_org_uuid) if mirror else None
            if target is not None:
                target.view = _mirrored(view, organization)


def identity(name: str) -> str:
    """Derive a UUID that stays the same over restarts and looks like the recorded version-1 ones."""
    return str(uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=1))


def made_up_key(name: str, kind: str, length: int) -> str:
    """Derive a pretend key that stays the same over restarts."""
    return hashlib.sha256(f"pretend {kind} of {name}".encode()).hexdigest()[:length]


def _connected(organization: SimulatedOrganization) -> View:
    if organization.view is None:
        raise ValueError(f"{organization.name} has no connection.")
    return organization.view


def _mirrored(view: View, owner: SimulatedOrganization) -> View:
    return replace(
        view,
        is_primary=not view.is_primary,
        target_org_uuid=owner.uuid,
        target_org_name=owner.name,
        target_org_datacenter=owner.site,
    )
