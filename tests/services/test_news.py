"""What does the page of news say, and does a test go the way of all news?"""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Event
from hamr_portal.domain.news import GATHERED_FOR, Kind
from hamr_portal.domain.organizations import Secret
from hamr_portal.models import AuditEntry, Delivery, News
from hamr_portal.services import news, notifications, people
from tests.services import changing
from tests.services.records import entries

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _channel(settings: Settings) -> None:
    settings.NOTIFY_URLS = [Secret("json://hooks.example/canary0token")]


def test_a_test_is_queued_for_every_channel_and_on_the_record(settings: Settings) -> None:
    settings.SENDS_MAIL = True

    queued = news.send_test(by=changing.admin())

    assert [each.label for each in queued.deliveries.order_by("pk")] == ["E-mail", "1: json://h…e"]
    (entry,) = entries(Event.NEWS_TESTED)
    assert entry.data == {"channels": ["E-mail", "1: json://h…e"]}


def test_a_second_test_waits_for_the_first() -> None:
    first = news.send_test(by=changing.admin())

    with pytest.raises(news.StillUnderWay):
        news.send_test(by=changing.admin())

    assert list(News.objects.all()) == [first]
    assert AuditEntry.objects.filter(event=Event.NEWS_TESTED).count() == 1
    first.deliveries.update(state="GIVEN_UP")
    assert news.send_test(by=changing.admin()).deliveries.exists()


def test_without_a_channel_there_is_nothing_to_test(settings: Settings) -> None:
    settings.NOTIFY_URLS = []

    with pytest.raises(news.NoChannel):
        news.send_test(by=changing.admin())

    assert not News.objects.exists()


def test_nobody_but_an_admin_sends_a_test() -> None:
    with pytest.raises(people.NotAllowed):
        news.send_test(by=changing.operator())


def test_the_newest_news_comes_first_with_how_it_fares() -> None:
    for name in ("ines", "mara", "ruth"):
        notifications.queue(Kind.TEST, by=name)

    pieces = news.listed(limit=2, now=timezone.now())

    assert [piece.fact for piece in pieces] == [f"Test message, asked for by {name}" for name in ("ruth", "mara")]
    assert pieces[0].lines == ["Nothing happened. If you read this, news arrives here."]
    assert [each.state for each in pieces[0].deliveries] == ["WAITING"]


def test_a_channel_says_what_it_told_what_waits_and_what_went_wrong() -> None:
    now = timezone.now() + GATHERED_FOR
    for trouble in ("", "HTTP 500"):
        notifications.queue(Kind.TEST, by="mara")
        Delivery.objects.filter(state="WAITING").update(next_at=now)
        Delivery.objects.filter(state="TOLD").update(told_at=now - timedelta(hours=1))
        (message,) = notifications.take(now=now, most=1)
        notifications.settle(message, trouble=trouble, now=now)
    lost = notifications.queue(Kind.TEST, by="mara")
    lost.deliveries.update(state="GIVEN_UP", error="HTTP 404")

    (channel,) = news.channels(now=now)

    assert (channel.label, channel.is_mail) == ("1: json://h…e", False)
    assert channel.told_at == now - timedelta(hours=1)
    assert (channel.waiting, channel.given_up, channel.error) == (1, 1, "HTTP 404")


def test_troubles_of_long_ago_are_not_shown() -> None:
    now = timezone.now()
    notifications.queue(Kind.TEST, by="mara", at=now - timedelta(days=2)).deliveries.update(
        state="GIVEN_UP", error="HTTP 404"
    )

    (channel,) = news.channels(now=now)

    assert (channel.told_at, channel.given_up, channel.error) == (None, 0, "")
