"""How is a host name resolved when the look-up itself may hang?

`getaddrinfo` has no time-out and cannot be stopped, so each look-up has a thread that may be left behind.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

MOST_LOOKUPS = 32
"""How many names may be looked up at once; a hanging look-up holds its place until the system gives it up."""

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""One result of `getaddrinfo`: family, kind, protocol, canonical name, socket address."""

_Name = tuple[str, int]

_lock = threading.Lock()
_running: dict[_Name, Future[Sequence[Address]]] = {}


def resolve(host: str, port: int, *, seconds: float) -> Sequence[Address]:
    """Give a name's addresses, or raise `TimeoutError` after `seconds`, or `gaierror` when there are none.

    Callers that ask for one name at once share its look-up: names that hang cannot use up the threads of the others.
    """
    addresses = _lookup((host, port)).result(timeout=seconds)
    if not addresses:
        raise socket.gaierror(socket.EAI_NONAME, "name not resolved")
    return addresses


def _lookup(name: _Name) -> Future[Sequence[Address]]:
    with _lock:
        if name not in _running:
            _running[name] = _started(name)
        return _running[name]


def _started(name: _Name) -> Future[Sequence[Address]]:
    if len(_running) >= MOST_LOOKUPS:
        raise socket.gaierror(socket.EAI_AGAIN, "too many look-ups hang")
    lookup: Future[Sequence[Address]] = Future()
    try:
        # It waits for the lock before it ends, so it cannot leave before it is entered.
        threading.Thread(target=_run, args=(name, lookup), name=f"resolve {name[0]}", daemon=True).start()
    except RuntimeError:
        raise socket.gaierror(socket.EAI_AGAIN, "no thread for a look-up") from None
    return lookup


def _run(name: _Name, lookup: Future[Sequence[Address]]) -> None:
    addresses: Sequence[Address] = ()
    try:
        addresses = socket.getaddrinfo(*name, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        pass  # no such name, or no name at all: there are no addresses
    finally:
        with _lock:
            del _running[name]
        lookup.set_result(addresses)
