"""What lets a program read without a person? A token: 256 random bits, of which only a hash is kept."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from .organizations import Secret

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
"""A token's name: a slug that says which program has it."""

DAYS = (30, 90, 365)
"""So long a token may last: what nobody renews is nobody's any more."""

_TOKEN = re.compile(r"hamr_([0-9a-f]{8})_[0-9A-Za-z_-]{43}")


class Scope(StrEnum):
    """What a token may read. None of them may write."""

    STATUS = "STATUS"
    METRICS = "METRICS"

    @property
    def word(self) -> str:
        """Give the word that people read and type."""
        return self.value.lower()


@dataclass(frozen=True)
class Made:
    """A token that was just made: its text, shown once, and what is kept of it."""

    text: Secret
    prefix: str
    hash: str


def make() -> Made:
    """Make a token."""
    prefix = secrets.token_hex(4)
    text = f"hamr_{prefix}_{secrets.token_urlsafe(32)}"
    return Made(Secret(text), prefix, _hash_of(text))


def prefix_of(text: str) -> str | None:
    """Give the part of a token by which it is found; None where this is no token."""
    found = _TOKEN.fullmatch(text)
    return found[1] if found is not None else None


def is_of(text: str, kept_hash: str) -> bool:
    """Tell whether this is the token of which a hash was kept, in a time that says nothing about how much fits."""
    return hmac.compare_digest(_hash_of(text), kept_hash)


def _hash_of(text: str) -> str:
    # Nobody guesses 256 random bits, however fast they are hashed: a slow hash is for passwords.
    return sha256(text.encode(errors="surrogatepass")).hexdigest()
