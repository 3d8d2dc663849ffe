"""What asks for a fresh sign-in, that nothing happens without one, and that what was typed is there afterwards."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import time_machine
from allauth.account.internal.flows.reauthentication import STATE_SESSION_KEY
from allauth.mfa.models import Authenticator
from django.contrib.sessions.models import Session
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.people import NEEDS_FRESH_SIGN_IN, Action, Role, may
from hamr_portal.management.role_drawing import Page, pages
from hamr_portal.models import AuditEntry, Change, Person
from hamr_portal.services import sessions
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing
from tests.services.records import whole_database

from .conftest import SignIn
from .test_access import addresses

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
AGAIN = "/accounts/reauthenticate/"
HOSTILE = 'us1 is dark <script>alert(1)</script>" onfocus="alert(2)'
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)

WITH_ANY_SIGN_IN = {"change_cancel", "change_decline", "organization_verify", "organizations_verify"}
"""What only takes back, or only reads."""


def guarded(action: Action) -> list[Page]:
    """Give every page that does something by an action."""
    return [page for page in pages() if page.access is action and "POST" in page.methods]


def somebody(action: Action, signed_in: SignIn) -> Client:
    return signed_in(next(role for role in [Role.ADMIN, *Role] if may(role, action)))


def pressed(client: Client, action: Action) -> dict[str, str]:
    """Press each button of an action, each as if no other had been; give where that leads."""
    at = addresses()
    client.raise_request_exception = False  # what moves a change does so in no transaction of a test
    led = {}
    for page in guarded(action):
        before = AuditEntry.objects.count()
        with transaction.atomic():
            response = client.post(at[page.name])
            assert not response.headers.get("Location", "").startswith(AGAIN) or AuditEntry.objects.count() == before
            transaction.set_rollback(True)
        led[page.name] = response.headers.get("Location", "")
    return led


def older(client: Client, seconds: float) -> Client:
    """Let the sign-in be so long ago."""
    session = client.session
    for record in session["account_authentication_methods"]:
        record["at"] -= seconds
    session.save()
    return client


def to_sign_in(page: str) -> str:
    return f"{AGAIN}?{urlencode({'next': page})}"


def step_up(client: Client, page: str = "/") -> Any:
    return client.post(AGAIN, {"password": PASSWORD, "next": page})


def kept(client: Client) -> dict[str, str]:
    fields: dict[str, str] = client.session["step_up"]["fields"]
    return fields


def words(response: Any) -> str:
    text = re.sub(r"<svg hidden.*?</svg>", "", response.content.decode(), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def preview(simulator: Simulator, client: Client) -> Change:
    changing.connected(simulator)
    client.post(reverse("change_new", args=["acme"]), {"target_status": "FAILOVER"})
    return Change.objects.get()


def typed(change: Change, **over: str) -> dict[str, str]:
    right = {"token": change.nonce, "reason": "us1 is dark", "ticket": "INC-1", "typed_name": "acme", "override": "on"}
    return right | over


# --- what asks for it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", sorted(NEEDS_FRESH_SIGN_IN))
def test_what_the_table_names_is_not_done_with_an_old_sign_in(action: Action, signed_in: SignIn) -> None:
    client = older(somebody(action, signed_in), 301)

    led = pressed(client, action)

    assert {name for name, place in led.items() if not place.startswith(AGAIN)} == WITH_ANY_SIGN_IN & led.keys()
    assert led or action is Action.LINK_ORGANIZATIONS  # which is a way of changing a status


@pytest.mark.parametrize("action", sorted(NEEDS_FRESH_SIGN_IN))
def test_and_is_with_a_fresh_one(action: Action, signed_in: SignIn, simulator: Simulator) -> None:
    client = somebody(action, signed_in)

    led = pressed(client, action)

    assert [name for name, place in led.items() if place.startswith(AGAIN)] == []


def test_what_the_table_does_not_name_asks_for_nothing(admin: Client) -> None:
    primary, _ = factories.pair()

    response = older(admin, 3600).post(reverse("pair_rename", args=[primary.pair_id]), {"name": "Cash desk"})

    assert response["Location"] == reverse("organization", args=[primary.name])


def test_who_may_not_do_it_is_told_that_and_nothing_of_a_sign_in(viewer: Client) -> None:
    response = older(viewer, 3600).post(reverse("organization_new"))

    assert response.status_code == 403


@pytest.mark.parametrize(
    ("route", "age", "asks"),
    [
        ("change_new", 179, False),
        ("change_new", 182, True),
        ("organization_new", 179, False),
        ("organization_new", 182, True),
    ],
)
def test_what_takes_a_while_asks_for_a_sign_in_that_lasts_for_it(
    route: str, age: float, asks: bool, admin: Client, simulator: Simulator
) -> None:
    changing.connected(simulator)
    path = reverse(route, args=["acme"] if route == "change_new" else [])

    response = older(admin, age).post(path) if route == "change_new" else older(admin, age).get(path)

    assert (response.headers.get("Location") == to_sign_in(path)) is asks


@pytest.mark.parametrize(("step_up_seconds", "age"), [(30.0, 14), (125.0, 61), (600.0, 479)])
def test_a_short_setting_leaves_time_to_press_the_button(
    step_up_seconds: float, age: float, admin: Client, settings: Settings
) -> None:
    settings.STEP_UP_SECONDS = step_up_seconds

    assert older(admin, age).get(reverse("organization_new")).status_code == 200
    assert older(admin, 3).get(reverse("organization_new")).status_code == 302


def test_a_clock_that_was_set_back_makes_no_sign_in_fresh(admin: Client) -> None:
    response = older(admin, -3600).post(reverse("organization_disable", args=["acme"]))

    assert response["Location"].startswith(AGAIN)


def test_a_sign_in_of_somebody_else_in_the_same_browser_does_not_count(admin: Client) -> None:
    session = admin.session
    session["account_authentication_methods_user"] = "0"
    session.save()

    assert admin.get(reverse("organization_new")).status_code == 302


# --- confirming -------------------------------------------------------------------------------------------------


def test_confirming_late_sends_nothing_and_loses_nothing(simulator: Simulator, signed_in: SignIn) -> None:
    client = signed_in(Role.OPERATOR)
    change = preview(simulator, client)
    page = reverse("change_confirm", args=[change.pk])

    asked = older(client, 301).post(page, typed(change, reason=HOSTILE))
    sign_in = client.get(asked["Location"])
    came = step_up(client, page)
    shown = client.get(page)

    assert asked["Location"] == to_sign_in(page)
    assert "To change a status, sign in again. Nothing was done yet. What you typed is kept." in words(sign_in)
    assert came["Location"] == page
    assert "Nothing was sent yet. Next: look at it again, then press the button again." in words(shown)
    text = shown.content.decode()
    assert html.escape(HOSTILE) in text
    assert "<script>alert" not in text
    assert 'value="INC-1"' in text
    assert 'value="acme"' in text
    assert simulator.posts == []
    assert changing.fresh(change).status == ChangeStatus.PREPARED
    client.post(page, typed(change))
    assert len(simulator.posts) == 1


def test_the_text_is_shown_once_and_on_no_other_page(simulator: Simulator, signed_in: SignIn) -> None:
    client = signed_in(Role.OPERATOR)
    change = preview(simulator, client)
    page = reverse("change_confirm", args=[change.pk])
    older(client, 301).post(page, typed(change, reason="kept for one page"))
    step_up(client, page)

    others = [reverse("change", args=[change.pk]), reverse("change_new", args=["acme"])]
    elsewhere = [client.get(path).content.decode() for path in others]
    by_itself = client.get(page, headers={"HX-Request": "true"}).content.decode()
    here = [client.get(page).content.decode() for _ in range(2)]

    assert not [text for text in (*elsewhere, by_itself) if "kept for one page" in text]
    assert ["kept for one page" in text for text in here] == [True, False]


def test_a_text_whose_preview_expired_meanwhile_goes_into_the_next_one(simulator: Simulator, signed_in: SignIn) -> None:
    client = signed_in(Role.OPERATOR)
    change = preview(simulator, client)
    page = reverse("change_confirm", args=[change.pk])
    older(client, 301).post(page, typed(change, reason="us1 is dark since 3"))
    Change.objects.update(status=ChangeStatus.EXPIRED, expires_at=timezone.now() - timedelta(seconds=1))
    step_up(client, page)

    shown = client.get(page)
    fields = typed(change, reason="us1 is dark since 3", again="1")
    renewed = client.post(page, fields)

    assert "Preview expired at" in words(shown)
    assert "us1 is dark since 3" in shown.content.decode()
    made = Change.objects.latest("pk")
    assert renewed["Location"] == reverse("change_confirm", args=[made.pk])
    assert (made.reason, made.ticket, made.replaces_id) == ("us1 is dark since 3", "INC-1", change.pk)


def test_taking_a_preview_back_needs_no_fresh_sign_in(simulator: Simulator, signed_in: SignIn) -> None:
    client = signed_in(Role.OPERATOR)
    change = preview(simulator, client)

    older(client, 3600).post(reverse("change_confirm", args=[change.pk]), {"cancel": "1"})

    assert changing.fresh(change).status == ChangeStatus.CANCELLED


def test_who_presses_cancel_and_read_again_at_once_is_asked(simulator: Simulator, signed_in: SignIn) -> None:
    client = signed_in(Role.OPERATOR)
    change = preview(simulator, client)

    response = older(client, 3600).post(reverse("change_confirm", args=[change.pk]), {"cancel": "1", "again": "1"})

    assert response["Location"].startswith(AGAIN)


# --- other forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("route", "role", "status", "fields"),
    [
        ("change_approve", Role.APPROVER, ChangeStatus.AWAITING_APPROVAL, {"typed_name": "acm", "comment": HOSTILE}),
        ("change_skip_approval", Role.OPERATOR, ChangeStatus.AWAITING_APPROVAL, {"typed_name": "x", "reason": HOSTILE}),
        ("change_resolve", Role.OPERATOR, ChangeStatus.UNKNOWN, {"reason": HOSTILE}),
    ],
)
def test_what_was_typed_on_a_changes_page_comes_back_into_the_same_form(
    route: str, role: Role, status: ChangeStatus, fields: dict[str, str], signed_in: SignIn
) -> None:
    primary, _ = factories.pair()
    client = signed_in(role)
    change = changing.standing(primary, status, expires_at=timezone.now() + timedelta(minutes=20))
    page = reverse("change", args=[change.pk])

    asked = older(client, 301).post(reverse(route, args=[change.pk]), fields)
    step_up(client, page)
    text = client.get(page).content.decode()

    assert asked["Location"] == to_sign_in(page)
    assert all(text.count(html.escape(value)) == 1 for value in fields.values() if len(value) > 1)
    assert "<script>alert" not in text
    assert changing.fresh(change).status == status


def test_a_chosen_status_is_chosen_again(simulator: Simulator, signed_in: SignIn) -> None:
    changing.connected(simulator)
    client = signed_in(Role.OPERATOR)
    page = reverse("change_new", args=["acme"])

    older(client, 301).post(page, {"target_status": "RECOVERY"})
    step_up(client, page)
    text = client.get(page).content.decode()

    assert re.findall(r'value="([A-Z]+)" checked', text) == ["RECOVERY"]


def test_what_was_typed_of_another_side_is_there_again(simulator: Simulator, admin: Client) -> None:
    changing.unconnected(simulator)
    page = reverse("change_new", args=["acme"])

    older(admin, 301).post(page, {"target_name": "Acme “EU”", "target_datacenter": "eu1", "primary": "other"})
    step_up(admin, page)
    text = admin.get(page).content.decode()

    assert 'value="Acme “EU”"' in text
    assert 'value="eu1"' in text
    assert 'value="other" checked' in text


def test_a_reason_to_adopt_the_log_is_kept(admin: Client) -> None:
    older(admin, 301).post(reverse("audit_adopt"), {"reason": "restored on purpose"})
    came = step_up(admin, reverse("audit"))

    assert came["Location"] == reverse("audit")
    assert kept(admin) == {"reason": "restored on purpose"}


@pytest.mark.parametrize("editing", [True, False], ids=["edit", "new"])
def test_keys_are_asked_for_after_the_sign_in_and_are_kept_nowhere(editing: bool, admin: Client) -> None:
    organization = factories.organization("halden-checkout", requires_approval=True)
    page = reverse("organization_edit", args=[organization.name]) if editing else reverse("organization_new")
    fields = {"name": "halden-till", "site": "us1", "spelling": "AUTO", "reason": "other region"}
    keys = {"api_key": "canary0typed0api0key000000", "application_key": "canary0typed0application0key0"}

    first = older(admin, 301).get(page)
    pressed = admin.post(page, fields | keys)
    stored = str([session.get_decoded() for session in Session.objects.all()]) + whole_database()
    sign_in = admin.get(pressed["Location"])
    step_up(admin, page)
    text = admin.get(page).content.decode()

    assert first["Location"] == pressed["Location"] == to_sign_in(page)
    assert "canary0typed" not in stored
    assert "halden-till" in stored
    assert "What you typed is kept; keys are not." in words(sign_in)
    assert 'value="halden-till"' in text
    assert "canary0typed" not in text
    # The tick that was taken away stays away.
    assert 'name="requires_approval"' in text
    assert not re.search(r'name="requires_approval"[^>]* checked', text)


def test_a_page_that_asks_first_does_not_forget_what_was_typed_on_it(admin: Client) -> None:
    older(admin, 301).post(reverse("organization_new"), {"name": "halden-till"})

    admin.get(reverse("organization_new"))

    assert kept(admin) == {"name": "halden-till"}


def test_no_form_keeps_what_it_does_not_name(admin: Client) -> None:
    factories.organization("acme")

    older(admin, 301).post(reverse("organization_disable", args=["acme"]), {"password": "canary", "reason": "x"})

    assert kept(admin) == {}


def test_a_text_that_no_form_would_take_is_not_kept(simulator: Simulator, signed_in: SignIn) -> None:
    client = signed_in(Role.OPERATOR)
    change = preview(simulator, client)

    older(client, 301).post(reverse("change_confirm", args=[change.pk]), typed(change, reason="x" * 4001, ticket="I"))

    assert kept(client) == {"ticket": "I", "typed_name": "acme"}


def test_a_button_without_a_page_of_its_own_leads_back_to_where_it_was(simulator: Simulator, admin: Client) -> None:
    changing.connected(simulator)
    came_from = reverse("organization", args=["acme"])

    response = older(admin, 301).post(
        reverse("organization_disable", args=["acme"]), headers={"referer": f"http://testserver{came_from}"}
    )

    assert response["Location"] == to_sign_in(reverse("organization_edit", args=["acme"]))


# --- signing in again -------------------------------------------------------------------------------------------


def test_signing_in_again_is_on_the_record_and_named_by_what_is_done_after_it(
    signed_in: SignIn, time_machine: time_machine.TimeMachineFixture
) -> None:
    time_machine.move_to(NOON, tick=False)
    client = signed_in(Role.ADMIN)
    primary, _ = factories.pair()
    time_machine.move_to(NOON + timedelta(minutes=10), tick=False)

    step_up(client)
    client.post(reverse("organization_disable", args=[primary.name]))

    stepped, disabled = AuditEntry.objects.order_by("seq")
    assert [stepped.event, disabled.event] == ["session.stepped_up", "organization.disabled"]
    for entry in (stepped, disabled):
        assert entry.actor_name == "admin@halden.example"
        assert entry.actor_signed_in == "password, 2026-03-14T12:00:00Z; password, 2026-03-14T12:10:00Z"
        assert entry.actor_session == sessions.fingerprint(client.session.session_key or "")


def test_a_wrong_password_is_on_the_record_opens_nothing_and_is_not_kept(admin: Client) -> None:
    page = reverse("organization_new")

    response = older(admin, 301).post(AGAIN, {"password": "canary wrong password", "next": page})

    assert response.status_code == 200
    assert admin.get(page).status_code == 302
    (entry,) = AuditEntry.objects.all()
    assert (entry.event, entry.outcome) == ("session.sign_in_failed", "STEP_UP")
    assert (entry.actor_kind, entry.actor_name) == ("person", "admin@halden.example")
    assert "canary" not in whole_database() + response.content.decode()


def test_the_password_of_somebody_else_does_not_do(signed_in: SignIn) -> None:
    other = factories.person(Role.ADMIN, "other@halden.example")
    other.set_password("another horse battery")
    other.save()
    client = older(signed_in(Role.ADMIN), 301)

    client.post(AGAIN, {"password": "another horse battery", "login": other.email, "email": other.email})

    assert client.get(reverse("organization_new")).status_code == 302


def test_too_many_wrong_passwords_end_in_a_wait(admin: Client) -> None:
    older(admin, 301)
    for _ in range(5):
        admin.post(AGAIN, {"password": "wrong"})

    response = step_up(admin)

    assert response.status_code == 200
    assert "Too many sign-ins failed." in words(response)
    assert admin.get(reverse("organization_new")).status_code == 302
    assert AuditEntry.objects.filter(event="session.locked_out").count() == 1


def test_asking_too_often_ends_in_a_page_of_ours(admin: Client) -> None:
    answers = [admin.post(AGAIN).status_code for _ in range(11)]

    assert answers == [200] * 10 + [429]
    assert AuditEntry.objects.get().event == "session.locked_out"


def test_who_has_a_second_factor_steps_up_with_it(admin: Client) -> None:
    person = Person.objects.get()
    Authenticator.objects.create(user=person, type=Authenticator.Type.WEBAUTHN, data={})
    Authenticator.objects.create(user=person, type=Authenticator.Type.TOTP, data={"secret": "x"})
    page = reverse("organization_new")

    asked = admin.get(page)
    by_password = admin.post(asked["Location"], {"password": PASSWORD, "next": page})

    # The sign-in is fresh, and by a password alone.
    assert asked["Location"] == to_sign_in(page)
    assert by_password["Location"] == f"{reverse('mfa_reauthenticate')}?{urlencode({'next': page})}"
    assert admin.get(page).status_code == 302
    session = admin.session
    session["account_authentication_methods"] += [{"method": "mfa", "at": timezone.now().timestamp()}]
    session.save()
    assert admin.get(page).status_code == 200


@pytest.mark.parametrize(("more", "status"), [({}, 302), ({"reauthenticated": True}, 200)])
def test_that_single_sign_on_remembered_somebody_is_no_fresh_sign_in(
    more: dict[str, bool], status: int, admin: Client
) -> None:
    session = admin.session
    now = timezone.now().timestamp()
    session["account_authentication_methods"] = [{"method": "socialaccount", "at": now, **more}]
    session.save()

    assert admin.get(reverse("organization_new")).status_code == status


def test_a_security_key_that_does_not_fit_leads_back_to_the_same_question(admin: Client) -> None:
    Authenticator.objects.create(user=Person.objects.get(), type=Authenticator.Type.WEBAUTHN, data={})
    page = f"{reverse('mfa_reauthenticate_webauthn')}?{urlencode({'next': '/organizations/new/'})}"

    response = admin.post(page, {"credential": "{}", "next": "/organizations/new/"})

    assert response["Location"] == page
    assert admin.get("/organizations/new/").status_code == 302


def test_a_form_that_the_library_kept_is_not_sent_by_itself(simulator: Simulator, signed_in: SignIn) -> None:
    client = signed_in(Role.OPERATOR)
    change = preview(simulator, client)
    page = reverse("change_confirm", args=[change.pk])
    session = older(client, 301).session
    body = urlencode(typed(change))
    session[STATE_SESSION_KEY] = {
        "request": {
            "path": page,
            "path_info": page,
            "method": "POST",
            "meta": {},
            "body": body,
            "post": body,
            "get": "",
            "files": {},
            "headers": {},
            "user": "",
        }
    }
    session.save()

    response = step_up(client, page)

    assert response["Location"] == page
    assert STATE_SESSION_KEY not in client.session
    assert simulator.posts == []


@pytest.mark.parametrize("path", ["//evil.example", "https:evil.example", "/\\evil.example", "https://evil.example/"])
def test_signing_in_again_never_leads_to_another_host(path: str, admin: Client) -> None:
    assert step_up(admin, path)["Location"] == "/"


@pytest.mark.parametrize("action", sorted(NEEDS_FRESH_SIGN_IN))
def test_the_page_says_what_it_is_for(action: Action, admin: Client) -> None:
    session = admin.session
    session["step_up"] = {"path": "/", "route": "x", "action": action, "pressed": False, "fields": {}}
    session.save()

    text = words(admin.get(AGAIN))

    assert "sign in again." in text
    assert "To go on" not in text
    assert "Nothing was done yet" not in text
    assert "A sign-in counts for 5 min." in text


def test_the_page_that_was_opened_by_itself_says_no_purpose(viewer: Client) -> None:
    text = words(viewer.get(AGAIN))

    assert "To go on, sign in again. You are signed in as viewer@halden.example." in text


@pytest.mark.parametrize("path", ["javascript:alert(1)", "//evil.example", "https://evil.example/"])
def test_no_link_of_the_page_leads_to_another_host_either(path: str, admin: Client) -> None:
    text = admin.get(f"{AGAIN}?{urlencode({'next': path})}").content.decode()

    assert f'href="{path}' not in text
    assert '<a href="/">Leave it, to the status page</a>' in text
