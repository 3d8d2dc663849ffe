"""`verify_audit_log`: is the audit log whole? Exit 0 and the count, or 1 and the first bad entry."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.chain import Checkpoint, Walked, checkpoint_in
from hamr_portal.management.shell import InstalledCommand, shell_actor
from hamr_portal.services import integrity, keys
from hamr_portal.services.integrity import Trouble

NOT_WHOLE = 1
CANNOT_BE_VERIFIED = 2


class Command(InstalledCommand):
    """Verifies each entry: its number, its hash, and that it follows on the one before."""

    help = (
        "Verify the audit log. Exit 0 when it is whole, with the count; 1 when it is not, with the first bad entry and "
        "what is wrong with it; 2 when it cannot be verified."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to hold it against, and where to begin."""
        parser.add_argument(
            "--checkpoint",
            type=Path,
            metavar="FILE",
            help="lines of checkpoint_audit_log (or an ANCHOR_FILE), kept elsewhere: without them nobody can tell "
            "whether the end was cut off",
        )
        parser.add_argument(
            "--from-last", action="store_true", help="begin at the last checkpoint of FILE, not at entry 1"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Verify, say what came of it, and tell by the exit code."""
        if options["from_last"] and options["checkpoint"] is None:
            raise CommandError(
                "--from-last begins at a checkpoint. Add --checkpoint FILE.", returncode=CANNOT_BE_VERIFIED
            )
        by = shell_actor()
        try:
            if options["checkpoint"] is not None:
                checkpoints = _checkpoints_in(options["checkpoint"])
                came = integrity.verify_against(checkpoints, by=by, from_last=options["from_last"])
            else:
                came = integrity.verify_and_keep(by=by, whole=True)
        except (KeyRingUnusable, OSError) as error:
            raise CommandError(f"It cannot be verified. {error}", returncode=CANNOT_BE_VERIFIED) from None
        self._say(came)

    def _say(self, came: Walked) -> None:
        found = integrity.trouble()
        if came.broken is not None:
            self.stdout.write(f"Entry {came.broken.seq}: {came.broken.what}.")
            self.stdout.write(f"{came.entries:,} entries before it are whole.")
        else:
            self.stdout.write(
                f"{came.entries:,} entries are whole, up to entry {came.head.seq}, hash {came.head.hash}."
            )
        # What is broken was just told; what else is wrong was not.
        if found is not None and found.trouble is not Trouble.BROKEN:
            self.stdout.write(f"In doubt: {found.detail}.")
        if found is not None:
            self.stdout.write("No change is sent until an admin adopts it on /audit/, with a reason.")
        if came.broken is not None or found is not None:
            sys.exit(NOT_WHOLE)


def _checkpoints_in(path: Path) -> list[Checkpoint]:
    """Give the checkpoints of a file, each of which is genuine. Raises `KeyRingUnusable`."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}.", returncode=CANNOT_BE_VERIFIED) from None
    found = [each for each in map(checkpoint_in, lines) if each is not None]
    if not found:
        raise CommandError(f"{path} holds no line of checkpoint_audit_log.", returncode=CANNOT_BE_VERIFIED)
    ring = keys.AuditKeys()
    for each in found:
        if not each.is_genuine(ring):
            text = f"{path}: the checkpoint of entry {each.seq} was not signed with a key of this installation."
            raise CommandError(text, returncode=CANNOT_BE_VERIFIED)
    return found
