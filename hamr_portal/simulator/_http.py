"""How do bytes get in and out? One loopback port a listener, one thread a connection, raw sockets for faults."""

import contextlib
import email.utils
import http
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO, Self

LOOPBACK = "127.0.0.1"
NOT_HTTP = (ConnectionError, http.client.HTTPException, ValueError)  # what reading from a stranger may raise


@dataclass(frozen=True)
class Request:
    """One request as it was read, whole, from the wire."""

    verb: str
    path: str
    headers: Mapping[str, str] = field(repr=False)  # names in lower case; holds keys
    body: bytes = b""
    at: float = field(default_factory=time.monotonic)
    last: bool = False  # the client asked to close afterwards


@dataclass(frozen=True)
class Answer:
    """What to say, and how to put it on the wire."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    deliver: "Delivery | None" = None  # None: at once and whole

    @classmethod
    def of(cls, status: int, document: Any, content_type: str = "application/json") -> Self:
        """Make an answer that holds a JSON document."""
        return cls(status, json.dumps(document).encode(), content_type)

    def closing(self) -> Self:
        """Make the same answer, which announces the end of the connection."""
        return replace(self, headers=(*self.headers, ("Connection", "close")))

    def head(self, length: int | None) -> bytes:
        """Write the status line and headers, declaring `length` bytes of body, or none."""
        lines = [
            f"HTTP/1.1 {self.status} {_reason(self.status)}",
            f"Date: {email.utils.formatdate(usegmt=True)}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {length}" if length is not None else "Connection: close",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


Respond = Callable[[Request], Answer]


class Connection:
    """One accepted connection, which its listener may cut at any moment."""

    def __init__(self, accepted: socket.socket) -> None:
        self._socket = accepted
        self._stream: BinaryIO = accepted.makefile("rb")
        self._cut = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._socket.close()

    def receive(self) -> Request | None:
        """Read the next request, or None when there is none or it is not HTTP."""
        with contextlib.suppress(*NOT_HTTP):
            return _read_request(self._stream)
        return None

    def deliver(self, answer: Answer) -> bool:
        """Put an answer on the wire and say whether the connection may serve another request."""
        with contextlib.suppress(ConnectionError):
            return (answer.deliver or whole)(self, answer)
        return False

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self._socket.sendall(data)

    def pause(self, seconds: float) -> bool:
        """Wait, and say whether the connection was cut meanwhile."""
        return self._cut.wait(seconds)

    def wait_for_close(self) -> None:
        """Wait until the client gives up or the listener cuts the connection."""
        while self._socket.recv(4096):
            pass

    def reset(self) -> None:
        """Close with a TCP reset instead of an orderly end."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def cut(self) -> None:
        """End whatever this connection waits for, from another thread."""
        self._cut.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


Delivery = Callable[[Connection, Answer], bool]


def whole(connection: Connection, answer: Answer) -> bool:
    """Send the answer at once and keep the connection."""
    connection.send(answer.head(len(answer.body)) + answer.body)
    return True


class Listener:
    """One port of 127.0.0.1 that answers every request with `respond`, and that can refuse and listen again."""

    def __init__(self, respond: Respond, *, port: int = 0) -> None:
        self._respond = respond
        self._serving: dict[threading.Thread, Connection] = {}
        self._lock = threading.Lock()
        self._socket = _bound(port)
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self.port}"
        self.listen()

    def listen(self) -> None:
        """Accept connections, again or for the first time."""
        self._socket.listen(256)
        self._acceptor = threading.Thread(target=self._accept, name=f"simulator:{self.port}", daemon=True)
        self._acceptor.start()

    def refuse(self) -> None:
        """Cut every connection and refuse new ones; the port stays ours, for `listen`."""
        self.stop()
        self._socket = _bound(self.port)

    def stop(self) -> None:
        """Close the port and every connection, and wait until their threads have ended."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept(); fails on a port that refuses
        self._acceptor.join()
        self._socket.close()
        with self._lock:
            serving = dict(self._serving)
        for connection in serving.values():
            connection.cut()
        for thread in serving.keys() - {threading.current_thread()}:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                return
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(accepted)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self._serving[thread] = connection
            thread.start()

    def _serve(self, connection: Connection) -> None:
        try:
            with connection:
                while (request := connection.receive()) is not None:
                    answer = self._respond(request)
                    if not connection.deliver(answer.closing() if request.last else answer) or request.last:
                        return
        finally:
            with self._lock:
                del self._serving[threading.current_thread()]


def _bound(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((LOOPBACK, port))
    except OSError:
        made.close()
        raise
    return made


def _read_request(stream: BinaryIO) -> Request | None:
    line = stream.readline(65_536)
    if not line:
        return None
    verb, path, version = line.decode("latin-1").split()
    headers = {name.lower(): value for name, value in http.client.parse_headers(stream).items()}
    body = stream.read(int(headers.get("content-length", 0)))
    last = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0"
    return Request(verb, path, headers, body, last=last)


def _reason(status: int) -> str:
    return http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else "Unknown"
