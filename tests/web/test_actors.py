"""Who did it, and from where: what the record keeps of a request."""

from __future__ import annotations

import re

import pytest
from django.contrib.sessions.models import Session
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Change, Person
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing

pytestmark = pytest.mark.django_db

CLIENT, NEARER, NEAREST = "198.51.100.7", "203.0.113.2", "203.0.113.1"


def name_a_pair(client: Client, name: str = "Cash desk", *, hops: str | None = None) -> HttpResponse:
    """Do something that goes on the record, through proxies that add `hops`."""
    primary, _ = factories.pair(f"{name[-1]}-checkout", f"{name[-1]}-checkout-dr")
    headers = {} if hops is None else {"X-Forwarded-For": hops}
    path = reverse("pair_rename", kwargs={"pk": primary.pair_id})
    response = client.post(path, {"name": name}, headers=headers, REMOTE_ADDR="192.0.2.10")
    assert isinstance(response, HttpResponse)
    return response


def entries() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(event="pair.named").order_by("seq"))


@pytest.mark.parametrize(
    ("proxies", "hops", "address"),
    [
        (0, None, "192.0.2.10"),
        (0, f"{CLIENT}, {NEARER}, {NEAREST}", "192.0.2.10"),
        (1, None, "192.0.2.10"),
        (1, "", "192.0.2.10"),
        (1, f"{CLIENT}, {NEARER}, {NEAREST}", NEAREST),
        (1, f"{CLIENT},{NEAREST}", NEAREST),
        (2, None, "192.0.2.10"),
        (2, f"{CLIENT}, {NEARER}, {NEAREST}", NEARER),
        (2, NEAREST, "192.0.2.10"),
    ],
)
def test_what_proxies_say_counts_as_far_as_they_are_trusted(
    proxies: int, hops: str | None, address: str, admin: Client, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = proxies

    name_a_pair(admin, hops=hops)

    assert [entry.actor_address for entry in entries()] == [address]


@pytest.mark.parametrize(("proxies", "added"), [(0, ""), (1, f", {NEAREST}"), (2, f", {NEARER}, {NEAREST}")])
def test_nobody_changes_their_address_by_a_header_of_their_own(
    proxies: int, added: str, admin: Client, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = proxies

    for number in range(3):
        name_a_pair(admin, f"Cash desk {number}", hops=f"10.9.8.{number}{added}")

    assert len(entries()) == 3
    assert len({entry.actor_address for entry in entries()}) == 1


def test_the_record_tells_sessions_apart_without_holding_one(admin: Client) -> None:
    name_a_pair(admin, "Cash desk 1")
    name_a_pair(admin, "Cash desk 2")
    again = Client()
    again.force_login(factories.person(email="other@halden.example", role=Role.ADMIN))
    name_a_pair(again, "Cash desk 3")

    first, second, other = (entry.actor_session for entry in entries())
    assert first == second != other
    keys = list(Session.objects.values_list("session_key", flat=True))
    assert len(keys) == 2
    for fingerprint in (first, other):
        assert re.fullmatch("[0-9a-f]{16}", fingerprint)
        assert not [key for key in keys if fingerprint in key or key in fingerprint]


def test_the_record_names_person_role_and_request(admin: Client) -> None:
    response = name_a_pair(admin)

    entry = AuditEntry.objects.get(event="pair.named")
    assert (entry.actor_kind, entry.actor_name, entry.actor_role) == ("person", "admin@halden.example", "ADMIN")
    assert entry.request_id == response["X-Request-Id"]


def test_the_record_names_the_browser_as_far_as_that_is_harmless(admin: Client) -> None:
    primary, _ = factories.pair()
    path = reverse("pair_rename", kwargs={"pk": primary.pair_id})

    admin.post(path, {"name": "Cash desk"}, headers={"User-Agent": "Fire\x1b[2Jfox\u202e" + "x" * 400})

    (entry,) = entries()
    assert entry.actor_agent.startswith("Fire\ufffd[2Jfox\ufffdxxx")
    assert len(entry.actor_agent) == 200


def test_the_record_tells_the_sign_in_and_the_newest_step_after_it(admin: Client) -> None:
    person = Person.objects.get()
    steps = [("password", 1773543992.7), ("mfa", 1773544000), ("mfa", 1773550000)]
    session = admin.session
    session["account_authentication_methods"] = [{"method": method, "at": at} for method, at in steps]
    session["account_authentication_methods_user"] = str(person.pk)
    session.save()

    name_a_pair(admin)

    (entry,) = entries()
    assert entry.actor_signed_in == "password, 2026-03-15T03:06:32Z; mfa, 2026-03-15T04:46:40Z"


def test_a_sign_in_of_somebody_else_in_the_same_browser_is_not_theirs(admin: Client) -> None:
    session = admin.session
    session["account_authentication_methods"] = [{"method": "password", "at": 1773543992.7}]
    session["account_authentication_methods_user"] = "0"
    session.save()

    name_a_pair(admin)

    assert [entry.actor_signed_in for entry in entries()] == [""]


def test_everything_that_a_person_does_names_them_and_how_they_signed_in(simulator: Simulator) -> None:
    organization, _ = changing.connected(simulator)
    for role in (Role.OPERATOR, Role.ADMIN, Role.VIEWER):
        factories.person(role)
    seen = Client(headers={"User-Agent": "Firefox"})

    def come(role: Role) -> None:
        words = {"login": f"{role.word}@halden.example", "password": "correct horse battery"}
        seen.post(reverse("account_login"), words)

    def preview() -> Change:
        path = reverse("change_new", kwargs={"name": organization.name})
        seen.post(path, {"target_status": "FAILOVER"})
        return Change.objects.latest("pk")

    def go() -> None:
        seen.post(reverse("account_logout"))

    before = AuditEntry.objects.count()
    come(Role.OPERATOR)
    cancelled = preview()
    seen.post(reverse("change_cancel", args=[cancelled.pk]))
    confirmed = preview()
    seen.post(reverse("change_confirm", args=[confirmed.pk]), {"token": confirmed.nonce})  # incomplete
    words = {"token": confirmed.nonce, "reason": "us1 is dark", "ticket": "INC-1", "typed_name": organization.name}
    seen.post(reverse("change_confirm", args=[confirmed.pk]), words | {"override": "on"})
    go()
    come(Role.VIEWER)
    seen.post(reverse("organization_disable", kwargs={"name": organization.name}))
    go()
    come(Role.ADMIN)
    seen.post(reverse("organizations_verify"))
    name_a_pair(seen)
    go()

    made = AuditEntry.objects.filter(seq__gt=before).order_by("seq")
    assert {
        "session.signed_in",
        "session.signed_out",
        "change.prepared",
        "change.cancelled",
        "change.refused_incomplete",
        "change.sending",
        "change.accepted",
        "change.verified",
        "authz.denied",
        "organization.verified",
        "pair.named",
    } <= {entry.event for entry in made}
    for entry in made:
        assert entry.actor_kind == "person", entry
        for field in ("name", "role", "address", "session", "agent", "signed_in"):
            assert getattr(entry, f"actor_{field}"), f"{entry} lacks {field}"
        assert re.fullmatch("password, [0-9T:-]+Z", entry.actor_signed_in)
        assert entry.request_id
