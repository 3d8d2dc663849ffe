"""`draw_roles`: draw who may do what into the docs."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from hamr_portal.management.role_drawing import drawing


class Command(BaseCommand):
    """Writes docs/roles.md from the table of the domain and the routes, or says whether it is what they say."""

    help = "Draw who may do what into docs/roles.md. With --check nothing is written; exit 1 where it differs."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take whether to write."""
        parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where it differs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write, or compare."""
        path: Path = settings.BASE_DIR / "docs" / "roles.md"
        now = drawing()
        if not options["check"]:
            path.write_text(now, encoding="utf-8")
            self.stdout.write(f"Drew {path}.")
        elif not path.exists() or path.read_text(encoding="utf-8") != now:
            raise CommandError(f"{path} is not what the table says. Run: manage.py draw_roles")
        else:
            self.stdout.write(f"{path} is up to date.")
