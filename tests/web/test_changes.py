from __future__ import annotations

import html
import re
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Role
from hamr_portal.hamr_client import HamrClient
from hamr_portal.models import AuditEntry, Change, Observation, Organization, Snapshot
from hamr_portal.services import changes, connections, organizations, sending
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services.changing import connected
from tests.web.conftest import SignIn

pytestmark = pytest.mark.django_db

NAME = "acme-dr"
REASON = "us1 is dark"


@pytest.fixture(autouse=True)
def _no_pause_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry at once: the pauses are the client's own tests' subject."""
    monkeypatch.setattr(connections, "client", _client)


@cache
def _client() -> HamrClient:
    return HamrClient(connect_timeout=2.0, pause=lambda _seconds: None)


@pytest.fixture
def operator(signed_in: SignIn) -> Client:
    return signed_in(Role.OPERATOR)


def new_url(name: str = NAME) -> str:
    return reverse("change_new", kwargs={"name": name})


def confirm_url(change: Change) -> str:
    return reverse("change_confirm", args=[change.pk])


def change_url(change: Change) -> str:
    return reverse("change", args=[change.pk])


def previewed(client: Client, target: str = "FAILOVER", name: str = NAME) -> Change:
    """Choose a status on the page, and give the preview that it leads to."""
    client.post(new_url(name), {"target_status": target})
    return newest()


def newest() -> Change:
    return Change.objects.order_by("pk").select_related("organization").last()  # type: ignore[return-value]


def typed(change: Change, **over: str) -> dict[str, str]:
    """Give what somebody types to confirm a change: complete and right, but for `over`; empty leaves it out."""
    right = {"token": change.nonce, "reason": REASON, "ticket": "INC-1", "typed_name": change.organization.name}
    if change.needs_override:
        right["override"] = "on"
    return {name: text for name, text in (right | over).items() if text}


def shown(client: Client, change: Change) -> str:
    return page(client.get(confirm_url(change)))


def page(response: Any) -> str:
    """Give the text of a page as a person reads it: without tags, each gap one space."""
    text = re.sub(r"<svg hidden.*?</svg>\s*<a class=\"skip\"", "<a", response.content.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def entries(event: str) -> int:
    return AuditEntry.objects.filter(event=event).count()


# --- choose -----------------------------------------------------------------------------------------------------


def test_an_operator_chooses_with_the_usual_next_step_ticked(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))

    response = operator.get(new_url())

    body = response.content.decode()
    assert response.status_code == 200
    assert re.findall(r'value="([A-Z]+)"( checked)?>', body) == [
        ("ONBOARDING", ""),
        ("FAILOVER", " checked"),
        ("ACTIVE", ""),
        ("RECOVERY", ""),
    ]
    text = page(response)
    assert "PASSIVE Now" in text
    assert "FAILOVER Usual next step" in text
    assert "ACTIVE Skips FAILOVER" in text
    assert "RECOVERY Unusual from PASSIVE" in text


@pytest.mark.parametrize("word", ["FAILOVER", "failover", "3"])
def test_choosing_a_status_reads_both_sides_and_leads_to_its_preview(
    operator: Client, simulator: Simulator, word: str
) -> None:
    connected(simulator, names=("acme", NAME))
    before = len(simulator.requests)

    response = operator.post(new_url(), {"target_status": word})

    change = newest()
    assert response["Location"] == confirm_url(change)
    assert change.target is HamrStatus.FAILOVER
    assert sorted(str(each.organization) for each in simulator.requests[before:]) == ["acme", NAME]
    assert simulator.posts == []


@pytest.mark.parametrize("word", ["", "UNSPECIFIED", "0", "6", "sideways"])
def test_what_is_not_offered_is_refused_in_words(operator: Client, simulator: Simulator, word: str) -> None:
    connected(simulator, names=("acme", NAME))

    response = operator.post(new_url(), {"target_status": word})

    assert response.status_code == 422
    assert "Nothing was read or sent" in page(response)
    assert not Change.objects.exists()


def test_choosing_takes_no_other_method(operator: Client) -> None:
    factories.organization(NAME)

    response = operator.delete(new_url())

    assert response.status_code == 405


@pytest.mark.parametrize("role", [Role.VIEWER, Role.APPROVER, Role.AUDITOR])
def test_choosing_is_for_operators_and_admins(signed_in: SignIn, role: Role) -> None:
    factories.organization(NAME)
    client = signed_in(role)

    responses = [client.get(new_url()), client.post(new_url(), {"target_status": "FAILOVER"})]

    assert [response.status_code for response in responses] == [403, 403]
    assert not Change.objects.exists()


def test_choosing_asks_anonymous_people_to_sign_in(client: Client) -> None:
    factories.organization(NAME)

    response = client.get(new_url())

    assert response["Location"].startswith(reverse("account_login"))


def test_an_unknown_organization_is_not_found(operator: Client) -> None:
    assert operator.get(new_url("nobody")).status_code == 404


def test_the_last_known_status_is_old_and_can_be_asked_for(operator: Client) -> None:
    _, secondary = factories.pair("acme", NAME)
    factories.seen(secondary, at=timezone.now() - timedelta(hours=1), status=2, is_primary=False)

    response = operator.get(new_url())

    assert 'value="PASSIVE"' in response.content.decode()
    assert "Last known" in page(response)
    assert "Now" not in page(response)


def test_from_a_status_that_is_not_documented_nothing_is_ticked(operator: Client) -> None:
    _, secondary = factories.pair("acme", NAME)
    factories.seen(secondary, status=6, is_primary=False)

    response = operator.get(new_url())

    assert "Unknown status 6 Now" in page(response)
    assert " checked" not in response.content.decode()


def test_the_organization_page_offers_the_same_choices(operator: Client) -> None:
    factories.pair("acme", NAME)

    body = operator.get(reverse("organization", args=[NAME])).content.decode()

    assert f'action="{new_url()}"' in body
    assert 'href="#change"' in body
    assert 'value="FAILOVER" checked' in body


def test_a_viewer_reads_who_may_change_a_status(viewer: Client) -> None:
    factories.pair("acme", NAME)

    response = viewer.get(reverse("organization", args=[NAME]))

    assert "Needs: operator or admin. You are viewer." in page(response)
    assert 'href="#change"' not in response.content.decode()
    assert new_url() not in response.content.decode()


def test_a_disabled_organization_offers_no_choice(operator: Client) -> None:
    _, secondary = factories.pair("acme", NAME)
    organizations.disable(secondary, by=factories.ADMIN)

    text = page(operator.get(new_url()))

    assert "Disabled: it is not read" in text
    assert "Preview change" not in text


def test_while_a_change_is_open_no_other_is_offered(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    simulator.set_fault(NAME, "drop_before", verb="POST")
    first = previewed(operator)
    operator.post(confirm_url(first), typed(first))

    body = operator.get(new_url()).content.decode()

    assert change_url(first) in body
    assert "Preview change" not in body


# --- link -------------------------------------------------------------------------------------------------------


def unconnected(simulator: Simulator) -> tuple[Organization, Organization]:
    """Give two saved organizations that answer that they have no connection."""
    saved = []
    for name, site in (("acme", "us1"), (NAME, "us5")):
        saved.append(factories.simulated(simulator.add_organization(name, site)))
        factories.seen(saved[-1], has_connection=False, status=None, is_primary=None)
    return saved[0], saved[1]


def test_an_admin_links_to_a_saved_organization(admin: Client, simulator: Simulator) -> None:
    primary, secondary = unconnected(simulator)
    form = admin.get(new_url("acme"))

    response = admin.post(new_url("acme"), {"other": str(secondary.pk), "primary": "this"})

    change = newest()
    assert "Create connection" in page(form)
    assert response["Location"] == confirm_url(change)
    assert (change.links, change.target, change.is_primary) == (True, HamrStatus.ONBOARDING, True)
    assert (change.organization, change.other) == (primary, secondary)
    assert (change.target_uuid, change.target_name, change.target_datacenter) == (secondary.uuid, NAME, "us5")


def test_a_link_is_previewed_and_sent(admin: Client, simulator: Simulator) -> None:
    _, secondary = unconnected(simulator)
    admin.post(new_url("acme"), {"other": str(secondary.pk), "primary": "this"})
    change = newest()

    text = shown(admin, change)
    response = admin.post(confirm_url(change), typed(change))

    assert "Connect acme to acme-dr?" in text
    assert "Set acme" not in text
    assert "New connection" in text
    assert "target_org_name acme-dr" in text
    assert response["Location"] == change_url(change)
    assert len(simulator.posts) == 1


def test_an_admin_links_to_an_organization_that_is_typed(admin: Client, simulator: Simulator) -> None:
    unconnected(simulator)
    uuid = uuid4()

    admin.post(
        new_url("acme"),
        {"target_uuid": str(uuid), "target_name": "Elsewhere", "target_datacenter": "ap1", "primary": "other"},
    )

    change = newest()
    assert (change.target_uuid, change.target_name, change.target_datacenter) == (uuid, "Elsewhere", "ap1")
    assert (change.other, change.is_primary) == (None, False)
    text = shown(admin, change)
    assert "Elsewhere primary, not contacted" in text
    assert "Not saved here, not read" in text


def test_a_typed_uuid_that_is_saved_here_is_read(admin: Client, simulator: Simulator) -> None:
    _, secondary = unconnected(simulator)

    admin.post(
        new_url("acme"),
        {"target_uuid": str(secondary.uuid), "target_name": NAME, "target_datacenter": "us5", "primary": "this"},
    )

    assert newest().other == secondary


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"primary": "this"}, "Choose the other side, or type it below."),
        ({"other": "saved"}, "Say which side is the primary."),
        ({"other": "saved", "primary": "this", "target_name": "x"}, "not both"),
        ({"other": "nobody", "primary": "this"}, "Choose an organization from the list."),
        ({"target_uuid": "x", "target_name": "x", "target_datacenter": "us5", "primary": "this"}, "A UUID looks like"),
        ({"target_name": "x", "target_datacenter": "us5", "primary": "this"}, "Type its UUID."),
        ({"target_uuid": str(uuid4()), "target_name": "x", "primary": "this"}, "Type its datacenter."),
        (
            {"target_uuid": str(uuid4()), "target_name": "a\u202eb", "target_datacenter": "us5", "primary": "this"},
            "It holds characters that cannot be shown.",
        ),
        (
            {"target_uuid": str(uuid4()), "target_name": "x", "target_datacenter": "us\u200b5", "primary": "this"},
            "It holds characters that cannot be shown.",
        ),
    ],
)
def test_what_is_missing_of_a_link_is_said_and_the_text_kept(
    admin: Client, simulator: Simulator, wrong: dict[str, str], sentence: str
) -> None:
    _, secondary = unconnected(simulator)
    chosen = {name: str(secondary.pk) if text == "saved" else text for name, text in wrong.items()}

    response = admin.post(new_url("acme"), chosen)

    assert response.status_code == 422
    assert sentence in page(response)
    assert all(html.escape(text) in response.content.decode() for text in chosen.values() if text != "nobody")
    assert not Change.objects.exists()


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["acme", NAME])
def test_a_link_that_lacked_a_uuid_can_be_read_again_when_it_is_known(
    admin: Client, simulator: Simulator, missing: str
) -> None:
    _, secondary = unconnected(simulator)
    uuid = Organization.objects.get(name=missing).uuid
    Organization.objects.filter(name=missing).update(uuid=None)
    admin.post(new_url("acme"), {"other": str(secondary.pk), "primary": "this"})
    change = newest()
    before = shown(admin, change)
    Organization.objects.filter(name=missing).update(uuid=uuid)

    admin.post(confirm_url(change), {"again": "1"})

    made = newest()
    assert f"The UUID of {missing} is not known" in before
    assert "primary, gets the request" in before
    assert (made.target_uuid, made.target_name, made.is_primary) == (secondary.uuid, NAME, True)
    assert "Nothing can be sent" not in shown(admin, made)


@pytest.mark.slow
def test_a_link_of_a_dark_organization_can_be_read_again_when_it_answers(admin: Client, simulator: Simulator) -> None:
    _, secondary = unconnected(simulator)
    simulator.set_fault("acme", "503")
    admin.post(new_url("acme"), {"other": str(secondary.pk), "primary": "this"})
    change = newest()
    simulator.set_fault("acme", None)

    admin.post(confirm_url(change), {"again": "1"})

    assert newest().target_name == NAME
    assert "Connect acme to acme-dr?" in shown(admin, newest())


def test_a_viewer_reads_who_makes_the_connection_that_is_missing(
    viewer: Client, admin: Client, simulator: Simulator
) -> None:
    unconnected(simulator)

    refused = page(viewer.get(new_url("acme")))
    text = page(viewer.get(reverse("organization", args=["acme"])))

    assert "Needs: admin. You are viewer." in refused
    assert "has no connection to change" in text
    assert "Needs an admin: admin ." in text.replace("admin.", "admin .")
    assert "operator" not in text


def test_an_operator_reads_that_a_link_needs_an_admin(operator: Client, simulator: Simulator) -> None:
    _, secondary = unconnected(simulator)

    text = page(operator.get(new_url("acme")))
    response = operator.post(new_url("acme"), {"other": str(secondary.pk), "primary": "this"})

    assert "Needs an admin" in text
    assert response.status_code == 403
    assert not Change.objects.exists()
    assert entries("authz.denied") == 1


def test_the_page_of_an_unconnected_organization_leads_an_admin_to_the_link(
    admin: Client, simulator: Simulator
) -> None:
    unconnected(simulator)

    body = admin.get(reverse("organization", args=["acme"])).content.decode()

    assert f'id="link" href="{new_url("acme")}"' in body


# --- see --------------------------------------------------------------------------------------------------------


def test_the_preview_shows_both_sides_and_the_exact_request(operator: Client, simulator: Simulator) -> None:
    _, secondary = connected(simulator, names=("acme", NAME))
    change = previewed(operator)

    response = operator.get(confirm_url(change))

    text = page(response)
    assert "Set acme-dr to FAILOVER?" in text
    assert "secondary, gets the request" in text
    assert "primary, not contacted" in text
    assert "2 fields change" in text
    assert "hamr_status 2 PASSIVE 3 FAILOVER" in text
    assert "modified_by admin@example.com operator@halden.example" in text
    marked = re.findall(r"<mark>\s*(.*?)</mark>", response.content.decode())
    assert [html.unescape(line) for line in marked] == [
        '"hamr_status": 3,',
        '"modified_by": "operator@halden.example",',
    ]
    assert f"DD-API-KEY: ••••{secondary.api_key_tail}" in text
    assert simulator.organizations.named(NAME).api_key not in response.content.decode()


def test_the_headers_that_are_shown_are_those_that_are_sent(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    body = operator.get(confirm_url(change)).content.decode()
    headers = re.search(r"POST http.*?\n\n", body, flags=re.DOTALL)
    assert headers is not None

    operator.post(confirm_url(change), typed(change))

    said = dict(line.split(": ", 1) for line in headers[0].strip().split("\n")[1:])
    sent = simulator.posts[0].headers
    for name, value in said.items():
        assert sent[name.lower()].endswith(value.removeprefix("••••"))
    assert {name.lower() for name in said} == set(sent) - {"host"}


def test_the_request_is_shown_in_the_spelling_of_the_organization(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME), spelling="PascalCase")
    change = previewed(operator)

    response = operator.get(confirm_url(change))

    assert "HamrStatus 2 PASSIVE 3 FAILOVER" in page(response)
    assert len(re.findall("<mark>", response.content.decode())) == 2


def test_the_preview_says_what_it_does_not_do_and_the_way_back(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)

    text = shown(operator, change)

    assert "It moves no agents, DNS, or integrations." in text
    assert "Nobody publishes whether the other side follows." in text
    assert "Way back: ACTIVE then RECOVERY then PASSIVE" in text


def test_a_dark_other_side_is_shown_as_last_known_and_asks_for_a_tick(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    simulator.set_fault("acme", "503")
    change = previewed(operator)

    text = shown(operator, change)

    assert "PASSIVE last known HTTP 503" in text
    assert "us1 cannot be read. Change us5 anyway." in text


def test_a_side_that_was_never_read_is_not_known(operator: Client, simulator: Simulator) -> None:
    _, secondary = connected(simulator, names=("acme", NAME))
    simulator.set_fault(NAME, "503")
    Snapshot.objects.filter(pk=secondary.pk).update(has_connection=None, status=None, answered_at=None)
    change = previewed(operator)

    text = shown(operator, change)

    assert "Not known HTTP 503 , never answered" in text
    assert "us5 cannot be read" in text
    assert "Nothing can be sent" in text


def test_what_a_check_refuses_has_no_form_but_a_next_step(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator, "PASSIVE")

    response = operator.get(confirm_url(change))

    text = page(response)
    assert "Cannot set acme-dr to PASSIVE" in text
    assert "acme-dr is PASSIVE already" in text
    assert "Read again" in text
    assert "Cancel, send nothing" in text
    assert 'name="typed_name"' not in response.content.decode()


def test_an_unknown_status_is_named_by_its_number(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME), status=6)
    change = previewed(operator, "PASSIVE")

    text = shown(operator, change)

    assert "Unknown status 6 is not documented" in text
    assert "hamr_status 6 2 PASSIVE" in text
    assert "an unusual step; no usual path leads back." in text


def test_an_organization_without_another_side_is_previewed(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    organizations.disable(Organization.objects.get(name="acme"), by=factories.ADMIN)
    change = previewed(operator)

    text = shown(operator, change)

    assert "The other side is not read here" in text
    assert "us5 read again at" in text
    assert "acme primary, not contacted" in text


def test_an_organization_outside_any_pair_that_is_dark_is_previewed(operator: Client, simulator: Simulator) -> None:
    factories.simulated(simulator.add_organization(NAME, "us5"))
    factories.seen(Organization.objects.get(name=NAME), is_primary=False)
    simulator.set_fault(NAME, "403")
    change = previewed(operator)

    text = shown(operator, change)

    assert "secondary, gets the request" in text
    assert "Next: an admin replaces the keys" in text
    assert "The other side is not read here" in text


def test_a_skipped_step_is_named(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator, "ACTIVE")

    text = shown(operator, change)

    assert "This skips FAILOVER. Change us5 anyway." in text
    assert "ACTIVE Skips FAILOVER" in text


def test_a_name_and_a_reason_are_escaped(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    simulator.split(NAME, target_org_name="<b>bold</b>", modified_by="<i>who</i>")
    change = previewed(operator)

    response = operator.post(confirm_url(change), typed(change, reason="<script>alert(1)</script>", typed_name="<u>x"))

    body = response.content.decode()
    assert "<b>bold" not in body
    assert "&lt;b&gt;bold" in body
    assert "<i>who" not in body
    assert "<script>alert" not in body
    assert "&lt;script&gt;alert(1)" in body
    assert "<u>x" not in body


def test_a_preview_is_for_its_author_alone(operator: Client, admin: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)

    seen = admin.get(confirm_url(change))
    sent = admin.post(confirm_url(change), typed(change))
    again = admin.post(confirm_url(change), {"again": "1"})
    cancelled = admin.post(confirm_url(change), {"cancel": "1"})

    for response in (seen, sent, again, cancelled):
        assert response.status_code == 403
        assert "This change is for operator@halden.example to confirm" in page(response)
        assert change_url(change) in response.content.decode()
    change.refresh_from_db()
    assert (change.status, simulator.posts) == (ChangeStatus.PREPARED, [])
    assert Change.objects.count() == 1


def test_confirming_takes_no_other_method(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))

    response = operator.delete(confirm_url(previewed(operator)))

    assert response.status_code == 405


@pytest.mark.parametrize("role", [Role.VIEWER, Role.APPROVER, Role.AUDITOR])
def test_confirming_is_for_operators_and_admins(
    operator: Client, signed_in: SignIn, simulator: Simulator, role: Role
) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    client = signed_in(role)

    responses = [client.get(confirm_url(change)), client.post(confirm_url(change), typed(change))]

    assert [response.status_code for response in responses] == [403, 403]
    assert simulator.posts == []


def test_confirming_asks_anonymous_people_to_sign_in(operator: Client, client: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)

    response = client.get(confirm_url(change))

    assert response["Location"].startswith(reverse("account_login"))


# --- confirm ----------------------------------------------------------------------------------------------------


def test_confirming_sends_once_and_leads_to_the_change(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)

    response = operator.post(confirm_url(change), typed(change))

    change.refresh_from_db()
    assert response["Location"] == change_url(change)
    assert change.status == ChangeStatus.VERIFIED
    assert (change.reason, change.ticket) == (REASON, "INC-1")
    assert [each.body.decode() for each in simulator.posts] == [change.request]


def test_a_form_that_was_used_leads_to_its_change(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    form = typed(change)
    operator.post(confirm_url(change), form)

    responses = [
        operator.post(confirm_url(change), form),
        operator.post(confirm_url(change), form | {"again": "1"}),
        operator.post(confirm_url(change), form | {"cancel": "1"}),
        operator.get(confirm_url(change)),
    ]

    assert [response["Location"] for response in responses] == [change_url(change)] * 4
    assert len(simulator.posts) == 1
    assert Change.objects.count() == 1


def test_everything_that_is_missing_is_said_at_once_and_the_text_kept(
    operator: Client, simulator: Simulator, settings: Settings
) -> None:
    settings.TICKET_PATTERN = re.compile("INC-[0-9]+")
    connected(simulator, names=("acme", NAME))
    simulator.set_fault("acme", "503")
    change = previewed(operator)

    response = operator.post(confirm_url(change), {"token": change.nonce, "typed_name": "acme", "ticket": "four"})

    text, body = page(response), response.content.decode()
    assert response.status_code == 422
    assert "Not sent. 4 things to correct" in text
    assert "<title>Not sent: set acme-dr to FAILOVER?" in body
    assert "A ticket looks like INC-[0-9]+" in text
    assert "Say why, in a few words." in text
    assert "Tick : us1 cannot be read" in text
    assert "“acme” is the other side. This change goes to acme-dr." in text
    assert all(f'href="#id_{field}"' in body for field in ("ticket", "reason", "override", "typed_name"))
    assert 'value="four"' in body
    assert simulator.posts == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        ({"reason": ""}, "Say why, in a few words."),
        ({"reason": "x" * 2001}, "At most 2000 characters; these are 2001."),
        ({"ticket": "x" * 101}, "At most 100 characters."),
        ({"typed_name": ""}, "Type acme-dr."),
        ({"typed_name": "acme-Dr"}, "“acme-Dr” is not this organization. This change goes to acme-dr."),
        ({"typed_name": "globex"}, "“globex” is another organization, on eu1. This change goes to acme-dr."),
        ({"reason": "nul\0"}, "Null characters are not allowed."),
    ],
)
def test_one_thing_that_is_wrong_is_said(
    operator: Client, simulator: Simulator, over: dict[str, str], sentence: str
) -> None:
    connected(simulator, names=("acme", NAME))
    factories.organization("globex", site="eu1")
    change = previewed(operator)

    response = operator.post(confirm_url(change), typed(change, **over))

    assert response.status_code == 422
    assert "Not sent. 1 thing to correct" in page(response)
    assert sentence in page(response)
    assert simulator.posts == []


def test_a_missing_ticket_is_said_where_one_is_asked_for(
    operator: Client, simulator: Simulator, settings: Settings
) -> None:
    settings.TICKET_PATTERN = re.compile("INC-[0-9]+")
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)

    response = operator.post(confirm_url(change), typed(change, ticket=""))

    assert "Name the ticket." in page(response)
    assert "Looks like INC-[0-9]+" in page(response)


def test_reading_again_makes_a_new_preview_and_keeps_the_text(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)

    response = operator.post(confirm_url(change), typed(change, again="1"))

    made = newest()
    text, body = shown(operator, made), operator.get(confirm_url(made)).content.decode()
    assert response["Location"] == confirm_url(made)
    assert (made.replaces_id, made.again) == (change.pk, "ASKED")
    assert "Both sides were read again" in text
    assert REASON in text
    assert 'value="INC-1"' in body
    assert f'value="{NAME}"' in body
    assert simulator.posts == []


def test_an_expired_preview_is_made_anew_and_nothing_is_sent(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    Change.objects.filter(pk=change.pk).update(expires_at=change.prepared_at)

    before = shown(operator, change)
    response = operator.post(confirm_url(change), typed(change))

    made = newest()
    assert "This preview expired" in before
    assert response["Location"] == confirm_url(made)
    assert "Nothing was sent: the preview had expired" in shown(operator, made)
    assert REASON in shown(operator, made)
    assert simulator.posts == []


def test_sides_that_changed_are_shown_with_when_and_by_whom(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    simulator.write_aside(NAME, 3, "priya.raman")

    response = operator.post(confirm_url(change), typed(change))

    made = newest()
    text = shown(operator, made)
    assert response["Location"] == confirm_url(made)
    assert "Nothing was sent: the sides changed while you read" in text
    assert re.search(r"acme-dr changed from PASSIVE to FAILOVER at \d\d:\d\d:\d\d by priya.raman", text)
    assert re.search(r"acme changed from PASSIVE to FAILOVER at", text)
    assert "New: acme-dr is FAILOVER already" in text
    assert simulator.posts == []


@pytest.mark.slow
def test_every_kind_of_difference_is_said(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    simulator.split(NAME, modified_by="priya.raman", is_primary=True, target_org_name="globex")

    operator.post(confirm_url(change), typed(change))

    text = shown(operator, newest())
    assert "acme-dr was written again" in text
    assert "it is PASSIVE as before" in text
    assert "acme-dr said secondary, and now says primary." in text
    assert "acme-dr named acme as its target, and now names globex." in text


@pytest.mark.slow
def test_a_side_that_went_dark_and_one_that_came_back_are_said(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    simulator.set_fault("acme", "503")
    change = previewed(operator)
    simulator.set_fault("acme", None)
    simulator.set_fault(NAME, "503")

    operator.post(confirm_url(change), typed(change))

    text = shown(operator, newest())
    assert "acme could not be read, and now answers PASSIVE." in text
    assert "acme-dr answered, and cannot be read now." in text


@pytest.mark.slow
def test_a_connection_that_is_gone_is_said(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    simulator.disconnect(NAME)

    operator.post(confirm_url(change), typed(change))

    assert "acme-dr changed from PASSIVE to no connection" in shown(operator, newest())


@pytest.mark.slow
def test_a_new_rule_of_approval_is_said(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    Organization.objects.filter(name=NAME).update(requires_approval=True)

    operator.post(confirm_url(change), typed(change))

    assert "A second person has to approve now." in shown(operator, newest())


@pytest.mark.slow
def test_what_no_reading_explains_is_said_as_that(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    simulator.set_fault(NAME, "503", verb="GET", times=3)  # as often as one reading asks

    operator.post(confirm_url(change), typed(change))

    assert "Both sides read as before now." in shown(operator, newest())


def test_a_form_of_another_preview_is_not_sent(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)

    operator.post(confirm_url(change), typed(change, token="of another preview"))

    assert "Nothing was sent: the form was not the one of this preview" in shown(operator, newest())
    assert simulator.posts == []


def test_a_preview_of_another_sign_in_is_not_sent(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    other = Client()
    other.force_login(change.author)

    other.post(confirm_url(change), typed(change))

    assert "Nothing was sent: the preview was made under another sign-in" in shown(other, newest())
    assert simulator.posts == []


def test_a_preview_of_another_sign_in_says_so_before_anything_is_typed(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    other = Client()
    other.force_login(change.author)

    response = other.get(confirm_url(change))
    other.post(confirm_url(change), {"again": "1", "reason": REASON})

    assert "This preview was made in another sign-in" in page(response)
    assert "data-commit" not in response.content.decode()
    assert "data-commit" in other.get(confirm_url(newest())).content.decode()
    assert newest().replaces == change
    assert newest().reason == REASON
    assert simulator.posts == []


def test_a_form_with_errors_keeps_its_fields_in_another_sign_in(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    other = Client()
    other.force_login(change.author)

    response = other.post(confirm_url(change), typed(change, reason="no \0 byte"))

    assert response.status_code == 422
    assert "data-commit" in response.content.decode()


def test_what_both_sides_show_of_one_write_is_one_warning(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    simulator.write_aside("acme", 2, "priya.raman@halden.example")

    text = shown(operator, previewed(operator))

    assert text.count("changed outside the portal") == 1
    assert "acme and acme-dr were changed outside the portal" in text


def test_what_each_side_shows_of_another_write_are_two_warnings(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    simulator.write_aside("acme", 2, "priya.raman@halden.example")
    previewed(operator)
    rows = Observation.objects.filter(organization__name="acme", outside=True)
    rows.update(at=timezone.now() - timedelta(minutes=11))

    text = shown(operator, previewed(operator))

    assert "acme was changed outside the portal" in text
    assert "acme-dr was changed outside the portal" in text


def test_a_preview_after_an_outcome_leads_back_to_it(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    Change.objects.filter(pk=change.pk).update(replaces=change, again="AFTER_OUTCOME")

    response = operator.get(confirm_url(change))

    assert "A new change, read anew" in page(response)
    assert change_url(change) in response.content.decode()


def test_another_open_change_stops_it_and_is_named(operator: Client, admin: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    mine, theirs = previewed(operator), previewed(admin)
    simulator.set_fault(NAME, "drop_before", verb="POST")
    admin.post(confirm_url(theirs), typed(theirs))

    response = operator.post(confirm_url(mine), typed(mine))

    assert response.status_code == 409
    assert "Not sent: another change is open" in page(response)
    assert "admin asked for FAILOVER on acme-dr, sent" in page(response)
    assert change_url(theirs) in response.content.decode()
    assert REASON in page(response)
    assert len(simulator.posts) == 1


def test_what_a_check_forbids_is_not_sent(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator, "PASSIVE")

    response = operator.post(confirm_url(change), typed(change))

    assert response.status_code == 409
    assert "Not sent: a check forbids it" in page(response)
    assert simulator.posts == []


@pytest.mark.slow
def test_who_lost_the_role_sends_nothing(operator: Client, admin: Client, simulator: Simulator) -> None:
    _, secondary = unconnected(simulator)
    admin.post(new_url("acme"), {"other": str(secondary.pk), "primary": "this"})
    change = newest()
    change.author.role = Role.OPERATOR
    change.author.save()

    responses = [
        admin.post(confirm_url(change), typed(change)),
        admin.post(confirm_url(change), typed(change, again="1")),
        admin.post(confirm_url(change), typed(change, cancel="1")),
    ]

    assert [response.status_code for response in responses] == [403] * 3
    assert "Needs: admin" in page(responses[0])
    assert simulator.posts == []


def test_an_organization_with_approval_asks_for_it_and_sends_nothing(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME), approval=True)
    change = previewed(operator)

    text = shown(operator, change)
    response = operator.post(confirm_url(change), typed(change))

    change.refresh_from_db()
    assert "Ask for approval: acme-dr to FAILOVER" in text
    assert "A second person decides" in text
    assert response["Location"] == change_url(change)
    assert (change.status, simulator.posts) == (ChangeStatus.AWAITING_APPROVAL, [])


def test_cancelling_sends_nothing_and_leads_back(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)

    response = operator.post(confirm_url(change), {"cancel": "1"}, follow=True)

    change.refresh_from_db()
    assert change.status == ChangeStatus.CANCELLED
    assert "acme-dr: cancelled. Nothing was sent." in page(response)
    assert simulator.posts == []


@pytest.mark.slow
def test_cancelling_what_ended_already_leads_back_too(operator: Client, simulator: Simulator) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    operator.post(confirm_url(change), {"again": "1"})

    response = operator.post(confirm_url(change), {"cancel": "1"})

    assert response["Location"] == reverse("organization", args=[NAME])


# --- without the database ---------------------------------------------------------------------------------------


def test_what_cannot_be_recorded_is_blocked_and_said_without_the_database(
    operator: Client, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)

    def locked(*_: Any, **__: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(changes, "move", locked)

    response = operator.post(confirm_url(change), typed(change))

    assert response.status_code == 503
    assert "Blocked: this change cannot be recorded, so it was not sent." in page(response)
    assert confirm_url(change) in response.content.decode()
    assert simulator.posts == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "options", "sentences"),
    [
        (None, {}, ["us5 accepted FAILOVER, and that is not recorded yet", "do not send it again"]),
        ("403", {}, ["us5 refused with HTTP 403", "Nothing changed."]),
        ("drop_after", {}, ["Outcome unknown: do not send again", "It may have taken effect."]),
    ],
)
@pytest.mark.parametrize("spooled", [True, False])
def test_what_came_of_it_is_said_where_it_is_not_recorded_yet(
    operator: Client,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    fault: str | None,
    options: dict[str, Any],
    sentences: list[str],
    spooled: bool,
) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)
    if fault is not None:
        simulator.set_fault(NAME, fault, verb="POST", **options)

    def locked(*_: Any, **__: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(sending, "move", locked)
    if not spooled:
        settings.SPOOL_FILE.mkdir()

    response = operator.post(confirm_url(change), typed(change))

    text = page(response)
    assert response.status_code == 503
    assert all(sentence in text for sentence in sentences)
    assert ("recorded when that is back" in text) is spooled
    assert ("Only this page knows it" in text) is not spooled
    assert len(simulator.posts) == 1


@pytest.mark.slow
def test_that_nothing_left_is_said_where_it_is_not_recorded_yet(
    operator: Client, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected(simulator, names=("acme", NAME))
    change = previewed(operator)

    def locked(*_: Any, **__: Any) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(sending, "move", locked)
    monkeypatch.setattr(sending, "LATEST_START", -1.0)

    response = operator.post(confirm_url(change), typed(change))

    assert "Nothing was sent, and that is not recorded yet" in page(response)
    assert simulator.posts == []
