from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from hamr_portal.domain.connections import ReadOutcome, View
from hamr_portal.domain.previews import Check, Noticed, Weight
from hamr_portal.models import Change, Organization
from hamr_portal.templatetags._changes import check_title, choices, is_offered, moment, needs, weighs

from .drawing import NOW, ago, drawn

AT = NOW.isoformat()
CHANGE = {"change": "7", "name": "acme", "by": "mara@x.example", "status": "UNKNOWN", "target": "ACTIVE", "since": AT}
DARK = {"name": "acme", "site": "us1", "outcome": ReadOutcome.NO_ANSWER, "reason": "connection refused"}

FACTS: dict[Check, dict[str, str]] = {
    Check.WRONG_ORGANIZATION: {"name": "acme-dr", "site": "us5", "reason": "another UUID"},
    Check.NO_READING: DARK,
    Check.OPEN_CHANGE: CHANGE,
    Check.CONNECTED_ALREADY: {"status": "PASSIVE"},
    Check.UUID_NOT_KNOWN: {"name": "acme"},
    Check.ALREADY_SO: {"status": "FAILOVER"},
    Check.NOT_COPIED: {"reason": "a name is too long"},
    Check.OTHER_SIDE_DARK: DARK,
    Check.SIDES_DISAGREE: {"name": "acme", "site": "us1", "statuses": "us5 says PASSIVE, us1 says ACTIVE"},
    Check.OTHER_SIDE_ACTIVE: {"name": "acme", "site": "us1"},
    Check.STATUS_NOT_DOCUMENTED: {"status": "Unknown status 6"},
    Check.STEP_SKIPPED: {"before": "PASSIVE", "between": "FAILOVER"},
    Check.STEP_UNUSUAL: {"before": "PASSIVE"},
    Check.MAY_LAND_LATE: CHANGE,
    Check.CHANGED_OUTSIDE: {"name": "acme", "at": AT, "by": "priya.raman"},
    Check.SITE_IN_USE: {"name": "Logistics", "site": "us5", "since": AT, "by": "jonas.weber"},
    Check.WORKER_STOPPED: {"since": AT},
}
"""What each check that tells something tells."""


def change(**fields: Any) -> Change:
    organization = Organization(name="acme-dr", site="us5")
    return Change(pk=8, organization=organization, target_status=3, prepared_at=NOW, **fields)


def said(noticed: Noticed, about: Change | None = None) -> str:
    """Give the sentence that a page says of what a check noticed."""
    text = '{% include "changes/_check_text.html" %}'
    return " ".join(drawn(text, noticed=noticed, change=about or change(), evidence={"read_at": NOW}).split())


@pytest.mark.parametrize("check", Check, ids=lambda check: check.name)
def test_each_check_has_a_title_and_a_sentence_of_its_own(check: Check) -> None:
    noticed = Noticed(check, FACTS.get(check, {}))

    title, sentence = check_title(noticed, change()), said(noticed)

    assert title[:1].isalpha()
    assert "{" not in title
    assert sentence.endswith(".")
    assert all(others == check or said(Noticed(others, FACTS.get(others, {}))) != sentence for others in Check)


@pytest.mark.parametrize("check", Check, ids=lambda check: check.name)
def test_what_stops_or_asks_says_what_comes_next_or_follows(check: Check) -> None:
    sentence = said(Noticed(check, FACTS.get(check, {})))

    assert check.weight is not Weight.REFUSES or "Next:" in sentence


def test_a_check_repeats_no_markup_of_its_facts() -> None:
    noticed = Noticed(Check.NOT_COPIED, {"reason": "<b>bold</b>"})

    assert "&lt;b&gt;bold" in said(noticed)


def test_braces_in_a_fact_stay_what_they_are() -> None:
    noticed = Noticed(Check.UUID_NOT_KNOWN, {"name": "{target}"})

    assert check_title(noticed, change()) == "The UUID of {target} is not known"


@pytest.mark.parametrize(
    ("outcome", "following"),
    [
        (ReadOutcome.KEY_REFUSED, "an admin replaces the keys"),
        (ReadOutcome.KEYS_UNREADABLE, "an admin replaces the keys"),
        (ReadOutcome.RATE_LIMITED, "wait a minute"),
        (ReadOutcome.SERVER_ERROR, "if us1 stays dark"),
    ],
)
def test_what_follows_fits_why_a_side_could_not_be_read(outcome: ReadOutcome, following: str) -> None:
    assert following in said(Noticed(Check.NO_READING, {**DARK, "outcome": outcome}))


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"connection": "none"}, "us1 answers that acme has no connection."),
        ({"primary": "both"}, "Both say primary."),
        ({"primary": "neither"}, "Neither says primary."),
        ({"targets": "acme-dr"}, "acme-dr names another organization as its target."),
    ],
)
def test_each_way_in_which_sides_disagree_is_said(facts: dict[str, str], sentence: str) -> None:
    assert sentence in said(Noticed(Check.SIDES_DISAGREE, {"name": "acme", "site": "us1", **facts}))


def test_an_other_side_that_is_linked_elsewhere_is_said() -> None:
    noticed = Noticed(Check.SIDES_DISAGREE, {"name": "acme", "site": "us1", "targets": "globex"})

    assert "acme is connected to globex already." in said(noticed, change(links=True, target_uuid=uuid4()))


@pytest.mark.parametrize(
    ("check", "weight"),
    [
        (Check.ALREADY_SO, "critical"),
        (Check.OTHER_SIDE_DARK, "critical"),
        (Check.STEP_SKIPPED, "warning"),
        (Check.WORKER_STOPPED, "warning"),
    ],
)
def test_a_check_is_as_loud_as_it_is_grave(check: Check, weight: str) -> None:
    assert weighs(Noticed(check)) == weight


@pytest.mark.parametrize(
    ("status", "tags"),
    [
        (1, ["Now", "Usual next step", "Skips PASSIVE", "Unusual from ONBOARDING", "Unusual from ONBOARDING"]),
        (4, ["Unusual from ACTIVE", "Skips RECOVERY", "Unusual from ACTIVE", "Now", "Usual next step"]),
        (0, [""] * 5),
        (6, [""] * 5),
        (None, [""] * 5),
    ],
)
def test_each_choice_says_how_it_stands_to_the_present(status: int | None, tags: list[str]) -> None:
    view = View(has_connection=status is not None, status=status)

    assert [choice.tag for choice in choices(view, True)] == tags
    assert is_offered(view) is (status in (1, 4))


def test_the_last_known_status_is_a_choice() -> None:
    offered = choices(View(has_connection=True, status=2), False)

    assert [(choice.tag, choice.is_now) for choice in offered][1] == ("Last known", False)


def test_who_may_is_said_in_words() -> None:
    assert needs("CHANGE_STATUS") == "operator or admin"


def test_a_fact_without_a_moment_has_none() -> None:
    assert moment("") is None


def test_what_still_holds_is_counted_down() -> None:
    soon, over = drawn("{% until end %}", end=ago(seconds=-116)), drawn("{% until end %}", end=ago(seconds=1))

    assert soon == '<span data-until="2026-03-15T03:14:40Z">1 min 56 s</span>'
    assert over == '<span data-until="2026-03-15T03:12:43Z">over</span>'
