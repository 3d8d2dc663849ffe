"""Run sheets as people meet them: seen, begun, edited by two at once, and ticked beside a change."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from hamr_portal.domain.people import Role
from hamr_portal.domain.run_sheets import MOST_STEPS, PROPOSED, Step
from hamr_portal.models import Change, Organization, Pair, Person, RunSheet, Tick
from hamr_portal.services import people, run_sheets
from hamr_portal.simulator import Simulator
from hamr_portal.web.run_sheet_forms import KEPT
from tests import factories
from tests.services import changing
from tests.web.conftest import SignIn
from tests.web.test_changes import page

pytestmark = pytest.mark.django_db

DNS = Step("Point DNS at us5", "TRAFFIC", "Network on call", "https://wiki.halden.example/dns", "Point it back")


@pytest.fixture
def operator(signed_in: SignIn) -> Client:
    return signed_in(Role.OPERATOR)


@pytest.fixture
def pair() -> Pair:
    primary, _ = factories.pair()
    assert primary.pair is not None
    return primary.pair


@pytest.fixture
def change(simulator: Simulator) -> Change:
    """A change with a run sheet of one step, verified."""
    acme, _ = changing.connected(simulator)
    by = changing.operator(email="author@halden.example")
    run_sheets.save(Pair.objects.get(), [DNS], version=0, by=by)
    return changing.changed(Organization.objects.get(pk=acme.pk), by=by)


def sheet_url(pair: Pair) -> str:
    return reverse("run_sheet", args=[pair.pk])


def edit_url(pair: Pair) -> str:
    return reverse("run_sheet_edit", args=[pair.pk])


def typed(*rows: dict[str, str], version: int = 0) -> dict[str, str]:
    """Give what a browser sends for these rows."""
    empty = {"position": "", "what": "", "about": "OTHER", "target": "", "owner": "", "link": "", "back": ""}
    fields = {f"step-{row}-{name}": text for row, each in enumerate(rows) for name, text in (empty | each).items()}
    return {"version": str(version), "rows": str(len(rows)), **fields}


def test_a_pair_without_a_sheet_is_offered_one_and_nothing_is_saved(pair: Pair, operator: Client) -> None:
    seen = page(operator.get(sheet_url(pair)))
    form = operator.get(edit_url(pair)).content.decode()

    assert "No run sheet is saved" in seen
    assert "Begin with these steps" in seen
    for step in PROPOSED:
        assert step.what in seen
        assert f'value="{step.what}"' in form
    assert not RunSheet.objects.exists()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.APPROVER, Role.AUDITOR])
def test_who_only_looks_sees_the_sheet_and_who_edits_it(role: Role, pair: Pair, signed_in: SignIn) -> None:
    client = signed_in(role)
    assert "Needs an operator or admin" in page(client.get(sheet_url(pair)))
    run_sheets.save(pair, [DNS], version=0, by=changing.operator())

    seen = client.get(sheet_url(pair))

    assert "Point DNS at us5" in page(seen)
    assert "edit-run-sheet" not in seen.content.decode()
    assert client.post(edit_url(pair), typed({"what": "x"})).status_code == 403


def test_what_is_typed_is_saved_in_the_order_of_its_positions_without_empty_rows(pair: Pair, operator: Client) -> None:
    rows = [
        {"position": "20", "what": "Second", "about": "SSO", "target": "FAILOVER", "back": "Undo"},
        {"position": "30"},
        {"position": "15", "what": "First", "owner": "Network"},
        {"what": "Without a number, so last"},
    ]

    response = operator.post(edit_url(pair), typed(*rows), follow=True)

    assert [step.what for step in RunSheet.objects.get().steps] == ["First", "Second", "Without a number, so last"]
    shown = page(response)
    assert "is saved. Changes that are under way keep their copy." in shown
    assert "Around FAILOVER only" in shown
    assert "Way back: Undo" in shown


def test_only_an_https_address_leads_anywhere(pair: Pair, operator: Client) -> None:
    steps = [DNS, Step("x", link="javascript:alert(1)"), Step("y", link="binder, page 7")]
    run_sheets.save(pair, steps, version=0, by=changing.operator())

    body = operator.get(sheet_url(pair)).content.decode()

    assert 'href="https://wiki.halden.example/dns" rel="noreferrer"' in body
    assert 'href="javascript' not in body
    assert "javascript:alert(1)" in body
    assert "binder, page 7" in body


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"owner": "Network"}, "Say what to do, or empty the whole step"),
        ({"what": "x", "position": "first"}, "A whole number from 1 to 9999"),
        ({"what": "key 0123456789abcdef0123456789abcdef"}, "This looks like a key"),
        ({"what": "x" * 201}, "At most 200 characters."),
        ({"what": "x", "about": "LUNCH"}, "Choose from the list."),
        ({"what": "x", "target": "UNSPECIFIED"}, "Choose from the list."),
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_the_text_is_kept(
    row: dict[str, str], sentence: str, pair: Pair, operator: Client
) -> None:
    response = operator.post(edit_url(pair), typed({"what": "Fine as it is"}, row))

    body = response.content.decode()
    assert response.status_code == 422
    assert sentence in body
    assert "Not saved. 1 thing to correct" in page(response)
    assert "Step 2, " in page(response)
    assert "Fine as it is" in body
    assert not RunSheet.objects.exists()


def test_a_sheet_that_is_too_long_is_not_saved_and_not_cut(pair: Pair, operator: Client) -> None:
    rows = [{"what": f"Step number {number}"} for number in range(MOST_STEPS + 1)]

    response = operator.post(edit_url(pair), typed(*rows))

    assert response.status_code == 422
    assert f"At most {MOST_STEPS} steps." in response.content.decode()
    assert f"Step number {MOST_STEPS}" in response.content.decode()


def test_of_two_who_edit_the_second_is_shown_both_and_may_save_over_it_knowingly(pair: Pair, operator: Client) -> None:
    run_sheets.save(pair, [DNS], version=0, by=changing.admin(email="tomas@halden.example"))

    refused = operator.post(edit_url(pair), typed({"what": "Mine"}))

    assert refused.status_code == 409
    assert "Not saved: tomas saved another version" in page(refused)
    assert "Point DNS at us5" in page(refused)
    assert 'value="Mine"' in refused.content.decode()
    assert 'name="version" value="1"' in refused.content.decode()
    operator.post(edit_url(pair), typed({"what": "Mine"}, version=1))
    assert [step.what for step in RunSheet.objects.get().steps] == ["Mine"]


def test_saving_the_same_again_says_that_nothing_was_saved(pair: Pair, operator: Client) -> None:
    operator.post(edit_url(pair), typed({"what": "Mine"}))

    response = operator.post(edit_url(pair), typed({"what": "Mine"}, version=1), follow=True)

    assert "Nothing was saved: the run sheet of Checkout says so already." in page(response)


@pytest.mark.parametrize("made_up", ["", "-1", "9" * 30, "٣", "x"])
def test_numbers_that_nobody_typed_break_nothing(made_up: str, pair: Pair, operator: Client) -> None:
    response = operator.post(edit_url(pair), {**typed({"what": "Mine"}), "rows": made_up, "version": made_up})

    assert response.status_code in (302, 200)


def test_an_edit_asks_for_a_fresh_sign_in_and_keeps_what_was_typed(pair: Pair, operator: Client) -> None:
    session = operator.session
    session["account_authentication_methods"] = [{"method": "password", "at": 0, "email": "operator@halden.example"}]
    session.save()

    response = operator.post(edit_url(pair), typed({"what": "Typed at night", "position": "10"}))

    assert response["Location"].startswith(reverse("account_reauthenticate"))
    session = operator.session
    kept = session["step_up"]["fields"]
    assert kept["step-0-what"] == "Typed at night"
    assert set(kept) <= set(KEPT)
    operator.force_login(Person.objects.get(email="operator@halden.example"))
    session = operator.session
    session["step_up"] = {"path": edit_url(pair), "route": "run_sheet_edit", "fields": kept}
    session.save()
    assert 'value="Typed at night"' in operator.get(edit_url(pair)).content.decode()


def test_whose_role_was_taken_away_meanwhile_is_refused(
    change: Change, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(*_: Any, **__: Any) -> None:
        raise people.NotAllowed("Needs: operator.")

    for name in ("save", "tick"):
        monkeypatch.setattr(run_sheets, name, too_late)

    assert operator.post(edit_url(Pair.objects.get()), typed({"what": "x"})).status_code == 403
    assert operator.post(reverse("step_tick", args=[change.pk]), {"step": "1", "number": "1"}).status_code == 403


# --- ticks ------------------------------------------------------------------------------------------------------


def tick(client: Client, change: Change, number: int = 1, step: str = "1") -> Any:
    sent = {"step": step, "number": str(number)}
    return client.post(reverse("step_tick", args=[change.pk]), sent, follow=True)


def test_a_step_is_ticked_and_taken_back_on_the_page_of_its_change(change: Change, signed_in: SignIn) -> None:
    approver = signed_in(Role.APPROVER)
    assert "0 of 1 ticked" in page(approver.get(reverse("change", args=[change.pk])))

    ticked = tick(approver, change)
    back = tick(approver, change, number=2)

    assert "1 of 1 ticked" in page(ticked)
    assert "Ticked by approver" in page(ticked)
    assert ticked.redirect_chain[-1][0].endswith("#run-sheet")
    assert "0 of 1 ticked" in page(back)
    assert "Ticked by approver" in page(back)
    assert "Tick taken back by approver" in page(back)


def test_who_comes_second_is_told_who_was_first(change: Change, operator: Client) -> None:
    run_sheets.tick(change, 1, number=1, by=changing.admin(email="tomas@halden.example"))

    response = tick(operator, change)

    assert "Nothing more was done to step 1: tomas ticked it at" in page(response)
    assert Tick.objects.count() == 1


@pytest.mark.parametrize("step", ["7", "", "one"])
def test_a_step_that_is_not_there_is_not_ticked(step: str, change: Change, operator: Client) -> None:
    response = tick(operator, change, step=step)

    assert "Nothing was ticked: the run sheet has no such step." in page(response)


def test_a_viewer_sees_the_ticks_and_has_no_button(change: Change, viewer: Client) -> None:
    run_sheets.tick(change, 1, number=1, by=changing.operator())

    response = viewer.get(reverse("change", args=[change.pk]))

    assert "Ticked by operator" in page(response)
    assert "tick-1" not in response.content.decode()


def test_a_change_without_a_sheet_shows_none(simulator: Simulator, operator: Client) -> None:
    acme, _ = changing.connected(simulator)
    made = changing.changed(acme)

    assert "run-sheet" not in operator.get(reverse("change", args=[made.pk])).content.decode()


def test_the_page_refreshes_itself_until_all_is_ticked_and_a_tick_makes_another_version(
    change: Change, operator: Client
) -> None:
    Change.objects.update(target_status=2)  # it is over: nothing is between by it
    url = reverse("change", args=[change.pk])
    first = operator.get(url, headers={"HX-Request": "true"})
    same = operator.get(url, headers={"HX-Request": "true", "If-None-Match": first["ETag"]})
    assert "every 10s" in first.content.decode()

    tick(operator, change)
    after = operator.get(url, headers={"HX-Request": "true", "If-None-Match": first["ETag"]})

    assert same.status_code in (200, 304)  # the minute may have turned
    assert after.status_code == 200
    assert "every 10s" not in after.content.decode()
