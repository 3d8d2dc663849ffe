from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from unittest import mock

import pytest
from django.db import connection, transaction

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.models import AuditEntry, guards
from hamr_portal.services import audit, log
from hamr_portal.services.log import Filters, State

pytestmark = pytest.mark.django_db

MARA = Actor(kind="person", name="mara@halden.example", role="OPERATOR", address="10.20.4.17")
JONAS = Actor(kind="person", name="jonas@halden.example", role="APPROVER", address="10.20.4.31")


def entry(event: Event = Event.CHANGE_SENDING, *, by: Actor = MARA, at: datetime | None = None, **more: Any) -> int:
    """Put an entry on the record, at a moment, and give its number."""
    moment = at or datetime(2026, 3, 14, 12, tzinfo=UTC)
    with transaction.atomic(), mock.patch("hamr_portal.services.audit.timezone.now", return_value=moment):
        return audit.append(event, by=by, **more).seq


def found(**filters: Any) -> list[int]:
    return [row.seq for row in log.page(Filters(**filters)).entries]


def tamper(seq: int, **fields: Any) -> None:
    """Write into the log past its guards."""
    guards.lift(connection)
    AuditEntry.objects.filter(seq=seq).update(**fields)


# --- filters ----------------------------------------------------------------------------------------------------


def test_without_filters_everything_is_found_newest_first() -> None:
    first, second = entry(), entry()

    assert found() == [second, first]


@pytest.mark.parametrize(
    ("filters", "other"),
    [
        ({"organization": "halden-checkout"}, {"organization": "halden-payments"}),
        ({"outcome": "VERIFIED"}, {"outcome": "REJECTED"}),
        ({"change": 7}, {"change": 77}),
    ],
)
def test_a_filter_leaves_out_what_has_another_value(filters: dict[str, Any], other: dict[str, Any]) -> None:
    wanted = entry(**filters)
    entry(**other)
    entry()

    assert found(**filters) == [wanted]


def test_a_persons_log_is_theirs_alone() -> None:
    entry(by=JONAS)
    wanted = entry(by=MARA)

    assert found(actor=MARA.name) == [wanted]


def test_filters_combine() -> None:
    entry(organization="acme", by=JONAS)
    entry(organization="acme-dr", by=MARA)
    wanted = entry(organization="acme", by=MARA)

    assert found(organization="acme", actor=MARA.name) == [wanted]


@pytest.mark.parametrize("wanted", ["approvals", "change.approved", "change."])
def test_events_are_asked_for_one_by_one_by_kind_and_by_family(wanted: str) -> None:
    approved = entry(Event.CHANGE_APPROVED)
    entry(Event.SIGNED_IN)

    assert found(event=wanted) == [approved]


def test_an_event_that_nobody_knows_is_found_nowhere() -> None:
    entry()

    assert found(event="change.flown") == []


def test_days_are_whole_days_in_utc_and_the_last_one_is_included() -> None:
    entry(at=datetime(2026, 3, 13, 23, 59, 59, 999999, tzinfo=UTC))
    first = entry(at=datetime(2026, 3, 14, tzinfo=UTC))
    last = entry(at=datetime(2026, 3, 15, 23, 59, 59, 999999, tzinfo=UTC))
    entry(at=datetime(2026, 3, 16, tzinfo=UTC))

    assert found(since=date(2026, 3, 14), until=date(2026, 3, 15)) == [last, first]


@pytest.mark.parametrize("words", ["inc-4473", "moving", "MARA", "10.20.4.17", "moving 4473"])
def test_a_search_looks_at_ticket_reason_person_and_address_for_each_word(words: str) -> None:
    wanted = entry(ticket="INC-4473", reason="us1 dark, moving to us5")
    entry(by=JONAS, ticket="INC-9", reason="DR test")

    assert found(q=words) == [wanted]


def test_a_search_takes_what_is_typed_literally() -> None:
    wanted = entry(reason="100 % of it")
    entry(reason="all of it")

    assert found(q="100 %") == [wanted]


# --- pages ------------------------------------------------------------------------------------------------------


def test_pages_hold_every_entry_once_while_entries_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "PAGE", 2)
    numbers = [entry() for _ in range(5)]
    seen, before = [], None

    for _ in range(3):
        page = log.page(Filters(), before=before)
        seen += [row.seq for row in page.entries]
        before = page.before
        entry()

    assert seen == numbers[::-1]
    assert before is None


def test_a_page_that_is_just_full_has_none_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "PAGE", 2)
    entry()
    entry()

    assert log.page(Filters()).before is None


def test_counting_stops_at_what_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST_COUNTED", 2)
    for _ in range(5):
        entry(organization="acme")

    assert log.count(Filters(organization="acme")) == 3
    assert log.count(Filters(organization="other")) == 0


def test_pages_of_some_days_lose_and_repeat_nothing_where_the_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log, "PAGE", 2)
    hours = [12, 9, 9, 9, 15, 10]
    numbers = [entry(at=datetime(2026, 3, 14, hour, tzinfo=UTC)) for hour in hours]
    asked = Filters(since=date(2026, 3, 14), until=date(2026, 3, 14))
    pages = [log.page(asked)]
    while pages[-1].before is not None:
        pages.append(log.page(asked, before=pages[-1].before))

    rows = [[row.seq for row in page.entries] for page in pages]

    assert rows == [[numbers[4], numbers[0]], [numbers[5], numbers[3]], [numbers[2], numbers[1]]]


def test_a_page_of_some_days_before_a_number_that_is_not_there_goes_by_the_number() -> None:
    entry()

    assert log.page(Filters(since=date(2026, 3, 14)), before=4711).entries
    assert not log.page(Filters(since=date(2026, 3, 14)), before=0).entries


def test_a_page_of_some_days_before_a_later_day_ends_with_the_last_of_them() -> None:
    first = entry(at=datetime(2026, 3, 14, 12, tzinfo=UTC))
    entry(at=datetime(2026, 3, 15, 12, tzinfo=UTC))
    last = entry(at=datetime(2026, 3, 16, 12, tzinfo=UTC))

    page = log.page(Filters(until=date(2026, 3, 14)), before=last)

    assert [row.seq for row in page.entries] == [first]


# --- one entry --------------------------------------------------------------------------------------------------


def test_an_entry_as_it_was_written_is_whole() -> None:
    first, second = entry(), entry()

    states = [shown.state for shown in (log.one(first), log.one(second)) if shown is not None]

    assert states == [State.WHOLE, State.WHOLE]


def test_there_is_no_entry_of_a_number_that_was_never_given() -> None:
    assert log.one(1) is None


def test_an_entry_that_was_edited_is_told_and_its_neighbours_are_not() -> None:
    before, edited, after = entry(), entry(reason="Region is down"), entry()
    tamper(edited, reason="Somebody else's fault")

    shown = {each.entry.seq: each for each in log.checked(log.page(Filters()).entries)}

    assert shown[edited].state is State.BROKEN
    assert "not what was signed" in shown[edited].what
    assert {shown[before].state, shown[after].state} == {State.WHOLE}


def test_an_entry_that_does_not_follow_on_the_one_before_is_as_it_was_written_and_stands_loose() -> None:
    first, second = entry(), entry()
    tamper(first, hash="f" * 64)

    shown = log.one(second)

    assert shown is not None
    assert (shown.state, shown.what) == (State.LOOSE, f"it does not follow on entry {first} as that is now")


def test_an_entry_whose_predecessor_is_gone_is_as_it_was_written_and_stands_loose() -> None:
    first, second = entry(), entry()
    guards.lift(connection)
    AuditEntry.objects.filter(seq=first).delete()

    shown = log.one(second)

    assert shown is not None
    assert (shown.state, shown.what) == (State.LOOSE, f"entry {first}, on which it followed, is missing")
    assert (log.is_kept(first), log.is_kept(second)) == (False, True)


def test_an_entry_that_was_edited_beside_a_gap_is_told_as_edited() -> None:
    first, second = entry(), entry()
    tamper(second, reason="Somebody else's fault")
    guards.lift(connection)
    AuditEntry.objects.filter(seq=first).delete()

    shown = log.one(second)

    assert shown is not None
    assert shown.state is State.BROKEN
    assert "is missing; its content is not what was signed" in shown.what


def test_an_entry_of_a_key_that_is_not_known_here_cannot_be_checked() -> None:
    seq = entry()
    tamper(seq, key_id="k0ther")

    shown = log.one(seq)

    assert shown is not None
    assert shown.state is State.NOT_CHECKED
    assert "k0ther" in shown.what


def test_an_unknown_key_does_not_excuse_an_entry_that_does_not_follow() -> None:
    entry()
    second = entry()
    tamper(second, key_id="k0ther", previous="f" * 64)

    shown = log.one(second)

    assert shown is not None
    assert shown.state is State.BROKEN


def test_without_a_key_ring_entries_are_shown_and_cannot_be_checked(settings: Any) -> None:
    seq = entry()
    settings.KEY_RING_FILE.unlink()

    shown = log.one(seq)

    assert shown is not None
    assert shown.state is State.NOT_CHECKED
    assert shown.entry.actor_name == MARA.name
