"""Each way to leave a door open has an id and a hint; a right installation says nothing; a wrong one is not served."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from csp.constants import SELF, UNSAFE_INLINE
from django.core.checks import Error, Warning, run_checks
from django.db.utils import OperationalError
from pytest_django.fixtures import Settings

from hamr_portal import security_checks
from hamr_portal.security_checks import ARGON2, NEEDED_MIDDLEWARE, browsers_are_told_to_be_strict
from tests.test_settings import BASE_DIR, KEPT

PUBLIC = {
    "ALLOWED_HOSTS": ["portal.halden.example"],
    "SECRET_KEY": "abcdefghij" * 5,
    "PASSWORD_HASHERS": [ARGON2],
    "SESSION_COOKIE_SECURE": True,
    "CSRF_COOKIE_SECURE": True,
    "SECURE_SSL_REDIRECT": True,
    "SECURE_HSTS_SECONDS": 31_536_000,
}
STATIC = Path(BASE_DIR, "static")


def found(settings: Settings, **given: Any) -> dict[str, Any]:
    """Run the checks of settings on a right installation, but for what is given, and give them by id."""
    for name, value in (PUBLIC | given).items():
        setattr(settings, name, value)
    messages = [
        message
        for check in vars(security_checks).values()
        if getattr(check, "__module__", "") == security_checks.__name__ and hasattr(check, "tags")
        if "installation" not in check.tags
        for message in check(None)
    ]
    return {message.id: message for message in messages}


def test_a_right_installation_has_nothing_to_say(settings: Settings) -> None:
    assert found(settings) == {}


def test_a_machine_that_nobody_else_reaches_may_be_simpler(settings: Settings) -> None:
    simple = {"ALLOWED_HOSTS": ["localhost"], "SECRET_KEY": "any", "DEBUG": True, "SECURE_SSL_REDIRECT": False}

    assert found(settings, **simple, PASSWORD_HASHERS=["MD5"]) == {}


@pytest.mark.parametrize(
    ("wrong", "setting", "value"),
    [
        ("portal.E010", "SECRET_KEY", "short"),
        ("portal.E010", "SECRET_KEY", "a" * 60),
        ("portal.E010", "SECRET_KEY", "django-insecure-" + "abcdefghij" * 5),
        ("portal.E011", "DEBUG", True),
        ("portal.E012", "ALLOWED_HOSTS", ["*"]),
        ("portal.E012", "ALLOWED_HOSTS", [".halden.example"]),
        ("portal.E013", "SECURE_SSL_REDIRECT", False),
        ("portal.E013", "SESSION_COOKIE_SECURE", False),
        ("portal.E013", "CSRF_COOKIE_SECURE", False),
        ("portal.E013", "SECURE_HSTS_SECONDS", 0),
        ("portal.E014", "KEY_RING_FILE", STATIC / "keyring"),
        ("portal.E014", "SPOOL_FILE", STATIC / "css" / "spool.jsonl"),
        ("portal.E014", "ANCHOR_FILE", STATIC / "css" / ".." / "anchors.jsonl"),
        ("portal.E014", "STATIC_ROOT", "/"),
        ("portal.E016", "CSRF_TRUSTED_ORIGINS", ["http://portal.halden.example"]),
        ("portal.E016", "CSRF_TRUSTED_ORIGINS", ["https://*.halden.example"]),
        ("portal.E021", "PASSWORD_HASHERS", ["django.contrib.auth.hashers.MD5PasswordHasher", ARGON2]),
        ("portal.E021", "PASSWORD_HASHERS", []),
        ("portal.E022", "CONTENT_SECURITY_POLICY", {}),
        ("portal.E023", "MIDDLEWARE", list(NEEDED_MIDDLEWARE[:-1])),
        ("portal.E023", "MIDDLEWARE", list(reversed(NEEDED_MIDDLEWARE))),
        ("portal.E025", "SESSION_SERIALIZER", "hamr_portal.pickles.Serializer"),
        ("portal.E025", "SESSION_ENGINE", "django.contrib.sessions.backends.signed_cookies"),
        ("portal.E026", "INSTALLED_APPS", ["django.contrib.admin"]),
        ("portal.W017", "STEP_UP_SECONDS", 901.0),
        ("portal.W018", "SESSION_IDLE_SECONDS", 3601.0),
        ("portal.W018", "SESSION_ABSOLUTE_SECONDS", 86_401.0),
        ("portal.W018", "SESSION_ABSOLUTE_SECONDS", 600.0),
    ],
)
def test_what_is_wrong_is_told_by_its_id_and_says_what_to_do(
    wrong: str, setting: str, value: Any, settings: Settings
) -> None:
    messages = found(settings, **{setting: value})

    assert list(messages) == [wrong]
    assert isinstance(messages[wrong], Error if ".E" in wrong else Warning)
    assert messages[wrong].hint
    assert "abcdefghij" not in str(messages[wrong])


@pytest.mark.parametrize("origins", [[], ["https://portal.halden.example"], ["http://localhost:8000"]])
def test_right_origins_of_forms_are_none_by_tls_or_this_machine(origins: list[str], settings: Settings) -> None:
    assert found(settings, CSRF_TRUSTED_ORIGINS=origins) == {}


@pytest.mark.parametrize("directive", ["default-src", "script-src", "style-src", "base-uri", "frame-ancestors"])
@pytest.mark.parametrize("allowed", [None, [SELF, UNSAFE_INLINE], [SELF, "https://cdn.example"], ["*"]])
def test_a_loose_content_policy_is_named(directive: str, allowed: list[str] | None, settings: Settings) -> None:
    policy = settings.CONTENT_SECURITY_POLICY
    settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": policy["DIRECTIVES"] | {directive: allowed}}

    (message,) = browsers_are_told_to_be_strict(None)

    assert message.msg == f"The content policy is loose: {directive}."


def at_start() -> dict[str, Any]:
    messages = run_checks(tags=["installation"], include_deployment_checks=True)
    return {str(message.id): message for message in messages}


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["SPOOL_FILE", "ANCHOR_FILE"])
@pytest.mark.parametrize("there", [True, False])
def test_a_place_that_cannot_be_written_is_a_warning(
    name: str, there: bool, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "mounted" / "file"
    setattr(settings, name, place)
    if there:
        place.parent.mkdir()
        place.touch()
    # Who tests may be root, for whom everything can be written.
    refused = place if there else tmp_path
    other = "ANCHOR_FILE" if name == "SPOOL_FILE" else "SPOOL_FILE"
    getattr(settings, other).touch()
    monkeypatch.setattr(os, "access", lambda path, mode: path != refused)

    messages = at_start()

    assert f"{name} cannot be written" in messages["portal.W019"].msg
    assert str(refused) in messages["portal.W019"].hint


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("mode", "warned"), [(0o700, False), (0o755, False), (0o770, True), (0o777, True), (0o1777, False)]
)
def test_a_folder_in_which_others_may_replace_the_ring_is_a_warning(
    mode: int, warned: bool, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "rings"
    folder.mkdir()
    settings.KEY_RING_FILE = settings.KEY_RING_FILE.rename(folder / "keyring")
    folder.chmod(mode)

    assert ("portal.W027" in at_start()) is warned


@pytest.mark.django_db
def test_a_ring_whose_folder_is_not_there_is_told_as_missing_and_no_more(settings: Settings, tmp_path: Path) -> None:
    settings.KEY_RING_FILE = tmp_path / "nowhere" / "keyring"

    assert list(at_start()) == ["portal.W005"]


@pytest.mark.parametrize(("level", "ids"), [(0, ["portal.E015"]), (1, ["portal.E015"]), (2, []), (3, [])])
def test_a_database_that_does_not_wait_for_the_disk_is_an_error(
    level: int, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = sqlite3.connect(":memory:")
    told.execute(f"PRAGMA synchronous={level}")
    asked = SimpleNamespace(vendor="sqlite", cursor=lambda: told_by(told))
    monkeypatch.setattr(security_checks, "connection", asked)

    messages = security_checks.what_is_committed_stays(None)

    assert [message.id for message in messages] == ids
    told.close()


class told_by:
    def __init__(self, database: sqlite3.Connection) -> None:
        self.cursor = database.cursor()

    def __enter__(self) -> sqlite3.Cursor:
        return self.cursor

    def __exit__(self, *_: object) -> None:
        self.cursor.close()


def test_a_database_that_is_away_or_another_kind_is_told_by_other_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise OperationalError("unable to open database file")

    with monkeypatch.context() as patch:
        patch.setattr(security_checks, "connection", SimpleNamespace(vendor="sqlite", cursor=away))
        assert security_checks.what_is_committed_stays(None) == []
    monkeypatch.setattr(security_checks, "connection", SimpleNamespace(vendor="postgresql"))
    assert security_checks.what_is_committed_stays(None) == []


# --- a real start -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_right_installation_is_clean_and_a_wrong_one_is_not_served(tmp_path: Path) -> None:
    tmp_path = tmp_path / "installation"
    right = KEPT | {
        "ENV_FILE": "",
        "SECRET_KEY": "0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOP",
        "ALLOWED_HOSTS": "portal.halden.example",
        "TRUSTED_PROXIES": "1",
        "DATABASE_URL": f"sqlite:///{tmp_path}/portal.sqlite3",
        "KEY_RING_FILE": f"{tmp_path}/keyring",
        "SPOOL_FILE": f"{tmp_path}/spool.jsonl",
        "ANCHOR_FILE": f"{tmp_path}/anchors.jsonl",
    }

    def ran(*words: str, **given: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], cwd=BASE_DIR, env=right | given, capture_output=True, text=True, check=False
        )

    made = [ran("manage.py", "migrate", "-v0"), ran("manage.py", "init_key_ring")]
    clean = ran("manage.py", "check", "--deploy", "--fail-level", "WARNING")
    served = ran("-c", "import hamr_portal.wsgi")
    wrong = {
        name: ran("-c", "import hamr_portal.wsgi", **given)
        for name, given in {
            "SECRET_KEY": {"SECRET_KEY": "changeme"},
            "E014": {"KEY_RING_FILE": "static/keyring"},
            "E016": {"CSRF_TRUSTED_ORIGINS": "http://portal.halden.example"},
            "DEBUG": {"DEBUG": "true"},
            "ALLOWED_HOSTS": {"ALLOWED_HOSTS": "*"},
            "HTTPS": {"HTTPS": "false"},
        }.items()
    }

    assert [each.returncode for each in made] == [0, 0]
    assert (clean.returncode, clean.stderr) == (0, "")
    assert served.returncode == 0
    assert {name: each.returncode for name, each in wrong.items()} == dict.fromkeys(wrong, 1)
    assert [name for name, each in wrong.items() if name not in each.stderr or "Traceback" in each.stderr] == []
