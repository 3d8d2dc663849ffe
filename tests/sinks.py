"""Where tests let news arrive: a web server and a mail server on loopback, which keep what they were given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, TCPServer, ThreadingTCPServer
from threading import Event, Thread
from typing import Any


class Sink:
    """What arrived, and how the server behaves: which status it gives, where to it redirects, whether it drips."""

    def __init__(self) -> None:
        self.arrived: list[dict[str, Any]] = []
        self.mails: list[str] = []
        self.port = 0
        self.status = 200
        self.location = ""
        self.drips = False
        self.asked = Event()
        self.over = Event()

    def address(self, rest: str = "", scheme: str = "json") -> str:
        """Give the server's address as apprise has it."""
        return f"{scheme}://127.0.0.1:{self.port}/{rest}"


class _Server(ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def web_server() -> Iterator[Sink]:
    """Run a web server that takes JSON."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sink.arrived.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            sink.asked.set()
            self.send_response(sink.status)
            if sink.location:
                self.send_header("Location", sink.location)
            if sink.drips:
                self._drip()
            else:
                self.send_header("Content-Length", "0")
                self.end_headers()

        def _drip(self) -> None:
            """Go on with the answer for as long as anybody listens: each read of the client succeeds in time."""
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            try:
                while not sink.over.wait(0.05):
                    self.wfile.write(b".")
                    self.wfile.flush()
            except OSError:
                sink.over.set()

        def log_message(self, *_: object) -> None:
            pass

    with _running(ThreadingHTTPServer(("127.0.0.1", 0), Handler), sink):
        yield sink


@contextmanager
def mail_server(refuses: bytes = b"") -> Iterator[Sink]:
    """Run a mail server that takes everything, or answers to a mail with a line of its own."""
    sink = Sink()

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 sink\r\n")
            for line in self.rfile:
                word = line[:4].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    text = b"".join(iter(self.rfile.readline, b".\r\n"))
                    sink.mails.append(text.decode())
                self.wfile.write(refuses if refuses and word == b"MAIL" else b"250 yes\r\n")
                if word == b"QUIT":
                    return

    with _running(_Server(("127.0.0.1", 0), Handler), sink):
        yield sink


@contextmanager
def _running(server: TCPServer, sink: Sink) -> Iterator[None]:
    sink.port = server.server_address[1]
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        sink.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
