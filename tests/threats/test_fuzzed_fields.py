"""Whatever is put into whichever field: an answer, and never a failure. Also in addresses, headers and bodies."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from http.cookies import SimpleCookie
from random import Random
from typing import Any
from urllib.parse import quote

import pytest
from django.db import transaction
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from hamr_portal.checks import views
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.people import Role
from hamr_portal.models import Person
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing
from tests.web.conftest import pk_for, recorded

from .hostile import TEXTS, field_names

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

ROUTES = [route for route, _ in views(get_resolver().url_patterns)]
FORM = "application/x-www-form-urlencoded"


def thorough(names: Iterable[str], *, but: Collection[str]) -> list[Any]:
    return [pytest.param(name, marks=[] if name in but else [pytest.mark.thorough]) for name in names]


STANDING = {
    "changes/<int:pk>/confirm/": ChangeStatus.PREPARED,
    "changes/<int:pk>/cancel/": ChangeStatus.PREPARED,
    "changes/<int:pk>/approve/": ChangeStatus.AWAITING_APPROVAL,
    "changes/<int:pk>/decline/": ChangeStatus.AWAITING_APPROVAL,
    "changes/<int:pk>/send/": ChangeStatus.AWAITING_APPROVAL,
    "changes/<int:pk>/resolve/": ChangeStatus.UNKNOWN,
}


def encoded(fields: dict[str, str]) -> bytes:
    """Give a form as bytes, also where its text is none: half a surrogate pair is sent as what it would be."""
    pairs = (f"{name}={quote(text.encode(errors='surrogatepass'))}" for name, text in fields.items())
    return "&".join(pairs).encode()


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # thousands of refusals are no news here, and cost time


@pytest.fixture
def places(simulator: Simulator) -> list[tuple[str, Client]]:
    """Give an address of every route, where there is something to work on, and somebody who may."""
    admin, approver = (factories.person(role) for role in (Role.ADMIN, Role.APPROVER))
    admins, approvers = Client(raise_request_exception=False), Client(raise_request_exception=False)
    admins.force_login(admin)
    approvers.force_login(approver)
    primary, _ = changing.connected(simulator)
    # Those that are open come first: an address takes whoever there is for its author.
    standing = {status: open_change(status, admin) for status in dict.fromkeys(STANDING.values())}
    entry, found = recorded(), []
    for route in ROUTES:
        address = "/" + route.replace("<slug:name>", primary.name).replace("<int:seq>", str(entry))
        if "<int:pk>" in address:
            pk = standing[STANDING[route]] if route in STANDING else pk_for(route, primary)
            address = address.replace("<int:pk>", str(pk))
        found.append((address, approvers if route.endswith(("/approve/", "/decline/")) else admins))
    return found


def open_change(status: ChangeStatus, author: Person) -> int:
    """Let a change stand there, on a pair of its own: each holds its pair."""
    word = status.value.lower().replace("_", "-")
    side, _ = factories.pair(word, f"{word}-dr")
    moments = {"confirmed_at": timezone.now(), "check_at": timezone.now()}
    return changing.standing(side, status, author=author, **moments).pk


def failures(asked: Iterator[tuple[str, Client, dict[str, Any]]]) -> list[str]:
    """Ask, each time as if nothing was asked before, and give what failed."""
    found = []
    for address, client, how in asked:
        cookies = SimpleCookie(client.cookies)
        before = transaction.savepoint()
        response = client.generic(path=address, **how)
        transaction.savepoint_rollback(before)
        client.cookies = cookies
        if response.status_code >= 500:
            found.append(f"{how['method']} {address} {str(how)[:200]}: HTTP {response.status_code}")
    return found


def posted(fields: dict[str, str]) -> dict[str, Any]:
    return {"method": "POST", "data": encoded(fields), "content_type": FORM}


@pytest.mark.parametrize("kind", TEXTS)
def test_the_same_hostile_text_in_every_field_fails_nowhere(kind: str, places: list[tuple[str, Client]]) -> None:
    names = field_names()[:49]
    # A form may be 64 kB: of what is longer than its share, each field gets a turn elsewhere.
    fields = {name: TEXTS[kind][: 50_000 // len(names)] for name in names}

    assert failures((address, client, posted(fields)) for address, client in places) == []


@pytest.mark.thorough
@pytest.mark.parametrize("kind", TEXTS)
def test_hostile_text_in_one_field_fails_nowhere(kind: str, places: list[tuple[str, Client]]) -> None:
    plain = {"reason": "us1 is dark", "ticket": "INC-1", "typed_name": "acme", "name": "acme-new", "site": "us1"}
    plain |= {"target_status": "FAILOVER", "scope": "STATUS", "days": "30", "email": "a@b.example", "role": "VIEWER"}

    everywhere = [(address, client, name) for address, client in places for name in field_names()]
    # The same ones each time, and others for each text: all of them would take half an hour.
    some = Random(kind).sample(everywhere, 60)

    asked = ((address, client, posted(plain | {name: TEXTS[kind]})) for address, client, name in some)

    assert failures(asked) == []


@pytest.mark.parametrize("kind", thorough(TEXTS, but=["mixed"]))
def test_hostile_text_in_an_address_fails_nowhere(kind: str, places: list[tuple[str, Client]]) -> None:
    text = TEXTS[kind][:500]
    query = encoded(dict.fromkeys(field_names(), text)).decode()

    asked = ((address, client, {"method": "GET", "QUERY_STRING": query}) for address, client in places)

    assert failures(asked) == []


@pytest.mark.parametrize("number", ["0", "9" * 19, "9" * 30, "9" * 5_000])
def test_a_number_that_is_nobodys_fails_nowhere(number: str, admin: Client) -> None:
    routes = [route for route in ROUTES if "<int:" in route]
    addresses = ["/" + route.replace("<int:pk>", number).replace("<int:seq>", number) for route in routes]
    admin.raise_request_exception = False

    asked = ((address, admin, {"method": method}) for address in addresses for method in ("GET", "POST"))

    assert failures(asked) == []
    assert len(addresses) > 10


BODIES: dict[str, tuple[str, bytes]] = {
    "JSON": ("application/json", b'{"reason": ["x", null, {"a": 1}]}'),
    "lists": (FORM, b"&".join(b"reason=x&name=y&site[]=z&target_status=1" for _ in range(5))),
    "no form": (FORM, b"\x00\xff\xfe=%&&&===%zz"),
    "another encoding": (f"{FORM}; charset=utf-16", "reason=x".encode("utf-16")),
    "an encoding that is none": (f"{FORM}; charset=nonsense", b"reason=x"),
    "half a multipart form": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="reason',
    ),
    "no boundary": ("multipart/form-data", b"x"),
    "a file in place of a text": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="reason"; filename="../../x"\r\n\r\nx\r\n--b--\r\n',
    ),
    "a wrong base64 part": (
        "multipart/form-data; boundary=b",
        b'--b\r\nContent-Disposition: form-data; name="a"\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n--b--\r\n',
    ),
    "XML": ("text/xml", b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'),
    "a megabyte": (FORM, b"reason=" + b"x" * 1_000_000),
}


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_is_no_form_fails_nowhere(body: str, places: list[tuple[str, Client]]) -> None:
    kind, data = BODIES[body]

    asked = ((address, client, {"method": "POST", "data": data, "content_type": kind}) for address, client in places)

    assert failures(asked) == []


HEADERS = {
    "HTTP_USER_AGENT": "\x1b[2K\r\n\x00\xff" * 50,
    "HTTP_REFERER": "dashboards",
    "HTTP_ORIGIN": "http://[::1",
    "HTTP_X_FORWARDED_FOR": ",,\x00,999.999.999.999" * 20,
    "HTTP_COOKIE": "session=\x00\xff; csrf=;;=;theme=<script>",
    "HTTP_AUTHORIZATION": "Bearer \xff\x00",
    "HTTP_ACCEPT": "\xff/*;q=x",
    "HTTP_HX_REQUEST": "maybe",
    "HTTP_HX_CURRENT_URL": "http://[::1",
    "HTTP_IF_MODIFIED_SINCE": "never",
    "HTTP_ACCEPT_LANGUAGE": "x" * 5_000,
}


@pytest.mark.parametrize("name", thorough(["all", *HEADERS], but=["all"]))
def test_a_hostile_header_fails_nowhere(name: str, places: list[tuple[str, Client]]) -> None:
    given = {each: text for each, text in HEADERS.items() if each != "HTTP_COOKIE"} if name == "all" else {}
    given = given or {name: HEADERS[name]}

    asked = ((at, client, {"method": method} | given) for at, client in places for method in ("GET", "POST"))

    assert failures(asked) == []
