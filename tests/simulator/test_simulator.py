"""Ports, records and threads: what a test that uses the simulator relies on."""

import contextlib
import http.client
import socket
import threading

import pytest

from hamr_portal.simulator import FAILOVER, Simulator

from .client import fetch, keys, read, wanted, write


def test_every_site_has_a_port_of_its_own(simulator):
    assert list(simulator.urls) == ["us1", "us3", "us5", "eu1", "ap1", "ap2"]
    assert len(set(simulator.urls.values())) == 6
    assert simulator.hamr_sites.startswith(f"us1={simulator.urls['us1']},us3=http://127.0.0.1:")


def test_ports_follow_the_first(free_ports):
    with Simulator(("us1", "eu1"), port=free_ports) as simulator:
        assert simulator.urls == {
            "us1": f"http://127.0.0.1:{free_ports}",
            "eu1": f"http://127.0.0.1:{free_ports + 1}",
        }


def test_port_that_is_taken_is_an_error_that_leaves_nothing_open(simulator):
    before = set(threading.enumerate())
    taken = int(simulator.urls["us3"].rpartition(":")[2])

    with pytest.raises(OSError, match="in use"):
        Simulator(("us1",), port=taken)

    assert set(threading.enumerate()) == before


def test_requests_are_recorded_before_they_are_answered(simulator, primary, secondary):
    read(simulator, primary)
    fetch(simulator.urls["eu1"], "/nothing")
    write(simulator, primary, b"{}")

    assert [(each.verb, each.path, each.organization, each.body) for each in simulator.requests] == [
        ("GET", "/api/v2/hamr", "acme-us1", b""),
        ("GET", "/nothing", None, b""),
        ("POST", "/api/v2/hamr", "acme-us1", b"{}"),
    ]
    assert simulator.posts == simulator.requests[2:]
    assert simulator.requests[0].at <= simulator.requests[2].at
    assert simulator.posts[0].headers["content-type"] == "application/json"


def test_records_do_not_show_keys(simulator, primary):
    read(simulator, primary)

    assert primary.api_key not in f"{simulator.requests} {primary} {list(simulator.organizations)}"


def test_on_post_is_called_before_the_post_acts(simulator, primary, secondary):
    seen = []
    simulator.on_post = lambda request: seen.append((request.organization, primary.view.hamr_status))

    read(simulator, primary)
    write(simulator, primary, wanted(primary, hamr_status=FAILOVER))

    assert seen == [("acme-us1", 2)]
    assert primary.view.hamr_status == FAILOVER


def test_waiting_for_requests(simulator, primary):
    simulator.set_fault("acme-us1", "hang")
    url = simulator.urls["us1"]
    connection = http.client.HTTPConnection(url.removeprefix("http://"))

    with contextlib.closing(connection):
        connection.request("POST", "/api/v2/hamr", b"{}", keys(primary))

        assert simulator.wait_for(1, "POST")
        assert not simulator.wait_for(2, "POST", timeout=0)


def test_connection_is_kept_for_the_next_request(simulator, primary, secondary):
    connection = http.client.HTTPConnection(simulator.urls["us1"].removeprefix("http://"))
    with contextlib.closing(connection):
        for _ in range(2):
            connection.request("GET", "/api/v2/hamr", headers=keys(primary))
            assert connection.getresponse().read()
            kept = connection.sock
        assert kept is not None


def test_connection_is_closed_when_the_client_asks(simulator, primary, secondary):
    reply = fetch(simulator.urls["us1"], "/api/v2/hamr", headers=keys(primary) | {"Connection": "close"})

    assert reply.headers["Connection"] == "close"


@pytest.mark.parametrize("noise", [b"", b"\x16\x03\x01\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"])
def test_what_is_not_http_is_closed(simulator, noise):
    with socket.create_connection(_address(simulator, "us1")) as connection:
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)

        assert connection.recv(10) == b""


def test_end_leaves_no_thread_and_no_port(recwarn):
    before = set(threading.enumerate())
    with Simulator() as simulator, contextlib.ExitStack() as stack:
        organization = simulator.add_organization("acme-us1", "us1")
        addresses = [_address(simulator, site) for site in simulator.urls]
        for fault in ("hang", "drip_headers", "drip_body", "huge"):
            simulator.set_fault("acme-us1", fault)
            connection = http.client.HTTPConnection(*addresses[0])
            stack.callback(connection.close)
            connection.request("GET", "/api/v2/hamr", headers=keys(organization))
        simulator.wait_for(4, "GET")
        simulator.stop()

    assert set(threading.enumerate()) == before
    for address in addresses:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


def _address(simulator, site):
    host, _, port = simulator.urls[site].removeprefix("http://").partition(":")
    return host, int(port)


@pytest.fixture
def free_ports():
    """The first of two free ports in a row, as far as one can tell."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                two.bind(("127.0.0.1", port + 1))
                return port
