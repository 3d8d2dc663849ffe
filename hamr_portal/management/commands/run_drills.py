"""`run_drills`: the stage on which drills are played, beside the worker."""

from __future__ import annotations

import logging
import signal
from argparse import ArgumentParser
from threading import Event
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from django.db import close_old_connections

from hamr_portal.crypto import KeyRingUnusable, SealBroken
from hamr_portal.management.drill_stage import Stage
from hamr_portal.management.shell import InstalledCommand, shell_actor
from hamr_portal.simulator import Simulator

LOOK_EVERY = 1.0
"""Seconds between two looks at what is to be staged."""

logger = logging.getLogger(__name__)


class Command(InstalledCommand):
    """Plays the drill that is under way until it is told to stop."""

    help = (
        "Be the stage of drills: a stand-in for the HAMR API at DRILL_PORT of this machine and at the next port, "
        "which nothing real can reach. Run it beside the worker; SIGTERM ends it."
    )

    serves = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how long to go on."""
        parser.add_argument("--once", action="store_true", help="look once at what is to be staged, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Play until a signal comes."""
        port: int | None = settings.DRILL_PORT
        if port is None:
            raise CommandError("DRILL_PORT is not set. Set it to a free port for web, worker and this, then try again.")
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            simulator = Simulator(list(settings.DRILL_SITES), port=port)
        except OSError as error:
            ports = f"Ports {port} and {port + 1}"
            raise CommandError(f"{ports} cannot be opened: {error.strerror}. Choose another DRILL_PORT.") from None
        with simulator:
            stage = Stage(simulator, by=shell_actor())
            _look(stage)
            while not options["once"] and not stop.wait(LOOK_EVERY):
                _look(stage)


def _look(stage: Stage) -> None:
    """Look once; without a database or a key ring the stage stays as it is."""
    close_old_connections()
    try:
        stage.look()
    except (DatabaseError, KeyRingUnusable, SealBroken) as error:
        logger.warning("what is to be staged is not known: %s", type(error).__name__)
