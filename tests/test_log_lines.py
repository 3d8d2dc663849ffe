"""One event is one line, whatever its text holds; and of an error, nothing that the program held."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamr_portal.domain.organizations import Secret
from hamr_portal.log_lines import Lines, error_lines, escaped, request_id

CANARY = "canary0api0key0aaaaaaaaaaaa1e07"
HOSTILE = '\r\n\x1b[2K\x1b]0;owned\x07\u202egnp\u2066\u2028\x85\x9b31m\x00\x7f\ud800{"level": "INFO"}'
ENDS_A_LINE = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def record(message: str, *args: Any, error: BaseException | None = None, **fields: Any) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error is not None else None
    made = logging.LogRecord("hamr_portal.tests", logging.WARNING, "", 0, message, args, info)
    made.__dict__.update(fields)
    return made


def raised(error: BaseException) -> BaseException:
    held = CANARY  # noqa: F841 - what a frame holds when something goes wrong
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001
        return caught


def raised_from(text: str, *, hidden: bool) -> BaseException:
    error = RuntimeError(text)
    error.__context__ = raised(ValueError("hidden"))
    error.__suppress_context__ = hidden
    return raised(error)


def is_one_plain_line(line: str) -> bool:
    return line.isprintable() and len(line.splitlines()) == 1


@pytest.mark.parametrize("for_people", [False, True])
def test_hostile_text_stays_in_its_line(for_people: bool) -> None:
    line = Lines(for_people=for_people).format(record("agent %s", HOSTILE, error=raised(ValueError(HOSTILE))))

    assert is_one_plain_line(line)
    assert "owned" in line


@given(st.text(st.characters(codec=None), max_size=60), st.booleans())
def test_any_text_is_one_line_that_can_be_printed(text: str, for_people: bool) -> None:
    line = Lines(for_people=for_people).format(record("%s", text, error=raised(ValueError(text))))

    assert is_one_plain_line(line)
    assert line.encode()


def test_a_line_is_json_and_holds_what_was_said() -> None:
    line = json.loads(Lines().format(record("from %s", "us1\nus5")))

    assert line.pop("at").startswith("20")
    assert line == {"level": "WARNING", "logger": "hamr_portal.tests", "message": "from us1\nus5"}


def test_a_line_tells_the_request_that_is_being_answered() -> None:
    token = request_id.set("e-1234abcd")

    line = json.loads(Lines().format(record("seen")))

    request_id.reset(token)
    assert line["request"] == "e-1234abcd"
    assert "request" not in json.loads(Lines().format(record("seen")))


def test_an_error_tells_where_and_what_and_its_cause_first() -> None:
    try:
        try:
            raise KeyError("cause")
        except KeyError as cause:
            raise RuntimeError("effect") from cause
    except RuntimeError as error:
        told = json.loads(Lines().format(record("failed", error=error)))["error"]

    assert [line.partition(":")[0] for line in told if "test_log_lines" not in line] == ["KeyError", "RuntimeError"]
    assert told[0].endswith("in test_an_error_tells_where_and_what_and_its_cause_first")


def test_what_is_raised_from_none_hides_what_was_before() -> None:
    error = raised_from("shown", hidden=True)

    assert "hidden" not in "".join(error_lines(error))


def test_what_came_up_while_another_error_was_handled_tells_both() -> None:
    error = raised_from("second", hidden=False)

    told = [line for line in error_lines(error) if "Error" in line]
    assert told == ["ValueError: hidden", "RuntimeError: second"]


def test_errors_that_are_each_others_cause_are_told_once() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one

    assert error_lines(one) == ["ValueError: two", "ValueError: one"]


def test_nothing_that_a_frame_held_and_no_key_in_an_errors_text_is_told() -> None:
    error = raised(ValueError(f"Invalid header value: '{CANARY}'"))

    line = Lines().format(record("failed", error=error))

    assert "Invalid header value: '***'" in line
    assert CANARY not in line


def test_a_secret_is_told_as_stars() -> None:
    assert "Secret(***)" in Lines().format(record("sealed %s", Secret(CANARY)))


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError(CANARY)


def test_an_error_without_a_text_and_one_whose_text_fails_are_told_by_name() -> None:
    assert error_lines(ValueError()) == ["ValueError"]
    assert error_lines(Unreadable()) == ["Unreadable: (its text cannot be read)"]


def test_a_wrong_format_costs_neither_the_line_nor_its_arguments_secrecy() -> None:
    line = json.loads(Lines().format(record("%d of", CANARY)))

    assert line["message"] == "%d of"


def test_a_megabyte_is_cut() -> None:
    assert len(Lines().format(record("%s", "x" * 1_000_000))) < 10_000


def test_no_error_is_no_error() -> None:
    made = record("seen")
    made.exc_info = (None, None, None)

    assert "error" not in json.loads(Lines().format(made))


def test_an_escape_is_the_characters_number() -> None:
    assert escaped("a\n\U000e0001ä") == "a\\n".replace("\\n", "\\u000a") + "\\U000e0001ä"


def test_the_heads_of_the_record_stay_as_they_are(settings: Any) -> None:
    assert "formatter" not in settings.LOGGING["handlers"]["stdout"]
    assert settings.LOGGING["loggers"]["hamr_portal.heads"]["handlers"] == ["stdout"]
    assert settings.LOGGING["handlers"]["stderr"]["formatter"] == "line"
    assert sys.stderr.isatty() == settings.LOGGING["formatters"]["line"]["for_people"]
