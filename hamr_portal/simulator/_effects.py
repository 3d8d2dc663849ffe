"""What does each fault make of a good answer, or of the request? Pure functions to an answer, options by keyword."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from . import _deliveries as deliveries
from ._http import Answer, Request
from ._payloads import pascal, problem

NOBODY = "0f0f0f0f-1111-11ee-8888-da7ad0900002"  # the UUID of no organization
PAGE = "<!doctype html><html><head><title>Sign in</title></head><body><h1>Corporate proxy</h1></body></html>"


def hang(answer: Answer) -> Answer:
    """Never answer."""
    return replace(answer, deliver=deliveries.hang)


def drop(answer: Answer) -> Answer:
    """Close without an answer."""
    return replace(answer, deliver=deliveries.drop)


def reset(answer: Answer) -> Answer:
    """Reset the connection without an answer."""
    return replace(answer, deliver=deliveries.reset)


def drip_headers(answer: Answer, *, interval: float = 0.2) -> Answer:
    """Send everything a byte at a time."""
    return replace(answer, deliver=deliveries.drip_headers(interval))


def drip_body(answer: Answer, *, interval: float = 0.2) -> Answer:
    """Send the body a byte at a time."""
    return replace(answer, deliver=deliveries.drip_body(interval))


def truncated(answer: Answer, *, length: bool = True) -> Answer:
    """Send half of the body."""
    return replace(answer, deliver=deliveries.truncated(length))


def huge(answer: Answer) -> Answer:
    """Send a body without an end."""
    return replace(answer, deliver=deliveries.huge)


def many_headers(answer: Answer, *, count: int = 5000, size: int = 20) -> Answer:
    """Send `count` headers of `size` bytes each."""
    return replace(answer, headers=tuple((f"X-Padding-{number}", "x" * size) for number in range(count)))


def html(_answer: Answer, *, status: int = 200) -> Answer:
    """Send a proxy's page."""
    return Answer(status, PAGE.encode(), "text/html; charset=utf-8")


def invalid_json(answer: Answer) -> Answer:
    """Send what looks like JSON and is not."""
    return replace(answer, body=answer.body.rstrip(b"}") + b",")


def exactly(
    _answer: Answer,
    *,
    status: int = 200,
    body: bytes | str = b"",
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send exactly this."""
    raw = body.encode() if isinstance(body, str) else body
    return Answer(status, raw, content_type, tuple((headers or {}).items()))


def wrong_schema(answer: Answer, *, attributes: Mapping[str, Any] | None = None, without: Sequence[str] = ()) -> Answer:
    """Send these attributes instead of good ones, and leave others out (documented names, either spelling)."""
    changed = {"hamr_status": "PASSIVE"} if attributes is None and not without else dict(attributes or {})
    return _with_attributes(answer, changed, without)


def other_status(answer: Answer, *, number: int = 6) -> Answer:
    """Name another status."""
    return _with_attributes(answer, {"hamr_status": number})


def wrong_organization(answer: Answer, *, uuid: str = NOBODY) -> Answer:
    """Answer for another organization than the keys were saved for."""
    document = _document(answer)
    if "relationships" in document.get("data", {}):
        document["data"]["relationships"]["org"]["data"]["id"] = uuid
    elif "data" in document:
        document["data"]["id"] = uuid
    return replace(answer, body=json.dumps(document).encode())


def nothing(answer: Answer, *, data: bool = False) -> Answer:
    """Say `null`, or `{"data": null}`."""
    return Answer.of(200, {"data": None} if data else None, answer.content_type)


def not_found(_answer: Answer) -> Answer:
    """Say that there is no connection."""
    return Answer.of(404, {"errors": [problem(404, "Not Found", "This organization has no HAMR connection.")]})


def unauthorized(_answer: Answer) -> Answer:
    """Refuse the API key as it was recorded."""
    return Answer.of(401, {"errors": ["Unauthorized"]})


def forbidden(_answer: Answer, *, detail: str | None = None) -> Answer:
    """Refuse the application key, or with a detail the permission."""
    return Answer.of(403, {"errors": [problem(403, "Forbidden", detail) if detail else "Forbidden"]})


def rate_limited(
    _answer: Answer, *, headers: bool = True, reset: int | str = 30, retry_after: int | str | None = None
) -> Answer:
    """Refuse because of too many requests; the limit's headers can be left out, and their values be absurd."""
    limit = ("Limit", "100"), ("Period", "60"), ("Remaining", "0"), ("Reset", str(reset)), ("Name", "hamr_api")
    told = tuple((f"X-RateLimit-{name}", value) for name, value in limit) if headers else ()
    after = (("Retry-After", str(retry_after)),) if retry_after is not None else ()
    return replace(Answer.of(429, {"errors": ["Too many requests"]}), headers=told + after)


def redirect(_answer: Answer, *, to: str, status: int = 307) -> Answer:
    """Send the client elsewhere."""
    return Answer(status, headers=(("Location", to),))


def bad_request(_answer: Answer) -> Answer:
    """Refuse the body as JSON:API does."""
    detail = "hamr_status is refused."
    return Answer.of(400, {"errors": [problem(400, "Bad Request", detail, "/data/attributes/hamr_status")]})


def echo(request: Request) -> Answer:
    """Refuse, and repeat each key that was sent: as it is, and with every character escaped as JSON allows."""
    keys = [request.headers[name] for name in ("dd-api-key", "dd-application-key") if name in request.headers]
    escaped = ["".join(f"\\u{ord(character):04x}" for character in key) for key in keys]
    errors = ", ".join(f'"{error}"' for error in [*keys, *escaped])
    return Answer(400, f'{{"errors": [{errors}]}}'.encode())


def conflict(_answer: Answer) -> Answer:
    """Refuse because of the state."""
    return Answer.of(409, {"errors": [problem(409, "Conflict", "The connection is being changed.")]})


def server_error(_answer: Answer) -> Answer:
    """Fail as documented."""
    return Answer.of(500, {"errors": [problem(500, "Internal Server Error", "Something failed.")]})


def unavailable(_answer: Answer, *, status: int = 503) -> Answer:
    """Fail as the vendor's load balancers do, with more keys beside the errors."""
    title = HTTPStatus(status).phrase
    extra = {"status": "error", "code": status, "statuspage": "https://status.example.com"}
    return Answer.of(status, {"errors": [title], **extra})


def _document(answer: Answer) -> dict[str, Any]:
    document = json.loads(answer.body or b"null")
    return document if isinstance(document, dict) else {}


def _with_attributes(answer: Answer, changed: Mapping[str, Any], without: Sequence[str] = ()) -> Answer:
    document = _document(answer)
    attributes = document.get("data", {}).get("attributes") if document.get("data") else None
    if attributes is None:  # a refusal has nothing to change
        return answer
    spell = pascal if "HamrStatus" in attributes else str
    attributes |= {spell(name): value for name, value in changed.items()}
    for name in without:
        del attributes[spell(name)]
    return replace(answer, body=json.dumps(document).encode())
