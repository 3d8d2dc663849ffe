"""`checkpoint_audit_log`: one signed line that says which entry is the last one, to keep away from this machine."""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.management.shell import InstalledCommand, shell_actor
from hamr_portal.services import anchors, audit, exports


class Command(InstalledCommand):
    """Prints the line, and nothing else."""

    help = (
        "Print one signed line: number, hash and time of the last entry of the audit log. Keep these lines on another "
        "machine: with them verify_audit_log, and the stand-alone verifier, find what was rewritten or cut off."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take where the keys for the stand-alone verifier go."""
        parser.add_argument(
            "--keys-to",
            type=Path,
            metavar="FILE",
            help="also write the keys that verify entries there, for the stand-alone verifier; they open no saved key, "
            "but whoever has them can sign entries, so it goes on the record. Mode 0600; a file that exists is kept",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Sign the head as it is now."""
        try:
            if options["keys_to"] is not None:
                _write_keys(options["keys_to"])
            head = audit.head()
            if not head.seq:
                raise CommandError("The audit log is empty, so there is nothing to sign yet.")
            line = anchors.checkpoint(head).line()
        except KeyRingUnusable as error:
            raise CommandError(f"Nothing can be signed. {error}") from None
        self.stdout.write(line)


def _write_keys(path: Path) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CommandError(f"{path} exists, and is kept. Name another file.") from None
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
    try:
        with os.fdopen(handle, "w") as file:
            file.write(json.dumps(exports.verifying_keys(by=shell_actor())) + "\n")
    except (KeyRingUnusable, DatabaseError):
        path.unlink()  # without a record no key leaves
        raise
