"""`init_key_ring`: make the ring under which credentials are sealed."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hamr_portal.crypto import RingExists
from hamr_portal.services import keys


class Command(BaseCommand):
    """Makes the installation's key ring."""

    help = "Make the key ring under which credentials are sealed (KEY_RING_FILE)."

    def handle(self, *args: Any, **options: Any) -> None:
        """Make it, once."""
        try:
            path = keys.init_ring()
        except RingExists as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"The key ring cannot be written: {error}. Look at KEY_RING_FILE.") from None
        self.stdout.write(f"Made {path}. Keep a copy elsewhere: without it the saved keys cannot be opened.")
