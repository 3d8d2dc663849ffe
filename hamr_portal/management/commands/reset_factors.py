"""`reset_factors`: take somebody's second factors away from the shell, as when the only admin lost theirs."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from hamr_portal.management.shell import InstalledCommand, shell_actor
from hamr_portal.services.people import AlreadyMoved, NobodyThere, person_of, reset_factors


class Command(InstalledCommand):
    """Removes a person's second factors."""

    help = "Take somebody's second factors away, who lost them. It is on the record, and all admins are told."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address."""
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        """Remove them, or say why not."""
        try:
            person = reset_factors(person_of(options["email"]), by=shell_actor())
        except NobodyThere as error:
            raise CommandError(str(error)) from None
        except AlreadyMoved as error:
            raise CommandError(f"Not changed. {error}") from None
        self.stdout.write(f"{person.email} signs in with the password alone now. Next: they add a second factor.")
