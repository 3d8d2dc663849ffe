from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from django.urls import reverse

from hamr_portal.domain.audit import Event
from hamr_portal.domain.people import Role
from hamr_portal.domain.sso import InvalidRoles, role_of, roles_in, signed_in_since
from hamr_portal.models import Person
from hamr_portal.services import factors, people, rooms
from hamr_portal.web import sso
from tests import factories
from tests.services.records import entries, whole_database

from .issuer import CLIENT_ID, CLIENT_SECRET, OTHER_KEY, Issuer

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
MARA = "mara@halden.example"
CLAIMS: dict[str, Any] = {"sub": "4711", "email": MARA, "email_verified": True, "groups": ["all", "on-call"]}


@pytest.fixture
def issuer(settings: Any) -> Iterator[Issuer]:
    """Run an issuer, and let it vouch for people."""
    rooms.left_out.take()
    with Issuer() as running:
        settings.OIDC_ISSUER = running.issuer
        settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = CLIENT_ID, CLIENT_SECRET
        settings.OIDC_NAME = "Halden login"
        settings.OIDC_ROLES = roles_in("admins=admin, on-call=operator, all=viewer")
        yield running
    rooms.left_out.take()


@pytest.fixture
def linked(issuer: Issuer) -> Person:
    """Give an operator who has linked single sign-on to their account."""
    person = factories.person(Role.OPERATOR, MARA)
    uid = hashlib.sha256(json.dumps([issuer.issuer, "4711"]).encode()).hexdigest()
    said = {"iss": issuer.issuer, "sub": "4711"}
    SocialAccount.objects.create(user=person, provider="sso", uid=uid, extra_data=said)
    return person


def come_in(client: Client, issuer: Issuer, **claims: Any) -> Any:
    """Go to the issuer from the sign-in page, sign in there, and come back."""
    there = client.get(reverse("sso_login"))["Location"]
    return client.get(issuer.sign_in(there, **{**CLAIMS, **claims}))


def is_in(client: Client) -> bool:
    return client.get("/").status_code == 200


def words(response: Any) -> str:
    return " ".join(response.content.decode().split())


# --- off --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sso_login", "sso_callback"])
def test_without_an_issuer_there_is_no_single_sign_on(name: str, client: Client) -> None:
    page = client.get(reverse("account_login"))

    response = client.get(reverse(name))

    assert response.status_code == 404
    assert "sso" not in page.content.decode()


# --- coming in --------------------------------------------------------------------------------------------------


def test_whoever_is_linked_comes_in_and_it_is_on_the_record(client: Client, linked: Person, issuer: Issuer) -> None:
    response = come_in(client, issuer)

    assert response["Location"] == "/"
    assert is_in(client)
    assert [(entry.event, entry.actor) for entry in entries()] == [(Event.SIGNED_IN, MARA)]


def test_it_is_the_same_person_whatever_their_address_is_there(client: Client, linked: Person, issuer: Issuer) -> None:
    come_in(client, issuer, email="mara.lindqvist@halden.example")

    assert is_in(client)
    assert [(entry.event, entry.actor) for entry in entries()] == [(Event.SIGNED_IN, MARA)]
    assert [person.email for person in Person.objects.all()] == [MARA]


def test_it_leads_to_the_page_that_was_wanted_and_to_no_other_host(linked: Person, issuer: Issuer) -> None:
    for wanted, led_to in (("/changes/", "/changes/"), ("//evil.example", "/"), ("https://evil.example/", "/")):
        browser = Client()
        there = browser.get(reverse("sso_login"), {"next": wanted})["Location"]

        response = browser.get(issuer.sign_in(there, **CLAIMS))

        assert response["Location"] == led_to


def test_the_sign_in_page_offers_it(client: Client, issuer: Issuer) -> None:
    page = client.get(reverse("account_login"), {"next": "/changes/"})

    assert f'href="{reverse("sso_login")}?next=/changes/"' in page.content.decode()
    assert "Sign in with Halden login" in page.content.decode()


@pytest.mark.parametrize(
    "groups", [None, [], ["strangers"], "strangers", {"on-call": 1}, 7, ["ON-CALL"], [["on-call"]]], ids=str
)
def test_without_a_mapped_group_nobody_comes_in(groups: Any, client: Client, linked: Person, issuer: Issuer) -> None:
    response = come_in(client, issuer, groups=groups)

    assert response.status_code == 403
    assert "none of your groups stands for a role" in words(response)
    assert not is_in(client)
    assert Person.objects.get().held_role is Role.OPERATOR
    assert [(entry.event, entry.outcome) for entry in entries()] == [(Event.SIGN_IN_FAILED, "SSO")]


def test_the_role_follows_the_groups_and_that_is_on_the_record(client: Client, linked: Person, issuer: Issuer) -> None:
    come_in(client, issuer, groups=["all"])

    assert Person.objects.get().held_role is Role.VIEWER
    assert [(entry.actor, entry.data) for entry in entries(Event.ROLE_CHANGED)] == [
        ("Halden login", {"email": MARA, "before": "operator", "after": "viewer"})
    ]


def test_the_only_admin_stays_admin_whatever_the_groups_are(client: Client, linked: Person, issuer: Issuer) -> None:
    Person.objects.update(role=Role.ADMIN)

    come_in(client, issuer, groups=["all"])

    assert Person.objects.get().held_role is Role.ADMIN
    assert is_in(client)


def test_what_cannot_be_recorded_is_not_done_and_says_so(
    client: Client, linked: Person, issuer: Issuer, settings: Any
) -> None:
    settings.KEY_RING_FILE.unlink()
    same_role = Client()

    come_in(same_role, issuer)
    other_role = come_in(client, issuer, groups=["admins"])

    assert is_in(same_role)
    assert other_role.status_code == 503
    assert "cannot be recorded" in words(other_role)
    assert Person.objects.get().held_role is Role.OPERATOR


def test_one_of_two_admins_follows_their_groups(client: Client, linked: Person, issuer: Issuer) -> None:
    factories.person(Role.ADMIN)
    Person.objects.filter(pk=linked.pk).update(role=Role.ADMIN)

    come_in(client, issuer, groups=["all"])

    assert Person.objects.get(email=MARA).held_role is Role.VIEWER


def test_somebody_who_is_disabled_stays_out(client: Client, linked: Person, issuer: Issuer) -> None:
    Person.objects.update(is_active=False)

    response = come_in(client, issuer)

    assert response["Location"] == reverse("account_inactive")
    assert not is_in(client)


# --- by issuer and subject, never by e-mail ---------------------------------------------------------------------


def test_somebody_who_is_disabled_gets_no_role(client: Client, linked: Person, issuer: Issuer) -> None:
    Person.objects.filter(pk=linked.pk).update(is_active=False)

    come_in(client, issuer, groups=["admins"])

    assert Person.objects.get(pk=linked.pk).role == linked.role


def assert_nobody_came_in(client: Client, response: Any) -> None:
    assert response.status_code == 403
    assert "Nobody here is linked to you" in words(response)
    assert not is_in(client)
    assert [(entry.event, entry.outcome) for entry in entries()] == [(Event.SIGN_IN_FAILED, "SSO")]


@pytest.mark.parametrize("email", [MARA, "MARA@Halden.Example"])
def test_a_second_account_there_with_the_same_address_does_not_get_in(
    email: str, client: Client, linked: Person, issuer: Issuer
) -> None:
    response = come_in(client, issuer, sub="4712", email=email)

    assert_nobody_came_in(client, response)
    assert entries()[0].actor.lower() == MARA
    assert SocialAccount.objects.get().extra_data["sub"] == "4711"


@pytest.mark.parametrize(
    "claims", [{}, {"groups": ["admins"]}, {"email": None}, {"email": [MARA]}, {"email_verified": False}], ids=str
)
def test_somebody_who_is_not_here_does_not_get_in_and_is_not_added(
    claims: dict[str, Any], client: Client, issuer: Issuer
) -> None:
    response = come_in(client, issuer, **claims)

    assert_nobody_came_in(client, response)
    assert not Person.objects.exists()
    assert not SocialAccount.objects.exists()


def test_whether_somebody_with_that_address_is_here_is_not_to_be_read(issuer: Issuer) -> None:
    unknown = words(come_in(Client(), issuer)).partition("<section")[2]
    factories.person(Role.ADMIN, MARA)

    known = words(come_in(Client(), issuer)).partition("<section")[2]

    assert known
    assert known == unknown


def test_the_same_subject_of_another_issuer_is_somebody_else(
    client: Client, linked: Person, issuer: Issuer, settings: Any
) -> None:
    with Issuer() as other:
        settings.OIDC_ISSUER = other.issuer

        response = come_in(client, other)

    assert_nobody_came_in(client, response)


# --- what the issuer says is looked at --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another portal"},
        {"exp": 1},
        {"sub": None},
        {"iss": None},
        {"aud": None},
    ],
    ids=str,
)
def test_a_token_for_somebody_else_or_of_another_time_lets_nobody_in(
    claims: dict[str, Any], client: Client, linked: Person, issuer: Issuer
) -> None:
    response = come_in(client, issuer, **claims)

    assert response.status_code == 403
    assert "did not answer as it should" in words(response)
    assert not is_in(client)


def test_a_token_that_another_key_signed_lets_nobody_in(client: Client, linked: Person, issuer: Issuer) -> None:
    issuer.key = OTHER_KEY

    response = come_in(client, issuer)

    assert response.status_code == 403
    assert not is_in(client)


def test_an_answer_that_nobody_asked_for_lets_nobody_in(client: Client, linked: Person, issuer: Issuer) -> None:
    there = Client().get(reverse("sso_login"))["Location"]

    response = client.get(issuer.sign_in(there, **CLAIMS))

    assert response.status_code == 403
    assert not is_in(client)


def test_whoever_cancels_there_is_back_at_the_sign_in_page(client: Client, issuer: Issuer) -> None:
    back = issuer.sign_in(client.get(reverse("sso_login"))["Location"], **CLAIMS)

    response = client.get(back.replace("code=", "error=access_denied&was="))

    assert response["Location"] == reverse("account_login")


def test_an_answer_counts_once(client: Client, linked: Person, issuer: Issuer) -> None:
    back = issuer.sign_in(client.get(reverse("sso_login"))["Location"], **CLAIMS)
    client.get(back)
    client.post(reverse("account_logout"))

    response = client.get(back)

    assert response.status_code == 403
    assert not is_in(client)


def test_another_issuer_at_the_same_address_is_not_believed(client: Client, issuer: Issuer) -> None:
    issuer.issuer = "https://evil.example"

    response = client.get(reverse("sso_login"))

    assert "did not answer as it should" in words(response)


@pytest.mark.parametrize("away", ["html", "list", "error", "redirect"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_issuer_that_answers_anything_else_lets_nobody_in_and_no_page_fails(
    away: str, when: str, client: Client, linked: Person, issuer: Issuer
) -> None:
    issuer.away = away if when == "before" else ""
    response = client.get(reverse("sso_login"))
    if when == "after":
        back = issuer.sign_in(response["Location"], **CLAIMS)
        issuer.away = away
        response = client.get(back)

    assert response.status_code in (403, 503)
    assert not is_in(client)


def test_an_issuer_that_is_down_is_said_to_be_and_local_accounts_come_in(client: Client, settings: Any) -> None:
    factories.person(Role.OPERATOR, MARA)
    with Issuer() as gone:
        settings.OIDC_ISSUER = gone.issuer
        settings.OIDC_NAME = "Halden login"

    response = client.get(reverse("sso_login"))
    client.post(reverse("account_login"), {"login": MARA, "password": PASSWORD})

    assert response.status_code == 503
    assert "Halden login does not answer" in words(response)
    assert "sign in with your password" in words(response)
    assert is_in(client)


def test_an_issuer_that_drips_is_not_waited_for(
    client: Client, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sso, "SECONDS", 0.3)
    issuer.away = "drip"

    response = client.get(reverse("sso_login"))

    assert response.status_code == 503


def test_going_there_again_and_again_is_stopped(client: Client, issuer: Issuer) -> None:
    for _ in range(30):
        client.get(reverse("sso_login"))

    response = client.get(reverse("sso_login"))

    assert response.status_code == 429
    assert len(issuer.asked) == 30


def test_no_secret_of_the_portal_is_in_the_database(client: Client, linked: Person, issuer: Issuer) -> None:
    come_in(client, issuer)

    assert CLIENT_SECRET not in whole_database()


def test_a_sign_in_that_waits_for_a_second_factor_holds_nothing_secret(
    client: Client, linked: Person, issuer: Issuer
) -> None:
    Authenticator.objects.create(user=linked, type="totp", data={"secret": factors.sealed("A" * 32, linked)})
    there = client.get(reverse("sso_login"))["Location"]
    (begun,) = client.session["socialaccount_states"].values()
    verifier = begun[0]["pkce_code_verifier"]

    response = client.get(issuer.sign_in(there, **CLAIMS))

    held = client.session["account_login"]
    assert response["Location"] == reverse("mfa_authenticate")
    assert held["signal_kwargs"] == {}
    secrets = (linked.password, verifier, CLIENT_SECRET)
    assert [secret for secret in secrets if secret in str(dict(client.session.items()))] == []


def test_the_second_factor_completes_a_sign_in_that_came_from_there(
    client: Client, linked: Person, issuer: Issuer
) -> None:
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    Authenticator.objects.create(user=linked, type="totp", data={"secret": factors.sealed(secret, linked)})
    there = client.get(reverse("sso_login"), {"next": "/changes/"})["Location"]
    client.get(issuer.sign_in(there, **CLAIMS))
    code = format_hotp_value(hotp_value(secret, int(time.time()) // 30))

    response = client.post(reverse("mfa_authenticate"), {"code": code})

    assert response["Location"] == "/changes/"
    assert is_in(client)


# --- linking ----------------------------------------------------------------------------------------------------


def offered(client: Client) -> str:
    """Ask to link, and give the address that the page offers to go on to."""
    page = client.post(reverse("sso_link")).content.decode()
    return page.split('class="btn btn--primary" href="')[1].split('"')[0].replace("&amp;", "&")


@pytest.fixture
def mara(client: Client) -> Person:
    """Give somebody who has just signed in with their password."""
    person = factories.person(Role.VIEWER, MARA)
    client.post(reverse("account_login"), {"login": MARA, "password": PASSWORD})
    return person


def test_somebody_who_is_signed_in_links_their_account_and_comes_in_by_it(
    client: Client, mara: Person, issuer: Issuer
) -> None:
    response = client.get(issuer.sign_in(offered(client), **CLAIMS))
    later = Client()
    come_in(later, issuer)

    assert response["Location"] == reverse("mfa_index")
    assert is_in(later)
    said = {"email": MARA, "iss": issuer.issuer, "sub": "4711"}
    assert [(entry.actor, entry.data) for entry in entries(Event.SSO_LINKED)] == [(MARA, said)]
    assert Person.objects.get().held_role is Role.OPERATOR


def test_somebody_new_is_added_by_an_admin_and_links_once_they_chose_a_password(client: Client, issuer: Issuer) -> None:
    factories.person(Role.ADMIN)
    given = people.invite(MARA, Role.VIEWER, by=factories.ADMIN)[1].reveal()
    chosen = {"oldpassword": given, "password1": "battery staple 4711", "password2": "battery staple 4711"}

    client.post(reverse("account_login"), {"login": MARA, "password": given})
    before = client.post(reverse("sso_link"))
    client.post(reverse("account_change_password"), chosen)
    client.get(issuer.sign_in(offered(client), **CLAIMS))
    later = Client()
    come_in(later, issuer)

    assert before["Location"] == reverse("account_change_password")
    assert is_in(later)


def test_linking_asks_for_a_fresh_sign_in(client: Client, mara: Person, issuer: Issuer, settings: Any) -> None:
    with time_machine.travel(time.time() + settings.STEP_UP_SECONDS + 1):
        response = client.post(reverse("sso_link"))

    assert response["Location"].startswith(reverse("account_reauthenticate"))


def test_a_page_elsewhere_links_nothing(client: Client, mara: Person, issuer: Issuer) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies

    visited, posted = strict.get(reverse("sso_link")), strict.post(reverse("sso_link"))

    assert (visited.status_code, posted.status_code) == (405, 403)
    assert issuer.asked == []


def test_what_was_to_be_linked_by_somebody_who_left_meanwhile_is_linked_to_nobody(
    client: Client, mara: Person, issuer: Issuer
) -> None:
    back = issuer.sign_in(offered(client), **CLAIMS)
    client.post(reverse("account_logout"))

    client.get(back)

    assert not SocialAccount.objects.exists()


def test_what_was_to_be_linked_is_not_once_the_sign_in_is_old(
    client: Client, mara: Person, issuer: Issuer, settings: Any
) -> None:
    back = issuer.sign_in(offered(client), **CLAIMS)

    with time_machine.travel(time.time() + settings.STEP_UP_SECONDS + 1):
        client.get(back)

    assert not SocialAccount.objects.exists()


def test_an_identity_is_linked_to_one_account_only(client: Client, linked: Person, issuer: Issuer) -> None:
    other = factories.person(Role.VIEWER, "ada@halden.example")
    client.post(reverse("account_login"), {"login": other.email, "password": PASSWORD})

    response = client.get(issuer.sign_in(offered(client), **CLAIMS))

    assert response.status_code == 403
    assert SocialAccount.objects.get().user.email == MARA


def test_an_account_is_linked_to_one_identity_only(client: Client, mara: Person, issuer: Issuer) -> None:
    client.get(issuer.sign_in(offered(client), **CLAIMS))

    response = client.get(issuer.sign_in(offered(client), **{**CLAIMS, "sub": "another"}))

    assert response.status_code == 403
    assert SocialAccount.objects.get().extra_data["sub"] == "4711"


# --- signing in there again -------------------------------------------------------------------------------------


def again(client: Client, issuer: Issuer, **claims: Any) -> Any:
    there = client.get(reverse("sso_again"), {"next": "/changes/"})["Location"]
    assert "prompt=login" in there
    assert "max_age=0" in there
    return client.get(issuer.sign_in(there, **{**CLAIMS, "auth_time": int(time.time()), **claims}))


def needs_fresh_sign_in(client: Client) -> bool:
    return "Location" in client.get(reverse("mfa_activate_totp"))


def test_having_come_by_single_sign_on_is_no_fresh_sign_in(client: Client, linked: Person, issuer: Issuer) -> None:
    come_in(client, issuer, auth_time=int(time.time()))

    assert needs_fresh_sign_in(client)


def test_whoever_is_linked_is_offered_to_sign_in_there_again(client: Client, linked: Person, issuer: Issuer) -> None:
    come_in(client, issuer)

    page = client.get(reverse("account_reauthenticate"), {"next": "/changes/"})

    assert f'href="{reverse("sso_again")}?next=%2Fchanges%2F">Use Halden login' in page.content.decode()


def test_signing_in_there_again_is_fresh_and_on_the_record(client: Client, linked: Person, issuer: Issuer) -> None:
    come_in(client, issuer)

    response = again(client, issuer)

    assert response["Location"] == "/changes/"
    assert not needs_fresh_sign_in(client)
    assert len(entries(Event.STEPPED_UP)) == 1


@pytest.mark.parametrize("auth_time", [None, 0, 1_700_000_000, "now", True, [], 9_999_999_999, -1])
def test_an_old_forged_or_missing_moment_is_no_fresh_sign_in(
    auth_time: Any, client: Client, linked: Person, issuer: Issuer
) -> None:
    come_in(client, issuer)

    response = again(client, issuer, auth_time=auth_time)

    assert response.status_code == 403
    assert "no fresh sign-in" in words(response)
    assert needs_fresh_sign_in(client)
    assert entries(Event.STEPPED_UP) == []


def test_somebody_else_there_freshens_nobody_here(client: Client, linked: Person, issuer: Issuer) -> None:
    come_in(client, issuer)

    response = again(client, issuer, sub="another")

    assert response.status_code == 403
    assert "That was somebody else" in words(response)
    assert needs_fresh_sign_in(client)
    assert is_in(client)


def test_whose_groups_stand_for_nothing_any_more_freshens_nothing(
    client: Client, linked: Person, issuer: Issuer
) -> None:
    come_in(client, issuer)

    again(client, issuer, groups=[])

    assert needs_fresh_sign_in(client)


# --- the rules --------------------------------------------------------------------------------------------------


def test_of_several_groups_the_first_in_the_map_counts() -> None:
    roles = roles_in("admins=admin, on-call=operator, dc=halden=viewer,")

    assert role_of(["all", "on-call", "admins"], roles) is Role.ADMIN
    assert role_of("on-call", roles) is Role.OPERATOR
    assert role_of(["dc=halden"], roles) is Role.VIEWER
    assert role_of(None, roles) is None


@pytest.mark.parametrize("text", ["admins", "=admin", "admins=", "admins=king", "cn=all,dc=halden"])
def test_what_is_no_map_is_refused(text: str) -> None:
    with pytest.raises(InvalidRoles):
        roles_in(text)


@pytest.mark.parametrize(
    ("auth_time", "fresh"), [(940, True), (939, False), (1070, True), (1071, False), (1000.5, True), (True, False)]
)
def test_clocks_may_be_a_minute_off(auth_time: object, fresh: bool) -> None:
    assert signed_in_since(auth_time, begun=1000, now=1010) is fresh
