from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.timeline import Knowledge, Range
from hamr_portal.models import Lapse, Observation, Organization, Snapshot
from hamr_portal.services import overview, timeline
from hamr_portal.services.timeline import Lane, Timeline
from tests import factories

from . import changing

pytestmark = pytest.mark.django_db

NOW = timezone.now().replace(second=0, microsecond=0)


@pytest.fixture
def sides() -> tuple[Organization, Organization]:
    return factories.pair("acme", "acme-dr", at=NOW)


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


def line(organization: Organization, at: datetime, status: int = 2, **fields: Any) -> Observation:
    outcome = fields.pop("outcome", ReadOutcome.ANSWERED)
    return Observation.objects.create(
        organization=organization, at=at, has_connection=True, status=status, outcome=outcome, **fields
    )


def of(organization: Organization, chosen: Range = Range.HOURS_24, now: datetime = NOW) -> Timeline:
    row = overview.row_of(Organization.objects.select_related("snapshot").get(pk=organization.pk), now=now)
    mine = next(side for side in row.sides if side.organization.pk == organization.pk)
    return timeline.timeline(row, mine, chosen=chosen, now=now)


def told(lane: Lane) -> list[tuple[datetime, Knowledge, int | None]]:
    return [(each.start, each.state.knowledge, each.state.status) for each in lane.stretches]


def test_the_lanes_are_this_side_and_then_the_other_with_what_was_known_before_the_window(
    sides: tuple[Organization, Organization],
):
    primary, secondary = sides
    line(primary, ago(days=40), 4)
    line(primary, ago(days=3))
    line(secondary, ago(days=50))
    line(secondary, ago(hours=2), outcome=ReadOutcome.NO_ANSWER)

    mine, other = of(secondary).lanes

    assert (mine.organization, other.organization) == (secondary, primary)
    assert told(mine) == [(ago(hours=24), Knowledge.ANSWERED, 2), (ago(hours=2), Knowledge.SILENT, None)]
    assert told(other) == [(ago(hours=24), Knowledge.ANSWERED, 2)]


def test_an_organization_without_another_side_has_one_lane():
    alone = factories.seen(factories.organization("alone"), at=NOW, target_uuid=uuid4())
    line(alone, ago(hours=3), target_uuid=uuid4())

    (lane,) = of(alone).lanes

    assert told(lane) == [(ago(hours=24), Knowledge.BEFORE, None), (ago(hours=3), Knowledge.ANSWERED, 2)]
    assert not lane.stretches[-1].state.elsewhere


def test_what_was_connected_to_another_organization_says_so(sides: tuple[Organization, Organization]):
    primary, secondary = sides
    line(primary, ago(days=2), target_uuid=uuid4(), target_name="acme-old")
    line(primary, ago(hours=9), target_uuid=(unnamed := uuid4()))
    line(primary, ago(hours=5), target_uuid=secondary.uuid, target_name="acme-dr")

    mine, _ = of(primary).lanes

    assert [each.state.elsewhere for each in mine.stretches] == ["acme-old", str(unnamed), ""]


def test_nothing_is_known_while_nobody_read(sides: tuple[Organization, Organization]):
    primary, secondary = sides
    line(primary, ago(days=2))
    Lapse.objects.create(organization=primary, since=ago(hours=9), until=ago(hours=4))
    Lapse.objects.create(organization=primary, since=ago(days=9), until=ago(days=8))
    Lapse.objects.create(organization=secondary, since=ago(hours=2), until=ago(hours=1))

    mine, _ = of(primary).lanes

    assert told(mine) == [
        (ago(hours=24), Knowledge.ANSWERED, 2),
        (ago(hours=9), Knowledge.UNREAD, None),
        (ago(hours=4), Knowledge.ANSWERED, 2),
    ]


@pytest.mark.parametrize(("minutes", "knowledge"), [(1, Knowledge.ANSWERED), (3, Knowledge.UNREAD)])
def test_the_present_is_known_only_where_somebody_reads(
    sides: tuple[Organization, Organization], minutes: int, knowledge: Knowledge
):
    primary, _ = sides
    line(primary, ago(days=2))
    Snapshot.objects.filter(pk=primary.pk).update(attempted_at=ago(minutes=minutes))

    mine, _ = of(primary).lanes

    assert mine.stretches[-1].state.knowledge is knowledge


def test_a_disabled_side_is_unread_from_its_last_read_on(sides: tuple[Organization, Organization]):
    primary, _ = sides
    line(primary, ago(days=2))
    Organization.objects.filter(pk=primary.pk).update(disabled_at=NOW)
    Snapshot.objects.filter(pk=primary.pk).update(attempted_at=ago(minutes=1))

    mine, _ = of(primary).lanes

    assert told(mine)[-1] == (ago(minutes=1), Knowledge.UNREAD, None)


@pytest.mark.parametrize("read_at", [None, NOW + timedelta(hours=2)])
def test_where_the_last_read_is_not_known_only_what_was_put_down_is(
    sides: tuple[Organization, Organization], read_at: datetime | None
):
    primary, _ = sides
    line(primary, ago(hours=5))
    line(primary, ago(hours=3), 4)
    Snapshot.objects.filter(pk=primary.pk).update(attempted_at=read_at)

    mine, _ = of(primary).lanes

    assert told(mine)[1:] == [(ago(hours=5), Knowledge.ANSWERED, 2), (ago(hours=3), Knowledge.UNREAD, None)]


def test_what_was_never_read_is_not_known():
    (lane,) = of(factories.organization("new")).lanes

    assert told(lane) == [(ago(hours=24), Knowledge.BEFORE, None)]


def test_lines_of_a_clock_that_ran_ahead_wait_for_their_time(sides: tuple[Organization, Organization]):
    ahead = NOW + timedelta(hours=1)
    line(sides[0], ago(hours=5))
    line(sides[0], ahead, 4)
    Snapshot.objects.filter(pk=sides[0].pk).update(attempted_at=ahead)

    assert told(of(sides[0]).lanes[0])[-1] == (ago(hours=5), Knowledge.UNREAD, None)


def test_changes_of_both_sides_share_their_numbers_in_the_order_of_time(sides: tuple[Organization, Organization]):
    primary, secondary = sides
    later = changing.standing(primary, ChangeStatus.VERIFIED, sent_at=ago(hours=2))
    sooner = changing.standing(secondary, ChangeStatus.REJECTED, sent_at=ago(hours=3))
    changing.standing(primary, ChangeStatus.NOT_SENT, sent_at=ago(hours=1))
    changing.standing(primary, ChangeStatus.CANCELLED)
    changing.standing(primary, ChangeStatus.VERIFIED, sent_at=ago(hours=25))
    changing.standing(factories.organization("another"), ChangeStatus.VERIFIED, sent_at=ago(hours=1))

    assert of(primary).numbers == of(secondary).numbers == {sooner.pk: 1, later.pk: 2}


def test_what_was_changed_outside_is_marked_on_its_side_within_the_window(sides: tuple[Organization, Organization]):
    primary, _ = sides
    line(primary, ago(days=2), 3, outside=True)
    line(primary, ago(hours=2), 4, outside=True, modified_by="priya.raman")

    mine, other = of(primary).lanes

    assert [(each.at, each.modified_by) for each in mine.outside] == [(ago(hours=2), "priya.raman")]
    assert other.outside == ()


@pytest.mark.parametrize("news", ["line", "lapse", "change", "nothing"])
def test_news_of_this_minute_is_in_it_at_once(sides: tuple[Organization, Organization], news: str):
    primary, _ = sides
    line(primary, ago(hours=2))
    at, now = NOW + timedelta(seconds=10), NOW + timedelta(seconds=50)
    if news == "line":
        line(primary, at, 3)
    elif news == "lapse":
        Lapse.objects.create(organization=primary, since=ago(minutes=9), until=at)
    elif news == "change":
        changing.standing(primary, ChangeStatus.SENDING, sent_at=at)

    assert of(primary, now=now).window.end == (NOW if news == "nothing" else now)


def test_more_than_is_looked_up_is_not_drawn_rather_than_taken_for_calm(
    sides: tuple[Organization, Organization], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(timeline, "MOST_LINES", 3)
    primary, secondary = sides
    for hours in (20, 15, 10, 5):
        line(primary, ago(hours=hours), 2 + hours // 5 % 2)
    line(secondary, ago(days=9))

    mine, other = of(primary).lanes

    assert told(mine)[:2] == [(ago(hours=24), Knowledge.UNDRAWN, None), (ago(hours=15), Knowledge.ANSWERED, 3)]
    assert told(other) == [(ago(hours=24), Knowledge.ANSWERED, 2)]


def test_what_is_not_known_of_lapses_that_are_not_looked_up_is_not_drawn(
    sides: tuple[Organization, Organization], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(timeline, "MOST_LINES", 2)
    primary, _ = sides
    line(primary, ago(days=9))
    for hours in (20, 15, 10):
        Lapse.objects.create(organization=primary, since=ago(hours=hours), until=ago(hours=hours - 1))

    mine, _ = of(primary).lanes

    assert [knowledge for _, knowledge, _ in told(mine)] == [
        Knowledge.UNDRAWN,
        Knowledge.UNREAD,
        Knowledge.ANSWERED,
        Knowledge.UNREAD,
        Knowledge.ANSWERED,
    ]


@pytest.mark.parametrize("lines", [1, 300])
def test_a_long_history_costs_no_more_queries(
    sides: tuple[Organization, Organization], lines: int, django_assert_num_queries: DjangoAssertNumQueries
):
    primary, secondary = sides
    for number in range(lines):
        line(primary, ago(minutes=5 * number), 2 + number % 2)
    changing.standing(primary, ChangeStatus.VERIFIED, other=secondary, sent_at=ago(hours=1))
    row = overview.row_of(Organization.objects.select_related("snapshot").get(pk=primary.pk), now=NOW)

    with django_assert_num_queries(3):
        found = timeline.timeline(row, row.sides[0], chosen=Range.DAYS_30, now=NOW)
        assert [change.organization.name for change in found.changes] == ["acme"]
