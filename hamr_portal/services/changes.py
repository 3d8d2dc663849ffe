"""How does a person change a status? Preview, confirm, approve, send, read back: the story, one sentence a line."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from secrets import token_urlsafe
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import APPROVAL_LASTS, Again, ChangeStatus, Move, What
from hamr_portal.domain.connections import HamrStatus, sanitized
from hamr_portal.domain.people import Action
from hamr_portal.domain.previews import needs_override
from hamr_portal.models import Change, Freeze, Organization, Person, SkipNotice

from . import audit, conditions, connections, freezes, previews, readings, reconciliation, run_sheets, sending
from .conditions import LONGEST_REASON, LONGEST_TICKET, Ready, Words
from .moves import AlreadyMoved, move, once_more, tell
from .previews import Link, Sight, Wish
from .refusals import Blocked, Busy, Incomplete, on_record

logger = logging.getLogger(__name__)

READ_BACK_SECONDS = 3.0
"""Seconds that a person waits for the read back after the answer, at most; the worker reads on."""


# --- preview ----------------------------------------------------------------------------------------------------


def prepare(
    organization: Organization,
    target: HamrStatus,
    *,
    by: Actor,
    link: Link | None = None,
    words: Words | None = None,
    replaces: Change | None = None,
    again: Again | None = None,
) -> Change:
    """Read both sides now; keep what was seen, what speaks against it, and the exact request. Sends nothing.

    Raises `NotAllowed`.
    """
    with on_record(by, organization):
        author = conditions.entitled(by, Action.LINK_ORGANIZATIONS if link is not None else Action.CHANGE_STATUS)
    sight = previews.look(Wish(organization, target, link), by=by)
    change = _drafted(sight, author, by, words or Words())
    change.replaces, change.again = replaces, again or ""
    with transaction.atomic():
        # The reading may just have found another pair, or parted the old one.
        rows = Organization.objects.select_for_update(no_key=True).filter(pk=organization.pk)
        change.pair_id = rows.values_list("pair", flat=True).get()
        change.save(force_insert=True)
        change.writer = settings.HAMR_MODIFIED_BY.format(email=author.email, change=change.pk)[:200]
        change.request = previews.request_of(sight, writer=change.writer)
        change.save(update_fields=["writer", "request"])
        tell(change, sight.lines(What.PREVIEWED))
        data = {"target": target.name, "links": change.links, "checks": [each.check.name for each in change.noticed]}
        audit.append(Event.CHANGE_PREPARED, by=by, organization=organization.name, change=change.pk, data=data)
    return change


def renew(change: Change, *, by: Actor, again: Again, words: Words | None = None) -> Change:
    """Preview the same wish anew, in the place of an older preview; what was typed is kept. Raises `NotAllowed`."""
    before = {name: getattr(change, name) for name in ("reason", "ticket", "typed_name", "break_reason")}
    kept = words or Words(**before)
    if change.status == ChangeStatus.PREPARED and change.author.email == by.name:
        _end(change, Move.EXPIRE, by)
    wish = conditions.wish_of(change)
    return prepare(wish.organization, wish.target, by=by, link=wish.link, words=kept, replaces=change, again=again)


def _drafted(sight: Sight, author: Person, by: Actor, words: Words) -> Change:
    wish, now = sight.wish, timezone.now()
    noticed = previews.noticed(sight, now=now)
    # A link that cannot be made yet is kept as it was asked for, to be looked at again.
    asked = wish.link or previews.connection_of(sight)
    return Change(
        nonce=token_urlsafe(32),
        organization=wish.organization,
        other=sight.other,
        author=author,
        author_address=sanitized(by.address, 64),
        author_session=by.session,
        target_status=wish.target,
        links=wish.link is not None,
        is_primary=bool(asked and asked.is_primary),
        target_uuid=asked.target_uuid if asked else None,
        target_name=asked.target_name if asked else "",
        target_datacenter=asked.target_datacenter if asked else "",
        url=previews.url_of(wish.organization),
        noticed_json=json.dumps([{"check": each.check.name, "facts": dict(each.facts)} for each in noticed]),
        needs_override=needs_override(noticed),
        needs_approval=wish.organization.requires_approval,
        prepared_at=now,
        expires_at=now + timedelta(seconds=settings.PREVIEW_SECONDS),
        reason=sanitized(words.reason, LONGEST_REASON),
        ticket=sanitized(words.ticket, LONGEST_TICKET),
        typed_name=sanitized(words.typed_name, LONGEST_TICKET),
        break_reason=sanitized(words.break_reason, LONGEST_REASON),
    )


# --- confirm, approve, send -------------------------------------------------------------------------------------


def confirm(change: Change, words: Words, *, by: Actor) -> Change:
    """Send what was previewed, once; or where a second person has to approve, ask for that.

    Raises `Refused` and its kinds and `Blocked` where nothing was sent, `AlreadyMoved` where this form was used
    already, and `NotRecordedYet` where it was sent and only the outcome is not recorded.
    """
    with on_record(by, change.organization, change), _blocked_by_the_database(change):
        conditions.its_author(change, by)
        conditions.of_this_preview(change, words, by)
        broken = conditions.breaking(change, words)
        conditions.complete(change, words, broken=broken)
        conditions.not_forbidden(change)
        ready = conditions.as_confirmed(change, by=by, action=conditions.action_of(change))
        if change.needs_approval:
            ends_at = timezone.now() + APPROVAL_LASTS
            _commit(change, Move.ASK, ready, by, said=words.reason, expires_at=ends_at, **_confirmed(words, broken))
            return change
        since = _announce(change, Move.SEND, ready, by, said=words.reason, **_confirmed(words, broken))
    return _send(change, ready, by, since)


def approve(change: Change, *, by: Actor, typed_name: str, comment: str = "") -> Change:
    """Send what somebody else confirmed, as a second person. Raises as `confirm` does, and `OwnChange`."""
    with on_record(by, change.organization, change), _blocked_by_the_database(change):
        approver = conditions.another_person(change, by)
        _still_waiting(change, by)
        conditions.not_frozen(change, broken=change.broke_freeze_id)
        conditions.named(change, typed_name)
        ready = conditions.as_confirmed(change, by=by, action=Action.APPROVE_CHANGES)
        approved = {"approver": approver, "approved_at": timezone.now()}
        since = _announce(change, Move.APPROVE, ready, by, said=comment, **approved)
    return _send(change, ready, by, since)


def skip_approval(change: Change, *, by: Actor, typed_name: str, reason: str) -> Change:
    """Send one's own change although nobody approved it, for a reason; everybody who could have is told.

    Raises as `confirm` does.
    """
    with on_record(by, change.organization, change), _blocked_by_the_database(change):
        conditions.its_author(change, by)
        _still_waiting(change, by)
        conditions.not_frozen(change, broken=change.broke_freeze_id)
        conditions.named(change, typed_name, *conditions.wrong_with(reason))
        ready = conditions.as_confirmed(change, by=by, action=conditions.action_of(change))
        skipped = {"skip_reason": sanitized(reason, LONGEST_REASON), "also": lambda: _tell_the_skipped(change)}
        since = _announce(change, Move.SKIP_APPROVAL, ready, by, said=reason, **skipped)
    return _send(change, ready, by, since)


def _announce(change: Change, by_way_of: Move, ready: Ready, by: Actor, *, said: str, **fields: Any) -> float:
    """Commit who is about to send what, and why: from here on it is SENDING. Gives the monotonic moment before."""
    since = time.monotonic()
    _commit(change, by_way_of, ready, by, said=said, sent_at=timezone.now(), **fields)
    # A database that is gone by now would not take the outcome either: then nothing is sent. SQLite would give what
    # was committed to a file that somebody has taken away meanwhile; a new connection finds what is there.
    if connection.vendor == "sqlite":
        connection.close()
    once_more(change.refresh_from_db)
    return since


def _commit(
    change: Change,
    by_way_of: Move,
    ready: Ready,
    by: Actor,
    *,
    said: str,
    also: Callable[[], None] = lambda: None,
    **fields: Any,
) -> None:
    """Move a change with what was read just before, if nothing came between; a busy database is asked once more."""

    intent = _intent(change, ready.sight, **fields)
    begun = run_sheets.begun(change, ready.sight.wish.organization) if change.status == ChangeStatus.PREPARED else None
    if begun is not None:
        intent["run_sheet"] = run_sheets.told(begun)

    def provided() -> None:
        if by_way_of.sends:
            connections.hold(change.sides)
        conditions.clear(change, ready, by)
        also()

    def then() -> None:
        broken: Freeze | None = fields.get("broke_freeze")
        conditions.not_frozen(change, broken=broken.pk if broken is not None else change.broke_freeze_id)
        if broken is not None:
            why = {"ticket": fields["ticket"], "reason": fields["break_reason"]}
            freezes.put_down_broken(broken, change, by=by, **why)
        if begun is not None:
            run_sheets.start(begun)

    def write() -> None:
        seen = ready.sight.lines(What.READ_AGAIN)
        move(change, by_way_of, by=by, reason=said, provided=provided, then=then, seen=seen, data=intent, fields=fields)

    try:
        once_more(write)
    except IntegrityError:
        other = conditions.open_beside(change)
        if other is None:
            raise
        raise Busy(other) from None


def _send(change: Change, ready: Ready, by: Actor, since: float) -> Change:
    """Send the one request that was announced, keep what came of it, and read both sides back."""
    assert ready.sight.own_result is not None  # noqa: S101 - nothing is announced for a side that was not read
    came = sending.post(change, ready.sight.own_result.flight, since=since)
    sending.record(change, came, by=by)
    if came.move is not Move.NOT_SENT:
        _read_back(change, by)
    return change


def _read_back(change: Change, by: Actor) -> None:
    seconds = min(READ_BACK_SECONDS, settings.HAMR_DEADLINE)
    try:
        results = readings.read_for_change(change.sides, by=by, seconds=seconds)
        if change.status == ChangeStatus.REJECTED:
            with transaction.atomic():
                tell(change, [previews.line_of(result, What.READ_BACK) for result in results])
        reconciliation.learn(results, by=by)
        change.refresh_from_db()
    except (DatabaseError, RuntimeError) as error:  # no database, or no thread to be had
        # What came of it is on the record; the worker reads it back.
        logger.warning("change %s is not read back yet: %s", change.pk, type(error).__name__)


# --- end, resolve -----------------------------------------------------------------------------------------------


def cancel(change: Change, *, by: Actor) -> Change:
    """Take back one's own change before it is sent. Raises `NotAllowed`, `AlreadyMoved`."""
    with on_record(by, change.organization, change):
        author = conditions.its_author(change, by)
    move(change, Move.CANCEL, by=by, fields={"closed_by": author})
    return change


def decline(change: Change, *, by: Actor, comment: str) -> Change:
    """Refuse what somebody else confirmed, and say why.

    Raises `OwnChange`, `NotAllowed`, `Incomplete`, `AlreadyMoved`.
    """
    with on_record(by, change.organization, change):
        approver = conditions.another_person(change, by)
        _said(comment)
    closed = {"closed_by": approver, "closing_reason": sanitized(comment, LONGEST_REASON)}
    move(change, Move.DECLINE, by=by, reason=comment, fields=closed)
    return change


def resolve(change: Change, *, by: Actor, reason: str) -> Change:
    """Open the lock of a change whose outcome is not known, for a reason; it is watched on.

    Raises `NotAllowed`, `Incomplete`, `AlreadyMoved`.
    """
    reconciliation.tidy(by=by)
    with on_record(by, change.organization, change):
        person = conditions.entitled(by, Action.CHANGE_STATUS)
        _said(reason)
    closed = {"closed_by": person, "closing_reason": sanitized(reason, LONGEST_REASON)}
    move(change, Move.RESOLVE, by=by, reason=reason, fields=closed | {"settled_at": timezone.now(), "check_at": None})
    return change


def see_skip(change: Change, *, by: Actor) -> None:
    """Put down that somebody who was skipped has seen it. Nothing is written where they were told nothing."""
    notices = SkipNotice.objects.filter(change=change, person__email=by.name, seen_at__isnull=True)
    with transaction.atomic():
        if notices.update(seen_at=timezone.now()):
            audit.append(Event.SKIP_SEEN, by=by, organization=change.organization.name, change=change.pk)


def _end(change: Change, by_way_of: Move, by: Actor) -> None:
    try:
        move(change, by_way_of, by=by)
    except AlreadyMoved:
        change.refresh_from_db()


# --- the small print --------------------------------------------------------------------------------------------


@contextmanager
def _blocked_by_the_database(change: Change) -> Iterator[None]:
    """Turn what the database could not do before the first byte into `Blocked`: what is not recorded is not sent."""
    try:
        yield
    except DatabaseError as error:
        logger.critical("audit.write_failed: change %s is not sent: %s", change.pk, type(error).__name__)
        raise Blocked(f"change {change.pk} cannot be recorded, so it was not sent") from None


def _still_waiting(change: Change, by: Actor) -> None:
    in_time = change.prepared_at <= timezone.now() <= change.expires_at  # both ways: the clock may have been set back
    if change.status == ChangeStatus.AWAITING_APPROVAL and not in_time:
        _end(change, Move.EXPIRE, by)
    if change.status != ChangeStatus.AWAITING_APPROVAL:
        raise AlreadyMoved(f"change {change.pk} does not wait any more")


def _said(reason: str) -> None:
    problems = conditions.wrong_with(reason)
    if problems:
        raise Incomplete(*problems)


def _confirmed(words: Words, broken: Freeze | None) -> dict[str, Any]:
    return {
        "reason": sanitized(words.reason.strip(), LONGEST_REASON),
        "ticket": sanitized(words.ticket.strip(), LONGEST_TICKET),
        "typed_name": sanitized(words.typed_name.strip(), LONGEST_TICKET),
        "override": words.override,
        "broke_freeze": broken,
        "break_reason": sanitized(words.break_reason.strip(), LONGEST_REASON) if broken is not None else "",
        "confirmed_at": timezone.now(),
    }


def _intent(change: Change, sight: Sight, **fields: Any) -> dict[str, Any]:
    """Give what the record says of a change that is about to be sent."""
    return {
        "author": change.author.email,
        "from": sight.own_view.status if sight.own_view is not None else None,
        "to": change.target.name,
        "url": change.url,
        "request": change.request,
        "override": fields.get("override", change.override),
        "checks": [each.check.name for each in change.noticed],
    }


def _tell_the_skipped(change: Change) -> None:
    """Leave a note for everybody who could have approved, in the transaction that sends without them."""
    skipped = Person.objects.who_may(Action.APPROVE_CHANGES, Action.MANAGE_ORGANIZATIONS).exclude(pk=change.author_id)
    SkipNotice.objects.bulk_create([SkipNotice(change=change, person=person) for person in skipped])
