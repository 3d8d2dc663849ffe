"""How are credentials sealed? AES-256-GCM under a ring of keys that lies in a file, bound to the row they belong to."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hamr_portal.domain.organizations import Secret

_NONCE_BYTES = 12
_KEY_BYTES = 32


class KeyRingUnusable(Exception):
    """The ring is missing, readable by others, or no ring. The text says what to do and holds no key."""


class SealBroken(Exception):
    """A sealed text is not what was sealed for this row: swapped, edited, or sealed under a key not in the ring."""


class RingExists(Exception):
    """A ring lies there already; replacing it would make every saved credential unreadable."""


@dataclass(frozen=True)
class KeyRing:
    """Keys by id. New seals use the primary; every key opens what it sealed."""

    primary: str
    keys: dict[str, bytes]

    def __repr__(self) -> str:
        return f"KeyRing(primary={self.primary!r}, {len(self.keys)} keys)"

    @property
    def audit_keys(self) -> dict[str, bytes]:
        """Give the keys that sign audit entries, one derived from each key of the ring; they open no seal."""
        return {name: hmac.digest(key, b"hamr-portal audit log", "sha256") for name, key in self.keys.items()}

    def seal(self, secret: Secret, identity: str) -> str:
        """Give the sealed form of a secret, which opens for the same `identity` (table, row and field) only."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = AESGCM(self.keys[self.primary]).encrypt(nonce, secret.reveal().encode(), identity.encode())
        return f"{self.primary}.{urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, identity: str) -> Secret:
        """Give the secret. Raises `SealBroken`."""
        key_id, _, text = sealed.partition(".")
        key = self.keys.get(key_id)
        if key is None:
            raise SealBroken(f"sealed under key {key_id[:16]!r}, which is not in the ring")
        try:
            raw = _decoded(text)
            return Secret(AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], identity.encode()).decode())
        except (InvalidTag, ValueError):
            raise SealBroken("the sealed text was changed, or belongs to another row") from None


def create_ring(path: Path) -> KeyRing:
    """Make a ring with one key in a file that only its owner may read. Raises `RingExists`."""
    # An id of its own, so that another installation's ring is told from a broken seal.
    primary = f"k{secrets.token_hex(4)}"
    ring = KeyRing(primary, {primary: secrets.token_bytes(_KEY_BYTES)})
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise RingExists(f"{path} exists. It is kept: without it the saved keys cannot be opened.") from None
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(
                {"primary": ring.primary, "keys": {primary: urlsafe_b64encode(ring.keys[primary]).decode()}}, file
            )
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()  # Half a ring would be kept like a whole one.
        raise
    return ring


def load_ring(path: Path) -> KeyRing:
    """Read the ring. Raises `KeyRingUnusable`."""
    try:
        mode = path.stat().st_mode
        text = path.read_bytes()
    except OSError as error:
        raise KeyRingUnusable(
            f"The key ring {path} cannot be read ({error.strerror}). "
            "New installation: run manage.py init_key_ring. Otherwise put the ring of this installation there."
        ) from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyRingUnusable(f"The key ring {path} may be read by others. Run: chmod 600 {path}")
    try:
        data = json.loads(text)
        keys = {str(name): _decoded(key) for name, key in data["keys"].items()}
        primary = str(data["primary"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise KeyRingUnusable(f"{path} is not a key ring. Put the ring of this installation there.") from None
    if primary not in keys or any(len(key) != _KEY_BYTES for key in keys.values()):
        raise KeyRingUnusable(f"{path} is a damaged key ring. Restore it from its backup.")
    return KeyRing(primary, keys)


def _decoded(text: str) -> bytes:
    raw = urlsafe_b64decode(text)
    if urlsafe_b64encode(raw).decode() != text:  # The decoder skips what it does not know.
        raise ValueError
    return raw
