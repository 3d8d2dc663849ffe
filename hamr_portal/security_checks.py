"""Which settings would let somebody in, or let something out? Each way has an id, and a hint that says what to do.

Those that need an installation that others reach are errors there, and nothing on a developer's machine.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import Error as DatabaseError
from django.db import connection

from hamr_portal.domain.organizations import is_loopback

SHORTEST_KEY, FEWEST_CHARACTERS = 50, 8
"""What a SECRET_KEY has at least: characters, and different ones among them."""

LONGEST_STEP_UP = 900
LONGEST_IDLE, LONGEST_SESSION = 3_600, 86_400
"""Seconds beyond which a browser that was left open is a door that was left open."""

ARGON2 = "django.contrib.auth.hashers.Argon2PasswordHasher"

NEEDED_MIDDLEWARE = (
    "hamr_portal.web.middleware.RequestIdMiddleware",
    "csp.middleware.CSPMiddleware",
    "hamr_portal.web.middleware.HeadersMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "hamr_portal.web.middleware.BodyLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "hamr_portal.web.sessions.SessionLimitsMiddleware",
    "hamr_portal.web.access.AccessMiddleware",
)
"""What every request passes, from the outside in."""

_STRICT = {
    "default-src": {NONE},
    "base-uri": {NONE},
    "frame-ancestors": {NONE},
    "script-src": {SELF},
    "style-src": {SELF},
}

_FULL = 2


def _is_reached_by_others() -> bool:
    return any(not is_loopback(host) for host in settings.ALLOWED_HOSTS)


@register(Tags.security)
def the_keys_are_keys(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse a SECRET_KEY that can be guessed, where others reach the portal: sessions are signed with it."""
    key = settings.SECRET_KEY
    is_weak = len(key) < SHORTEST_KEY or len(set(key)) < FEWEST_CHARACTERS or key.startswith("django-insecure-")
    if not is_weak or not _is_reached_by_others():
        return []
    hint = "Set it to 50 random characters or more: python -c 'import secrets; print(secrets.token_urlsafe(50))'"
    return [Error("SECRET_KEY is short, or an example.", hint=hint, id="portal.E010")]


@register(Tags.security)
def others_reach_it_by_tls_and_see_no_errors(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse what is for a developer's machine where others reach the portal; settings refuse it too."""
    found: list[CheckMessage] = []
    if any("*" in host or host.startswith(".") for host in settings.ALLOWED_HOSTS):
        found.append(
            Error("ALLOWED_HOSTS holds a wildcard.", hint="Name each host that people type.", id="portal.E012")
        )
    if _is_reached_by_others() and settings.DEBUG:
        found.append(Error("DEBUG is on, and others reach the portal.", hint="Set DEBUG=false.", id="portal.E011"))
    cookies = (settings.SESSION_COOKIE_SECURE, settings.CSRF_COOKIE_SECURE, settings.SECURE_SSL_REDIRECT)
    if _is_reached_by_others() and not (all(cookies) and settings.SECURE_HSTS_SECONDS):
        hint = "Set HTTPS=true, and put a proxy in front that ends TLS."
        found.append(Error("HTTPS is off, and others reach the portal.", hint=hint, id="portal.E013"))
    return found


@register(Tags.security)
def forms_come_by_tls(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse origins of forms that anybody in between can pretend to be."""
    weak = [
        origin
        for origin in settings.CSRF_TRUSTED_ORIGINS
        if "*" in origin or (urlsplit(origin).scheme != "https" and not is_loopback(urlsplit(origin).hostname or ""))
    ]
    if not weak:
        return []
    hint = "Write each as https://host, without a wildcard; leave it empty where no proxy changes the host."
    return [Error(f"CSRF_TRUSTED_ORIGINS holds {', '.join(weak)}.", hint=hint, id="portal.E016")]


@register(Tags.security)
def nothing_secret_is_served(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse a key ring, a database or a record in a folder that is served to browsers."""
    folders: list[Any] = [*settings.STATICFILES_DIRS, settings.STATIC_ROOT]
    served = [Path(folder).resolve() for folder in folders if folder]
    database = str(settings.DATABASES["default"].get("NAME", ""))
    kept: dict[str, Path | str] = {
        "KEY_RING_FILE": settings.KEY_RING_FILE,
        "SPOOL_FILE": settings.SPOOL_FILE,
        "ANCHOR_FILE": settings.ANCHOR_FILE,
        "DATABASE_URL": database if database.startswith("/") else "",
    }
    return [
        Error(f"{name} lies in a folder that is served: {path}.", hint="Put it elsewhere.", id="portal.E014")
        for name, path in kept.items()
        if path and any(Path(path).resolve().is_relative_to(folder) for folder in served)
    ]


@register(Tags.security)
def passwords_are_hashed_slowly(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse a fast hash of passwords where others reach the portal."""
    if list(settings.PASSWORD_HASHERS)[:1] == [ARGON2] or not _is_reached_by_others():
        return []
    hint = f"Put {ARGON2} first in PASSWORD_HASHERS."
    return [Error("New passwords are not hashed with Argon2.", hint=hint, id="portal.E021")]


@register(Tags.security)
def browsers_are_told_to_be_strict(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse a content policy that lets anything in but the portal's own files."""
    directives = settings.CONTENT_SECURITY_POLICY.get("DIRECTIVES", {})
    loose = [name for name, allowed in _STRICT.items() if set(directives.get(name) or ()) != allowed]
    if not loose:
        return []
    hint = "Put back what hamr_portal/settings.py has. Scripts and styles are files of the portal, never inline."
    return [Error(f"The content policy is loose: {', '.join(loose)}.", hint=hint, id="portal.E022")]


@register(Tags.security)
def every_request_passes_every_guard(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse a list of middleware in which a guard is missing, or stands behind what it guards."""
    there = [name for name in settings.MIDDLEWARE if name in NEEDED_MIDDLEWARE]
    if there == list(NEEDED_MIDDLEWARE):
        return []
    missing = [name for name in NEEDED_MIDDLEWARE if name not in there]
    what = f"lacks {', '.join(missing)}" if missing else "has another order"
    return [Error(f"MIDDLEWARE {what}.", hint="Put back what hamr_portal/settings.py has.", id="portal.E023")]


@register(Tags.security)
def sessions_hold_no_code(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse sessions that are unpickled, or that live in the browser, where nobody can end them."""
    is_json = settings.SESSION_SERIALIZER == "django.contrib.sessions.serializers.JSONSerializer"
    if is_json and settings.SESSION_ENGINE == "django.contrib.sessions.backends.db":
        return []
    hint = "Leave SESSION_ENGINE and SESSION_SERIALIZER as Django has them."
    return [Error("Sessions are not rows of JSON.", hint=hint, id="portal.E025")]


@register(Tags.security)
def there_is_no_second_door(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse Django's admin site: it knows no roles of ours, and writes without an entry on the record."""
    if "django.contrib.admin" not in settings.INSTALLED_APPS:
        return []
    return [Error("Django's admin site is installed.", hint="Take it out of INSTALLED_APPS.", id="portal.E026")]


@register(Tags.security, deploy=True)
def doors_close_by_themselves(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Point out sign-ins that last longer than anybody watches a browser."""
    found: list[CheckMessage] = []
    if settings.STEP_UP_SECONDS > LONGEST_STEP_UP:
        hint = f"Set STEP_UP_SECONDS to {LONGEST_STEP_UP} or less."
        found.append(Warning("A change may be made long after a sign-in.", hint=hint, id="portal.W017"))
    idle, absolute = settings.SESSION_IDLE_SECONDS, settings.SESSION_ABSOLUTE_SECONDS
    if idle > LONGEST_IDLE or absolute > LONGEST_SESSION or idle > absolute:
        hint = f"At most: SESSION_IDLE_SECONDS={LONGEST_IDLE}, SESSION_ABSOLUTE_SECONDS={LONGEST_SESSION}."
        found.append(Warning("Sessions last too long.", hint=hint, id="portal.W018"))
    return found


@register("installation", deploy=True)
def what_is_kept_beside_the_database_can_be(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Point out folders that cannot be written, or that others may write."""
    return [*_unwritable(), *_open_to_others()]


def _unwritable() -> Iterator[CheckMessage]:
    for name in ("SPOOL_FILE", "ANCHOR_FILE"):
        place: Path = getattr(settings, name)
        there = place if place.exists() else next(folder for folder in place.parents if folder.exists())
        if not os.access(there, os.W_OK):
            hint = f"Make {there} writable for the portal's user, or set {name} to a place that is."
            yield Warning(f"{name} cannot be written: {place}.", hint=hint, id="portal.W019")


def _open_to_others() -> Iterator[CheckMessage]:
    folder: Path = settings.KEY_RING_FILE.resolve().parent
    mode = folder.stat().st_mode if folder.exists() else 0
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        hint = f"Run: chmod go-w {folder}"
        yield Warning(f"Others may replace the key ring: they may write {folder}.", hint=hint, id="portal.W027")


@register("installation", deploy=True)
def what_is_committed_stays(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse a SQLite that says "committed" before a row is on the disk: a power cut would take the intent along."""
    if connection.vendor != "sqlite":
        return []
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous")
            (level,) = cursor.fetchone()
    except DatabaseError:
        return []  # that it is away is told by another check
    if level >= _FULL:
        return []
    hint = "Leave init_command of DATABASES as hamr_portal/settings.py has it: PRAGMA synchronous=FULL."
    return [Error("SQLite does not wait for the disk.", hint=hint, id="portal.E015")]
