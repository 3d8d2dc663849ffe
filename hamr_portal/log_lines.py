"""How is an event written to a log? As one line, whatever its text holds, and with nothing of what a program held."""

from __future__ import annotations

import json
import logging
import re
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being answered; the page and the audit entry show the same."""

_LONGEST = 8000
"""Characters of a message that are kept: a log is no place for an answer of a megabyte."""

_FRAMES = 40

_LIKE_A_KEY = re.compile(r"(?=[A-Za-z_-]*[0-9])[0-9A-Za-z_-]{16,}")
"""What keys and tokens look like, and little else that an exception says."""

ErrorInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class Lines(logging.Formatter):
    """Writes each event as one line: JSON, or for a terminal as text with the same escapes."""

    def __init__(self, *, for_people: bool = False, **_: Any) -> None:
        super().__init__()
        self.for_people = for_people

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        told: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        request = getattr(getattr(record, "request", None), "id", "") or request_id.get()
        if request:
            told["request"] = request
        if record.exc_info and record.exc_info[1] is not None:
            told["error"] = error_lines(record.exc_info[1])
        if self.for_people:
            error = [f" | {escaped(line)}" for line in told.pop("error", [])]  # type: ignore[attr-defined]
            return " ".join(escaped(str(value)) for value in told.values()) + "".join(error)
        # In ASCII nothing but DEL is left that moves a cursor, ends a line, or turns the direction of reading.
        return json.dumps(told).replace("\x7f", "\\u007f")


def _message(record: logging.LogRecord) -> str:
    try:
        message = record.getMessage()
    except (TypeError, ValueError, KeyError):
        # A wrong format must not cost the line; its arguments may be what was not to be told.
        message = str(record.msg)
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"


def escaped(text: str) -> str:
    """Give text in one line: what moves a cursor, ends a line or turns the direction of reading, as its number."""
    return "".join(_escape(character) for character in text)


def _escape(character: str) -> str:
    if character.isprintable():
        return character
    number = ord(character)
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def error_lines(error: BaseException) -> list[str]:
    """Give what happened and where, the first cause first, without anything that the program held at that moment."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        quiet = following.__suppress_context__
        following = following.__cause__ or (None if quiet else following.__context__)
    return [line for each in reversed(chain) for line in (*_places(each), _said(each))]


def _places(error: BaseException) -> list[str]:
    # Never asked for the lines of the source, and never for the frames' locals.
    frames = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    return [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames[-_FRAMES:]]


def _said(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - whatever an exception's own text does, the event is told
        text = "(its text cannot be read)"
    text = _LIKE_A_KEY.sub("***", text[:_LONGEST])
    name = type(error).__qualname__
    return f"{name}: {text}" if text else name
