from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.log import Kind
from hamr_portal.domain.people import Action
from hamr_portal.domain.previews import Check
from hamr_portal.hamr_client import Phase
from hamr_portal.services import exports, refusals, sessions
from hamr_portal.services.integrity import Trouble
from hamr_portal.services.verification import VerifyOutcome
from hamr_portal.templatetags import _entries
from hamr_portal.templatetags._entry_words import EVENTS, event_words, look_of, outcomes, value_words

from .drawing import drawn

MOMENT = datetime(2026, 3, 14, 23, 58, 14, 123456, tzinfo=UTC)


@dataclass
class Entry:
    event: str = Event.CHANGE_SENDING
    outcome: str = ""
    data: str = "{}"
    actor_kind: str = "person"
    actor_name: str = "mara.lindqvist@halden.example"
    actor_address: str = "10.20.4.17"
    at: datetime = field(default=MOMENT)


def entry(event: str = Event.CHANGE_SENDING, outcome: str = "", /, **data: Any) -> Entry:
    return Entry(event, outcome, json.dumps(data))


def changed(shown: Entry) -> str:
    """Give what stands under "Before and after", without what is only for the eye."""
    return drawn("{% before_after entry %}", entry=shown)


# --- words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", list(Event))
def test_every_event_has_words_and_a_kind(event: Event) -> None:
    assert event in EVENTS
    assert "." not in event_words(event)
    assert any(event in kind.events for kind in Kind)


def test_no_two_events_are_told_by_the_same_words() -> None:
    assert len(set(EVENTS.values())) == len(EVENTS)


@pytest.mark.parametrize(
    "outcome",
    [
        *(*ChangeStatus, *ReadOutcome, *VerifyOutcome, *Trouble, *sessions.Failure, *exports.Outcome, *Action),
        *(each.__name__ for each in refusals.Refused.__subclasses__()),
        *("NotAllowed", "OwnChange", "SidesChanged", "WHOLE", "BROKEN"),
    ],
)
def test_every_outcome_that_the_services_record_has_words(outcome: str) -> None:
    words, symbol, _ = look_of(outcome)

    assert outcome in dict(outcomes()) or words.startswith("Needs ")
    assert "_" not in words
    assert symbol.startswith(("i-", "v-", "s-"))


def test_outcomes_to_ask_for_are_listed_once() -> None:
    values = [value for value, _ in outcomes()]

    assert len(values) == len(set(values))
    assert "" not in values


def test_an_event_and_an_outcome_of_another_version_are_shown_as_they_are_kept() -> None:
    shown = Entry("change.flown", "Sideways")

    text = drawn("{{ entry|happened }}, {% came_of entry %}", entry=shown)

    assert "change.flown" in text
    assert "Sideways" in text


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (Entry(Event.ORGANIZATION_EDITED), "Saved"),
        (Entry(Event.CHANGE_APPROVED, "SENDING"), "Approved"),
        (Entry(Event.CHANGE_REJECTED, "REJECTED"), "Rejected"),
        (Entry(Event.ACCESS_DENIED, "ADOPT_LOG"), "Needs admin"),
        (Entry(Event.PAIR_FOUND), "None"),
    ],
)
def test_what_came_of_it_is_told_in_the_words_of_every_page(shown: Entry, words: str) -> None:
    assert words in drawn("{% came_of entry %}", entry=shown)


# --- before and after -------------------------------------------------------------------------------------------


def test_a_change_shows_both_statuses_as_badges() -> None:
    text = changed(entry(**{"from": 2, "to": "FAILOVER"}))

    assert text.index("badge--passive") < text.index("#i-arrow") < text.index("badge--failover")


def test_a_change_of_a_side_that_said_nothing_does_not_guess_what_was_before() -> None:
    assert "Not known" in changed(entry(**{"from": None, "to": "FAILOVER"}))


def test_a_preview_shows_what_is_asked_for_alone() -> None:
    text = changed(entry(Event.CHANGE_PREPARED, target="ACTIVE"))

    assert "badge--active" in text
    assert "#i-arrow" not in text


def test_an_outside_change_shows_both_views() -> None:
    view = {"has_connection": True, "status": 4}

    text = changed(entry(before=view, after={"has_connection": False, "status": None}))

    assert text.index("badge--active") < text.index("No connection")


def test_an_outside_change_of_something_else_says_that_the_status_stays() -> None:
    view = {"has_connection": True, "status": 4, "is_primary": True}

    text = changed(entry(before=view, after=view | {"is_primary": False}))

    assert "ACTIVE</span> unchanged; changed: Is primary" in text


def test_what_was_not_applied_reads_back_unchanged() -> None:
    view = {"has_connection": True, "status": 2}

    text = changed(entry(Event.CHANGE_NOT_APPLIED, "NOT_APPLIED", before="UNKNOWN", reads_back=view))

    assert "PASSIVE</span> unchanged" in text


def test_reads_that_turned_are_told_in_words() -> None:
    text = changed(entry(Event.READ_CHANGED, before="ANSWERED", after="NO_ANSWER"))

    assert "Answered" in text
    assert "No answer" in text


def test_replaced_keys_show_their_dots() -> None:
    text = changed(entry(Event.KEYS_REPLACED, keys={"api_key": "••••1e07", "application_key": "••••3d4f"}))

    assert 'API <span class="mono">••••1e07</span> application <span class="mono">••••3d4f</span>' in text


def test_an_edit_shows_each_field_that_changed_and_no_other() -> None:
    before = {"name": "acme", "site": "us1", "requires_approval": False}

    text = changed(entry(before=before, after=before | {"name": "acme-us1", "requires_approval": True}))

    assert "Name: " in text
    assert "acme-us1" in text
    assert "Requires approval: " in text
    assert "Site" not in text


def test_a_pair_that_was_found_is_named() -> None:
    assert "Checkout" in changed(entry(Event.PAIR_FOUND, pair="Checkout", primary="acme", secondary="acme-dr"))


def test_a_read_that_turned_is_told_as_a_read_and_not_as_a_check_of_the_same_name() -> None:
    text = changed(entry(Event.IDENTITY_MISMATCH, before="ANSWERED", after="WRONG_ORGANIZATION"))

    assert "Wrong organization" in text


def test_a_new_pair_name_is_left_as_it_was_typed() -> None:
    assert "CHECKOUT_pair" in changed(entry(Event.PAIR_NAMED, before="Checkout", after="CHECKOUT_pair"))


@pytest.mark.parametrize("data", ["", "no JSON", "[1]", "[" * 100_000, '{"before": 1, "after": [2]}', '{"keys": 3}'])
def test_what_cannot_be_read_any_more_is_shown_as_nothing(data: str) -> None:
    shown = Entry(data=data)

    assert "None" in changed(shown)
    assert _entries.request_of(shown) == {}


@pytest.mark.parametrize(
    "data",
    [
        {"from": True, "to": ["FAILOVER"]},
        {"target": {"a": 1}},
        {"reads_back": {"has_connection": "yes", "status": "2"}},
        {"before": {"has_connection": 1}, "after": {"has_connection": 7, "status": 99}},
        {"keys": {"<b>": "<script>"}},
        {"before": {"name": "<script>"}, "after": {"name": "\u202e<b>"}},
        {"before": "<script>", "after": "<b>\u202e"},
    ],
)
def test_hostile_data_is_drawn_as_text(data: dict[str, Any]) -> None:
    text = changed(entry(**data))

    assert "<b>" not in text
    assert "<script" not in text
    assert "\u202e" not in text


# --- the rest ---------------------------------------------------------------------------------------------------


def test_particulars_leave_out_what_has_a_place_of_its_own_and_what_is_empty() -> None:
    shown = entry(author="mara@halden.example", override=True, checks=["OPEN_CHANGE"], url="https://x", phase="")

    told = dict(_entries.particulars(shown))

    assert told == {"Asked for by": "mara@halden.example", "Override": "yes", "Checks": Check.OPEN_CHANGE.label}


def test_request_and_answer_are_told_with_their_numbers() -> None:
    sent = entry(url="https://api.us5.datadoghq.com/api/v2/hamr", request='{"data": 1}')
    came = entry(http_status=409, elapsed_ms=230, raw='{"errors": ["Conflict"]}')

    assert _entries.request_of(sent) == {
        "url": "https://api.us5.datadoghq.com/api/v2/hamr",
        "body": '{"data": 1}',
    }
    assert _entries.answer_of(sent) == {}
    assert _entries.answer_of(came) == {"line": "HTTP 409, 230 ms", "body": '{"errors": ["Conflict"]}'}


def test_a_long_answer_is_cut_in_place() -> None:
    assert len(_entries.in_place("x" * 5000)) == _entries.IN_PLACE + 1
    assert _entries.in_place("short") == "short"


@pytest.mark.parametrize(
    ("kind", "name", "address", "who", "where"),
    [
        ("person", "mara@halden.example", "10.20.4.17", "mara", "10.20.4.17"),
        ("person", "mara@halden.example", "", "mara", ""),
        ("worker", "host:1", "", "portal", "worker host:1"),
        ("command", "root@host", "", "root@host", "command"),
        ("visitor", "", "10.0.0.9", "nobody named", "10.0.0.9"),
    ],
)
def test_who_it_was_is_short_and_from_where_stands_below(
    kind: str, name: str, address: str, who: str, where: str
) -> None:
    shown = Entry(actor_kind=kind, actor_name=name, actor_address=address)

    assert (_entries.short_actor(shown), _entries.actor_from(shown)) == (who, where)


def test_a_moment_is_shown_with_its_day_and_where_it_matters_to_the_microsecond() -> None:
    assert "<strong>23:58:14</strong>" in drawn("{% when at %}", at=MOMENT)
    assert "14 Mar" in drawn("{% when at %}", at=MOMENT)
    assert "2026-03-14 23:58:14.123456 UTC" in drawn("{% exact at %}", at=MOMENT)


@pytest.mark.parametrize(
    ("kept", "shown"),
    [
        ("entry #4: it follows on entry 3", "entry 4: it follows on entry 3"),
        ("Entry #4", "entry 4"),
        ("older than its anchor (#40 < #99)", "older than its anchor (entry 40 < entry 99)"),
        ("anchored at 2026-11-23T15:14:04.123456Z", "anchored at 23 Nov 2026 15:14:04 UTC"),
        ("password, 2026-11-23T17:14:04+02:00", "password, 23 Nov 2026 15:14:04 UTC"),
        ("anchored at 2026-13-77T15:14:04Z", "anchored at 2026-13-77T15:14:04Z"),
        ("anchored at 0001-01-01T00:00:00+14:00", "anchored at 0001-01-01T00:00:00+14:00"),
    ],
)
def test_the_portals_own_sentences_name_entries_and_moments_as_every_page_does(kept: str, shown: str) -> None:
    assert drawn("{{ kept|plainly }}", kept=kept) == shown.replace("<", "&lt;")


def test_values_that_the_portal_keeps_in_its_own_words_are_told_in_those_of_the_pages() -> None:
    shown = entry(
        seen_at="2026-11-23 15:14:05.123456+00:00",
        phase="WAIT",
        role="AUDITOR",
        detail="entry #4: it is missing",
        comment="#4 at 2026-11-23T15:14:05Z",
    )

    assert dict(_entries.particulars(shown)) == {
        "Seen at": "23 Nov 2026 15:14:05 UTC",
        "How far it came": "sent, no answer yet",
        "Role": "auditor",
        "In particular": "entry 4: it is missing",
        "Comment": "#4 at 2026-11-23T15:14:05Z",
    }


def test_what_came_of_it_is_told_in_words_alone_for_paper() -> None:
    assert drawn("{{ entry|outcome_of }}", entry=Entry(Event.CHANGE_SENDING, "SENDING")) == "Sending"
    assert drawn("{{ entry|outcome_of }}", entry=Entry(Event.PAIR_FOUND)) == ""
    assert drawn("{{ kept|in_words }}", kept="AWAITING_APPROVAL") == "Waiting for approval"


def test_every_phase_of_a_request_has_words() -> None:
    assert all(value_words(phase) != phase for phase in Phase)


def test_numbers_and_hashes_are_grouped_for_the_eye() -> None:
    assert drawn("{{ 1284|thousands }}") == "1,284"
    assert drawn("{{ hash|grouped }}", hash="9f2c41d7" + "0" * 48 + "08bee1a3") == "9f2c 41d7 … 08be e1a3"
