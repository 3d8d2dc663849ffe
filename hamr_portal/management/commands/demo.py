"""`demo`: everything on one machine, with a simulator in place of Datadog."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from argparse import ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from hamr_portal.domain.people import Role
from hamr_portal.management import demo_environment
from hamr_portal.management.shell import console, heads_to, shell_actor
from hamr_portal.management.status_table import table
from hamr_portal.models import Organization, Pair
from hamr_portal.services import connections, imports, keys, overview, pairs, people, pulse, workers

PEOPLE = {
    "ines.castro@halden.example": Role.VIEWER,
    "mara.lindqvist@halden.example": Role.OPERATOR,
    "jonas.weber@halden.example": Role.APPROVER,
    "tomas.ferreira@halden.example": Role.ADMIN,
    "ruth.okafor@halden.example": Role.AUDITOR,
}


class Command(BaseCommand):
    """Starts the whole portal with people, pairs and a simulator."""

    help = "Show the portal on this machine: database, people, simulator, worker and web server. No Datadog needed."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the port, and whether to stay."""
        parser.add_argument("--port", type=int, default=8000, help="where the pages are served (default 8000)")
        parser.add_argument("--once", action="store_true", help="read every organization once, print them, and end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Set up, then print once or serve until Ctrl-C."""
        here = demo_environment.surroundings
        if here is None:
            raise CommandError("Run it as: manage.py demo")
        with ExitStack() as ending:
            ending.callback(here.end)
            # What is set up is recorded as well; its heads belong into a file, as those of the children do.
            log = ending.enter_context((here.folder / "demo.log").open("a"))
            ending.enter_context(heads_to(log))
            password = _set_up(here)
            if options["once"]:
                _read_all()
                self._print_table()
            else:
                self._serve(here, options["port"], password)

    def _print_table(self) -> None:
        now = timezone.now()
        console(self.stdout).print(table(overview.overview(now=now), pulse.state(now=now)))

    def _serve(self, here: demo_environment.Surroundings, port: int, password: str) -> None:
        folder, stop = here.folder, Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        web = [sys.executable, "-m", "gunicorn", "hamr_portal.wsgi", "--preload", "--no-control-socket"]
        web += ["--worker-class", "gthread", "--threads", "8", "--graceful-timeout", "30"]
        web += ["--bind", f"127.0.0.1:{port}"]
        worker = [sys.executable, "manage.py", "run_worker"]
        stage = [sys.executable, "manage.py", "run_drills"]
        with ExitStack() as ending:
            children = {
                "worker": ending.enter_context(_Child(worker, folder / "worker.log")),
                "stage of drills": ending.enter_context(_Child(stage, folder / "drills.log")),
                "web server": ending.enter_context(_Child(web, folder / "web.log")),
            }
            _wait_until_open(port, stop)
            self._greet(here, port, password)
            while not stop.wait(1):
                for name, child in children.items():
                    if child.ended:
                        raise CommandError(f"The {name} ended. Its last words are in {child.log}.")

    def _greet(self, here: demo_environment.Surroundings, port: int, password: str) -> None:
        width = max(map(len, PEOPLE))
        lines = [f"  {email:<{width}}  {role.word}" for email, role in PEOPLE.items()]
        self.stdout.write(
            f"\nHAMR Portal, demo: http://127.0.0.1:{port}/\n\n"
            f"Sign in as one of these, with the password  {password}\n" + "\n".join(lines) + "\n\n"
            "A company's pairs are simulated, and things happen to them over the next minutes.\n"
            f"In another terminal: ENV_FILE={here.folder}/env {sys.executable} manage.py status\n"
            f"What reached the simulator: {here.control}/requests\n"
            "Ctrl-C ends it.\n"
        )
        self.stdout.flush()


class _Child:
    """A process of the demo, whose output goes to a file and which ends with the demo."""

    def __init__(self, command: list[str], log: Path) -> None:
        self.command, self.log = command, log

    def __enter__(self) -> _Child:
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(  # noqa: S603
                self.command, cwd=demo_environment.BASE_DIR, stdout=output, stderr=output, start_new_session=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def ended(self) -> bool:
        """Tell whether it is gone."""
        return self.process.poll() is not None


def _set_up(here: demo_environment.Surroundings) -> str:
    """Fill an empty installation the way an admin would, let the scene begin, and give the password of its people."""
    call_command("migrate", verbosity=0)
    keys.init_ring()
    by = shell_actor()
    password = secrets.token_urlsafe(9)
    for email, role in PEOPLE.items():
        people.add_person(email, role, password, by=by)
    imports.import_all(imports.parse(here.organizations.read_text()), by=by)
    _read_all()
    for pair in Pair.objects.all():
        pairs.rename(pair, pair.name.removeprefix("halden-").capitalize(), by=by)
    request = urllib.request.Request(f"{here.control}/begin", data=b"{}", method="POST")  # noqa: S310 - loopback
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
    return password


def _read_all() -> None:
    for organization in Organization.objects.enabled():
        connections.read_anew(organization.pk)
    workers.run(Event(), once=True)


def _wait_until_open(port: int, stop: Event) -> None:
    deadline = time.monotonic() + 30
    while not stop.wait(0.1):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise CommandError(
                "The web server did not open its port. Its last words are in web.log beside the database."
            )
