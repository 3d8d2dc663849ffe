from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from hypothesis import settings as hypothesis_settings
from pytest_django.fixtures import Settings

from hamr_portal.crypto import create_ring
from hamr_portal.domain.organizations import sites_with
from hamr_portal.services import connections
from hamr_portal.simulator import Simulator

# A busy machine is no failure.
hypothesis_settings.register_profile("portal", deadline=None)
hypothesis_settings.load_profile("portal")


@pytest.fixture(autouse=True)
def _an_installation_of_its_own(tmp_path: Path, settings: Settings) -> None:
    """Give each test a key ring, short deadlines and no memory of the test before."""
    settings.KEY_RING_FILE = tmp_path / "keyring"
    settings.SPOOL_FILE = tmp_path / "spool.jsonl"
    settings.HAMR_CONNECT_TIMEOUT = 0.5
    settings.HAMR_DEADLINE = 2.0
    create_ring(settings.KEY_RING_FILE)
    connections.client.cache_clear()
    cache.clear()


@pytest.fixture
def simulator(settings: Settings) -> Iterator[Simulator]:
    """Run the stand-in for the HAMR API on free ports, in place of the real sites."""
    with Simulator() as running:
        settings.HAMR_SITES = sites_with(running.hamr_sites)
        yield running
