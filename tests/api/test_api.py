"""What programs may read: with a token of the scope, with a session, and the numbers from this machine."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as portal
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from hamr_portal import __version__
from hamr_portal.domain.audit import Actor
from hamr_portal.domain.people import Role
from hamr_portal.domain.tokens import Scope
from hamr_portal.models import ApiToken, AuditEntry, Person
from hamr_portal.services import tokens
from tests import factories
from tests.services import changing

pytestmark = pytest.mark.django_db

ELSEWHERE = "203.0.113.7"
PATHS = {"/api/status": Scope.STATUS, "/metrics": Scope.METRICS}


def token(scope: Scope) -> str:
    admin = Person.objects.filter(role=Role.ADMIN).first() or factories.person(Role.ADMIN)
    by = Actor(kind="person", name=admin.email, role=Role.ADMIN)
    return tokens.add_token(f"a-{scope.word}", scope, days=30, by=by)[1].reveal()


def asked(path: str, authorization: str = "", **meta: Any) -> Any:
    headers = {"Authorization": authorization} if authorization else {}
    return Client().get(path, headers=headers, **({"REMOTE_ADDR": ELSEWHERE} | meta))


@pytest.mark.parametrize("path", PATHS)
def test_a_token_of_its_scope_reads(path: str) -> None:
    factories.pair()

    response = asked(path, f"Bearer {token(PATHS[path])}")

    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert "halden-checkout" in response.content.decode()
    assert "sessionid" not in response.cookies
    assert "set-cookie" not in {name.lower() for name in response.headers}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["bearer", "BEARER", "Bearer "])
def test_the_word_bearer_is_read_in_any_case(path: str, kind: str) -> None:
    assert asked(path, f"{kind} {token(PATHS[path])}").status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_token_of_another_scope_is_refused(path: str) -> None:
    other = next(scope for scope in Scope if scope is not PATHS[path])

    response = asked(path, f"Bearer {token(other)}")

    assert response.status_code == 403
    assert 'error="insufficient_scope"' in response["WWW-Authenticate"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Basic YTpi", "Bearer hamr_00000000_" + "A" * 43])
def test_without_a_good_token_there_is_no_way_in_and_no_page_to_sign_in(path: str, authorization: str) -> None:
    token(PATHS[path])

    response = asked(path, authorization)

    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith('Bearer realm="HAMR Portal"')
    assert response["Content-Type"] == "application/json"
    assert set(response.json()) == {"error"}
    assert AuditEntry.objects.filter(event__startswith="authz").count() == 0


@pytest.mark.parametrize("path", PATHS)
def test_an_expired_token_and_a_revoked_one_are_refused(path: str) -> None:
    text = token(PATHS[path])
    ApiToken.objects.update(made_at=timezone.now() - timedelta(days=40), expires_at=timezone.now() - timedelta(1))
    expired = asked(path, f"Bearer {text}")
    ApiToken.objects.update(expires_at=timezone.now() + timedelta(1), revoked_at=timezone.now())

    revoked = asked(path, f"Bearer {text}")

    assert (expired.status_code, revoked.status_code) == (401, 401)
    assert 'error="invalid_token"' in revoked["WWW-Authenticate"]


@pytest.mark.parametrize("path", PATHS)
def test_a_token_writes_nothing(path: str) -> None:
    headers = {"Authorization": f"Bearer {token(PATHS[path])}"}

    assert Client().post(path, headers=headers).status_code == 405
    assert Client().post("/organizations/verify/", headers=headers).status_code == 302


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("role", [*Role, None])
def test_a_session_reads_as_far_as_its_role_goes(path: str, role: Role | None, signed_in: Any) -> None:
    response = signed_in(role).get(path, REMOTE_ADDR=ELSEWHERE)

    assert response.status_code == (200 if role else 403)


def test_a_session_does_not_help_a_bad_token(viewer: Client) -> None:
    response = viewer.get("/api/status", headers={"Authorization": "Bearer nonsense"})

    assert response.status_code == 401


@pytest.mark.parametrize(
    ("meta", "proxies", "status"),
    [
        ({"REMOTE_ADDR": "127.0.0.1"}, 0, 200),
        ({"REMOTE_ADDR": "::1"}, 0, 200),
        ({"REMOTE_ADDR": "127.0.0.1"}, 1, 401),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": ELSEWHERE}, 0, 401),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": ""}, 0, 401),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": f"for={ELSEWHERE}"}, 0, 401),
        ({"REMOTE_ADDR": ELSEWHERE, "HTTP_X_FORWARDED_FOR": "127.0.0.1"}, 0, 401),
        ({"REMOTE_ADDR": ""}, 0, 401),
        ({"REMOTE_ADDR": "127.0.0.1.evil.example"}, 0, 401),
    ],
)
def test_the_numbers_are_for_this_machine_too_but_not_for_what_a_proxy_on_it_passes_on(
    meta: dict[str, str], proxies: int, status: int, settings: Any
) -> None:
    settings.TRUSTED_PROXIES = proxies

    assert asked("/metrics", **meta).status_code == status
    assert asked("/api/status", **meta).status_code == 401


def test_the_status_is_what_the_terminal_prints() -> None:
    factories.pair()
    changing.frozen()

    answer = asked("/api/status", f"Bearer {token(Scope.STATUS)}").json()

    assert [pair["primary"]["organization"] for pair in answer["pairs"]] == ["halden-checkout"]
    assert answer["needs_action"] == 0
    assert answer["freeze"]["reason"] == "Quarter end"


def test_the_numbers_are_what_prometheus_reads(settings: Any) -> None:
    settings.ENVIRONMENT_NAME = 'eu "one"\n'
    now = timezone.now()
    factories.pair(at=now)
    factories.organization("halden-new")
    changing.frozen()

    text = asked("/metrics", REMOTE_ADDR="127.0.0.1").content.decode()

    found = {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["hamr_portal_up",] == 1
    assert found["hamr_portal_info", 'eu "one"\n', __version__] == 1
    assert found["hamr_portal_read_outcome", "halden-checkout", "ANSWERED", "us1"] == 1
    assert found["hamr_portal_read_outcome", "halden-new", "NOT_READ", "us1"] == 1
    assert found["hamr_portal_answer_age_seconds", "halden-checkout", "us1"] >= 0
    assert ("hamr_portal_answer_age_seconds", "halden-new", "us1") not in found
    assert found["hamr_portal_reads_failed_in_a_row", "halden-checkout", "us1"] == 0
    assert found["hamr_portal_changes_open", "UNKNOWN"] == 0
    assert found["hamr_portal_worker", "STOPPED"] == 1
    assert found["hamr_portal_worker", "LIVE"] == 0
    assert ("hamr_portal_audit_anchor_age_seconds",) not in found
    assert found["hamr_portal_audit_in_doubt",] == 0
    assert found["hamr_portal_changes_frozen",] == 1
    assert 7190 < found["hamr_portal_freeze_left_seconds",] <= 7200


def test_without_a_freeze_no_time_is_left_of_one() -> None:
    text = asked("/metrics", REMOTE_ADDR="127.0.0.1").content.decode()

    assert "hamr_portal_changes_frozen 0.0" in text
    assert "\nhamr_portal_freeze_left_seconds" not in text


def test_no_number_holds_a_key() -> None:
    factories.pair()

    answers = [asked("/metrics", REMOTE_ADDR="127.0.0.1"), asked("/api/status", f"Bearer {token(Scope.STATUS)}")]

    assert [answer for answer in answers if "canary0" in answer.content.decode()] == []


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((Path(portal.BASE_DIR) / "pyproject.toml").read_text())["project"]

    assert __version__ == project["version"]
