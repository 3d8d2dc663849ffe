"""What was told, where, and did it arrive? And does it arrive: a test message goes the way of all news."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Count, Max, Q

from hamr_portal import notifiers
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.news import Kind
from hamr_portal.domain.people import Action
from hamr_portal.models import Delivery, News

from . import audit, notifications, people

TROUBLE_SHOWN_FOR = timedelta(days=1)


class NoChannel(Exception):
    """There is nowhere to send a test to."""


class StillUnderWay(Exception):
    """The test before is still on its way."""


@dataclass(frozen=True)
class Piece:
    """One piece of news in words, and how it fares on each channel."""

    news: News
    fact: str
    lines: list[str]
    deliveries: list[Delivery]


@dataclass(frozen=True)
class ChannelState:
    """One channel: what it carries, when it last did, what waits for it, and what went wrong last."""

    label: str
    is_mail: bool
    told_at: datetime | None
    waiting: int
    given_up: int
    error: str


def listed(*, limit: int, now: datetime) -> list[Piece]:
    """Give the newest pieces of news."""
    rows = News.objects.prefetch_related("deliveries").order_by("-pk")[:limit]
    return [
        Piece(row, *notifications.words_of(row, now=now), sorted(row.deliveries.all(), key=lambda each: each.pk))
        for row in rows
    ]


def channels(*, now: datetime) -> list[ChannelState]:
    """Give every channel that is set."""
    return [_state(channel, now) for channel in notifiers.channels()]


def _state(channel: notifiers.Channel, now: datetime) -> ChannelState:
    rows = Delivery.objects.filter(channel=channel.key)
    lately = Q(state=Delivery.State.GIVEN_UP, news__at__gte=now - TROUBLE_SHOWN_FOR)
    counted = rows.aggregate(
        told_at=Max("told_at"),
        waiting=Count("pk", filter=Q(state=Delivery.State.WAITING)),
        given_up=Count("pk", filter=lately),
    )
    newest = rows.exclude(error="").filter(news__at__gte=now - TROUBLE_SHOWN_FOR).order_by("-pk").first()
    return ChannelState(
        channel.label, channel.address is None, error=newest.error if newest is not None else "", **counted
    )


def send_test(*, by: Actor) -> News:
    """Queue a test message for every channel. Raises `people.NotAllowed`, `NoChannel`, `StillUnderWay`."""
    people.entitled(by, Action.SEE_NEWS)
    if not notifiers.channels():
        raise NoChannel("Neither NOTIFY_URLS nor EMAIL_URL is set.")
    with transaction.atomic():
        # Of two at once, the second waits here for the record, and then finds the first.
        audit.append(Event.NEWS_TESTED, by=by, data={"channels": [each.label for each in notifiers.channels()]})
        if Delivery.objects.waiting().filter(news__kind=Kind.TEST).exists():
            raise StillUnderWay("The test before is still on its way.")
        return notifications.queue(Kind.TEST, by=by.name)
