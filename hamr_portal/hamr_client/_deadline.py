"""How is one HTTP exchange held to one wall-clock deadline, and how far did it come?

A time-out of `requests`, urllib3 or a socket starts again with each byte, so a server that drips is never late. Here
each socket operation gets only what is left of the deadline. urllib3 and ssl make the connections and sockets
themselves and hand nothing of ours through, so the attempt that they serve is a context variable.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import BadStatusLine, HTTPException, LineTooLong
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.poolmanager import PoolManager

from ._errors import HamrError, NotSent, OutcomeUnknown, Phase, Untrusted
from ._resolver import Address, resolve

MOST_RECEIVED = 256 * 1024
"""How many bytes one answer may have with its headers and chunk marks; urllib3 alone would read a line without end."""

TRANSPORT_ERRORS = (OSError, HTTPException, HTTPError, ValueError)
"""What `requests`, urllib3 and the standard library raise for a failed exchange."""


class Deadline:
    """One moment by the monotonic clock, `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        self._start = time.monotonic()
        self._end = self._start + seconds

    def left(self) -> float:
        """Give the seconds that are left, zero or less when it has passed."""
        return self._end - time.monotonic()

    def demand(self) -> float:
        """Give the seconds that are left, more than zero, or raise `TimeoutError`."""
        left = self.left()
        if left > 0:
            return left
        raise TimeoutError("the deadline has passed")

    def elapsed(self) -> float:
        """Give the seconds since the start."""
        return time.monotonic() - self._start


class Attempt:
    """One try of one request: how far it has come, and what stopped it."""

    def __init__(self, deadline: Deadline, connect_timeout: float) -> None:
        self.deadline = deadline
        self.phase = Phase.RESOLVE
        self.http_status: int | None = None
        self._connect_timeout = connect_timeout
        self._failure = ""
        self._untrusted = False
        self._received = 0

    @contextmanager
    def step(self, phase: Phase) -> Iterator[None]:
        """Enter a phase, and keep the first thing that fails, in words: the exception's frames hold the keys."""
        self.phase = phase
        try:
            yield
        except TRANSPORT_ERRORS as error:
            self._failure = self._failure or _described(error, self.phase, self.deadline.elapsed())
            self._untrusted = self._untrusted or isinstance(error, ssl.SSLCertVerificationError)
            raise

    def connect_seconds(self) -> float:
        """Give the seconds that connecting to one address may take."""
        return min(self._connect_timeout, self.deadline.demand())

    def count(self, received: int) -> int:
        """Count bytes that came; raise `LineTooLong` for too many, `ConnectionResetError` for an end in the headers."""
        if received == 0 and self.phase in (Phase.SEND, Phase.WAIT):
            # http.client takes the end of a connection for the end of the headers: a cut answer would look whole.
            raise ConnectionResetError("cut before the headers ended")
        self._received += received
        if self._received > MOST_RECEIVED:
            raise LineTooLong("answer")
        return received

    def error(self) -> HamrError:
        """Give the error that says how far the attempt came and what is known of the request."""
        kind: type[HamrError] = OutcomeUnknown
        if self.phase in (Phase.RESOLVE, Phase.CONNECT, Phase.TLS):
            kind = Untrusted if self._untrusted else NotSent
        elapsed_ms = int(self.deadline.elapsed() * 1000)
        return kind(self._failure, phase=self.phase, elapsed_ms=elapsed_ms, http_status=self.http_status)


_attempt: ContextVar[Attempt] = ContextVar("attempt")


@contextmanager
def running(attempt: Attempt) -> Iterator[None]:
    """Make an attempt the one that this thread's connections and sockets serve."""
    token = _attempt.set(attempt)
    try:
        yield
    finally:
        _attempt.reset(token)


_DOING = {
    Phase.RESOLVE: "resolving the name",
    Phase.CONNECT: "connecting",
    Phase.TLS: "in the TLS handshake",
    Phase.SEND: "sending",
    Phase.WAIT: "waiting for the answer",
    Phase.BODY: "reading the answer",
}


def _described(error: Exception, phase: Phase, elapsed: float) -> str:
    prefix = "TLS check failed: " if phase is Phase.TLS else ""
    if isinstance(error, (TimeoutError, ReadTimeoutError)):
        return f"{prefix}timed out after {elapsed:.1f} s {_DOING[phase]}"
    return prefix + _WORDS[phase](error)


def _resolve_failure(error: Exception) -> str:
    return "name not resolved" if isinstance(error, socket.gaierror) else "the request could not be made"


def _connect_failure(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else "no connection through the proxy"


def _tls_failure(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    reason = error.reason if isinstance(error, ssl.SSLError) else None
    return reason.replace("_", " ").lower() if reason else "connection cut"


def _wait_failure(error: Exception) -> str:
    if isinstance(error, OSError):
        return "connection cut while waiting for the answer"
    if isinstance(error, HTTPException) and not isinstance(error, BadStatusLine):
        return "headers too long or too many"
    return "not an HTTP answer"


_WORDS: Mapping[Phase, Callable[[Exception], str]] = {
    Phase.RESOLVE: _resolve_failure,
    Phase.CONNECT: _connect_failure,
    Phase.TLS: _tls_failure,
    Phase.SEND: lambda _: "connection cut while sending",
    Phase.WAIT: _wait_failure,
    Phase.BODY: lambda _: "incomplete answer",
}


class TimedSocket(socket.socket):
    """A socket that gives each operation what is left of its attempt's deadline."""

    def recv(self, *args: Any) -> bytes:
        """Receive in time."""
        self._rearm()
        data = super().recv(*args)
        _attempt.get().count(len(data))
        return data

    def recv_into(self, *args: Any) -> int:
        """Receive in time; `makefile`, and so http.client, receives by this."""
        self._rearm()
        return _attempt.get().count(super().recv_into(*args))

    def send(self, *args: Any) -> int:
        """Send in time; over TLS, `sendall` sends by this."""
        self._rearm()
        return super().send(*args)

    def sendall(self, *args: Any) -> None:
        """Send all in time; over plain HTTP, one time-out holds for the whole."""
        self._rearm()
        super().sendall(*args)

    def _rearm(self) -> None:
        self.settimeout(_attempt.get().deadline.demand())


class TimedTlsSocket(TimedSocket, ssl.SSLSocket):
    """The same over TLS; `SSLContext.sslsocket_class` makes a context use it."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands in time; OpenSSL's own loop keeps to the one time-out that is set here."""
        with _attempt.get().step(Phase.TLS):
            self._rearm()
            super().do_handshake(block)


class TimedConnection(HTTPConnection):
    """A connection that makes timed sockets and tells its attempt which phase it enters."""

    def _new_conn(self) -> socket.socket:
        attempt = _attempt.get()
        with attempt.step(Phase.RESOLVE):
            addresses = resolve(self._dns_host.strip("[]"), self.port, seconds=attempt.deadline.demand())
        with attempt.step(Phase.CONNECT):
            return _connected(addresses, attempt)

    def connect(self) -> None:
        """Connect, by way of a proxy where there is one."""
        attempt = _attempt.get()
        with attempt.step(attempt.phase):
            super().connect()

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send the request; from here on a byte of it may have left."""
        if self.sock is None:
            self.connect()
        attempt = _attempt.get()
        with attempt.step(Phase.SEND):
            super().request(*args, **kwargs)
        attempt.phase = Phase.WAIT

    def getresponse(self) -> Any:
        """Wait for the head of the answer, which may come even where sending was cut."""
        attempt = _attempt.get()
        with attempt.step(attempt.phase):
            return super().getresponse()


def _connected(addresses: Sequence[Address], attempt: Attempt) -> socket.socket:
    failure = OSError("no address")
    for family, kind, protocol, _, address in addresses:
        sock = TimedSocket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(attempt.connect_seconds())
            sock.connect(address)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure


class TimedTlsConnection(TimedConnection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = TimedConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = TimedTlsConnection


class DeadlineAdapter(HTTPAdapter):
    """The way from `requests` to timed connections, with one TLS context that checks certificates."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools of timed connections."""
        super().init_poolmanager(*args, ssl_context=self._context, **kwargs)
        _use_timed_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the pools of timed connections through a proxy."""
        contexts = {"ssl_context": self._context, "proxy_ssl_context": self._context}
        return _use_timed_pools(super().proxy_manager_for(proxy, **contexts, **kwargs))

    def cert_verify(self, conn: object, url: object, verify: object, cert: object) -> None:
        """Leave the pool as it is: the context verifies, and loading the CA bundle again takes 20 ms a call."""


def _use_timed_pools(manager: PoolManager) -> PoolManager:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
    return manager
