"""Which test injects which fault of RELIABILITY.md? Rows 18 to 58: each is tested here or elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent

ELSEWHERE = {
    **dict.fromkeys((34, 36, 37, 38, 39), "crashes/test_crash_points.py"),
    **dict.fromkeys((40, 41, 42), "crashes/test_graceful_stop.py"),
    45: "crashes/test_dying_server.py",
    50: "test_checks.py",
}


def rows_of(name: str) -> set[int]:
    """Give the rows that a test's name says: `test_row_18_…`, `test_rows_43_and_44_…`, `test_rows_28_to_30_…`."""
    told = re.match(r"test_rows?_(\d+)(?:_(and|to)_(\d+))?_", name)
    if told is None:
        return set()
    first, last = int(told[1]), int(told[3] or told[1])
    return {first, last} if told[2] == "and" else set(range(first, last + 1))


def test_each_row_has_a_test() -> None:
    names = re.findall(r"^def (test_\w+)", "\n".join(file.read_text() for file in HERE.glob("test_*_faults.py")), re.M)

    tested = set().union(*map(rows_of, names))

    assert sorted(set(range(18, 59)) - tested - ELSEWHERE.keys()) == []
    assert [name for name in names if not rows_of(name)] == []
    assert [file for file in ELSEWHERE.values() if not (HERE.parent / file).is_file()] == []
