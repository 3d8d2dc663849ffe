"""What does the record say of a change, signed, and what does the change say of itself now?

A change, its log and its notices are rows that anybody with the database can edit; entries are signed. What is handed
in here leaves as it was signed, and where the rows said something else, that is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.models import AuditEntry, Change, LogLine, Person, SkipNotice

from .signed import CONFIRMED, Held, data, first, hold_log, is_close

_ANNOUNCED = (Event.CHANGE_SENDING, Event.CHANGE_APPROVED, Event.APPROVAL_SKIPPED, Event.CHANGE_RESTORED)
_DRIVES = (Event.DRIVER_TAKEN, Event.DRIVER_TAKEN_OVER)
_CLOSED = (Event.CHANGE_DECLINED, Event.CHANGE_CANCELLED, Event.CHANGE_RESOLVED)


def hold(
    change: Change, lines: Sequence[LogLine], notices: Iterable[SkipNotice], genuine: Sequence[AuditEntry]
) -> Held:
    """Make a loaded change, its log and its notices say what its genuine entries say, and tell what was otherwise."""
    held = Held()
    _facts(change, genuine, held)
    _people(change, genuine, held)
    _moments(change, genuine, held)
    _checks(change, genuine, held)
    hold_log(change, lines, notices, genuine, held)
    if change.typed_name:
        held.unsigned.add("typed name")
    return held


def _facts(change: Change, genuine: Sequence[AuditEntry], held: Held) -> None:
    prepared, confirmed = first(genuine, Event.CHANGE_PREPARED), first(genuine, *CONFIRMED)
    skipped, closed = first(genuine, Event.APPROVAL_SKIPPED), first(reversed(genuine), *_CLOSED)
    broke = first(genuine, Event.FREEZE_BROKEN)
    wish, intent = data(prepared), data(confirmed)
    moved = [entry for entry in genuine if "after" in data(entry)]
    answer = next((data(entry) for entry in reversed(moved) if "seen_at" in data(entry)), {})
    reached = moved[-1].outcome if moved else ChangeStatus.PREPARED if prepared is not None else None
    # What is typed, and the request, are kept with a preview before anybody has signed for them.
    is_draft = confirmed is None and change.confirmed_at is None
    facts: list[tuple[str, str, object]] = [
        ("status", "status", reached),
        ("reason", "reason", confirmed.reason.strip() if confirmed is not None else None),
        ("ticket", "ticket", confirmed.ticket.strip() if confirmed is not None else None),
        ("request", "request", intent.get("request")),
        ("address", "url", intent.get("url")),
        ("override", "override", intent.get("override")),
        ("second person", "needs_approval", _asks(confirmed)),
        ("status asked for", "target_status", _status(wish.get("target") or intent.get("to"))),
        ("new connection", "links", wish.get("links")),
        ("address of who asked", "author_address", prepared.actor_address if prepared is not None else None),
        ("reason to send without approval", "skip_reason", skipped.reason if skipped is not None else None),
        ("freeze that was broken", "broke_freeze_id", data(broke).get("freeze")),
        ("reason to break the freeze", "break_reason", broke.reason if broke is not None else None),
        ("closing reason", "closing_reason", closed.reason if closed is not None else None),
        ("HTTP status", "http_status", answer.get("http_status")),
    ]
    typed = {"reason", "ticket", "reason to break the freeze"}
    drafted = typed | {"request", "address", "second person", "status asked for"} if is_draft else set()
    for name, attribute, signed in facts:
        now = getattr(change, attribute)
        if signed is None:
            held.rests_on_nothing(name, now, is_told=bool(genuine) and name not in drafted)
            continue
        if _text(now) != _text(signed):
            held.differs(name, _shown(name, signed), _shown(name, now))
            setattr(change, attribute, signed)


def _asks(confirmed: AuditEntry | None) -> bool | None:
    return confirmed.event == Event.APPROVAL_ASKED if confirmed is not None else None


def _status(name: object) -> int | None:
    return next((status.value for status in HamrStatus if status.name == name), None)


def _shown(name: str, value: Any) -> object:
    if name != "status asked for":
        return value
    return next((status.name for status in HamrStatus if status.value == value), value)


def _people(change: Change, genuine: Sequence[AuditEntry], held: Held) -> None:
    people = {
        "author": first(genuine, Event.CHANGE_PREPARED, *CONFIRMED),
        "approver": first(genuine, Event.CHANGE_APPROVED),
        "closed_by": first(reversed(genuine), *_CLOSED),
        "driver": first(reversed(genuine), *_DRIVES),
    }
    names = {
        "author": "who asked",
        "approver": "who approved",
        "closed_by": "who closed it",
        "driver": "who drives it",
    }
    for attribute, entry in people.items():
        person = getattr(change, attribute)
        now = person.email if person is not None else None
        if entry is None:
            held.rests_on_nothing(names[attribute], now, is_told=bool(genuine))
        elif person is None and entry.actor_kind == "worker":
            continue  # a worker closed it, with the drill that it was of
        elif (now or "").casefold() != entry.actor_name.casefold():
            held.differs(names[attribute], entry.actor_name, now)
            # Not the row of anybody: a name, to be shown.
            setattr(change, attribute, Person(email=entry.actor_name))


def _moments(change: Change, genuine: Sequence[AuditEntry], held: Held) -> None:
    moments = {
        "prepared_at": ("when it was previewed", first(genuine, Event.CHANGE_PREPARED)),
        "confirmed_at": ("when it was confirmed", first(genuine, *CONFIRMED)),
        "approved_at": ("when it was approved", first(genuine, Event.CHANGE_APPROVED)),
        "sent_at": ("when it was announced", first(genuine, *_ANNOUNCED)),
    }
    for attribute, (name, entry) in moments.items():
        now = getattr(change, attribute)
        if entry is None:
            held.rests_on_nothing(name, now, is_told=bool(genuine))
            continue
        if not is_close(now, entry.at):
            held.differs(name, entry.at, now)
        setattr(change, attribute, entry.at)


def _checks(change: Change, genuine: Sequence[AuditEntry], held: Held) -> None:
    """Hold what the checks said by name; what they said in particular is not signed."""
    entry = first(genuine, *CONFIRMED) or first(genuine, Event.CHANGE_PREPARED)
    if change.noticed_json != "[]":
        held.unsigned.add("checks")
    try:
        now: object = [each.check.name for each in change.noticed]
    except (ValueError, KeyError, TypeError, RecursionError):
        now = change.noticed_json[:100]
        change.noticed_json = "[]"
    signed = data(entry).get("checks")
    if signed is not None and now != signed:
        held.differs("checks", signed, now)
        change.noticed_json = "[]"


def _text(value: object) -> object:
    return value.strip() if isinstance(value, str) else value
