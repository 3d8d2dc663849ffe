"""A process that rotates the key ring and kills itself at one point of it: `python -m … POINT`, counted from 0."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import django

points = 0


def at_each(do: Callable[..., Any]) -> Callable[..., Any]:
    """Count before and after; at the point that was asked for, this process is no more."""

    def counted(*args: Any) -> Any:
        _point()
        came = do(*args)
        _point()
        return came

    return counted


def _point() -> None:
    global points
    if points == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    points += 1


if __name__ == "__main__":
    django.setup()

    from django.core.management import call_command
    from django.db.backends.base.base import BaseDatabaseWrapper

    for name in ("replace", "fsync"):
        setattr(os, name, at_each(getattr(os, name)))
    commit = "_commit"
    setattr(BaseDatabaseWrapper, commit, at_each(getattr(BaseDatabaseWrapper, commit)))
    call_command("rotate_key_ring")
    print(f"points {points}")  # noqa: T201
