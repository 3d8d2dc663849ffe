"""How is this installation set up? Everything comes from the environment, or from `.env` beside `manage.py`."""

import os
import re
import sys
import warnings
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import TypeVar

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from hamr_portal.domain import drills
from hamr_portal.domain.news import InvalidAddresses, addresses_in
from hamr_portal.domain.organizations import InvalidSites, is_loopback, sites_with
from hamr_portal.domain.sso import InvalidRoles, roles_in

BASE_DIR = Path(__file__).resolve().parent.parent
Number = TypeVar("Number", int, float)

# Another file, or none when empty: the demo has one of its own.
_env_file = os.environ.get("ENV_FILE", str(BASE_DIR / ".env"))
if _env_file and Path(_env_file).is_file():
    try:
        _lines = Path(_env_file).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        raise ImproperlyConfigured(f"{_env_file} cannot be read as UTF-8 text.") from None
    for _number_of, _line in enumerate(_lines, 1):
        # Without this, a malformed line is passed over, and printed: it may hold a password.
        if _line.strip() and not re.match(r"\s*(#|(export\s+)?[A-Za-z_]\w*\s*=)", _line):
            raise ImproperlyConfigured(f"{_env_file}, line {_number_of}: write NAME=value.")
    environ.Env.read_env(_env_file)
elif os.environ.get("ENV_FILE"):
    raise ImproperlyConfigured(f"ENV_FILE names {_env_file}, which is no file.")


def _text(name: str, default: str) -> str:
    # Not environ's: it takes a value that begins with "$" for the name of another variable.
    return os.environ.get(name, default)


def _list(name: str, default: str) -> list[str]:
    return [part.strip() for part in _text(name, default).split(",") if part.strip()]


def _truth(name: str, default: str) -> bool:
    word = _text(name, default).strip().lower()
    if word in ("true", "yes", "on", "1"):
        return True
    # A misspelt word must not switch anything off.
    if word in ("false", "no", "off", "0"):
        return False
    raise ImproperlyConfigured(f"{name} must be true or false.")


def _number(read: Callable[[str], Number], name: str, default: str, hint: str, *, least: float) -> Number:
    try:
        value = read(_text(name, default))
        fits = isfinite(value) and value >= least
    except (ValueError, OverflowError):
        fits = False
    if not fits:
        raise ImproperlyConfigured(f"{name} must be {hint}.")
    return value


def _path(text: str) -> Path:
    return BASE_DIR / Path(text).expanduser()


# --- who may reach it, and how ---------------------------------------------------------------------------------
SECRET_KEY = _text("SECRET_KEY", "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set. Put SECRET_KEY=<50 random characters> into the environment or into .env."
    )
DEBUG = _truth("DEBUG", "false")
ALLOWED_HOSTS = _list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
CSRF_TRUSTED_ORIGINS = _list("CSRF_TRUSTED_ORIGINS", "")
HTTPS = _truth("HTTPS", "true")
TRUSTED_PROXIES = _number(int, "TRUSTED_PROXIES", "0", "a whole number of proxies", least=0)

if any("*" in host or host.startswith(".") for host in ALLOWED_HOSTS):
    raise ImproperlyConfigured("ALLOWED_HOSTS holds a wildcard. Name each host that people type.")
_public = [host for host in ALLOWED_HOSTS if not is_loopback(host)]
if DEBUG and _public:
    raise ImproperlyConfigured(f"DEBUG is on and {_public[0]} is public. Set DEBUG=false, or serve loopback only.")
if not HTTPS and _public:
    raise ImproperlyConfigured(f"HTTPS is off and {_public[0]} is public. Set HTTPS=true, or serve loopback only.")

# --- the portal's own ------------------------------------------------------------------------------------------
ENVIRONMENT_NAME = _text("ENVIRONMENT_NAME", "production")
KEY_RING_FILE = _path(_text("KEY_RING_FILE", "var/keyring"))
try:
    HAMR_SITES = sites_with(_text("HAMR_SITES", ""))
except InvalidSites as error:
    raise ImproperlyConfigured(f"HAMR_SITES: {error}") from None
# Where drills are staged: at this port of this machine and at the next, and nowhere else. Empty: not set up.
_drill_port = _text("DRILL_PORT", "").strip()
DRILL_PORT = _number(int, "DRILL_PORT", "", "empty, or a port from 1024 to 65534", least=1024) if _drill_port else None
if DRILL_PORT is not None and DRILL_PORT > 65_534:
    raise ImproperlyConfigured("DRILL_PORT must be empty, or a port from 1024 to 65534.")
DRILL_SITES = drills.stage(DRILL_PORT) if DRILL_PORT is not None else {}
for _site in HAMR_SITES.values():
    if drills.is_on_stage(_site, DRILL_SITES):
        raise ImproperlyConfigured(f"DRILL_PORT: HAMR_SITES leads {_site.name} there too. Choose another port.")
HAMR_POLL_INTERVAL = _number(float, "HAMR_POLL_INTERVAL", "30", "a number of seconds, 1 or more", least=1)
HAMR_CONNECT_TIMEOUT = _number(float, "HAMR_CONNECT_TIMEOUT", "3", "a number of seconds, 0.1 or more", least=0.1)
HAMR_DEADLINE = _number(float, "HAMR_DEADLINE", "8", "a number of seconds, 0.1 or more", least=0.1)
HAMR_PROXY = _text("HAMR_PROXY", "")
if HAMR_PROXY and not re.match(r"https?://[^\s/@]+/?$", HAMR_PROXY):
    raise ImproperlyConfigured("HAMR_PROXY must be http://host:port or https://host:port.")
HAMR_SETTLE_SECONDS = _number(float, "HAMR_SETTLE_SECONDS", "120", "a number of seconds, 1 or more", least=1)
HAMR_SETTLE_READS = _number(int, "HAMR_SETTLE_READS", "3", "a whole number, 1 or more", least=1)
HAMR_MODIFIED_BY = _text("HAMR_MODIFIED_BY", "{email}")
if not HAMR_MODIFIED_BY.strip() or re.search(r"[{}]", re.sub(r"\{(email|change)\}", "", HAMR_MODIFIED_BY)):
    raise ImproperlyConfigured("HAMR_MODIFIED_BY may hold {email} and {change}, and no other braces.")
PREVIEW_SECONDS = _number(float, "PREVIEW_SECONDS", "120", "a number of seconds, 10 or more", least=10)
STEP_UP_SECONDS = _number(float, "STEP_UP_SECONDS", "300", "a number of seconds, 30 or more", least=30)
SESSION_IDLE_SECONDS = _number(float, "SESSION_IDLE_SECONDS", "1800", "a number of seconds, 60 or more", least=60)
SESSION_ABSOLUTE_SECONDS = _number(
    float, "SESSION_ABSOLUTE_SECONDS", "43200", "a number of seconds, 300 or more", least=300
)
try:
    TICKET_PATTERN = re.compile(_text("TICKET_PATTERN", ""))
except re.error:
    raise ImproperlyConfigured("TICKET_PATTERN must be a regular expression, such as INC-[0-9]+.") from None
# What was seen of a request and could not be recorded waits here, beside the database.
SPOOL_FILE = _path(_text("SPOOL_FILE", "var/spool.jsonl"))
# Which entry was the last one, signed, kept outside the database: by it a restored or shortened log is known.
ANCHOR_FILE = _path(_text("ANCHOR_FILE", "var/anchors.jsonl"))
HAMR_SWEEP_THREADS = _number(int, "HAMR_SWEEP_THREADS", "64", "a whole number, 1 or more", least=1)

# --- single sign-on: off without an issuer ---------------------------------------------------------------------
OIDC_ISSUER = _text("OIDC_ISSUER", "").strip()
OIDC_CLIENT_ID = _text("OIDC_CLIENT_ID", "")
OIDC_CLIENT_SECRET = _text("OIDC_CLIENT_SECRET", "")
OIDC_NAME = _text("OIDC_NAME", "single sign-on")
OIDC_GROUPS_CLAIM = _text("OIDC_GROUPS_CLAIM", "groups")
try:
    OIDC_ROLES = roles_in(_text("OIDC_ROLES", ""))
except InvalidRoles as error:
    raise ImproperlyConfigured(f"OIDC_ROLES: {error}") from None
if OIDC_ISSUER:
    _issuer = re.fullmatch(r"(https?)://([\w.-]+|\[[\da-fA-F:.]+\])(:\d+)?(/[^\s?#]*)?", OIDC_ISSUER)
    if _issuer is None or (_issuer[1] == "http" and not is_loopback(_issuer[2])):
        raise ImproperlyConfigured("OIDC_ISSUER must be https://…, as the issuer spells it.")
    if not (OIDC_CLIENT_ID and OIDC_CLIENT_SECRET):
        raise ImproperlyConfigured("OIDC_ISSUER is set: set OIDC_CLIENT_ID and OIDC_CLIENT_SECRET too.")
    if not OIDC_ROLES:
        raise ImproperlyConfigured("OIDC_ISSUER is set: say in OIDC_ROLES which group is which role.")

# --- Django ----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "hamr_portal",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_htmx",
    "csp",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
]
MIDDLEWARE = [
    "hamr_portal.web.middleware.RequestIdMiddleware",
    "csp.middleware.CSPMiddleware",
    "hamr_portal.web.middleware.HeadersMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "hamr_portal.web.middleware.NotAllowedMiddleware",
    "hamr_portal.web.middleware.BodyLimitMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "hamr_portal.web.sessions.SessionLimitsMiddleware",
    "hamr_portal.web.access.AccessMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]
ROOT_URLCONF = "hamr_portal.urls"
WSGI_APPLICATION = "hamr_portal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "hamr_portal.web.page.frame",
            ],
            "builtins": ["hamr_portal.templatetags.portal"],
        },
    }
]
CSRF_FAILURE_VIEW = "hamr_portal.web.errors.csrf_failure"

_wrong_database = ImproperlyConfigured("DATABASE_URL must be sqlite:///path or postgres://user:password@host/name.")
try:
    with warnings.catch_warnings():
        # It warns where it guesses, and repeats the password as it does.
        warnings.simplefilter("error", UserWarning)
        _database = environ.Env.db_url_config(_text("DATABASE_URL", "sqlite:///var/portal.sqlite3"))
except (ValueError, UserWarning):
    raise _wrong_database from None
DATABASES = {"default": _database}
if _database["ENGINE"] == "django.db.backends.sqlite3":
    if _database["NAME"] != ":memory:":
        _database["NAME"] = str(_path(_database["NAME"]))
        try:
            Path(_database["NAME"]).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ImproperlyConfigured(
                f"DATABASE_URL: the folder of {_database['NAME']} cannot be made ({error.strerror})."
            ) from None
    _database["OPTIONS"] = {
        # A read that becomes a write would fail at once under a concurrent writer; IMMEDIATE waits instead.
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        # FULL: a committed row survives a power cut in WAL mode too.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
elif _database["ENGINE"] == "django.db.backends.postgresql":
    # Nobody waits longer for a lock than on SQLite: a change that cannot be recorded is not sent, and says so.
    _asked = _database.get("OPTIONS", {})
    # And no longer for a server that a network has swallowed: what was seen of a request must reach somebody.
    _lost = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "keepalives_idle": 5, "keepalives_interval": 2}
    _database["OPTIONS"] = {**_lost, "options": "-c lock_timeout=5s", **_asked}
    _database["CONN_MAX_AGE"] = 60
    _database["CONN_HEALTH_CHECKS"] = True
else:
    raise _wrong_database
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
USE_I18N = False
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Found where they lie: there is no collectstatic step to forget.
WHITENOISE_USE_FINDERS = True

# --- people ----------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "hamr_portal.Person"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "dashboard"
ACCOUNT_ADAPTER = "hamr_portal.web.accounts.Adapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = STEP_UP_SECONDS
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES
ACCOUNT_FORMS = {"change_password": "hamr_portal.web.password_forms.ChangeForm"}
ACCOUNT_RATE_LIMITS = {
    # Sign-ins from one address, whatever comes of them.
    "login": "30/m/ip",
    # Failures: at one account from one address (the key is both), then from one address at all of them.
    "login_failed": "5/5m/key,20/5m/ip",
    # Failures at one account from all addresses. One address alone never comes to this.
    "login_failed_account": "100/h/key",
    # Not by person, as the library does: a stolen cookie must not keep its owner from signing in again.
    "reauthenticate": "10/m/ip",
    "change_password": "10/m/ip",
}
# All web processes count together.
CACHES = {"default": {"BACKEND": "hamr_portal.services.tallies.SharedCache"}}

SOCIALACCOUNT_ADAPTER = "hamr_portal.web.sso.Adapter"
MFA_ADAPTER = "hamr_portal.web.factors.Adapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_RECOVERY_CODES_SHOW_ONCE = True
# The clock of a telephone may be half a minute off.
MFA_TOTP_TOLERANCE = 1
MFA_FORMS = {
    "activate_totp": "hamr_portal.web.factor_forms.ActivateForm",
    "authenticate": "hamr_portal.web.factor_forms.CodeForm",
    "reauthenticate": "hamr_portal.web.factor_forms.CodeAgainForm",
    "authenticate_webauthn": "hamr_portal.web.factor_forms.KeyForm",
    "reauthenticate_webauthn": "hamr_portal.web.factor_forms.KeyAgainForm",
    "add_webauthn": "hamr_portal.web.factor_forms.AddKeyForm",
}

# --- where news goes -------------------------------------------------------------------------------------------
_email_url = _text("EMAIL_URL", "")
DEFAULT_FROM_EMAIL = SERVER_EMAIL = _text("DEFAULT_FROM_EMAIL", "")
SENDS_MAIL = bool(_email_url)
try:
    _mail = environ.Env.email_url_config(_email_url or "dummymail://")
except (ImproperlyConfigured, ValueError):
    # None of the library's own: its words may repeat the password.
    _mail = {}
if not _mail or ("smtp" in _mail["EMAIL_BACKEND"] and not _mail["EMAIL_HOST"]):
    raise ImproperlyConfigured("EMAIL_URL must be smtp+tls://user:password@host:587, smtp+ssl://… or smtp://….")
if SENDS_MAIL and not DEFAULT_FROM_EMAIL:
    raise ImproperlyConfigured("EMAIL_URL is set: set DEFAULT_FROM_EMAIL too, to the address that mails come from.")
EMAIL_BACKEND, EMAIL_FILE_PATH = _mail["EMAIL_BACKEND"], _mail["EMAIL_FILE_PATH"]
EMAIL_HOST = _mail["EMAIL_HOST"] or ""
EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = _mail["EMAIL_HOST_USER"] or "", _mail["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS, EMAIL_USE_SSL = _mail.get("EMAIL_USE_TLS", False), _mail.get("EMAIL_USE_SSL", False)
EMAIL_PORT = _mail["EMAIL_PORT"] or (465 if EMAIL_USE_SSL else 587 if EMAIL_USE_TLS else 25)
EMAIL_TIMEOUT = 5
try:
    NOTIFY_URLS = addresses_in(_text("NOTIFY_URLS", ""))
except InvalidAddresses as error:
    raise ImproperlyConfigured(f"NOTIFY_URLS: {error}") from None

# --- what a browser is told ------------------------------------------------------------------------------------
_prefix = "__Host-" if HTTPS else ""
SESSION_COOKIE_NAME = f"{_prefix}session"
CSRF_COOKIE_NAME = f"{_prefix}csrf"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
# The cookie goes with the browser; the row behind it is swept out once no session can be as old.
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_COOKIE_AGE = int(SESSION_ABSOLUTE_SECONDS)
# What is said to a person goes with their session; in a cookie of its own it would be read by whoever comes next.
MESSAGE_STORAGE = "hamr_portal.web.messages.Storage"
CSRF_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200  # a run sheet has seven a step
# No form takes a file.
FILE_UPLOAD_HANDLERS: list[str] = []

# --- what is told of errors, and to logs -----------------------------------------------------------------------
DEFAULT_EXCEPTION_REPORTER = "hamr_portal.web.error_reports.ErrorReport"
DEFAULT_EXCEPTION_REPORTER_FILTER = "hamr_portal.web.error_reports.NothingHeld"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "hamr_portal.log_lines.Lines", "for_people": sys.stderr.isatty()}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line"},
        "stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"},
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # Django's own handlers write in lines of their own, and mail to ADMINS, of whom there are none.
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # At DEBUG it writes what it sends.
        "urllib3": {"level": "WARNING"},
        "django.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        # The heads of the audit log, for whoever collects the output: nothing but JSON lines.
        "hamr_portal.heads": {"handlers": ["stdout"], "level": "INFO", "propagate": False},
    },
}
