"""What leaves is exactly what was asked for, can be verified by anybody who has the keys, and runs nothing."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from hashlib import sha256
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hamr_portal.domain import chain
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.chain import FIELDS, walk
from hamr_portal.models import AuditEntry
from hamr_portal.services import audit, exports, keys
from hamr_portal.services.log import Filters
from tests import factories

pytestmark = pytest.mark.django_db

NOW = datetime.fromisoformat("2026-03-15T03:06:32+00:00")
EVERYTHING = Filters()
FORMULA = re.compile('^[\\s"\u200b\ufeff]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r]')
BEGINS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029;\t"
texts = st.text(st.sampled_from("=+-@\t\r\n\v;,'\" \xa0\u200b\u2028\ufeff\uff1dab1ö") | st.characters(codec="utf-8"))
SAME_DATABASE = hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def record(count: int = 1, **fields: Any) -> None:
    for _ in range(count):
        with transaction.atomic():
            audit.append(Event.ORGANIZATION_EDITED, by=factories.ADMIN, **{"organization": "acme", **fields})


def exported(filters: Filters = EVERYTHING, form: str = "jsonl", by: Actor = factories.ADMIN) -> list[str]:
    return list(exports.lines(filters, format=form, by=by))


def entries_in(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines[:-1]]


def rows_in(lines: list[str], delimiter: str = ",") -> list[list[str]]:
    text = "".join(lines).removeprefix(exports.BYTE_ORDER_MARK)
    return list(csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=delimiter == ","))


@contextmanager
def undone() -> Iterator[None]:
    """Take back what is written within: each example begins with an empty record."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def with_apostrophes_taken_away(text: str) -> str:
    return re.sub(f"(?:\\A|(?<=[{BEGINS}]))'", "", text)


def test_json_lines_hold_each_entry_as_it_was_signed_oldest_first():
    record(3, reason="Grüße, \u201cquoted\u201d", data={"keys": ["····1e07"], "ratio": 0.1})

    lines = exported()

    assert [each["seq"] for each in entries_in(lines)] == [1, 2, 3]
    assert entries_in(lines) == [audit.plain(entry) for entry in AuditEntry.objects.filter(seq__lte=3).order_by("seq")]
    came = walk(entries_in(lines), keys.ring().audit_keys)
    assert (came.entries, came.broken) == (3, None)


def test_the_last_line_counts_and_sums_up_all_before_it():
    record(2)
    head = audit.head()

    with time_machine.travel(NOW, tick=False):
        lines = exported(Filters(organization="acme", until=date(2099, 1, 1)))

    assert json.loads(lines[-1]) == {
        "entries": 2,
        "sha256": sha256("".join(lines[:-1]).encode()).hexdigest(),
        "format": "jsonl",
        "filters": {"organization": "acme", "until": "2099-01-01"},
        "head": {"seq": 2, "hash": head.hash},
        "exported_at": "2026-03-15T03:06:32.000000Z",
        "by": "admin@halden.example",
        "recorded_as": 3,
    }


def test_the_stand_alone_verifier_takes_an_export_and_finds_one_changed_letter(tmp_path, capsys):
    record(3, reason="The region is dark")
    known = tmp_path / "keys.json"
    known.write_text(json.dumps({name: key.hex() for name, key in keys.ring().audit_keys.items()}))
    whole, changed = tmp_path / "whole.jsonl", tmp_path / "changed.jsonl"
    lines = exported()
    whole.write_text("".join(lines))
    changed.write_text("".join([lines[0], lines[1].replace("dark", "bark"), *lines[2:]]))

    ends = [chain.main([str(file), "--keys", str(known)]) for file in (whole, changed)]

    assert ends == [0, 1]
    assert "Entry 2: its content is not what was signed" in capsys.readouterr().out


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_selection_is_exactly_what_the_filters_match_and_is_whole(form: str):
    for number in range(12):
        record(organization="acme" if number % 3 else "other", reason="needle" if number % 2 else "")

    filters = Filters(organization="acme", q="needle")
    lines = exported(filters, form)

    assert exports.plain_filters(filters) == {"organization": "acme", "q": "needle"}
    if form == "jsonl":
        assert [each["seq"] for each in entries_in(lines)] == [2, 6, 8, 12]
        came = walk(entries_in(lines), keys.ring().audit_keys, with_gaps=True)
        assert (came.entries, came.broken) == (4, None)
    else:
        assert [row[0] for row in rows_in(lines)] == ["seq", "2", "6", "8", "12"]


def test_more_than_one_portion_is_read_without_a_gap_or_a_double(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exports, "_AT_A_TIME", 4)
    record(9)

    assert [each["seq"] for each in entries_in(exported())] == list(range(1, 10))


def test_it_ends_where_it_began_when_a_portion_ends_there_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(exports, "_AT_A_TIME", 4)
    record(8)

    lines = exports.lines(EVERYTHING, format="jsonl", by=factories.ADMIN)
    record(5)

    assert [each["seq"] for each in entries_in(list(lines))] == list(range(1, 9))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(since=NOW), [2, 3]),
        (Filters(until=NOW), [1, 2]),
        (Filters(since=NOW + timedelta(seconds=1)), [3]),
        (Filters(since=NOW.date(), until=NOW.date()), [1, 2, 3]),
        (Filters(since=NOW.date() + timedelta(days=1)), []),
        (Filters(until=NOW.date() - timedelta(days=1)), []),
    ],
)
def test_a_time_is_a_day_or_a_moment(filters: Filters, expected: list[int]):
    for moment in (NOW - timedelta(hours=1), NOW, NOW + timedelta(hours=1)):
        with time_machine.travel(moment, tick=False):
            record()

    assert [each["seq"] for each in entries_in(exported(filters))] == expected


# --- on the record ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_it_is_on_the_record_before_the_first_line_leaves_and_again_after_the_last(form: str):
    record(2)

    lines = exports.lines(Filters(organization="acme"), format=form, by=factories.ADMIN)
    begun = AuditEntry.objects.get(event="audit.exported")
    taken = list(lines)

    told = {"format": form, "filters": {"organization": "acme"}}
    assert (begun.seq, begun.outcome, begun.actor_name) == (3, "BEGUN", "admin@halden.example")
    assert json.loads(begun.data) == told
    done = AuditEntry.objects.get(event="audit.exported", outcome="COMPLETE")
    summed = taken if form == "csv" else taken[:-1]
    digest = sha256("".join(summed).encode()).hexdigest()
    assert json.loads(done.data) == told | {"begun": 3, "entries": 2, "sha256": digest}


def test_what_comes_in_meanwhile_does_not_come_along():
    record(2)

    lines = exports.lines(EVERYTHING, format="jsonl", by=factories.ADMIN)
    record(2)

    assert [each["seq"] for each in entries_in(list(lines))] == [1, 2]


def test_an_export_that_nobody_took_to_the_end_is_not_complete():
    record(2)

    lines = exports.lines(EVERYTHING, format="jsonl", by=factories.ADMIN)
    next(lines)
    del lines

    assert list(AuditEntry.objects.filter(event="audit.exported").values_list("outcome", flat=True)) == ["BEGUN"]


def test_nothing_leaves_without_a_record():
    record()
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(DatabaseError):
        exports.lines(EVERYTHING, format="jsonl", by=factories.ADMIN)


def test_what_has_left_has_left_when_the_record_takes_nothing_more(caplog: pytest.LogCaptureFixture):
    record()

    lines = exports.lines(EVERYTHING, format="csv", by=factories.ADMIN)
    settings.KEY_RING_FILE.unlink()

    assert len(list(lines)) == 2
    assert "audit.write_failed: audit.exported: CannotSign" in caplog.messages


def test_another_format_is_refused_and_not_recorded():
    with pytest.raises(ValueError, match="xlsx"):
        exports.lines(EVERYTHING, format="xlsx", by=factories.ADMIN)

    assert not AuditEntry.objects.exists()


def test_an_empty_export_says_so():
    assert [json.loads(line)["entries"] for line in exported()] == [0]
    assert len(exported(Filters(organization="nobody"), "csv")) == 1


def test_the_keys_that_verify_an_export_leave_as_the_verifier_takes_them_and_that_is_on_the_record():
    record()

    given = exports.verifying_keys(by=factories.ADMIN)

    as_taken = {name: bytes.fromhex(key) for name, key in given.items()}
    assert walk(entries_in(exported())[:1], as_taken).broken is None
    entry = AuditEntry.objects.get(event=Event.LOG_KEYS_GIVEN)
    assert json.loads(entry.data) == {"keys": sorted(given)}
    assert not any(key in entry.data for key in given.values())


def test_no_key_leaves_where_that_cannot_be_recorded():
    def refuses(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("INSERT"):
            raise OperationalError("attempt to write a readonly database")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuses), pytest.raises(DatabaseError):
        exports.verifying_keys(by=factories.ADMIN)


# --- CSV --------------------------------------------------------------------------------------------------------


def test_csv_has_a_header_and_every_field_quoted():
    record(reason='a "b", c\nd', change=7)

    header, line = exported(form="csv")

    assert header == exports.BYTE_ORDER_MARK + ",".join(f'"{name}"' for name in (*FIELDS, "hash")) + "\r\n"
    assert '"a ""b"", c\nd"' in line
    assert line.endswith('"\r\n')
    assert rows_in([line])[0][FIELDS.index("change")] == "7"


@example("=1+1")
@example("  =1+1")
@example("\xa0@SUM(A1)")
@example("fine\n+1")
@example("fine;=1+1")
@example("';'")
@example("\t\t")
@example("\r\n=1")
@given(texts)
def test_no_text_begins_a_formula_and_each_can_be_had_back(text: str):
    safe = exports.defused(text)

    assert not any(FORMULA.match(part) for part in [safe, *re.split(f"[{BEGINS}]", safe)])
    assert with_apostrophes_taken_away(safe) == text


@pytest.mark.parametrize("text", ["Region is dark", "INC-4711", "a-b", "x = 1", "10.0.0.9", "", '{"a":-1}', "it's"])
def test_a_text_that_begins_none_is_left_alone(text: str):
    assert exports.defused(text) == text


@SAME_DATABASE
@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=4))
def test_an_export_of_anything_parses_to_the_same_rows_and_verifies(entries: list[tuple[str, str, str]]):
    with undone():
        for reason, ticket, value in entries:
            record(reason=reason, ticket=ticket, data={"raw": value})
        rows = [audit.plain(entry) for entry in AuditEntry.objects.order_by("seq")]

        parsed, as_json = rows_in(exported(form="csv")), exported()

        came = walk(entries_in(as_json), keys.ring().audit_keys)
    assert [[with_apostrophes_taken_away(cell) for cell in row] for row in parsed[1:]] == [
        ["" if row[name] is None else str(row[name]) for name in (*FIELDS, "hash")] for row in rows
    ]
    assert entries_in(as_json)[: len(rows)] == rows
    assert came.broken is None
    assert not [cell for row in parsed for cell in row if FORMULA.match(cell)]


@example(["", ";"])
@given(st.lists(texts, min_size=1, max_size=3))
def test_where_semicolons_separate_no_cell_begins_a_formula_either(cells: list[str]):
    line = exports._csv([exports.defused(cell) for cell in cells])

    # The quote that ends the line may begin a cell there, which then holds nothing but the line's own break.
    parsed = [cell.removesuffix("\r\n") for row in rows_in([line], ";") for cell in row]
    assert not [cell for cell in parsed if FORMULA.match(cell)]
