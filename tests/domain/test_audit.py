"""The one text form of what goes on the record."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamr_portal.domain.audit import Actor, Event, canonical
from hamr_portal.domain.organizations import Secret

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
entries = st.dictionaries(st.text(), values, max_size=5)


def test_the_form_is_sorted_dense_and_unescaped():
    data = {"zürich": [1, None], "alpha": {"b": True, "a": "東京"}}

    assert canonical(data) == '{"alpha":{"a":"東京","b":true},"zürich":[1,null]}'


def test_identifiers_moments_and_events_are_written_as_texts():
    uuid = UUID("11111111-1111-1111-1111-111111111111")
    data = {"uuid": uuid, "at": datetime(2026, 11, 2, 3, 10, tzinfo=UTC), "event": Event.PAIR_FOUND}

    written = canonical(data)

    assert json.loads(written) == {"uuid": str(uuid), "at": "2026-11-02 03:10:00+00:00", "event": "pair.found"}


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_json_is_refused(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"number": number})


def test_a_secret_that_strays_into_an_entry_does_not_show():
    assert "canary" not in canonical({"key": Secret("canary0canary0canary")})


@given(entries)
def test_the_form_says_what_was_put_in_and_is_the_same_in_any_order(data):
    written = canonical(data)

    assert json.loads(written) == data
    assert canonical(dict(reversed(data.items()))) == written
    assert canonical(json.loads(written)) == written


def test_events_are_told_apart_and_fit_their_column():
    assert len({event.value for event in Event}) == len(Event)
    assert max(len(event) for event in Event) <= 64


def test_an_actor_is_a_snapshot():
    actor = Actor(kind="person", name="mara")

    with pytest.raises(AttributeError):
        actor.name = "jonas"  # type: ignore[misc]
