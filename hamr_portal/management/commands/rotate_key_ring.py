"""`rotate_key_ring`: put a new key into the ring, and seal everything under it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.management.shell import InstalledCommand, shell_actor
from hamr_portal.services import rotation
from hamr_portal.services.rotation import RotationUnderWay, StillNeeded


class Command(InstalledCommand):
    """Rotates, or does one of the steps that several machines need."""

    help = (
        "Put a new key into the key ring (KEY_RING_FILE), make it the primary, and seal everything under it. After an "
        "interruption, run it again: it goes on where it stopped. Exit 1 where something cannot be opened."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take which step, where it is not all of them."""
        step = parser.add_mutually_exclusive_group()
        step.add_argument(
            "--add",
            action="store_true",
            help="only add the key, so that it opens: for several machines, each with its own copy of the ring. Copy "
            "the ring to all of them, then run this without --add, and copy it once more",
        )
        step.add_argument(
            "--drop",
            action="store_true",
            help="drop the old keys, under which nothing is sealed any more. Backups of the database from before need "
            "a copy of the ring from before",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, and tell what came of it."""
        try:
            if options["add"]:
                self.stdout.write(f"Key {rotation.add_key()} is in the ring, and waits.")
            elif options["drop"]:
                self._drop()
            else:
                self._rotate()
        except (KeyRingUnusable, RotationUnderWay, StillNeeded) as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"The key ring cannot be replaced: {error.strerror}. Look at KEY_RING_FILE.") from None

    def _drop(self) -> None:
        dropped = rotation.drop_old_keys(by=shell_actor())
        self.stdout.write(f"Dropped: {', '.join(dropped)}." if dropped else "There is no old key in the ring.")

    def _rotate(self) -> None:
        came = rotation.rotate(by=shell_actor())
        self.stdout.write(f"Key {came.key} is the primary. Sealed under it: {came.done} of {came.rows}.")
        self.stdout.write("Keep a copy of the ring elsewhere: without it the saved keys cannot be opened.")
        for label, why in came.unreadable.items():
            self.stderr.write(f"Left as it is: {label}: {why}.")
        if came.unreadable:
            sys.exit(1)
