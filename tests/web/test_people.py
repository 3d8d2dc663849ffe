"""The People page, what all admins are told there, and one's own password."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY as SIGN_INS
from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse

from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Person, PersonNotice
from hamr_portal.services import people
from tests import factories
from tests.services.records import whole_database

from .conftest import SignIn

pytestmark = pytest.mark.django_db

MARA = "mara@halden.example"
PASSWORD = "correct horse battery"  # of everybody that the factory makes
CHOSEN = "a whole new sentence"


@pytest.fixture
def mara() -> Person:
    return factories.person(Role.VIEWER, MARA)


def words(response: Any) -> str:
    page = re.sub(r"<(style|script|svg)[^>]*>.*?</\1>|<[^>]*>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(page.split())


def path(name: str, person: Person) -> str:
    return reverse(name, args=[person.pk])


def events() -> list[str]:
    quiet = ("session.signed_in", "session.ended")
    return list(AuditEntry.objects.exclude(event__in=quiet).order_by("seq").values_list("event", flat=True))


# --- the list ---------------------------------------------------------------------------------------------------


def test_everybody_is_listed_with_role_and_how_they_sign_in(admin: Client, mara: Person) -> None:
    Authenticator.objects.create(user=mara, type="totp", data={})
    factories.session(mara)
    out = factories.person(None, "out@halden.example")
    Person.objects.filter(pk=out.pk).update(is_active=False)

    page = words(admin.get(reverse("people")))

    assert "3 people" in page
    assert re.search(r"mara@halden\.example added .* viewer Never authenticator app 1 Edit mara@halden\.example", page)
    assert re.search(r"admin@halden\.example added .*, this is you admin Never None 1 Edit", page)
    assert re.search(r"out@halden\.example Disabled no role Never None None Edit", page)


def test_a_real_sign_in_shows_when_and_by_what(admin: Client, mara: Person) -> None:
    Client().post(reverse("account_login"), {"login": MARA, "password": PASSWORD})

    assert re.search(r"viewer \d+ s ago password None 1", words(admin.get(reverse("people"))))


def test_the_header_leads_admins_to_people_and_nobody_else(admin: Client, viewer: Client) -> None:
    link = f'<a href="{reverse("people")}"'

    assert link in admin.get(reverse("dashboard")).content.decode()
    assert link not in viewer.get(reverse("dashboard")).content.decode()


def test_fifty_are_on_a_page(admin: Client) -> None:
    Person.objects.bulk_create(
        Person(email=f"p{number:02}@halden.example", added_at=Person.objects.get().added_at) for number in range(50)
    )

    first, second = (words(admin.get(reverse("people"), {"page": number})) for number in (1, 2))

    assert "1 to 50 of 51" in first
    assert "p49@halden.example" not in first
    assert "p49@halden.example" in second


def test_an_address_is_text_whatever_it_is_made_of(admin: Client) -> None:
    person = factories.person(Role.VIEWER, '"<script>x</script>"@halden.example')
    people.disable(person, by=factories.SHELL)

    for address in (reverse("people"), path("person", person)):
        page = admin.get(address).content.decode()
        assert "<script>x" not in page
        assert "&lt;script&gt;x" in page


# --- adding -----------------------------------------------------------------------------------------------------


GIVEN = r"<code[^>]*>([a-z2-9-]{24})</code>"


def shown_password(response: Any) -> str:
    (password,) = re.findall(GIVEN, response.content.decode())
    return str(password)


def test_somebody_is_added_and_their_first_password_shown_this_once(
    admin: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    response = admin.post(reverse("person_add"), {"email": MARA, "role": "OPERATOR"})

    password = shown_password(response)
    person = Person.objects.get(email=MARA)
    assert (response.status_code, response["Cache-Control"]) == (200, "no-store")
    assert (person.held_role, person.check_password(password)) == (Role.OPERATOR, True)
    assert events() == ["person.added"]
    later = [admin.get(reverse("people")), admin.get(path("person", person)), admin.get(reverse("audit"))]
    told = "\n".join([*(each.content.decode() for each in later), caplog.text, whole_database(), str(admin.cookies)])
    assert password not in told


def test_loading_the_answer_anew_adds_nobody_and_shows_no_password(admin: Client) -> None:
    typed = {"email": MARA, "role": "OPERATOR"}
    password = shown_password(admin.post(reverse("person_add"), typed))

    again = admin.post(reverse("person_add"), typed)

    assert again.status_code == 422
    assert "mara@halden.example is here already, as operator." in words(again)
    assert not re.search(GIVEN, again.content.decode())
    assert Person.objects.get(email=MARA).check_password(password)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ({"email": "", "role": "VIEWER"}, "Type the address that they sign in with."),
        ({"email": "mara", "role": "VIEWER"}, "Type an address such as anna@halden.example."),
        ({"email": f"{'x' * 250}@y.example", "role": "VIEWER"}, "at most 254 characters"),
        ({"email": "m\x00@y.example", "role": "VIEWER"}, "Null characters are not allowed."),
        ({"email": MARA, "role": ""}, "Choose a role."),
        ({"email": MARA, "role": "ROOT"}, "Choose a role from the list."),
    ],
)
def test_what_is_no_person_is_refused_with_a_sentence_and_the_text_is_kept(
    admin: Client, typed: dict[str, str], sentence: str
) -> None:
    response = admin.post(reverse("person_add"), typed)

    assert response.status_code == 422
    assert sentence in words(response)
    assert "Not added: new person" in words(response)
    assert Person.objects.count() == 1


def test_an_empty_form_asks_for_address_and_role(admin: Client) -> None:
    page = words(admin.get(reverse("person_add")))

    assert "A first password is shown once" in page.replace("Next: a", "A")
    assert "operator: also changes statuses" in page


# --- one person -------------------------------------------------------------------------------------------------


def test_a_role_is_changed_from_the_page_of_a_person(admin: Client, mara: Person) -> None:
    page = admin.get(path("person", mara)).content.decode()
    response = admin.post(path("person_role", mara), {"role": "OPERATOR", "was": "VIEWER"}, follow=True)

    assert '<input type="hidden" name="was" value="VIEWER"' in page
    assert "mara@halden.example: is operator now. All admins are told." in words(response)
    assert Person.objects.get(pk=mara.pk).held_role is Role.OPERATOR
    assert events() == ["person.role_changed"]


def test_somebody_without_a_role_has_a_form_that_says_so(admin: Client) -> None:
    nobody = factories.person(None)

    response = admin.post(path("person_role", nobody), {"role": "VIEWER", "was": ""}, follow=True)

    assert "nobody@halden.example: is viewer now." in words(response)


@pytest.mark.parametrize(
    ("role", "was", "sentence"),
    [
        ("", "VIEWER", "Choose a role."),
        ("ROOT", "VIEWER", "Choose a role from the list."),
        ("ADMIN", "x", "Role not changed: the form did not come whole."),
    ],
)
def test_a_role_that_is_none_changes_nothing(admin: Client, mara: Person, role: str, was: str, sentence: str) -> None:
    response = admin.post(path("person_role", mara), {"role": role, "was": was})

    assert response.status_code == 422
    assert sentence in words(response)
    assert "Role not changed: mara@halden.example" in words(response)
    assert Person.objects.get(pk=mara.pk).held_role is Role.VIEWER


def test_a_role_that_another_admin_changed_meanwhile_stays(admin: Client, mara: Person) -> None:
    Person.objects.filter(pk=mara.pk).update(role=Role.AUDITOR)

    response = admin.post(path("person_role", mara), {"role": "OPERATOR", "was": "VIEWER"}, follow=True)

    assert "Role not changed. mara@halden.example is auditor already." in words(response)
    assert Person.objects.get(pk=mara.pk).held_role is Role.AUDITOR


def test_somebody_is_disabled_and_enabled(admin: Client, mara: Person) -> None:
    theirs = Client()
    theirs.force_login(mara)

    disabled = admin.post(path("person_disable", mara), follow=True)
    out = theirs.get(reverse("dashboard"))
    enabled = admin.post(path("person_enable", mara), follow=True)

    assert "mara@halden.example: disabled, and signed out everywhere." in words(disabled)
    assert (out.status_code, out["Location"].startswith(reverse("account_login"))) == (302, True)
    assert "mara@halden.example: enabled." in words(enabled)
    assert theirs.get(reverse("dashboard")).status_code == 302, "the session before is not taken up again"
    assert events() == ["person.disabled", "person.enabled"]


def test_second_factors_are_reset(admin: Client, mara: Person) -> None:
    Authenticator.objects.create(user=mara, type="totp", data={})

    button = f'action="{path("person_reset_factors", mara)}"'
    before = admin.get(path("person", mara)).content.decode()
    response = admin.post(path("person_reset_factors", mara), follow=True)

    assert button in before
    assert "mara@halden.example: second factors taken away." in words(response)
    assert button not in response.content.decode()


def test_sessions_are_ended(admin: Client, mara: Person) -> None:
    theirs = Client()
    theirs.force_login(mara)

    first = admin.post(path("person_end_sessions", mara), follow=True)
    second = admin.post(path("person_end_sessions", mara), follow=True)

    assert "mara@halden.example: signed out everywhere." in words(first)
    assert theirs.get(reverse("dashboard")).status_code == 302
    assert "Not ended. mara@halden.example is signed in nowhere." in words(second)


def test_a_lost_password_is_replaced_by_one_that_is_shown_once(admin: Client, mara: Person) -> None:
    response = admin.post(path("person_set_password", mara))

    assert Person.objects.get(pk=mara.pk).check_password(shown_password(response))
    assert response["Cache-Control"] == "no-store"
    assert events() == ["person.password_set"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("person_role", "Role not changed. This is your own account."),
        ("person_disable", "Not disabled. This is your own account."),
        ("person_reset_factors", "Not reset. This is your own account."),
        ("person_end_sessions", "Not ended. This is your own account."),
        ("person_set_password", "No new password. This is your own account."),
    ],
)
def test_nobody_does_it_to_themself(admin: Client, name: str, sentence: str) -> None:
    myself = Person.objects.get()

    page = admin.get(path("person", myself)).content.decode()
    response = admin.post(path(name, myself), {"role": "VIEWER", "was": "ADMIN"}, follow=True)

    assert "Another admin changes its role" in page
    assert path(name, myself) not in page
    assert sentence in words(response)
    assert Person.objects.get().held_role is Role.ADMIN


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("person_role", {"role": "ADMIN", "was": "VIEWER"}),
        ("person_disable", {}),
        ("person_set_password", {}),
        ("person_add", {"email": "new@halden.example", "role": "ADMIN"}),
    ],
)
def test_an_admin_who_is_none_any_more_at_that_moment_is_refused(
    admin: Client, mara: Person, monkeypatch: pytest.MonkeyPatch, name: str, typed: dict[str, str]
) -> None:
    address = reverse(name) if name == "person_add" else path(name, mara)
    # Another admin is faster: between the door and the service.
    monkeypatch.setattr("hamr_portal.web.people.actor_of", demoted)

    response = admin.post(address, typed)

    assert response.status_code == 403
    assert "Needs: admin." in words(response)
    assert Person.objects.get(pk=mara.pk).held_role is Role.VIEWER
    assert events() == ["authz.denied"]


def demoted(request: Any) -> Any:
    from hamr_portal.web.actors import actor_of

    Person.objects.filter(pk=request.user.pk).update(role=Role.VIEWER)
    return actor_of(request)


def test_somebody_who_is_not_there_has_no_page(admin: Client) -> None:
    assert admin.get(reverse("person", args=[4711])).status_code == 404


def test_what_was_chosen_is_kept_while_the_portal_asks_to_sign_in_again(
    admin: Client, mara: Person, settings: Any
) -> None:
    stale(admin)

    response = admin.post(path("person_role", mara), {"role": "AUDITOR", "was": "VIEWER"})
    page = admin.get(path("person", mara)).content.decode()

    assert response["Location"].startswith(reverse("account_reauthenticate"))
    assert Person.objects.get(pk=mara.pk).held_role is Role.VIEWER
    assert re.search(r'<option value="AUDITOR" selected>', page)


@pytest.mark.parametrize(
    "name", ["person_disable", "person_enable", "person_reset_factors", "person_end_sessions", "person_set_password"]
)
def test_each_button_needs_a_fresh_sign_in(admin: Client, mara: Person, name: str) -> None:
    stale(admin)

    response = admin.post(path(name, mara))

    assert response["Location"].startswith(reverse("account_reauthenticate"))
    assert events() == []


def stale(client: Client) -> None:
    """Let the sign-in of a browser be an hour old."""
    session = client.session
    session[SIGN_INS] = [{**record, "at": record["at"] - 3600} for record in session[SIGN_INS]]
    session.save()


# --- what all admins are told -----------------------------------------------------------------------------------


def test_another_admin_is_told_on_every_page_until_they_say_that_they_saw_it(admin: Client, mara: Person) -> None:
    other = Client()
    other.force_login(factories.person(Role.ADMIN, "other@halden.example"))
    admin.post(path("person_role", mara), {"role": "OPERATOR", "was": "VIEWER"})

    page = other.get(reverse("changes"))
    newest = re.search(r'name="newest" value="(\d+)"', page.content.decode())
    assert newest is not None
    seen = other.post(reverse("people_seen"), {"newest": newest[1]}, headers={"referer": "http://testserver/changes/"})

    sentence = "admin@halden.example changed the role of mara@halden.example from viewer to operator."
    assert sentence in words(page)
    assert seen["Location"] == "/changes/"
    assert sentence not in words(other.get(reverse("changes")))
    assert events()[-1] == "person.notice_seen"
    assert sentence not in words(admin.get(reverse("changes"))), "who did it was there"


def test_somebody_whose_own_role_was_changed_is_told_without_a_link_to_the_log(admin: Client, mara: Person) -> None:
    theirs = Client()
    theirs.force_login(mara)

    admin.post(path("person_role", mara), {"role": "OPERATOR", "was": "VIEWER"})
    page = theirs.get(reverse("changes"))

    assert "admin@halden.example changed your role from viewer to operator." in words(page)
    assert "Entry" not in words(page)


@pytest.mark.parametrize(
    ("event", "to_me", "of_another"),
    [
        ("person.added", "", "boss added mara@halden.example as viewer."),
        ("person.disabled", "", "boss disabled mara@halden.example."),
        ("person.enabled", "boss enabled you.", "boss enabled mara@halden.example."),
        (
            "person.factors_reset",
            "boss reset your second factor.",
            "boss reset the second factor of mara@halden.example.",
        ),
        ("person.password_set", "boss set your password.", "boss set a password for mara@halden.example."),
    ],
)
def test_each_has_its_sentence(event: str, to_me: str, of_another: str, admin: Client, mara: Person) -> None:
    theirs = Client()
    theirs.force_login(mara)
    me, at = Person.objects.get(email="admin@halden.example"), mara.added_at
    for reader in (me, mara):
        PersonNotice.objects.create(person=reader, about=mara, event=event, after="viewer", by="boss", at=at, entry=1)

    assert of_another in words(admin.get(reverse("changes")))
    assert to_me in words(theirs.get(reverse("changes")))


@pytest.mark.parametrize("newest", ["", "x", "-1", "9" * 400, "²"])
def test_what_is_no_number_has_seen_nothing_or_everything_and_fails_nothing(newest: str, viewer: Client) -> None:
    assert viewer.post(reverse("people_seen"), {"newest": newest}).status_code == 302


# --- one's own password -----------------------------------------------------------------------------------------


def signed_in_for_real(email: str = MARA, password: str = PASSWORD) -> Client:
    client = Client()
    response = client.post(reverse("account_login"), {"login": email, "password": password})
    assert response.status_code == 302
    return client


def change(client: Client, old: str = PASSWORD, new: str = CHOSEN, again: str | None = None) -> Any:
    typed = {"oldpassword": old, "password1": new, "password2": new if again is None else again}
    return client.post(reverse("account_change_password"), typed, follow=True)


def test_somebody_changes_their_password_and_their_other_sessions_end(mara: Person) -> None:
    here, elsewhere = signed_in_for_real(), signed_in_for_real()

    response = change(here)

    assert "Password changed. Your other sessions are ended." in words(response)
    assert here.get(reverse("changes")).status_code == 200
    assert elsewhere.get(reverse("changes")).status_code == 302
    assert Person.objects.get(pk=mara.pk).check_password(CHOSEN)
    assert events() == ["person.password_set"]
    assert CHOSEN not in whole_database()


@pytest.mark.parametrize(
    ("old", "new", "again", "sentence"),
    [
        ("wrong", CHOSEN, None, "This is not your current password."),
        (PASSWORD, "4711-canary", None, "too short"),
        (PASSWORD, "password1234", None, "too common"),
        (PASSWORD, CHOSEN, "another", "same password"),
        (PASSWORD, "", None, "required"),
    ],
)
def test_a_password_that_will_not_do_changes_nothing(
    mara: Person, old: str, new: str, again: str | None, sentence: str
) -> None:
    response = change(signed_in_for_real(), old, new, again)

    assert "Not changed" in words(response)
    assert sentence.lower() in words(response).lower()
    assert Person.objects.get(pk=mara.pk).check_password(PASSWORD)
    assert not new or new not in response.content.decode()


def test_wrong_current_passwords_are_on_the_record_and_after_five_none_is_looked_at(mara: Person) -> None:
    client = signed_in_for_real()
    for _ in range(5):
        change(client, "canary wrong password")

    right = change(client)

    assert right.status_code == 429
    assert "Too many sign-ins failed." in words(right)
    assert Person.objects.get(pk=mara.pk).check_password(PASSWORD)
    failed, locked = AuditEntry.objects.exclude(event="session.signed_in").order_by("seq")
    assert (failed.event, failed.outcome, failed.actor_name) == ("session.sign_in_failed", "STEP_UP", MARA)
    assert (locked.event, locked.outcome, locked.actor_name) == ("session.locked_out", "STEP_UP", MARA)
    assert "canary" not in whole_database()


def test_whoever_has_stolen_a_cookie_keeps_its_owner_from_no_new_password(mara: Person) -> None:
    client = signed_in_for_real()
    thief = Client(REMOTE_ADDR="203.0.113.9")
    thief.cookies = client.cookies
    refused = [change(thief, "wrong").status_code for _ in range(12)]

    change(client)

    assert refused == [200] * 5 + [429] * 7
    assert Person.objects.get(pk=mara.pk).check_password(CHOSEN)


def test_with_a_first_password_nothing_is_shown_before_one_is_chosen(admin: Client) -> None:
    password = shown_password(admin.post(reverse("person_add"), {"email": MARA, "role": "OPERATOR"}))
    client = signed_in_for_real(password=password)

    led = [
        client.get(reverse(name))
        for name in ("dashboard", "changes", "dashboard_live", "mfa_index", "usersessions_list")
    ]
    page = client.get(reverse("account_change_password"))
    same = change(client, password, password)
    chosen = change(client, password)

    assert {each["Location"] for each in led} == {reverse("account_change_password")}
    assert "Somebody else knows the one you signed in with." in words(page)
    assert "Choose another than the one that was given to you." in words(same)
    assert chosen.redirect_chain == [(reverse("dashboard"), 302)]
    assert client.get(reverse("changes")).status_code == 200
    assert Person.objects.get(email=MARA).password_given_at is None


def test_who_came_without_the_first_password_is_not_held_up_by_it(admin: Client, mara: Person) -> None:
    admin.post(path("person_set_password", mara))
    client = Client()
    client.force_login(Person.objects.get(pk=mara.pk))
    session = client.session
    session[SIGN_INS] = [{"method": "socialaccount", "at": session[SIGN_INS][0]["at"]}]
    session.save()

    assert client.get(reverse("changes")).status_code == 200


def test_no_other_role_reaches_the_page(signed_in: SignIn) -> None:
    for role in (Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.AUDITOR):
        assert signed_in(role).get(reverse("people")).status_code == 403
