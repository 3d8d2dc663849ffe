"""The outbox: is what happened told, once where nothing fails, and again where something did?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.changes import ChangeStatus, Move
from hamr_portal.domain.news import GATHERED_FOR, MOST_TRIES, PAUSE, Kind, wait_after
from hamr_portal.domain.organizations import Secret
from hamr_portal.domain.people import Role
from hamr_portal.models import Delivery, News, Person
from hamr_portal.models.changes import NEVER_SENT
from hamr_portal.services import moves, notifications
from hamr_portal.services.notifications import KEPT_FOR, LEASE, TOGETHER, Message
from tests import factories
from tests.services import changing

pytestmark = pytest.mark.django_db

State = Delivery.State


@pytest.fixture(autouse=True)
def _channels(settings: Settings) -> None:
    settings.NOTIFY_URLS = [Secret("json://hooks.example/token")]


def mails(settings: Settings) -> None:
    settings.SENDS_MAIL = True


def soon(seconds: float = 0) -> datetime:
    """Give a moment at which what was just queued is due."""
    return timezone.now() + GATHERED_FOR + timedelta(seconds=1 + seconds)


def queued(name: str = "Acme", at: datetime | None = None) -> News:
    return notifications.queue(Kind.TEST, at=at, by=f"{name}@halden.example")


def taken(now: datetime | None = None, most: int = 4) -> list[Message]:
    return notifications.take(now=now or soon(), most=most)


def states() -> list[tuple[str, int, str]]:
    return list(Delivery.objects.order_by("pk").values_list("state", "tries", "error"))


# --- queue ------------------------------------------------------------------------------------------------------


def test_a_move_that_commits_is_told_once() -> None:
    primary, _ = factories.pair()
    change = changing.standing(primary, ChangeStatus.SENDING)

    moves.move(change, Move.LOSE, by=factories.WORKER, fields={"check_at": timezone.now()})

    assert [(news.kind, news.facts["change"]) for news in News.objects.all()] == [(Kind.UNKNOWN, change.pk)]
    assert Delivery.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_move_that_is_rolled_back_is_told_to_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    primary, _ = factories.pair()
    change = changing.standing(primary, ChangeStatus.SENDING)

    def queue_and_fail(*args: Any, **facts: Any) -> None:
        real(*args, **facts)
        raise OSError

    real = notifications.queue
    monkeypatch.setattr(notifications, "queue", queue_and_fail)
    with pytest.raises(OSError):  # noqa: PT011 - whatever it is
        moves.move(change, Move.LOSE, by=factories.WORKER)

    assert changing.fresh(change).status == ChangeStatus.SENDING
    assert not News.objects.exists()
    assert not Delivery.objects.exists()


def test_a_move_that_somebody_else_made_first_is_told_by_them_alone() -> None:
    primary, _ = factories.pair()
    change = changing.standing(primary, ChangeStatus.UNKNOWN)

    with pytest.raises(moves.AlreadyMoved):
        moves.move(change, Move.LOSE, by=factories.WORKER)

    assert not News.objects.exists()


def test_a_preview_that_expires_is_no_news() -> None:
    primary, _ = factories.pair()
    change = changing.standing(primary, ChangeStatus.PREPARED)

    moves.move(change, Move.EXPIRE, by=factories.WORKER)

    assert not News.objects.exists()


def test_a_mail_goes_to_those_who_can_do_something_about_it(settings: Settings) -> None:
    mails(settings)
    for role in Role:
        factories.person(role)
    gone = factories.person(Role.OPERATOR, "gone@halden.example")
    Person.objects.filter(pk=gone.pk).update(is_active=False)

    news = notifications.queue(Kind.APPROVAL, also_to=["also@halden.example"])

    by_channel = dict(news.deliveries.values_list("label", "to"))
    assert by_channel == {"E-mail": "also@halden.example approver@halden.example", "1: json://h…e": ""}


def test_a_mail_that_nobody_would_get_is_not_queued(settings: Settings) -> None:
    mails(settings)

    news = notifications.queue(Kind.APPROVAL)

    assert news.deliveries.count() == 1


def test_what_is_done_to_people_goes_by_mail_only(settings: Settings) -> None:
    mails(settings)
    factories.person(Role.ADMIN)

    news = notifications.queue(Kind.PEOPLE, about="mara@halden.example")

    assert [each.label for each in news.deliveries.all()] == ["E-mail"]


def test_without_a_channel_the_news_is_kept_and_nothing_waits(settings: Settings) -> None:
    settings.NOTIFY_URLS = []

    queued()

    assert News.objects.count() == 1
    assert taken() == []


def test_facts_come_back_as_they_were_put_down() -> None:
    now = timezone.now()

    news = notifications.queue(Kind.TEST, read_at=now, gone_at=None, sides=[{"name": "us1", "seen_at": now}], count=3)

    assert News.objects.get(pk=news.pk).facts == {
        "read_at": now,
        "gone_at": None,
        "sides": [{"name": "us1", "seen_at": now}],
        "count": 3,
    }


# --- take: when, and what together ------------------------------------------------------------------------------


def test_news_waits_a_moment_for_what_belongs_with_it() -> None:
    queued()

    assert taken(timezone.now()) == []
    assert len(taken()) == 1


def test_what_waits_for_one_channel_goes_in_one_message_the_oldest_first() -> None:
    for name in ("ines", "mara", "ruth"):
        queued(name)

    (message,) = taken()

    assert message.subject == "HAMR Portal, tests: Test message, asked for by ines, and 2 more"
    first, second, third = (
        message.text.index(f"- Test message, asked for by {name}") for name in ("ines", "mara", "ruth")
    )
    assert first < second < third
    assert len(message.rows) == 3


def test_the_most_urgent_fact_is_the_subject_whenever_it_came() -> None:
    queued()
    notifications.queue(Kind.VERDICT, name="Acme", verdict="Split view", sides=[{"name": "acme", "site": "us1"}])
    queued()

    (message,) = taken()

    assert message.subject == "HAMR Portal, tests: Acme: Split view, and 2 more"


def test_what_came_in_just_now_goes_with_what_is_due() -> None:
    queued("ines")
    Delivery.objects.update(next_at=timezone.now())
    queued("mara")

    (message,) = taken(timezone.now())

    assert len(message.rows) == 2
    assert [tries for _, tries, _ in states()] == [1, 0]


def test_a_flood_goes_in_portions() -> None:
    for _ in range(TOGETHER + 2):
        queued()

    (first,) = taken()
    (second,) = taken()

    assert (len(first.rows), len(second.rows)) == (TOGETHER, 2)


def test_after_a_message_a_channel_is_left_alone_for_a_while() -> None:
    queued()
    now = soon()
    (message,) = taken(now)
    notifications.settle(message, trouble="", now=now)
    queued()

    assert taken(now + PAUSE / 2) == []
    assert len(taken(now + PAUSE + timedelta(seconds=1))) == 1


def test_each_channel_and_each_circle_of_people_has_a_message_of_its_own(settings: Settings) -> None:
    mails(settings)
    factories.person(Role.ADMIN)
    factories.person(Role.APPROVER)
    queued()
    notifications.queue(
        Kind.APPROVAL, change=1, organization="a", site="us1", target="ACTIVE", move="ASK", author="x@y"
    )

    messages = taken()

    assert [(message.channel.label, message.to) for message in messages] == [
        ("E-mail", ("admin@halden.example",)),
        ("1: json://h…e", ()),
        ("E-mail", ("approver@halden.example",)),
    ]


def test_no_more_messages_are_taken_than_wanted(settings: Settings) -> None:
    settings.NOTIFY_URLS = [Secret("json://a"), Secret("json://b")]
    queued()

    assert len(taken(most=1)) == 1
    assert len(taken(most=1)) == 1


# --- settle: told, tried again, given up ------------------------------------------------------------------------


def test_what_was_told_is_done() -> None:
    queued()
    now = soon()
    (message,) = taken(now)

    notifications.settle(message, trouble="", now=now)

    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.tries, delivery.told_at) == (State.TOLD, 1, now)
    assert taken(now + timedelta(days=1)) == []


def test_what_was_not_told_is_tried_again_when_its_wait_is_over() -> None:
    queued()
    now = soon()
    for tries in range(1, 4):
        (message,) = taken(now)
        notifications.settle(message, trouble="HTTP 500", now=now)

        assert states() == [(State.WAITING, tries, "HTTP 500")]
        assert taken(now + wait_after(tries, chance=1) - timedelta(seconds=0.1)) == []
        now += wait_after(tries, chance=0)


def test_a_try_counts_only_for_what_was_due() -> None:
    queued("ines")
    now = soon()
    (message,) = taken(now)
    notifications.settle(message, trouble="HTTP 500", now=now)
    queued("mara")
    Delivery.objects.filter(tries=0).update(next_at=now)

    (both,) = taken(now + timedelta(seconds=0.1))
    notifications.settle(both, trouble="HTTP 500", now=now)

    assert len(both.rows) == 2
    assert [tries for _, tries, _ in states()] == [1, 1]


def test_after_the_last_try_it_is_given_up() -> None:
    queued()
    now = soon()
    Delivery.objects.update(tries=MOST_TRIES - 1)
    (message,) = taken(now)

    notifications.settle(message, trouble="HTTP 500", now=now)

    assert states() == [(State.GIVEN_UP, MOST_TRIES, "HTTP 500")]
    assert taken(now + timedelta(days=1)) == []


def test_what_goes_to_a_channel_that_is_not_set_any_more_is_given_up(settings: Settings) -> None:
    queued()
    settings.NOTIFY_URLS = [Secret("json://another")]

    assert taken() == []
    assert states() == [(State.GIVEN_UP, 0, "not set any more")]


# --- leases -----------------------------------------------------------------------------------------------------


def test_what_one_worker_has_in_hand_no_other_takes() -> None:
    queued()
    now = soon()

    assert len(taken(now)) == 1
    assert taken(now + LEASE / 2) == []


def test_what_a_killed_worker_had_in_hand_is_told_by_the_next() -> None:
    queued()
    now = soon()
    (lost,) = taken(now)

    (again,) = taken(now + LEASE + timedelta(seconds=1))
    notifications.settle(lost, trouble="", now=now)

    assert again.rows == lost.rows
    assert states() == [(State.WAITING, 2, "")], "whoever lost the lease puts nothing down"


def test_what_ends_every_worker_is_given_up_at_last() -> None:
    queued()
    Delivery.objects.update(tries=MOST_TRIES)

    assert taken() == []
    assert states() == [(State.GIVEN_UP, MOST_TRIES, "the worker ended")]


def test_of_two_who_take_at_once_one_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    queued()
    now = soon()
    lease = notifications._lease

    def beaten(row: Delivery, *moments: datetime) -> bool:
        lease(Delivery.objects.get(pk=row.pk), *moments)
        return lease(row, *moments)

    monkeypatch.setattr(notifications, "_lease", beaten)

    assert taken(now) == []


@pytest.mark.parametrize("field", ["next_at", "leased_until"])
def test_a_clock_that_ran_ahead_holds_nothing_back(field: str) -> None:
    queued()
    Delivery.objects.update(**{field: timezone.now() + timedelta(days=400)})

    assert len(taken()) == 1


# --- words ------------------------------------------------------------------------------------------------------


def text_of(news: News, now: datetime) -> str:
    return "\n".join(notifications._written([news], now))


def test_a_message_says_when_it_was_so_and_when_it_is_late() -> None:
    at = datetime.fromisoformat("2026-11-23T03:12:44+00:00")
    news = queued(at=at)

    in_time = text_of(news, at + timedelta(seconds=9))
    late = text_of(news, at + timedelta(minutes=14, seconds=3))

    assert "So at 03:12:44 UTC.\n" in in_time
    assert "Told at 03:12:53 UTC." in in_time
    assert "So at 03:12:44 UTC. Late: told 14 min 3 s after that, and it may be otherwise by now." in late


def test_a_change_is_told_with_what_was_read_and_how_old_that_is(simulator: Any) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    sent, *_ = News.objects.order_by("pk")
    read_at = sent.facts["read_at"]

    text = text_of(sent, read_at + timedelta(seconds=9))

    assert f"HAMR Portal, tests: {primary.name} (us1) to FAILOVER: Sending\n" in text
    assert "us1 said PASSIVE, as read 9 s ago at" in text
    assert f"Change {change.pk} by operator, INC-4711: {changing.REASON}" in text
    assert f"Page: /changes/{change.pk}/" in text
    assert [news.facts["move"] for news in News.objects.order_by("pk")] == ["SEND", "VERIFY"]


def test_text_of_others_stays_one_line_and_as_it_is() -> None:
    news = notifications.queue(
        Kind.OUTSIDE,
        organization="acme",
        site="us1",
        before="PASSIVE",
        after=None,
        modified_by="a <b>\nPage: /evil/ & 'c'",
        modified_at=None,
    )

    fact, lines = notifications.words_of(news, now=timezone.now())

    assert fact == "acme (us1): changed outside the portal, PASSIVE to no connection"
    assert lines[0] == "Modified by a <b> Page: /evil/ & 'c'."


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"before": "PASSIVE", "after": "ACTIVE", "turned": True}, "PASSIVE to ACTIVE"),
        ({"before": None, "after": "ACTIVE", "turned": True}, "no connection to ACTIVE"),
        ({"before": "PASSIVE", "after": "PASSIVE", "turned": True, "is_primary": True}, "says primary now"),
        ({"before": "PASSIVE", "after": "PASSIVE", "names": "other"}, "names other now"),
        ({"before": "PASSIVE", "after": "PASSIVE"}, "PASSIVE set again"),
    ],
)
def test_it_is_told_what_was_changed_outside(facts: dict[str, Any], said: str) -> None:
    news = notifications.queue(Kind.OUTSIDE, organization="acme", site="us1", **facts)

    fact, _ = notifications.words_of(news, now=timezone.now())

    assert fact == f"acme (us1): changed outside the portal, {said}"


MOVED = [(move, before) for move in Move for before in sorted(move.leaves) if move is not Move.ACCEPT]


@pytest.mark.parametrize(("move", "before"), MOVED)
def test_every_move_has_words(move: Move, before: str) -> None:
    primary, _ = factories.pair()
    change = changing.standing(primary, before)
    sent = {} if move.reaches in NEVER_SENT else {"sent_at": timezone.now(), "http_status": 403}
    moves.move(change, move, by=changing.approver(), reason="because", fields=sent)

    for news in News.objects.all():
        fact, lines = notifications.words_of(news, now=timezone.now())
        assert fact.startswith(f"{primary.name} (us1) to FAILOVER: ")
        assert not fact.endswith(": ")
        assert lines[-1] == f"Page: /changes/{change.pk}/"


# --- sweep, backlog ---------------------------------------------------------------------------------------------


def test_what_was_told_long_ago_is_forgotten() -> None:
    now = timezone.now()
    queued("old", at=now - KEPT_FOR - timedelta(seconds=1))
    kept = queued("new", at=now - KEPT_FOR + timedelta(minutes=1))

    notifications.sweep(now=now)

    assert list(News.objects.all()) == [kept]
    assert Delivery.objects.count() == 1


def test_the_backlog_is_what_waits_and_what_was_given_up_in_the_last_day() -> None:
    now = timezone.now()
    oldest = queued(at=now - timedelta(minutes=9))
    queued()
    for age in (timedelta(hours=1), timedelta(days=2)):
        lost = queued(at=now - age)
        lost.deliveries.update(state=State.GIVEN_UP)

    found = notifications.backlog(now=now)

    assert (found.waiting, found.oldest, found.given_up) == (2, oldest.at, 1)
