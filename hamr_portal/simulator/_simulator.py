"""How do organizations, faults and ports become a stand-in for the HAMR API at several sites?"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

from ._agenda import Agenda
from ._api import HAMR, Api
from ._faults import LATE, REFUSE, Fault, Faults, make
from ._http import Answer, Listener, Request
from ._organizations import (
    PASSIVE,
    Absence,
    Organizations,
    SimulatedOrganization,
    Spelling,
    identity,
    made_up_key,
)

SITES = ("us1", "us3", "us5", "eu1", "ap1", "ap2")
KEPT = 10_000  # requests; a simulator may run for days


@dataclass(frozen=True)
class RecordedRequest:
    """One request that reached the simulator, recorded before it was answered."""

    verb: str
    path: str
    organization: str | None  # None: no organization of this site has the API key
    at: float  # time.monotonic()
    body: bytes
    headers: dict[str, str] = field(repr=False)  # names in lower case; holds keys


class Simulator:
    """The HAMR API of several sites on loopback ports, open from creation until `stop` or the end of `with`."""

    def __init__(self, sites: Sequence[str] = SITES, *, port: int = 0) -> None:
        """Open a port a site: free ones, or `port`, `port + 1` and so on."""
        self.organizations = Organizations()
        self.on_post: Callable[[RecordedRequest], object] | None = None  # called before a POST acts
        self.agenda = Agenda()
        self._api = Api(self.organizations)
        self._faults = Faults()
        self._refusing: set[str] = set()  # organizations whose site does not listen
        self._switching = threading.Lock()
        self._late: list[tuple[str, Request]] = []
        self._recorded: deque[RecordedRequest] = deque(maxlen=KEPT)
        self._arrived = threading.Condition()
        self.followed: list[Request] = []  # requests that came to where `redirect` sends clients
        self._listeners: dict[str, Listener] = {}
        self._trap = Listener(self._caught)
        for number, site in enumerate(sites):
            self._open(site, port + number if port else 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close every port and connection, and wait until every thread has ended."""
        self.agenda.stop()
        for listener in (self._trap, *self._listeners.values()):
            listener.stop()

    @property
    def urls(self) -> dict[str, str]:
        """The base URL of each site."""
        return {site: listener.url for site, listener in self._listeners.items()}

    @property
    def hamr_sites(self) -> str:
        """The value of HAMR_SITES that leads the portal here."""
        return ",".join(f"{site}={url}" for site, url in self.urls.items())

    @property
    def requests(self) -> list[RecordedRequest]:
        """The latest requests, oldest first."""
        with self._arrived:
            return list(self._recorded)

    @property
    def posts(self) -> list[RecordedRequest]:
        """The latest POST requests, oldest first."""
        return [request for request in self.requests if request.verb == "POST"]

    def wait_for(self, count: int, verb: str = "POST", *, timeout: float = 10) -> bool:
        """Wait until so many requests of a kind have arrived, and say whether they have."""
        with self._arrived:
            return self._arrived.wait_for(
                lambda: sum(request.verb == verb for request in self._recorded) >= count, timeout
            )

    def add_organization(
        self,
        name: str,
        site: str,
        *,
        uuid: str | None = None,
        api_key: str | None = None,
        application_key: str | None = None,
        spelling: Spelling = "snake_case",
        may_read: bool = True,
        may_write: bool = True,
        own_datacenter: bool = False,
        mirrors: bool = True,
        absence: Absence = "404",
    ) -> SimulatedOrganization:
        """Add an organization without a connection; UUID and keys, where not given, follow from its name."""
        if site not in self._listeners:
            raise ValueError(f"No site {site}; there are: {', '.join(self._listeners)}.")
        organization = SimulatedOrganization(
            name=name,
            site=site,
            uuid=uuid or identity(name),
            api_key=api_key or made_up_key(name, "API key", 32),
            application_key=application_key or made_up_key(name, "application key", 40),
            spelling=spelling,
            may_read=may_read,
            may_write=may_write,
            own_datacenter=own_datacenter,
            mirrors=mirrors,
            absence=absence,
        )
        self.organizations.add(organization)
        return organization

    def add_pair(
        self,
        primary: str,
        secondary: str,
        *,
        status: int = PASSIVE,
        modified_by: str = "admin@example.com",
        modified_at: datetime | None = None,
    ) -> None:
        """Connect two organizations with mirrored views; `modified_at` is now, where not given."""
        self.organizations.link(primary, secondary, status, modified_by, modified_at or datetime.now(UTC))

    def write_aside(self, name: str, status: int, modified_by: str) -> None:
        """Change the status of a pair as somebody outside the portal would, in both views."""
        self.organizations.write_aside(name, status, modified_by)

    def split(self, name: str, **attributes: Any) -> None:
        """Change attributes (documented names) of one side's own view only."""
        self.organizations.split(name, **attributes)

    def disconnect(self, name: str) -> None:
        """Take one side's own view away, so that it answers that it has no connection."""
        self.organizations.disconnect(name)

    def set_fault(
        self, name: str, fault: str | None, *, verb: str = "ANY", times: int | None = None, **options: Any
    ) -> None:
        """Let something go wrong for an organization, instead of what went wrong, until it is set to None.

        `times` counts the requests that it spoils, `acts` overrides whether a POST takes effect; other options
        are those of `_effects`. `refuse` knows neither: it closes the port of the organization's *site*, for
        all of its organizations, until each organization that refuses has another fault or none.
        """
        self.organizations.named(name)
        if fault == REFUSE and (verb != "ANY" or times is not None or options):
            raise ValueError("refuse is a property of a site: it knows no verb, times or options.")
        if fault == "redirect":
            options.setdefault("to", f"{self._trap.url}{HAMR}")
        made = make(fault, times=times, **options) if fault not in {None, REFUSE} else None
        self._faults.set(name, verb, made)
        self._refuse(name, fault == REFUSE)

    def faults(self, name: str) -> dict[str, str]:
        """Tell which fault stands for which verb of an organization."""
        refusing = {"ANY": REFUSE} if name in self._refusing else {}
        return dict(self._faults.standing(name)) | refusing

    def act_late(self) -> int:
        """Do now what `late` faults have put off, and tell how many requests it was."""
        pending, self._late = self._late, []
        for site, request in pending:
            self._api.answer(site, request)
        return len(pending)

    def _open(self, site: str, port: int) -> None:
        try:
            self._listeners[site] = Listener(lambda request: self._respond(site, request), port=port)
        except OSError:
            self.stop()
            raise

    def _respond(self, site: str, request: Request) -> Answer:
        organization = self.organizations.with_api_key(site, request.headers.get("dd-api-key"))
        self._record(request, organization.name if organization else None)
        fault = self._faults.take(organization.name, request) if organization else None
        if fault is None:
            return self._api.answer(site, request)
        if fault.name == LATE and request.verb == "POST":
            self._put_off(site, request, fault)
        return fault.spoil(self._api.answer(site, request, act=fault.acts), request)

    def _record(self, request: Request, name: str | None) -> None:
        recorded = RecordedRequest(request.verb, request.path, name, request.at, request.body, dict(request.headers))
        with self._arrived:
            self._recorded.append(recorded)
            self._arrived.notify_all()
        if request.verb == "POST" and self.on_post is not None:
            self.on_post(recorded)

    def _put_off(self, site: str, request: Request, fault: Fault) -> None:
        self._late.append((site, request))
        self.agenda.after(fault.options.get("seconds", 30), partial(self._act, site, request))

    def _act(self, site: str, request: Request) -> None:
        try:
            self._late.remove((site, request))
        except ValueError:  # act_late was earlier
            return
        self._api.answer(site, request)

    def _refuse(self, name: str, refuse: bool) -> None:
        with self._switching:
            before = self._sites_refusing()
            (self._refusing.add if refuse else self._refusing.discard)(name)
            for site in self._sites_refusing() - before:
                self._listeners[site].refuse()
            for site in before - self._sites_refusing():
                self._listeners[site].listen()

    def _sites_refusing(self) -> set[str]:
        return {self.organizations.named(name).site for name in self._refusing}

    def _caught(self, request: Request) -> Answer:
        self.followed.append(request)
        return Answer.of(200, {"errors": ["A redirect was followed to here."]})
