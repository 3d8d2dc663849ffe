"""Which servers may the client meet? Real ones on loopback, from well-behaved to hostile."""

import json
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

from hamr_portal.domain.organizations import Site
from hamr_portal.hamr_client import HamrError, NotSent, OutcomeUnknown, Phase

PATIENCE = 3.0
"""Seconds that a server goes on when the client stays: far beyond the deadlines of these tests."""

BIG = 8_000_000
"""Bytes of a body that no system takes at once from the client."""

ORGANIZATION = "3f6a1c2e-0d4b-11ef-9a53-da7ad0900001"
TARGET = "8b2f4d60-0d4b-11ef-8a10-da7ad0900005"


def attributes(**changes):
    """The attributes of an answer as described, in snake_case."""
    return {
        "hamr_status": 2,
        "is_primary": True,
        "modified_at": "2026-01-13T17:26:48.830968Z",
        "modified_by": "ops@example.com",
        "target_org_datacenter": "us5",
        "target_org_name": "Acme US5",
        "target_org_uuid": TARGET,
    } | changes


def recorded_attributes(**changes):
    """The attributes of an answer as recorded, in PascalCase."""
    return {
        "HamrStatus": 2,
        "IsPrimary": True,
        "ModifiedAt": "2026-05-28 16:34:21.636477",
        "ModifiedBy": "ops-login",
        "OrgDatacenter": "us1.prod.dog",
        "TargetOrgDatacenter": "us5.prod.dog",
        "TargetOrgName": "Acme US5",
        "TargetOrgUuid": TARGET,
    } | changes


def document(found=None):
    """The document of an answer with these attributes."""
    return {"data": {"id": ORGANIZATION, "type": "hamr_org_connections", "attributes": found or attributes()}}


def http(body=None, *, status="200 OK", content_type="application/json", headers=(), length=True):
    """The bytes of an HTTP answer; a body that is not bytes is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(document() if body is None else body).encode()
    lines = [f"HTTP/1.1 {status}", *headers]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    if length:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + content


GOOD = http()
HEAD, BODY = GOOD[: GOOD.index(b"\r\n\r\n") + 4], GOOD[GOOD.index(b"\r\n\r\n") + 4 :]
OK_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = OK_JSON + b"Transfer-Encoding: chunked\r\n\r\n"


class ClientLeft(OSError):
    """The client hung up before the server was done."""


class Visit:
    """One connection, as the server's script sees it."""

    def __init__(self, server: "Server", connection: socket.socket) -> None:
        self.server = server
        self.connection = connection

    def read_request(self) -> bytes:
        """Read one whole request, and keep it."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.received()
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        length = int(lengths[0].split(b":")[1]) if lengths else 0
        while len(body) < length:
            body += self.received()
        self.server.requests.append(head + b"\r\n\r\n" + body)
        return self.server.requests[-1]

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def drip(self, data: bytes) -> None:
        """Send a byte each hundredth of a second."""
        for number in range(len(data)):
            self.send(data[number : number + 1])
            self.stall(0.01)

    def stall(self, seconds: float = PATIENCE) -> None:
        """Do nothing for a while, and notice when the client leaves."""
        readable, _, _ = select.select([self.connection], [], [], seconds)
        if readable:
            self.received()

    def until_left(self) -> None:
        """Wait for the client to hang up, whatever it still sends."""
        self.connection.settimeout(PATIENCE)
        while True:
            self.received()

    def reset(self) -> None:
        """Cut the connection so that the client sees a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def received(self) -> bytes:
        data = self.connection.recv(65536)
        if not data:
            raise ClientLeft
        return data


Script = Callable[[Visit], None]


class Server:
    """A server on a free port of 127.0.0.1 that runs its script once for each connection, each in a thread."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.left_early = 0
        self.tls = tls
        self._script = script
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def site(self, path: str = "", host: str = "localhost") -> Site:
        return Site("test", f"{'https' if self.tls else 'http'}://{host}:{self.port}{path}")

    def __enter__(self) -> "Server":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE * 2)
        try:
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            self._script(Visit(self, connection))
        except TimeoutError:
            pass  # the client stayed for longer than the server's patience
        except OSError:
            self.left_early += 1
        finally:
            connection.close()


def answers(*raw: bytes) -> Script:
    """Answer the first request with the first of these, and so on; the last one stays."""
    left = list(raw)

    def script(visit: Visit) -> None:
        visit.read_request()
        visit.send(left.pop(0) if len(left) > 1 else left[0])

    return script


def cuts(sent: bytes = b"", *, reset: bool = False) -> Script:
    """Read the request, send a part of an answer, and cut the connection."""

    def script(visit: Visit) -> None:
        visit.read_request()
        visit.send(sent)
        if reset:
            visit.reset()

    return script


# Hostile servers. Each would end with a good answer, so a client without a deadline gets one, late.


def never_answers(visit: Visit) -> None:
    visit.read_request()
    visit.stall()
    visit.send(GOOD)


def never_reads(visit: Visit) -> None:
    threading.Event().wait(0.8)  # looking for the client's leave would be reading
    visit.read_request()
    visit.send(GOOD)


def reads_slowly(visit: Visit) -> None:
    left = BIG
    while left > 0:
        left -= len(visit.received())
        threading.Event().wait(0.005)
    visit.send(GOOD)


def drips_the_status_line(visit: Visit) -> None:
    visit.read_request()
    visit.drip(GOOD)


def drips_a_header(visit: Visit) -> None:
    visit.read_request()
    visit.send(OK_JSON + b"X-Long: ")
    visit.drip(b"x" * 300 + b"\r\n")
    visit.send(b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)


def drips_header_lines(visit: Visit) -> None:
    visit.read_request()
    visit.send(OK_JSON)
    for number in range(90):
        visit.send(b"X-Number-%d: 1\r\n" % number)
        visit.stall(0.03)
    visit.send(b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)


def stalls_in_the_headers(visit: Visit) -> None:
    visit.read_request()
    visit.send(HEAD[:-2])
    visit.stall()
    visit.send(HEAD[-2:] + BODY)


def sends_5000_headers(visit: Visit) -> None:
    visit.read_request()
    visit.send(OK_JSON + b"X-Many: 1\r\n" * 5000 + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
    visit.until_left()


def sends_a_200_kb_header(visit: Visit) -> None:
    visit.read_request()
    visit.send(OK_JSON + b"X-Huge: " + b"x" * 200_000 + b"\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)
    visit.until_left()


def says_continue_without_end(visit: Visit) -> None:
    visit.read_request()
    for _ in range(20_000):
        visit.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    visit.send(GOOD)
    visit.until_left()


def drips_the_body(visit: Visit) -> None:
    visit.read_request()
    visit.send(HEAD)
    visit.drip(BODY)


def drips_a_body_without_length(visit: Visit) -> None:
    visit.read_request()
    visit.send(OK_JSON + b"\r\n")
    visit.drip(BODY)


def stalls_in_the_body(visit: Visit) -> None:
    visit.read_request()
    visit.send(HEAD + BODY[:50])
    visit.stall()
    visit.send(BODY[50:])


def promises_a_gigabyte(visit: Visit) -> None:
    visit.read_request()
    visit.send(OK_JSON + b"Content-Length: 1000000000\r\n\r\n" + BODY)
    visit.stall()


def sends_a_body_without_end(visit: Visit) -> None:
    visit.read_request()
    visit.send(OK_JSON + b"\r\n" + BODY)
    for _ in range(20_000):
        visit.send(b" " * 1024)


def sends_chunks_without_end(visit: Visit) -> None:
    visit.read_request()
    visit.send(CHUNKED + b"%x\r\n" % len(BODY) + BODY + b"\r\n")
    for _ in range(20_000):
        visit.send(b"400\r\n" + b" " * 1024 + b"\r\n")


def drips_chunks(visit: Visit) -> None:
    visit.read_request()
    visit.send(CHUNKED)
    for number in range(len(BODY)):
        visit.send(b"1\r\n" + BODY[number : number + 1] + b"\r\n")
        visit.stall(0.01)
    visit.send(b"0\r\n\r\n")


def drips_a_chunk_size(visit: Visit) -> None:
    visit.read_request()
    visit.send(CHUNKED)
    visit.drip(b"0" * 300 + b"%x\r\n" % len(BODY))
    visit.send(BODY + b"\r\n0\r\n\r\n")


def sends_a_chunk_size_without_end(visit: Visit) -> None:
    visit.read_request()
    visit.send(CHUNKED)
    for _ in range(20_000):
        visit.send(b"0" * 1024)


def sends_trailers_without_end(visit: Visit) -> None:
    visit.read_request()
    visit.send(CHUNKED + b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n")
    for _ in range(20_000):
        visit.send(b"X-Trailer: " + b"x" * 1000 + b"\r\n")
    visit.send(b"\r\n")


def drips_trailers(visit: Visit) -> None:
    visit.read_request()
    visit.send(CHUNKED + b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n")
    visit.drip(b"X-Trailer: " + b"x" * 300 + b"\r\n\r\n")


def sends_a_compression_bomb(visit: Visit) -> None:
    visit.read_request()
    visit.send(http(b"\x1f\x8b" + b"x" * 60_000, headers=["Content-Encoding: gzip"]))
    visit.until_left()


def shakes_no_hands(visit: Visit) -> None:
    visit.connection.recv(1)
    visit.until_left()


def speaks_no_tls(visit: Visit) -> None:
    visit.connection.recv(65536)
    visit.send(GOOD)


def resets_the_handshake(visit: Visit) -> None:
    visit.connection.recv(1)
    visit.reset()


def drips_the_handshake(context: ssl.SSLContext) -> Script:
    """Speak proper TLS, a byte each hundredth of a second."""

    def drips_the_handshake(visit: Visit) -> None:
        _tls_by_hand(visit, context, slow_from_start=True)

    return drips_the_handshake


def shakes_hands_late(context: ssl.SSLContext, seconds: float) -> Script:
    """Wait before the handshake, then be good."""

    def shakes_hands_late(visit: Visit) -> None:
        threading.Event().wait(seconds)
        visit.connection = context.wrap_socket(visit.connection, server_side=True)
        answers(GOOD)(visit)
        visit.connection.close()

    return shakes_hands_late


def drips_tls_records(context: ssl.SSLContext) -> Script:
    """Shake hands at once, then send the answer's one TLS record a byte each hundredth of a second."""

    def drips_tls_records(visit: Visit) -> None:
        _tls_by_hand(visit, context, slow_from_start=False)

    return drips_tls_records


def _tls_by_hand(visit: Visit, context: ssl.SSLContext, *, slow_from_start: bool) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    send = visit.drip if slow_from_start else visit.send
    for step in (tls.do_handshake, lambda: tls.read(65536)):
        while True:
            try:
                step()
                break
            except ssl.SSLWantReadError:
                send(outgoing.read())
                incoming.write(visit.received())
    tls.write(GOOD)
    visit.drip(outgoing.read())


@dataclass(frozen=True)
class Hostile:
    """A hostile server and how a POST to it must end."""

    script: Script
    phase: Phase
    kind: type[HamrError] = OutcomeUnknown
    body: bytes = b"{}"

    @property
    def name(self) -> str:
        return self.script.__name__


HOSTILE = [
    Hostile(never_answers, Phase.WAIT),
    Hostile(never_reads, Phase.SEND, body=b"x" * BIG),
    Hostile(drips_the_status_line, Phase.WAIT),
    Hostile(drips_a_header, Phase.WAIT),
    Hostile(drips_header_lines, Phase.WAIT),
    Hostile(stalls_in_the_headers, Phase.WAIT),
    Hostile(sends_5000_headers, Phase.WAIT),
    Hostile(sends_a_200_kb_header, Phase.WAIT),
    Hostile(says_continue_without_end, Phase.WAIT),
    Hostile(drips_the_body, Phase.BODY),
    Hostile(drips_a_body_without_length, Phase.BODY),
    Hostile(stalls_in_the_body, Phase.BODY),
    Hostile(promises_a_gigabyte, Phase.BODY),
    Hostile(drips_chunks, Phase.BODY),
    Hostile(drips_a_chunk_size, Phase.BODY),
    Hostile(sends_a_chunk_size_without_end, Phase.BODY),
    Hostile(sends_trailers_without_end, Phase.BODY),
    Hostile(drips_trailers, Phase.BODY),
    Hostile(sends_a_body_without_end, Phase.ANSWER),
    Hostile(sends_chunks_without_end, Phase.ANSWER),
    Hostile(sends_a_compression_bomb, Phase.ANSWER),
]
"""Hostile in HTTP, plain and over TLS alike."""

SHOW_TLS = (never_answers, never_reads, drips_the_status_line, drips_the_body, drips_chunks, sends_a_compression_bomb)

HOSTILE_OVER_TLS = [
    Hostile(reads_slowly, Phase.SEND, body=b"x" * BIG),
    *(hostile for hostile in HOSTILE if hostile.script in SHOW_TLS),
]
"""Those that show each operation of a TLS socket; the benchmark measures the others over TLS too."""

HOSTILE_IN_TLS = [
    Hostile(shakes_no_hands, Phase.TLS, NotSent),
    Hostile(speaks_no_tls, Phase.TLS, NotSent),
    Hostile(resets_the_handshake, Phase.TLS, NotSent),
]
"""Hostile where the client expects a TLS handshake; they speak none, or their own."""


def hostile_by_hand(context: ssl.SSLContext) -> list[Hostile]:
    """Hostile servers that speak TLS themselves, with this context's certificate."""
    return [
        Hostile(drips_the_handshake(context), Phase.TLS, NotSent),
        Hostile(drips_tls_records(context), Phase.WAIT),
    ]


# Proxies, which see no request of ours when they tunnel.


def tunnels(visit: Visit) -> None:
    """Answer CONNECT, and pass bytes both ways until one side leaves."""
    _, target, _ = visit.read_request().split(b" ", 2)
    host, _, port = target.decode().rpartition(":")
    with socket.create_connection((host, int(port))) as onward:
        visit.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        sides = {visit.connection: onward, onward: visit.connection}
        while True:
            for side in select.select(list(sides), [], [], PATIENCE)[0]:
                data = side.recv(65536)
                if not data:
                    return
                sides[side].sendall(data)


def tunnels_to_drips(visit: Visit) -> None:
    """Answer CONNECT, then drip a TLS record that never ends."""
    visit.read_request()
    visit.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    visit.drip(b"\x16\x03\x03\x40\x00" + b"x" * 300)


def tunnels_to_silence(visit: Visit) -> None:
    """Answer CONNECT, then say nothing more."""
    visit.read_request()
    visit.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
    visit.until_left()
