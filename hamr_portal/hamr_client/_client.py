"""How is the HAMR API asked, so that nothing is sent twice, followed, or waited for beyond the deadline?"""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from random import SystemRandom
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import requests
from requests.structures import CaseInsensitiveDict
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from hamr_portal.domain.connections import Connection, ReadOutcome
from hamr_portal.domain.organizations import Credentials, Secret, Site

from ._deadline import TRANSPORT_ERRORS, Attempt, Deadline, DeadlineAdapter, TimedTlsSocket, running
from ._errors import HamrError, Phase, Untrusted
from ._payloads import connection_in, echo_in, organization_uuid_in, validity_in
from ._replies import MOST_BODY, Reply, check_origin, check_status, understood

MOST_RETRIES = 2
"""How often a GET is tried again; a POST never is."""

HAMR_PATH = "/api/v2/hamr"
_CURRENT_USER = "/api/v2/current_user"
_VALIDATE = "/api/v1/validate"

_NO_CONNECTION = frozenset({404})
_PASSING = (ReadOutcome.NO_ANSWER, ReadOutcome.SERVER_ERROR)
_UNKNOWN_KEY = frozenset({401, 403})

_random = SystemRandom()

# urllib3 logs malformed headers as they came, and a server may send back the keys in them.
logging.getLogger("urllib3.connection").addFilter(lambda record: record.levelno >= logging.ERROR)


_Keys = Mapping[str, Secret]
"""The headers that hold keys."""


@dataclass(frozen=True)
class Answer:
    """A readable answer of the service; `connection` is None where the organization has none.

    `raw` is the body as it came, sanitized and capped; `elapsed_ms` is milliseconds since the call began; `skew` is
    seconds that the site's clock is ahead of this machine's, None where it does not say the time.
    """

    connection: Connection | None
    raw: str
    http_status: int
    elapsed_ms: int
    skew: float | None = None


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    keys: _Keys
    body: bytes | None = None

    def prepared(self) -> requests.PreparedRequest:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # a compressed answer could unpack to anything
            "Connection": "close",
            "User-Agent": "hamr-portal",
            **({"Content-Type": "application/json"} if self.body is not None else {}),
            **{name: key.reveal() for name, key in self.keys.items()},
        }
        return requests.Request(self.method, self.url, headers=headers, data=self.body).prepare()

    def without_keys(self, text: str) -> str:
        pattern = "|".join(_any_spelling(key.reveal()) for key in self.keys.values())
        return re.sub(pattern, "***", text, flags=re.IGNORECASE)


def _any_spelling(key: str) -> str:
    # JSON may write any character as \u00XX, and JSON within JSON has its backslashes doubled. Matched as it came, the
    # key is found in a body that is no document too, one that was cut for example.
    return "".join(rf"(?:{re.escape(character)}|\\{{1,8}}u00(?:{_codes(character)}))" for character in key)


def _codes(character: str) -> str:
    return "|".join(f"{ord(form):02x}" for form in (character.lower(), character.upper()))


class HamrClient:
    """The HAMR API of all sites; one instance serves any number of threads.

    `connect_timeout` is seconds for each address; `proxies` maps a scheme to a proxy's URL (http: or https:).
    `ssl_context` becomes the client's own; its checks of certificate and host name are always on.
    """

    def __init__(
        self,
        *,
        connect_timeout: float = 3.0,
        proxies: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._connect_timeout = connect_timeout
        self._proxies = _checked_proxies(proxies or {})
        self._context = _strict(ssl_context or _default_context())
        self._pause = pause

    def read(self, site: Site, credentials: Credentials, *, seconds: float) -> Answer:
        """Read an organization's connection, within `seconds` for all tries. Raises `HamrError`."""
        reply = self._get(site.base_url + HAMR_PATH, _both(credentials), seconds, also=_NO_CONNECTION)
        if reply.status in _NO_CONNECTION:
            check_origin(reply)
            return _answer(reply, None)
        return _answer(reply, understood(reply, connection_in))

    def write(self, site: Site, credentials: Credentials, body: bytes, *, seconds: float) -> Answer:
        """Send one POST, once, within `seconds`. Raises `HamrError`; its kind says what is known afterwards."""
        request = _Request("POST", site.base_url + HAMR_PATH, _both(credentials), body)
        reply = self._exchange(request, Deadline(seconds))
        return _answer(reply, understood(reply, echo_in))

    def organization_uuid(self, site: Site, credentials: Credentials, *, seconds: float) -> UUID:
        """Ask which organization the keys belong to, within `seconds` for all tries. Raises `HamrError`."""
        reply = self._get(site.base_url + _CURRENT_USER, _both(credentials), seconds)
        return understood(reply, organization_uuid_in)

    def api_key_is_valid(self, site: Site, credentials: Credentials, *, seconds: float) -> bool:
        """Ask whether the site knows the API key, within `seconds` for all tries. Raises `HamrError`."""
        keys = {"DD-API-KEY": credentials.api_key}
        reply = self._get(site.base_url + _VALIDATE, keys, seconds, also=_UNKNOWN_KEY)
        return reply.status not in _UNKNOWN_KEY and understood(reply, validity_in)

    def _get(self, url: str, keys: _Keys, seconds: float, *, also: frozenset[int] = frozenset()) -> Reply:
        # The only loop round a request, and it makes its own: no POST can come into it.
        request, deadline = _Request("GET", url, keys), Deadline(seconds)
        for retry in range(1, MOST_RETRIES + 1):
            pause = retry * _random.uniform(0.2, 0.3)
            try:
                return self._exchange(request, deadline, also)
            except HamrError as error:
                if not _may_pass(error) or pause >= deadline.left():
                    raise
            self._pause(pause)
        return self._exchange(request, deadline, also)

    def _exchange(self, request: _Request, deadline: Deadline, also: frozenset[int] = frozenset()) -> Reply:
        attempt = Attempt(deadline, self._connect_timeout)
        reply = self._sent(request, attempt)
        if reply is None:
            # Raised here and not where it was caught: the transport's error holds the request, and so the keys.
            raise attempt.error()
        check_status(reply, also)
        return reply

    def _sent(self, request: _Request, attempt: Attempt) -> Reply | None:
        # An adapter for each try makes each connection a fresh one. Without a session nothing follows a redirect,
        # keeps a cookie, or reads .netrc and proxies from the environment.
        adapter = DeadlineAdapter(self._context)
        try:
            with running(attempt), attempt.step(Phase.RESOLVE):
                timeout = attempt.deadline.demand()
                with adapter.send(request.prepared(), stream=True, timeout=timeout, proxies=self._proxies) as response:
                    return _received(response, request, attempt)
        except TRANSPORT_ERRORS:
            return None
        finally:
            adapter.close()


def _received(response: requests.Response, request: _Request, attempt: Attempt) -> Reply:
    attempt.http_status = response.status_code
    with attempt.step(Phase.BODY):
        body = _body(response.raw)
    headers = {name: request.without_keys(value) for name, value in response.headers.items()}
    return Reply(
        status=response.status_code,
        headers=CaseInsensitiveDict(headers),
        body=request.without_keys(body.decode("latin-1")).encode("latin-1"),
        elapsed_ms=int(attempt.deadline.elapsed() * 1000),
    )


def _body(raw: Any) -> bytes:
    body = b""
    # urllib3 notices a body that ends too early only when it is asked for more.
    while len(body) <= MOST_BODY and (part := raw.read(MOST_BODY + 1 - len(body), decode_content=False)):
        body += part
    return body


def _may_pass(error: HamrError) -> bool:
    return error.read_outcome in _PASSING and not isinstance(error, Untrusted)


def _answer(reply: Reply, connection: Connection | None) -> Answer:
    return Answer(connection, reply.text, reply.status, reply.elapsed_ms, reply.skew)


def _both(credentials: Credentials) -> _Keys:
    return {"DD-API-KEY": credentials.api_key, "DD-APPLICATION-KEY": credentials.application_key}


def shared_context() -> ssl.SSLContext:
    """Give the TLS context that checks against the certificates of the machine and of `requests`."""
    return _strict(_default_context())


@cache  # reading all certificates takes longer than a call
def _default_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)  # a small machine may have no certificates of its own
    return context


def _strict(context: ssl.SSLContext) -> ssl.SSLContext:
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    context.sslsocket_class = TimedTlsSocket
    context.set_alpn_protocols(["http/1.1"])
    # urllib3 sets them again for each connection; OpenSSL frees the old ones while other threads' handshakes copy them.
    context.set_alpn_protocols = _leave_as_set  # type: ignore[method-assign]
    return context


def _leave_as_set(alpn_protocols: Iterable[str]) -> None:
    pass


def _checked_proxies(proxies: Mapping[str, str]) -> dict[str, str]:
    if all(_is_proxy(url) for url in proxies.values()):
        return dict(proxies)
    # The address is not repeated: it may hold a password.
    raise ValueError("A proxy's address must be http://host:port or https://host:port.")


def _is_proxy(url: str) -> bool:
    # For any other scheme urllib3 would go round the proxy, or make sockets that keep no deadline.
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
