from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.models import Snapshot
from hamr_portal.templatetags._time import clock
from tests import factories
from tests.services import changing

pytestmark = pytest.mark.django_db


@pytest.fixture
def simulated_pair(simulator):
    """A pair of the simulator whose sides the portal saw as PASSIVE an hour ago."""
    made = [simulator.add_organization("acme-us1", "us1"), simulator.add_organization("acme-us5", "us5")]
    simulator.add_pair("acme-us1", "acme-us5", status=4)
    primary, secondary = factories.pair("temporary-us1", "temporary-us5", at=timezone.now() - timedelta(hours=1))
    for saved, other in zip((primary, secondary), made, strict=True):
        twin = factories.simulated(other)
        Snapshot.objects.filter(pk=twin.pk).delete()
        type(saved).objects.filter(pk=saved.pk).update(pair=None, column=None)
        type(saved).objects.filter(pk=twin.pk).update(pair=saved.pair, column=saved.column)
        Snapshot.objects.filter(pk=saved.pk).update(organization=twin)
        saved.delete()
    return simulator


def test_an_installation_without_organizations_says_so_and_needs_nothing(run):
    ended = run("status")

    assert ended.exit == 0
    assert "No organizations are saved." in ended.out
    assert "start manage.py run_worker" in ended.out


def test_pairs_stand_in_a_table_with_both_sides_the_join_and_the_verdict(run):
    factories.pair()

    ended = run("status")

    assert ended.exit == 0
    assert "1 in sync" in ended.out
    lines = [line.strip() for line in ended.out.splitlines()]
    head = next(number for number, line in enumerate(lines) if line.startswith("Checkout"))
    assert "us1 halden-checkout " in lines[head]
    assert "us5 halden-checkout-dr" in lines[head]
    assert lines[head + 1].startswith("In sync for ")
    assert "Agree" in lines[head + 1]
    assert lines[head + 1].count("PASSIVE") == 2


def test_exit_10_when_something_needs_action_and_the_worst_comes_first(run):
    factories.pair("halden-ads", "halden-ads-dr")
    primary, _ = factories.pair("halden-zeta", "halden-zeta-dr")
    factories.seen(primary, status=4)

    ended = run("status")

    assert ended.exit == 10
    assert ended.error == ""
    assert "1 need action · 1 in sync" in ended.out
    assert ended.out.index("Split view") < ended.out.index("In sync")
    assert "Disagree" in ended.out


def test_a_degraded_pair_does_not_need_action(run):
    primary, _ = factories.pair()
    factories.seen(primary, outcome=ReadOutcome.RATE_LIMITED, repeats=2, attempt_status=429, attempt_failed=True)

    ended = run("status")

    assert ended.exit == 0
    assert "Rate limited" in ended.out
    assert "HTTP 429, rate limited × 2" in ended.out


def test_an_old_status_is_never_shown_as_a_current_one(run):
    _, secondary = factories.pair(at=timezone.now() - timedelta(hours=2))
    factories.seen(
        secondary,
        at=timezone.now() - timedelta(hours=2),
        has_connection=False,
        status=None,
        is_primary=None,
        outcome=ReadOutcome.NO_ANSWER,
        repeats=24,
    )

    ended = run("status")

    assert ended.exit == 10
    assert "PASSIVE (last known) 2 h 0 min ago" in ended.out
    assert "no connection (last known) 2 h 0 min ago" in ended.out
    assert "No answer × 24" in ended.out


def test_an_unpaired_organization_and_one_never_read_have_their_rows(run):
    factories.seen(factories.organization("lonely"), target_name="gone")
    factories.organization("unread")

    ended = run("status")

    assert ended.exit == 10, "what was never read is not known to be well"
    assert "Unpaired" in ended.out
    assert "Not read yet" in ended.out
    assert "One side" in ended.out


def test_a_side_that_says_it_is_the_other_one_is_pointed_out(run):
    primary, secondary = factories.pair()
    factories.seen(secondary, is_primary=True, target_uuid=primary.uuid)

    ended = run("status")

    assert "PASSIVE says primary" in ended.out


def test_named_organizations_show_their_pairs_alone_and_decide_the_exit_alone(run):
    factories.pair("halden-ads", "halden-ads-dr")
    primary, _ = factories.pair("halden-zeta", "halden-zeta-dr")
    factories.seen(primary, status=4)

    calm = run("status", "halden-ads-dr")
    both = run("status", "halden-ads-dr", "halden-zeta")

    assert (calm.exit, both.exit) == (0, 10)
    assert "halden-ads " in calm.out
    assert "zeta" not in calm.out
    assert "halden-zeta-dr" in both.out


def test_a_name_that_is_not_saved_is_refused_with_those_that_are_close(run):
    factories.pair()

    ended = run("status", "halden-chekout", "halden-checkout")

    assert ended.exit == 1
    assert ended.error == "halden-chekout is not saved. Close: halden-checkout, halden-checkout-dr, checkout."
    assert ended.out == ""


def test_a_pair_is_asked_for_by_its_name_in_any_case(run):
    factories.pair()
    factories.pair("halden-fleet", "halden-fleet-dr")

    ended = run("status", "checkOUT")

    assert "halden-checkout-dr" in ended.out
    assert "halden-fleet" not in ended.out


def test_a_disabled_organization_is_not_among_the_saved(run):
    factories.organization("gone", disabled_at=timezone.now())

    ended = run("status", "gone")

    assert ended.error == "gone is disabled."


def test_json_says_the_same_for_machines(run):
    primary, _ = factories.pair()
    factories.seen(primary, status=99)

    ended = run("status", "--json")

    told = json.loads(ended.out)
    assert ended.exit == 10
    assert told["counts"]["NEED_ACTION"] == 1
    (pair,) = told["pairs"]
    assert (pair["group"], pair["verdict"], pair["join"]) == ("NEED_ACTION", "SPLIT_VIEW", "DISAGREE")
    assert (pair["primary"]["status"], pair["primary"]["status_number"]) == (None, 99)
    assert (pair["secondary"]["status"], pair["secondary"]["status_number"]) == ("PASSIVE", 2)


def test_without_refresh_nothing_is_asked(run, simulated_pair):
    run("status")

    assert simulated_pair.requests == []


def test_refresh_reads_first_and_the_other_side_of_what_was_named_as_well(run, simulated_pair):
    factories.simulated(simulated_pair.add_organization("another", "us1"))

    ended = run("status", "acme-us1", "--refresh")

    assert {request.organization for request in simulated_pair.requests} == {"acme-us1", "acme-us5"}
    assert {request.verb for request in simulated_pair.requests} == {"GET"}
    assert ended.exit == 0
    assert "Failed over" in ended.out
    assert "last known" not in ended.out


def test_refresh_says_what_was_not_read_now(run, simulated_pair):
    run("status", "--refresh")

    ended = run("status", "--refresh")

    assert ended.err.splitlines() == ["acme-us1: not read now: just read", "acme-us5: not read now: just read"]
    assert len(simulated_pair.requests) == 2


def test_the_last_known_statuses_are_shown_while_the_key_ring_is_missing(run, settings):
    factories.pair()
    settings.KEY_RING_FILE.unlink()

    ended = run("status")

    assert ended.exit == 0
    assert "In sync" in ended.out
    assert "portal.W005" in ended.err


def test_a_freeze_is_said_above_the_table(run):
    factories.pair()
    freeze = changing.frozen()

    ended = run("status")

    assert ended.out.startswith(
        f"Changes are frozen until {clock(freeze.ends_at, timezone.now())} by admin@halden.example: Quarter end"
    )


def test_a_freeze_is_in_what_programs_read(run):
    factories.pair()
    freeze = changing.frozen()

    ended = run("status", "--json")

    assert json.loads(ended.out)["freeze"]["ends_at"] == freeze.ends_at.isoformat()
