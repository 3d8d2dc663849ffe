"""`export_audit_log`: give the record, or a time of it, to whoever verifies it."""

from __future__ import annotations

import io
import os
import sys
from argparse import ArgumentParser
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from hamr_portal.management.shell import InstalledCommand, shell_actor
from hamr_portal.services import exports
from hamr_portal.services.audit import CannotSign
from hamr_portal.services.log import Filters


class Command(InstalledCommand):
    """Writes entries to standard output, and nothing else there."""

    help = (
        "Write the audit log, oldest first, to standard output: JSON Lines, which domain/chain.py verifies, or CSV. "
        "The export itself goes on the record before the first line."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the format and the time."""
        parser.add_argument("--format", required=True, choices=[each.value for each in exports.Format])
        parser.add_argument("--since", metavar="TIME", help="from then on: 2026-03-15, or 2026-03-15T03:06:32Z (UTC)")
        parser.add_argument("--until", metavar="TIME", help="up to then; a day is included as a whole")

    def handle(self, *args: Any, **options: Any) -> None:
        """Write until all is there, or nobody reads on."""
        filters = Filters(since=_time("--since", options["since"]), until=_time("--until", options["until"]))
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # whatever the terminal's language: hashes are of these bytes
        try:
            for line in exports.lines(filters, format=options["format"], by=shell_actor()):
                self.stdout.write(line, ending="")
            self.stdout.flush()
        except BrokenPipeError:
            _let_go()
        except CannotSign:
            raise
        except DatabaseError as error:
            raise CommandError(f"Not exported as a whole: the database failed ({type(error).__name__}).") from None


def _time(option: str, text: str | None) -> date | None:
    """Read a day, or a moment in UTC or with its offset."""
    if text is None:
        return None
    try:
        if len(text) == len("2026-03-15"):
            day = date.fromisoformat(text)
        else:
            at = datetime.fromisoformat(text)
            day = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).astimezone(UTC)
        _ = day + timedelta(days=1)  # the last of all days has no end
    except (ValueError, OverflowError):
        raise CommandError(f"{option} {text!r} is no time. Write 2026-03-15, or 2026-03-15T03:06:32Z.") from None
    return day


def _let_go() -> None:
    """Let what is left unwritten go nowhere: at its end Python would complain that nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
