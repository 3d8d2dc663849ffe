from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.changes import Again, ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.organizations import sites_with
from hamr_portal.domain.people import Action, Role
from hamr_portal.domain.previews import Check
from hamr_portal.models import Change, Organization, Person
from hamr_portal.services import changes, conditions, organizations, previews
from hamr_portal.services.conditions import LONGEST_REASON, LONGEST_TICKET, Ready, Words
from hamr_portal.services.moves import AlreadyMoved
from hamr_portal.services.previews import Wish
from hamr_portal.services.refusals import (
    Busy,
    Changed,
    Forbidden,
    Incomplete,
    LookAgain,
    NotAllowed,
    OwnChange,
    Problem,
    SidesChanged,
)
from hamr_portal.simulator import FAILOVER, Simulator
from tests import factories

from . import changing
from .changing import standing, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme() -> Organization:
    return factories.pair("acme", "acme-dr")[0]


@pytest.fixture
def previewed(acme: Organization) -> Change:
    """A preview of acme by an operator, which needs nothing but to be confirmed."""
    other = Organization.objects.get(name="acme-dr")
    return standing(acme, "PREPARED", other=other, author_session="s1")


# --- people -----------------------------------------------------------------------------------------------------


def test_a_person_is_entitled_by_their_role_as_the_database_has_it_now():
    mara = changing.operator()
    assert conditions.entitled(mara, Action.CHANGE_STATUS).email == mara.name

    Person.objects.filter(email=mara.name).update(role=Role.VIEWER)

    with pytest.raises(NotAllowed, match="Needs: operator or admin") as raised:
        conditions.entitled(mara, Action.CHANGE_STATUS)
    assert raised.value.facts == {"action": Action.CHANGE_STATUS}


def test_a_change_is_its_authors(previewed: Change):
    assert conditions.its_author(previewed, changing.operator(session="another")) == previewed.author

    with pytest.raises(NotAllowed, match=r"This change is for operator@halden\.example to confirm") as raised:
        conditions.its_author(previewed, changing.operator(email="elif@halden.example"))
    assert raised.value.facts == {"author": "operator@halden.example"}


def test_an_author_whose_role_was_taken_away_is_not_the_author_any_more(previewed: Change):
    mara = changing.operator()
    Person.objects.filter(pk=previewed.author_id).update(role=Role.APPROVER)

    with pytest.raises(NotAllowed, match="Needs: operator"):
        conditions.its_author(previewed, mara)


def test_linking_is_for_admins_though_a_change_of_status_is_for_operators(previewed: Change):
    assert conditions.action_of(previewed) is Action.CHANGE_STATUS
    previewed.links = True

    assert conditions.action_of(previewed) is Action.LINK_ORGANIZATIONS
    with pytest.raises(NotAllowed, match="Needs: admin"):
        conditions.its_author(previewed, changing.operator())


def test_another_person_may_approve_where_their_role_allows_it(previewed: Change):
    assert conditions.another_person(previewed, changing.approver()).email == changing.approver().name
    with pytest.raises(NotAllowed, match="Needs: approver"):
        conditions.another_person(previewed, changing.operator(email="elif@halden.example"))


def test_nobody_approves_their_own_change_whatever_they_have_become(previewed: Change):
    Person.objects.filter(pk=previewed.author_id).update(role=Role.APPROVER)

    with pytest.raises(OwnChange, match="Nobody approves a change of their own"):
        conditions.another_person(previewed, changing.operator())


# --- the form ---------------------------------------------------------------------------------------------------


def fits(change: Change, **over: Any) -> None:
    conditions.of_this_preview(change, words(change, **over), changing.operator())


def test_the_form_of_this_preview_fits(previewed: Change):
    fits(previewed)


@pytest.mark.parametrize("token", ["", "x" * 43, "Ünïcode"])
def test_another_token_is_an_old_form(previewed: Change, token: str):
    with pytest.raises(LookAgain) as raised:
        fits(previewed, token=token)

    assert raised.value.again is Again.OLD_FORM


def test_a_form_of_another_sign_in_is_looked_at_again(previewed: Change):
    with pytest.raises(LookAgain) as raised:
        conditions.of_this_preview(previewed, words(previewed), changing.operator(session="s2"))

    assert raised.value.again is Again.OTHER_SIGN_IN


@pytest.mark.parametrize(
    ("moment", "valid"),
    [
        (lambda change: change.prepared_at, True),
        (lambda change: change.expires_at, True),
        (lambda change: change.expires_at + timedelta(milliseconds=1), False),
        # The clock was set back: an old preview does not become valid again.
        (lambda change: change.prepared_at - timedelta(milliseconds=1), False),
    ],
)
def test_a_form_is_valid_from_the_preview_until_it_expires(
    previewed: Change, moment: Callable[[Change], Any], valid: bool
):
    with time_machine.travel(moment(previewed), tick=False):
        if valid:
            fits(previewed)
        else:
            with pytest.raises(LookAgain) as raised:
                fits(previewed)
            assert raised.value.again is Again.EXPIRED


def test_a_preview_that_was_ended_as_expired_is_looked_at_again(previewed: Change):
    previewed.status = ChangeStatus.EXPIRED

    with pytest.raises(LookAgain) as raised:
        fits(previewed, token="also wrong")
    assert raised.value.again is Again.EXPIRED


@pytest.mark.parametrize("status", sorted(set(ChangeStatus) - {ChangeStatus.PREPARED, ChangeStatus.EXPIRED}))
def test_a_form_is_used_once(previewed: Change, status: str):
    previewed.status = status

    with pytest.raises(AlreadyMoved, match="was confirmed already"):
        fits(previewed, token="also wrong")


def test_a_wrong_token_is_said_before_another_sign_in_and_that_before_the_time(previewed: Change):
    with time_machine.travel(previewed.expires_at + timedelta(hours=1), tick=False):
        for over, session, again in (
            ({"token": "x"}, "s2", Again.OLD_FORM),
            ({}, "s2", Again.OTHER_SIGN_IN),
            ({}, "s1", Again.EXPIRED),
        ):
            with pytest.raises(LookAgain) as raised:
                conditions.of_this_preview(previewed, words(previewed, **over), changing.operator(session))
            assert raised.value.again is again


# --- what was typed ---------------------------------------------------------------------------------------------


def problems(change: Change, **over: Any) -> tuple[Problem, ...]:
    try:
        conditions.complete(change, words(change, **over))
    except Incomplete as refused:
        return refused.problems
    return ()


def test_what_is_complete_has_no_problems(previewed: Change):
    assert problems(previewed) == ()
    assert problems(previewed, ticket="", typed_name=" acme ", reason="r" * LONGEST_REASON) == ()


@pytest.mark.parametrize(
    ("over", "problem"),
    [
        ({"reason": ""}, Problem.REASON_MISSING),
        ({"reason": " \n\t "}, Problem.REASON_MISSING),
        ({"reason": "r" * (LONGEST_REASON + 1)}, Problem.REASON_TOO_LONG),
        ({"typed_name": ""}, Problem.NAME_MISSING),
        ({"typed_name": "  "}, Problem.NAME_MISSING),
        ({"typed_name": "ACME"}, Problem.NAME_WRONG),
        ({"typed_name": "acme-"}, Problem.NAME_WRONG),
        ({"typed_name": "acme-dr"}, Problem.NAME_OF_OTHER_SIDE),
        ({"ticket": "t" * (LONGEST_TICKET + 1)}, Problem.TICKET_MALFORMED),
    ],
)
def test_each_problem_is_said_by_its_name(previewed: Change, over: dict[str, str], problem: Problem):
    assert problems(previewed, **over) == (problem,)


def test_without_an_other_side_its_name_is_only_wrong(previewed: Change):
    previewed.other = None

    assert problems(previewed, typed_name="acme-dr") == (Problem.NAME_WRONG,)


def test_an_override_is_missing_only_where_it_is_needed(previewed: Change):
    assert problems(previewed, override=False) == ()
    previewed.needs_override = True

    assert problems(previewed, override=False) == (Problem.OVERRIDE_MISSING,)
    assert problems(previewed, override=True) == ()


@pytest.mark.parametrize(
    ("ticket", "expected"),
    [
        ("INC-4711", ()),
        (" INC-4711 ", ()),
        ("", (Problem.TICKET_MISSING,)),
        ("  ", (Problem.TICKET_MISSING,)),
        ("INC-", (Problem.TICKET_MALFORMED,)),
        ("see INC-4711", (Problem.TICKET_MALFORMED,)),
        ("INC-4711 and more", (Problem.TICKET_MALFORMED,)),
        ("INC-" + "1" * LONGEST_TICKET, (Problem.TICKET_MALFORMED,)),
    ],
)
def test_a_ticket_has_the_form_that_is_asked_for(
    previewed: Change, settings: Settings, ticket: str, expected: tuple[Problem, ...]
):
    settings.TICKET_PATTERN = re.compile("INC-[0-9]+")

    assert problems(previewed, ticket=ticket) == expected


def test_a_ticket_of_a_hundred_characters_fits(previewed: Change):
    assert problems(previewed, ticket="t" * 100) == ()
    assert (LONGEST_TICKET, LONGEST_REASON) == (100, 2000)


def test_everything_that_is_missing_is_said_at_once(previewed: Change, settings: Settings):
    settings.TICKET_PATTERN = re.compile("INC-[0-9]+")
    previewed.needs_override = True

    with pytest.raises(Incomplete) as raised:
        conditions.complete(previewed, Words())

    assert raised.value.problems == (
        Problem.TICKET_MISSING,
        Problem.REASON_MISSING,
        Problem.OVERRIDE_MISSING,
        Problem.NAME_MISSING,
    )


def test_a_check_of_the_preview_that_refuses_cannot_be_ticked_away(previewed: Change):
    previewed.noticed_json = '[{"check": "STEP_SKIPPED", "facts": {}}, {"check": "NO_READING", "facts": {"a": "b"}}]'

    with pytest.raises(Forbidden) as raised:
        conditions.not_forbidden(previewed)

    assert [(each.check, each.facts) for each in raised.value.noticed] == [(Check.NO_READING, {"a": "b"})]


def test_a_check_that_only_needs_a_tick_forbids_nothing(previewed: Change):
    previewed.noticed_json = '[{"check": "STEP_SKIPPED", "facts": {}}, {"check": "WORKER_STOPPED", "facts": {}}]'

    conditions.not_forbidden(previewed)


# --- the sides --------------------------------------------------------------------------------------------------


def ready(change: Change) -> Ready:
    return conditions.as_confirmed(change, by=changing.operator(), action=Action.CHANGE_STATUS)


def differs(change: Change) -> dict[str, Any]:
    with pytest.raises(SidesChanged) as raised:
        ready(change)
    assert raised.value.facts.pop("again") is Again.SIDES_CHANGED
    return raised.value.facts


def test_sides_that_say_what_was_seen_are_ready(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    change = changing.prepared(acme)

    found = ready(change)

    assert (found.action, found.sent_before) == (Action.CHANGE_STATUS, 0)
    assert found.sight.own_view is not None
    assert found.sight.own_view.status == 2
    assert found.sight.other == acme_dr
    assert [request.verb for request in simulator.requests[-2:]] == ["GET", "GET"]
    assert simulator.posts == []


def test_a_change_of_the_own_side_is_shown_and_nothing_is_sent(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    simulator.split("acme", modified_by="jonas.weber@halden.example")

    assert differs(change) == {"side": "acme"}


def test_a_change_of_the_other_side_is_shown(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    simulator.split("acme-dr", target_org_name="renamed")

    assert differs(change) == {"side": "acme-dr"}


def test_an_own_side_that_does_not_answer_any_more_stops_the_change(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    simulator.set_fault("acme", "500")

    assert differs(change) == {"side": "acme"}


def test_an_own_side_that_was_not_read_for_the_preview_stops_the_change(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme", "500")
    change = changing.prepared(acme)
    simulator.set_fault("acme", None)

    assert differs(change) == {"side": "acme"}


def test_an_organization_that_was_disabled_meanwhile_stops_the_change(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    organizations.disable(acme, by=factories.ADMIN)

    assert differs(change) == {"side": "acme"}


def test_another_side_that_fell_dark_since_is_looked_at_again(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    simulator.set_fault("acme-dr", "500")

    assert differs(change) == {"checks": ["OTHER_SIDE_DARK"]}


def test_another_side_that_was_dark_all_the_time_was_ticked(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme-dr", "500")
    change = changing.prepared(acme)

    assert change.needs_override
    assert ready(change).sight.other_view is None


def test_another_side_that_came_back_and_agrees_is_no_reason_to_look_again(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme-dr", "500")
    change = changing.prepared(acme)
    simulator.set_fault("acme-dr", None)

    assert ready(change).sight.other_view is not None


def test_another_side_that_came_back_and_disagrees_is(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    simulator.set_fault("acme-dr", "500")
    change = changing.prepared(acme)
    simulator.set_fault("acme-dr", None)
    simulator.split("acme-dr", hamr_status=4)

    assert differs(change) == {"checks": ["OTHER_SIDE_ACTIVE", "SIDES_DISAGREE"]}


def test_without_another_side_there_is_nothing_to_hold_against_it(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    organizations.disable(acme_dr, by=factories.ADMIN)
    change = changing.prepared(acme)

    assert change.other is None
    assert ready(change).sight.other is None


def test_another_side_that_was_saved_after_the_preview_is_no_reason_to_look_again(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    organizations.disable(acme_dr, by=factories.ADMIN)
    change = changing.prepared(acme)
    organizations.enable(acme_dr, by=factories.ADMIN)

    assert ready(change).sight.other is not None


def test_another_spelling_is_another_request(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    Organization.objects.filter(pk=acme.pk).update(spelling="PASCAL_CASE")

    assert differs(change) == {"what": Changed.REQUEST}


def test_another_address_is_another_request(simulator: Simulator, settings: Settings):
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    settings.HAMR_SITES = sites_with(simulator.hamr_sites.replace("127.0.0.1", "localhost"))

    assert differs(change) == {"what": Changed.REQUEST}


def test_another_site_is_not_what_was_seen(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    Organization.objects.filter(pk=acme.pk).update(site="eu1")

    assert differs(change) == {"side": "acme"}


def test_an_approval_that_is_asked_for_since_the_preview_is_not_gone_round(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    found = ready(change)
    Organization.objects.filter(pk=acme.pk).update(requires_approval=True)

    with pytest.raises(SidesChanged) as raised:
        conditions.clear(change, found, changing.operator())

    assert raised.value.facts["what"] is Changed.APPROVAL


def test_an_approval_that_is_not_asked_for_any_more_still_holds_for_this_preview(simulator: Simulator):
    acme, _ = changing.connected(simulator, approval=True)
    change = changing.prepared(acme)
    Organization.objects.filter(pk=acme.pk).update(requires_approval=False)

    ready(change)

    assert change.needs_approval


def test_a_new_warning_is_no_reason_to_look_again(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    other, _ = changing.connected(simulator, names=("globex", "globex-dr"), sites=("us5", "us1"))
    change = changing.prepared(acme)
    simulator.write_aside("globex", FAILOVER, "jonas.weber@halden.example")
    changing.look(other, Organization.objects.get(name="globex-dr"))

    assert Check.SITE_IN_USE not in {each.check for each in change.noticed}
    assert ready(change).sight.own_view is not None


def test_an_open_change_beside_is_busy_before_anything_is_read(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    change = changing.prepared(acme)
    other = standing(acme_dr, "UNKNOWN")
    before = len(simulator.requests)

    with pytest.raises(Busy) as raised:
        ready(change)

    assert raised.value.other == other
    assert len(simulator.requests) == before


def test_an_open_change_that_began_during_the_read_is_left_to_the_last_look(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    acme, acme_dr = changing.connected(simulator)
    change = changing.prepared(acme)
    look = previews.look

    def look_while_another_is_sent(wish: Wish, **more: Any) -> Any:
        sight = look(wish, **more)
        standing(acme_dr, "UNKNOWN")
        return sight

    monkeypatch.setattr(previews, "look", look_while_another_is_sent)

    found = ready(change)

    with pytest.raises(Busy):
        conditions.clear(change, found, changing.operator())


def test_what_the_same_form_did_meanwhile_is_its_result_and_no_difference(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    look, tabs = previews.look, ["the other"]

    def look_while_the_other_tab_confirms(wish: Wish, **more: Any) -> Any:
        if tabs:
            tabs.pop()
            changing.confirmed(changing.fresh(change))
        return look(wish, **more)

    monkeypatch.setattr(previews, "look", look_while_the_other_tab_confirms)

    with pytest.raises(AlreadyMoved, match="was moved meanwhile"):
        ready(change)

    assert len(simulator.posts) == 1


# --- the last look, in the transaction that commits -------------------------------------------------------------


@pytest.fixture
def looked_at(simulator: Simulator) -> tuple[Change, Ready]:
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    return change, ready(change)


def clear(looked_at: tuple[Change, Ready]) -> None:
    conditions.clear(*looked_at, changing.operator())


def test_what_nothing_came_between_is_clear(looked_at: tuple[Change, Ready]):
    clear(looked_at)


@pytest.mark.parametrize("update", [{"role": Role.VIEWER}, {"is_active": False}, {"role": None}])
def test_a_role_that_was_taken_away_during_the_read_stops_the_change(
    looked_at: tuple[Change, Ready], update: dict[str, Any]
):
    by = changing.operator()
    Person.objects.filter(email=by.name).update(**update)

    with pytest.raises(NotAllowed, match="Needs: operator or admin"):
        conditions.clear(*looked_at, by)


@pytest.mark.parametrize("status", ["AWAITING_APPROVAL", "SENDING", "ACCEPTED", "UNKNOWN"])
def test_a_change_that_became_open_during_the_read_is_busy(looked_at: tuple[Change, Ready], status: str):
    other = standing(Organization.objects.get(name="acme-dr"), status)

    with pytest.raises(Busy) as raised:
        clear(looked_at)
    assert raised.value.other == other


@pytest.mark.parametrize("status", ["VERIFIED", "NOT_SENT", "NOT_APPLIED"])
def test_a_change_that_was_sent_and_settled_during_the_read_is_looked_at_again(
    looked_at: tuple[Change, Ready], status: str
):
    standing(Organization.objects.get(name="acme-dr"), status)

    with pytest.raises(SidesChanged) as raised:
        clear(looked_at)
    assert raised.value.facts["what"] == "ANOTHER_SENT"


@pytest.mark.parametrize("status", ["PREPARED", "CANCELLED", "DECLINED", "EXPIRED"])
def test_another_preview_does_not_matter(looked_at: tuple[Change, Ready], status: str):
    standing(Organization.objects.get(name="acme-dr"), status)

    clear(looked_at)


def test_a_change_of_another_pair_does_not_matter(looked_at: tuple[Change, Ready]):
    standing(factories.pair("globex", "globex-dr")[0], "UNKNOWN")

    clear(looked_at)


def test_what_was_sent_before_the_read_does_not_matter(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    standing(acme_dr, "VERIFIED", sent_at=timezone.now() - timedelta(days=2))
    change = changing.prepared(acme)

    found = ready(change)

    assert found.sent_before == 1
    conditions.clear(change, found, changing.operator())


# --- what a change concerns -------------------------------------------------------------------------------------


def test_a_change_concerns_the_side_that_gets_the_request_and_the_other(previewed: Change):
    assert previewed.sides == [previewed.organization_id, previewed.other_id]
    previewed.other = None

    assert previewed.sides == [previewed.organization_id]


def test_a_change_of_the_same_pair_is_open_beside_although_it_names_no_other_side(previewed: Change):
    acme_dr = Organization.objects.get(name="acme-dr")
    beside = standing(acme_dr, "UNKNOWN", pair_id=previewed.pair_id)
    previewed.other = None

    assert conditions.open_beside(previewed) == beside


def test_nothing_is_open_beside_itself(previewed: Change):
    Change.objects.filter(pk=previewed.pk).update(status="AWAITING_APPROVAL")

    assert conditions.open_beside(previewed) is None


def test_a_change_of_status_asks_for_no_link(previewed: Change):
    assert conditions.wish_of(previewed) == Wish(previewed.organization, HamrStatus.FAILOVER, None)


def test_what_a_link_asks_for_is_kept_in_the_change(simulator: Simulator):
    acme, acme_dr = changing.unconnected(simulator)
    link = changing.link_to(acme_dr)

    change = changing.prepared(acme, HamrStatus.ONBOARDING, changing.admin(), link=link)

    assert conditions.wish_of(change) == Wish(acme, HamrStatus.ONBOARDING, link)
    assert conditions.as_confirmed(change, by=changing.admin(), action=Action.LINK_ORGANIZATIONS)


def test_a_link_takes_a_uuid_that_was_not_known_from_the_other_side(simulator: Simulator):
    acme, acme_dr = changing.unconnected(simulator)
    change = standing(acme, "PREPARED", links=True, other=acme_dr, target_uuid=None)

    link = conditions.wish_of(change).link

    assert link is not None
    assert link.target_uuid == acme_dr.uuid


def test_a_link_to_an_organization_that_is_not_saved_has_the_uuid_that_was_typed_or_none(simulator: Simulator):
    acme, _ = changing.unconnected(simulator)
    change = standing(acme, "PREPARED", links=True, target_uuid=None)

    link = conditions.wish_of(change).link

    assert link is not None
    assert link.target_uuid is None


# --- what comes between -----------------------------------------------------------------------------------------


def between(change: Change, found: Ready) -> dict[str, Any]:
    with pytest.raises(SidesChanged) as raised:
        conditions.clear(change, found, changing.operator())
    return raised.value.facts


def test_another_pair_than_the_one_that_was_read_stops_the_change(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    found = ready(change)
    Organization.objects.filter(pk=acme.pk).update(pair=None, column=None)

    assert between(change, found)["what"] is Changed.PAIR


def test_another_side_that_nobody_has_read_stops_the_change(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    change = changing.prepared(acme)
    found = ready(change)
    Organization.objects.filter(pk=acme_dr.pk).update(pair=None, column=None)

    assert between(change, found)["what"] is Changed.PAIR


@pytest.mark.parametrize("author", [{"is_active": False}, {"role": "VIEWER"}])
def test_what_somebody_asked_for_who_may_not_any_more_is_not_approved(simulator: Simulator, author: dict[str, Any]):
    acme, _ = changing.connected(simulator)
    change = changing.waiting(acme)
    Person.objects.filter(pk=change.author_id).update(**author)

    with pytest.raises(NotAllowed, match="may not change a status any more"):
        changes.approve(change, by=changing.approver(), typed_name="acme")

    assert changing.fresh(change).status == "AWAITING_APPROVAL"
    assert simulator.posts == []


def test_an_organization_that_is_disabled_between_the_last_read_and_the_commit_stops_the_change(simulator: Simulator):
    acme, _ = changing.connected(simulator)
    change = changing.prepared(acme)
    found = ready(change)
    Organization.objects.filter(pk=acme.pk).update(disabled_at=timezone.now())

    assert between(change, found)["what"] is Changed.DISABLED
