"""What do the bodies of the HAMR API say, read strictly, and what does a request's body say?"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NoReturn
from uuid import UUID

from hamr_portal.domain.connections import Connection, sanitized
from hamr_portal.domain.organizations import Spelling

TYPE = "hamr_org_connections"
"""The only `data.type` that the API knows (OpenAPI document)."""

NAME_LIMIT = 200
DATACENTER_LIMIT = 64
_MOST_STATUS = 2**31 - 1  # what a database's integer holds

_Object = dict[str, object]

_SNAKE = {
    "status": "hamr_status",
    "is_primary": "is_primary",
    "modified_at": "modified_at",
    "modified_by": "modified_by",
    "target_datacenter": "target_org_datacenter",
    "target_name": "target_org_name",
    "target_uuid": "target_org_uuid",
    "own_datacenter": "org_datacenter",
}
_PASCAL = {field: "".join(word.title() for word in name.split("_")) for field, name in _SNAKE.items()}
_NAMES: Mapping[Spelling, Mapping[str, str]] = {Spelling.SNAKE_CASE: _SNAKE, Spelling.PASCAL_CASE: _PASCAL}

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)?",
    re.ASCII,
)


class Unreadable(Exception):
    """A body that is not what the API answers; the text says why."""


class NotCopied(ValueError):
    """A reading's text was altered when it was read, so writing it back would change more than the status."""


def document_in(body: bytes) -> object:
    """Give the JSON value of a body: UTF-8, no name twice in an object, no NaN. Raises `Unreadable`."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_not_a_number)
    except (ValueError, RecursionError):
        pass
    raise Unreadable("not valid JSON")


def _object(pairs: list[tuple[str, object]]) -> _Object:
    found: _Object = {}
    for name, value in pairs:
        if name in found:
            raise Unreadable(f'duplicate key "{sanitized(name, DATACENTER_LIMIT)}"')
        found[name] = value
    return found


def _not_a_number(name: str) -> NoReturn:
    raise Unreadable(f"{name} is not a number")


def connection_in(document: object) -> Connection | None:
    """Give the connection of a HAMR answer, or None for `null` and `{"data": null}`. Raises `Unreadable`."""
    if document is None:
        return None
    envelope = _object_of(document, "the answer")
    data = _required(envelope, "data")
    return None if data is None else _connection(_object_of(data, "data"))


def echo_in(document: object) -> Connection:
    """Give the connection that a POST's answer repeats. Raises `Unreadable`, also where there is none."""
    connection = connection_in(document)
    if connection is None:
        raise Unreadable("no connection in it")
    return connection


def _connection(data: _Object) -> Connection:
    if _required(data, "type") != TYPE:
        raise Unreadable(f"data.type is not {TYPE}")
    attributes = _object_of(_required(data, "attributes"), "attributes")
    spelling = _spelling(attributes)
    names = _NAMES[spelling]
    return Connection(
        organization_uuid=_uuid(data, "id"),
        status=_status(attributes, names["status"]),
        is_primary=_bool(attributes, names["is_primary"]),
        modified_at=_time_or_none(attributes, names["modified_at"]),
        modified_by=_text(attributes, names["modified_by"], NAME_LIMIT),
        target_uuid=_uuid_or_none(attributes, names["target_uuid"]),
        target_name=_text(attributes, names["target_name"], NAME_LIMIT),
        target_datacenter=_text(attributes, names["target_datacenter"], DATACENTER_LIMIT),
        own_datacenter=_text({names["own_datacenter"]: "", **attributes}, names["own_datacenter"], DATACENTER_LIMIT),
        spelling=spelling,
    )


def _spelling(attributes: _Object) -> Spelling:
    found = [spelling for spelling, names in _NAMES.items() if not attributes.keys().isdisjoint(names.values())]
    if len(found) > 1:
        # Which of two values holds is the service's to know; guessing could show a wrong status.
        raise Unreadable("attributes in two spellings")
    return found[0] if found else Spelling.SNAKE_CASE


def organization_uuid_in(document: object) -> UUID:
    """Give `data.relationships.org.data.id` of a `current_user` answer. Raises `Unreadable`."""
    found = _object_of(document, "the answer")
    for name in ("data", "relationships", "org", "data"):
        found = _object_of(_required(found, name), name)
    return _uuid(found, "id")


def validity_in(document: object) -> bool:
    """Give `valid` of a `validate` answer. Raises `Unreadable`."""
    return _bool(_object_of(document, "the answer"), "valid")


def errors_in(document: object) -> list[object] | None:
    """Give the list that each error body of the service has, or None."""
    errors = document.get("errors") if isinstance(document, dict) else None
    return errors if isinstance(errors, list) else None


def error_text(document: object) -> str:
    """Give what an error body of any recorded shape says in words, else an empty text."""
    return "; ".join(filter(None, map(_error_item, errors_in(document) or [])))


def _error_item(item: object) -> str:
    if not isinstance(item, dict):
        return item if isinstance(item, str) else ""
    parts = [part for part in (item.get("title"), item.get("detail")) if isinstance(part, str) and part]
    source = item.get("source")
    places = source.values() if isinstance(source, dict) else []
    where = ", ".join(place for place in places if isinstance(place, str))
    said = ": ".join(dict.fromkeys(parts))
    return f"{said} ({where})" if where else said


def request_body(connection: Connection, *, status: int, modified_by: str, spelling: Spelling) -> bytes:
    """Give the POST body that changes only the status and who set it; `AUTO` spells as the reading did.

    Raises `NotCopied` where the reading's own text cannot be written back as it was.
    """
    names = _NAMES.get(connection.spelling if spelling is Spelling.AUTO else spelling, _SNAKE)
    attributes = {
        names["status"]: status,
        names["is_primary"]: connection.is_primary,
        names["modified_by"]: modified_by,
        names["target_datacenter"]: _copied(connection.target_datacenter, DATACENTER_LIMIT),
        names["target_name"]: _copied(connection.target_name, NAME_LIMIT),
        names["target_uuid"]: str(connection.target_uuid or ""),
    }
    data = {"id": str(connection.organization_uuid), "type": TYPE, "attributes": attributes}
    return json.dumps({"data": data}).encode()


def _copied(text: str, limit: int) -> str:
    if "\N{REPLACEMENT CHARACTER}" in text or (len(text) == limit and text.endswith("…")):
        raise NotCopied("a name holds characters, or is so long, that it cannot be written back unchanged")
    return text


def _object_of(value: object, what: str) -> _Object:
    if isinstance(value, dict):
        return value
    raise Unreadable(f"{what} is not an object")


def _required(found: _Object, name: str) -> object:
    if name in found:
        return found[name]
    raise Unreadable(f'"{name}" is missing')


def _status(found: _Object, name: str) -> int:
    value = _required(found, name)
    # A bool is an int, and 4.0 == 4: only the exact type tells them from a status.
    if type(value) is int and 0 <= value <= _MOST_STATUS:
        return value
    raise Unreadable(f'"{name}" is not a status number')


def _bool(found: _Object, name: str) -> bool:
    value = _required(found, name)
    if isinstance(value, bool):
        return value
    raise Unreadable(f'"{name}" is not true or false')


def _text(found: _Object, name: str, limit: int) -> str:
    value = _required(found, name)
    if value is None:
        return ""
    if isinstance(value, str):
        return sanitized(value, limit)
    raise Unreadable(f'"{name}" is not a text')


def _uuid(found: _Object, name: str) -> UUID:
    value = _required(found, name)
    if isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value)
    raise Unreadable(f'"{name}" is not a UUID')


def _uuid_or_none(found: _Object, name: str) -> UUID | None:
    return None if _required(found, name) in ("", None) else _uuid(found, name)


def _time_or_none(found: _Object, name: str) -> datetime | None:
    value = _required(found, name)
    if value in ("", None):
        return None
    moment = _time(value) if isinstance(value, str) else None
    if moment is None:
        raise Unreadable(f'"{name}" is not a time')
    return None if moment.year == 1 else moment  # year 1 is Go's way to say never


def _time(text: str) -> datetime | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    date, clock, fraction, zone = match.groups(default="")
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}.{fraction[:6]:0<6}{zone.upper() or 'Z'}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # The last representable day has no local time in zones to the east of UTC.
    return moment if moment.year < 9999 else None
