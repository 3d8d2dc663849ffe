"""Which organization, on which site, with which keys? The names and the rules for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""An organization's short name: a slug, and what a person types to confirm."""

RESERVED_NAMES = frozenset({"new", "verify"})
"""Words that are paths below /organizations/."""

KEY = re.compile(r"[0-9A-Za-z_-]{16,128}")
_IN_TEXT = re.compile(r"(?<![0-9a-z])(?:[0-9a-f]{32}|[0-9a-f]{40})(?![0-9a-z])", re.IGNORECASE)
"""What an API key or application key may look like; a key that is no header value would end up in an error text."""


_ADDRESS = re.compile(r"[!-\[\]-~]+")
"""Printable ASCII without the backslash, which readers of addresses disagree about."""


OF_DRILLS = "drill-"
"""Names of organizations and sites that begin so are made by drills, and by nobody else."""


class InvalidKey(ValueError):
    """A key holds characters that no Datadog key has. The text never repeats the key."""


class InvalidSites(ValueError):
    """`HAMR_SITES` cannot be read. The text says which entry and what it should look like."""


class Spelling(StrEnum):
    """How attribute names are written in a request: `AUTO` follows what the organization last answered in."""

    AUTO = "AUTO"
    SNAKE_CASE = "SNAKE_CASE"
    PASCAL_CASE = "PASCAL_CASE"

    @classmethod
    def of(cls, word: str) -> Spelling:
        """Give the spelling that a word means, `PascalCase` as well as `pascal_case`. Raises `ValueError`."""
        folded = word.replace("_", "").upper()
        return next((each for each in cls if each.replace("_", "") == folded), None) or cls(word)


class Secret:
    """A text that no `repr`, `str` or format shows; `reveal()` is called at the moment of use only."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text itself."""
        return self._text

    @property
    def tail(self) -> str:
        """Give the last four characters, the part that may be shown."""
        return self._text[-4:]

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")


@dataclass(frozen=True)
class Credentials:
    """The API key and the application key of one organization."""

    api_key: Secret
    application_key: Secret

    def __post_init__(self) -> None:
        for label, key in (("API key", self.api_key), ("application key", self.application_key)):
            if not KEY.fullmatch(key.reveal()):
                raise InvalidKey(f"The {label} must be 16 to 128 letters, digits, hyphens or underscores.")


@dataclass(frozen=True)
class Site:
    """One Datadog site: its short name and the base URL of its API, without a trailing slash."""

    name: str
    base_url: str


_BUILT_IN = {
    "us1": "https://api.datadoghq.com",
    "us3": "https://api.us3.datadoghq.com",
    "us5": "https://api.us5.datadoghq.com",
    "eu1": "https://api.datadoghq.eu",
    "ap1": "https://api.ap1.datadoghq.com",
    "ap2": "https://api.ap2.datadoghq.com",
    "uk1": "https://api.uk1.datadoghq.com",
    "us1-fed": "https://api.ddog-gov.com",
    "us2-fed": "https://api.us2.ddog-gov.com",
}

SITES: Mapping[str, Site] = {name: Site(name, url) for name, url in _BUILT_IN.items()}
"""The nine sites that the vendor names (HAMR-API reference, 2026-10)."""


def sites_with(more: str) -> dict[str, Site]:
    """Give the built-in sites and those of `more`: `name=base-url`, comma-separated. Raises `InvalidSites`."""
    sites = dict(SITES)
    for entry in filter(None, (part.strip() for part in more.split(","))):
        name, _, url = (part.strip() for part in entry.partition("="))
        if not NAME.fullmatch(name):
            raise InvalidSites(f"{entry!r}: write name=base-url, the name in lower-case letters, digits and hyphens.")
        if name.startswith(OF_DRILLS):
            raise InvalidSites(f"{name}: names that begin with {OF_DRILLS} are of drills; write another.")
        sites[name] = Site(name, _checked_url(name, url))
    return sites


def _checked_url(name: str, url: str) -> str:
    """Give the address, or say what is wrong without repeating it: a password may stand in it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidSites(f"{name}: the address cannot be read; write https://host or https://host:port.") from None
    if parts.scheme not in ("https", "http") or not host or port == 0 or "@" in parts.netloc:
        raise InvalidSites(f"{name}: the address must be https://host, and may have a port and a path.")
    if not _ADDRESS.fullmatch(url):
        raise InvalidSites(f"{name}: the address holds characters that no address has; write a foreign host as xn--….")
    if parts.query or parts.fragment:
        raise InvalidSites(f"{name}: the address must not have a query or a fragment.")
    if parts.scheme == "http" and not is_loopback(host):
        raise InvalidSites(f"{name}: http: is for loopback addresses only; write https:.")
    return parts.scheme + url[len(parts.scheme) :].rstrip("/")


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address means this machine alone."""
    host = host.strip("[]")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def site_of_datacenter(datacenter: str) -> str:
    """Give the site for a datacenter in either form (`us5`, `us5.prod.dog`, `us1.fed.dog`), else the text itself."""
    text = datacenter.strip().lower()
    for ending, site_ending in ((".prod.dog", ""), (".fed.dog", "-fed")):
        if text.endswith(ending):
            return text.removesuffix(ending) + site_ending
    return text


def holds_a_key(text: str) -> bool:
    """Tell whether a text holds what looks like one of Datadog's keys: 32 or 40 hexadecimal digits."""
    return _IN_TEXT.search(text) is not None
