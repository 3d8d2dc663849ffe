"""`offline_pack`: what to do when the portal itself is away, as one file; for cron, each night."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from tempfile import mkstemp
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseError

from hamr_portal.management.shell import InstalledCommand, shell_actor
from hamr_portal.services import offline_packs
from hamr_portal.services.audit import CannotSign
from hamr_portal.services.offline_packs import Made


class Command(InstalledCommand):
    """Writes the file, and how to check it."""

    help = (
        "Write a page that works without the portal: for each organization and usual step the request for curl, with "
        "keys as $NAMES. It holds no key. Exit code 0: written. 1: not written, and an older file stays as it was."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take where the file goes."""
        parser.add_argument(
            "--out", type=Path, metavar="FILE", help="write it there, whole or not at all; else to standard output"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it, write it, and say how to check it."""
        if options["out"] is None:
            made = _made()
            self.stdout.write(made.content.decode(), ending="")
            self._tell(made, "FILE", self.stderr)
            return
        with _in_place_of(options["out"]) as part:
            made = _made()
            part.write_bytes(made.content)
        self.stdout.write(f"Written: {options['out']}, entry {made.entry.seq} of the audit log.")
        self._tell(made, quote(str(options["out"])), self.stdout)

    def _tell(self, made: Made, name: str, out: Any) -> None:
        if made.pack.without_request:
            out.write(f"No request is prepared for: {', '.join(made.pack.without_request)}. The file says why.")
        out.write(f"SHA-256 of every line above its last one: {made.sha256}")
        out.write(f"Check it with: sed '$d' {name} | shasum -a 256 -c <(echo '{made.sha256}  -')")


def _made() -> Made:
    try:
        return offline_packs.make(by=shell_actor())
    except CannotSign:
        raise
    except DatabaseError as error:
        raise CommandError(f"Not made: the database failed ({type(error).__name__}).") from None


@contextmanager
def _in_place_of(path: Path) -> Iterator[Path]:
    """Give a file beside another, which takes its place when it is complete: nobody ever opens half of one."""
    try:
        handle, name = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
    part = Path(name)
    try:
        yield part
        os.fsync(handle)
        part.chmod(0o644)  # for whoever carries it away: there is no key in it
        part.replace(path)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
    finally:
        os.close(handle)
        part.unlink(missing_ok=True)
