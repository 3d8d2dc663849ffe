"""How are credentials sealed? AES-256-GCM under a ring of keys that lies in a file, bound to the row they belong to."""

from __future__ import annotations

import hmac
import json
import os
import secrets
import stat
import tempfile
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
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


class KeyNotInRing(SealBroken):
    """A sealed text is sealed under a key that this ring does not have; one that was read later may have it."""


class RingExists(Exception):
    """A ring lies there already; replacing it would make every saved credential unreadable."""


@dataclass(frozen=True)
class KeyRing:
    """Keys by id. New seals use the primary; every key opens what it sealed.

    `waiting` is a key that already opens, and is to become the primary. Of a dropped key, `retired` keeps what verifies
    the audit entries that were signed with it, and opens nothing.
    """

    primary: str
    keys: dict[str, bytes]
    waiting: str = ""
    retired: dict[str, bytes] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"KeyRing(primary={self.primary!r}, {len(self.keys)} keys)"

    @property
    def audit_keys(self) -> dict[str, bytes]:
        """Give the keys that sign audit entries, one derived from each key of the ring; they open no seal."""
        derived = {name: hmac.digest(key, b"hamr-portal audit log", "sha256") for name, key in self.keys.items()}
        return self.retired | derived

    def with_key(self) -> KeyRing:
        """Give the ring with one more key, which waits."""
        added, key = _new_key()
        return replace(self, keys=self.keys | {added: key}, waiting=added)

    def promoted(self) -> KeyRing:
        """Give the ring with the waiting key as its primary."""
        return replace(self, primary=self.waiting, waiting="")

    def without(self, *dropped: str) -> KeyRing:
        """Give the ring without these keys; what verifies the entries that they signed stays."""
        known = self.audit_keys
        kept = {name: key for name, key in self.keys.items() if name not in dropped}
        return replace(self, keys=kept, retired=self.retired | {name: known[name] for name in dropped})

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
            raise KeyNotInRing(f"sealed under key {key_id[:16]!r}, which is not in the ring")
        try:
            raw = _decoded(text)
            return Secret(AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], identity.encode()).decode())
        except (InvalidTag, ValueError):
            raise SealBroken("the sealed text was changed, or belongs to another row") from None


def create_ring(path: Path) -> KeyRing:
    """Make a ring with one key in a file that only its owner may read. Raises `RingExists`."""
    primary, key = _new_key()
    ring = KeyRing(primary, {primary: key})
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise RingExists(f"{path} exists. It is kept: without it the saved keys cannot be opened.") from None
    try:
        with os.fdopen(handle, "w") as file:
            file.write(_text_of(ring))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink()  # Half a ring would be kept like a whole one.
        raise
    return ring


def replace_ring(path: Path, ring: KeyRing) -> None:
    """Put a ring in the place of the one that is there: at each moment a reader finds the one or the other, whole.

    It belongs to whom the old one belonged to. Raises `OSError`.
    """
    path = path.resolve()  # a link stays a link
    owner = path.stat()
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w") as file:
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.write(_text_of(ring))
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError:
        Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _new_key() -> tuple[str, bytes]:
    # An id of its own, so that another installation's ring is told from a broken seal.
    return f"k{secrets.token_hex(4)}", secrets.token_bytes(_KEY_BYTES)


def _text_of(ring: KeyRing) -> str:
    told: dict[str, object] = {"primary": ring.primary, "keys": _encoded(ring.keys)}
    if ring.waiting:
        told["waiting"] = ring.waiting
    if ring.retired:
        told["retired"] = _encoded(ring.retired)
    return json.dumps(told)


def _encoded(keys: dict[str, bytes]) -> dict[str, str]:
    return {name: urlsafe_b64encode(key).decode() for name, key in keys.items()}


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
        primary, waiting = str(data["primary"]), str(data.get("waiting", ""))
        retired = {str(name): _decoded(key) for name, key in data.get("retired", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise KeyRingUnusable(f"{path} is not a key ring. Put the ring of this installation there.") from None
    missing = {primary, waiting or primary} - keys.keys()
    if missing or any(len(key) != _KEY_BYTES for key in (*keys.values(), *retired.values())):
        raise KeyRingUnusable(f"{path} is a damaged key ring. Restore it from its backup.")
    return KeyRing(primary, keys, waiting, retired)


def _decoded(text: str) -> bytes:
    raw = urlsafe_b64decode(text)
    if urlsafe_b64encode(raw).decode() != text:  # The decoder skips what it does not know.
        raise ValueError
    return raw
