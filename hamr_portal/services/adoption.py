"""How does somebody answer for a record that is not whole, so that changes can be made again?"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import ChangeStatus, Move
from hamr_portal.domain.people import Action
from hamr_portal.models import Change, LogStanding, Snapshot, guards

from . import adopted, anchors, audit, integrity
from .integrity import Found
from .moves import AlreadyMoved, move
from .people import entitled

logger = logging.getLogger(__name__)


class NothingToAdopt(Exception):
    """The record is whole, as far as is known."""


class GuardsMissing(Exception):
    """What keeps the record append-only is not there. Next: `manage.py migrate` installs it."""


class ReasonMissing(Exception):
    """It is not said why the record is as it is."""


class LookAgain(Exception):
    """Something else is wrong with the record than was shown. Next: look at what is, then answer for that."""


def adopt(*, by: Actor, reason: str, seen: str) -> None:
    """Take the record as it is from here on, for a reason, on the record; changes are possible again.

    `seen` is what the page has shown (`integrity.seen_as`): nobody answers for what they have not seen. After a
    restored backup every status is read anew, and what was open is unknown: it may have been sent since.
    Raises `NotAllowed`, `ReasonMissing`, `NothingToAdopt`, `GuardsMissing`, `LookAgain`, `AnchorsUnreadable`,
    `CannotSign`.
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
    if not found.broken_seq:
        found = _whole(found)
    if integrity.seen_as(found) != seen:
        raise LookAgain
    head = audit.head()
    data = {"trouble": found.trouble, "detail": found.detail, "head": asdict(head), **_anchor()}
    if found.trouble in integrity.RESTORED:
        _forget_the_present(by)
    if found.broken_seq:
        data |= {"broken": found.broken_seq, "digest": adopted.digest(found.broken_seq, head.seq)}
    with transaction.atomic():
        LogStanding.objects.select_for_update().get_or_create(pk=1)
        entry = audit.append(Event.LOG_ADOPTED, by=by, reason=reason, outcome=found.trouble, data=data)
        integrity.clear(audit.place_of(entry))
    try:
        anchors.put(anchors.checkpoint(audit.head()))
    except (OSError, KeyRingUnusable) as error:
        # It is adopted and on the record; the next look after the record puts it there.
        logger.critical("the adoption is not anchored: %s", error)


def _whole(found: Found) -> Found:
    """Give a trouble with what it hides. Raises `CannotSign`."""
    try:
        return integrity.look_behind(found)
    except KeyRingUnusable as error:
        raise audit.CannotSign(str(error)) from None


def _anchor() -> dict[str, Any]:
    """Give the anchor that the record is adopted in spite of. Raises `AnchorsUnreadable`."""
    try:
        anchor = integrity.contradicting() or anchors.newest()
    except anchors.NoneGenuine:
        return {}
    except KeyRingUnusable as error:
        raise audit.CannotSign(str(error)) from None
    return {"anchor": {"seq": anchor.seq, "hash": anchor.hash, "at": anchor.at}} if anchor is not None else {}


def _forget_the_present(by: Actor) -> None:
    """Read everything anew, and take what may have been sent for sent: no change is sent twice."""
    now = timezone.now()
    Snapshot.objects.update(due_at=now)
    open_ones = Change.objects.select_related("organization").order_by("pk")
    for change in open_ones.filter(status__in=Move.RESTORE.leaves):
        fields = {"sent_at": change.sent_at or now, "restored_at": now, "check_at": now}
        with suppress(AlreadyMoved):
            move(change, Move.RESTORE, by=by, fields=fields)
    # A preview of then may have been confirmed since.
    for change in open_ones.filter(status=ChangeStatus.PREPARED):
        with suppress(AlreadyMoved):
            move(change, Move.EXPIRE, by=by)
