"""`createsuperuser`: Django's command, which has nothing to make here."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Refuses: a superuser would be a role that is in no table."""

    help = "There are no superusers: use add_person."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what Django's takes, to refuse it with the right sentence."""
        parser.add_argument("--noinput", "--no-input", action="store_true")
        for name in ("--email", "--username", "--database"):
            parser.add_argument(name)

    def handle(self, *args: Any, **options: Any) -> None:
        """Refuse, and say what to use."""
        raise CommandError("There are no superusers. Use: manage.py add_person EMAIL --role admin")
