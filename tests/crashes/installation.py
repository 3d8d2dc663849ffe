"""A real installation beside the test: its processes, and what its record says of a change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from select import select
from typing import Any, Self

import time_machine
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from django.utils import timezone

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import ChangeStatus, Move, What
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Change, Organization, Person
from hamr_portal.services import changes, reconciliation
from hamr_portal.services.conditions import Words
from hamr_portal.simulator import FAILOVER, RecordedRequest, Simulator
from tests import factories
from tests.services.records import read

from .confirm_process import GO_ON

BASE_DIR = Path(__file__).resolve().parent.parent.parent
PATIENCE = 60.0
"""Seconds that a process may be silent before the test gives up on it; a busy machine is no failure."""


@dataclass(frozen=True)
class Form:
    """A confirm page as one person has it before them."""

    change: Change
    words: Words
    by: Actor

    def as_sent(self, stop_at: str | int | None) -> dict[str, Any]:
        """Give it as the process takes it."""
        return {"change": self.change.pk, "words": asdict(self.words), "by": asdict(self.by), "stop_at": stop_at}


class Process:
    """One process that confirms; what it is told last is what it does."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.log = log
        self.pid = 0
        self._heard = b""
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "tests.crashes.confirm_process"],
                cwd=BASE_DIR,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                bufsize=0,
            )

    def begin(self, form: Form, *, stop_at: str | int | None = None) -> Self:
        """Let it confirm a form, up to a step where it waits for a word."""
        self._say(json.dumps(form.as_sent(stop_at)))
        return self

    def reached(self) -> dict[str, Any]:
        """Wait until it stops, or until it has come to its end without."""
        message = self._hear()
        if message["is"] == "started":
            self.pid = message["pid"]
            message = self._hear()
        return message

    def has_started(self) -> Self:
        """Wait until there is a process to kill."""
        self.pid = self._hear()["pid"]
        return self

    def tell(self, word: str) -> None:
        """Let it go on, or fail."""
        self._say(word)

    def came(self) -> dict[str, Any]:
        """Wait for what a person would be told."""
        message = self.reached()
        assert message["is"] == "came", message
        assert self._hear() == {"is": "ended", "code": 0}
        return message

    def kill(self) -> None:
        """End it as the kernel does when memory runs out."""
        os.kill(self.pid, signal.SIGKILL)

    def is_killed(self) -> bool:
        """Wait until it is gone, and tell whether it was killed."""
        message = self.reached()
        return message == {"is": "ended", "code": -signal.SIGKILL}

    def end(self) -> None:
        """Let it end, wherever it waits."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            if self.pid:
                self.kill()
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while b"\n" not in self._heard:
            is_there, _, _ = select([self._process.stdout], [], [], PATIENCE)
            said = self._process.stdout.read(65_536) if is_there else b""
            assert said, f"the process fell silent: {self.log.read_text()}"
            self._heard += said
        line, _, self._heard = self._heard.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        # It says the heads of the audit log there as well, for whoever collects them.
        return self._hear() if message.get("audit") == "head" else message


class Installation:
    """A database, a key ring, a spool and a simulator, which processes share with the test."""

    def __init__(self, database_url: str, folder: Path, simulator: Simulator) -> None:
        self.folder = folder
        self.simulator = simulator
        self.announced: list[bool] = []
        self.processes: list[Process] = []
        self.environment = {
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "hamr_portal.settings",
            "ENV_FILE": "",
            "SECRET_KEY": settings.SECRET_KEY,
            "HTTPS": "false",
            "DATABASE_URL": database_url,
            "KEY_RING_FILE": str(settings.KEY_RING_FILE),
            "SPOOL_FILE": str(settings.SPOOL_FILE),
            "ANCHOR_FILE": str(settings.ANCHOR_FILE),
            "HAMR_SITES": simulator.hamr_sites,
            "HAMR_DEADLINE": str(settings.HAMR_DEADLINE),
            "HAMR_CONNECT_TIMEOUT": str(settings.HAMR_CONNECT_TIMEOUT),
            "HAMR_POLL_INTERVAL": str(settings.HAMR_POLL_INTERVAL),
            "PREVIEW_SECONDS": str(settings.PREVIEW_SECONDS),
        }
        simulator.on_post = self.is_announced

    def process(self) -> Process:
        """Give a process that waits for a form; each form is confirmed by a fork of its own."""
        return self.processes[0] if self.processes else self.another_process()

    def another_process(self) -> Process:
        """Start one more process, which can confirm at the same time."""
        process = Process(self.environment, self.folder / f"process-{len(self.processes)}.log")
        self.processes.append(process)
        return process

    def pair(self, name: str = "halden-checkout") -> tuple[Organization, Organization]:
        """Save a pair of the simulator that was read."""
        sides = [
            self.simulator.add_organization(name, "us1"),
            self.simulator.add_organization(f"{name}-dr", "us5"),
        ]
        self.simulator.add_pair(name, f"{name}-dr")
        saved = [factories.simulated(side) for side in sides]
        read(*saved)
        primary, secondary = (Organization.objects.get(pk=each.pk) for each in saved)
        return primary, secondary

    def form(self, organization: Organization, email: str = "mara.lindqvist@halden.example") -> Form:
        """Let somebody preview a failover, and fill in the page."""
        if not Person.objects.filter(email=email).exists():
            factories.person(Role.OPERATOR, email)
        by = Actor(kind="person", name=email, role=Role.OPERATOR, address="203.0.113.9", session="a fingerprint")
        change = changes.prepare(organization, HamrStatus.FAILOVER, by=by)
        words = Words(change.nonce, "us1 is dark", "INC-4711", organization.name, override=True)
        return Form(change, words, by)

    def forms(self, count: int, organization: Organization) -> list[Form]:
        """Let several people preview the same."""
        return [
            self.form(organization, f"operator-{number}-{organization.site}@halden.example") for number in range(count)
        ]

    def is_announced(self, request: RecordedRequest) -> None:
        """Look, with a database connection of its own, whether a committed entry says that this POST goes out now."""
        try:
            announcing = Change.objects.filter(organization__name=request.organization, request=request.body.decode())
            entries = AuditEntry.objects.filter(change__in=list(announcing.values_list("pk", flat=True)))
            says = [json.loads(data).get("after") for data in entries.values_list("data", flat=True)]
            self.announced.append(ChangeStatus.SENDING in says)
        except DatabaseError:
            self.announced.append(False)
        finally:
            connections.close_all()

    def posts(self, organization: Organization) -> int:
        """Count the requests to change one organization."""
        return sum(request.organization == organization.name for request in self.simulator.posts)

    def has_acted(self, organization: Organization) -> bool:
        """Tell what is true over there."""
        view = self.simulator.organizations.named(organization.name).view
        return view is not None and view.hamr_status == FAILOVER

    def end(self) -> None:
        """End every process."""
        for process in self.processes:
            process.end()


def reconciled(change: Change) -> ChangeStatus:
    """Let the worker look every minute until it is known what became of a change, and give that."""
    start = timezone.now()
    for minute in range(1, 10):
        with time_machine.travel(start + timedelta(seconds=61 * minute), tick=True):
            reconciliation.reconcile(by=factories.WORKER)
        change.refresh_from_db()
        if not change.is_open:
            return ChangeStatus(change.status)
    raise AssertionError(f"{change} is still {change.status}")


def recorded(change: Change) -> list[str]:
    """Give the statuses of a change as its record has them, after making sure that nothing is missing there."""
    numbers = list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True))
    assert numbers == list(range(1, len(numbers) + 1))
    entries = AuditEntry.objects.filter(change=change.pk).order_by("seq")
    moves = [(entry.event, json.loads(entry.data)) for entry in entries]
    moves = [(event, data) for event, data in moves if "after" in data]
    log = change.log.filter(what=What.MOVED).order_by("pk").values_list("move", flat=True)
    assert [event for event, _ in moves] == [Move[name].event for name in log]
    path = [ChangeStatus.PREPARED.value, *(data["after"] for _, data in moves)]
    assert [data["before"] for _, data in moves] == path[:-1]
    change.refresh_from_db()
    assert path[-1] == change.status
    return path


def settled(change: Change) -> list[str]:
    """Let the worker do what is left to do, and give the statuses as `recorded` does."""
    reconciled(change)
    return recorded(change)


def confirmed(process: Process, form: Form) -> dict[str, Any]:
    """Confirm from the beginning to the end."""
    return process.begin(form).came()


def let_go(processes: list[Process]) -> None:
    """Let all that wait go on, all at once."""
    for process in processes:
        process.tell(GO_ON)
