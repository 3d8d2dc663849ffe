"""What does a web server load? The portal, if it is set up right; a wrong set-up ends here, with a sentence."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.core.wsgi import get_wsgi_application
from django.db import connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hamr_portal.settings")


def checked_application() -> WSGIHandler:
    """Give the application after all checks have passed, else end the process."""
    try:
        application = get_wsgi_application()
        call_command("check", stdout=sys.stderr)
        call_command("check", deploy=True, tags=["installation"], stdout=sys.stderr)
    except ImproperlyConfigured as error:
        sys.exit(f"The portal's settings are wrong: {error}")
    except SystemCheckError as error:
        sys.exit(f"The portal does not start.\n{error}")
    connections.close_all()  # With --preload, web processes are forked from here; a connection is not to be shared.
    return application


application = checked_application()
