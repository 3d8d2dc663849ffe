"""A real web server, and requests that no browser sends: one line each in its log, and no answer that is a failure."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest

from .installation import PATIENCE, Installation
from .test_graceful_stop import WebServer

pytestmark = pytest.mark.slow

AGENT = b"agent \x1b[2K\x9b31m \xe2\x80\xae gnp"


@pytest.fixture
def server(installation: Installation) -> Iterator[WebServer]:
    running = WebServer(installation.environment)
    yield running
    running.end()


def asked(port: int, *lines: bytes, body: bytes = b"") -> int:
    """Send a request as these bytes, and give the answer's status."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as sent:
        sent.sendall(b"\r\n".join([*lines, b"Host: localhost", b"Connection: close", b"", body]))
        return int(sent.makefile("rb").readline().split()[1])


def test_each_event_is_one_line_of_the_servers_log(server: WebServer) -> None:
    path = b"/%0d%0a%1b%5b2J%e2%80%ae%e2%80%a8%7b%22level%22:%22FORGED%22%7d?key=canary0query"

    answers = [
        asked(server.port, b"GET " + path + b" HTTP/1.1", b"User-Agent: " + AGENT),
        asked(server.port, b"GET /accounts/login/ HTTP/1.1", b"Referer: " + AGENT, b"User-Agent: plain"),
    ]
    server.process.terminate()

    log = server.log()
    # Before it serves, Django's checks say what they found.
    lines = [json.loads(line) for line in log.splitlines() if not line.startswith("System check")]
    told = [line["message"] for line in lines if line["logger"] == "gunicorn.access"]
    assert answers == [404, 200]
    assert log.isascii()
    assert len(told) == 2
    assert "\r\n\x1b[2J" in told[0]
    assert told[1].startswith('127.0.0.1 "GET /accounts/login/" 200 ')
    assert [line for line in lines if line["level"] == "FORGED"] == []
    assert "canary0query" not in log


def test_what_is_larger_than_any_form_is_refused_and_nothing_fails(server: WebServer) -> None:
    long = b"x" * 10_000_000
    as_form = b"Content-Type: application/x-www-form-urlencoded"
    as_file = b"Content-Type: multipart/form-data; boundary=b"
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'

    answers = [
        asked(server.port, b"GET /" + b"x" * 5000 + b" HTTP/1.1"),
        asked(server.port, b"GET / HTTP/1.1", b"X-Long: " + b"x" * 9000),
        asked(server.port, b"GET / HTTP/1.1", *(b"X-%d: 1" % number for number in range(80))),
        asked(server.port, b"POST /theme/ HTTP/1.1", as_form, b"Content-Length: 10000000"),
        asked(server.port, b"POST /theme/ HTTP/1.1", as_file, b"Content-Length: 70000", body=part + long[:60_000]),
        asked(server.port, b"POST /theme/ HTTP/1.1", as_form, b"Content-Length: -5"),
        asked(server.port, b"POST /theme/ HTTP/1.1", as_form, b"Content-Length: many"),
    ]

    assert all(400 <= answer < 500 for answer in answers), answers
    assert answers[3:5] == [413, 413]
