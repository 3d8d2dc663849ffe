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
from hamr_portal.models import AuditEntry
from tests import factories

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
