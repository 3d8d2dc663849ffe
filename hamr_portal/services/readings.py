"""What becomes of what was read? Snapshots, history, the record, pairs; and reading now, for a person."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from enum import Enum
from threading import BoundedSemaphore
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.connections import ReadOutcome, View, sanitized, seconds_until_next_read
from hamr_portal.domain.organizations import site_of_datacenter
from hamr_portal.hamr_client import Phase
from hamr_portal.models import Change, Lapse, Observation, Organization, Snapshot

from . import audit, connections, keys, lapses, outside_news, pairs
from .connections import Flight, Result

logger = logging.getLogger(__name__)

READ_NOW_EVERY = timedelta(seconds=10)
"""People may ask for a new reading of one organization this often; more would only burn its rate limit."""

_CALLS_FOR_PEOPLE = BoundedSemaphore(4)
"""So many people may wait for a reading at once, each for two sides; the others are told to try again."""

_VIEW_FIELDS = (
    "has_connection",
    "status",
    "is_primary",
    "modified_at",
    "modified_by",
    "target_uuid",
    "target_name",
    "target_datacenter",
)
_WRITTEN = [column.name for column in Snapshot._meta.concrete_fields if not column.primary_key]

_EVENT_OF = {
    ReadOutcome.KEY_REFUSED: Event.KEYS_REFUSED,
    ReadOutcome.WRONG_ORGANIZATION: Event.IDENTITY_MISMATCH,
    ReadOutcome.KEYS_UNREADABLE: Event.KEYS_UNREADABLE,
}

_LAST_CHANGES = 10
"""So many of the latest changes are asked whether they explain what is seen."""

_ALARMS = frozenset({Event.TLS_FAILURE, Event.REDIRECT_REFUSED})
"""Said whenever they begin, also where no answer was to be had before: they may be somebody in between."""


class ReadNow(Enum):
    """What came of asking for a reading now."""

    READ = "read"
    JUST_READ = "just read"
    UNDER_WAY = "under way"
    RATE_LIMITED = "rate limited"
    DISABLED = "disabled"
    BUSY = "busy"


def read_now(organizations: Sequence[Organization], *, by: Actor) -> dict[Organization, ReadNow]:
    """Read these at once, each at most once at a time and not more often than every ten seconds."""
    return read_for_people(organizations, by=by)[0]


def read_for_people(
    organizations: Sequence[Organization], *, by: Actor
) -> tuple[dict[Organization, ReadNow], list[Result]]:
    """Read these as `read_now` does, and give what was read as well."""
    answers = {organization: _may_read_now(organization, timezone.now()) for organization in organizations}
    wanted = [organization for organization, answer in answers.items() if answer is ReadNow.READ]
    if not wanted:
        return answers, []
    if not _CALLS_FOR_PEOPLE.acquire(blocking=False):
        return answers | dict.fromkeys(wanted, ReadNow.BUSY), []
    read: set[UUID] = set()
    counted: list[Result] = []
    try:
        # No more leases at once than threads: a lease that waits for a thread would pass before its answer.
        for start in range(0, len(wanted), settings.HAMR_SWEEP_THREADS):
            batch = wanted[start : start + settings.HAMR_SWEEP_THREADS]
            results = _asked_at_once([organization.pk for organization in batch])
            read |= {result.flight.organization_id for result in results}
            counted += store(results, by=by)
    finally:
        _CALLS_FOR_PEOPLE.release()
    return answers | _why_not_read([organization for organization in wanted if organization.pk not in read]), counted


def read_for_change(organization_ids: Collection[UUID], *, by: Actor, seconds: float | None = None) -> list[Result]:
    """Read these now, whoever reads them already and whatever was read a moment ago: a change rests on it."""
    results = fetch_for_change(organization_ids, seconds=seconds)
    store(results, by=by)
    return results


def fetch_for_change(organization_ids: Collection[UUID], *, seconds: float | None = None) -> list[Result]:
    """Ask these now, whoever reads them already; what they answer is still to be stored."""
    return _fetched(connections.seize(organization_ids), seconds=seconds)


def _asked_at_once(organization_ids: Collection[UUID]) -> list[Result]:
    flights = connections.claim(organization_ids, _is_readable_now(timezone.now()))
    return _fetched(flights)


def _fetched(flights: Sequence[Flight], *, seconds: float | None = None) -> list[Result]:
    if not flights:
        return []
    with ThreadPoolExecutor(len(flights)) as pool:
        return list(pool.map(lambda flight: connections.fetch(flight, seconds=seconds), flights))


def _why_not_read(organizations: Collection[Organization]) -> dict[Organization, ReadNow]:
    """Give what came between for those that another read was quicker with, as the database has it now."""
    rows = Organization.objects.select_related("snapshot").filter(pk__in=[each.pk for each in organizations])
    answers = {row: _may_read_now(row, timezone.now()) for row in rows}
    return {row: ReadNow.UNDER_WAY if answer is ReadNow.READ else answer for row, answer in answers.items()}


def _is_readable_now(now: datetime) -> Q:
    """Give the same condition as `_may_read_now`, for the database to check under its lock."""
    just_read = Q(attempted_at__gt=now - READ_NOW_EVERY, attempted_at__lt=now + READ_NOW_EVERY)
    rested = Q(attempted_at__isnull=True) | ~just_read
    return rested & ~Q(outcome=ReadOutcome.RATE_LIMITED, due_at__gt=now)


def _may_read_now(organization: Organization, now: datetime) -> ReadNow:
    snapshot = organization.snapshot
    if organization.disabled_at is not None:
        return ReadNow.DISABLED
    if snapshot.outcome == ReadOutcome.RATE_LIMITED and snapshot.due_at > now:
        return ReadNow.RATE_LIMITED
    # On both sides of now: another may read while this one waits for the lock, and a clock may be set back.
    if snapshot.attempted_at is not None and abs(now - snapshot.attempted_at) < READ_NOW_EVERY:
        return ReadNow.JUST_READ
    return ReadNow.READ


def store(results: Sequence[Result], *, by: Actor) -> list[Result]:
    """Write what came of these reads, in one transaction, and give those that counted.

    A result whose lease has passed on is dropped.
    """
    by_lease = {(result.flight.organization_id, result.flight.lease): result for result in results}
    observations: list[Observation] = []
    unread: list[Lapse] = []
    entries: list[dict[str, Any]] = []
    with transaction.atomic():
        # Locked in one order everywhere (snapshots, organizations, pairs, the head of the record): no deadlocks.
        rows = [
            row
            for row in Snapshot.objects.select_for_update(of=("self",))
            .select_related("organization")
            .filter(pk__in=[key[0] for key in by_lease], lease__in={key[1] for key in by_lease})
            .order_by("pk")
            if (row.pk, row.lease) in by_lease
        ]
        counted = [by_lease[row.pk, row.lease] for row in rows if row.lease is not None]
        for row, result in zip(rows, counted, strict=True):
            unread += lapses.ended(row, result.at)
            observation = _record(row, result, entries)
            observations += [observation] if observation is not None else []
        # They are all there, and locked: no row is made. In SQL it is far shorter than a CASE for each column and row.
        Snapshot.objects.bulk_create(rows, update_conflicts=True, unique_fields=["pk"], update_fields=_WRITTEN)
        Observation.objects.bulk_create(observations)
        Lapse.objects.bulk_create(unread)
        _put_on_record(entries, by)
        outside_news.tell(observations, entries)
        _read_other_sides_again({observation.organization_id for observation in observations})
    # After each store, not only after news: what a killed worker left undone is done by the next.
    pairs.discover_pairs(by=by)
    return counted


def _put_on_record(entries: Iterable[dict[str, Any]], by: Actor) -> None:
    for entry in entries:
        try:
            audit.append(by=by, **entry)
        except audit.CannotSign as error:
            # Nothing was changed by it: that the keys cannot be read is to be seen all the same.
            logger.critical("audit.write_failed: %s of %s: %s", entry["event"], entry["organization"], error)


def _record(row: Snapshot, result: Result, entries: list[dict[str, Any]]) -> Observation | None:
    """Bring one snapshot up to date and give the line of history that it makes, if anything changed."""
    result = _identified(row.organization, result)
    before, compared, known = _view_of(row), _compared(row), row.has_connection is not None
    before_outcome, before_event = row.outcome, _event_of_attempt(row)
    _record_attempt(row, result)
    if result.answered:
        _record_view(row, result)
        _pin(row.organization, result, entries)
    changed = _compared(row) != compared
    if changed:
        row.view_since = result.at
    outside = changed and known and not _made_here(row, result)
    if outside:
        row.outside_at = result.at
        data = {"before": before, "after": _view_of(row)}
        entries.append(_entry(row, Event.STATUS_CHANGED_OUTSIDE, data=data))
    turned = before_outcome != result.outcome
    event = _event_of_attempt(row)
    if (turned and (before_outcome or not result.answered)) or (event != before_event and event in _ALARMS):
        entries.append(_entry(row, event, outcome=row.outcome, data=_outcomes(before_outcome, result)))
    if not changed and not turned:
        return None
    return Observation(
        organization=row.organization,
        at=result.at,
        outcome=result.outcome,
        reason=result.reason,
        outside=outside,
        **_view_of(row),
    )


def _made_here(row: Snapshot, result: Result) -> bool:
    """Tell whether what is seen now was written by a change of the portal, on this side or on the other."""
    if result.connection is None:
        return False
    changes = Change.objects.sent().of([row.pk], row.organization.pair_id).order_by("-pk")[:_LAST_CHANGES]
    view = View.of(result.connection)
    return any(change.explains(view, result.at) for change in changes)


def _identified(organization: Organization, result: Result) -> Result:
    """Hold an answer against what is pinned by now: another read, or saving, may have pinned since the flight began."""
    if not result.answered or result.connection is None:
        return result
    uuid = result.connection.organization_uuid
    if organization.uuid is not None:
        reason = f"the keys answer for organization {uuid}" if uuid != organization.uuid else ""
    else:
        other = Organization.objects.filter(uuid=uuid).first()
        reason = f"the keys answer for organization {uuid}, which is saved as {other.name}" if other else ""
    return replace(result, outcome=ReadOutcome.WRONG_ORGANIZATION, reason=reason) if reason else result


def _entry(row: Snapshot, event: Event, **fields: Any) -> dict[str, Any]:
    return {"event": event, "organization": row.organization.name, **fields}


def _outcomes(before: str, result: Result) -> dict[str, object]:
    return {"before": before, "after": result.outcome, "detail": result.reason, "http_status": result.http_status}


def _compared(row: Snapshot) -> dict[str, object]:
    """Give a view as it is compared with the one before: a datacenter's two forms are the same place."""
    return _view_of(row) | {"target_datacenter": site_of_datacenter(row.target_datacenter)}


def _view_of(row: Snapshot) -> dict[str, object]:
    return {name: getattr(row, name) for name in _VIEW_FIELDS}


def _record_attempt(row: Snapshot, result: Result) -> None:
    same = row.outcome == result.outcome
    row.repeats = row.repeats + 1 if same else 1
    row.outcome_since = row.outcome_since if same else result.at
    row.outcome = result.outcome
    row.attempt_failed = not result.answered
    row.attempted_at = result.at
    row.attempt_status = result.http_status
    row.attempt_ms = result.elapsed_ms
    row.attempt_phase = result.phase
    row.attempt_reason = result.reason
    row.attempt_raw = "" if result.answered else sanitized(result.raw, 300)
    row.lease = row.leased_until = None
    wait = seconds_until_next_read(
        result.outcome,
        repeats=row.repeats,
        interval=settings.HAMR_POLL_INTERVAL,
        retry_after=result.retry_after,
    )
    row.due_at = result.at + timedelta(seconds=wait)


def _record_view(row: Snapshot, result: Result) -> None:
    connection = result.connection
    row.has_connection = connection is not None
    row.status = connection.status if connection else None
    row.is_primary = connection.is_primary if connection else None
    row.modified_at = connection.modified_at if connection else None
    row.modified_by = connection.modified_by if connection else ""
    row.target_uuid = connection.target_uuid if connection else None
    row.target_name = connection.target_name if connection else ""
    row.target_datacenter = connection.target_datacenter if connection else ""
    row.own_datacenter = connection.own_datacenter if connection else ""
    row.spelling = connection.spelling if connection else ""
    row.raw = result.raw
    row.answered_at = result.at
    row.answer_status = result.http_status
    row.answer_ms = result.elapsed_ms
    row.skew_seconds = result.skew


def _pin(organization: Organization, result: Result, entries: list[dict[str, Any]]) -> None:
    """Learn the organization's UUID from its first answer, where saving it could not."""
    if organization.uuid is None and result.connection is not None and _can_record():
        uuid = result.connection.organization_uuid
        pinned = Organization.objects.filter(pk=organization.pk, uuid__isnull=True).update(uuid=uuid)
        entry = {"event": Event.ORGANIZATION_PINNED, "organization": organization.name, "data": {"uuid": uuid}}
        entries += [entry] if pinned else []


def _can_record() -> bool:
    """Tell whether the key for entries is there: of all that is stored, only a UUID that is learned needs one."""
    try:
        keys.ring()
    except KeyRingUnusable:
        return False
    return True


def _event_of_attempt(row: Snapshot) -> Event:
    """Give how the record calls what came of the last attempt."""
    if row.attempt_phase == Phase.TLS:
        return Event.TLS_FAILURE
    if row.attempt_status is not None and 300 <= row.attempt_status < 400:
        return Event.REDIRECT_REFUSED
    return _EVENT_OF.get(ReadOutcome(row.outcome), Event.READ_CHANGED) if row.outcome else Event.READ_CHANGED


def _read_other_sides_again(changed: Collection[UUID]) -> None:
    """Make the other sides of what changed due at once, so that a change does not look like a split for long."""
    if not changed:
        return
    sides = Organization.objects.filter(pk__in=changed, pair__isnull=False).values("pair")
    others = Organization.objects.filter(pair__in=sides).exclude(pk__in=changed).values("pk")
    rows = Snapshot.objects.select_for_update(skip_locked=True).filter(pk__in=others, attempt_failed=False)
    Snapshot.objects.filter(pk__in=list(rows.order_by("pk").values_list("pk", flat=True))).update(due_at=Now())
