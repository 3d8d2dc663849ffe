from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from allauth.account.internal.flows.login import record_authentication
from allauth.usersessions.models import UserSession
from django.contrib.auth import user_logged_in
from django.core.cache import cache
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.operations import BaseDatabaseOperations
from django.http import HttpRequest
from hypothesis import settings as hypothesis_settings
from pytest_django.fixtures import Settings

from hamr_portal.crypto import create_ring
from hamr_portal.domain.organizations import sites_with
from hamr_portal.models import Person, guards
from hamr_portal.services import connections
from hamr_portal.services.sessions import BEGAN, SEEN
from hamr_portal.simulator import Simulator

# A busy machine is no failure.
hypothesis_settings.register_profile("portal", deadline=None, max_examples=50)
hypothesis_settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "portal"))

_INSTALLATIONS = count()


def pytest_xdist_auto_num_workers() -> int:
    """Run a few more tests at once than there are processors: many wait for a socket now and then."""
    return -(-(os.cpu_count() or 1) * 3 // 2)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that it is not the last and alone."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


def pytest_collection_finish() -> None:
    """Look for garbage seldom, and never among what was imported: else a fifth of the suite's time goes there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(autouse=True, scope="session")
def _a_flush_passes_the_guards() -> Iterator[None]:
    """Let the tests that commit empty the record after them; what follows a flush puts the guards back."""
    flush = BaseDatabaseOperations.execute_sql_flush

    def unguarded(self: BaseDatabaseOperations, sql_list: list[str]) -> None:
        guards.lift(self.connection)
        flush(self, sql_list)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", unguarded)
        yield


@pytest.fixture(autouse=True, scope="session")
def _who_is_signed_in_by_force_has_just_signed_in() -> Iterator[None]:
    """Give the test client's short cut what a real sign-in leaves: how and when, and a session to be seen."""

    def noted(request: HttpRequest, user: Person, **_: object) -> None:
        if request.method is not None:
            return  # a real one leaves it itself
        record_authentication(request, user, "password")
        request.session[BEGAN] = request.session[SEEN] = time.time()
        UserSession.objects.update_or_create(
            session_key=request.session.session_key,
            defaults={"user": user, "ip": "127.0.0.1", "user_agent": "tests"},
        )

    user_logged_in.connect(noted)
    yield
    user_logged_in.disconnect(noted)


@pytest.fixture(autouse=True)
def _a_tests_transaction_keeps_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody close the connection under a test's own transaction: nobody in production has one around them."""
    close = BaseDatabaseWrapper.close_if_unusable_or_obsolete
    monkeypatch.setattr(
        BaseDatabaseWrapper,
        "close_if_unusable_or_obsolete",
        lambda self: None if self.in_atomic_block else close(self),
    )


@pytest.fixture(scope="session")
def _ring(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    """Make one ring: to put thousands of them safely on a disk takes longer than many tests."""
    path = tmp_path_factory.mktemp("ring") / "keyring"
    create_ring(path)
    return path.parent, path.read_bytes()


@pytest.fixture(autouse=True)
def _an_installation_of_its_own(settings: Settings, _ring: tuple[Path, bytes]) -> None:
    """Give each test a key ring, short deadlines and no memory of the test before."""
    beside, ring = _ring
    # Not in `tmp_path`: making one looks at all that were made before.
    installation = beside / str(next(_INSTALLATIONS))
    installation.mkdir()
    settings.KEY_RING_FILE = installation / "keyring"
    settings.SPOOL_FILE = installation / "spool.jsonl"
    settings.ANCHOR_FILE = installation / "anchors.jsonl"
    settings.HAMR_CONNECT_TIMEOUT = 0.5
    settings.HAMR_DEADLINE = 2.0
    settings.KEY_RING_FILE.touch(mode=0o600)
    settings.KEY_RING_FILE.write_bytes(ring)
    connections.client.cache_clear()
    connections._client_of_the_stage.cache_clear()
    cache.clear()


@pytest.fixture
def simulator(settings: Settings) -> Iterator[Simulator]:
    """Run the stand-in for the HAMR API on free ports, in place of the real sites."""
    with Simulator() as running:
        settings.HAMR_SITES = sites_with(running.hamr_sites)
        yield running
