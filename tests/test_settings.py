"""A wrong setting ends the start with one sentence, and a right one is read as it is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

BASE_DIR = Path(__file__).resolve().parent.parent
PASSWORD = "canary0database0password"
KEPT = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


def start(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python here with an environment of its own, and no `.env` unless one is given."""
    given = KEPT | {"ENV_FILE": "", "SECRET_KEY": "x" * 50, "DATABASE_URL": "sqlite://:memory:"} | environment
    return subprocess.run(
        [sys.executable, "-W", "error", *command], cwd=BASE_DIR, env=given, capture_output=True, text=True, check=False
    )


# Loads the settings alone, many times over in one process: each start of Django costs half a second.
TRY_ALL = """
import json, os, runpy, sys
results = []
for environment in json.load(sys.stdin):
    before = dict(os.environ)
    os.environ.update({name: value for name, value in environment.items() if value is not None})
    try:
        made = runpy.run_path("hamr_portal/settings.py")
        results.append({name: repr(made[name]) for name in made if name.isupper()})
    except BaseException as error:
        results.append([type(error).__name__, str(error), error.__suppress_context__ or error.__context__ is None])
    os.environ.clear()
    os.environ.update(before)
json.dump(results, sys.stdout)
"""


def tried(tmp_path: Path, environments: list[dict[str, str | None]]) -> list[Any]:
    """Give the settings that each environment makes, or the error; None takes a variable away."""
    plain: dict[str, str | None] = {"ENV_FILE": "", "SECRET_KEY": "x" * 50, "DATABASE_URL": "sqlite://:memory:"}
    made = subprocess.run(
        [sys.executable, "-c", TRY_ALL],
        cwd=BASE_DIR,
        env=KEPT | {"PYTHONPATH": str(BASE_DIR)},
        input=json.dumps([plain | environment for environment in environments]).replace("TMP", str(tmp_path)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stderr == ""
    results: list[Any] = json.loads(made.stdout)
    return results


WRONG: list[tuple[dict[str, str | None], str]] = [
    ({"SECRET_KEY": ""}, "SECRET_KEY is not set."),
    ({"SECRET_KEY": None}, "SECRET_KEY is not set."),
    ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS holds a wildcard."),
    ({"ALLOWED_HOSTS": "portal.example,*.halden.example"}, "ALLOWED_HOSTS holds a wildcard."),
    ({"DEBUG": "true", "ALLOWED_HOSTS": "localhost, portal.example"}, "DEBUG is on and portal.example is public."),
    ({"ALLOWED_HOSTS": ".halden.example"}, "ALLOWED_HOSTS holds a wildcard."),
    ({"HAMR_PROXY": "proxy.example:3128"}, "HAMR_PROXY must be http://host:port or https://host:port."),
    ({"HAMR_PROXY": f"http://me:{PASSWORD}@proxy.example/x"}, "HAMR_PROXY must be"),
    ({"HTTPS": "false", "ALLOWED_HOSTS": "portal.example"}, "HTTPS is off and portal.example is public."),
    ({"HTTPS": "false", "ALLOWED_HOSTS": "0.0.0.0"}, "HTTPS is off and 0.0.0.0 is public."),
    ({"HTTPS": "flase"}, "HTTPS must be true or false."),
    ({"DEBUG": "2"}, "DEBUG must be true or false."),
    ({"DEBUG": ""}, "DEBUG must be true or false."),
    ({"HAMR_POLL_INTERVAL": "soon"}, "HAMR_POLL_INTERVAL must be a number of seconds, 1 or more."),
    ({"HAMR_POLL_INTERVAL": "0.5"}, "HAMR_POLL_INTERVAL must be"),
    ({"HAMR_POLL_INTERVAL": "nan"}, "HAMR_POLL_INTERVAL must be"),
    ({"HAMR_POLL_INTERVAL": "inf"}, "HAMR_POLL_INTERVAL must be"),
    ({"HAMR_POLL_INTERVAL": "30s"}, "HAMR_POLL_INTERVAL must be"),
    ({"HAMR_POLL_INTERVAL": "1,5"}, "HAMR_POLL_INTERVAL must be"),
    ({"HAMR_CONNECT_TIMEOUT": "0"}, "HAMR_CONNECT_TIMEOUT must be a number of seconds, 0.1 or more."),
    ({"HAMR_DEADLINE": "-8"}, "HAMR_DEADLINE must be a number of seconds, 0.1 or more."),
    ({"HAMR_SWEEP_THREADS": "0"}, "HAMR_SWEEP_THREADS must be a whole number, 1 or more."),
    ({"HAMR_SWEEP_THREADS": "6.4"}, "HAMR_SWEEP_THREADS must be"),
    ({"HAMR_SETTLE_SECONDS": "0"}, "HAMR_SETTLE_SECONDS must be a number of seconds, 1 or more."),
    ({"HAMR_SETTLE_SECONDS": "two minutes"}, "HAMR_SETTLE_SECONDS must be"),
    ({"HAMR_SETTLE_SECONDS": "inf"}, "HAMR_SETTLE_SECONDS must be"),
    ({"HAMR_SETTLE_READS": "0"}, "HAMR_SETTLE_READS must be a whole number, 1 or more."),
    ({"HAMR_SETTLE_READS": "2.5"}, "HAMR_SETTLE_READS must be"),
    ({"HAMR_MODIFIED_BY": ""}, "HAMR_MODIFIED_BY may hold {email} and {change}, and no other braces."),
    ({"HAMR_MODIFIED_BY": "  "}, "HAMR_MODIFIED_BY may hold"),
    ({"HAMR_MODIFIED_BY": "{person}"}, "HAMR_MODIFIED_BY may hold"),
    ({"HAMR_MODIFIED_BY": "{email!r}"}, "HAMR_MODIFIED_BY may hold"),
    ({"HAMR_MODIFIED_BY": "{email.__class__}"}, "HAMR_MODIFIED_BY may hold"),
    ({"HAMR_MODIFIED_BY": "{{email}}"}, "HAMR_MODIFIED_BY may hold"),
    ({"HAMR_MODIFIED_BY": "portal {email"}, "HAMR_MODIFIED_BY may hold"),
    ({"PREVIEW_SECONDS": "9"}, "PREVIEW_SECONDS must be a number of seconds, 10 or more."),
    ({"PREVIEW_SECONDS": "nan"}, "PREVIEW_SECONDS must be"),
    ({"STEP_UP_SECONDS": "29"}, "STEP_UP_SECONDS must be a number of seconds, 30 or more."),
    ({"STEP_UP_SECONDS": "inf"}, "STEP_UP_SECONDS must be"),
    ({"SESSION_IDLE_SECONDS": "59"}, "SESSION_IDLE_SECONDS must be a number of seconds, 60 or more."),
    ({"SESSION_ABSOLUTE_SECONDS": "299"}, "SESSION_ABSOLUTE_SECONDS must be a number of seconds, 300 or more."),
    ({"TICKET_PATTERN": "INC-[0-9"}, "TICKET_PATTERN must be a regular expression, such as INC-[0-9]+."),
    ({"TICKET_PATTERN": "(?P<number>"}, "TICKET_PATTERN must be"),
    ({"TRUSTED_PROXIES": "-1"}, "TRUSTED_PROXIES must be a whole number of proxies."),
    ({"TRUSTED_PROXIES": "9" * 400}, "TRUSTED_PROXIES must be a whole number of proxies."),
    ({"DRILL_PORT": "many"}, "DRILL_PORT must be empty, or a port from 1024 to 65534"),
    ({"DRILL_PORT": "80"}, "DRILL_PORT must be empty, or a port from 1024 to 65534"),
    ({"DRILL_PORT": "65535"}, "DRILL_PORT must be empty, or a port from 1024 to 65534"),
    (
        {"DRILL_PORT": "9001", "HAMR_SITES": "us1=http://127.0.0.1:9002"},
        "DRILL_PORT: HAMR_SITES leads us1 there too. Choose another port.",
    ),
    ({"HAMR_SITES": "drill-us1=https://api.example.com"}, "HAMR_SITES: drill-us1: names that begin with drill- are"),
    ({"HAMR_SITES": "us1=http://proxy.example"}, "HAMR_SITES: us1: http: is for loopback addresses only"),
    ({"HAMR_SITES": f"us1=https://me:{PASSWORD}@proxy.example"}, "HAMR_SITES: us1: the address must be"),
    ({"DATABASE_URL": f"mysql://me:{PASSWORD}@db.example/portal"}, "DATABASE_URL must be"),
    ({"DATABASE_URL": f"//me:{PASSWORD}@db.example/portal"}, "DATABASE_URL must be"),
    ({"DATABASE_URL": f"postgres://me:{PASSWORD}/x@db.example/portal"}, "DATABASE_URL must be"),
    ({"DATABASE_URL": f"postgres://me:{PASSWORD}@db.example:port/portal"}, "DATABASE_URL must be"),
    ({"DATABASE_URL": "sqlite://var/portal.sqlite3"}, "DATABASE_URL must be"),
    ({"DATABASE_URL": "portal.sqlite3"}, "DATABASE_URL must be"),
    ({"DATABASE_URL": ""}, "DATABASE_URL must be"),
    ({"DATABASE_URL": "sqlite:////dev/null/portal.sqlite3"}, "DATABASE_URL: the folder of /dev/null/portal.sqlite3"),
    ({"EMAIL_URL": f"smtp+tls://me:{PASSWORD}@mail.example:port"}, "EMAIL_URL must be smtp+tls://"),
    ({"EMAIL_URL": f"imap://me:{PASSWORD}@mail.example"}, "EMAIL_URL must be"),
    ({"EMAIL_URL": "smtp://"}, "EMAIL_URL must be"),
    ({"EMAIL_URL": "mail.example:587"}, "EMAIL_URL must be"),
    ({"EMAIL_URL": f"smtp+tls://me:{PASSWORD}@mail.example"}, "EMAIL_URL is set: set DEFAULT_FROM_EMAIL too"),
    ({"NOTIFY_URLS": f"json://hooks.example {PASSWORD}"}, "NOTIFY_URLS: number 2 is no address of apprise"),
    ({"NOTIFY_URLS": f"{PASSWORD}://"}, "NOTIFY_URLS: number 1 is no address of apprise"),
    ({"OIDC_ISSUER": "http://login.example"}, "OIDC_ISSUER must be https://"),
    ({"OIDC_ISSUER": f"https://me:{PASSWORD}@login.example"}, "OIDC_ISSUER must be https://"),
    ({"OIDC_ISSUER": "https://login.example/?tenant=1"}, "OIDC_ISSUER must be https://"),
    ({"OIDC_ISSUER": "https://[::1"}, "OIDC_ISSUER must be https://"),
    ({"OIDC_ISSUER": "https://login.example", "OIDC_CLIENT_ID": "portal"}, "set OIDC_CLIENT_ID and OIDC_CLIENT_SECRET"),
    (
        {"OIDC_ISSUER": "https://login.example", "OIDC_CLIENT_ID": "portal", "OIDC_CLIENT_SECRET": PASSWORD},
        "say in OIDC_ROLES which group is which role",
    ),
    ({"OIDC_ROLES": "admins=king"}, "OIDC_ROLES: 'admins=king' is no group=role"),
    ({"ENV_FILE": "TMP/missing"}, "ENV_FILE names"),
    ({"ENV_FILE": "TMP"}, "ENV_FILE names"),
    ({"ENV_FILE": "TMP/binary"}, "cannot be read as UTF-8 text."),
]


def test_every_wrong_setting_is_refused_with_a_sentence_that_names_it_and_holds_no_password(tmp_path):
    (tmp_path / "binary").write_bytes(b"SECRET_KEY=\xff\xfe")

    results = tried(tmp_path, [environment for environment, _ in WRONG])

    for (environment, sentence), result in zip(WRONG, results, strict=True):
        assert isinstance(result, list), environment
        kind, text, hides_its_cause = result
        assert kind == "ImproperlyConfigured", environment
        assert sentence in text
        assert hides_its_cause
        assert PASSWORD not in text


def test_what_is_not_set_has_the_documented_defaults(tmp_path):
    (made,) = tried(tmp_path, [{"DATABASE_URL": "sqlite:///TMP/db.sqlite3"}])

    assert made["DEBUG"] == "False"
    assert made["ALLOWED_HOSTS"] == "['localhost', '127.0.0.1', '[::1]']"
    assert made["CSRF_TRUSTED_ORIGINS"] == "[]"
    assert made["ENVIRONMENT_NAME"] == "'production'"
    assert made["KEY_RING_FILE"] == repr(BASE_DIR / "var" / "keyring")
    assert (made["DRILL_PORT"], made["DRILL_SITES"]) == ("None", "{}")
    assert made["HAMR_POLL_INTERVAL"] == "30.0"
    assert made["HAMR_CONNECT_TIMEOUT"] == "3.0"
    assert made["HAMR_DEADLINE"] == "8.0"
    assert made["HAMR_SETTLE_SECONDS"] == "120.0"
    assert made["HAMR_SETTLE_READS"] == "3"
    assert made["HAMR_MODIFIED_BY"] == "'{email}'"
    assert made["PREVIEW_SECONDS"] == "120.0"
    assert (made["STEP_UP_SECONDS"], made["ACCOUNT_REAUTHENTICATION_TIMEOUT"]) == ("300.0", "300.0")
    assert (made["SESSION_IDLE_SECONDS"], made["SESSION_ABSOLUTE_SECONDS"]) == ("1800.0", "43200.0")
    assert made["TICKET_PATTERN"] == "re.compile('')", "a ticket is optional"
    assert made["SPOOL_FILE"] == repr(BASE_DIR / "var" / "spool.jsonl")
    assert made["HAMR_SWEEP_THREADS"] == "64"
    assert made["TRUSTED_PROXIES"] == "0"
    assert made["NOTIFY_URLS"] == "[]"
    assert made["SECURE_PROXY_SSL_HEADER"] == "None"


def test_a_mail_server_is_read_from_one_address_and_without_one_nothing_is_mailed(tmp_path):
    sender: dict[str, str | None] = {"DEFAULT_FROM_EMAIL": "portal@halden.example"}
    none, tls, ssl, console = tried(
        tmp_path,
        [
            {},
            {"EMAIL_URL": "smtp+tls://me:p%40ss@mail.example", **sender},
            {"EMAIL_URL": "smtp+ssl://mail.example:4465", **sender},
            {"EMAIL_URL": "consolemail://", **sender},
        ],
    )

    assert (none["SENDS_MAIL"], none["EMAIL_BACKEND"]) == ("False", "'django.core.mail.backends.dummy.EmailBackend'")
    assert (tls["SENDS_MAIL"], tls["EMAIL_HOST_USER"], tls["EMAIL_HOST_PASSWORD"]) == ("True", "'me'", "'p@ss'")
    assert (tls["EMAIL_HOST"], tls["EMAIL_PORT"], tls["EMAIL_USE_TLS"]) == ("'mail.example'", "587", "True")
    assert (ssl["EMAIL_PORT"], ssl["EMAIL_USE_SSL"], ssl["EMAIL_USE_TLS"]) == ("4465", "True", "False")
    assert console["EMAIL_BACKEND"] == "'django.core.mail.backends.console.EmailBackend'"
    assert tls["DEFAULT_FROM_EMAIL"] == "'portal@halden.example'"
    assert float(none["EMAIL_TIMEOUT"]) <= 5


def test_addresses_for_news_are_read_and_shown_by_nobody(tmp_path):
    (made,) = tried(tmp_path, [{"NOTIFY_URLS": f"json://{PASSWORD}, slack://{PASSWORD}"}])

    assert made["NOTIFY_URLS"] == "[Secret(***), Secret(***)]"


def test_cookies_are_bound_to_the_host_with_https_and_to_nothing_without(tmp_path):
    with_https, without = tried(
        tmp_path, [{"HTTPS": "true", "ALLOWED_HOSTS": "portal.example", "TRUSTED_PROXIES": "1"}, {"HTTPS": "false"}]
    )

    assert [with_https[f"{name}_COOKIE_NAME"] for name in ("SESSION", "CSRF")] == ["'__Host-session'", "'__Host-csrf'"]
    for name in ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_PRELOAD"):
        assert (with_https[name], without[name]) == ("True", "False")
    assert (with_https["SECURE_HSTS_SECONDS"], without["SECURE_HSTS_SECONDS"]) == ("31536000", "0")
    assert with_https["SECURE_PROXY_SSL_HEADER"] == "('HTTP_X_FORWARDED_PROTO', 'https')"
    assert [without[f"{name}_COOKIE_NAME"] for name in ("SESSION", "CSRF")] == ["'session'", "'csrf'"]
    assert with_https["CSRF_COOKIE_HTTPONLY"] == without["CSRF_COOKIE_HTTPONLY"] == "True"


def test_values_are_read_as_they_are_written(tmp_path):
    (tmp_path / "env").write_text(
        "# the portal\n"
        "SECRET_KEY='$not-another-variable#really'\n"
        "export ENVIRONMENT_NAME=staging\n"
        "HAMR_POLL_INTERVAL=15\n"
        "ALLOWED_HOSTS=portal.example, dr.halden.example ,\n"
    )
    lines: list[dict[str, str | None]] = [
        {"ENV_FILE": "TMP/env", "SECRET_KEY": None, "HAMR_POLL_INTERVAL": "1e2"},
        {"DEBUG": "YES", "HAMR_SITES": "us1=http://127.0.0.1:9001", "DRILL_PORT": "9002"},
        {"DATABASE_URL": "postgres://me:p%40ss%24@db.example:5433/portal"},
        {"DATABASE_URL": "sqlite:///TMP/new/folder/portal.sqlite3", "KEY_RING_FILE": "/run/secrets/ring"},
        {
            "HAMR_MODIFIED_BY": "{email} (change {change})",
            "HAMR_SETTLE_SECONDS": "180.5",
            "HAMR_SETTLE_READS": "5",
            "PREVIEW_SECONDS": "60",
            "TICKET_PATTERN": r"(INC|CHG)-\d{4,}",
            "SPOOL_FILE": "/mnt/other-disk/spool.jsonl",
        },
    ]

    from_file, loopback, postgres, sqlite, changes = tried(tmp_path, lines)

    assert from_file["SECRET_KEY"] == "'$not-another-variable#really'"
    assert from_file["ENVIRONMENT_NAME"] == "'staging'"
    assert from_file["HAMR_POLL_INTERVAL"] == "100.0", "the environment comes before the file"
    assert from_file["ALLOWED_HOSTS"] == "['portal.example', 'dr.halden.example']"
    assert loopback["DEBUG"] == "True"
    assert "'http://127.0.0.1:9001'" in loopback["HAMR_SITES"]
    assert "'http://127.0.0.1:9003'" in loopback["DRILL_SITES"]
    assert "'PASSWORD': 'p@ss$'" in postgres["DATABASES"]
    assert "'PORT': 5433" in postgres["DATABASES"]
    assert "'CONN_HEALTH_CHECKS': True" in postgres["DATABASES"]
    assert f"'NAME': '{tmp_path}/new/folder/portal.sqlite3'" in sqlite["DATABASES"]
    assert "'transaction_mode': 'IMMEDIATE'" in sqlite["DATABASES"]
    assert (tmp_path / "new" / "folder").is_dir()
    assert sqlite["KEY_RING_FILE"] == repr(Path("/run/secrets/ring"))
    assert changes["HAMR_MODIFIED_BY"] == "'{email} (change {change})'"
    assert (changes["HAMR_SETTLE_SECONDS"], changes["HAMR_SETTLE_READS"]) == ("180.5", "5")
    assert changes["PREVIEW_SECONDS"] == "60.0"
    assert changes["TICKET_PATTERN"] == repr(re.compile(r"(INC|CHG)-\d{4,}"))
    assert changes["SPOOL_FILE"] == repr(Path("/mnt/other-disk/spool.jsonl"))


def test_a_wrong_setting_ends_every_way_to_start_with_one_sentence():
    ways = [("manage.py", "check"), ("manage.py", "status"), ("manage.py", "runserver"), ("-m", "hamr_portal.wsgi")]

    with ThreadPoolExecutor(len(ways)) as pool:
        ended = list(pool.map(lambda way: start(*way, SECRET_KEY=""), ways))

    for way, each in zip(ways, ended, strict=True):
        assert each.returncode == 1, way
        assert each.stdout == ""
        assert each.stderr == (
            "The portal's settings are wrong: SECRET_KEY is not set. "
            "Put SECRET_KEY=<50 random characters> into the environment or into .env.\n"
        )


def test_a_web_server_does_not_start_on_a_database_that_is_not_ready(tmp_path):
    (tmp_path / "damaged.sqlite3").write_text("no database " * 500)
    expected = {
        "new": ("portal.E004", "HINT: Run: manage.py migrate"),
        "damaged": ("portal.E003", "HINT: Look at DATABASE_URL"),
    }

    with ThreadPoolExecutor(len(expected)) as pool:
        ended = pool.map(
            lambda name: start("-c", "import hamr_portal.wsgi", DATABASE_URL=f"sqlite:///{tmp_path}/{name}.sqlite3"),
            expected,
        )

    for words, each in zip(expected.values(), ended, strict=True):
        assert each.returncode == 1
        for word in ("The portal does not start.", *words):
            assert word in each.stderr
        assert "Traceback" not in each.stderr


@pytest.mark.parametrize("name", ["default-src", "base-uri", "frame-ancestors"])
def test_a_browser_is_allowed_nothing_that_is_not_named(name):
    assert settings.CONTENT_SECURITY_POLICY["DIRECTIVES"][name] == ["'none'"]


def test_no_request_opens_a_transaction_by_itself():
    assert not settings.DATABASES["default"].get("ATOMIC_REQUESTS")
