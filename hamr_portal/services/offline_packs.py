"""What does somebody need who has to change a status while the portal is away? All of it, as one file without keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from hamr_portal.domain import by_hand
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.chain import Place
from hamr_portal.domain.changes import usual_path
from hamr_portal.domain.connections import Connection, HamrStatus
from hamr_portal.domain.findings import Verdict
from hamr_portal.domain.organizations import Spelling
from hamr_portal.domain.people import Action
from hamr_portal.domain.previews import Check
from hamr_portal.hamr_client import NotCopied, request_body
from hamr_portal.models import AuditEntry, Organization, Person

from . import audit, documents, keys, overview, previews
from .overview import Row, SideRow


@dataclass(frozen=True)
class Step:
    """One usual step, and the command that sends its request."""

    before: HamrStatus
    after: HamrStatus
    command: str


@dataclass(frozen=True)
class Sheet:
    """What a pack says of one organization: how to read it, and the requests, or which check forbids them.

    `url` and `read` are empty where the site is in no list, so that its address is not known.
    """

    row: SideRow
    url: str
    steps: tuple[Step, ...]
    forbidden: Check | None

    @property
    def organization(self) -> Organization:
        """Give the organization as it is saved."""
        return self.row.organization

    @property
    def keys(self) -> str:
        """Give the command that asks for its keys."""
        return by_hand.ask_for_keys(self.organization.name)

    @property
    def read(self) -> str:
        """Give the command that reads it."""
        return by_hand.read(self.organization.name, self.url) if self.url else ""


@dataclass(frozen=True)
class Chapter:
    """A pair, or an organization without another side, with a sheet for each side that is read."""

    row: Row
    sheets: tuple[Sheet, ...]


@dataclass(frozen=True)
class Pack:
    """Everything that is in the file, as it was known at one moment; `head` is the end of the audit log then."""

    at: datetime
    by: Actor
    head: Place
    chapters: tuple[Chapter, ...]
    disabled: tuple[Organization, ...]
    approvers: tuple[str, ...]

    @cached_property
    def sheets(self) -> list[Sheet]:
        """Give the sheets of all chapters."""
        return [sheet for chapter in self.chapters for sheet in chapter.sheets]

    @property
    def without_request(self) -> list[str]:
        """Name the organizations for which there is no request, the disabled ones too."""
        names = [sheet.organization.name for sheet in self.sheets if not sheet.steps]
        return sorted([*names, *(organization.name for organization in self.disabled)])


@dataclass(frozen=True)
class Made:
    """A file that was made, the name to keep it by, and the entry that says so."""

    pack: Pack
    content: bytes
    sha256: str
    entry: AuditEntry

    @property
    def name(self) -> str:
        """Give a name that tells of which portal it is and of when."""
        environment = re.sub(r"[^a-z0-9]+", "-", settings.ENVIRONMENT_NAME.lower()).strip("-")
        return "-".join(filter(None, ("offline-pack", environment, f"{self.pack.at:%Y%m%dT%H%M%SZ}.html")))


@dataclass(frozen=True)
class Last:
    """The entry of the pack that was made last, and the hash that it tells; nothing where it is not as written."""

    entry: AuditEntry
    sha256: str


def make(*, by: Actor) -> Made:
    """Give the pack of this moment, and put on the record that somebody takes it, with its hash.

    It asks nobody: what is in it is what was last read. Raises `CannotSign` where it cannot be recorded.
    """
    pack = _pack(by)
    context = {
        "pack": pack,
        "environment": settings.ENVIRONMENT_NAME,
        "sender": by_hand.ask_for_sender(),
        "proxied": bool(settings.HAMR_PROXY),
    }
    file = documents.document("offline", context)
    told = {
        "sha256": file.sha256,
        "organizations": len(pack.sheets) + len(pack.disabled),
        "without_request": len(pack.without_request),
    }
    with transaction.atomic():
        entry = audit.append(Event.OFFLINE_PACK_MADE, by=by, data=told)
    return Made(pack, file.content, file.sha256, entry)


def last() -> Last | None:
    """Give the pack that was made last, as the record tells of it; None where none was made."""
    newest = AuditEntry.objects.filter(event=Event.OFFLINE_PACK_MADE).order_by("-seq")[:1]
    for entry in audit.loaded(newest):
        genuine = audit.is_genuine(entry, keys.AuditKeys())
        return Last(entry, json.loads(entry.data)["sha256"] if genuine else "")
    return None


def _pack(by: Actor) -> Pack:
    now = timezone.now()
    rows = sorted(overview.overview(now=now).rows, key=lambda row: (row.pair is None, row.name))
    disabled = Organization.objects.real().filter(disabled_at__isnull=False).select_related("pair").by_name()
    approvers = Person.objects.who_may(Action.APPROVE_CHANGES).order_by("email")
    return Pack(
        at=now,
        by=by,
        head=audit.head(),
        chapters=tuple(Chapter(row, tuple(_sheet(side, row) for side in row.sides)) for row in rows),
        disabled=tuple(disabled),
        approvers=tuple(approvers.values_list("email", flat=True)),
    )


def _sheet(side: SideRow, row: Row) -> Sheet:
    url = previews.url_of(side.organization)
    forbidden = by_hand.forbids(side.side, is_split=row.verdict is Verdict.SPLIT_VIEW) if url else Check.NO_READING
    if forbidden is not None:
        return Sheet(side, url, (), forbidden)
    try:
        steps = tuple(_steps(side, url))
    except NotCopied:
        return Sheet(side, url, (), Check.NOT_COPIED)
    return Sheet(side, url, steps, None if steps else Check.STATUS_NOT_DOCUMENTED)


def _steps(side: SideRow, url: str) -> Iterator[Step]:
    """Give the usual steps from what a side was last known to be; raises `NotCopied`."""
    connection, spelling = _connection(side), Spelling(side.organization.spelling)
    for before, after in usual_path(side.side.status):
        body = request_body(connection, status=after, modified_by=by_hand.SENDER, spelling=spelling).decode()
        yield Step(before, after, by_hand.send(side.organization.name, url, body))


def _connection(side: SideRow) -> Connection:
    """Give the connection as it was last read; raises `NotCopied` where it names no target."""
    seen = side.side
    if seen.target_uuid is None:
        raise NotCopied("it names no target")
    assert seen.uuid is not None  # noqa: S101 - without one, or without a connection, it is forbidden
    assert seen.status is not None  # noqa: S101
    return Connection(
        organization_uuid=seen.uuid,
        status=seen.status,
        is_primary=bool(seen.is_primary),
        modified_at=seen.modified_at,
        modified_by=seen.modified_by,
        target_uuid=seen.target_uuid,
        target_name=seen.target_name,
        target_datacenter=seen.target_datacenter,
        own_datacenter=side.snapshot.own_datacenter,
        spelling=Spelling(side.snapshot.spelling or Spelling.SNAKE_CASE),
    )
