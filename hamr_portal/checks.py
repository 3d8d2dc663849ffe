"""What can be wrong with an installation? Each way has an id, and a hint that says what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, connections
from django.db.migrations.executor import MigrationExecutor
from django.urls import URLPattern, URLResolver, get_resolver

from hamr_portal.crypto import KeyRingUnusable, SealBroken
from hamr_portal.domain.organizations import is_loopback
from hamr_portal.models import Organization
from hamr_portal.services import integrity, keys
from hamr_portal.services.integrity import Trouble
from hamr_portal.web.access import access_of

_APP = "hamr_portal"

LEAST_READS, LEAST_SECONDS = 3, 120
"""So much agreement it takes at least until "not there yet" is "not applied" (reliability table)."""

INSTALLATION = "installation"
"""The tag of what must be right before anything is served or read: `check --deploy --tag installation`."""


@register(Tags.urls)
def every_view_declares_its_access(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Find views that say nothing about who may open them."""
    return [
        Error(
            f"The view of /{route} declares no access.",
            hint="Put @requires(Action.…) or @public on it (hamr_portal.web.access).",
            id="portal.E001",
        )
        for route, view in views(get_resolver().url_patterns)
        if access_of(view) is None
    ]


@register(Tags.security)
def sites_stay_secret(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Point out sites whose keys travel without TLS; they are loopback, or settings would have refused."""
    plain = [site.name for site in settings.HAMR_SITES.values() if site.base_url.startswith("http:")]
    public = [host for host in settings.ALLOWED_HOSTS if not is_loopback(host)]
    if plain and public:
        hint = "That is for a simulator. Take them out of HAMR_SITES in production."
        return [Warning(f"Sites without TLS: {', '.join(plain)}.", hint=hint, id="portal.W002")]
    return []


@register(Tags.security, deploy=True)
def outcomes_are_waited_for(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Point out settings that call a request not applied before it is safe to say so."""
    if settings.HAMR_SETTLE_READS >= LEAST_READS and settings.HAMR_SETTLE_SECONDS >= LEAST_SECONDS:
        return []
    hint = f"Set HAMR_SETTLE_READS to {LEAST_READS} or more, and HAMR_SETTLE_SECONDS to {LEAST_SECONDS} or more."
    return [Warning("A request that is late would be called not applied.", hint=hint, id="portal.W008")]


@register(INSTALLATION, deploy=True)
def the_installation_is_complete(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[CheckMessage]:
    """Refuse to start on a schema that is not this version's, and say which keys cannot be opened.

    A deployment check, because `migrate` runs all others, and must not be refused for what it is about to mend.
    """
    try:
        executor = MigrationExecutor(connections["default"])
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (OperationalError, InterfaceError) as error:
        # A warning: the page that says so, and what to do without the portal, must be served meanwhile.
        hint = "Look at DATABASE_URL, and whether the server runs."
        return [Warning(f"The database is away ({type(error).__name__}).", hint=hint, id="portal.W003")]
    except DatabaseError as error:
        hint = "Look at DATABASE_URL."
        return [Error(f"The database does not answer ({type(error).__name__}).", hint=hint, id="portal.E003")]
    if plan:
        hint = "Run: manage.py migrate"
        return [Error(f"The database lacks {len(plan)} migrations.", hint=hint, id="portal.E004")]
    loader = executor.loader
    newer = sorted(name for app, name in set(loader.applied_migrations) - set(loader.disk_migrations) if app == _APP)
    if newer:
        hint = "Run the version that made it, or restore the backup that was made before it."
        return [Error(f"The database is of a newer version ({newer[-1]}).", hint=hint, id="portal.E007")]
    return [*_ring_opens_every_key(), *_record_is_beyond_doubt()]


def _ring_opens_every_key() -> Iterator[CheckMessage]:
    try:
        ring = keys.ring()
    except KeyRingUnusable as error:
        # Warnings, these two: the last known statuses are worth showing, and the other organizations' truth.
        yield Warning(str(error), id="portal.W005")
        return
    for organization in Organization.objects.by_name():
        try:
            keys.open_for(organization, ring)
        except SealBroken as error:
            hint = "Put the right key ring there, or replace this organization's keys."
            yield Warning(f"The keys of {organization.name} cannot be opened: {error}.", hint=hint, id="portal.W006")


def _record_is_beyond_doubt() -> Iterator[CheckMessage]:
    if integrity.standing().seq and not settings.ANCHOR_FILE.exists():
        # No trouble: a second machine, or a new container, has none until its worker has put one there.
        hint = (
            f"Keep {settings.ANCHOR_FILE} where it outlives the database. Was it there yesterday? Then ask who took it."
        )
        yield Warning("This machine has no anchor of the audit log.", hint=hint, id="portal.W020")
    found = integrity.trouble()
    if found is None or found.trouble is Trouble.CANNOT_SIGN:  # that one is told with the ring
        return
    # A warning: statuses are shown meanwhile, and no change is sent.
    hint = "Look into it with manage.py verify_audit_log. Then an admin adopts it on /audit/, with a reason."
    if found.trouble is Trouble.GUARDS_MISSING:
        hint = "Find out who took them away. Run manage.py migrate, which puts them back. " + hint
    yield Warning(f"The audit log is in doubt: {found.detail}.", hint=hint, id="portal.W009")


def views(patterns: Iterable[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give every route with its view."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from views(pattern.url_patterns, route)
        else:
            yield route, pattern.callback
