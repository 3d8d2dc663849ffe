"""What the state machine found, or was led to: each is the smallest story that went wrong once."""

from __future__ import annotations

import pytest

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.hamr_client import Phase
from hamr_portal.models import Change, Organization
from hamr_portal.services import changes, organizations
from hamr_portal.services.conditions import Words
from hamr_portal.services.moves import AlreadyMoved
from hamr_portal.services.organizations import Draft
from hamr_portal.services.refusals import SidesChanged
from tests import factories

from .world import APPROVERS, AUTHORS, Cast, PostFault, World, actor, lost, worker_pass

pytestmark = pytest.mark.django_db

ANNA, CLEO = actor(AUTHORS[0]), actor(APPROVERS[0])
DAY = 86_400.0
LOST = PostFault(lost(Phase.WAIT), acts=False)


@pytest.fixture
def world(cast: Cast) -> World:
    return cast.begin()


def prepared(cast: Cast, side: str = "us1") -> Change:
    return changes.prepare(Organization.objects.get(site=side), HamrStatus.FAILOVER, by=ANNA)


def confirmed(change: Change, world: World) -> Change:
    words = Words(token=change.nonce, reason="us1 is down", typed_name=change.organization.name, override=True)
    world.sending = [change.pk]
    return changes.confirm(change, words, by=ANNA)


def asking_for_approval(cast: Cast, *, asks: bool = True) -> None:
    row = Organization.objects.get(pk=cast.organizations["us1"].pk)
    organizations.edit(row, Draft(row.name, row.site, requires_approval=asks), by=factories.ADMIN)


def status_of(change: Change) -> ChangeStatus:
    return ChangeStatus(Change.objects.get(pk=change.pk).status)


# --- the clock --------------------------------------------------------------------------------------------------


def test_what_nobody_acted_on_expires_after_the_clock_was_set_back_too(cast: Cast, world: World):
    change = prepared(cast)
    world.set_clock_by(-DAY)

    worker_pass()

    assert status_of(change) is ChangeStatus.EXPIRED


def test_nothing_is_approved_after_the_clock_was_set_back(cast: Cast, world: World):
    asking_for_approval(cast)
    change = confirmed(prepared(cast), world)
    world.set_clock_by(-DAY)

    with pytest.raises(AlreadyMoved):
        changes.approve(change, by=CLEO, typed_name="acme")

    assert status_of(change) is ChangeStatus.EXPIRED
    assert world.sent == []


def test_a_clock_that_jumps_settles_nothing_before_its_time(cast: Cast, world: World):
    world.post_fault = LOST
    change = confirmed(prepared(cast), world)

    for _ in range(5):
        world.pass_time(1.0)
        world.set_clock_by(DAY)
        worker_pass()

    assert status_of(change) is ChangeStatus.UNKNOWN


# --- twins: two changes of one person to one status write the same ----------------------------------------------


def test_a_twin_that_is_being_sent_verifies_no_older_one(cast: Cast, world: World):
    world.post_fault = LOST
    older = changes.resolve(confirmed(prepared(cast), world), by=ANNA, reason="urgent")
    newer = prepared(cast)
    world.meanwhile = (3, worker_pass)  # after both sides are read, the request

    confirmed(newer, world)

    assert status_of(newer) is ChangeStatus.VERIFIED
    assert status_of(older) is ChangeStatus.RESOLVED


def test_a_twin_of_the_other_side_verifies_no_older_one(cast: Cast, world: World):
    world.post_fault = LOST
    older = changes.resolve(confirmed(prepared(cast, "us1"), world), by=ANNA, reason="urgent")
    newer = confirmed(prepared(cast, "us5"), world)

    world.pass_time(40.0)
    worker_pass()

    assert status_of(newer) is ChangeStatus.VERIFIED
    assert status_of(older) is ChangeStatus.RESOLVED


# --- what an admin does while both sides are read ---------------------------------------------------------------


def test_an_approval_that_is_asked_for_meanwhile_is_not_passed_by(cast: Cast, world: World):
    change = prepared(cast)
    world.meanwhile = (1, lambda: asking_for_approval(cast))

    with pytest.raises(SidesChanged):
        confirmed(change, world)

    assert world.sent == []


def test_nothing_is_sent_to_an_organization_that_is_disabled_meanwhile(cast: Cast, world: World):
    change = prepared(cast)
    world.meanwhile = (2, lambda: organizations.disable(change.organization, by=factories.ADMIN))

    with pytest.raises(SidesChanged):
        confirmed(change, world)

    assert world.sent == []
