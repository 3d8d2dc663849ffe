"""A process that confirms changes as the portal does, and stops where a test wants to do something to it.

Run as `python -m tests.crashes.confirm_process`, with the environment of an installation. Each line of its input is
one form; a fork of its own confirms it, so that a test may kill that. It says what it does in lines of JSON, and where
it stops, it waits for a word. All of this is put round the product from outside: the product knows no such place.
"""

from __future__ import annotations

import gc
import json
import math
import os
from collections.abc import Callable, Sequence
from http.client import HTTPResponse
from threading import Lock
from typing import Any

import django
from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

GO_ON, FAIL_ONCE, FAIL_FROM_HERE = "go on", "fail once", "fail from here"
READY = "ready"

_DONE = {"update": "updated", "record": "recorded"}


class Stage:
    """How far this process has come, by the names of its steps."""

    def __init__(self, stop_at: str | int | None) -> None:
        self._stop_at = stop_at
        self._failures: float = 0
        self._lock = Lock()
        self._moves = 0
        self._recorded = ""
        self._is_writing = self._has_written = False
        self.names: list[str] = []

    def reached(self, name: str, *, of_database: bool = False) -> None:
        """Note a step; stop there if a test wants it, and fail if it has taken the database away."""
        with self._lock:
            self.names.append(name)
            if self._stop_at in (name, len(self.names)):
                self._stop_at = None
                say({"is": "reached", "name": name, "backend": _backend()})
                word = hear()
                self._failures = {FAIL_ONCE: 1, FAIL_FROM_HERE: math.inf}.get(word, 0)
            if of_database and self._failures:
                self._failures -= 1
                raise OperationalError("the test has taken the database away")

    def watch(self) -> None:
        """Put this stage round everything that can be interrupted."""
        from hamr_portal.hamr_client import HamrClient

        connection.execute_wrappers.append(self._statement)
        _surround(BaseDatabaseWrapper, "commit", self._commit)
        _surround(transaction.Atomic, "__enter__", self._begin)
        _surround(HamrClient, "write", self._write)
        _surround(HamrClient, "read", self._read)
        _surround(HTTPResponse, "begin", self._answer)

    def _statement(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        name = _name_of(sql, params)
        self.reached(name, of_database=True)
        result = execute(sql, params, many, context)
        verb, _, what = name.partition(" ")
        if verb == "record":
            self._recorded = what
        if verb in _DONE:
            self.reached(f"{_DONE[verb]} {what}", of_database=True)
        return result

    def _begin(self, original: Callable[..., Any], atomic: Any) -> Any:
        if atomic.durable:
            self._moves += 1
            self.reached(f"begin {self._moves}", of_database=True)
        return original(atomic)

    def _commit(self, original: Callable[..., Any], database: Any) -> None:
        what, self._recorded = self._recorded, ""
        self.reached(f"commit {what}", of_database=True)
        original(database)
        self.reached(f"committed {what}", of_database=True)

    def _write(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.reached("write")
        self._is_writing = True
        try:
            answer = original(*args, **kwargs)
        finally:
            self._is_writing, self._has_written = False, True
        self.reached("written")
        return answer

    def _answer(self, original: Callable[..., Any], response: HTTPResponse) -> None:
        original(response)
        if self._is_writing:
            self.reached("answered")

    def _read(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        back = " back" if self._has_written else ""
        self.reached(f"read{back}")
        answer = original(*args, **kwargs)
        self.reached(f"has read{back}")
        return answer


def _surround(owner: type, name: str, around: Callable[..., Any]) -> None:
    original = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: around(original, *args, **kwargs))


def _name_of(sql: str, params: Sequence[Any] | None) -> str:
    if sql.startswith('UPDATE "hamr_portal_change" SET "status"'):
        return f"update {(params or ['?'])[0]}"
    if sql.startswith('INSERT INTO "hamr_portal_auditentry"'):
        from hamr_portal.domain.audit import Event

        return f"record {next(str(each) for each in params or () if each in set(Event))}"
    return sql[:60]


def _backend() -> int | None:
    if connection.vendor != "postgresql" or connection.connection is None:
        return None
    backend: int = connection.connection.info.backend_pid
    return backend


def say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


def hear() -> str:
    """Give the next line; a test that is gone wants nothing any more."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            os._exit(1)
        line += byte
    return line.decode().strip()


def confirm(form: dict[str, Any]) -> dict[str, Any]:
    """Confirm as a page would, and tell what a person would be told."""
    from hamr_portal.domain.audit import Actor
    from hamr_portal.models import Change
    from hamr_portal.services import changes
    from hamr_portal.services.conditions import Words
    from hamr_portal.services.moves import AlreadyMoved
    from hamr_portal.services.refusals import Blocked, Refused
    from hamr_portal.services.sending import NotRecordedYet

    change = Change.objects.select_related("organization", "author").get(pk=form["change"])
    stage = Stage(form["stop_at"])
    stage.reached(READY)
    stage.watch()
    came = "sent"
    try:
        changes.confirm(change, Words(**form["words"]), by=Actor(**form["by"]))
    except (Refused, Blocked, AlreadyMoved) as refused:
        came = type(refused).__name__
    except NotRecordedYet as error:
        came = f"{type(error).__name__} {error.came.move.name} spooled={error.spooled}"
    return {"is": "came", "came": came, "status": change.status, "steps": stage.names}


def main() -> None:
    """Confirm one form after the other, each in a process of its own."""
    django.setup()
    from django.conf import settings

    from hamr_portal.services import changes, connections  # here, so that each fork need not

    changes.READ_BACK_SECONDS = settings.HAMR_DEADLINE  # a busy machine is no failure
    connections.client()
    gc.freeze()  # a collection in a fork would copy the memory of this one
    while True:
        form = json.loads(hear())
        child = os.fork()
        if not child:
            say({"is": "started", "pid": os.getpid()})
            say(confirm(form))
            os._exit(0)  # to take a whole interpreter down costs as much as to confirm
        _, ended = os.waitpid(child, 0)
        say({"is": "ended", "code": os.waitstatus_to_exitcode(ended)})


if __name__ == "__main__":
    main()
