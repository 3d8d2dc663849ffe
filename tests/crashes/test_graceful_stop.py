"""A web server is told to stop, or loses patience, in the middle of a change. See RELIABILITY.md, rows 40 to 42."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path
from select import select
from threading import Event
from urllib.parse import urlencode

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.people import Role
from hamr_portal.models import Change, Organization
from hamr_portal.simulator import RecordedRequest
from tests import factories

from .installation import BASE_DIR, PATIENCE, Installation, reconciled, recorded, settled

pytestmark = pytest.mark.slow
GRACE = 30
"""Seconds that a request has to end after SIGTERM: more than a POST may take, and the database's patience after it."""

VERIFIED = ["PREPARED", "SENDING", "ACCEPTED", "VERIFIED"]


class WebServer:
    """A real gunicorn, started as the demo starts it."""

    def __init__(self, environment: dict[str, str], *options: str) -> None:
        # The socket is open before the server is: nobody has to ask until it answers.
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._log = b""
        bound = ["--bind", f"fd://{self._socket.fileno()}", "--graceful-timeout", str(GRACE)]
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "gunicorn",
                "hamr_portal.wsgi",
                "--preload",
                "--no-control-socket",
                *bound,
                *options,
            ],
            cwd=BASE_DIR,
            env=environment,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=[self._socket.fileno()],
            start_new_session=True,
        )

    def says(self, text: str) -> bool:
        """Wait until its log has a text, and tell whether it came before the end of the log."""
        assert self.process.stderr is not None
        while text.encode() not in self._log:
            is_there, _, _ = select([self.process.stderr], [], [], PATIENCE)
            said = self.process.stderr.read(65_536) if is_there else b""
            if not said:
                return False
            self._log += said
        return True

    def log(self) -> str:
        """Give all that it has said, after its end."""
        self.says("what is never said")
        return self._log.decode()

    def end(self) -> None:
        """End it, with all its workers."""
        self._socket.close()
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


class Browser:
    """One signed-in operator with a confirm page before them."""

    def __init__(self, organization: Organization) -> None:
        client = Client()
        client.force_login(factories.person(Role.OPERATOR))
        client.post(reverse("change_new", args=[organization.name]), {"target_status": "FAILOVER"})
        self.change = Change.objects.select_related("organization").get()
        self._cookies = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"

    def confirm(self, port: int) -> tuple[int, str]:
        """Send the page's form, and give the answer's status and where it leads; 0 where no answer came."""
        secret = "c" * 32
        fields = {
            "csrfmiddlewaretoken": secret,
            "token": self.change.nonce,
            "reason": "us1 is dark",
            "ticket": "INC-4711",
            "typed_name": self.change.organization.name,
            "override": "on",
        }
        connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        headers = {
            "Cookie": f"{self._cookies}; {settings.CSRF_COOKIE_NAME}={secret}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        try:
            connection.request("POST", reverse("change_confirm", args=[self.change.pk]), urlencode(fields), headers)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Location", "")
        except (RemoteDisconnected, ConnectionResetError):
            return 0, ""
        finally:
            connection.close()


@pytest.fixture
def browser(installation: Installation) -> Browser:
    _, secondary = installation.pair()
    return Browser(secondary)


@pytest.fixture
def servers(installation: Installation) -> Iterator[list[WebServer]]:
    """End what a test has started."""
    started: list[WebServer] = []
    yield started
    for server in started:
        server.end()


@pytest.fixture
def arrived() -> Event:
    """Is set when the POST has come to the site."""
    return Event()


@pytest.fixture
def answers(installation: Installation, arrived: Event) -> Iterator[Event]:
    """Let the site answer a POST when this is set, and not before."""
    may_answer, announced = Event(), installation.is_announced

    def wait(request: RecordedRequest) -> None:
        announced(request)
        arrived.set()
        may_answer.wait(PATIENCE)

    installation.simulator.on_post = wait
    yield may_answer
    may_answer.set()


def test_deploy_in_the_middle_of_a_change_lets_it_come_to_its_end(installation, browser, servers, arrived, answers):
    server = WebServer(installation.environment, "--worker-class", "gthread", "--threads", "8")
    servers.append(server)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(browser.confirm, server.port)
        assert arrived.wait(PATIENCE)
        server.process.send_signal(signal.SIGTERM)
        assert server.says("Handling signal: term")
        answers.set()
        told = answer.result()

    assert told == (302, reverse("change", args=[browser.change.pk]))
    assert server.process.wait(PATIENCE) == 0
    assert settled(browser.change) == VERIFIED
    assert len(installation.simulator.posts) == 1
    assert "Traceback" not in server.log()


def test_request_that_takes_longer_than_the_timeout_is_not_killed(installation, browser, servers):
    # The answer of some 500 bytes drips for about four seconds.
    name = browser.change.organization.name
    installation.simulator.set_fault(name, "drip_body", verb="POST", interval=0.008)
    options = ("--worker-class", "gthread", "--threads", "8", "--timeout", "2")
    server = WebServer(installation.environment, *options)
    servers.append(server)

    told = browser.confirm(server.port)

    assert told == (302, reverse("change", args=[browser.change.pk]))
    line = browser.change.log.get(move="ACCEPT")
    assert line.elapsed_ms > 2000
    assert settled(browser.change) == VERIFIED
    server.process.terminate()
    assert "WORKER TIMEOUT" not in server.log()


def test_worker_that_is_killed_at_its_timeout_leaves_what_is_found_applied(
    installation, browser, servers, arrived, answers
):
    server = WebServer(installation.environment, "--worker-class", "sync", "--threads", "1", "--timeout", "2")
    servers.append(server)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(browser.confirm, server.port)
        assert arrived.wait(PATIENCE)
        assert server.says("WORKER TIMEOUT")
        status, _ = answer.result()
        answers.set()

    assert status in (0, 500)
    assert recorded(browser.change) == ["PREPARED", "SENDING"]
    assert reconciled(browser.change) == ChangeStatus.VERIFIED
    assert len(installation.simulator.posts) == 1


def test_committed_rows_survive_a_power_cut(tmp_path: Path):
    code = """
import django; django.setup()
from django.db import connection
with connection.cursor() as cursor:
    for pragma in ("journal_mode", "synchronous"):
        print(cursor.execute(f"PRAGMA {pragma}").fetchone()[0])
"""
    environment = {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "hamr_portal.settings",
        "ENV_FILE": "",
        "SECRET_KEY": settings.SECRET_KEY,
        "DATABASE_URL": f"sqlite:///{tmp_path}/portal.sqlite3",
    }

    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=True)

    full = "2"
    assert ended.stdout.split() == ["wal", full]
