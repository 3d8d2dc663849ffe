"""`add_person`: let somebody in."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.core.validators import validate_email

from hamr_portal.domain.people import Role
from hamr_portal.management.shell import InstalledCommand, password_for, shell_actor
from hamr_portal.services.people import PersonExists, add_person


class Command(InstalledCommand):
    """Adds a person with a role."""

    help = "Add a person. The password comes from PORTAL_PASSWORD or a prompt."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address and the role."""
        parser.add_argument("email")
        parser.add_argument("--role", required=True, choices=[role.word for role in Role])

    def handle(self, *args: Any, **options: Any) -> None:
        """Add, or say why not."""
        try:
            validate_email(options["email"])
        except ValidationError:
            raise CommandError(f"{options['email']!r} is no e-mail address.") from None
        password = password_for(options["email"])
        try:
            person = add_person(options["email"], Role(options["role"].upper()), password, by=shell_actor())
        except PersonExists as error:
            raise CommandError(str(error)) from None
        except ValidationError as error:
            raise CommandError("Not added. " + " ".join(error.messages)) from None
        self.stdout.write(f"Added {person.email} as {options['role']}.")
