from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from hamr_portal.domain.audit import Event
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.models import AuditEntry, Observation, Organization, Snapshot
from hamr_portal.services import outside
from tests import factories
from tests.services import changing

pytestmark = pytest.mark.django_db

WRITER = "priya.raman@halden.example"


def seen(organization: Organization, *, ago: timedelta = timedelta(0), **fields: Any) -> Observation:
    """Let a change from outside have been seen; it is news on the organization's page."""
    at = timezone.now() - ago
    Snapshot.objects.filter(pk=organization.pk).update(outside_at=at)
    given = {"outcome": ReadOutcome.ANSWERED, "has_connection": True, "status": 3, "modified_by": WRITER}
    return Observation.objects.create(**{"organization": organization, "at": at, "outside": True, **given, **fields})


def acknowledge(observation: Observation, comment: str = "done by hand, INC-4473") -> None:
    outside.acknowledge(observation, comment=comment, by=changing.operator())


def comments() -> list[str]:
    return list(Observation.objects.order_by("pk").values_list("comment", flat=True))


def news() -> set[str]:
    rows = Snapshot.objects.filter(outside_at__isnull=False)
    return set(rows.values_list("organization__name", flat=True))


def test_acknowledging_writes_who_when_and_why_and_puts_it_on_the_record() -> None:
    observation = seen(factories.organization("acme"))

    acknowledge(observation, "  done by hand, INC-4473 ")

    observation.refresh_from_db()
    assert observation.acknowledged_at is not None
    assert observation.acknowledged_by == changing.operator().name
    assert observation.comment == "done by hand, INC-4473"
    entry = AuditEntry.objects.get(event=Event.OUTSIDE_ACKNOWLEDGED)
    assert (entry.organization, entry.reason) == ("acme", "done by hand, INC-4473")
    assert json.loads(entry.data)["observations"] == [observation.pk]
    assert news() == set()


@pytest.mark.parametrize("comment", ["", "  \n"])
def test_a_comment_is_needed(comment: str) -> None:
    observation = seen(factories.organization("acme"))

    with pytest.raises(outside.CommentMissing):
        acknowledge(observation, comment)

    assert news() == {"acme"}
    assert not AuditEntry.objects.filter(event=Event.OUTSIDE_ACKNOWLEDGED).exists()


def test_the_second_to_acknowledge_is_told_and_writes_nothing() -> None:
    observation = seen(factories.organization("acme"))
    acknowledge(observation, "mine")

    with pytest.raises(outside.AlreadyAcknowledged):
        acknowledge(observation, "mine, too")

    assert comments() == ["mine"]
    assert AuditEntry.objects.filter(event=Event.OUTSIDE_ACKNOWLEDGED).count() == 1


def test_what_the_portal_made_itself_is_not_acknowledged() -> None:
    observation = seen(factories.organization("acme"), outside=False)

    with pytest.raises(outside.AlreadyAcknowledged):
        acknowledge(observation)


def test_the_same_write_on_the_other_side_is_acknowledged_with_it() -> None:
    primary, secondary = factories.pair()
    observation, _ = seen(primary), seen(secondary, ago=timedelta(minutes=9))

    acknowledge(observation, "by hand")

    assert comments() == ["by hand", "by hand"]
    assert news() == set()


@pytest.mark.parametrize(
    "different",
    [{"status": 4}, {"modified_by": "jonas.weber@halden.example"}, {"ago": timedelta(minutes=11)}],
)
def test_another_write_on_the_other_side_is_not_acknowledged_with_it(different: dict[str, Any]) -> None:
    primary, secondary = factories.pair()
    observation, _ = seen(primary), seen(secondary, **different)

    acknowledge(observation, "by hand")

    assert comments() == ["by hand", ""]
    assert news() == {secondary.name}


def test_the_same_write_on_another_pair_is_not_acknowledged_with_it() -> None:
    observation, _ = seen(factories.organization("acme")), seen(factories.organization("other"))

    acknowledge(observation, "by hand")

    assert comments() == ["by hand", ""]
    assert news() == {"other"}


def test_it_stays_news_while_another_of_the_last_hour_is_not_acknowledged() -> None:
    organization = factories.organization("acme")
    older, newer = seen(organization, ago=timedelta(minutes=50)), seen(organization, status=4)

    acknowledge(older)
    with_one_left = news()
    Snapshot.objects.update(outside_at=older.at)
    acknowledge(newer)

    assert with_one_left == {"acme"}
    assert news() == set()


def test_what_is_news_is_the_newest_that_nobody_has_acknowledged() -> None:
    primary, secondary = factories.pair()
    oldest = seen(primary, ago=timedelta(minutes=50))
    older, newest = seen(primary, ago=timedelta(minutes=40), status=4), seen(primary, status=5)
    across = seen(secondary, ago=timedelta(minutes=20), status=4)

    acknowledge(newest)

    assert Snapshot.objects.get(pk=primary.pk).outside_at == older.at
    assert Snapshot.objects.get(pk=secondary.pk).outside_at == across.at
    assert oldest.at < older.at


def test_what_was_seen_more_than_an_hour_ago_does_not_keep_it_news() -> None:
    organization = factories.organization("acme")
    seen(organization, ago=timedelta(minutes=61))
    newest = seen(organization, status=4)

    acknowledge(newest)

    assert news() == set()


def test_the_list_begins_with_what_nobody_has_acknowledged_the_newest_first() -> None:
    organization = factories.organization("acme")
    first, second, third = (seen(organization, ago=timedelta(hours=hours)) for hours in (3, 2, 1))
    acknowledge(third)

    listed = outside.listed(limit=2)

    assert [each.seen for each in listed] == [second, first]
    assert [each.seen for each in outside.listed(limit=9)] == [second, first, third]


def test_the_list_knows_what_was_there_before_on_the_same_organization() -> None:
    primary, secondary = factories.pair()
    at = timezone.now()
    common = {"organization": primary, "outcome": ReadOutcome.ANSWERED, "has_connection": True, "at": at}
    before = Observation.objects.create(**common, status=2)
    Observation.objects.create(**{**common, "organization": secondary}, status=4)
    observation = seen(primary, at=at)
    seen(secondary, at=at - timedelta(hours=1))

    found = {each.seen: each.before for each in outside.listed(limit=9)}

    assert found[observation] == before
    assert list(found.values())[1] is None


def test_one_write_that_both_sides_show_is_listed_once() -> None:
    primary, secondary = factories.pair()
    across, observation = seen(secondary, ago=timedelta(minutes=9)), seen(primary)

    (listed,) = outside.listed(limit=9)
    acknowledge(observation)
    (after,) = outside.listed(limit=9)

    assert (listed.seen, listed.mirrored) == (observation, across)
    assert (after.seen, after.mirrored) == (observation, across)


@pytest.mark.parametrize(
    "different",
    [
        {"status": 4},
        {"modified_by": "jonas.weber@halden.example"},
        {"ago": timedelta(minutes=11)},
        {"acknowledged_at": timezone.now()},
    ],
)
def test_another_write_on_the_other_side_is_listed_by_itself(different: dict[str, Any]) -> None:
    primary, secondary = factories.pair()
    seen(primary)
    seen(secondary, **different)

    assert [each.mirrored for each in outside.listed(limit=9)] == [None, None]


def test_two_writes_on_one_side_are_two_lines() -> None:
    primary, _ = factories.pair()
    lone = factories.organization("lone")
    for organization in (primary, primary, lone, lone):
        seen(organization)

    assert [each.mirrored for each in outside.listed(limit=9)] == [None] * 4


def test_a_third_sight_of_a_write_is_a_line_of_its_own() -> None:
    primary, secondary = factories.pair()
    for organization in (primary, secondary, secondary):
        seen(organization)

    assert len(outside.listed(limit=9)) == 2
    assert len(outside.listed(limit=1)) == 1
