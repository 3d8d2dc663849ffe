"""`set_role`: give somebody another role from the shell, as when nobody is left who could on the People page."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from hamr_portal.domain.people import Role
from hamr_portal.management.shell import InstalledCommand, shell_actor
from hamr_portal.services.people import AlreadyMoved, LastAdmin, NobodyThere, change_role, person_of


class Command(InstalledCommand):
    """Changes a person's role."""

    help = "Give somebody another role. It is on the record, and all admins are told."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the address and the role."""
        parser.add_argument("email")
        parser.add_argument("role", choices=[role.word for role in Role])

    def handle(self, *args: Any, **options: Any) -> None:
        """Change it, or say why not."""
        role = Role(options["role"].upper())
        try:
            person = person_of(options["email"])
            before = person.held_role
            change_role(person, role, was=before, by=shell_actor())
        except NobodyThere as error:
            raise CommandError(str(error)) from None
        except (LastAdmin, AlreadyMoved) as error:
            raise CommandError(f"Not changed. {error}") from None
        was = f", was {before.word}" if before else ""
        disabled = "" if person.is_active else " They are disabled: an admin enables them on the People page."
        self.stdout.write(f"{person.email} is {role.word} now{was}.{disabled}")
