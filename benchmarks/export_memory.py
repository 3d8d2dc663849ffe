"""How much memory does an export take, and how long? Each length and format in a process of its own.

python -m benchmarks.export_memory [--entries 10000 100000]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from multiprocessing.connection import Connection

from benchmarks import filled_log


def measured(pipe: Connection, environment: dict[str, str], form: str) -> None:
    """Export all in one format, and let it go; send how many bytes, in how many seconds, and the process's peak."""
    os.environ.update(environment)
    import logging

    import django

    django.setup()
    logging.disable()

    from hamr_portal.domain.audit import Actor
    from hamr_portal.services import exports
    from hamr_portal.services.log import Filters

    began, size, before = time.perf_counter(), 0, peak()
    for line in exports.lines(Filters(), format=form, by=Actor(kind="command", name="benchmark")):
        size += len(line)
    pipe.send((size, time.perf_counter() - began, before, peak()))


def fill(environment: dict[str, str], entries: int) -> None:
    """Make a log of so many entries."""
    os.environ.update(environment)
    import django

    django.setup()
    filled_log.set_up()
    filled_log.fill(0, entries, filled_log.YEARS)


def peak() -> float:
    """Give the most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure, and print a line each."""
    parser = argparse.ArgumentParser(description="Peak memory of an export of the audit log.")
    parser.add_argument("--entries", type=int, nargs="+", default=[10_000, 100_000])
    fresh = multiprocessing.get_context("spawn")
    for entries in parser.parse_args().entries:
        with tempfile.TemporaryDirectory() as folder:
            environment = filled_log.environment_of(folder, f"sqlite:///{folder}/portal.sqlite3")
            process = fresh.Process(target=fill, args=(environment, entries))
            process.start()
            process.join()
            for form in ("csv", "jsonl"):
                ours, theirs = fresh.Pipe()
                process = fresh.Process(target=measured, args=(theirs, environment, form))
                process.start()
                size, seconds, before, after = ours.recv()
                process.join()
                sys.stdout.write(
                    f"{entries:>9,} entries, {form:<5}: {size / 1e6:6.1f} MB in {seconds:5.1f} s, "
                    f"peak {after:.1f} MB ({before:.1f} MB before the first line)\n"
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
