#!/usr/bin/env python3
"""The portal's command line: `manage.py help` lists what it can do."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError


def main() -> None:
    """Run one command; a wrong setting ends it with one sentence instead of a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hamr_portal.settings")
    try:
        if sys.argv[1:2] == ["demo"]:
            # The demo makes its own settings, so they must be there before Django reads any.
            from hamr_portal.management.demo_environment import enter

            enter()
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"The portal's settings are wrong: {error}")
    except OperationalError as error:
        sys.exit(f"The database does not answer as it should: {error}\nLook at DATABASE_URL, and whether it runs.")


if __name__ == "__main__":
    main()
