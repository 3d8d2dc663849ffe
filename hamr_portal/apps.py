"""The one Django app: the project package itself."""

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class HamrPortalConfig(AppConfig):
    """Registers the models and the system checks."""

    name = "hamr_portal"
    verbose_name = "HAMR Portal"

    def ready(self) -> None:
        """Make Django know the checks, and put the guards back after each migration: SQLite drops them with a table."""
        from hamr_portal import checks, security_checks  # noqa: F401

        post_migrate.connect(_guard, sender=self, dispatch_uid="audit guards")


def _guard(sender: AppConfig, using: str, **_: Any) -> None:
    from hamr_portal.models import guards

    if guards.can_stand(connections[using]):
        guards.install(connections[using])
