"""How long does the audit log take at a million entries, compared with a thousand? On SQLite and PostgreSQL.

Run: python -m benchmarks.audit_log [--entries 1000000]. Prints a table and writes it into docs/performance.md; where a
ratio is above 1.3, it prints how the database finds the answer. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import filled_log
from tests import pgcluster

DOCUMENT = Path(__file__).parent.parent / "docs" / "performance.md"
BEGIN, END = "<!-- benchmarks/audit_log.py begins -->", "<!-- benchmarks/audit_log.py ends -->"
NAMES = ("short", "long")
WORTH_A_LOOK = 1.3
SLOW_MS = 300
"""Milliseconds from which on a question is asked three times only."""

write = sys.stdout.write


class Log:
    """A filled log, in a process of its own that is asked through a pipe."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=filled_log.serve, args=(theirs, environment), daemon=True)
        self._process.start()
        theirs.close()

    def call(self, name: str, *arguments: object) -> Any:
        """Let it do one of the functions of `filled_log`."""
        self._pipe.send((name, arguments))
        return self._pipe.recv()

    def close(self) -> None:
        """End its process."""
        self._pipe.close()
        self._process.join()


def main() -> None:
    """Fill, ask by turns, print and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, help="the long log (default: a million)")
    parser.add_argument("--beside", type=int, default=1000, help="the short log it is compared with")
    parser.add_argument("--rounds", type=int, default=30, help="how often each question is asked of each log")
    parser.add_argument("--print-only", action="store_true", help="leave docs/performance.md as it is")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="audit-log-")))
        server = stack.enter_context(pgcluster.running())
        results = {
            "SQLite": _measure(folder, "sqlite", [f"sqlite:///{folder}/{name}.sqlite3" for name in NAMES], options),
            "PostgreSQL": _measure(folder, "postgresql", [_made_in(server, name) for name in NAMES], options),
        }
    text = "\n".join(_table(results, options))
    write(f"\n{text}\n")
    if not options.print_only:
        _write_down(text)


def _made_in(server: str, name: str) -> str:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server.rpartition('/')[0]}/{name}"


@contextmanager
def _log(folder: Path, name: str, url: str) -> Iterator[Log]:
    (folder / f"{name}-files").mkdir(exist_ok=True)
    made = Log(filled_log.environment_of(str(folder / f"{name}-files"), url))
    try:
        yield made
    finally:
        made.close()


def _measure(folder: Path, kind: str, urls: list[str], options: argparse.Namespace) -> dict[str, Any]:
    (short_name, short_url), (long_name, long_url) = zip([f"{kind}-{name}" for name in NAMES], urls, strict=True)
    tenth = options.entries // 10
    with _log(folder, short_name, short_url) as short, _log(folder, long_name, long_url) as long:
        short.call("set_up")
        long.call("set_up")
        short.call("fill", options.beside, options.beside, filled_log.MONTH)
        long.call("fill", tenth, options.entries, filled_log.YEARS)
        exported = {tenth: _exported(folder, long_name, long_url)}
        took = long.call("fill", options.entries, options.entries, filled_log.YEARS)
        write(f"{long_name}: {options.entries - tenth} entries chained and filled in {took:.0f} s\n")
        exported[options.entries] = _exported(folder, long_name, long_url)
        times = {name: _by_turns(short, long, name, options.rounds) for name in long.call("questions")}
        for name, (before, after) in times.items():
            if after > before * WORTH_A_LOOK:
                write(f"--- {long_name}: {name}: {before:.2f} -> {after:.2f} ms\n{long.call('explain', name)}\n")
        verified = long.call("verify")
        return {
            "times": times,
            "verified": verified,
            "exported": exported,
            "inserts": {options.beside: short.call("inserts"), options.entries: long.call("inserts")},
        }


def _exported(folder: Path, name: str, url: str) -> Any:
    """Export in a process that has done nothing else."""
    with _log(folder, name, url) as fresh:
        return fresh.call("export")


def _by_turns(short: Log, long: Log, name: str, rounds: int) -> tuple[float, float]:
    """Ask both logs the same, by turns, so that whatever else the machine does is shared; give the medians."""
    first = max(short.call("ask", name), long.call("ask", name))
    pairs = [(short.call("ask", name), long.call("ask", name)) for _ in range(3 if first > SLOW_MS else rounds)]
    return statistics.median(each[0] for each in pairs), statistics.median(each[1] for each in pairs)


# --- the table --------------------------------------------------------------------------------------------------


def _table(results: dict[str, dict[str, Any]], options: argparse.Namespace) -> Iterator[str]:
    short, long = f"{options.beside:,}", f"{options.entries:,}"
    yield f"Measured {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version},"
    yield f"{os.cpu_count()} processors, load {os.getloadavg()[1]:.1f} (others worked on the machine). PostgreSQL ran"
    yield "without fsync. Milliseconds of `services.log`, medians; both logs were asked by turns, in one run."
    yield f"The log of {long} is of three years, that of {short} of 30 days, all of which it is asked for where the"
    yield "other is asked for days of long ago; 6 entries in 100 are of the organization and person that are asked for."
    yield ""
    yield f"| | SQLite {short} | {long} | ratio | PostgreSQL {short} | {long} | ratio |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name in results["SQLite"]["times"]:
        yield f"| {name} | " + " | ".join(_ratio(*each["times"][name]) for each in results.values()) + " |"
    for entries in (options.beside, options.entries):
        parts = (_ratio(*reversed(each["inserts"][entries])) for each in results.values())
        yield f"| a plain insert, and a chained one, at {entries:,} | " + " | ".join(parts) + " |"
    yield ""
    yield "| | SQLite | PostgreSQL |"
    yield "| --- | ---: | ---: |"
    cells = [
        f"{count / seconds:,.0f} entries/s{f', {broken}' if broken else ''}"
        for count, seconds, broken in (each["verified"] for each in results.values())
    ]
    yield f"| verify the whole log of {long} | " + " | ".join(cells) + " |"
    for entries in results["SQLite"]["exported"]:
        cells = [
            f"{each['exported'][entries][1]:.1f} s, {each['exported'][entries][2]:.0f} MB" for each in results.values()
        ]
        yield f"| export all of {entries:,}: time, peak memory | " + " | ".join(cells) + " |"


def _ratio(before: float, after: float) -> str:
    return f"{before:.2f} | {after:.2f} | {after / before:.2f}"


def _write_down(text: str) -> None:
    """Put the table between its markers, and leave what else the document says."""
    there = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    before, found, rest = there.partition(BEGIN)
    if not found:
        before, rest = f"{there.rstrip()}\n\n", f"{END}\n"
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n## The audit log\n\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
