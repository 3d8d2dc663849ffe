from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

import pytest
from django.template import Context, Template

from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.findings import Group, Verdict
from hamr_portal.templatetags import _looks

from .drawing import NOW, ago, drawn


@dataclass
class View:
    status: int | None
    has_connection: bool | None = True


@dataclass
class Attempt:
    outcome: str
    attempt_status: int | None = None
    repeats: int = 1


@dataclass
class Snapshot:
    outcome: str = ReadOutcome.ANSWERED
    attempted_at: datetime | None = NOW


@dataclass
class Organization:
    verify_outcome: str = "READS"
    verified_at: datetime | None = NOW
    keys_saved_at: datetime = NOW
    disabled_at: datetime | None = None
    snapshot: Snapshot = field(default_factory=Snapshot)


# --- glyphs -----------------------------------------------------------------------------------------------------------


def test_icon_is_hidden_from_assistive_technology_and_points_into_the_sprite():
    assert drawn("{% icon 'v-ok' %}") == '<svg class="i" aria-hidden="true"><use href="#v-ok"/></svg>'


def test_every_glyph_that_a_tag_draws_is_in_the_sprite():
    sprite = Template("{% include '_sprite.html' %}").render(Context())
    drawn_by_tags = [_looks.glyph(group) for group in Group]
    drawn_by_tags += list(_looks._VERDICT_GLYPHS.values())
    drawn_by_tags += [symbol for _, symbol, _ in [*_looks._READS.values(), *_looks._KEYS.values()]]
    drawn_by_tags += [_looks._badge_of(View(status))[1] for status in range(7)]

    assert [name for name in drawn_by_tags if f'id="{name}"' not in sprite] == []


@pytest.mark.parametrize(
    ("verdict", "colour", "symbol"),
    [
        (Verdict.SPLIT_VIEW, "verdict--critical", "v-critical"),
        (Verdict.OUTCOME_UNKNOWN, "verdict--critical", "v-unknown"),
        (Verdict.FAILOVER_IN_PROGRESS, "verdict--progress", "v-progress"),
        (Verdict.SENDING, "verdict--progress", "i-clock"),
        (Verdict.WAITING_FOR_APPROVAL, "verdict--progress", "i-lock"),
        (Verdict.FAILED_OVER, "verdict--progress", "s-active"),
        (Verdict.RATE_LIMITED, "verdict--warning", "v-warning"),
        (Verdict.STALE, "verdict--warning", "i-clock"),
        (Verdict.UNKNOWN_STATUS, "verdict--warning", "v-unknown"),
        (Verdict.NOT_READ_YET, 'class="verdict"', "v-setup"),
        (Verdict.IN_SYNC, "verdict--ok", "v-ok"),
    ],
)
def test_verdict_has_the_colour_of_its_group_and_its_own_words(verdict: Verdict, colour: str, symbol: str):
    text = drawn("{% verdict verdict %}", verdict=verdict)

    assert colour in text
    assert f"#{symbol}" in text
    assert text.endswith(f"{verdict.label}</span>")


def test_words_are_escaped():
    assert "<b>" not in drawn("{% said words 'i-x' %}", words="<b>bold</b>")


# --- badges -----------------------------------------------------------------------------------------------------------


def test_current_status_is_coloured():
    text = drawn("{% badge view %}", view=View(2))

    assert 'class="badge badge--passive"' in text
    assert text.endswith("PASSIVE</span>")


def test_last_known_status_loses_its_colour_and_keeps_its_word():
    text = drawn("{% badge view current=False size='lg' %}", view=View(4))

    assert 'class="badge badge--old badge--lg"' in text
    assert "badge--active" not in text
    assert text.endswith("ACTIVE</span>")


def test_missing_connection_is_said_and_is_no_status():
    text = drawn("{% badge view current=False %}", view=View(None, has_connection=False))

    assert 'class="badge badge--none"' in text
    assert "No connection" in text


def test_organization_that_never_answered_has_no_known_status():
    text = drawn("{% badge view current=False %}", view=View(None, has_connection=None))

    assert 'class="badge badge--none"' in text
    assert "Not known" in text


def test_undocumented_status_shows_its_number_and_never_looks_like_another():
    text = drawn("{% badge view %}", view=View(6))

    assert "Unknown status 6" in text
    assert "badge--unspecified" in text


# --- reads and keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (Attempt("ANSWERED", 200, 900), "Answered"),
        (Attempt("NO_CONNECTION", 404, 900), "HTTP 404, no connection"),
        (Attempt("NO_ANSWER", None, 24), "No answer × 24"),
        (Attempt("NO_ANSWER", None, 1), "No answer"),
        (Attempt("SERVER_ERROR", 503, 2), "HTTP 503 × 2"),
        (Attempt("KEY_REFUSED", 403), "HTTP 403, key refused"),
        (Attempt("RATE_LIMITED", 429, 9), "HTTP 429, rate limited × 9"),
        (Attempt("REFUSED", 400), "HTTP 400, refused"),
        (Attempt("UNREADABLE", 200), "Unreadable answer"),
        (Attempt("WRONG_ORGANIZATION", 200), "Wrong organization"),
        (Attempt("KEYS_UNREADABLE"), "Keys unreadable"),
        (Attempt(""), "Not read yet"),
    ],
)
def test_read_says_what_came_of_it(attempt: Attempt, words: str):
    assert drawn("{% read attempt %}", attempt=attempt).endswith(f"</svg>{words}</span>")


def test_read_can_leave_out_how_often():
    assert drawn("{% read attempt counted=False %}", attempt=Attempt("NO_ANSWER", None, 24)).endswith(
        "No answer</span>"
    )


def test_answer_of_long_ago_is_grey():
    assert 'class="verdict"' in drawn("{% read attempt current=False %}", attempt=Attempt("ANSWERED", 200))


@pytest.mark.parametrize(
    ("outcome", "words"),
    [("SERVER_ERROR", "Server error"), ("KEY_REFUSED", "Key refused"), ("NO_CONNECTION", "No connection")],
)
def test_past_read_without_its_number_is_still_said(outcome: str, words: str):
    assert drawn("{% past_read outcome %}", outcome=outcome).endswith(f"{words}</span>")


@pytest.mark.parametrize("outcome", list(ReadOutcome))
def test_every_read_outcome_has_words(outcome: ReadOutcome):
    assert _looks.read_words(outcome, 418)
    assert _looks.read_words(outcome)


def test_unverified_keys_are_said_to_be_so():
    assert "Not verified" in drawn("{% keys outcome %}", outcome="")


def test_verified_keys_read():
    assert "Reads" in drawn("{% keys outcome %}", outcome="READS")


def test_read_that_refused_the_keys_outdates_an_earlier_verify():
    organization = Organization(verified_at=ago(minutes=5), snapshot=Snapshot(ReadOutcome.KEY_REFUSED, NOW))

    assert _looks.newer_trouble(organization)


def test_read_that_refused_the_keys_is_outdated_by_a_later_verify():
    organization = Organization(snapshot=Snapshot(ReadOutcome.KEY_REFUSED, ago(minutes=5)))

    assert not _looks.newer_trouble(organization)


def test_read_that_refused_keys_never_verified_counts():
    organization = Organization("", None, snapshot=Snapshot(ReadOutcome.WRONG_ORGANIZATION))

    assert _looks.newer_trouble(organization)


def test_silent_region_says_nothing_about_keys():
    assert not _looks.newer_trouble(Organization(verified_at=None, snapshot=Snapshot(ReadOutcome.NO_ANSWER)))


def test_silence_after_a_verify_is_shown_beside_it_and_is_no_trouble_of_the_keys():
    silent = Organization(verified_at=ago(minutes=5), snapshot=Snapshot(ReadOutcome.NO_ANSWER))

    assert _looks.newer_read(silent)
    assert not _looks.keys_trouble(silent)


def test_verify_that_is_newer_than_any_read_stands():
    assert not _looks.newer_read(Organization(snapshot=Snapshot(ReadOutcome.NO_ANSWER, ago(minutes=5))))
    assert not _looks.newer_read(Organization(snapshot=Snapshot("", None)))


def test_trouble_with_keys_is_named_by_the_newest_word_on_them():
    read_since = Organization("WRONG_ORGANIZATION", ago(minutes=5), snapshot=Snapshot(ReadOutcome.KEY_REFUSED))
    verified_since = Organization("WRONG_ORGANIZATION", snapshot=Snapshot(ReadOutcome.KEY_REFUSED, ago(minutes=5)))

    assert _looks.key_words(_looks.keys_trouble(read_since)) == "Key refused"
    assert _looks.key_words(_looks.keys_trouble(verified_since)) == "Wrong organization"


def test_trouble_is_counted_among_organizations_in_use():
    refused = Organization("KEY_REFUSED")
    resting = Organization("KEY_REFUSED", disabled_at=NOW)
    outdated = Organization(verified_at=ago(minutes=5), snapshot=Snapshot(ReadOutcome.KEYS_UNREADABLE))

    assert _looks.in_trouble([refused, resting, outdated, Organization(), Organization("NO_ANSWER")]) == 2


def test_keys_are_due_after_ninety_days():
    organizations = [Organization(keys_saved_at=ago(days=age)) for age in (0, 90, 91, 200)]

    assert _looks.due(organizations, NOW) == 2


@pytest.mark.parametrize(("days", "percent"), [(0, 0), (45, 50), (90, 100), (400, 100)])
def test_rotation_fills_its_bar_and_stops_there(days: int, percent: int):
    assert _looks.rotation(days) == percent
