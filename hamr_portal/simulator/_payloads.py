"""How is a connection spelled on the wire, and what is wrong with a written one? Two spellings, no sockets."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from ._organizations import ONBOARDING, Organizations, SimulatedOrganization, Spelling, View

TYPE = "hamr_org_connections"
CONTENT_TYPES: Mapping[Spelling, str] = {
    "snake_case": "application/json",
    "PascalCase": "application/vnd.api+json",
}
LONG_DATACENTERS = {"us1-fed": "us1.fed.dog", "us2-fed": "us2.fed.dog"}


class Refused(Exception):
    """The request is answered with this status and these errors."""

    def __init__(self, status: int, *errors: "str | dict[str, Any]") -> None:
        super().__init__(status, errors)
        self.status = status
        self.errors = list(errors)


def problem(status: int, title: str, detail: str, pointer: str | None = None) -> dict[str, Any]:
    """Describe one error as JSON:API does."""
    source = {"source": {"pointer": pointer}} if pointer is not None else {}
    return {"status": str(status), "title": title, "detail": detail, **source}


def pascal(name: str) -> str:
    """Spell a documented name as the service was recorded to spell it."""
    return "".join(part.capitalize() for part in name.split("_"))


def render(organization: SimulatedOrganization, view: View) -> dict[str, Any]:
    """Write a view down in the spelling of its organization."""
    attributes = _documented(view) if organization.spelling == "snake_case" else _recorded(organization, view)
    return {"data": {"id": organization.uuid, "type": TYPE, "attributes": attributes}}


def _documented(view: View) -> dict[str, Any]:
    return asdict(view) | {"modified_at": f"{_utc(view.modified_at):%Y-%m-%dT%H:%M:%S.%fZ}"}


def _recorded(organization: SimulatedOrganization, view: View) -> dict[str, Any]:
    values = asdict(view) | {
        "modified_at": f"{_utc(view.modified_at):%Y-%m-%d %H:%M:%S.%f}",
        "target_org_datacenter": _long(view.target_org_datacenter),
    }
    own = {"OrgDatacenter": _long(organization.site)} if organization.own_datacenter else {}
    return {pascal(name): value for name, value in values.items()} | own


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _long(site: str) -> str:
    return LONG_DATACENTERS.get(site, f"{site}.prod.dog")


def _short(datacenter: str) -> str:
    short = {long: site for site, long in LONG_DATACENTERS.items()}
    return short.get(datacenter, datacenter.removesuffix(".prod.dog"))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


@dataclass(frozen=True)
class Rule:
    """What one written attribute must be."""

    fits: Callable[[Any], bool]
    says: str


RULES = {
    "target_org_uuid": Rule(_is_text, "must be the UUID of the target organization"),
    "target_org_name": Rule(_is_text, "must be a string that is not empty"),
    "target_org_datacenter": Rule(_is_text, "must be a string that is not empty"),
    "hamr_status": Rule(lambda value: type(value) is int and 0 <= value <= 5, "must be an integer from 0 to 5"),
    "is_primary": Rule(lambda value: type(value) is bool, "must be a boolean"),
    "modified_by": Rule(_is_text, "must be a string that is not empty"),
}
LEFT_OUT_WHEN_LINKING = {"target_org_name", "target_org_datacenter"}  # by the guide's PascalCase body


def parse(body: bytes, organization: SimulatedOrganization, organizations: Organizations) -> View:
    """Read what a POST wants, as strictly as a sane service would."""
    attributes, spell = _attributes(_data(body, organization))
    values = {name: attributes[spell(name)] for name in RULES if spell(name) in attributes}
    linking = spell is pascal and values.get("hamr_status") == ONBOARDING and not LEFT_OUT_WHEN_LINKING & values.keys()
    missing = RULES.keys() - values.keys() - (LEFT_OUT_WHEN_LINKING if linking else set())
    faults = {spell(name): "is required" for name in RULES if name in missing}
    faults |= dict.fromkeys(attributes.keys() - {spell(each) for each in RULES}, "is not known")
    faults |= {spell(name): RULES[name].says for name, value in values.items() if not RULES[name].fits(value)}
    _refuse_any(faults)
    return _checked(values, spell, organization, organizations)


def _data(body: bytes, organization: SimulatedOrganization) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        raise Refused(400, problem(400, "Bad Request", "The body is not JSON.")) from None
    data = document.get("data") if isinstance(document, dict) else None
    if not isinstance(data, dict):
        raise Refused(400, problem(400, "Bad Request", "data must be an object.", "/data"))
    if data.get("type") != TYPE:
        raise Refused(400, problem(400, "Bad Request", f"type must be {TYPE}.", "/data/type"))
    if data.get("id") != organization.uuid:
        detail = "id must be the UUID of the organization that the keys belong to."
        raise Refused(400, problem(400, "Bad Request", detail, "/data/id"))
    return data


def _attributes(data: dict[str, Any]) -> tuple[dict[str, Any], Callable[[str], str]]:
    attributes = data.get("attributes")
    if not isinstance(attributes, dict):
        raise Refused(400, problem(400, "Bad Request", "attributes must be an object.", "/data/attributes"))
    recorded = any(pascal(name) in attributes for name in RULES)
    return attributes, pascal if recorded else str


def _checked(
    values: dict[str, Any],
    spell: Callable[[str], str],
    organization: SimulatedOrganization,
    organizations: Organizations,
) -> View:
    target = organizations.with_uuid(values["target_org_uuid"])
    if target is organization:
        _refuse_any({spell("target_org_uuid"): "must be another organization"})
    if target is None and "target_org_name" not in values:
        _refuse_any({spell("target_org_uuid"): "is the UUID of no organization"})
    if target is not None:
        values = {"target_org_name": target.name, "target_org_datacenter": target.site} | values
    datacenter = _short(values["target_org_datacenter"])
    if target is not None and datacenter != target.site:
        _refuse_any({spell("target_org_datacenter"): "is not where the target organization is"})
    return View(modified_at=datetime.now(UTC), **values | {"target_org_datacenter": datacenter})


def _refuse_any(faults: dict[str, str]) -> None:
    if faults:
        raise Refused(
            400,
            *(
                problem(400, "Bad Request", f"{name} {fault}.", f"/data/attributes/{name}")
                for name, fault in faults.items()
            ),
        )
