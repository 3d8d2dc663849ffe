"""How does news get out? It waits in rows, written with what it tells of, and leaves when a worker finds it due.

Telling has three steps, so that no transaction is open on the wire: `take` leases what is due and makes messages of it,
`notifiers.tell` hands one over and touches no database, and `settle` writes what came of it.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Min, Q, QuerySet
from django.template.loader import render_to_string
from django.utils import timezone

from hamr_portal import notifiers
from hamr_portal.domain.audit import canonical
from hamr_portal.domain.connections import sanitized
from hamr_portal.domain.news import (
    BY_MAIL_ONLY,
    FARTHEST_WAIT,
    GATHERED_FOR,
    LATE_AFTER,
    MOST_TRIES,
    PAUSE,
    TOLD,
    Kind,
    wait_after,
)
from hamr_portal.models import Delivery, News, Person
from hamr_portal.notifiers import Channel

LEASE = timedelta(seconds=2 * notifiers.SECONDS)
"""So long a message is in one worker's hands. One that is killed leaves it to the next, which may tell it twice."""

TOGETHER = 40
"""So many pieces of news go in one message at most."""

KEPT_FOR = timedelta(days=30)
"""So long it is kept what was told to whom."""

LONGEST_TEXT = 500
"""Characters of what somebody wrote that go into a message; the page has all of it."""

NOT_SET = "not set any more"
BROKE_OFF = "the worker ended"


@dataclass(frozen=True)
class Message:
    """One message on its way: what is told, to whom, and which rows are in this worker's hands until when."""

    channel: Channel
    to: tuple[str, ...]
    subject: str
    text: str
    rows: tuple[int, ...]
    until: datetime


@dataclass(frozen=True)
class Backlog:
    """How much waits to be told, since when the oldest does, and how much was given up in the last day."""

    waiting: int
    oldest: datetime | None
    given_up: int


# --- queue ------------------------------------------------------------------------------------------------------


def queue(
    kind: Kind,
    *,
    at: datetime | None = None,
    key: str = "",
    also_to: Collection[str] = (),
    **facts: Any,
) -> News:
    """Put down a piece of news and where it is to go, in the caller's transaction; the worker tells it.

    Facts whose names end in `_at` are moments. Mails go to everybody whom it concerns by their role, and `also_to`.
    """
    at = at or timezone.now()
    with transaction.atomic():
        news = News.objects.create(kind=kind, at=at, key=key[:400], facts_json=canonical(_plain(facts)))
        wanted = [(channel, _recipients(kind, also_to)) for channel in notifiers.channels() if _takes(channel, kind)]
        Delivery.objects.bulk_create(
            Delivery(
                news=news,
                channel=channel.key,
                label=channel.label,
                to=to if channel.address is None else "",
                next_at=timezone.now() + GATHERED_FOR,
            )
            for channel, to in wanted
            if to or channel.address is not None
        )
    return news


def was_told_lately(kind: Kind, key: str, *, since: datetime) -> bool:
    """Tell whether the same was put down already."""
    return News.objects.filter(kind=kind, key=key[:400], at__gte=since).exists()


def _plain(facts: Any) -> Any:
    """Give facts as JSON has them, moments in their one form; a text is one line, whoever wrote it."""
    if isinstance(facts, dict):
        return {name: _plain(value) for name, value in facts.items()}
    if isinstance(facts, list | tuple):
        return [_plain(value) for value in facts]
    if isinstance(facts, str):
        return sanitized(" ".join(facts.split()), LONGEST_TEXT)
    return facts.isoformat() if isinstance(facts, datetime) else facts


def _takes(channel: Channel, kind: Kind) -> bool:
    return channel.address is None or kind not in BY_MAIL_ONLY


def _recipients(kind: Kind, also_to: Collection[str]) -> str:
    people = Person.objects.who_may(*TOLD[kind]).values_list("email", flat=True)
    return " ".join(sorted({*people, *also_to}))


# --- take -------------------------------------------------------------------------------------------------------


def take(*, now: datetime, most: int) -> list[Message]:
    """Lease what is due, at most so many messages, and give them. What waits for one channel goes in one message."""
    due = Delivery.objects.waiting().filter(_is_free(now), _is_due(now))
    if not due.exists():
        return []
    _give_up(due)
    resting = set(Delivery.objects.filter(told_at__range=(now - PAUSE, now)).values_list("channel", "to"))
    wanted = [
        each
        for each in dict.fromkeys(due.order_by("next_at", "pk").values_list("channel", "to"))
        if each not in resting
    ]
    taken = (_leased(channel, to, now) for channel, to in wanted)
    messages = []
    for message in taken:
        messages += [message] if message is not None else []
        if len(messages) == most:
            break
    return messages


def _is_due(now: datetime) -> Q:
    return Q(next_at__lte=now) | Q(next_at__gt=now + FARTHEST_WAIT)


def _is_free(now: datetime) -> Q:
    return Q(leased_until__isnull=True) | Q(leased_until__lte=now) | Q(leased_until__gt=now + 2 * LEASE)


def _give_up(due: QuerySet[Delivery]) -> None:
    """Give up what was tried often enough, and what goes to a channel that nobody has set any more."""
    due.filter(tries__gte=MOST_TRIES).update(state=Delivery.State.GIVEN_UP, error=BROKE_OFF)
    known = [channel.key for channel in notifiers.channels()]
    due.exclude(channel__in=known).update(state=Delivery.State.GIVEN_UP, error=NOT_SET)


def _leased(channel: str, to: str, now: datetime) -> Message | None:
    """Take all that waits for a channel, whether due or not, and make one message of it; None where another was first.

    A try counts from here on, and only for what is due: news that came in since must not use up the tries of the old.
    """
    until = now + LEASE
    with transaction.atomic():
        free = Delivery.objects.waiting().filter(_is_free(now), channel=channel, to=to).select_related("news")
        rows = [row for row in free.order_by("news", "pk")[:TOGETHER] if _lease(row, now, until)]
    if not rows:
        return None
    known = next(each for each in notifiers.channels() if each.key == channel)
    subject, text = _written([row.news for row in rows], now)
    return Message(known, tuple(to.split()), subject, text, tuple(row.pk for row in rows), until)


def _lease(row: Delivery, now: datetime, until: datetime) -> bool:
    """Take one row unless somebody else was first."""
    taken: dict[str, Any] = {"leased_until": until}
    if row.next_at <= now or row.next_at > now + FARTHEST_WAIT:
        wait = wait_after(row.tries + 1, chance=random.random())  # noqa: S311 - only to spread them
        taken |= {"tries": row.tries + 1, "next_at": now + wait}
    still = Delivery.objects.waiting().filter(pk=row.pk, leased_until=row.leased_until, next_at=row.next_at)
    return bool(still.update(**taken))


def _written(pieces: Iterable[News], now: datetime) -> tuple[str, str]:
    """Give the subject (the most urgent fact) and the text of one message: every fact, then each with particulars."""
    told = [(news, *words_of(news, now=now)) for news in pieces]
    facts: dict[str, Any] = {"told": [{"news": news, "fact": fact, "lines": lines} for news, fact, lines in told]}
    urgency = [*Kind]
    facts["first"] = min(facts["told"], key=lambda each: urgency.index(Kind(each["news"].kind)))["fact"]
    facts |= {"environment": settings.ENVIRONMENT_NAME, "now": now, "late_before": now - LATE_AFTER}
    subject = " ".join(render_to_string("news/subject.txt", facts).split())
    return subject, render_to_string("news/message.txt", facts)


def words_of(news: News, *, now: datetime) -> tuple[str, list[str]]:
    """Give the fact in one line, and the lines that say more; ages are those of `now`."""
    facts = {"facts": news.facts, "at": news.at, "now": now}
    lines = [" ".join(line.split()) for line in render_to_string(f"news/{news.kind.lower()}.txt", facts).splitlines()]
    fact, *further = filter(None, lines)
    return fact, further


# --- settle -----------------------------------------------------------------------------------------------------


def settle(message: Message, *, trouble: str, now: datetime) -> None:
    """Put down what came of a message: told, or why not (`trouble`), then to be tried again or given up.

    Where the lease has passed on, nothing is put down: it is another worker's by now.
    """
    ours = Delivery.objects.waiting().filter(pk__in=message.rows, leased_until=message.until)
    if not trouble:
        ours.update(state=Delivery.State.TOLD, told_at=now, leased_until=None, error="")
        return
    with transaction.atomic():
        ours.filter(tries__gte=MOST_TRIES).update(state=Delivery.State.GIVEN_UP, leased_until=None, error=trouble[:100])
        ours.update(leased_until=None, error=trouble[:100])


def sweep(*, now: datetime) -> None:
    """Forget what was told long ago."""
    News.objects.filter(at__lt=now - KEPT_FOR).delete()


def backlog(*, now: datetime) -> Backlog:
    """Count what waits and what was given up lately."""
    lately = Q(state=Delivery.State.GIVEN_UP, news__at__gte=now - timedelta(days=1))
    is_waiting = Q(state=Delivery.State.WAITING)
    counted = Delivery.objects.aggregate(
        waiting=Count("pk", filter=is_waiting),
        oldest=Min("news__at", filter=is_waiting),
        given_up=Count("pk", filter=lately),
    )
    return Backlog(**counted)
