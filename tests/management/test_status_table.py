from __future__ import annotations

from datetime import timedelta
from io import StringIO

import pytest
from django.utils import timezone
from rich.console import Console

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus, ReadOutcome
from hamr_portal.domain.people import Role
from hamr_portal.management.status_table import last_read, table
from hamr_portal.services import overview, pulse
from tests import factories
from tests.open_changes import opened


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("outcome", "status", "repeats", "words"),
    [
        ("", None, 0, "Not read yet"),
        (ReadOutcome.NO_ANSWER, None, 24, "No answer × 24"),
        (ReadOutcome.KEY_REFUSED, 403, 1, "HTTP 403, key refused"),
        (ReadOutcome.WRONG_ORGANIZATION, 200, 1, "Wrong organization"),
        (ReadOutcome.RATE_LIMITED, 429, 2, "HTTP 429, rate limited × 2"),
        (ReadOutcome.SERVER_ERROR, 503, 1, "HTTP 503"),
        (ReadOutcome.REFUSED, 418, 1, "HTTP 418, refused"),
        (ReadOutcome.UNREADABLE, 200, 1, "Unreadable answer"),
        (ReadOutcome.KEYS_UNREADABLE, None, 1, "Keys unreadable"),
    ],
)
def test_a_read_is_told_in_the_words_of_the_design(outcome, status, repeats, words):
    saved = factories.seen(factories.organization(), outcome=outcome, attempt_status=status, repeats=repeats)

    row = overview.row_of(saved, now=timezone.now())

    assert last_read(row.sides[0]) == words


@pytest.mark.django_db
def test_a_pair_tells_which_change_is_open_on_it():
    _, secondary = factories.pair()
    factories.pair("halden-search", "halden-search-dr")
    change = opened(secondary, ChangeStatus.UNKNOWN)
    now, printed = timezone.now(), StringIO()

    Console(file=printed, width=200).print(table(overview.overview(now=now), pulse.state(now=now)))

    text = printed.getvalue()
    assert "1 need action · 1 in sync" in text
    assert "Outcome unknown for" in text
    assert f"change {change.pk}: halden-checkout-dr to FAILOVER" in text
    assert "by mara.lindqvist@halden.example" in text
    assert text.count("change ") == 1


@pytest.mark.django_db
def test_a_side_between_two_statuses_tells_for_how_long_and_who_drives_it_on():
    now, printed = timezone.now(), StringIO()
    _, secondary = factories.pair(status=HamrStatus.FAILOVER, at=now - timedelta(minutes=1))
    change = opened(secondary, ChangeStatus.VERIFIED, at=now - timedelta(minutes=1))
    change.offered_to = factories.person(Role.OPERATOR, "jonas.weber@halden.example")
    change.save()

    Console(file=printed, width=200).print(table(overview.overview(now=now), pulse.state(now=now)))

    text = printed.getvalue()
    assert "in FAILOVER for at least 1 min 0 s" in text
    assert "driver: mara.lindqvist@halden.example, offered to jonas.weber@halden.example" in text
