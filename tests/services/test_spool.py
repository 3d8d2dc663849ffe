from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from hamr_portal.services import spool

WRITES_MANY_LINES = """
import sys, django
from pathlib import Path
from django.conf import settings
django.setup()
settings.SPOOL_FILE = Path(sys.argv[1])
from hamr_portal.services import spool
for number in range(100):
    spool.put({"process": sys.argv[2], "number": number, "text": "x" * 5000})
"""


def delivered() -> list[Any]:
    lines: list[Any] = []
    spool.deliver(lines.append)
    return lines


def test_what_was_put_is_delivered_once_oldest_first():
    for number in range(3):
        spool.put({"number": number, "reason": "Müller — 東京\nsecond line"})

    assert delivered() == [{"number": number, "reason": "Müller — 東京\nsecond line"} for number in range(3)]
    assert delivered() == []


def test_without_a_spool_nothing_is_delivered_and_no_file_appears(settings: Settings):
    assert delivered() == []
    assert not settings.SPOOL_FILE.exists()


def test_the_spool_is_for_the_portal_alone(settings: Settings, tmp_path: Path):
    settings.SPOOL_FILE = tmp_path / "var" / "deep" / "spool.jsonl"

    spool.put({"number": 1})

    assert stat.S_IMODE(settings.SPOOL_FILE.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.SPOOL_FILE.parent.stat().st_mode) == 0o700


def test_a_line_is_one_line_of_json_that_a_person_can_read(settings: Settings):
    spool.put({"text": "größer\n"})
    spool.put({"text": "2"})

    assert settings.SPOOL_FILE.read_text(encoding="utf-8") == '{"text": "größer\\n"}\n{"text": "2"}\n'


@pytest.mark.parametrize("cut", [b'{"number": 1, "te', b"", b"\xff\xfe\x00", b"[1, 2"])
def test_a_line_that_was_cut_off_is_reported_and_the_next_is_delivered(
    settings: Settings, caplog: pytest.LogCaptureFixture, cut: bytes
):
    settings.SPOOL_FILE.write_bytes(cut + b"\n")
    spool.put({"number": 2})

    assert delivered() == [{"number": 2}]
    (line,) = caplog.records
    assert (line.levelname, line.getMessage()) == (
        "CRITICAL",
        f"the spool holds a line that cannot be read: {len(cut) + 1} bytes",
    )
    assert settings.SPOOL_FILE.read_bytes() == b""


def test_a_line_that_was_cut_off_at_the_very_end_is_not_waited_for(settings: Settings):
    spool.put({"number": 1})
    with settings.SPOOL_FILE.open("ab") as file:
        file.write(b'{"number": 2, "te')

    assert delivered() == [{"number": 1}]
    assert settings.SPOOL_FILE.read_bytes() == b""


def test_a_line_that_was_cut_off_does_not_take_the_next_with_it(settings: Settings):
    settings.SPOOL_FILE.write_bytes(b'{"number": 1}\n{"number": 2, "te')

    spool.put({"number": 3})

    assert delivered() == [{"number": 1}, {"number": 3}]


def test_a_line_that_the_disk_takes_half_of_is_not_taken_for_kept(settings: Settings):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            spool.put({"number": 1, "text": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    spool.put({"number": 2})

    assert delivered() == [{"number": 2}]


def test_a_line_stays_until_it_was_recorded(settings: Settings):
    for number in range(3):
        spool.put({"number": number})
    lines: list[Any] = []

    def record(line: Mapping[str, Any]) -> None:
        if line["number"] == 1:
            raise OSError("the database is away")
        lines.append(line)

    with pytest.raises(OSError, match="the database is away"):
        spool.deliver(record)

    assert lines == [{"number": 0}]
    assert [json.loads(line) for line in settings.SPOOL_FILE.read_text().splitlines()] == [{"number": 1}, {"number": 2}]
    assert delivered() == [{"number": 1}, {"number": 2}]


def test_a_spool_that_cannot_be_written_says_so(settings: Settings, tmp_path: Path):
    (tmp_path / "var").write_text("a file, where a folder should be")
    settings.SPOOL_FILE = tmp_path / "var" / "spool.jsonl"

    with pytest.raises(OSError, match="var"):
        spool.put({"number": 1})


def test_no_file_stays_open(settings: Settings):
    spool.put({"number": 1})
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - its own handle is counted on both sides

    spool.put({"number": 2})
    delivered()

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_the_lines_of_two_processes_do_not_mix(settings: Settings):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITES_MANY_LINES, str(settings.SPOOL_FILE), name],
            env=environment,
            cwd=Path(__file__).parents[2],
        )
        for name in ("one", "two")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]

    lines = delivered()

    for name in ("one", "two"):
        assert [line["number"] for line in lines if line["process"] == name] == list(range(100))
    assert all(len(line["text"]) == 5000 for line in lines)
