"""What became of what was sent? Every reading is held against the changes that wait for it; nothing is ever sent."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import (
    APPROVAL_LASTS,
    BEFORE_SENDING,
    MAY_STILL_LAND,
    UNSETTLED,
    ChangeStatus,
    Move,
    What,
)
from hamr_portal.domain.connections import ReadOutcome, View
from hamr_portal.domain.evidence import SAY_NOTHING, Agreement, Patience, Sign, move_after, sign_of, was_written_by
from hamr_portal.models import Change, LogLine, Snapshot

from . import connections, readings, sending, spool
from .connections import Result
from .moves import AlreadyMoved, move, tell
from .previews import line_of
from .readings import ReadNow

logger = logging.getLogger(__name__)

IN_HAND = timedelta(seconds=30)
"""So long after its time a change is left alone: it may be in the middle of being confirmed."""

CLOCKS_APART = timedelta(minutes=10)
"""What was prepared so far ahead of now was prepared before the clock was set back, and not by a clock that differs."""

ABANDONED_AFTER = 20.0
"""Seconds beyond the deadline of a POST after which nobody can be sending any more."""


def reconcile(*, by: Actor, seconds: float | None = None, only: Change | None = None) -> list[Change]:
    """Do one pass: record what was spooled, end what is over, read what is not settled. Gives what was looked at."""
    tidy(by=by)
    changes = Change.objects.filter(pk=only.pk) if only is not None else Change.objects.unsettled()
    looked_at = list(changes.select_related("organization", "other", "author").order_by("pk"))
    sides = {side for change in looked_at for side in change.sides}
    # Only what counted: what was asked before a request left says nothing about it.
    learn(readings.store(readings.fetch_for_change(sides, seconds=seconds), by=by), by=by)
    for change in looked_at:
        change.refresh_from_db()
    return looked_at


def read_now(change: Change, *, by: Actor) -> ReadNow:
    """Do one pass for one change, as often as people may ask for it; tells what came of asking its own side."""
    tidy(by=by)
    answers, counted = readings.read_for_people([change.organization, *filter(None, [change.other])], by=by)
    learn(counted, by=by)
    return answers[change.organization]


def tidy(*, by: Actor) -> None:
    """Record what was spooled, end what nobody acted on in time, and call unknown what nobody is sending any more."""
    try:
        deliver_spooled()
    except OSError as error:
        # A disk that fails must neither end a worker nor keep a person from opening a lock.
        logger.critical("the spool cannot be read: %s", error.strerror)
    now = timezone.now()
    # Both ways, here and below: after the clock was set back, what was prepared or sent is in the future.
    longest = max(APPROVAL_LASTS, timedelta(seconds=settings.PREVIEW_SECONDS)) + CLOCKS_APART
    over = Q(expires_at__lt=now - IN_HAND) | Q(expires_at__gt=now + longest) | Q(prepared_at__gt=now + CLOCKS_APART)
    for change in _whole(Change.objects.filter(over, status__in=BEFORE_SENDING)):
        _unless_moved(change, Move.EXPIRE, by)
    lasts = timedelta(seconds=sending.post_deadline() + ABANDONED_AFTER)
    nobodys = Q(sent_at__lt=now - lasts) | Q(sent_at__gt=now + lasts)
    for change in _whole(Change.objects.filter(nobodys, status=ChangeStatus.SENDING)):
        _unless_moved(change, Move.ABANDON, by, check_at=now)


def _whole(found: QuerySet[Change]) -> Iterator[Change]:
    """Give changes with their organizations; mostly there are none, and to ask for numbers alone is far cheaper."""
    for pk in found.values_list("pk", flat=True):
        yield Change.objects.select_related("organization").get(pk=pk)


def deliver_spooled() -> None:
    """Record what was spooled. Raises `OSError` where the spool cannot be used."""
    spool.deliver(sending.record_spooled)


def take_due(*, now: datetime) -> set[UUID]:
    """Take the changes that are to be read again, each for one worker, and give both sides of each.

    A site that asked for patience is not asked again for them.
    """
    sides: set[UUID] = set()
    again_at = now + timedelta(seconds=settings.HAMR_DEADLINE + connections.LEASE_MARGIN)
    farthest = now + timedelta(seconds=2 * settings.HAMR_SETTLE_SECONDS + 60)
    due = Q(check_at__lte=now) | Q(check_at__gt=farthest)
    waiting = Change.objects.unsettled().filter(due, organization__disabled_at__isnull=True)
    for pk, check_at, *both in waiting.values_list("pk", "check_at", "organization", "other"):
        if Change.objects.filter(pk=pk, check_at=check_at).update(check_at=again_at):
            sides |= {side for side in both if side is not None}
    if not sides:
        return sides
    limited = Snapshot.objects.filter(pk__in=sides, outcome=ReadOutcome.RATE_LIMITED, due_at__gt=now)
    return sides - set(limited.values_list("pk", flat=True))


def learn(results: Iterable[Result], *, by: Actor) -> None:
    """Hold what was just read against the changes that wait for it, the newest first."""
    found = {result.flight.organization_id: result for result in results}
    waiting = Change.objects.listening(timezone.now()).filter(organization__in=found)
    for change in _whole(waiting.order_by("-pk")):
        try:
            _hear(change, found[change.organization_id], found.get(change.other_id) if change.other_id else None, by)
        except AlreadyMoved:
            logger.info("change %s was settled by somebody else meanwhile", change.pk)


def _unless_moved(change: Change, by_way_of: Move, by: Actor, **fields: Any) -> None:
    try:
        move(change, by_way_of, by=by, fields=fields)
    except AlreadyMoved:
        logger.info("change %s was moved by somebody else meanwhile", change.pk)


def _hear(change: Change, own: Result, other: Result | None, by: Actor) -> None:
    """Hold one reading against one change."""
    if change.status in MAY_STILL_LAND:
        _watch(change, own, by)
    elif own.answered:
        _weigh(change, own, other, by)
    else:
        _keep_waiting(change, own, other, change.agreement)


def _watch(change: Change, own: Result, by: Actor) -> None:
    """Recognize a request that lands after its change was over."""
    if not own.answered:
        return
    view = View.of(own.connection)
    if change.asked.is_met_by(view, _before(change)) and not _is_of_another(change, view):
        _settle(change, Move.ARRIVE_LATE, own, None, by)


def _weigh(change: Change, own: Result, other: Result | None, by: Actor) -> None:
    """Decide by what the side that got the request says now, or go on waiting."""
    view = View.of(own.connection)
    sign = sign_of(view, before=_before(change), asked=change.asked)
    if sign is Sign.APPLIED and _is_of_another(change, view):
        sign = Sign.SOMETHING_ELSE
    agreement = change.agreement if sign in SAY_NOTHING else _agreement(change, own, view)
    accepted = change.status == ChangeStatus.ACCEPTED
    next_move = move_after(sign, accepted=accepted, agreement=agreement, patience=_patience())
    if next_move is None:
        _keep_waiting(change, own, other, agreement)
    else:
        _settle(change, next_move, own, other, by, **_counted(change, own, agreement))


def _settle(change: Change, by_way_of: Move, own: Result, other: Result | None, by: Actor, **fields: Any) -> None:
    """Move a change by what was read, with that reading in its log."""
    view = View.of(own.connection)
    if by_way_of.reaches not in UNSETTLED:
        fields |= {"settled_at": own.at, "check_at": None}
    if by_way_of.reaches is ChangeStatus.VERIFIED:
        fields["applied_modified_at"] = view.modified_at
    lines = [line_of(result, What.READ_BACK) for result in (other, own) if result is not None]
    data = {"reads_back": asdict(view), "reads": change.reads + 1}
    move(change, by_way_of, by=by, seen=lines, data=data, fields=fields)


def _keep_waiting(change: Change, own: Result, other: Result | None, agreement: Agreement) -> None:
    """Write down that it was read, and when it is read next."""
    with transaction.atomic():
        rows = Change.objects.filter(pk=change.pk, status=change.status)
        if not rows.select_for_update(no_key=True).values_list("pk").first():
            return
        rows.update(**_counted(change, own, agreement))
        for result in (other, own):
            if result is not None:
                _tell_again(change, line_of(result, What.READ_BACK))


def _counted(change: Change, own: Result, agreement: Agreement) -> dict[str, Any]:
    pause = max(_patience().next_read_in(change.reads + 1, agreement), own.retry_after or 0.0)
    return {
        "reads": change.reads + 1,
        "agreed_reads": agreement.reads,
        "agreed_seconds": agreement.seconds,
        "agreed_at": own.at if own.answered else change.agreed_at,
        "check_at": own.at + timedelta(seconds=pause),
    }


def _agreement(change: Change, own: Result, view: View) -> Agreement:
    """Give how many answers in a row have shown this view."""
    last = _answers(change).order_by("-pk").first()
    if last is None or last.view is None or change.agreed_at is None or not last.view.says_the_same(view):
        return Agreement().with_another(0)
    return change.agreement.with_another((own.at - change.agreed_at).total_seconds())


def _patience() -> Patience:
    return Patience(settings.HAMR_SETTLE_READS, settings.HAMR_SETTLE_SECONDS)


def _before(change: Change) -> View:
    """Give what the side said last before the request went out."""
    lines = change.log.filter(organization=change.organization_id, what__in=(What.PREVIEWED, What.READ_AGAIN))
    line = lines.filter(has_connection__isnull=False).order_by("-pk").first()
    assert line is not None  # noqa: S101 - nothing is sent to a side that was not read
    assert line.view is not None  # noqa: S101
    return line.view


def _answers(change: Change) -> QuerySet[LogLine]:
    return change.log.filter(organization=change.organization_id, what=What.READ_BACK, has_connection__isnull=False)


def _tell_again(change: Change, line: LogLine) -> None:
    """Put a reading into the log; one that shows the same as the last of that side is counted there."""
    readings_of = change.log.filter(organization=line.organization_id, what=What.READ_BACK)
    last = readings_of.order_by("-pk").first()
    if last is not None and (last.outcome, last.reason) == (line.outcome, line.reason) and last.view == line.view:
        readings_of.filter(pk=last.pk).update(times=last.times + 1, last_at=line.at)
    else:
        tell(change, [line])


def _is_of_another(change: Change, view: View) -> bool:
    """Tell whether a view shows what another change wrote, on either side: two may ask for the same to the letter."""
    others = Change.objects.sent().of(change.sides, change.pair_id).exclude(pk=change.pk)
    return any(_shows(view, other, change) for other in others.filter(target_status=change.target_status))


def _shows(view: View, other: Change, change: Change) -> bool:
    newer, across = other.pk > change.pk, other.organization_id != change.organization_id
    if other.status == ChangeStatus.VERIFIED:
        same = other.applied_modified_at == view.modified_at and (newer or view.modified_at is not None)
        return same or (newer and across and other.explains(view, timezone.now()))
    met = was_written_by(view, other.target, other.writer) if across else other.asked.is_met_by(view, _before(other))
    return newer and other.is_open and met
