"""Scripts in every text that comes from outside: what a browser parses holds none of them. Threat 42."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import sanitized
from hamr_portal.models import AuditEntry, Change, Organization, Pair, Person, Snapshot
from hamr_portal.services import audit
from tests import factories
from tests.services import changing
from tests.web.test_headers import Page

from .hostile import SCRIPTS

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

ADDRESSES = ("href", "src", "action", "formaction", "data-hx-get", "data-hx-post", "xlink:href", "poster", "data")
RELOAD = re.compile(r"\d+(; ?url=(/(?!/)|\?).*)?")
OURS = re.compile(r"(/(?!/)|#|\?|$)")


class Parsed(HTMLParser):
    """A page as a browser reads it: its texts, where its addresses lead, and what it asks htmx to do."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.faults: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            self.text += f" {value or ''}"
            foreign = name in ADDRESSES and not OURS.match((value or "").strip())
            if foreign or name.startswith(("on", "hx-on", "data-hx-on")):
                self.faults.append(f"<{tag} {name}={value}>")
        given = dict(attrs)
        if tag == "meta" and "http-equiv" in given and not RELOAD.fullmatch(given.get("content") or ""):
            self.faults.append(f"<meta {given}>")

    def handle_data(self, data: str) -> None:
        self.text += data


def marked(number: int) -> str:
    """Give a script with a number by which it is known again."""
    return f"[{number}]{SCRIPTS[number]}"


def fill() -> list[Organization]:
    """Put every script into every text that an API, a person or a browser can give."""
    author = Person.objects.get()
    made = []
    for number in range(len(SCRIPTS)):
        text = marked(number)
        joined = Pair.objects.create(name=text[:63], found_at=timezone.now())
        primary = factories.organization(f"acme-{number}", pair=joined, column="PRIMARY")
        texts: dict[str, Any] = {
            "target_name": sanitized(text, 200),
            "target_datacenter": sanitized(text, 64),
            "modified_by": sanitized(text, 200),
            "raw": f'{{"data": "{text}"}}',
            "attempt_reason": sanitized(text, 300),
            "attempt_raw": sanitized(text, 300),
        }
        bad = {"outcome": "UNREADABLE", "attempt_failed": True} if number % 2 else {}
        factories.seen(primary, **texts)
        Snapshot.objects.filter(pk=primary.pk).update(**bad)
        Organization.objects.filter(pk=primary.pk).update(verify_reason=text[:300], verify_outcome="NO_ANSWER")
        change = changing.standing(
            Organization.objects.select_related("snapshot").get(pk=primary.pk),
            ChangeStatus.REJECTED,
            author=author,
            reason=text,
            ticket=sanitized(text, 100),
        )
        visitor = Actor(kind="visitor", name=text, address=text[:64], agent=text, signed_in=text)
        with transaction.atomic():
            audit.append(Event.SIGN_IN_FAILED, by=visitor, outcome=text[:64])
            told = {"detail": text, "before": {text: text}, "after": [text]}
            audit.append(Event.CHANGE_REJECTED, by=visitor, change=change.pk, reason=text, ticket=text, data=told)
        made.append(primary)
    return made


@pytest.mark.parametrize("each", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_no_text_from_outside_becomes_a_script(each: int, admin: Client) -> None:
    organizations = fill()
    entries = list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True))
    addresses = [
        *(reverse(name) for name in ("dashboard", "dashboard_live", "organizations", "changes", "people", "audit")),
        *(reverse("organization", args=[organization.name]) for organization in organizations[::each]),
        *(reverse("change", args=[pk]) for pk in Change.objects.order_by("pk").values_list("pk", flat=True)[::each]),
        *(reverse("audit_entry", args=[seq]) for seq in entries[:: 2 * each] + entries[1 :: 2 * each]),
        *(f"{reverse('audit')}?q={number}&event=change.rejected" for number in range(3)),
    ]

    faults, seen = {}, set[str]()
    for address in addresses:
        response = admin.get(address)
        assert response.status_code == 200, address
        page = response.content.decode()
        parsed = Parsed(page)
        faults[address] = [*Page(page).faults, *parsed.faults]
        seen |= set(re.findall(r"\[(\d+)\]", parsed.text))

    assert {address: found for address, found in faults.items() if found} == {}
    assert seen >= {str(number) for number in range(0, len(SCRIPTS), each)}


def test_no_text_from_outside_becomes_a_script_in_the_offline_pack(admin: Client) -> None:
    fill()

    text = admin.post(reverse("offline_pack_make")).content.decode()

    parsed = Parsed(text)
    assert [fault for fault in parsed.faults if "Content-Security-Policy" not in fault] == []
    assert Page(text).faults == ["<style>"]  # its own, which its own policy allows by its hash
    assert {int(number) for number in re.findall(r"\[(\d+)\]", parsed.text)} >= set(range(len(SCRIPTS)))


@pytest.mark.parametrize(
    "number", [0, 3, 21, 30, *(pytest.param(n, marks=pytest.mark.slow) for n in range(len(SCRIPTS)))]
)
def test_what_is_typed_comes_back_as_text(number: int, admin: Client) -> None:
    text = SCRIPTS[number]
    primary, _ = factories.pair()
    forms = {
        "organization_new": {"name": text, "site": text, "spelling": text},
        "person_add": {"email": text, "role": text},
        "token_new": {"name": text, "scope": text, "days": text},
        "account_login": {"login": text, "password": text, "next": text},
    }

    pages = [admin.post(reverse(name), fields).content.decode() for name, fields in forms.items()]
    pages.append(Client().post(reverse("account_login"), forms["account_login"]).content.decode())
    pages.append(
        admin.post(reverse("pair_rename", args=[primary.pair_id]), {"name": text}, follow=True).content.decode()
    )
    pages += [
        admin.get(address, query_params={"q": text}).content.decode() for address in ("/", "/audit/", "/changes/")
    ]
    pages.append(admin.get(f"/no-such-page/{text.replace('?', '').replace('#', '')}").content.decode())

    assert [fault for page in pages for fault in (*Page(page).faults, *Parsed(page).faults)] == []


@pytest.mark.parametrize(
    "script", ["<a href=//evil.example>", "<a href='data:x'>", "<p onclick=x>", "<p data-hx-get=//x>"]
)
def test_a_script_would_be_found(script: str) -> None:
    assert Parsed(script).faults != []
    assert Parsed("<meta http-equiv=refresh content='30'><a href='/changes/'>").faults == []
