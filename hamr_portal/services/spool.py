"""Where does an outcome wait that the database could not take? In a file beside it, one JSON line each."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings

logger = logging.getLogger(__name__)


def put(line: Mapping[str, Any]) -> None:
    """Append one line, on the disk when this returns. Raises `OSError`."""
    told = json.dumps(line, ensure_ascii=False).encode() + b"\n"
    with _locked() as file:
        size = os.lseek(file, 0, os.SEEK_END)
        if size and os.pread(file, 1, size - 1) != b"\n":
            told = b"\n" + told  # A crash has cut off the line before; it must not take this one with it.
        if os.write(file, told) != len(told):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file)


def deliver(record: Callable[[Mapping[str, Any]], object]) -> None:
    """Hand each waiting line to `record`, oldest first; a line stays until it was recorded without an error."""
    if not settings.SPOOL_FILE.exists():
        return
    with _locked() as file:
        while waiting := _read(file).splitlines(keepends=True):
            try:
                line = json.loads(waiting[0])
            except ValueError:
                # Cut off by a crash: what it told of is reconciled by reading, as if there were no spool.
                logger.critical("the spool holds a line that cannot be read: %d bytes", len(waiting[0]))
            else:
                record(line)
            _rewrite(file, b"".join(waiting[1:]))


@contextmanager
def _locked() -> Iterator[int]:
    settings.SPOOL_FILE.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(settings.SPOOL_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _read(file: int) -> bytes:
    return os.pread(file, os.fstat(file).st_size, 0)


def _rewrite(file: int, rest: bytes) -> None:
    # In place: another process may wait for the lock on this very file. A line that is recorded twice does no harm.
    os.pwrite(file, rest, 0)
    os.ftruncate(file, len(rest))
    os.fsync(file)
