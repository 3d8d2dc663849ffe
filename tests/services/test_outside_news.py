"""Is a write from outside told, and told once, though both sides show it?"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from hamr_portal.domain.news import Kind
from hamr_portal.models import News, Organization, Snapshot
from hamr_portal.services.outside_news import ONE_WRITE_WITHIN
from hamr_portal.simulator import Simulator
from tests.services import changing

pytestmark = pytest.mark.django_db


def read_as_changed(*sides: Organization) -> None:
    """Let what was seen of these before have been ACTIVE: a reading of now finds them changed by somebody."""
    Snapshot.objects.filter(pk__in=[side.pk for side in sides]).update(status=4)
    changing.look(*sides)


def told_of_outside() -> list[tuple[str, str | None, str | None]]:
    rows = News.objects.filter(kind=Kind.OUTSIDE).order_by("pk")
    return [(row.facts["organization"], row.facts["before"], row.facts["after"]) for row in rows]


def test_a_write_from_outside_that_both_sides_show_is_told_once(simulator: Simulator) -> None:
    primary, secondary = changing.connected(simulator)

    read_as_changed(primary)
    read_as_changed(secondary)

    assert told_of_outside() == [(primary.name, "ACTIVE", "PASSIVE")]


def test_the_same_again_much_later_is_told_again(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    read_as_changed(primary)
    News.objects.update(at=timezone.now() - ONE_WRITE_WITHIN - timedelta(seconds=1))

    read_as_changed(primary)

    assert len(told_of_outside()) == 2


def test_an_organization_that_lost_its_connection_is_told_by_itself(simulator: Simulator) -> None:
    primary, secondary = changing.connected(simulator)
    Organization.objects.filter(pk__in=[primary.pk, secondary.pk]).update(pair=None, column=None)
    Snapshot.objects.filter(pk=primary.pk).update(has_connection=False, status=None)

    changing.look(primary)

    assert told_of_outside() == [(primary.name, None, "PASSIVE")]
