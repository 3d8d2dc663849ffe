"""How do pages show entries of the audit log? What happened and what came of it in words, before and after, the rest.

Nothing of an entry is trusted here: the log may be in doubt, and shows what stands in the database.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeGuard

from django.template import Context
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus, sanitized

from ._entry_words import event_words, name_words, outcome_look, plainly, value_words
from ._looks import badge, icon, said
from ._time import day, machine

_SHOWN_APART = frozenset(
    {"before", "after", "from", "to", "reads_back", "keys", "request", "url", "raw", "http_status", "elapsed_ms"}
)
"""What an entry's data has a place of its own for."""

_IN_WORDS = frozenset({"phase", "at", "since", "status", "outcome", "trouble"})
"""What an entry's data keeps as the portal's own word, or as a moment."""

_LONGEST = 500
"""Characters of one value, where many are listed."""

IN_PLACE = 1500
"""Characters of a request or an answer, where a row opens in place; the entry's own page has all of it."""


_NOTHING = format_html('<span class="muted">{}</span>', "None")


class Entry(Protocol):
    """An entry, as it stands in the database."""

    at: datetime
    event: str
    outcome: str
    data: str
    actor_kind: str
    actor_name: str
    actor_address: str


@dataclass(frozen=True)
class _Told:
    """What an entry says of a side; nothing where it says nothing."""

    has_connection: bool | None = None
    status: int | None = None


def harmless(text: object) -> str:
    """Give text in which nothing hides or reorders what stands beside it."""
    return sanitized(str(text), len(str(text)))


def data_of(entry: Entry) -> dict[str, Any]:
    """Give what an entry tells in particular; nothing where that cannot be read any more."""
    try:
        told = json.loads(entry.data)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def when(context: Context, moment: datetime) -> SafeString:
    """Show a moment to the second, always with its day: `14 Mar 23:58:14`."""
    return format_html("{} <strong>{}</strong>", day(context, moment), f"{moment.astimezone(UTC):%H:%M:%S}")


def exact(moment: datetime) -> SafeString:
    """Show a moment as it was signed, to the microsecond."""
    text = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"
    return format_html('<time datetime="{}">{}</time>', machine(moment), text)


def short_actor(entry: Entry) -> str:
    """Give who it was in one word: a person by what stands before the @, the portal as itself."""
    if entry.actor_kind == "worker":
        return "portal"
    name = harmless(entry.actor_name)
    return (name.partition("@")[0] if entry.actor_kind in ("person", "visitor") else name) or "nobody named"


def actor_from(entry: Entry) -> str:
    """Give from where it was: an address, or which part of the portal."""
    if entry.actor_kind == "worker":
        return f"worker {harmless(entry.actor_name)}"
    return harmless(entry.actor_address) or ("" if entry.actor_kind == "person" else harmless(entry.actor_kind))


# --- what happened ----------------------------------------------------------------------------------------------


def happened(entry: Entry) -> str:
    """Give what an entry is about, in words."""
    return event_words(harmless(entry.event))


def outcome_of(entry: Entry) -> str:
    """Give what came of it in words alone, for paper."""
    look = outcome_look(entry.event, harmless(entry.outcome))
    return look[0] if look else ""


def came_of(entry: Entry) -> SafeString:
    """Show what came of it: glyph and words."""
    look = outcome_look(entry.event, harmless(entry.outcome))
    return said(*look) if look else _NOTHING


def before_after(entry: Entry) -> SafeString:
    """Show what was before and what is after: statuses as badges, keys as dots, anything else in words."""
    data = data_of(entry)
    if "to" in data or "target" in data:
        return _asked(data.get("from"), data.get("to", data.get("target")), knows_before="from" in data)
    if isinstance(data.get("reads_back"), dict):
        stays = " unchanged" if entry.outcome == ChangeStatus.NOT_APPLIED else ""
        return _change("{}{}", badge(_view(data["reads_back"]), size="sm"), stays)
    before, after = data.get("before"), data.get("after")
    if isinstance(before, dict) and isinstance(after, dict):
        return _of_views(before, after) if "has_connection" in after else _of_fields(before, after)
    if isinstance(before, str) and isinstance(after, str) and after:
        return _arrow(value_words(harmless(before)) or "Nothing", value_words(harmless(after)))
    if isinstance(data.get("pair"), str):
        return _change("{}", harmless(data["pair"]))
    if isinstance(data.get("keys"), dict):
        tails = [(name_words(harmless(name)), harmless(tail)) for name, tail in data["keys"].items()]
        return _change("{}", format_html_join(" ", '{} <span class="mono">{}</span>', tails))
    return _NOTHING


def _asked(before: object, after: object, *, knows_before: bool) -> SafeString:
    status = next((status for status in HamrStatus if status.name == after), None)
    asked = badge(_Told(True, status), size="sm") if status is not None else harmless(after)
    if not knows_before:
        return _change("{}", asked)
    told = _Told(True, before) if _is_number(before) else _Told()
    return _arrow(badge(told, size="sm"), asked)


def _of_views(before: Mapping[str, Any], after: Mapping[str, Any]) -> SafeString:
    shown, now = _view(before), _view(after)
    if shown == now:
        others = ", ".join(name_words(harmless(name)) for name, _, _ in _differences(before, after))
        return _change("{} unchanged{}", badge(now, size="sm"), f"; changed: {others}" if others else "")
    return _arrow(badge(shown, size="sm"), badge(now, size="sm"))


def _of_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> SafeString:
    rows = ((name_words(harmless(name)), _text(old), _text(new)) for name, old, new in _differences(before, after))
    lines = [format_html("{}: {}", name, _arrow(old, new)) for name, old, new in rows]
    return format_html_join("", "<div>{}</div>", ((line,) for line in lines))


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    names = dict.fromkeys([*before, *after])
    return ((name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name))


def _arrow(before: object, after: object) -> SafeString:
    return _change('{}{} <span class="vh">to</span> {}', before, icon("i-arrow"), after)


def _change(text: str, *parts: object) -> SafeString:
    return format_html('<span class="change">{}</span>', format_html(text, *parts))


def _view(told: Mapping[str, Any]) -> _Told:
    has, status = told.get("has_connection"), told.get("status")
    return _Told(has if isinstance(has, bool) else None, status if _is_number(status) else None)


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


# --- the rest ---------------------------------------------------------------------------------------------------


def particulars(entry: Entry) -> list[tuple[str, str]]:
    """Give what else an entry tells, by name, in the order in which it is kept."""
    data = data_of(entry)
    named = ((name, value) for name, value in data.items() if name not in _SHOWN_APART)
    return [(name_words(harmless(name)), _of(name, value)) for name, value in named if value not in (None, "", [], {})]


def request_of(entry: Entry) -> dict[str, str]:
    """Give the request that an entry is about: `url` and `body`; nothing where it is about none."""
    data = data_of(entry)
    if not isinstance(data.get("request"), str) or not data["request"]:
        return {}
    return {"url": harmless(data.get("url", "")), "body": data["request"]}


def answer_of(entry: Entry) -> dict[str, str]:
    """Give the answer that an entry tells of: `line` and `body`; nothing where it tells of none."""
    data = data_of(entry)
    status, took, raw = data.get("http_status"), data.get("elapsed_ms"), data.get("raw")
    parts = [f"HTTP {status}" if _is_number(status) else "", f"{took} ms" if _is_number(took) else ""]
    line = ", ".join(filter(None, parts))
    return {"line": line, "body": raw if isinstance(raw, str) else ""} if line or raw else {}


def in_place(text: str) -> str:
    """Cut what is too long for a row that opens in place."""
    return text if len(text) <= IN_PLACE else f"{text[:IN_PLACE]}…"


def grouped(hash_: str) -> str:
    """Give a hash so that it can be compared by eye: its first and last characters in groups of four."""
    return f"{hash_[:4]} {hash_[4:8]} … {hash_[-8:-4]} {hash_[-4:]}"


def thousands(number: int) -> str:
    """Give a number with its thousands apart: `1,284`."""
    return f"{number:,}"


def _of(name: str, value: object) -> str:
    """Give a value in words, where its name says what kind it is."""
    if not isinstance(value, str):
        return _text(value)
    if name == "role":
        return _text(value.lower())
    return _text(
        plainly(value)
        if name == "detail"
        else value_words(value)
        if name in _IN_WORDS or name.endswith("_at")
        else value
    )


def in_words(value: str) -> str:
    """Give a fact in words: a moment, a status, what came of a read; any other text as it is kept."""
    return harmless(value_words(value))


def _text(value: object) -> str:
    if value is None or value == "":
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return harmless(", ".join(value_words(each) for each in value))[:_LONGEST]
    return sanitized(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), _LONGEST)
