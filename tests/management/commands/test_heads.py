"""Where do the heads of the audit log go? Never into what a command prints, and to standard output where it serves."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from hamr_portal.management.shell import heads_to
from hamr_portal.services import audit
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services.tampering import write

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def output() -> Iterator[StringIO]:
    """Give what standard output gets of the heads."""
    (handler,) = [each for each in audit.heads.handlers if type(each) is logging.StreamHandler]
    stream = StringIO()
    before = handler.setStream(stream)
    yield stream
    handler.setStream(before)


def unread_pair(simulator: Simulator) -> None:
    """Save a pair that is found with the first reading, which is recorded."""
    for name, site in (("acme-us1", "us1"), ("acme-us5", "us5")):
        factories.simulated(simulator.add_organization(name, site))
    simulator.add_pair("acme-us1", "acme-us5")


def test_a_command_prints_what_it_is_asked_for_and_the_heads_go_to_standard_error(
    run, output: StringIO, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    unread_pair(simulator)

    ended = run("status", "--refresh", "--json")

    json.loads(ended.out)
    assert output.getvalue() == ""
    assert '"audit": "head"' in capsys.readouterr().err
    write(1)
    assert output.getvalue().count("\n") == 1  # afterwards as before


def test_a_command_that_serves_says_each_head_on_standard_output(run, output: StringIO, simulator: Simulator) -> None:
    unread_pair(simulator)

    run("run_worker", "--once")

    heads = [json.loads(line) for line in output.getvalue().splitlines()]
    assert heads
    assert {each["audit"] for each in heads} == {"head"}
    assert heads[-1]["hash"] == audit.head().hash


def test_heads_that_go_there_already_stay_there(output: StringIO) -> None:
    with heads_to(output):
        write(1)
    write(1)

    assert output.getvalue().count("\n") == 2
