"""How are organizations saved, edited and disabled?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from hamr_portal.crypto import KeyRing
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.organizations import OF_DRILLS, Credentials, Secret, Spelling
from hamr_portal.models import Change, Organization, Snapshot

from . import audit, connections, keys, pairs
from .verification import Verification, VerifyOutcome, asked_with, dots, probe, site_named, verified_fields


class NotSaved(Exception):
    """Nothing was saved. `verification` says why where the keys are the reason."""

    def __init__(self, message: str, verification: Verification | None = None) -> None:
        super().__init__(message)
        self.verification = verification


class NameTaken(NotSaved):
    """Another organization has this name."""


class UuidTaken(NotSaved):
    """Another saved organization has this UUID: the keys are of an organization that is saved already."""


class OfDrill(NotSaved):
    """It is of a drill, or would be taken for one: what drills make, nobody edits, and nobody else makes."""


class KeysRefused(NotSaved):
    """The keys do not read."""


class WrongOrganization(NotSaved):
    """The keys answer for another organization than the pinned one."""


class OutOfDate(NotSaved):
    """Somebody else saved other keys or another site meanwhile; what was verified is not what would be saved."""


class ChangeOpen(Exception):
    """A change is open there: its outcome would never be read."""


class AlreadyMoved(Exception):
    """Somebody else did it first."""


@dataclass(frozen=True)
class Draft:
    """What a person or a file asks to save. Without credentials, the saved ones stay."""

    name: str
    site: str
    credentials: Credentials | None = None
    requires_approval: bool = False
    spelling: Spelling = Spelling.AUTO


def add(draft: Draft, *, by: Actor, found: Verification | None = None) -> tuple[Organization, Verification]:
    """Verify the keys, unless that was `found` already, then save the organization.

    Raises `NotSaved` and its kinds, `UnknownSite`, `KeyRingUnusable`.
    """
    credentials = draft.credentials
    if credentials is None:
        raise NotSaved("Both keys are needed.")
    _no_drills_name(draft)
    keys.ring()  # before anybody is asked; it is read again to seal, for it may be rotated meanwhile
    if Organization.objects.filter(name=draft.name).exists():
        raise NameTaken(f"{draft.name} is saved already. Choose another name, or edit that one.")
    found = _readable(found or probe(site_named(draft.site), credentials, pinned=None), draft.site)
    return _insert(draft, credentials, found, keys.ring(), by), found


def edit(
    organization: Organization,
    draft: Draft,
    *,
    by: Actor,
    pin_anew: bool = False,
    reason: str = "",
    found: Verification | None = None,
) -> Verification | None:
    """Save what was edited; new keys or another site are verified first. None: there was nothing to verify.

    With `pin_anew`, keys of another organization are accepted and its UUID pinned, for a reason that goes on the
    record. Raises `NotSaved` and its kinds, `UnknownSite`, `KeyRingUnusable`, `SealBroken`.
    """
    _no_drills(organization)
    _no_drills_name(draft)
    if Organization.objects.filter(name=draft.name).exclude(pk=organization.pk).exists():
        raise NameTaken(f"{draft.name} is saved already. Choose another name.")
    if draft.credentials is None and draft.site == organization.site:
        _update(organization, draft, {}, None, by, reason)
        return None
    ring = keys.ring()
    credentials = draft.credentials or keys.open_for(organization, ring)
    found = _readable(found or probe(site_named(draft.site), credentials, pinned=organization.uuid), draft.site)
    if found.outcome is VerifyOutcome.WRONG_ORGANIZATION:
        if not pin_anew:
            other = Organization.objects.filter(uuid=found.uuid).first()
            whose = other.name if other else f"organization {found.uuid}"
            raise WrongOrganization(f"These keys belong to {whose}. Paste keys of {organization.name}.", found)
        if not reason:
            raise NotSaved("Say why these are now another organization's keys.", found)
        found = replace(found, outcome=VerifyOutcome.READS, reason="")
    fields = verified_fields(found)
    if found.uuid is not None:
        fields["uuid"] = found.uuid
    if draft.credentials is not None:
        fields |= keys.sealed(organization, draft.credentials, keys.ring()) | {"keys_saved_at": timezone.now()}
    _update(organization, draft, fields, found, by, reason)
    return found


def completed(
    organization: Organization | None, api_key: Secret | None, application_key: Secret | None
) -> Credentials | None:
    """Give the credentials of which one or both were typed anew; None where neither was, or a new one lacks one.

    Raises `InvalidKey`, `KeyRingUnusable`, and `SealBroken` where the saved other key cannot be opened.
    """
    if api_key and application_key:
        return Credentials(api_key, application_key)
    if organization is None or not (api_key or application_key):
        return None
    saved = saved_credentials(organization)
    return Credentials(api_key or saved.api_key, application_key or saved.application_key)


def saved_credentials(organization: Organization) -> Credentials:
    """Open the saved keys. Raises `KeyRingUnusable`, `SealBroken`."""
    return keys.open_for(organization, keys.ring())


def is_same(organization: Organization, draft: Draft) -> bool:
    """Tell whether a draft without keys would change nothing."""
    return all(getattr(organization, name) == value for name, value in _plain(draft).items())


def disable(organization: Organization, *, by: Actor) -> None:
    """Stop reading an organization and take it off the dashboard; its history and keys stay.

    Raises `AlreadyMoved`, `ChangeOpen`, `OfDrill`.
    """
    _switch(organization, Event.ORGANIZATION_DISABLED, by)


def enable(organization: Organization, *, by: Actor) -> None:
    """Read an organization again. Raises `AlreadyMoved`, `OfDrill`."""
    _switch(organization, Event.ORGANIZATION_ENABLED, by)


def _switch(organization: Organization, event: Event, by: Actor) -> None:
    _no_drills(organization)
    disabling = event is Event.ORGANIZATION_DISABLED
    with transaction.atomic():
        connections.read_anew(organization.pk)
        rows = Organization.objects.filter(pk=organization.pk, disabled_at__isnull=disabling)
        if disabling and Change.objects.open().of([organization.pk]).exists():
            raise ChangeOpen(organization.name)
        if not rows.update(disabled_at=timezone.now() if disabling else None):
            raise AlreadyMoved(organization.name)
        audit.append(event, by=by, organization=organization.name)
    pairs.discover_pairs(by=by)


def _no_drills(organization: Organization) -> None:
    if organization.drill_id is not None:
        raise OfDrill(
            f"{organization.name} is of drill {organization.drill_id}, and goes with it. Next: end the drill."
        )


def _no_drills_name(draft: Draft) -> None:
    if draft.name.startswith(OF_DRILLS):
        raise OfDrill(f"Names that begin with {OF_DRILLS} are of drills. Choose another name.")


def _insert(draft: Draft, credentials: Credentials, found: Verification, ring: KeyRing, by: Actor) -> Organization:
    now = timezone.now()
    organization = Organization(
        uuid=found.uuid, added_at=now, keys_saved_at=now, **_plain(draft), **verified_fields(found)
    )
    keys.seal_into(organization, credentials, ring)
    with _unique(organization, {"name": draft.name, "uuid": found.uuid}), transaction.atomic():
        organization.save(force_insert=True)
        Snapshot.objects.create(organization=organization, due_at=now)
        audit.append(
            Event.ORGANIZATION_ADDED,
            by=by,
            organization=organization.name,
            outcome=found.outcome,
            data={**_plain(draft), "uuid": found.uuid, "keys": dots(credentials)},
        )
    pairs.discover_pairs(by=by)
    return organization


def _update(
    organization: Organization,
    draft: Draft,
    fields: dict[str, Any],
    found: Verification | None,
    by: Actor,
    reason: str,
) -> None:
    """Save the draft and `fields` and nothing else: the row may have moved since it was loaded."""
    fields = _plain(draft) | fields
    with _unique(organization, fields), transaction.atomic():
        if found is not None:
            connections.read_anew(organization.pk)
        rows = Organization.objects.select_for_update(no_key=True)
        current = rows.get(pk=organization.pk)
        _no_drills(current)
        if current.uuid != organization.uuid and fields.get("uuid", current.uuid) != current.uuid:
            raise WrongOrganization(f"{current.name} was pinned to organization {current.uuid} meanwhile.", found)
        if found is not None and asked_with(current) != asked_with(organization):
            raise OutOfDate(f"Somebody else saved {current.name} meanwhile. Look at it again, then paste the keys.")
        before = {name: getattr(current, name) for name in _SHOWN}
        rows.filter(pk=current.pk).update(**fields)
        after = before | {name: value for name, value in fields.items() if name in _SHOWN}
        if before["uuid"] is not None and before["uuid"] != after["uuid"]:
            _forget_view(current, by)
        if draft.credentials is not None:
            outcome = found.outcome if found is not None else ""
            shown = {"keys": dots(draft.credentials)}
            audit.append(
                Event.KEYS_REPLACED, by=by, organization=draft.name, reason=reason, outcome=outcome, data=shown
            )
        if before != after:
            data = {"before": before, "after": after}
            audit.append(Event.ORGANIZATION_EDITED, by=by, organization=draft.name, reason=reason, data=data)
    pairs.discover_pairs(by=by)


def _forget_view(organization: Organization, by: Actor) -> None:
    """Drop the view and the pair of what is another organization now; history keeps what was seen."""
    Snapshot.objects.filter(pk=organization.pk).delete()
    Snapshot.objects.create(organization=organization, due_at=timezone.now())
    if organization.pair_id is not None:
        pairs.part(organization.pair_id, by=by)


_SHOWN = ("name", "site", "requires_approval", "spelling", "uuid")
"""What the record shows of an edit, as it was and as it is."""


def _readable(found: Verification, site: str) -> Verification:
    if found.outcome is VerifyOutcome.KEY_REFUSED:
        hint = "A key works on one site only. Check the site, then paste both keys."
        raise KeysRefused(f"{site} says that {found.reason}. {hint}", found)
    if found.forbids_saving:
        raise KeysRefused(f"{site} says that {found.reason}. Give it to the application key's owner.", found)
    return found


def _plain(draft: Draft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "site": draft.site,
        "requires_approval": draft.requires_approval,
        "spelling": draft.spelling,
    }


@contextmanager
def _unique(organization: Organization, fields: Mapping[str, Any]) -> Iterator[None]:
    """Turn the database's "no" to a second name or UUID into a sentence."""
    try:
        yield
    except IntegrityError:
        others = Organization.objects.exclude(pk=organization.pk)
        if others.filter(name=fields["name"]).exists():
            raise NameTaken(f"{fields['name']} is saved already. Choose another name.") from None
        other = others.filter(uuid=fields.get("uuid"), uuid__isnull=False).first()
        if other is None:
            raise
        raise UuidTaken(f"These keys belong to {other.name}, which is saved already. Edit that one.") from None
