"""Brute force, and brute force turned against whoever is on call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse

from hamr_portal.domain.audit import Event
from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Tally
from hamr_portal.services import rooms, sessions
from tests import factories
from tests.services.records import entries

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
MARA = "mara@halden.example"
NOW = datetime.fromisoformat("2026-03-15T03:06:32+00:00")
SHARED = {"default": {"BACKEND": "hamr_portal.services.tallies.SharedCache"}}


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    rooms.left_out.take()
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller
    rooms.left_out.take()


@pytest.fixture
def _shared(settings: Any) -> None:
    settings.CACHES = SHARED


def try_in(address: str = "192.0.2.1", email: str = MARA, password: str = "wrong", **headers: str) -> str:
    """Try to sign in from an address, and give what came of it: `in`, or what the page says."""
    client = Client(REMOTE_ADDR=address, headers=headers)
    response = client.post(reverse("account_login"), {"login": email, "password": password})
    if response.status_code == 302:
        return "in"
    assert response.status_code == (200 if "do not match" in response.content.decode() else 429)
    known = r"do not match|Too many sign-ins (failed|from here)( at this e-mail address)?"
    found = re.search(known, response.content.decode())
    assert found
    return found[0]


FAILED, LOCKED = "do not match", "Too many sign-ins failed"
LOCKED_EVERYWHERE, PAGE_CLOSED = "Too many sign-ins failed at this e-mail address", "Too many sign-ins from here"


# --- what stops an attacker -------------------------------------------------------------------------------------


def test_after_five_failures_an_account_is_closed_to_that_address() -> None:
    factories.person(Role.VIEWER, MARA)
    tries = [try_in() for _ in range(5)]

    right = try_in(password=PASSWORD)

    assert tries == [FAILED] * 5
    assert right == LOCKED


def test_it_opens_again_by_itself(clock: time_machine.Traveller) -> None:
    factories.person(Role.VIEWER, MARA)
    for _ in range(6):
        try_in()
    clock.shift(timedelta(minutes=5, seconds=1))

    right = try_in(password=PASSWORD)

    assert right == "in"


def test_one_address_fails_twenty_times_at_all_accounts_together() -> None:
    tries = [try_in(email=f"{number}@halden.example") for number in range(20)]

    another = try_in(email="another@halden.example")

    assert tries == [FAILED] * 20
    assert another == LOCKED


def test_right_passwords_are_no_failures_from_everywhere(settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login_failed_account": "2/h/key"}
    factories.person(Role.VIEWER, MARA)
    for _ in range(3):
        try_in(password=PASSWORD)

    stranger = try_in("203.0.113.9", password=PASSWORD)

    assert stranger == "in"


def test_signing_in_to_an_account_of_ones_own_resets_nothing() -> None:
    factories.person(Role.VIEWER, "insider@halden.example")
    for _ in range(4):
        try_in()
        try_in(email="insider@halden.example", password=PASSWORD)

    fifth, sixth = try_in(), try_in()

    assert (fifth, sixth) == (FAILED, LOCKED)


def test_a_hundred_failures_from_everywhere_close_an_account_to_strangers() -> None:
    factories.person(Role.VIEWER, MARA)
    tries = {try_in(address=f"198.51.100.{number // 5}") for number in range(100)}

    stranger = try_in(address="203.0.113.9", password=PASSWORD)

    assert tries == {FAILED}
    assert stranger == LOCKED_EVERYWHERE
    assert len(entries(Event.LOCKED_OUT)) == 1


@pytest.mark.parametrize("spelling", ["MARA@halden.example", "Mara@Halden.Example", f" {MARA} "])
def test_another_spelling_is_no_other_account(spelling: str) -> None:
    for _ in range(5):
        try_in()

    again = try_in(email=spelling)

    assert again == LOCKED


@pytest.mark.parametrize("header", ["x-forwarded-for", "x-real-ip", "forwarded", "client-ip"])
def test_an_address_that_the_caller_writes_down_is_not_believed(header: str) -> None:
    tries = [try_in(**{header: f"203.0.113.{number}"}) for number in range(6)]

    assert tries == [FAILED] * 5 + [LOCKED]


def test_behind_a_proxy_only_what_it_wrote_is_believed(settings: Any) -> None:
    settings.TRUSTED_PROXIES = settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1

    forged = [try_in("10.0.0.1", **{"x-forwarded-for": f"203.0.113.{n}, 192.0.2.7"}) for n in range(6)]
    other = try_in("10.0.0.1", **{"x-forwarded-for": "192.0.2.7, 192.0.2.8"})

    assert forged == [FAILED] * 5 + [LOCKED]
    assert other == FAILED


@pytest.mark.parametrize("header", ["", "not an address", ",,,", "1.2.3.4"])
def test_behind_two_proxies_a_header_that_is_too_short_is_no_failure_of_the_portal(header: str, settings: Any) -> None:
    settings.TRUSTED_PROXIES = settings.ALLAUTH_TRUSTED_PROXY_COUNT = 2

    outcome = try_in("10.0.0.1", **{"x-forwarded-for": header})

    assert outcome == FAILED


def test_addresses_of_one_ipv6_network_are_one() -> None:
    tries = [try_in(f"2001:db8:1:2::{number:x}") for number in range(1, 7)]

    assert tries == [FAILED] * 5 + [LOCKED]


# --- and what does not stop whoever is on call ------------------------------------------------------------------


def test_an_attacker_at_one_address_locks_nobody_out_elsewhere(clock: time_machine.Traveller) -> None:
    factories.person(Role.OPERATOR, MARA)
    for _ in range(15):
        for _ in range(6):
            try_in("203.0.113.66")
        clock.shift(timedelta(minutes=4))

    right = try_in("192.0.2.1", password=PASSWORD)

    assert right == "in"


def test_a_crowd_of_attackers_does_not_lock_out_who_signs_in_from_here_as_ever() -> None:
    factories.person(Role.OPERATOR, MARA)
    try_in("192.0.2.1", password=PASSWORD)
    for number in range(101):
        try_in(f"198.51.100.{number // 5}")

    right = try_in("192.0.2.1", password=PASSWORD)

    assert right == "in"


def test_where_somebody_signed_in_long_ago_is_not_where_they_sign_in(clock: time_machine.Traveller) -> None:
    factories.person(Role.OPERATOR, MARA)
    try_in("192.0.2.1", password=PASSWORD)
    clock.shift(sessions.LATELY + timedelta(seconds=1))
    for number in range(100):
        try_in(f"198.51.100.{number // 5}")

    right = try_in("192.0.2.1", password=PASSWORD)

    assert right == LOCKED_EVERYWHERE


def test_a_flood_at_one_account_leaves_other_accounts_open_to_the_same_address() -> None:
    factories.person(Role.OPERATOR, MARA)
    for _ in range(25):
        try_in("192.0.2.1", email="somebody@halden.example")

    right = try_in("192.0.2.1", password=PASSWORD)

    assert right == "in"


# --- counted together -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_shared")
def test_failures_are_counted_in_the_database_and_nothing_that_was_typed_lies_there() -> None:
    tries = [try_in() for _ in range(6)]

    assert tries == [FAILED] * 5 + [LOCKED]
    rows = str(list(Tally.objects.values()))
    assert Tally.objects.exists()
    assert MARA not in rows
    assert "192.0.2.1" not in rows


@pytest.mark.usefixtures("_shared")
def test_right_passwords_leave_no_failure_behind() -> None:
    factories.person(Role.VIEWER, MARA)

    tries = [try_in(password=PASSWORD) for _ in range(7)]

    assert tries == ["in"] * 7


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_shared")
def test_where_the_database_takes_nothing_nobody_comes_in_and_the_page_says_why() -> None:
    factories.person(Role.VIEWER, MARA)
    client = Client(raise_request_exception=False)

    def refuses(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith(("INSERT", "UPDATE", "DELETE")):
            raise OperationalError("attempt to write a readonly database")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuses):
        response = client.post(reverse("account_login"), {"login": MARA, "password": PASSWORD})

    assert response.status_code == 503
    assert "database" in response.content.decode()
    assert not AuditEntry.objects.exists()


# --- the shared cache -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_shared")
class TestSharedCache:
    def test_a_value_counts_until_its_moment(self, clock: time_machine.Traveller) -> None:
        cache.set("x", [1.5, 2], 60)

        before = cache.get("x")
        clock.shift(60)

        assert before == [1.5, 2]
        assert cache.get("x", "gone") == "gone"

    def test_of_two_that_add_one_is_told_so_until_it_counts_no_more(self, clock: time_machine.Traveller) -> None:
        added = [cache.add("x", "first", 60), cache.add("x", "second", 60)]
        kept = cache.get("x")
        clock.shift(60)

        assert added == [True, False]
        assert kept == "first"
        assert cache.add("x", "third", 60)
        assert cache.get("x") == "third"

    def test_setting_again_replaces(self) -> None:
        cache.set("x", 1)
        cache.set("x", {"a": True})

        assert cache.get("x") == {"a": True}
        assert Tally.objects.count() == 1

    def test_what_counts_no_more_is_swept_out_and_nothing_else(self, clock: time_machine.Traveller) -> None:
        cache.set("short", 1, 10)
        cache.set("long", 1, None)
        clock.shift(10)

        cache.set("new", 1)

        assert Tally.objects.count() == 2
        assert cache.get("long") == 1

    def test_a_value_can_last_longer_be_forgotten_and_all_be_cleared(self, clock: time_machine.Traveller) -> None:
        cache.set("x", 1, 10)
        cache.set("y", 1)

        touched = [cache.touch("x", 100), cache.touch("nothing", 100)]
        clock.shift(50)
        kept = cache.get("x")
        deleted = [cache.delete("x"), cache.delete("x")]
        cache.clear()

        assert touched == [True, False]
        assert kept == 1
        assert deleted == [True, False]
        assert not Tally.objects.exists()

    def test_nothing_that_could_run_is_kept_or_read(self) -> None:
        with pytest.raises(TypeError):
            cache.set("x", object())
