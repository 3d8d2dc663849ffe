"""Settings of the test run: the product's own, with an environment that no machine can disturb."""

import os

from hamr_portal.management.demo_environment import _INSTALLATION

# Which database to test on is the one thing that may be asked for.
for _name in {*_INSTALLATION} - {"DATABASE_URL"}:
    os.environ.pop(_name, None)
os.environ.update(
    ENV_FILE="",
    SECRET_KEY="tests-only-" + "x" * 50,
    HTTPS="false",
    ENVIRONMENT_NAME="tests",
    HAMR_SITES="",
)
os.environ.setdefault("DATABASE_URL", "sqlite://:memory:")

from hamr_portal.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Cheap; tests/web/test_rate_limits.py counts in the database.
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
