"""What do commands share? A complete installation, who is at the shell, and a console that writes where they write."""

from __future__ import annotations

import getpass
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from hamr_portal.domain.audit import Actor
from hamr_portal.services import audit
from hamr_portal.services.audit import CannotSign


class InstalledCommand(BaseCommand):
    """A command that needs the database as this version has it, and says so where it is not."""

    requires_system_checks = ["installation"]

    serves = False
    """Whether its standard output is for whoever collects the heads of the audit log, and not for what it prints."""

    def execute(self, *args: Any, **options: Any) -> Any:
        """Run; what cannot be put on the record is not done, and said."""
        try:
            with nullcontext() if self.serves else heads_to(sys.stderr):
                return super().execute(*args, **options)
        except CannotSign as error:
            raise CommandError(f"Nothing was done, for it cannot be put on the record. {error}") from None

    def get_check_kwargs(self, options: dict[str, Any]) -> Any:
        """Include what `check` runs with --deploy only."""
        arguments: Any = super().get_check_kwargs(options)
        return {**arguments, "include_deployment_checks": True}


@contextmanager
def heads_to(stream: TextIO) -> Iterator[None]:
    """Write the heads of the audit log there for a while, so that they are not in what a command prints."""
    streams = [each for each in audit.heads.handlers if type(each) is logging.StreamHandler]
    before = [each.setStream(stream) for each in streams]
    try:
        yield
    finally:
        for handler, old in zip(streams, before, strict=True):
            if old is not None:  # it wrote there already
                handler.setStream(old)


def shell_actor() -> Actor:
    """Give the machine's user as an actor."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = f"uid {os.getuid()}"
    return Actor(kind="command", name=f"{name}@{socket.gethostname()}")


def console(stdout: Any) -> Console:
    """Give a console on a command's output; a pipe gets wide plain text."""
    piped = not stdout.isatty()
    return Console(file=stdout, width=160 if piped else None, no_color=piped or None, soft_wrap=True)


def password_for(email: str) -> str:
    """Take a password from PORTAL_PASSWORD or a prompt."""
    password = os.environ.get("PORTAL_PASSWORD")
    if password:
        return password
    if not sys.stdin.isatty():
        raise CommandError("There is no terminal to ask for the password. Put it into PORTAL_PASSWORD.")
    return getpass.getpass(f"Password for {email}: ")
