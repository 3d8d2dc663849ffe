from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.changes import What
from hamr_portal.domain.connections import Connection, HamrStatus, ReadOutcome, View
from hamr_portal.domain.organizations import Spelling
from hamr_portal.domain.previews import Check, Noticed
from hamr_portal.models import Observation, Organization, Snapshot, Worker
from hamr_portal.services import previews
from hamr_portal.services.connections import Flight, Result
from hamr_portal.services.previews import Link, Sight, Wish
from hamr_portal.simulator import FAILOVER, Simulator
from tests import factories

from . import changing
from .changing import again, standing

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OWN, TARGET = UUID(int=1), UUID(int=2)
CONNECTION = Connection(
    organization_uuid=OWN,
    status=2,
    is_primary=True,
    modified_at=AT,
    modified_by="jonas.weber@halden.example",
    target_uuid=TARGET,
    target_name="acme-dr",
    target_datacenter="us5.prod.dog",
    own_datacenter="us1.prod.dog",
    spelling=Spelling.SNAKE_CASE,
)


def result(organization: Organization, connection: Connection | None = CONNECTION, **over: Any) -> Result:
    outcome = ReadOutcome.ANSWERED if connection is not None else ReadOutcome.NO_CONNECTION
    flight = Flight(organization.pk, organization.name, organization.site, None, None, uuid4(), None)
    return replace(Result(flight, AT, outcome, connection), **over)


def sight(organization: Organization, own: Result | None, link: Link | None = None) -> Sight:
    return Sight(Wish(organization, HamrStatus.FAILOVER, link), None, own, None)


@pytest.fixture
def acme() -> Organization:
    return factories.seen(factories.organization("acme", uuid=OWN), target_uuid=TARGET)


def noticed(organization: Organization, target: HamrStatus = HamrStatus.FAILOVER) -> dict[Check, dict[str, str]]:
    found = previews.look(Wish(again(organization), target), by=changing.operator())
    return said(*previews.noticed(found, now=timezone.now()))


def said(*each: Noticed) -> dict[Check, dict[str, str]]:
    return {one.check: dict(one.facts) for one in each}


def at_work() -> None:
    Worker.objects.create(name="worker", started_at=timezone.now(), seen_at=timezone.now())


# --- looking ----------------------------------------------------------------------------------------------------


def test_both_sides_are_read_now_although_both_were_just_read(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    before = len(simulator.requests)

    found = previews.look(Wish(acme, HamrStatus.FAILOVER), by=changing.operator())

    assert {request.organization for request in simulator.requests[before:]} == {"acme", "acme-dr"}
    assert found.own_view is not None
    assert found.other_view is not None
    assert (found.other, found.own_view.is_primary, found.other_view.is_primary) == (acme_dr, True, False)


def test_without_another_side_one_side_is_read(simulator: Simulator):
    acme = factories.simulated(simulator.add_organization("acme", "us1"))

    found = previews.look(Wish(again(acme), HamrStatus.FAILOVER), by=changing.operator())

    assert (found.other, found.other_result, found.other_view) == (None, None, None)
    assert found.own_view == View(has_connection=False)
    assert len(found.lines(What.PREVIEWED)) == 1


def test_a_side_that_does_not_answer_has_a_line_and_no_view(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", "429", reset=42)

    found = previews.look(Wish(acme, HamrStatus.FAILOVER), by=changing.operator())

    own, other = found.lines(What.READ_AGAIN)
    assert (found.own_view, own.view, own.outcome) == (None, None, ReadOutcome.RATE_LIMITED)
    assert (own.http_status, own.phase, own.retry_after, own.organization_id) == (429, "ANSWER", 42, acme.pk)
    assert own.reason
    assert (other.what, other.outcome, other.view) == (What.READ_AGAIN, ReadOutcome.ANSWERED, found.other_view)


def test_a_line_keeps_everything_that_was_seen(acme: Organization):
    line = previews.line_of(result(acme, raw='{"data"}', http_status=200, elapsed_ms=12), What.PREVIEWED)

    assert (line.at, line.last_at, line.what, line.organization_id) == (AT, AT, What.PREVIEWED, acme.pk)
    assert (line.raw, line.http_status, line.elapsed_ms, line.view) == ('{"data"}', 200, 12, View.of(CONNECTION))


# --- the side across --------------------------------------------------------------------------------------------


def test_the_other_side_is_that_of_the_pair():
    acme, acme_dr = factories.pair("acme", "acme-dr")

    assert (previews.other_side(acme), previews.other_side(acme_dr)) == (acme_dr, acme)


def test_without_a_pair_it_is_the_saved_organization_that_is_named_as_target(acme: Organization):
    assert previews.other_side(acme) is None
    acme_dr = factories.organization("acme-dr", uuid=TARGET)

    assert previews.other_side(acme) == acme_dr


def test_an_organization_whose_uuid_is_not_known_is_nobodys_target(acme: Organization):
    Snapshot.objects.update(target_uuid=None)
    Organization.objects.filter(pk=factories.organization("acme-dr").pk).update(uuid=None)

    assert previews.other_side(acme) is None


def test_an_organization_that_names_itself_has_no_other_side(acme: Organization):
    Snapshot.objects.update(target_uuid=OWN)

    assert previews.other_side(acme) is None


def test_a_side_that_is_disabled_is_not_read():
    acme, acme_dr = factories.pair("acme", "acme-dr")
    Organization.objects.filter(pk=acme_dr.pk).update(disabled_at=AT)

    assert previews.other_side(acme) is None


def test_a_link_names_its_other_side(acme: Organization):
    other = factories.organization("globex")
    link = Link(other.uuid, "globex", "us5", is_primary=True, other=other)

    assert Wish(acme, HamrStatus.ONBOARDING, link).other == other
    assert Wish(acme, HamrStatus.ONBOARDING, replace(link, other=None)).other is None


# --- the request ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spelling", "read_as", "names"),
    [
        ("AUTO", Spelling.SNAKE_CASE, "snake"),
        ("AUTO", Spelling.PASCAL_CASE, "pascal"),
        ("SNAKE_CASE", Spelling.PASCAL_CASE, "snake"),
        ("PASCAL_CASE", Spelling.SNAKE_CASE, "pascal"),
    ],
)
def test_the_request_copies_the_reading_and_changes_status_and_writer(
    acme: Organization, spelling: str, read_as: Spelling, names: str
):
    acme.spelling = spelling
    read = sight(acme, result(acme, replace(CONNECTION, spelling=read_as)))

    body = json.loads(previews.request_of(read, writer="mara@halden.example"))

    attributes = body["data"].pop("attributes")
    assert body == {"data": {"id": str(OWN), "type": "hamr_org_connections"}}
    assert ("HamrStatus" in attributes) is (names == "pascal")
    assert sorted(attributes.values(), key=str) == sorted(
        [3, True, "mara@halden.example", "acme-dr", "us5.prod.dog", str(TARGET)], key=str
    )


@pytest.mark.parametrize(
    "own",
    [
        None,
        {"outcome": ReadOutcome.NO_ANSWER, "connection": None},
        {"outcome": ReadOutcome.WRONG_ORGANIZATION},
        {"outcome": ReadOutcome.NO_CONNECTION, "connection": None},
        {"connection": replace(CONNECTION, target_uuid=None)},
        {"connection": replace(CONNECTION, target_name="broken \N{REPLACEMENT CHARACTER}")},
    ],
)
def test_where_no_request_can_be_made_there_is_none(acme: Organization, own: dict[str, Any] | None):
    read = sight(acme, result(acme, **own) if own is not None else None)

    assert previews.request_of(read, writer="mara@halden.example") == ""


LINK = Link(TARGET, "acme-dr", "us5", is_primary=False)


def test_a_link_is_made_of_what_is_known_of_both_sides(acme: Organization):
    read = sight(acme, result(acme, None), LINK)

    assert previews.connection_of(read) == Connection(
        organization_uuid=OWN,
        status=0,
        is_primary=False,
        modified_at=None,
        modified_by="",
        target_uuid=TARGET,
        target_name="acme-dr",
        target_datacenter="us5",
        own_datacenter="",
        spelling=Spelling.SNAKE_CASE,
    )
    assert '"hamr_status": 3' in previews.request_of(read, writer="admin@halden.example")


def test_a_link_without_a_uuid_or_a_reading_makes_no_connection(acme: Organization):
    unknown = factories.organization("globex")
    unknown.uuid = None

    assert previews.connection_of(sight(acme, result(acme, None), replace(LINK, target_uuid=None))) is None
    assert previews.connection_of(sight(unknown, result(unknown, None), LINK)) is None
    assert previews.connection_of(sight(acme, None, LINK)) is None
    dark = result(acme, None, outcome=ReadOutcome.NO_ANSWER)
    assert previews.connection_of(sight(acme, dark, LINK)) is None


def test_the_address_is_that_of_the_site(acme: Organization, settings: Settings):
    assert previews.url_of(acme) == settings.HAMR_SITES["us1"].base_url + "/api/v2/hamr"
    acme.site = "nowhere"
    assert previews.url_of(acme) == ""


# --- what is noticed --------------------------------------------------------------------------------------------


def test_a_pair_in_order_with_a_worker_at_work_is_without_remark(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    at_work()

    assert noticed(acme) == {}


def test_without_a_worker_nobody_reads_on(simulator: Simulator):
    acme, _ = changing.connected(simulator)

    assert noticed(acme) == {Check.WORKER_STOPPED: {"since": ""}}


def test_a_worker_that_is_late_is_said_with_when_it_was_seen(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    at_work()
    seen_at = timezone.now() - timedelta(minutes=3)
    Worker.objects.update(seen_at=seen_at)

    assert noticed(acme) == {Check.WORKER_STOPPED: {"since": seen_at.isoformat()}}


def test_an_organization_that_is_disabled_says_so_and_is_not_read(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    at_work()
    Organization.objects.filter(pk=acme.pk).update(disabled_at=timezone.now())

    assert noticed(acme) == {
        Check.DISABLED: {},
        Check.NO_READING: {
            "name": "acme",
            "site": "us1",
            "outcome": "NO_ANSWER",
            "reason": "it is disabled, and not read",
        },
    }


def test_keys_of_another_organization_refuse_the_change(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    at_work()
    simulator.set_fault("acme", "wrong_organization")

    (check, facts) = noticed(acme).popitem()

    assert check is Check.WRONG_ORGANIZATION
    assert "the keys answer for organization" in facts["reason"]


def test_an_open_change_on_either_side_is_named(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    at_work()
    sent_at = timezone.now() - timedelta(minutes=5)
    open_change = standing(acme_dr, "UNKNOWN", pair_id=None, target_status=4, sent_at=sent_at)

    assert noticed(acme) == {
        Check.OPEN_CHANGE: {
            "change": str(open_change.pk),
            "name": "acme-dr",
            "by": "operator@halden.example",
            "status": "UNKNOWN",
            "target": "ACTIVE",
            "since": sent_at.isoformat(),
        }
    }


def test_an_open_change_of_the_pair_is_named_though_its_side_is_not_read_any_more(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    at_work()
    standing(acme_dr, "AWAITING_APPROVAL", confirmed_at=AT)
    Organization.objects.filter(pk=acme_dr.pk).update(disabled_at=timezone.now())

    found = noticed(acme)

    assert found.keys() == {Check.OPEN_CHANGE, Check.OTHER_SIDE_NOT_SAVED}
    assert found[Check.OPEN_CHANGE]["since"] == AT.isoformat()


def test_an_earlier_request_of_this_side_may_still_land(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    at_work()
    earlier = standing(acme, "NOT_APPLIED")
    standing(acme_dr, "NOT_APPLIED")
    standing(acme, "NOT_APPLIED", sent_at=timezone.now() - timedelta(hours=25))

    found = noticed(acme)

    assert found.keys() == {Check.MAY_LAND_LATE}
    assert found[Check.MAY_LAND_LATE]["change"] == str(earlier.pk)


def seen_outside(name: str, at: datetime, **fields: Any) -> None:
    """Let it have been seen then that somebody had changed an organization's status outside the portal."""
    given = {"modified_by": "priya.raman", "outcome": ReadOutcome.ANSWERED, "outside": True, "at": at, **fields}
    Observation.objects.create(organization=Organization.objects.get(name=name), **given)


@pytest.mark.parametrize("side", ["acme", "acme-dr"])
def test_a_change_from_outside_within_the_hour_is_said_of_either_side(simulator: Simulator, side: str):
    acme, _ = changing.connected(simulator)
    at_work()
    at = timezone.now() - timedelta(minutes=59)
    seen_outside(side, at)
    seen_outside(side, at - timedelta(seconds=30), modified_by="somebody.before")

    assert noticed(acme) == {
        Check.CHANGED_OUTSIDE: {"name": side, "at": at.isoformat(), "by": "priya.raman"},
    }


def test_a_change_from_outside_of_long_ago_or_of_others_is_not(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    at_work()
    seen_outside("acme", timezone.now() - timedelta(minutes=61))
    seen_outside("acme", timezone.now(), acknowledged_at=timezone.now())
    seen_outside(factories.organization("globex").name, timezone.now())

    assert noticed(acme) == {}


@pytest.mark.parametrize(("target", "said"), [(3, True), (4, True), (5, False), (1, False)])
def test_others_that_fail_over_to_the_same_site_are_said_before_a_failover(
    simulator: Simulator, target: int, said: bool
):
    changing.connected(simulator, 3, names=("globex", "globex-dr"), modified_at=AT)
    _, acme_dr = changing.connected(simulator)
    at_work()

    found = noticed(acme_dr, HamrStatus(target))

    expected = {"name": "globex", "site": "us5", "since": AT.isoformat(), "by": "admin@example.com"}
    assert found.get(Check.SITE_IN_USE) == (expected if said else None)


def test_the_own_pair_others_sites_primaries_and_the_disabled_do_not_take_the_site(simulator: Simulator):
    _, acme_dr = changing.connected(simulator, 3)
    changing.connected(simulator, 3, names=("a", "a-dr"), sites=("us1", "eu1"))
    changing.connected(simulator, 3, names=("b", "b-dr"), sites=("us5", "us1"))
    changing.connected(simulator, 4, names=("c", "c-dr"))
    _, disabled = changing.connected(simulator, 3, names=("d", "d-dr"))
    Organization.objects.filter(pk=disabled.pk).update(disabled_at=AT)

    assert Check.SITE_IN_USE not in noticed(acme_dr, HamrStatus.ACTIVE)


def test_a_reading_that_cannot_be_written_back_unchanged_refuses_the_change(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    at_work()
    simulator.split("acme", target_org_name="broken \u0007")

    found = noticed(acme)

    assert found.keys() == {Check.NOT_COPIED, Check.CHANGED_OUTSIDE}
    assert "cannot be written back unchanged" in found[Check.NOT_COPIED]["reason"]


def test_a_reading_that_names_no_target_refuses_the_change(acme: Organization):
    at_work()

    found = said(
        *previews.noticed(sight(acme, result(acme, replace(CONNECTION, target_uuid=None))), now=timezone.now())
    )

    assert found == {Check.NOT_COPIED: {"reason": "it names no target"}, Check.OTHER_SIDE_NOT_SAVED: {}}


def test_a_link_has_checks_of_its_own(simulator: Simulator):
    acme, acme_dr = changing.unconnected(simulator)
    at_work()
    link = changing.link_to(acme_dr, is_primary=False)

    found = previews.look(Wish(acme, HamrStatus.ONBOARDING, link), by=changing.admin())

    assert said(*previews.noticed(found, now=timezone.now())) == {Check.NOT_FROM_PRIMARY: {}}


def test_everything_is_said_at_once_the_heaviest_first(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    standing(acme_dr, "UNKNOWN")
    simulator.split("acme-dr", hamr_status=FAILOVER)

    found = previews.look(Wish(acme, HamrStatus.ACTIVE), by=changing.operator())

    assert [each.check for each in previews.noticed(found, now=timezone.now())] == [
        Check.OPEN_CHANGE,
        Check.SIDES_DISAGREE,
        Check.STEP_SKIPPED,
        Check.CHANGED_OUTSIDE,
        Check.WORKER_STOPPED,
    ]
