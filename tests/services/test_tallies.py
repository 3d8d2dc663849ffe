"""What all web processes count together counts as long as it shall, is never lost to a flood, and can run nothing."""

from __future__ import annotations

import pickle
from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from json import JSONDecodeError
from typing import Any

import pytest
import time_machine

from hamr_portal.models import Tally
from hamr_portal.services.tallies import SharedCache

pytestmark = pytest.mark.django_db

NOW = datetime.fromisoformat("2026-03-15T03:06:32+00:00")


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def process(**params: Any) -> SharedCache:
    """Give the cache as a process of its own has it."""
    return SharedCache("", params)


@pytest.mark.parametrize("value", [0, "", False, [1.5, 2], {"a": None}])
def test_what_one_process_keeps_another_reads(value: Any) -> None:
    process().set("x", value)

    assert process().get("x", "nothing") == value


def test_nothing_is_read_where_nothing_is_kept() -> None:
    assert process().get("x") is None
    assert process().get("x", "nothing") == "nothing"


@pytest.mark.parametrize(("timeout", "seconds"), [({"timeout": 60}, 60), ({}, 300)])
def test_a_value_counts_until_its_moment_and_no_longer(
    timeout: dict[str, int], seconds: int, clock: time_machine.Traveller
) -> None:
    cache = process()
    cache.set("x", 1, **timeout)

    clock.shift(seconds - 1)
    just_before = cache.get("x")
    clock.shift(1)

    assert just_before == 1
    assert cache.get("x") is None


def test_a_code_is_taken_by_the_first_process_alone_until_it_counts_no_more(clock: time_machine.Traveller) -> None:
    taken = [process().add("code", "first", 60), process().add("code", "second", 60)]
    kept = process().get("code")
    clock.shift(60)
    again = [process().add("code", "third", 60), process().add("code", "fourth", 60)]

    assert taken == again == [True, False]
    assert (kept, process().get("code")) == ("first", "third")


def test_a_later_value_replaces_an_earlier_one_with_its_moment(clock: time_machine.Traveller) -> None:
    cache = process()
    cache.set("x", 1, 10)
    cache.set("x", 2, 60)

    clock.shift(10)

    assert cache.get("x") == 2
    assert Tally.objects.count() == 1


def test_a_flood_takes_the_place_of_nothing_that_still_counts() -> None:
    cache = process(OPTIONS={"MAX_ENTRIES": 1, "CULL_FREQUENCY": 1})
    cache.set("failures", [1.0], 60)

    for number in range(5):
        cache.set(f"flood {number}", 1, 60)

    assert cache.get("failures") == [1.0]


def test_only_what_counts_no_more_is_swept_out(clock: time_machine.Traveller) -> None:
    cache = process()
    cache.set("short", 1, 10)
    cache.set("for ever", 1, None)
    clock.shift(10)

    cache.set("new", 1)

    assert (cache.get("short"), cache.get("for ever"), cache.get("new")) == (None, 1, 1)
    assert Tally.objects.count() == 2


def test_what_still_counts_can_count_longer_and_what_does_not_cannot(clock: time_machine.Traveller) -> None:
    cache = process()
    cache.set("x", 1, 10)
    touched = [cache.touch("x", 100), cache.touch("nothing", 100)]

    clock.shift(50)
    kept = cache.get("x")
    clock.shift(50)

    assert touched == [True, False]
    assert kept == 1
    assert not cache.touch("x", 100)


def test_one_value_or_all_can_be_forgotten() -> None:
    cache = process()
    for key in "xyz":
        cache.set(key, 1)

    deleted = [cache.delete("x"), cache.delete("x")]
    left = Tally.objects.count()
    cache.clear()

    assert (deleted, left) == ([True, False], 2)
    assert not Tally.objects.exists()


def test_what_was_typed_does_not_lie_in_the_database() -> None:
    process().set("mara@halden.example from 192.0.2.1", 1)

    assert "mara" not in str(Tally.objects.values().get())


def test_nothing_that_could_run_is_kept() -> None:
    with pytest.raises(TypeError):
        process().set("x", object())

    assert not Tally.objects.exists()


def test_a_row_that_somebody_wrote_runs_nothing() -> None:
    cache = process()
    cache.set("x", 1)
    Tally.objects.update(value=b64encode(pickle.dumps(1)).decode())

    with pytest.raises(JSONDecodeError):
        cache.get("x")
