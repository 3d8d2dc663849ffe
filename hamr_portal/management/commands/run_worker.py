"""`run_worker`: read every organization, again and again, and find out what became of what was sent."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from threading import Event
from typing import Any

from django.core.management.base import CommandError

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.management.shell import InstalledCommand
from hamr_portal.services import keys, workers


class Command(InstalledCommand):
    """Reads and reconciles what is due until it is told to stop. Any number of workers may run."""

    help = (
        "Read every organization each interval, and changes whose outcome is not settled until it is. "
        "SIGTERM ends it after the reads under way."
    )

    serves = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how long to go on."""
        parser.add_argument("--once", action="store_true", help="read what is due, then end")

    def handle(self, *args: Any, **options: Any) -> None:
        """Work until a signal comes."""
        try:
            keys.ring()
        except KeyRingUnusable as error:
            raise CommandError(f"Nothing can be read. {error}") from None
        stop = Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        workers.run(stop, once=options["once"])
