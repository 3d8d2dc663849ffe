from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.management.status_table import read_words, span
from hamr_portal.services import overview
from tests import factories


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(minutes=4, seconds=13), "4 min 13 s"),
        (timedelta(hours=23, minutes=59, seconds=59), "23 h 59 min"),
        (timedelta(days=1, hours=2), "1 day"),
        (timedelta(days=90, hours=11), "90 days"),
    ],
)
def test_a_span_is_told_in_its_largest_units(duration, words):
    assert span(duration) == words


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
        (ReadOutcome.REFUSED, 418, 1, "HTTP 418"),
        (ReadOutcome.UNREADABLE, 200, 1, "Unreadable answer"),
        (ReadOutcome.KEYS_UNREADABLE, None, 1, "Keys unreadable"),
    ],
)
def test_a_read_is_told_in_the_words_of_the_design(outcome, status, repeats, words):
    saved = factories.seen(factories.organization(), outcome=outcome, attempt_status=status, repeats=repeats)

    row = overview.row_of(saved, now=timezone.now())

    assert read_words(row.sides[0]) == words
