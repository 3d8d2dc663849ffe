"""What does one HTTP answer mean: an answer of the service, a refusal, or nothing that can be relied on?"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isnan
from typing import TypeVar
from urllib.parse import urlsplit

from hamr_portal.domain.connections import sanitized

from ._errors import Foreign, HamrError, OutcomeUnknown, Phase, Rejected
from ._payloads import Unreadable, document_in, error_text, errors_in

MOST_BODY = 64 * 1024
"""How many bytes of a body are read."""

_REFUSALS = frozenset({400, 401, 403, 404, 409, 422, 429})
_JSON = re.compile(r"application/(?:json|[\w.-]+\+json)", re.ASCII)
_RAW_LIMIT = 16 * 1024
_WAIT_LEAST, _WAIT_MOST, _WAIT_DEFAULT = 1.0, 300.0, 60.0

T = TypeVar("T")


@dataclass(frozen=True)
class Reply:
    """One complete HTTP answer, with no key in it; `elapsed_ms` is milliseconds since the call began."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    elapsed_ms: int

    @property
    def text(self) -> str:
        """Give the body as text that is safe to store and show."""
        return sanitized(self.body.decode(errors="replace"), _RAW_LIMIT)

    @property
    def skew(self) -> float | None:
        """Give how many seconds the site's clock is ahead of this machine's; None where it does not say the time."""
        said = _date(self.headers.get("Date", ""))
        return (said - datetime.now(UTC)).total_seconds() if said is not None else None

    @property
    def media_type(self) -> str:
        """Give the content type without its parameters, in lower case."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def foreign(self) -> str:
        """Give why this cannot be an answer of Datadog's, or an empty text."""
        encoding = self.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding != "identity":
            return f"compressed answer ({encoding}) refused"
        markup = "html" in self.media_type or self.body.lstrip().startswith(b"<")
        return _not_datadog(self) if markup else ""


def check_status(reply: Reply, also: frozenset[int] = frozenset()) -> None:
    """Raise `Rejected` or `OutcomeUnknown` for a status that is neither 2xx nor, from Datadog, one of `also`."""
    if 200 <= reply.status < 300 or (reply.status in also and not reply.foreign):
        return
    if reply.status in _REFUSALS:
        raise _error(Foreign if reply.foreign else Rejected, reply, _said(reply))
    if 300 <= reply.status < 400:
        raise _error(OutcomeUnknown, reply, f"unexpected redirect to {_redirect_host(reply)} refused")
    raise _error(OutcomeUnknown, reply, _said(reply))


def check_origin(reply: Reply) -> None:
    """Raise `Foreign` for an error that anything in between may have made: Datadog's list `errors`, or are empty."""
    if reply.body.strip() and not _lists_errors(reply):
        raise _error(Foreign, reply, f"HTTP {reply.status}: {_not_datadog(reply)}")


def understood(reply: Reply, parse: Callable[[object], T]) -> T:
    """Give what the body of a 2xx says, or raise `OutcomeUnknown`."""
    foreign = reply.foreign
    if not foreign and not _JSON.fullmatch(reply.media_type):
        foreign = _not_datadog(reply)
    if foreign:
        raise _error(OutcomeUnknown, reply, foreign)
    if len(reply.body) > MOST_BODY:
        raise _error(OutcomeUnknown, reply, "unreadable answer: longer than 64 KiB")
    try:
        return parse(document_in(reply.body))
    except Unreadable as error:
        why = str(error)
    raise _error(OutcomeUnknown, reply, f"unreadable answer: {why}")


def _error(kind: type[HamrError], reply: Reply, reason: str) -> HamrError:
    return kind(
        reason,
        phase=Phase.ANSWER,
        elapsed_ms=reply.elapsed_ms,
        http_status=reply.status,
        raw=reply.text,
        retry_after=_retry_after(reply.headers) if reply.status == 429 else None,
    )


def _not_datadog(reply: Reply) -> str:
    return f"not a Datadog answer ({reply.media_type or 'no content type'})"


def _lists_errors(reply: Reply) -> bool:
    try:
        return errors_in(document_in(reply.body)) is not None
    except Unreadable:
        return False


def _said(reply: Reply) -> str:
    if reply.foreign:
        return f"HTTP {reply.status}: {reply.foreign}"
    try:
        text = error_text(document_in(reply.body))
    except Unreadable:
        text = reply.text
    return text.strip() or f"HTTP {reply.status}"


def _redirect_host(reply: Reply) -> str:
    try:
        return urlsplit(reply.headers.get("Location", "")).hostname or "the same host"
    except ValueError:
        return "an unreadable address"


def _retry_after(headers: Mapping[str, str]) -> float:
    for name in ("X-RateLimit-Reset", "Retry-After"):
        seconds = _seconds(headers.get(name, ""))
        if seconds is not None:
            return min(max(seconds, _WAIT_LEAST), _WAIT_MOST)
    return _WAIT_DEFAULT


def _seconds(text: str) -> float | None:
    moment = _date(text)
    if moment is not None:
        return (moment - datetime.now(UTC)).total_seconds()
    try:
        seconds = float(text)
    except ValueError:
        return None
    return None if isnan(seconds) else seconds


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
