"""Each check, outcome and refusal in the words of a terminal."""

from __future__ import annotations

import json

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from hamr_portal.domain.changes import Again, ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Role
from hamr_portal.domain.previews import Check
from hamr_portal.management.outcomes import outcome, story_of
from hamr_portal.management.previews import preview
from hamr_portal.management.refusals import refusal
from hamr_portal.models import Change, Snapshot
from hamr_portal.services.refusals import Busy, Changed, LookAgain, SidesChanged
from tests import factories

pytestmark = pytest.mark.django_db

SINCE = "2026-03-15T03:06:32+00:00"


@pytest.fixture
def change() -> Change:
    """A preview of FAILOVER for the secondary of a pair, for which nothing was read."""
    primary, secondary = factories.pair()
    now = timezone.now()
    return Change.objects.create(
        nonce="n",
        organization=secondary,
        other=primary,
        pair=secondary.pair,
        author=factories.person(Role.OPERATOR),
        target_status=HamrStatus.FAILOVER,
        writer="operator@halden.example",
        prepared_at=now,
        expires_at=now,
    )


def shown(change: Change, check: Check, /, **facts: str) -> str:
    """Give the line of one check."""
    change.noticed_json = json.dumps([{"check": check.name, "facts": facts}])
    lines = list(preview(change, now=timezone.now()))
    return " ".join(lines[lines.index("\nChecks") + 1].split())


def sent(change: Change, status: ChangeStatus) -> Change:
    change.status, change.sent_at = status, timezone.now()
    return change


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"connection": "none"}, "shop has no connection."),
        ({"statuses": "us1 says PASSIVE, us5 says ACTIVE"}, "us1 says PASSIVE, us5 says ACTIVE."),
        ({"primary": "both"}, "both say primary."),
        ({"primary": "neither", "targets": "shop"}, "neither says primary; shop names another target."),
    ],
)
def test_each_way_in_which_sides_disagree_has_its_words(change, facts, says):
    line = shown(change, Check.SIDES_DISAGREE, name="shop", site="us1", **facts)

    assert line == f"needs --override The sides disagree. {says} Look at shop too, before and after."


@pytest.mark.parametrize(
    ("check", "facts", "says"),
    [
        (Check.STATUS_NOT_DOCUMENTED, {"status": "Unknown status 6"}, "It is Unknown status 6; the portal may be out"),
        (Check.OTHER_SIDE_ACTIVE, {"name": "shop", "site": "us1"}, "shop on us1 takes traffic already."),
        (Check.OTHER_SIDE_NOT_SAVED, {}, "Its status is not known here. Look at it in Datadog."),
        (Check.NOT_COPIED, {"reason": "it names no target"}, "it names no target. Change it by hand, in Datadog."),
        (Check.WRONG_ORGANIZATION, {"name": "shop", "reason": "x"}, "x. An admin replaces the keys of shop."),
        (Check.WORKER_STOPPED, {"since": SINCE}, "None since 15 Mar 03:06:32. Start manage.py run_worker"),
        (Check.CHANGED_OUTSIDE, {"name": "shop", "at": SINCE, "by": "jo\nnas"}, "shop, at 15 Mar 03:06:32 by jo nas."),
        (
            Check.SITE_IN_USE,
            {"name": "Logistics", "site": "us5", "since": "", "by": "jonas"},
            "Logistics is failing over to us5 since a time not known, by jonas.",
        ),
        (
            Check.MAY_LAND_LATE,
            {"change": "7", "name": "shop", "by": "mara", "status": "RESOLVED", "target": "ACTIVE", "since": SINCE},
            "Change 7, shop to ACTIVE by mara, sent at 15 Mar 03:06:32, was never seen to be applied.",
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Check) else "",
)
def test_each_check_has_its_sentence(change, time_machine, check, facts, says):
    time_machine.move_to("2026-03-16T03:00:00+00:00")

    assert says in shown(change, check, **facts)


def test_a_side_that_was_never_read_is_not_known(change):
    Snapshot.objects.update(answered_at=None)

    text = "\n".join(preview(change, now=timezone.now()))

    assert "us1 halden-checkout, which is sent nothing: not known" in text
    assert "disabled, and not read" in text
    assert "The exact request" not in text


@pytest.mark.parametrize("status", ChangeStatus)
def test_every_outcome_ends_in_a_sentence(change, status):
    said = outcome(story_of(sent(change, status)), now=timezone.now())

    assert said.endswith(".")
    assert "\n" not in said


@pytest.mark.parametrize("status", [ChangeStatus.UNKNOWN, ChangeStatus.SENDING])
def test_what_is_not_known_is_not_sent_again(change, status):
    assert "Do not send again" in outcome(story_of(sent(change, status)), now=timezone.now())


def test_what_ended_before_it_was_sent_says_that_nothing_was(change):
    change.status = ChangeStatus.DECLINED

    said = outcome(story_of(change), now=timezone.now())

    assert said == "Declined. Nothing was sent; the status is unchanged."


def test_the_outcome_is_said_although_the_database_has_gone(change):
    def gone(*_):
        raise OperationalError("gone")

    with connection.execute_wrapper(gone):
        said = outcome(story_of(sent(change, ChangeStatus.VERIFIED)), now=timezone.now())

    assert said.startswith("Verified by reading it back at ")
    assert said.endswith(f"Receipt: change {change.pk}.")


def test_each_refusal_says_that_nothing_was_sent_and_what_to_do(change):
    other = sent(change, ChangeStatus.SENDING)
    now = timezone.now()

    said = [
        refusal(refused, change, now=now)
        for refused in (
            Busy(other),
            Busy(None),
            SidesChanged(side="shop"),
            SidesChanged(what=Changed.REQUEST),
            LookAgain(Again.EXPIRED),
        )
    ]

    for text in said:
        assert text.startswith("Nothing was sent; the status is unchanged. ")
    assert f"Change {change.pk} by operator@halden.example is in progress (Sending, since " in said[0]
    assert "halden-checkout-dr to FAILOVER" in said[0]
    assert said[1].endswith("Another change is open on this pair. See /changes/.")
    assert "shop does not say any more what was shown above" in said[2]
    assert "The request would not be the one above any more" in said[3]
    assert said[4].endswith("The preview is too old. Run this again.")
