"""What does the service answer when nothing goes wrong with it? Keys, permissions and the three calls."""

from collections.abc import Callable, Mapping

from ._http import Answer, Request
from ._organizations import Organizations, SimulatedOrganization
from ._payloads import CONTENT_TYPES, Refused, parse, problem, render

HAMR = "/api/v2/hamr"
CURRENT_USER = "/api/v2/current_user"
VALIDATE = "/api/v1/validate"
JSON_TYPES = {"application/json", "application/vnd.api+json"}


class Api:
    """The HAMR API of all sites."""

    def __init__(self, organizations: Organizations) -> None:
        self._organizations = organizations
        self._calls: Mapping[str, Mapping[str, Callable[[str, Request, bool], Answer]]] = {
            HAMR: {"GET": self._read, "POST": self._write},
            CURRENT_USER: {"GET": self._current_user},
            VALIDATE: {"GET": self._validate},
        }

    def answer(self, site: str, request: Request, *, act: bool = True) -> Answer:
        """Answer a request at one site; without `act` a POST is answered as usual and changes nothing."""
        try:
            return self._call(request)(site, request, act)
        except Refused as refusal:
            return Answer.of(refusal.status, {"errors": refusal.errors})

    def _call(self, request: Request) -> Callable[[str, Request, bool], Answer]:
        calls = self._calls.get(request.path.partition("?")[0])
        if calls is None:
            raise Refused(404, problem(404, "Not Found", "There is nothing at this path."))
        if request.verb not in calls:
            raise Refused(405, problem(405, "Method Not Allowed", f"Not with {request.verb}."))
        return calls[request.verb]

    def _read(self, site: str, request: Request, _act: bool) -> Answer:
        organization = self._opened(site, request)
        if not organization.may_read:
            raise _lacking("disaster_recovery_status_read")
        if organization.view is None:
            return _no_connection(organization)
        return Answer.of(200, render(organization, organization.view), CONTENT_TYPES[organization.spelling])

    def _write(self, site: str, request: Request, act: bool) -> Answer:
        organization = self._opened(site, request)
        if not organization.may_write:
            raise _lacking("disaster_recovery_status_write")
        if request.headers.get("content-type", "").partition(";")[0].strip() not in JSON_TYPES:
            raise Refused(415, problem(415, "Unsupported Media Type", "Content-Type must be application/json."))
        view = parse(request.body, organization, self._organizations)
        if act:
            self._organizations.write(organization, view)
        return Answer.of(200, render(organization, view), CONTENT_TYPES[organization.spelling])

    def _current_user(self, site: str, request: Request, _act: bool) -> Answer:
        organization = self._opened(site, request)
        user = {
            "type": "users",
            "id": "3ad549bf-eba0-11e9-a77a-0705486660d0",
            "attributes": {"name": "HAMR Portal", "handle": "hamr-portal@example.com", "service_account": True},
            "relationships": {"org": {"data": {"type": "orgs", "id": organization.uuid}}},
        }
        return Answer.of(200, {"data": user})

    def _validate(self, site: str, request: Request, _act: bool) -> Answer:
        if self._organizations.with_api_key(site, request.headers.get("dd-api-key")) is None:
            raise Refused(403, "Forbidden")
        return Answer.of(200, {"valid": True})

    def _opened(self, site: str, request: Request) -> SimulatedOrganization:
        organization = self._organizations.with_api_key(site, request.headers.get("dd-api-key"))
        if organization is None:
            raise Refused(401, "Unauthorized")
        if request.headers.get("dd-application-key") != organization.application_key:
            raise Refused(403, "Forbidden")
        return organization


def _lacking(permission: str) -> Refused:
    return Refused(403, problem(403, "Forbidden", f"The application key lacks the permission {permission}."))


def _no_connection(organization: SimulatedOrganization) -> Answer:
    if organization.absence == "404":
        raise Refused(404, problem(404, "Not Found", "This organization has no HAMR connection."))
    document = None if organization.absence == "null" else {"data": None}
    return Answer.of(200, document, CONTENT_TYPES[organization.spelling])
