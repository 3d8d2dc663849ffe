import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hamr_portal.hamr_client import _resolver
from hamr_portal.hamr_client._resolver import MOST_LOOKUPS, resolve


@pytest.fixture
def lookups(monkeypatch):
    """Make each look-up hang until the test is over, and give the names that were looked up."""
    over, names = threading.Event(), []

    def hang(host, port, **_):
        names.append(host)
        over.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield names
    over.set()
    for thread in threading.enumerate():
        if thread.name.startswith("resolve "):
            thread.join()
    assert _resolver._running == {}


def test_name_is_resolved():
    assert resolve("127.0.0.1", 443, seconds=5)[0][4] == ("127.0.0.1", 443)


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example", "\udc80", ""])
def test_name_that_is_none_is_not_resolved(host, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: host.encode("idna") and [])

    with pytest.raises(socket.gaierror):
        resolve(host, 443, seconds=5)


def test_hanging_look_up_times_out(lookups):
    with pytest.raises(TimeoutError):
        resolve("hangs.example", 443, seconds=0.01)


def test_callers_of_one_name_share_its_look_up(lookups):
    for _ in range(MOST_LOOKUPS * 2):
        with pytest.raises(TimeoutError):
            resolve("hangs.example", 443, seconds=0.001)

    assert lookups == ["hangs.example"]


def test_too_many_hanging_look_ups_refuse_further_names_at_once(lookups):
    with ThreadPoolExecutor(MOST_LOOKUPS) as threads:
        failures = [
            future.exception()
            for future in [threads.submit(resolve, f"{n}.example", 443, seconds=0.05) for n in range(MOST_LOOKUPS)]
        ]

    with pytest.raises(socket.gaierror, match="too many look-ups hang"):
        resolve("one-more.example", 443, seconds=60)

    assert all(isinstance(failure, TimeoutError) for failure in failures)
    assert len(lookups) == MOST_LOOKUPS


def test_look_up_without_a_thread_is_not_resolved(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with pytest.raises(socket.gaierror, match="no thread"):
        resolve("localhost", 443, seconds=5)

    assert _resolver._running == {}
