import pytest

from hamr_portal.simulator import Simulator


@pytest.fixture
def simulator():
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def primary(simulator):
    """The primary of a PASSIVE pair, answering in the documented spelling."""
    return simulator.add_organization("acme-us1", "us1")


@pytest.fixture
def secondary(simulator, primary):
    """Its secondary, answering in the recorded spelling."""
    secondary = simulator.add_organization("acme-eu1", "eu1", spelling="PascalCase", own_datacenter=True)
    simulator.add_pair(primary.name, secondary.name)
    return secondary
