from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest

from hamr_portal.domain.audit import Event
from hamr_portal.models import AuditEntry, Organization
from hamr_portal.services import keys
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_rotation_says_how_many_it_sealed_and_who_did_it(run):
    factories.organization("one")
    factories.organization("two")

    ended = run("rotate_key_ring")

    primary = keys.ring().primary
    assert ended.exit == 0
    assert f"Key {primary} is the primary. Sealed under it: 2 of 2." in ended.out
    assert {entry.actor_kind for entry in AuditEntry.objects.filter(event=Event.KEYS_ROTATED)} == {"command"}


def test_what_cannot_be_opened_is_named_and_the_exit_says_so(run):
    broken = factories.organization("one")
    factories.organization("two")
    Organization.objects.filter(pk=broken.pk).update(sealed_api_key="kffffffff.AAAA")

    ended = run("rotate_key_ring")

    assert ended.exit == 1
    assert "Sealed under it: 1 of 2." in ended.out
    assert "Left as it is: the keys of one: sealed under key 'kffffffff', which is not in the ring." in ended.err


def test_the_steps_for_several_machines(run):
    factories.organization("one")
    old = keys.ring().primary

    added, rotated, dropped, again = (
        run("rotate_key_ring", *words) for words in (["--add"], [], ["--drop"], ["--drop"])
    )

    new = keys.ring().primary
    assert added.out == f"Key {new} is in the ring, and waits.\n"
    assert "1 of 1" in rotated.out
    assert dropped.out == f"Dropped: {old}.\n"
    assert again.out == "There is no old key in the ring.\n"


def test_what_is_in_the_way_is_told_in_a_sentence(run, settings):
    run("rotate_key_ring", "--add")

    waiting = run("rotate_key_ring", "--drop")
    settings.KEY_RING_FILE.unlink()
    missing = run("rotate_key_ring")

    assert (waiting.exit, missing.exit) == (1, 1)
    assert "Run manage.py rotate_key_ring first." in waiting.error
    assert "init_key_ring" in missing.error


def test_a_ring_that_cannot_be_replaced_is_told_in_a_sentence(run, monkeypatch):
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("hamr_portal.crypto.tempfile.mkstemp", refuse)

    ended = run("rotate_key_ring")

    assert ended.exit == 1
    assert ended.error == "The key ring cannot be replaced: Permission denied. Look at KEY_RING_FILE."


def test_no_key_is_printed(run, caplog):
    factories.organization("one")

    ended = run("rotate_key_ring")

    shown = ended.out + ended.err + caplog.text
    assert [name for name, key in keys.ring().keys.items() if urlsafe_b64encode(key).decode()[:12] in shown] == []
    assert "canary0" not in shown
