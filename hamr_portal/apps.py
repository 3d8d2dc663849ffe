"""The one Django app: the project package itself."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate


class HamrPortalConfig(AppConfig):
    """Registers the models and the system checks."""

    name = "hamr_portal"
    verbose_name = "HAMR Portal"

    def ready(self) -> None:
        """Make Django know the checks, and put the guards back after each migration: SQLite drops them with a table."""
        from hamr_portal import checks, security_checks  # noqa: F401

        pre_migrate.connect(_note_what_is_dropped, sender=self, dispatch_uid="audit guards before")
        post_migrate.connect(_guard, sender=self, dispatch_uid="audit guards")


_dropped: list[str] = []
"""Guards that somebody had taken away before this migration; SQLite itself drops them only during one."""


def _note_what_is_dropped(sender: AppConfig, using: str, **_: Any) -> None:
    from hamr_portal.models import guards

    _dropped[:] = guards.dropped(connections[using]) if guards.can_stand(connections[using]) else []


def _guard(sender: AppConfig, using: str, **_: Any) -> None:
    from hamr_portal.models import guards
    from hamr_portal.services import integrity

    if not guards.can_stand(connections[using]):
        return
    guards.install(connections[using])
    if _dropped:
        # They are back, and that they were away stays known until an admin has answered for it.
        integrity.guards_were_away(_dropped)
        _dropped.clear()
