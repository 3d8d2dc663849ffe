"""What can happen to a connection on its way? A gate before one site of the simulator that lets readings through."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from hamr_portal.domain.organizations import Site

PATIENCE = 10.0
POST = 3
"""Which connection to a side's site is the POST's: it is read for the preview, and again before the POST."""

Script = Callable[[socket.socket], None]


class Gate:
    """A port that passes each connection on to a site of the simulator, but for those that a script is given for.

    `before_answer` are done when the answer to that connection is there and not yet passed back: what comes after
    meets what they have made of the gate.
    """

    def __init__(
        self,
        onward: str,
        *,
        scripts: Mapping[int, Script] | None = None,
        before_answer: Mapping[int, Callable[[Gate], object]] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.connections = 0
        self.tls = tls
        self._onward = (urlsplit(onward).hostname, urlsplit(onward).port)
        self._scripts = scripts or {}
        self._before_answer = before_answer or {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self._fillers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._start(self._accept, self._listener)

    @property
    def site(self) -> Site:
        return Site("us1", f"{'https' if self.tls else 'http'}://localhost:{self._port}")

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        for thread in self._threads:
            thread.join()

    def refuse(self) -> None:
        """Close the port: what comes now is refused."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for filler in self._fillers:
            filler.close()

    def stall(self) -> None:
        """Take nothing in any more, and refuse nothing: what comes now waits."""
        self.refuse()
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self._port))
            self._fillers.append(filler)

    def _start(self, do: Callable[..., None], *words: object) -> None:
        thread = threading.Thread(target=do, args=words, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._start(self._serve, accepted, self.connections)

    def _serve(self, accepted: socket.socket, number: int) -> None:
        accepted.settimeout(PATIENCE)
        # A client that leaves is what most of these tests are about.
        with contextlib.suppress(OSError), _shaken(accepted, self.tls) as client:
            if number in self._scripts:
                self._scripts[number](client)
                return
            answer = self._asked(request_of(client))
            self._before_answer.get(number, lambda _: None)(self)
            client.sendall(answer)

    def _asked(self, request: bytes) -> bytes:
        with socket.create_connection(self._onward, PATIENCE) as onward:
            onward.sendall(request)
            answer = b""
            while part := onward.recv(65536):
                answer += part
        return answer


def request_of(client: socket.socket) -> bytes:
    """Read one whole request."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(client)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < length:
        body += _received(client)
    return head + b"\r\n\r\n" + body


def reset(client: socket.socket) -> None:
    """Cut so that the other end sees a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def _received(client: socket.socket) -> bytes:
    data = client.recv(65536)
    if not data:
        raise ConnectionResetError
    return data


def _shaken(accepted: socket.socket, tls: ssl.SSLContext | None) -> socket.socket:
    if tls is None:
        return accepted
    with accepted:
        return tls.wrap_socket(accepted, server_side=True)
