"""`run_simulator`: the stand-in for the HAMR API, by itself."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hamr_portal.simulator import serve


class Command(BaseCommand):
    """Runs the simulator until it is told to stop."""

    help = "Run a stand-in for the HAMR API on loopback ports. It prints HAMR_SITES, and organizations to import."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what it should play."""
        parser.add_argument("--port", type=int, default=0, help="the first of its ports; 0: free ones")
        parser.add_argument("--spelling", choices=["snake_case", "PascalCase"], help="of all answers; none: mixed")
        parser.add_argument("--faults", default="", help="NAME[:VERB]:FAULT, comma-separated")
        parser.add_argument("--organizations", type=Path, help="write the organizations to import to this file")
        parser.add_argument("--begin", action="store_true", help="let the scene's events happen")

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve, or say which word is wrong."""
        try:
            serve(
                port=options["port"],
                spelling=options["spelling"],
                faults=options["faults"],
                organizations=options["organizations"],
                begin=options["begin"],
                write=lambda text: (self.stdout.write(text, ending=""), self.stdout.flush()),
            )
        except (ValueError, OSError) as error:
            raise CommandError(str(error)) from None
