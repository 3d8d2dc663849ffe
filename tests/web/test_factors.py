from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from fido2 import cbor
from fido2.cose import ES256
from fido2.utils import websafe_encode

from hamr_portal.domain.audit import Event
from hamr_portal.domain.people import Role
from hamr_portal.models import Person
from hamr_portal.services import factors, keys, people, rooms
from hamr_portal.web.factor_forms import CodeForm
from tests import factories
from tests.services import changing
from tests.services.records import entries, whole_database

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
MARA = "mara@halden.example"
NOW = datetime.fromisoformat("2026-03-15T03:06:32+00:00")
STEP = timedelta(seconds=30)
SECRET = re.compile(r'<code class="mono">([A-Z2-7]+)</code>')


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    rooms.left_out.take()
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller
    rooms.left_out.take()


@pytest.fixture
def mara(client: Client) -> Person:
    """Give somebody who has just signed in."""
    person = factories.person(Role.OPERATOR, MARA)
    sign_in(client)
    return person


def sign_in(client: Client, password: str = PASSWORD) -> Any:
    return client.post(reverse("account_login"), {"login": MARA, "password": password})


def code_of(secret: str, steps: int = 0) -> str:
    """Give what an authenticator app shows now, or some steps from now."""
    code: str = format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))
    return code


def shown_secret(client: Client) -> str:
    found = SECRET.search(client.get(reverse("mfa_activate_totp")).content.decode())
    assert found
    return found[1]


def with_app(client: Client) -> str:
    """Add an authenticator app to whoever is signed in, and give its secret."""
    secret = shown_secret(client)
    client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})
    return secret


def with_codes(client: Client) -> list[str]:
    """Give the recovery codes that came with the first factor."""
    page = client.get(reverse("mfa_view_recovery_codes")).content.decode()
    shown = re.search(r'<pre class="code">(.*?)</pre>', page, re.DOTALL)
    return shown[1].split() if shown else []


def begun(clock: time_machine.Traveller) -> Client:
    """Give a browser in which the password was right, some time later: what was used to add a factor is no more."""
    clock.shift(10 * STEP)
    client = Client()
    sign_in(client)
    return client


def second(client: Client, code: str) -> Any:
    return client.post(reverse("mfa_authenticate"), {"code": code})


def is_in(client: Client) -> bool:
    return client.get("/").status_code == 200


# --- adding and removing ----------------------------------------------------------------------------------------


def test_an_authenticator_app_is_added_with_its_code_and_recovery_codes_come_with_it(
    client: Client, mara: Person
) -> None:
    secret = shown_secret(client)

    response = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})

    assert response["Location"] == reverse("mfa_view_recovery_codes")
    assert len(with_codes(client)) == 10
    assert [(entry.actor, entry.data) for entry in entries(Event.FACTOR_ADDED)] == [
        (MARA, {"email": MARA, "factor": "authenticator app"}),
        (MARA, {"email": MARA, "factor": "recovery codes"}),
    ]


def test_a_wrong_first_code_adds_nothing_and_keeps_the_secret(client: Client, mara: Person) -> None:
    secret = shown_secret(client)

    response = client.post(reverse("mfa_activate_totp"), {"code": "000000"})

    assert secret in response.content.decode()
    assert not Authenticator.objects.exists()
    assert entries(Event.FACTOR_ADDED) == []


def test_the_secret_is_drawn_as_a_picture_of_its_own(client: Client, mara: Person) -> None:
    shown_secret(client)

    response = client.get(reverse("mfa_totp_picture"))

    assert response["Content-Type"] == "image/svg+xml"
    assert response["Cache-Control"] == "no-store"
    assert response.content.startswith(b"<?xml")
    assert b"<path" in response.content


def test_without_a_secret_that_waits_there_is_no_picture(client: Client, mara: Person) -> None:
    response = client.get(reverse("mfa_totp_picture"))

    assert response["Location"] == reverse("mfa_activate_totp")


def test_where_the_ring_is_away_there_is_no_picture(client: Client, mara: Person) -> None:
    shown_secret(client)
    settings.KEY_RING_FILE.unlink()

    response = client.get(reverse("mfa_totp_picture"))

    assert response["Location"] == reverse("mfa_activate_totp")


def test_removing_the_last_factor_removes_the_recovery_codes_and_both_are_on_the_record(
    client: Client, mara: Person
) -> None:
    with_app(client)

    client.post(reverse("mfa_deactivate_totp"))

    assert not Authenticator.objects.exists()
    assert [entry.data["factor"] for entry in entries(Event.FACTOR_REMOVED)] == ["authenticator app", "recovery codes"]


def test_new_recovery_codes_take_the_place_of_the_old_ones_on_the_record(client: Client, mara: Person) -> None:
    with_app(client)
    old = with_codes(client)

    client.post(reverse("mfa_generate_recovery_codes"))

    assert not set(old) & set(with_codes(client))
    assert [entry.event for entry in entries(Event.FACTOR_ADDED, Event.FACTOR_REMOVED)][2:] == [
        Event.FACTOR_REMOVED,
        Event.FACTOR_ADDED,
    ]


def test_recovery_codes_are_shown_once(client: Client, mara: Person) -> None:
    with_app(client)

    first, again = with_codes(client), with_codes(client)

    assert (len(first), again) == (10, [])


@pytest.mark.parametrize(
    "name", ["mfa_activate_totp", "mfa_deactivate_totp", "mfa_generate_recovery_codes", "mfa_view_recovery_codes"]
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_what_concerns_factors_asks_for_a_fresh_sign_in(
    name: str, method: str, client: Client, mara: Person, clock: time_machine.Traveller
) -> None:
    with_app(client)
    clock.shift(timedelta(seconds=settings.STEP_UP_SECONDS + 1))

    response = getattr(client, method)(reverse(name))

    assert response["Location"].startswith(reverse("account_reauthenticate") + "?next=")
    assert Authenticator.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_factor_that_cannot_be_recorded_is_not_added(
    client: Client, mara: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = shown_secret(client)
    monkeypatch.setattr(settings, "ANCHOR_FILE", settings.ANCHOR_FILE)  # nothing but the ring is gone below
    client.raise_request_exception = False
    settings.KEY_RING_FILE.unlink()

    response = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})

    assert response.status_code == 503
    assert not Authenticator.objects.exists()


# --- signing in -------------------------------------------------------------------------------------------------


def test_with_a_second_factor_the_password_alone_lets_nobody_in(
    client: Client, mara: Person, clock: time_machine.Traveller
) -> None:
    with_app(client)

    half = begun(clock)

    assert not is_in(half)
    assert half.get(reverse("mfa_index"))["Location"].startswith(reverse("account_login"))
    assert len(entries(Event.SIGNED_IN)) == 1


def test_the_code_that_the_app_shows_lets_in_and_the_record_says_so(
    client: Client, mara: Person, clock: time_machine.Traveller
) -> None:
    secret = with_app(client)
    half = begun(clock)

    second(half, code_of(secret))

    assert is_in(half)
    assert len(entries(Event.SIGNED_IN)) == 2


@pytest.mark.parametrize("seconds", [0, 29, 31, 59])
def test_the_same_code_twice_is_refused_as_long_as_it_would_do(
    seconds: int, client: Client, mara: Person, clock: time_machine.Traveller
) -> None:
    secret = with_app(client)
    first = begun(clock)
    code = code_of(secret, steps=1)
    second(first, code)
    again = Client()
    clock.shift(timedelta(seconds=seconds))
    sign_in(again)

    refused = second(again, code)

    assert is_in(first)
    assert not is_in(again)
    assert "its code was used" in refused.content.decode()


def test_the_code_that_added_the_app_lets_nobody_in(client: Client, mara: Person) -> None:
    secret = with_app(client)
    half = Client()
    sign_in(half)

    second(half, code_of(secret))

    assert not is_in(half)


def test_a_recovery_code_lets_in_once(client: Client, mara: Person, clock: time_machine.Traveller) -> None:
    with_app(client)
    code = with_codes(client)[3]
    first, again = begun(clock), begun(clock)

    second(first, code)
    second(again, code)

    assert (is_in(first), is_in(again)) == (True, False)


def test_wrong_codes_are_on_the_record_and_the_sixth_is_not_looked_at(
    client: Client, mara: Person, clock: time_machine.Traveller
) -> None:
    secret = with_app(client)
    half = begun(clock)

    for _ in range(5):
        second(half, "000000")
    response = second(half, code_of(secret))

    assert response.status_code == 429
    assert "Too many sign-ins failed." in response.content.decode()
    assert not is_in(half)
    assert [entry.outcome for entry in entries(Event.SIGN_IN_FAILED)] == ["FACTOR"]
    assert len(entries(Event.LOCKED_OUT)) == 1


def test_right_codes_are_not_counted(client: Client, mara: Person, clock: time_machine.Traveller) -> None:
    secret = with_app(client)
    for _ in range(6):
        half = begun(clock)
        second(half, code_of(secret))

    assert is_in(half)


def test_a_right_code_wipes_no_failures_of_its_address(
    client: Client, mara: Person, clock: time_machine.Traveller
) -> None:
    secret = with_app(client)
    half = begun(clock)
    for number in range(19):
        clock.shift(0.001)  # what is taken back is known by its moment
        Client().post(reverse("account_login"), {"login": f"{number % 7}@halden.example", "password": "wrong"})

    clock.shift(0.001)
    second(half, code_of(secret))
    clock.shift(0.001)
    sign_in(Client(), "wrong")
    other = sign_in(Client(), "wrong")

    assert is_in(half)
    assert "Too many sign-ins failed." in other.content.decode()


def in_sessions() -> str:
    """Give what the sessions hold, which is packed in their table."""
    return str([session.get_decoded() for session in Session.objects.all()])


# --- how secrets are kept ---------------------------------------------------------------------------------------


def test_no_secret_and_no_code_is_in_the_database_not_even_while_it_waits(client: Client, mara: Person) -> None:
    secret = shown_secret(client)
    while_it_waits = whole_database() + in_sessions()
    client.post(reverse("mfa_activate_totp"), {"code": code_of(secret)})
    seed = factors.opened(Authenticator.objects.get(type="recovery_codes").data["seed"], mara)

    codes = with_codes(client)

    told = while_it_waits + whole_database() + in_sessions()
    assert [word for word in (secret, seed, *codes) if word in told] == []


def test_the_secret_of_somebody_else_opens_nothing(client: Client, mara: Person, clock: time_machine.Traveller) -> None:
    with_app(client)
    other = factories.person(Role.ADMIN, "ada@halden.example")
    secret = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
    Authenticator.objects.filter(user=mara, type="totp").update(data={"secret": factors.sealed(secret, other)})
    codes = with_codes(client)
    half = begun(clock)

    with_their_secret = second(half, code_of(secret))
    second(half, codes[0])

    assert with_their_secret.status_code == 200
    assert is_in(half)


def test_where_the_ring_is_away_a_code_is_refused_with_the_reason(
    client: Client, mara: Person, clock: time_machine.Traveller
) -> None:
    secret = with_app(client)
    half = begun(clock)
    settings.KEY_RING_FILE.unlink()

    response = second(half, code_of(secret))

    assert response.status_code == 200
    assert "The key ring cannot be read" in response.content.decode()
    assert not is_in(half)


@pytest.mark.parametrize("name", ["mfa_activate_totp", "mfa_view_recovery_codes", "mfa_generate_recovery_codes"])
def test_where_the_ring_is_away_the_pages_of_factors_say_so(name: str, client: Client, mara: Person) -> None:
    if name != "mfa_activate_totp":
        with_app(client)
    settings.KEY_RING_FILE.unlink()

    response = client.get(reverse(name))

    assert response.status_code == 503
    assert "The key ring cannot be read" in response.content.decode()


def test_recovery_codes_whose_seal_is_broken_are_not_shown(client: Client, mara: Person) -> None:
    with_app(client)
    other = factories.person(Role.ADMIN, "ada@halden.example")
    stolen = {"seed": factors.sealed("0" * 80, other), "used_mask": 0}
    Authenticator.objects.filter(type="recovery_codes").update(data=stolen)

    response = client.get(reverse("mfa_view_recovery_codes"))

    assert response.status_code == 409
    assert "cannot be opened" in response.content.decode()


def test_secrets_of_factors_are_among_what_is_sealed_anew(client: Client, mara: Person) -> None:
    secret = with_app(client)
    rows = {row.label: row for row in keys.sealed_rows()}
    row = rows[f"the authenticator app of {MARA}"]
    anew = factors.sealed(secret, mara)

    swapped = row.swap({"secret": anew})
    again = row.swap({"secret": "another"})

    assert set(rows) == {f"the authenticator app of {MARA}", f"the recovery codes of {MARA}"}
    assert (swapped, again) == (True, False)
    assert Authenticator.objects.get(type="totp").data == {"secret": anew}


MALFORMED = [
    '{"response": {}}',
    '{"id": "a", "rawId": "a", "type": "public-key", "response": {}}',
    '{"id": "YQ", "rawId": "YQ", "type": "public-key", "response": []}',
    '{"id": "YQ", "rawId": "YQ", "type": "public-key", "response": {"clientDataJSON": "YQ", "attestationObject": "YQ", '
    '"authenticatorData": "YQ", "signature": "YQ"}}',
    '{"id": "YQ", "rawId": "YQ", "type": "public-key", "response": {"clientDataJSON": "e30", "attestationObject": "o", '
    '"authenticatorData": "YQ", "signature": 7}}',
    '{"id": null, "rawId": {}, "type": 1, "response": {"clientDataJSON": null}}',
]


# --- security keys ----------------------------------------------------------------------------------------------


def test_what_is_asked_of_a_security_key_stands_in_the_form(client: Client, mara: Person) -> None:
    page = client.get(reverse("mfa_add_webauthn")).content.decode()

    asked = re.search(r'data-asked="([^"]*)"', page)
    assert asked
    options = json.loads(asked[1].replace("&quot;", '"'))["creation_options"]["publicKey"]
    assert options["rp"] == {"id": "testserver", "name": "HAMR Portal"}
    assert options["user"]["name"] == MARA


@pytest.mark.parametrize("credential", ["", "{}", "[]", '"x"', "null", "{", '{"id": 1}', *MALFORMED, "7"])
def test_what_no_security_key_has_signed_is_refused_without_a_failure(
    credential: str, client: Client, mara: Person, clock: time_machine.Traveller
) -> None:
    with_app(client)
    client.get(reverse("mfa_add_webauthn"))
    added = client.post(reverse("mfa_add_webauthn"), {"name": "x", "credential": credential})
    half = begun(clock)
    half.get(reverse("mfa_authenticate"))

    refused = half.post(reverse("mfa_authenticate"), {"credential": credential})

    assert (added.status_code, refused.status_code) == (200, 200)
    assert Authenticator.objects.count() == 2
    assert not is_in(half)


def test_a_security_key_is_asked_for_where_there_is_one(
    client: Client, mara: Person, clock: time_machine.Traveller
) -> None:
    with_app(client)

    page = begun(clock).get(reverse("mfa_authenticate")).content.decode()

    assert "Use a security key" not in page


def test_one_removes_no_key_of_somebody_else(client: Client, mara: Person) -> None:
    other = factories.person(Role.ADMIN, "ada@halden.example")
    theirs = Authenticator.objects.create(user=other, type="webauthn", data={"name": "Ada's", "credential": {}})

    client.post(reverse("mfa_remove_webauthn", args=[theirs.pk]))

    assert Authenticator.objects.filter(pk=theirs.pk).exists()


# --- with a stolen cookie, and with half a sign-in --------------------------------------------------------------


def made_up_key(client: Client) -> str:
    """Give what a security key that a program has made up would sign, for the page that is open."""
    client.get(reverse("mfa_add_webauthn"))
    challenge = client.session["mfa.webauthn.state"]["challenge"]
    public, number = ES256.from_cryptography_key(ec.generate_private_key(ec.SECP256R1()).public_key()), bytes(16)
    host = hashlib.sha256(b"testserver").digest()
    data = host + b"\x45" + bytes(20) + len(number).to_bytes(2) + number + cbor.encode(dict(public))
    made = {"type": "webauthn.create", "challenge": challenge, "origin": "https://testserver"}
    signed = {
        "clientDataJSON": websafe_encode(json.dumps(made).encode()),
        "attestationObject": websafe_encode(cbor.encode({"fmt": "none", "attStmt": {}, "authData": data})),
    }
    return json.dumps(
        {"id": websafe_encode(number), "rawId": websafe_encode(number), "type": "public-key"}
        | {
            "response": signed,
            "clientExtensionResults": {},
        }
    )


@pytest.mark.parametrize(("name", "stays_fresh"), [("\x00", False), ("My key", True)])
def test_a_key_that_is_not_added_keeps_no_sign_in_fresh(
    client: Client, mara: Person, clock: time_machine.Traveller, name: str, stays_fresh: bool
) -> None:
    clock.shift(timedelta(seconds=290))
    client.post(reverse("mfa_add_webauthn"), {"name": name, "credential": made_up_key(client)})

    clock.shift(timedelta(seconds=290))

    assert (client.get(reverse("mfa_activate_totp")).status_code == 200) is stays_fresh
    assert Authenticator.objects.filter(type="webauthn").exists() is stays_fresh


# --- what ends a sign-in that waits -----------------------------------------------------------------------------


def end_others(client: Client, mara: Person) -> None:
    client.post(reverse("sessions_end_others"))


def end_all(client: Client, mara: Person) -> None:
    people.end_sessions(mara, by=changing.admin())


def choose_password(client: Client, mara: Person) -> None:
    people.choose_password(mara, "another horse battery", by=factories.ADMIN, but=None)


def give_password(client: Client, mara: Person) -> None:
    people.give_password(mara, by=changing.admin())


def change_role(client: Client, mara: Person) -> None:
    people.change_role(mara, Role.VIEWER, was=Role.OPERATOR, by=changing.admin())


def disable(client: Client, mara: Person) -> None:
    people.disable(mara, by=changing.admin())


def disable_for_a_while(client: Client, mara: Person) -> None:
    disable(client, mara)
    people.enable(mara, by=changing.admin())


def reset_factors(client: Client, mara: Person) -> None:
    people.reset_factors(mara, by=changing.admin())


def reset_factors_and_add_one(client: Client, mara: Person) -> None:
    data = Authenticator.objects.get(type="totp").data
    reset_factors(client, mara)
    Authenticator.objects.create(user=mara, type="totp", data=data)


@pytest.mark.parametrize(
    "end",
    [
        *(end_others, end_all, choose_password, give_password, change_role),
        *(disable, disable_for_a_while, reset_factors, reset_factors_and_add_one),
    ],
)
def test_a_sign_in_that_waits_is_over_once_what_it_rests_on_is_another(
    end: Callable[[Client, Person], None], client: Client, mara: Person, clock: time_machine.Traveller
) -> None:
    secret = with_app(client)
    waiting = begun(clock)
    end(client, mara)

    response = second(waiting, code_of(secret))
    said = waiting.get(response["Location"])

    assert response["Location"] == reverse("account_login")
    assert "this sign-in is over. Next: sign in again." in said.content.decode()
    assert not is_in(waiting)
    assert len(entries(Event.SIGNED_IN)) == 1
    assert [(entry.actor, entry.outcome) for entry in entries(Event.SIGN_IN_FAILED)] == [(MARA, "OVERTAKEN")]


def test_it_is_over_on_looking_at_the_page_already_and_can_be_begun_again(
    client: Client, mara: Person, clock: time_machine.Traveller
) -> None:
    secret = with_app(client)
    waiting = begun(clock)
    end_others(client, mara)

    looked = waiting.get(reverse("account_login"), follow=True)
    sign_in(waiting)
    second(waiting, code_of(secret))

    assert looked.redirect_chain == [(reverse("mfa_authenticate"), 302), (reverse("account_login"), 302)]
    assert is_in(waiting)
    assert "rests_on" not in waiting.session


def test_it_is_over_too_if_that_comes_while_the_code_is_looked_at(
    client: Client, mara: Person, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = with_app(client)
    waiting = begun(clock)
    looks_at_it = CodeForm.clean_code

    def meanwhile(form: CodeForm) -> str:
        end_all(client, mara)
        return looks_at_it(form)

    monkeypatch.setattr(CodeForm, "clean_code", meanwhile)

    response = second(waiting, code_of(secret))

    assert response["Location"] == reverse("account_login")
    assert not is_in(waiting)
    assert len(entries(Event.SIGNED_IN)) == 1


def test_whoever_has_stolen_a_cookie_keeps_its_owner_from_nothing(
    client: Client, mara: Person, clock: time_machine.Traveller
) -> None:
    secret = with_app(client)
    clock.shift(timedelta(minutes=10))
    thief = Client(REMOTE_ADDR="203.0.113.9")
    thief.cookies = client.cookies
    for _ in range(12):
        thief.post(reverse("mfa_reauthenticate"), {"code": "000000"})

    again = client.post(reverse("mfa_reauthenticate"), {"code": code_of(secret), "next": "/"})

    assert again.status_code == 302


@pytest.mark.parametrize("factor", [False, True])
def test_a_password_is_changed_with_a_fresh_sign_in_only(
    client: Client, mara: Person, clock: time_machine.Traveller, factor: bool
) -> None:
    if factor:
        with_app(client)
    clock.shift(timedelta(minutes=10))
    typed = {"oldpassword": PASSWORD, "password1": "another horse battery", "password2": "another horse battery"}

    response = client.post(reverse("account_change_password"), typed)

    assert response["Location"].startswith(reverse("account_reauthenticate"))
    assert Person.objects.get(pk=mara.pk).check_password(PASSWORD)
