"""Everything that is sealed comes under a new key, one row at a time, and nobody notices meanwhile."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db import DatabaseError

from hamr_portal.crypto import KeyRing, KeyRingUnusable, SealBroken, load_ring, replace_ring
from hamr_portal.domain.audit import Event
from hamr_portal.domain.chain import walk
from hamr_portal.domain.organizations import Secret
from hamr_portal.models import AuditEntry, Organization
from hamr_portal.services import audit, integrity, keys, rotation
from hamr_portal.services.keys import AuditKeys, SealedRow
from hamr_portal.services.rotation import RotationUnderWay, StillNeeded
from tests import factories
from tests.faults import database
from tests.services.tampering import write

pytestmark = pytest.mark.django_db
BY = factories.ADMIN


def sealed_under() -> dict[str, set[str]]:
    return {row.organization: {sealed.key_id for sealed in row.texts.values()} for row in keys.sealed_rows()}


def told() -> list[tuple[str, str, dict[str, object]]]:
    entries = AuditEntry.objects.filter(event=Event.KEYS_ROTATED).order_by("seq")
    return [(entry.outcome, entry.organization, json.loads(entry.data)) for entry in entries]


def all_open(ring: KeyRing) -> bool:
    return all(keys.open_for(each, ring) == factories.credentials() for each in Organization.objects.all())


def stop() -> bool:
    raise KeyboardInterrupt


def test_every_row_comes_under_a_new_key_and_that_is_on_the_record() -> None:
    factories.organization("one")
    factories.organization("two")
    old = keys.ring()

    came = rotation.rotate(by=BY)

    assert (came.rows, came.done, came.unreadable) == (2, 2, {})
    assert sealed_under() == {"one": {came.key}, "two": {came.key}}
    assert keys.ring().primary == came.key != old.primary
    assert all_open(keys.ring())
    assert told() == [
        ("BEGUN", "", {"key": came.key, "instead_of": old.primary}),
        ("SEALED", "one", {"key": came.key, "what": "the keys of one", "done": 1, "of": 2}),
        ("SEALED", "two", {"key": came.key, "what": "the keys of two", "done": 2, "of": 2}),
        ("COMPLETE", "", {"key": came.key, "done": 2, "of": 2, "unreadable": []}),
    ]


def test_the_ring_keeps_its_old_keys_and_is_for_its_owner_alone() -> None:
    old = keys.ring()

    rotation.rotate(by=BY)

    ring = keys.ring()
    assert ring.keys.items() > old.keys.items()
    assert stat.S_IMODE(settings.KEY_RING_FILE.stat().st_mode) == 0o600
    assert [file.name for file in settings.KEY_RING_FILE.parent.glob("keyring*")] == ["keyring"]


def test_who_has_read_the_ring_before_opens_every_row_after_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        factories.organization(name)
    old, steps = keys.ring(), list[bool]()

    def looked_after(do: Callable[..., Any]) -> Callable[..., Any]:
        def then_look(*args: Any) -> Any:
            came = do(*args)
            steps.append(all_open(old))
            return came

        return then_look

    for name in ("_seal", "_put"):
        monkeypatch.setattr(rotation, name, looked_after(getattr(rotation, name)))

    rotation.rotate(by=BY)

    assert steps == [True] * 5


def test_a_key_that_waits_opens_on_other_machines_before_anything_is_sealed_under_it() -> None:
    factories.organization("one")
    old = keys.ring()

    waiting = rotation.add_key()

    elsewhere = keys.ring()
    assert (elsewhere.primary, elsewhere.waiting) == (old.primary, waiting)
    assert rotation.add_key() == waiting
    assert rotation.rotate(by=BY).key == waiting
    sealed = Organization.objects.get()
    assert elsewhere.open(sealed.sealed_api_key, sealed.identity("api_key")) == factories.credentials().api_key


def test_keys_that_are_saved_meanwhile_are_never_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    one = factories.organization("one")
    other = factories.credentials("other0api0key0aaaaaaaaaaaaaaaa00")
    replaced: list[bool] = []

    def replace_first(row: SealedRow, *args: object) -> bool:
        if not replaced:
            replaced.append(True)
            saved_by_somebody = keys.sealed(one, other, KeyRing(old.primary, old.keys))
            Organization.objects.filter(pk=one.pk).update(**saved_by_somebody)
        return seal(row, *args)  # type: ignore[arg-type]

    old, seal = keys.ring(), rotation._seal
    monkeypatch.setattr(rotation, "_seal", replace_first)

    came = rotation.rotate(by=BY)

    assert keys.open_for(Organization.objects.get(), keys.ring()) == other
    assert (came.done, came.rows, sealed_under()) == (1, 1, {"one": {came.key}})


def test_what_cannot_be_opened_is_named_and_left_as_it_is() -> None:
    one = factories.organization("one")
    swapped = factories.organization("two")
    foreign = factories.organization("three")
    Organization.objects.filter(pk=swapped.pk).update(sealed_api_key=one.sealed_api_key)
    Organization.objects.filter(pk=foreign.pk).update(sealed_api_key="kffffffff.AAAA")
    before = (
        Organization.objects.filter(name__in=["two", "three"]).order_by("name").values_list("sealed_api_key", flat=True)
    )
    as_it_was = list(before)

    came = rotation.rotate(by=BY)

    assert came.unreadable == {
        "the keys of two": "the sealed text was changed, or belongs to another row",
        "the keys of three": "sealed under key 'kffffffff', which is not in the ring",
    }
    assert (came.done, came.rows) == (1, 3)
    assert list(before.all()) == as_it_was
    assert told()[-1][0] == "PARTLY"
    assert told()[-1][2]["unreadable"] == ["the keys of three", "the keys of two"]


def test_what_cannot_be_opened_does_not_hold_up_the_next_rotation() -> None:
    broken = factories.organization("one")
    Organization.objects.filter(pk=broken.pk).update(sealed_api_key="kffffffff.AAAA")

    first, second = rotation.rotate(by=BY), rotation.rotate(by=BY)

    assert first.key != second.key


def test_a_rotation_that_stopped_is_finished_and_not_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        factories.organization(name)
    seal = rotation._seal
    monkeypatch.setattr(rotation, "_seal", lambda row, *args: stop() if row.organization == "two" else seal(row, *args))
    with pytest.raises(KeyboardInterrupt):
        rotation.rotate(by=BY)
    monkeypatch.setattr(rotation, "_seal", seal)
    halfway = sealed_under()
    begun = keys.ring()

    came = rotation.rotate(by=BY)

    assert [under == {begun.primary} for under in halfway.values()] == [True, True, False]
    assert came.key == begun.primary
    assert keys.ring() == begun
    assert (came.done, came.rows) == (3, 3)
    assert [(data["done"], data["of"]) for outcome, _, data in told() if outcome == "SEALED"] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]


def test_what_was_begun_and_not_promoted_is_promoted() -> None:
    with database.refusing(Event.KEYS_ROTATED), pytest.raises(DatabaseError):
        rotation.rotate(by=BY)
    waiting = keys.ring().waiting

    came = rotation.rotate(by=BY)

    assert came.key == waiting != ""
    assert len(keys.ring().keys) == 2


@pytest.mark.parametrize(
    "step", [lambda: rotation.rotate(by=BY), rotation.add_key, lambda: rotation.drop_old_keys(by=BY)]
)
def test_two_at_once_are_one_too_many(step: Callable[[], object]) -> None:
    before = settings.KEY_RING_FILE.read_bytes()
    folder = os.open(settings.KEY_RING_FILE.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)

    with pytest.raises(RotationUnderWay, match="Another process"):
        step()

    os.close(folder)
    assert settings.KEY_RING_FILE.read_bytes() == before


def test_the_secrets_of_second_factors_come_under_the_new_key_too() -> None:
    mara = factories.person()
    sealed = keys.ring().seal(Secret("JBSWY3DPEHPK3PXP"), keys.factor_identity(mara.pk))
    factor = Authenticator.objects.create(user=mara, type=Authenticator.Type.TOTP, data={"secret": sealed})

    came = rotation.rotate(by=BY)

    factor.refresh_from_db()
    opened = keys.ring().open(factor.data["secret"], keys.factor_identity(mara.pk))
    assert factor.data["secret"].startswith(f"{came.key}.")
    assert opened == Secret("JBSWY3DPEHPK3PXP")
    assert (came.done, came.rows) == (1, 1)


# --- dropping ---------------------------------------------------------------------------------------------------


def test_an_old_key_is_dropped_once_nothing_is_sealed_under_it() -> None:
    factories.organization("one")
    old = keys.ring()
    rotation.rotate(by=BY)

    dropped = rotation.drop_old_keys(by=BY)

    ring = keys.ring()
    assert dropped == [old.primary]
    assert list(ring.keys) == [ring.primary]
    assert all_open(ring)
    assert old.keys[old.primary] not in (*ring.keys.values(), *ring.retired.values())
    assert told()[-1] == ("DROPPED", "", {"keys": [old.primary]})
    assert rotation.drop_old_keys(by=BY) == []


def test_entries_that_were_signed_with_a_dropped_key_stay_verifiable() -> None:
    write(3)
    rotation.rotate(by=BY)
    rotation.drop_old_keys(by=BY)

    rotation.rotate(by=BY)
    rotation.drop_old_keys(by=BY)

    came = integrity.verify()
    assert came.broken is None
    assert came.head == audit.head()
    assert len(set(AuditEntry.objects.values_list("key_id", flat=True))) == 3


def test_a_retired_key_opens_nothing() -> None:
    one = factories.organization("one")
    rotation.rotate(by=BY)
    rotation.drop_old_keys(by=BY)

    with pytest.raises(SealBroken, match="not in the ring"):
        keys.open_for(one, keys.ring())


def test_a_key_that_something_is_sealed_under_is_not_dropped() -> None:
    one = factories.organization("one")
    rotation.rotate(by=BY)
    Organization.objects.filter(pk=one.pk).update(sealed_api_key=one.sealed_api_key)
    before = keys.ring()

    with pytest.raises(StillNeeded, match="still seals the keys of one"):
        rotation.drop_old_keys(by=BY)

    assert keys.ring() == before


def test_a_key_that_something_came_under_at_the_last_moment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    one = factories.organization("one")
    rotation.rotate(by=BY)
    before, put = keys.ring(), rotation._put

    def put_late(ring: KeyRing) -> KeyRing:
        Organization.objects.filter(pk=one.pk).update(sealed_api_key=one.sealed_api_key)
        return put(ring)

    monkeypatch.setattr(rotation, "_put", put_late)

    with pytest.raises(StillNeeded):
        rotation.drop_old_keys(by=BY)

    assert keys.ring() == before


def test_nothing_is_dropped_while_a_key_waits() -> None:
    waiting = rotation.add_key()

    with pytest.raises(StillNeeded, match=f"Key {waiting} waits"):
        rotation.drop_old_keys(by=BY)


# --- who has read the ring before -------------------------------------------------------------------------------


def test_an_entry_that_was_signed_after_the_ring_was_read_is_verified_all_the_same() -> None:
    write(2)
    known = AuditKeys()
    rotation.rotate(by=BY)
    entries = [audit.plain(entry) for entry in AuditEntry.objects.order_by("seq")]

    came = walk(entries, known)

    assert came.broken is None
    assert len({entry["key_id"] for entry in entries}) == len(known) == len(list(known)) == 2


def test_a_key_that_is_nowhere_is_not_found_whether_the_ring_is_there_or_not() -> None:
    known = AuditKeys()

    with_ring = known.get("kffffffff")
    settings.KEY_RING_FILE.unlink()

    assert (with_ring, known.get("kffffffff")) == (None, None)


def test_without_the_ring_what_it_was_read_for_still_says_what_is_wrong() -> None:
    one = factories.organization("one")
    old = keys.ring()
    rotation.rotate(by=BY)
    one.refresh_from_db()
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(SealBroken, match="not in the ring"):
        keys.open_for(one, old)


def test_a_ring_that_cannot_be_replaced_is_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    before = settings.KEY_RING_FILE.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_ring(settings.KEY_RING_FILE, keys.ring().with_key())

    assert settings.KEY_RING_FILE.read_bytes() == before
    assert [file.name for file in settings.KEY_RING_FILE.parent.glob("keyring*")] == ["keyring"]


def test_without_a_ring_nothing_is_rotated() -> None:
    factories.organization("one")
    before = sealed_under()
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(KeyRingUnusable):
        rotation.rotate(by=BY)

    assert sealed_under() == before
    assert told() == []


def test_a_ring_behind_a_link_is_replaced_where_it_lies() -> None:
    there = settings.KEY_RING_FILE.rename(settings.KEY_RING_FILE.with_name("mounted"))
    settings.KEY_RING_FILE.symlink_to(there)

    waiting = rotation.add_key()

    assert settings.KEY_RING_FILE.is_symlink()
    assert load_ring(there).waiting == waiting
