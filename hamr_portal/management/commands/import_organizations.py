"""`import_organizations`: save organizations from JSON."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.management.shell import InstalledCommand, console, shell_actor
from hamr_portal.services import imports


class Command(InstalledCommand):
    """Creates or updates organizations from a list in JSON."""

    help = 'Create or update organizations from JSON: [{"name", "site", "api_key", "application_key"}, …].'

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the file."""
        parser.add_argument("file", help="a path, or - for standard input")

    def handle(self, *args: Any, **options: Any) -> None:
        """Parse all before anything is saved, then print a row each, never a key."""
        try:
            results = imports.import_all(imports.parse(_text_of(options["file"])), by=shell_actor())
        except imports.InvalidFile as error:
            raise CommandError(f"Nothing was saved.\n{error}") from None
        except KeyRingUnusable as error:
            raise CommandError(f"Nothing was saved. {error}") from None
        out = console(self.stdout)
        for row in results:
            out.print(f"{row.result:<10} {row.site:<8} {row.name}  {row.detail}", markup=False, highlight=False)
        refused = [row for row in results if row.result == "not saved"]
        if refused:
            raise CommandError(f"{len(refused)} of {len(results)} were not saved; the rows above say why.")


def _text_of(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name} cannot be read: {error}") from None
