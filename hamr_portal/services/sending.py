"""How does the one request of a change go out, and how is what came of it kept?"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.db import Error as DatabaseError
from django.utils import timezone

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import UNSETTLED, Move, What
from hamr_portal.domain.connections import View, sanitized
from hamr_portal.domain.evidence import READ_AFTER
from hamr_portal.hamr_client import Answer, HamrError, NotSent, Phase, Rejected
from hamr_portal.models import Change, LogLine

from . import audit, spool
from .connections import ASTRAY, Flight, client_for
from .moves import AlreadyMoved, move, once_more, tell

logger = logging.getLogger(__name__)

ANSWERS = frozenset({Move.NOT_SENT, Move.REJECT, Move.ACCEPT, Move.LOSE})
"""The moves that a request calls for by what came of it."""

LATEST_START = 15.0
"""Seconds after which a request that was announced does not leave any more: it could be taken for abandoned."""


class NotRecordedYet(Exception):
    """The request was sent and `came` of it, but the database could not take that. It is recorded later."""

    def __init__(self, change: Change, came: Came, *, spooled: bool) -> None:
        super().__init__(f"change {change.pk}: {came.move.name} is not recorded yet")
        self.change = change
        self.came = came
        self.spooled = spooled


def post_deadline() -> float:
    """Give the seconds that a POST may take: two more than a read, so that ten by default."""
    seconds: float = settings.HAMR_DEADLINE + 2
    return seconds


@dataclass(frozen=True)
class Came:
    """What came of the one POST: the move that it calls for, and what the client saw."""

    move: Move
    at: datetime
    reason: str = ""
    phase: str = ""
    http_status: int | None = None
    elapsed_ms: int | None = None
    retry_after: float | None = None
    raw: str = ""
    echo: View | None = None

    def line(self) -> LogLine:
        """Give this as a line of the change's log."""
        view = asdict(self.echo) if self.echo is not None else {}
        return LogLine(at=self.at, **self._seen(), **view)

    def data(self) -> dict[str, Any]:
        """Give this as the record keeps it."""
        return {"seen_at": self.at, **self._seen()}

    def _seen(self) -> dict[str, Any]:
        names = ("reason", "phase", "http_status", "elapsed_ms", "retry_after", "raw")
        return {name: getattr(self, name) for name in names}


def post(change: Change, flight: Flight, *, since: float) -> Came:
    """Send the request, once; `since` is the monotonic moment of the announcement. It raises nothing of the network."""
    assert flight.site is not None  # noqa: S101 - nothing is announced for a side that was not read
    assert flight.credentials is not None  # noqa: S101
    if flight.is_astray:
        return Came(Move.NOT_SENT, timezone.now(), reason=ASTRAY, phase=Phase.RESOLVE)
    if _is_too_late(change, since):
        return Came(Move.NOT_SENT, timezone.now(), reason="too late after it was announced", phase=Phase.RESOLVE)
    try:
        answer = client_for(flight.site).write(
            flight.site, flight.credentials, change.request.encode(), seconds=post_deadline()
        )
    except NotSent as error:
        return _failed(Move.NOT_SENT, error)
    except Rejected as error:
        return _failed(Move.REJECT, error)
    except HamrError as error:
        return _failed(Move.LOSE, error)
    return _answered(change, answer, flight.pinned)


def _is_too_late(change: Change, since: float) -> bool:
    """Tell whether the change could be taken for abandoned by now."""
    # By both clocks: the monotonic one stands still while a machine is suspended, the other one can be set.
    assert change.sent_at is not None  # noqa: S101 - it was announced
    by_the_wall = abs((timezone.now() - change.sent_at).total_seconds())
    return max(time.monotonic() - since, by_the_wall) > LATEST_START


def record(change: Change, came: Came, *, by: Actor) -> None:
    """Put what came of it into the database, or where that fails into the spool. Raises `NotRecordedYet`."""
    try:
        once_more(lambda: _record(change, came, by))
    except DatabaseError as error:
        logger.critical("change %s: %s is not recorded: %s", change.pk, came.move.name, type(error).__name__)
        raise NotRecordedYet(change, came, spooled=_spool(change, came, by)) from None


def record_spooled(line: Mapping[str, Any]) -> None:
    """Put a line of the spool into the database, while that is there; raises Django's `OperationalError` where not."""
    try:
        _record_spooled(line)
    except (DataError, IntegrityError, KeyError, TypeError, ValueError, ArithmeticError) as error:
        # It would stand in the way of every line behind it. What it told of is reconciled by reading.
        logger.critical("a line of the spool cannot be recorded: %s", type(error).__name__)


def _record_spooled(line: Mapping[str, Any]) -> None:
    change = Change.objects.select_related("organization").filter(pk=line["change"], nonce=line["nonce"]).first()
    if change is None:
        logger.critical("the spool tells of change %s, which is not in this database", line["change"])
        return
    seen = dict(line["came"])
    seen["at"] = datetime.fromisoformat(seen["at"])
    came = Came(**{**seen, "move": Move[seen["move"]]}, echo=_view(line["echo"]))
    if came.move not in ANSWERS:
        raise ValueError(came.move)
    _record(change, came, Actor(**line["by"]))


def _record(change: Change, came: Came, by: Actor) -> None:
    if change.log.filter(move=came.move.name, at=came.at).exists():
        return  # recorded already: the commit's own answer was lost, or the spool's line was not yet taken out
    fields: dict[str, Any] = {"http_status": came.http_status}
    if came.move.reaches in UNSETTLED:
        fields["check_at"] = came.at + timedelta(seconds=READ_AFTER[0])
    else:
        fields["settled_at"] = came.at
    if came.echo is not None:
        fields |= {"writer": came.echo.modified_by or change.writer, "applied_modified_at": came.echo.modified_at}
    try:
        move(change, came.move, by=by, told=came.line(), data=came.data(), fields=fields)
    except AlreadyMoved:
        # It was taken for abandoned, and has been reconciled since. What was seen is told all the same.
        with transaction.atomic():
            line = came.line()
            line.what, line.move, line.by = What.MOVED, came.move.name, by.name
            tell(change, [line])
            data = {**came.data(), "too_late_for": came.move.name}
            audit.append(came.move.event, by=by, organization=change.organization.name, change=change.pk, data=data)


def _spool(change: Change, came: Came, by: Actor) -> bool:
    told = {name: value for name, value in vars(came).items() if name != "echo"}
    line = {
        "change": change.pk,
        "nonce": change.nonce,
        "by": asdict(by),
        "came": {**told, "move": came.move.name, "at": came.at.isoformat()},
        "echo": _plain(came.echo),
    }
    try:
        spool.put(line)
    except OSError as error:
        logger.critical("change %s: the spool could not be written either: %s", change.pk, error.strerror)
        return False
    return True


def _plain(view: View | None) -> dict[str, Any] | None:
    if view is None:
        return None
    texts = {"modified_at": view.modified_at.isoformat() if view.modified_at else None}
    return asdict(view) | texts | {"target_uuid": str(view.target_uuid) if view.target_uuid else None}


def _view(plain: Mapping[str, Any] | None) -> View | None:
    if plain is None:
        return None
    modified_at, target = plain["modified_at"], plain["target_uuid"]
    return View(
        **{
            **plain,
            "modified_at": datetime.fromisoformat(modified_at) if modified_at else None,
            "target_uuid": UUID(target) if target else None,
        }
    )


def _failed(by_way_of: Move, error: HamrError) -> Came:
    return Came(
        by_way_of,
        timezone.now(),
        reason=sanitized(error.reason, 300),
        phase=error.phase,
        http_status=error.http_status,
        elapsed_ms=error.elapsed_ms,
        retry_after=error.retry_after,
        raw=error.raw,
    )


def _answered(change: Change, answer: Answer, organization_uuid: UUID | None) -> Came:
    # It asks no database: one that died meanwhile must not take the outcome with it.
    echo = answer.connection
    repeated = echo is not None and change.asked.is_repeated_by(echo, organization_uuid)
    return Came(
        Move.ACCEPT if repeated else Move.LOSE,
        timezone.now(),
        reason="" if repeated else "Datadog answered something else than was asked",
        phase=Phase.ANSWER,
        http_status=answer.http_status,
        elapsed_ms=answer.elapsed_ms,
        raw=answer.raw,
        echo=View.of(echo) if repeated else None,
    )
