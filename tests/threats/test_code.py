"""What is shown by looking: at the code, at what is locked, and at what a visit leaves behind."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.test import Client
from django.urls import get_resolver, reverse

from hamr_portal.checks import views
from hamr_portal.models import AuditEntry, Organization
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services.records import whole_database
from tests.web.test_headers import filled

CODE = [path for path in Path(settings.BASE_DIR, "hamr_portal").rglob("*.py") if "migrations" not in path.parts]

UNSAFE_TO_READ = {"pickle", "marshal", "shelve", "dill", "yaml", "xml", "lxml", "defusedxml"}
"""What runs code, or opens files and addresses, while it reads what somebody else wrote."""


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def called(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def test_nothing_is_read_in_a_way_that_runs_it() -> None:
    assert {path.name for path in CODE if UNSAFE_TO_READ & set(imported(path))} == set()
    assert {path.name for path in CODE if {"eval", "exec", "compile", "__import__"} & set(called(path))} == set()
    assert settings.SESSION_SERIALIZER == "django.contrib.sessions.serializers.JSONSerializer"


def test_every_requirement_is_locked_by_its_hash() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = Path(settings.BASE_DIR, name).read_text()
        packages = re.findall(r"^[a-z0-9][^\s#]*==[^\\\n]+((?:\\\n\s+--hash=sha256:[0-9a-f]{64}\s*)+)", text, re.M)

        assert len(packages) == len(re.findall(r"^[a-z0-9]", text, re.M)) > 10


def test_what_is_compared_with_a_secret_is_compared_in_constant_time() -> None:
    compares = {
        path.name
        for path in CODE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Compare)
        and any(isinstance(each, ast.Eq | ast.NotEq) for each in node.ops)
        and re.search(r"\b(token|secret|signature|password|code)\b\W*(hash|text)?\W*$", ast.unparse(node.left).lower())
    }

    assert compares == set()


@pytest.mark.django_db
def test_visits_leave_everything_as_it_was(admin: Client, simulator: Simulator) -> None:
    routes = [route for route, _ in views(get_resolver().url_patterns) if "accounts/" not in route]
    addresses = [filled(routes[0])]
    addresses += ["/" + route.replace("<slug:name>", "halden-checkout") for route in routes if "<int:" not in route]
    admin.get("/")
    before = whole_database()

    for address in addresses:
        admin.get(address)

    # When this session was last seen is noted once a minute, so not again.
    assert whole_database() == before
    assert simulator.requests == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    "site",
    [
        "http://169.254.169.254",
        "datadoghq.com@evil.example",
        "us1/../..",
        "evil.example/..",
        "https://api.datadoghq.com.evil.example",
        "d\u0430tadoghq.com",
        "us1\x00",
        "us1 ",
        "US1",
        "",
    ],
)
def test_a_site_is_chosen_and_never_typed(site: str, admin: Client, simulator: Simulator) -> None:
    keys = {"api_key": factories.CANARY_API_KEY, "application_key": factories.CANARY_APPLICATION_KEY}

    response = admin.post(reverse("organization_new"), {"name": "acme", "site": site, "spelling": "AUTO", **keys})

    assert response.status_code == 422
    assert simulator.requests == []
    assert not Organization.objects.filter(name="acme").exists()


@pytest.mark.django_db
def test_every_entry_says_who_from_where_with_what_and_in_which_session(admin: Client) -> None:
    primary, _ = factories.pair()

    admin.post(reverse("organization_disable", args=[primary.name]), headers={"User-Agent": "a browser"})

    entry = AuditEntry.objects.get(event="organization.disabled")
    told = (entry.actor_kind, entry.actor_name, entry.actor_role, entry.actor_address, entry.actor_agent)
    assert told == ("person", "admin@halden.example", "ADMIN", "127.0.0.1", "a browser")
    assert re.fullmatch(r"[0-9a-f]{16}", entry.actor_session)
    assert entry.actor_signed_in.startswith("password, ")
    assert entry.request_id.startswith("e-")


@pytest.mark.django_db
def test_a_key_in_an_address_reaches_no_page_and_no_log_of_another_site(admin: Client) -> None:
    response = admin.get(f"/?q={quote(factories.CANARY_API_KEY)}")

    assert response["Referrer-Policy"] == "same-origin"
    forms = re.findall(
        r"<form[^>]*>(?:(?!</form>).)*name=\"api_key\"", admin.get("/organizations/new/").content.decode(), re.S
    )
    assert forms
    assert all('method="post"' in form for form in forms)
