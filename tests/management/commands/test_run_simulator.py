from __future__ import annotations

import socket


def test_a_fault_that_does_not_exist_is_refused_with_those_that_do(run):
    ended = run("run_simulator", "--faults", "halden-checkout:sulk")

    assert ended.exit == 1
    assert "sulk" in ended.error
    assert "drop" in ended.error


def test_a_port_that_is_taken_is_told_in_a_sentence(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("run_simulator", "--port", str(taken.getsockname()[1]))

    assert ended.exit == 1
    assert "in use" in ended.error
