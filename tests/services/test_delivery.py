"""Does a worker carry news out by itself, whatever the other end does, and go on reading meanwhile?"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from threading import Event as Signal
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal import notifiers
from hamr_portal.domain.news import Kind
from hamr_portal.domain.organizations import Secret
from hamr_portal.domain.people import Role
from hamr_portal.models import Delivery, News, Snapshot, Watched
from hamr_portal.services import notifications, watch, workers
from hamr_portal.services.delivery import AT_ONCE, Carrier
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services.test_workers import StopWhen, simulated
from tests.sinks import Sink, mail_server, web_server

pytestmark = pytest.mark.django_db

State = Delivery.State
TOKEN = "canary0notify0token"


@pytest.fixture
def web(settings: Settings) -> Iterator[Sink]:
    with web_server() as sink:
        settings.NOTIFY_URLS = [Secret(sink.address(TOKEN))]
        yield sink


def due(kind: Kind = Kind.TEST) -> None:
    """Queue a piece of news that is due at once."""
    notifications.queue(kind, by="mara@halden.example")
    Delivery.objects.update(next_at=timezone.now())


def once() -> None:
    workers.run(Signal(), once=True)


def states() -> list[tuple[str, int, str]]:
    return list(Delivery.objects.order_by("pk").values_list("state", "tries", "error"))


def test_a_worker_tells_what_is_due(web: Sink) -> None:
    due()

    once()

    assert [each["title"] for each in web.arrived] == ["HAMR Portal, tests: Test message, asked for by mara"]
    assert states() == [(State.TOLD, 1, "")]


def test_a_worker_tells_by_mail(settings: Settings) -> None:
    factories.person(Role.ADMIN)
    with mail_server() as sink:
        settings.SENDS_MAIL, settings.DEFAULT_FROM_EMAIL = True, "portal@halden.example"
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", sink.port
        due()

        once()

    assert "Subject: HAMR Portal, tests: Test message, asked for by mara" in sink.mails[0]
    assert states() == [(State.TOLD, 1, "")]


def test_what_is_refused_waits_for_its_next_try_and_is_a_line_in_the_log(
    web: Sink, caplog: pytest.LogCaptureFixture
) -> None:
    web.status = 503
    due()

    once()
    once()

    assert len(web.arrived) == 1
    assert states() == [(State.WAITING, 1, "HTTP 503")]
    assert "news.not_told: 1: json://1…1: HTTP 503" in caplog.text
    assert TOKEN not in caplog.text


def test_a_channel_that_refuses_keeps_nothing_from_another(web: Sink, settings: Settings) -> None:
    web.status = 500
    with web_server() as well:
        settings.NOTIFY_URLS = [*settings.NOTIFY_URLS, Secret(well.address())]
        due()

        once()

    assert len(well.arrived) == 1
    assert sorted(state for state, _, _ in states()) == [State.TOLD, State.WAITING]


@pytest.mark.slow
def test_a_server_that_drips_stops_neither_reading_nor_the_worker(
    web: Sink, simulator: Simulator, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HAMR_POLL_INTERVAL = 0
    monkeypatch.setattr(workers, "HEARTBEAT", timedelta(0))
    hand_over = notifiers.tell
    monkeypatch.setattr(notifiers, "tell", lambda *args, **how: hand_over(*args, **how, seconds=60))
    web.drips = True
    simulated(simulator, 1)
    due()
    reads_while_it_drips: list[int] = []

    def has_read_on() -> bool:
        if web.asked.is_set():
            reads_while_it_drips.append(len(simulator.requests))
        done = bool(reads_while_it_drips) and len(simulator.requests) >= reads_while_it_drips[0] + 5
        if done:
            web.over.set()
        return done

    workers.run(StopWhen(has_read_on))

    assert states() == [(State.WAITING, 1, "no connection")]
    assert Snapshot.objects.get().repeats >= 5


def test_no_more_messages_are_in_the_air_than_there_are_threads(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = Signal()
    monkeypatch.setattr(notifiers, "tell", lambda *_, **__: go_on.wait(30))
    settings.NOTIFY_URLS = [Secret(f"json://h{number}") for number in range(AT_ONCE + 2)]
    due()

    with Carrier() as carrier:
        carrier.turn()
        carrier.turn()
        in_the_air = Delivery.objects.filter(leased_until__isnull=False).count()
        go_on.set()
        carrier.finish()
        carrier.turn()
        carrier.finish()

    assert in_the_air == AT_ONCE
    assert {state for state, _, _ in states()} == {State.TOLD}


def test_a_worker_that_is_stopped_settles_what_is_out_and_takes_nothing_new(web: Sink) -> None:
    due()
    stop = Signal()
    stop.set()

    workers.run(stop)

    assert web.arrived == []
    assert states() == [(State.WAITING, 0, "")]


def test_a_worker_that_goes_on_looks_at_the_verdicts_now_and_then(
    simulator: Simulator, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HAMR_POLL_INTERVAL = 0
    monkeypatch.setattr(workers, "HEARTBEAT", timedelta(0))
    factories.seen(factories.organization("acme"), outcome="KEY_REFUSED")

    workers.run(StopWhen(Watched.objects.exists))

    assert Watched.objects.count() == 1


def test_what_was_told_long_ago_is_swept_out() -> None:
    notifications.queue(Kind.TEST, at=timezone.now() - timedelta(days=31), by="mara@halden.example")

    once()

    assert not News.objects.exists()


@pytest.mark.parametrize("error", [RuntimeError("a bug"), Watched.DoesNotExist])
def test_a_bug_in_telling_ends_no_worker_and_no_reading(
    error: Any, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr(watch, "look", fails)
    simulated(simulator, 1)

    once()

    assert Snapshot.objects.get().outcome != ""
    assert "telling news failed" in [record.message for record in caplog.records if record.levelno == logging.ERROR]


def test_a_database_that_does_not_take_news_is_a_line_in_the_log(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(**_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(watch, "look", fails)

    once()

    assert "the database did not take news: DatabaseError" in caplog.text
