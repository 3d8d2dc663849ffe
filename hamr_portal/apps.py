"""The one Django app: the project package itself."""

from django.apps import AppConfig


class HamrPortalConfig(AppConfig):
    """Registers the models and the system checks."""

    name = "hamr_portal"
    verbose_name = "HAMR Portal"

    def ready(self) -> None:
        """Make Django know the checks."""
        from hamr_portal import checks  # noqa: F401
