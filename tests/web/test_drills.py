"""Drills as people meet them: the page that begins one, pages that cannot be mistaken, and the debrief."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from hamr_portal.domain.drills import Scene
from hamr_portal.domain.people import Role
from hamr_portal.management.drill_stage import Stage
from hamr_portal.models import Change, Drill, Organization, Worker
from hamr_portal.services import drills, people
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing, practising
from tests.services.practising import begun, played, sides
from tests.web.conftest import SignIn
from tests.web.test_changes import confirm_url, page, typed

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(signed_in: SignIn) -> Client:
    return signed_in(Role.OPERATOR)


@pytest.fixture
def on_stage(settings: Settings) -> Iterator[Simulator]:
    with practising.a_stage(settings) as simulator:
        yield simulator


@pytest.fixture
def stage(on_stage: Simulator) -> Stage:
    return practising.player(on_stage)


def title(response: Any) -> str:
    found = re.search(r"<title>(.*?)</title>", response.content.decode(), re.DOTALL)
    assert found is not None
    return " ".join(found[1].split())


# --- begin and end ----------------------------------------------------------------------------------------------


def test_an_operator_begins_a_drill_and_ends_it(operator: Client, on_stage: Simulator) -> None:
    response = operator.post(reverse("drill_new"), {"scene": "REGION_DARK", "approval": "on"})

    drill = Drill.objects.get()
    assert response["Location"] == reverse("drill", args=[drill.pk])
    assert sides(drill)[0].requires_approval
    assert "under way" in page(operator.get(reverse("drills")))

    ended = operator.post(reverse("drill_end", args=[drill.pk]), follow=True)
    again = operator.post(reverse("drill_end", args=[drill.pk]), follow=True)

    assert "The drill is ended." in page(ended)
    assert "goal not reached" in title(ended)
    assert "Nothing was done: that drill is over already." in page(again)


@pytest.mark.parametrize(("role", "offers"), [(role, role in (Role.OPERATOR, Role.ADMIN)) for role in Role])
def test_everybody_sees_drills_and_who_may_is_offered_to_begin_one(
    role: Role, offers: bool, signed_in: SignIn, on_stage: Simulator
) -> None:
    shown = page(signed_in(role).get(reverse("drills")))

    assert ("Begin the drill" in shown) is offers
    assert ("To begin or end one needs" in shown) is not offers
    assert "Nobody has practised here yet." in shown


def test_without_script_no_page_is_loaded_anew_under_a_choice(
    operator: Client, viewer: Client, on_stage: Simulator
) -> None:
    anew = '<meta http-equiv="refresh"'

    assert anew not in operator.get(reverse("drills")).content.decode()
    assert anew in viewer.get(reverse("drills")).content.decode()
    begun()
    assert anew in operator.get(reverse("drills")).content.decode()


def test_without_a_port_the_page_says_how_to_set_drills_up(operator: Client) -> None:
    shown = page(operator.get(reverse("drills")))
    refused = operator.post(reverse("drill_new"), {"scene": "REGION_DARK"})

    assert "Drills are not set up" in shown
    assert "DRILL_PORT" in shown
    assert "Begin the drill" not in shown
    assert refused.status_code == 409


def test_a_stage_that_does_not_answer_is_said_with_the_next_step(operator: Client, on_stage: Simulator) -> None:
    on_stage.stop()

    refused = operator.post(reverse("drill_new"), {"scene": "REGION_DARK"})

    assert refused.status_code == 409
    assert "The stage does not answer on port" in page(refused)
    assert "Nothing was begun. Next: run manage.py run_drills beside the worker" in page(refused)
    assert not Drill.objects.exists()


@pytest.mark.parametrize(("scene", "sentence"), [("", "Choose a scene."), ("FIRE", "Choose a scene from the list.")])
def test_a_scene_that_there_is_not_is_not_begun(
    scene: str, sentence: str, operator: Client, on_stage: Simulator
) -> None:
    response = operator.post(reverse("drill_new"), {"scene": scene})

    assert response.status_code == 422
    assert sentence in page(response)
    assert title(response).startswith("Not begun: drill")


def test_a_second_drill_leads_to_the_first(operator: Client, on_stage: Simulator) -> None:
    drill = begun(by=changing.admin())

    response = operator.post(reverse("drill_new"), {"scene": "SPLIT_VIEW"}, follow=True)

    assert response.redirect_chain[-1][0] == reverse("drill", args=[drill.pk])
    assert f"Not begun: drill {drill.pk} is under way. Next: join it, or end it." in page(response)


def test_a_drill_is_not_begun_without_a_key_ring(operator: Client, on_stage: Simulator, settings: Settings) -> None:
    settings.KEY_RING_FILE.unlink()

    response = operator.post(reverse("drill_new"), {"scene": "SPLIT_VIEW"})

    assert response.status_code == 422
    assert "key ring" in page(response)


def test_whose_role_was_taken_away_meanwhile_is_refused(
    operator: Client, on_stage: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    drill = begun()

    def too_late(*_: Any, **__: Any) -> None:
        raise people.NotAllowed("Needs: operator.")

    for name in ("begin", "end"):
        monkeypatch.setattr(drills, name, too_late)

    assert operator.post(reverse("drill_new"), {"scene": "SPLIT_VIEW"}).status_code == 403
    assert operator.post(reverse("drill_end", args=[drill.pk])).status_code == 403


# --- unmistakably -----------------------------------------------------------------------------------------------


def test_the_dashboard_shows_a_drill_in_a_section_of_its_own_and_titles_and_badges_leave_it_out(
    operator: Client, stage: Stage, simulator: Simulator
) -> None:
    Worker.objects.create(name="here:1", started_at=timezone.now(), seen_at=timezone.now())
    changing.connected(simulator)
    drill, primary, secondary = played(stage, Scene.SPLIT_VIEW)
    changing.look(primary, secondary)

    for route in ("dashboard", "dashboard_live"):
        response = operator.get(reverse(route))
        body = response.content.decode()
        rest, _, section = body.partition('id="drill"')
        assert "drill-us1" not in rest
        assert 'data-needs="0"' in rest
        assert title(response).startswith("Nothing needs action")
        assert f"DRILL {drill.pk}: split view" in page(response)
        assert "Drill: compare sides" in section
        assert "data-verdict" not in section


def test_a_drill_shows_also_where_nothing_real_is_saved(operator: Client) -> None:
    drill = begun()

    shown = page(operator.get(reverse("dashboard")))

    assert "No organizations yet" in shown
    assert f"DRILL {drill.pk}: region dark" in shown


def test_the_dashboard_costs_no_query_more_with_a_drill(
    viewer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    factories.pair()
    begun()

    with django_assert_max_num_queries(6):
        viewer.get(reverse("dashboard_live"))


def test_every_page_about_a_drill_says_so_in_its_title_in_a_banner_and_on_its_buttons(
    operator: Client, stage: Stage
) -> None:
    drill, _, secondary = played(stage, Scene.REGION_DARK)
    changing.frozen()
    name = secondary.name
    begins = operator.post(reverse("change_new", args=[name]), {"target_status": "FAILOVER"})
    change = Change.objects.get()
    addresses = [
        reverse("organization", args=[name]),
        reverse("change_new", args=[name]),
        begins["Location"],
        reverse("change", args=[change.pk]),
        reverse("drill", args=[drill.pk]),
    ]

    for address in addresses:
        response = operator.get(address)
        assert title(response).startswith("DRILL: "), address
        assert f"DRILL {drill.pk} Nothing real is here" in page(response), address
        assert 'class="drillbar"' in response.content.decode(), address
    confirm = operator.get(confirm_url(change))
    body = confirm.content.decode()
    assert f"Drill: set {name} to FAILOVER" in page(confirm)
    assert f"Drill: {name} is made up, nothing real is changed" in page(confirm)
    assert "btn--drill" in body
    assert "btn--commit" not in body
    assert 'class="panel live' not in body
    assert "Break the freeze" not in page(confirm)


def test_no_page_about_what_is_real_says_drill(operator: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    operator.post(reverse("change_new", args=[primary.name]), {"target_status": "FAILOVER"})

    for address in (reverse("organization", args=[primary.name]), confirm_url(Change.objects.get())):
        response = operator.get(address)
        assert not title(response).startswith("DRILL")
        assert "drillbar" not in response.content.decode()
        assert "btn--drill" not in response.content.decode()


def test_who_approves_in_a_drill_presses_a_button_that_says_drill(signed_in: SignIn, stage: Stage) -> None:
    _, _, secondary = played(stage, Scene.REGION_DARK, approval=True)
    change = changing.confirmed(changing.prepared(secondary))

    approver = signed_in(Role.APPROVER)
    response = approver.get(reverse("change", args=[change.pk]))

    assert f"Drill: approve, set {secondary.name} to FAILOVER" in page(response)
    assert "btn--commit" not in response.content.decode()
    assert "waiting: 1" not in page(response)
    assert "No change waits for approval" in page(approver.get(reverse("changes")))


def test_changes_of_drills_are_on_no_list_of_changes(operator: Client, stage: Stage) -> None:
    _, _, secondary = played(stage, Scene.REGION_DARK)
    changing.confirmed(changing.prepared(secondary))

    assert secondary.name not in operator.get(reverse("changes")).content.decode()


# --- the wall ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ["organization_edit", "organization_verify", "organization_disable"])
def test_an_admin_edits_nothing_of_a_drill(route: str, admin: Client, simulator: Simulator) -> None:
    ours = sides(begun(by=changing.admin()))[0]
    typed = {"name": "acme", "site": "us1", "api_key": "a" * 32, "application_key": "b" * 40, "spelling": "AUTO"}

    response = admin.post(reverse(route, args=[ours.name]), typed, follow=True)

    assert response.redirect_chain[-1][0] == reverse("organization", args=[ours.name])
    assert "Next: end the drill." in page(response)
    ours.refresh_from_db()
    assert (ours.site, ours.disabled_at) == ("drill-us1", None)
    assert simulator.requests == []


def test_keys_of_drills_are_on_no_list_and_a_name_like_theirs_is_refused(admin: Client, simulator: Simulator) -> None:
    begun(by=changing.admin())
    simulator.add_organization("x", "us1", api_key="a" * 32, application_key="b" * 40)
    keys = {"api_key": "a" * 32, "application_key": "b" * 40, "spelling": "AUTO"}

    refused = admin.post(reverse("organization_new"), {"name": "drill-9-us1", "site": "us1", **keys})
    on_stage = admin.post(reverse("organization_new"), {"name": "acme", "site": "drill-us1", **keys})

    assert "0 organizations" in page(admin.get(reverse("organizations")))
    assert (refused.status_code, on_stage.status_code) == (422, 422)
    assert "Names that begin with drill- are of drills. Choose another name." in page(refused)
    assert "Choose a site from the list." in page(on_stage)
    assert Organization.objects.filter(drill=None).count() == 0


def test_a_drills_pair_is_not_renamed(admin: Client) -> None:
    ours = sides(begun(by=changing.admin()))[0]

    response = admin.post(reverse("pair_rename", args=[ours.pair_id]), {"name": "Checkout"}, follow=True)

    assert "It is the pair of a drill, and goes with it." in page(response)
    assert "Rename" not in page(response)


# --- the debrief ------------------------------------------------------------------------------------------------


def test_the_debrief_tells_what_happened_what_went_wrong_and_what_was_verified(operator: Client, stage: Stage) -> None:
    drill, _, secondary = played(stage, Scene.REGION_DARK)
    operator.post(reverse("change_new", args=[secondary.name]), {"target_status": "FAILOVER"})
    change = Change.objects.get()
    words = typed(change) | {"override": "on"}
    operator.post(confirm_url(change), words | {"typed_name": f"drill-{drill.pk}-us1"})
    operator.post(confirm_url(change), words | {"typed_name": secondary.name})

    response = operator.get(reverse("drill", args=[drill.pk]))

    shown = page(response)
    assert title(response) == "DRILL: region dark, goal reached · HAMR Portal"
    assert "after the trouble began" in shown
    assert "A wrong name was typed" in shown
    assert "1 of 1 verified" in shown
    for words_of_event in ("Drill begun", "Drill: the trouble began", "Preview", "Read back: verified"):
        assert words_of_event in shown
    assert re.search(r"Preview drill-\d+-us5 operator", shown)


def test_a_drill_that_there_was_not_is_not_found(viewer: Client) -> None:
    assert viewer.get(reverse("drill", args=[7])).status_code == 404


def test_a_drill_that_ended_by_itself_says_so_and_its_sides_lead_to_it(viewer: Client) -> None:
    drill = begun()
    name = sides(drill)[0].name
    drills._ended(drill, factories.WORKER)

    assert "It ended by itself" in page(viewer.get(reverse("drill", args=[drill.pk])))
    assert "Its drill is over." in page(viewer.get(reverse("organization", args=[name])))
