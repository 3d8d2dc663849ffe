from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
import time_machine
from pytest_django.fixtures import Settings

from hamr_portal.models import Worker
from tests import factories

from .world import BEGIN, PEOPLE, SIDES, Cast, live_in


@pytest.fixture
def cast(db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[Cast]:
    """Give a pair of organizations, the people, and a world that is not begun yet."""
    with time_machine.travel(BEGIN, tick=False) as mover:
        sides = factories.pair("acme", "acme-dr", sites=SIDES, at=BEGIN - timedelta(days=1))
        Worker.objects.create(name="tests", started_at=BEGIN, seen_at=BEGIN)
        for email, role in PEOPLE.items():
            factories.person(role, email)
        made = Cast(mover, settings, dict(zip(SIDES, sides, strict=True)))
        live_in(lambda: made.world, monkeypatch, settings)
        yield made
