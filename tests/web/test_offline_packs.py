from __future__ import annotations

import re
import subprocess
from base64 import b64encode
from hashlib import sha256
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing, tampering
from tests.shell import by_a_shell

from .conftest import SignIn
from .test_evidence import Outside, words
from .test_headers import HEADERS, POLICY, hold

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(signed_in: SignIn) -> Client:
    return signed_in(Role.OPERATOR)


def made(client: Client) -> Any:
    return client.post(reverse("offline_pack_make"))


def test_the_page_says_that_none_was_made_yet(operator: Client) -> None:
    response = operator.get(reverse("offline_pack"))

    assert response.status_code == 200
    assert "None was made yet." in words(response)
    hold(response)


@by_a_shell
def test_the_file_is_given_and_the_page_says_who_made_it_and_how_to_check_it(operator: Client, tmp_path: Any) -> None:
    response = made(operator)
    page = operator.get(reverse("offline_pack"))

    assert response.status_code == 200
    named = re.fullmatch(
        r'attachment; filename="(offline-pack-tests-\d{8}T\d{6}Z\.html)"', response["Content-Disposition"]
    )
    assert named is not None
    (tmp_path / "FILE").write_bytes(response.content)
    checks = [unescape(each) for each in re.findall(r"<pre[^>]*>(.*?)</pre>", page.content.decode())]
    counted, compared = (
        subprocess.run(["bash", "-c", check], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        for check in checks
    )
    assert counted.split()[0] in response.content.decode().splitlines()[-1]
    assert compared == "-: OK\n"
    assert re.search(r"Last made .* ago by operator", words(page))


@by_a_shell
def test_a_file_that_was_altered_does_not_pass_the_check(operator: Client, tmp_path: Any) -> None:
    content = made(operator).content
    page = operator.get(reverse("offline_pack")).content.decode()
    (tmp_path / "FILE").write_bytes(content.replace(b"PASSIVE", b"ACTIVE", 1))
    check = unescape(re.findall(r"<pre[^>]*>(.*?)</pre>", page)[1])

    ended = subprocess.run(["bash", "-c", check], cwd=tmp_path, capture_output=True, check=False)

    assert ended.returncode == 1


def test_it_is_on_the_record_who_took_it(operator: Client) -> None:
    made(operator)

    entry = AuditEntry.objects.get(event="offline_pack.made")
    assert (entry.actor_name, entry.actor_role) == ("operator@halden.example", "OPERATOR")


def test_an_admin_is_led_to_the_entry_and_reads_there_what_was_made(admin: Client) -> None:
    made(admin)
    entry = AuditEntry.objects.get(event="offline_pack.made")

    page = admin.get(reverse("offline_pack"))

    address = reverse("audit_entry", args=[entry.seq])
    assert f'href="{address}"' in page.content.decode()
    assert "Offline pack made" in words(admin.get(address))
    assert "Offline pack made" in words(admin.get(reverse("audit"), {"event": "exports"}))


def test_the_file_needs_nothing_from_anywhere_and_its_policy_allows_its_own_style_alone(
    operator: Client, simulator: Simulator
) -> None:
    changing.connected(simulator)

    response = made(operator)

    text = response.content.decode()
    assert set(Outside(re.sub(r' href="#\w+"', "", text)).found) == set()
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    assert not re.search(r"url\(|@import", style)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert f"style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in unescape(policy)
    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    assert {part.strip() for part in response["Content-Security-Policy"].split(";") if part.strip()} == POLICY


def test_every_link_in_the_file_leads_somewhere_in_it(operator: Client, simulator: Simulator) -> None:
    changing.connected(simulator)
    factories.organization("off", disabled_at=timezone.now())

    text = made(operator).content.decode()

    assert set(re.findall(r'href="#(\w+)"', text)) <= set(re.findall(r' id="(\w+)"', text))
    assert "disabled" in re.findall(r'href="#(\w+)"', text)


def test_without_a_record_no_file_is_made_and_the_page_says_why(operator: Client) -> None:
    settings.KEY_RING_FILE.unlink()

    response = made(operator)

    assert response.status_code == 503
    assert "No pack was made" in words(response)
    assert "Content-Disposition" not in response


def test_of_an_entry_that_was_edited_the_page_gives_no_hash(operator: Client) -> None:
    made(operator)
    tampering.unguarded("UPDATE hamr_portal_auditentry SET data = '{}'")

    page = operator.get(reverse("offline_pack"))

    assert "The entry of the last one is not as it was written." in words(page)
    assert "shasum -a 256 -c" not in page.content.decode()


@pytest.mark.parametrize(("role", "route"), [(Role.OPERATOR, "offline_pack"), (Role.VIEWER, "runbook")])
def test_the_foot_of_each_page_leads_to_what_helps_without_the_portal(
    signed_in: SignIn, role: Role, route: str
) -> None:
    page = signed_in(role).get("/").content.decode()

    assert f'<a href="{reverse(route)}">Runbook without the portal</a>' in page
