"""A plain HTTP client for the tests of the simulator: it knows sockets and no more."""

import contextlib
import http.client
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hamr_portal.simulator import HAMR, SimulatedOrganization, Simulator


@dataclass(frozen=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def attributes(self) -> Any:
        return self.json["data"]["attributes"]

    @property
    def pointers(self) -> set[str]:
        return {error["source"]["pointer"] for error in self.json["errors"]}


def fetch(url: str, path: str, *, verb="GET", headers=None, body=None) -> Reply:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    with contextlib.closing(connection):
        connection.request(verb, path, body, headers or {})
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())


def keys(organization: SimulatedOrganization) -> dict[str, str]:
    return {"DD-API-KEY": organization.api_key, "DD-APPLICATION-KEY": organization.application_key}


def read(simulator: Simulator, organization: SimulatedOrganization, path: str = HAMR) -> Reply:
    return fetch(simulator.urls[organization.site], path, headers=keys(organization))


def write(simulator: Simulator, organization: SimulatedOrganization, document: Any) -> Reply:
    headers = keys(organization) | {"Content-Type": "application/json"}
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return fetch(simulator.urls[organization.site], HAMR, verb="POST", headers=headers, body=body)


def wanted(organization: SimulatedOrganization, **changes: Any) -> dict[str, Any]:
    """Write the document that sets an organization's connection as its view has it, but for the changes."""
    view = organization.view
    assert view is not None
    attributes = {name: value for name, value in vars(view).items() if name != "modified_at"} | changes
    return {"data": {"id": organization.uuid, "type": "hamr_org_connections", "attributes": attributes}}
