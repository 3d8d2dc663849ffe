"""Where are secrets sealed and opened? Here, and nowhere else; and where do all the sealed ones lie?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from allauth.mfa.models import Authenticator
from django.conf import settings

from hamr_portal.crypto import KeyNotInRing, KeyRing, KeyRingUnusable, create_ring, load_ring
from hamr_portal.domain.organizations import Credentials, Secret
from hamr_portal.models import Organization

_KEYS = ("api_key", "application_key")
_FACTOR_SECRETS = ("secret", "seed")
"""What a second factor keeps sealed, by name: an authenticator app's secret, and what recovery codes grow from."""

FACTORS = {
    Authenticator.Type.TOTP.value: "authenticator app",
    Authenticator.Type.WEBAUTHN.value: "security key",
    Authenticator.Type.RECOVERY_CODES.value: "recovery codes",
}
"""What people call each kind of second factor."""


def ring() -> KeyRing:
    """Read the installation's key ring, as its file is now. Raises `KeyRingUnusable`."""
    return load_ring(settings.KEY_RING_FILE)


def init_ring() -> Path:
    """Make the installation's key ring and give its path. Raises `RingExists`."""
    path: Path = settings.KEY_RING_FILE
    create_ring(path)
    return path


def sealed(organization: Organization, credentials: Credentials, ring: KeyRing) -> dict[str, str]:
    """Give an organization's fields for credentials, sealed for this row; saving is the caller's."""
    fields: dict[str, str] = {}
    for field in _KEYS:
        key = getattr(credentials, field)
        fields |= {f"sealed_{field}": ring.seal(key, organization.identity(field)), f"{field}_tail": key.tail}
    return fields


def seal_into(organization: Organization, credentials: Credentials, ring: KeyRing) -> None:
    """Put credentials into an organization's fields, sealed for this row; saving is the caller's."""
    for name, value in sealed(organization, credentials, ring).items():
        setattr(organization, name, value)


def open_for(organization: Organization, ring: KeyRing) -> Credentials:
    """Give an organization's credentials. Raises `SealBroken`."""
    return Credentials(
        api_key=opened(organization.sealed_api_key, organization.identity("api_key"), ring),
        application_key=opened(organization.sealed_application_key, organization.identity("application_key"), ring),
    )


def opened(sealed_text: str, identity: str, known: KeyRing) -> Secret:
    """Give what is sealed; where the ring was rotated since it was read, with the ring as it is now.

    Raises `SealBroken`.
    """
    try:
        return known.open(sealed_text, identity)
    except KeyNotInRing as unknown:
        try:
            newer = ring()
        except KeyRingUnusable:
            raise unknown from None
        return newer.open(sealed_text, identity)


class AuditKeys(Mapping[str, bytes]):
    """The keys that verify audit entries; one that came into the ring after it was read is found as well.

    Making it raises `KeyRingUnusable`.
    """

    def __init__(self) -> None:
        self._known = ring().audit_keys

    def __getitem__(self, key_id: str) -> bytes:
        if key_id not in self._known:
            try:
                self._known = ring().audit_keys
            except KeyRingUnusable:
                raise KeyError(key_id) from None
        return self._known[key_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


# --- everything that is sealed ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SealedText:
    """A sealed text, and what it is bound to."""

    text: str
    identity: str

    @property
    def key_id(self) -> str:
        """Give the id of the key under which it is sealed."""
        return self.text.partition(".")[0]


@dataclass(frozen=True)
class SealedRow:
    """One row that holds sealed texts: whose they are, the texts by field, and how others take their place."""

    label: str
    organization: str
    texts: Mapping[str, SealedText]
    swap: Callable[[Mapping[str, str]], bool]
    """Puts new texts there, and tells whether it did: not where the old ones are not there any more."""


def sealed_rows() -> Iterator[SealedRow]:
    """Give every row that holds sealed texts: what is sealed elsewhere as well is to be given here."""
    for organization in Organization.objects.by_name():
        texts = {
            name: SealedText(getattr(organization, f"sealed_{name}"), organization.identity(name)) for name in _KEYS
        }
        yield SealedRow(f"the keys of {organization.name}", organization.name, texts, partial(_swap_keys, organization))

    for factor in _factors():
        texts = {
            name: SealedText(factor.data[name], factor_identity(factor.user_id))
            for name in _FACTOR_SECRETS
            if name in factor.data
        }
        yield SealedRow(f"the {FACTORS[factor.type]} of {factor.user}", "", texts, partial(_swap_secrets, factor))


def factor_identity(person_pk: int) -> str:
    """Give what the secrets of somebody's second factors are bound to."""
    return f"mfa_authenticator/person/{person_pk}"


def _factors() -> Iterator[Authenticator]:
    """Give the second factors that keep a secret; of a security key only the public half is here."""
    kinds = [Authenticator.Type.TOTP, Authenticator.Type.RECOVERY_CODES]
    yield from Authenticator.objects.filter(type__in=kinds).select_related("user").order_by("pk")


def _swap_secrets(factor: Authenticator, texts: Mapping[str, str]) -> bool:
    """Put other seals of the same secrets into a second factor's row."""
    unchanged = Authenticator.objects.filter(pk=factor.pk, data=factor.data)
    return bool(unchanged.update(data={**factor.data, **texts}))


def _swap_keys(organization: Organization, texts: Mapping[str, str]) -> bool:
    """Put other seals of the same keys into an organization's row."""
    as_it_was = {f"sealed_{name}": getattr(organization, f"sealed_{name}") for name in _KEYS}
    sealed_anew = {f"sealed_{name}": texts[name] for name in _KEYS}
    return bool(Organization.objects.filter(pk=organization.pk, **as_it_was).update(**sealed_anew))
