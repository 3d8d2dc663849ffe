"""How does somebody answer for a record that is not whole, so that changes can be made again?"""

from __future__ import annotations

from django.db import connection, transaction
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import Move
from hamr_portal.domain.people import Action
from hamr_portal.models import Change, LogStanding, Snapshot, guards

from . import anchors, audit, integrity
from .integrity import Trouble
from .moves import move
from .people import entitled

RESTORED = frozenset({Trouble.OLDER_THAN_ANCHOR, Trouble.NOT_ITS_ANCHOR})
"""The database is one of an earlier time: what was sent since is not on its record."""


class NothingToAdopt(Exception):
    """The record is whole, as far as is known."""


class GuardsMissing(Exception):
    """What keeps the record append-only is not there. Next: `manage.py migrate` installs it."""


class ReasonMissing(Exception):
    """It is not said why the record is as it is."""


def adopt(*, by: Actor, reason: str) -> None:
    """Take the record as it is from here on, for a reason, on the record; changes are possible again.

    After a restored backup every status is read anew, and what was open is unknown: it may have been sent since.
    Raises `NotAllowed`, `ReasonMissing`, `NothingToAdopt`, `GuardsMissing`.
    """
    entitled(by, Action.ADOPT_LOG)
    if not reason.strip():
        raise ReasonMissing
    found = integrity.trouble()
    if found is None:
        raise NothingToAdopt
    missing = guards.missing(connection)
    if missing:
        raise GuardsMissing(", ".join(missing))
    if found.trouble in RESTORED:
        _forget_the_present(by)
    anchor = anchors.newest()
    data = {"trouble": found.trouble, "detail": found.detail, "head": audit.head().seq}
    data |= {"anchor": {"seq": anchor.seq, "hash": anchor.hash}} if anchor is not None else {}
    with transaction.atomic():
        LogStanding.objects.select_for_update().get_or_create(pk=1)
        entry = audit.append(Event.LOG_ADOPTED, by=by, reason=reason, outcome=found.trouble, data=data)
        integrity.clear(audit.place_of(entry))
    anchors.put(anchors.checkpoint(audit.head()))


def _forget_the_present(by: Actor) -> None:
    now = timezone.now()
    Snapshot.objects.update(due_at=now)
    for change in Change.objects.filter(status__in=Move.RESTORE.leaves).select_related("organization"):
        fields = {"sent_at": change.sent_at or now, "restored_at": now, "check_at": now}
        move(change, Move.RESTORE, by=by, fields=fields)
