"""`changepassword`: give somebody another password, on the record. It takes the place of Django's."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError

from hamr_portal.management.shell import InstalledCommand, password_for, shell_actor
from hamr_portal.services.people import NobodyThere, set_password


class Command(InstalledCommand):
    """Sets a person's password."""

    help = "Give somebody another password, from PORTAL_PASSWORD or a prompt."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address."""
        parser.add_argument("email")

    def handle(self, *args: Any, **options: Any) -> None:
        """Set it, or say why not."""
        try:
            person = set_password(options["email"], password_for(options["email"]), by=shell_actor())
        except NobodyThere as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError("Not changed. " + " ".join(error.messages)) from None
        self.stdout.write(f"Changed the password of {person.email}. Their sessions have ended.")
