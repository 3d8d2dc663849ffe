"""What leaves with an export of the record? Exactly what the filters match, oldest first, line by line, with hashes."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import date, datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any

from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.chain import FIELDS, Place
from hamr_portal.models import AuditEntry

from . import audit, keys, log

logger = logging.getLogger(__name__)

BYTE_ORDER_MARK = "\ufeff"
"""Before CSV: without it Excel reads UTF-8 as the computer's old code page. Programs are better off with JSON Lines."""

_AT_A_TIME = 1000

_BEGINS = "\n\r\v\f\x1c-\x1e\x85\u2028\u2029;\t"
_SKIPPED = '" \t\x00-\x08\x0e-\x1b\x1f\xa0\xad\u1680\u180e\u2000-\u200f\u202a-\u202f\u205f-\u2064\u3000\ufeff'
_FORMULA = "=+@\uff1d\uff0b\uff0d\uff20\\-"
# A spreadsheet sees a cell begin after each line break, and, where it takes them for separators, after a semicolon
# and a tab; it skips blanks, quotes and what has no width. An apostrophe gets one more, so that it can be undone.
_BEFORE_A_FORMULA = re.compile(f"(?:\\A|(?<=[{_BEGINS}]))(?=[\t\r']|[{_SKIPPED}]*[{_FORMULA}])")


class Format(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"


class Outcome(StrEnum):
    """How far an export came: `COMPLETE` is told once the last line was taken."""

    BEGUN = "BEGUN"
    COMPLETE = "COMPLETE"


def lines(filters: log.Filters, *, format: str, by: Actor) -> Iterator[str]:
    """Give the lines of an export, each with its line break, after it was put on the record that it leaves.

    It ends before the entry that tells of it. JSON Lines have an entry a line as it was signed, so that
    `domain/chain.py` verifies them, and a last one that counts them. Raises `ValueError` for another format,
    `DatabaseError` where it cannot be recorded.
    """
    as_asked = Format(format)
    told = {"format": as_asked.value, "filters": plain_filters(filters)}
    with transaction.atomic():
        entry = audit.append(Event.LOG_EXPORTED, by=by, outcome=Outcome.BEGUN, data=told)
    return _written(_found(filters), told, entry, by)


def plain_filters(filters: log.Filters) -> dict[str, Any]:
    """Give what was asked for, as an export and its entry name it."""
    asked = {name: value for name, value in asdict(filters).items() if value not in ("", None)}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in asked.items()}


def _found(filters: log.Filters) -> QuerySet[AuditEntry]:
    """Give what matches; where a day is a moment, only from or up to then."""
    found = log.matching(filters)
    if isinstance(filters.since, datetime):
        found = found.filter(at__gte=filters.since)
    if isinstance(filters.until, datetime):
        found = found.filter(at__lte=filters.until)
    return found


def _written(found: QuerySet[AuditEntry], told: dict[str, Any], begun: AuditEntry, by: Actor) -> Iterator[str]:
    write = _csv_line if told["format"] == Format.CSV else _json_line
    summed, count = sha256(), 0
    if told["format"] == Format.CSV:
        header = BYTE_ORDER_MARK + _csv([*FIELDS, "hash"])
        summed.update(header.encode())
        yield header
    for line in _each(found, begun.seq, write):
        summed.update(line.encode())
        count += 1
        yield line
    came = {"entries": count, "sha256": summed.hexdigest()}
    if told["format"] == Format.JSONL:
        yield _last_line(came | told, begun, by)
    _complete(told | came | {"begun": begun.seq}, by)


def _each(found: QuerySet[AuditEntry], before: int, write: Callable[[AuditEntry], str]) -> Iterator[str]:
    """Read on by numbers, in portions: a cursor that stays open would hold the database for as long.

    A portion is so many numbers, not so many matches: the database never has to sort all that is left for the next.
    """
    for first in range(1, before, _AT_A_TIME):
        portion = found.filter(seq__gte=first, seq__lt=min(first + _AT_A_TIME, before))
        yield from map(write, audit.loaded(portion.order_by("seq")))


def _json_line(entry: AuditEntry) -> str:
    # ASCII: whatever a text holds, no reader takes one entry for two.
    return json.dumps(audit.plain(entry), separators=(",", ":")) + "\n"


def _last_line(came: dict[str, Any], begun: AuditEntry, by: Actor) -> str:
    head = Place(begun.seq - 1, begun.previous)
    more = {
        "head": asdict(head),
        "exported_at": audit.moment(timezone.now()),
        "by": by.name,
        "recorded_as": begun.seq,
    }
    return json.dumps(came | more, separators=(",", ":")) + "\n"


def _complete(told: dict[str, Any], by: Actor) -> None:
    try:
        with transaction.atomic():
            audit.append(Event.LOG_EXPORTED, by=by, outcome=Outcome.COMPLETE, data=told)
    except DatabaseError as error:
        # Everything has left, and that it would is on the record.
        logger.critical("audit.write_failed: %s: %s", Event.LOG_EXPORTED, type(error).__name__)


def verifying_keys(*, by: Actor) -> dict[str, str]:
    """Give the keys of the log as `domain/chain.py` takes them, after it was put on the record that they leave.

    Whoever has them can sign entries as well. Raises `KeyRingUnusable`, `CannotSign`.
    """
    given = {name: key.hex() for name, key in keys.ring().audit_keys.items()}
    with transaction.atomic():
        audit.append(Event.LOG_KEYS_GIVEN, by=by, data={"keys": sorted(given)})
    return given


# --- CSV --------------------------------------------------------------------------------------------------------


def defused(text: str) -> str:
    """Give a text that no spreadsheet takes for a formula: with an apostrophe wherever one could begin.

    Hashes are of the text as it was: of what is here, take one apostrophe away wherever a cell could begin.
    """
    return _BEFORE_A_FORMULA.sub("'", text)


def _csv_line(entry: AuditEntry) -> str:
    plain = audit.plain(entry)
    return _csv([_cell(plain[name]) for name in (*FIELDS, "hash")])


def _cell(value: Any) -> str:
    return "" if value is None else defused(str(value))


def _csv(cells: list[str]) -> str:
    return ",".join('"' + cell.replace('"', '""') + '"' for cell in cells) + "\r\n"
