from __future__ import annotations

import os
import stat

import pytest
from pytest_django.fixtures import Settings

from hamr_portal.crypto import KeyRingUnusable, create_ring
from hamr_portal.domain.chain import Checkpoint, Place
from hamr_portal.services import anchors, keys

PLACE = Place(7, "a" * 64)


def put(seq: int) -> Checkpoint:
    made = anchors.checkpoint(Place(seq, "a" * 64))
    anchors.put(made)
    return made


def test_a_checkpoint_is_signed_with_the_primary_key_of_the_ring() -> None:
    made = anchors.checkpoint(PLACE)

    assert (made.seq, made.hash) == (7, "a" * 64)
    assert made.is_genuine(keys.ring().audit_keys)


def test_the_newest_of_those_that_were_put_there_is_found() -> None:
    put(1)
    last = put(2)

    assert anchors.newest() == last


def test_where_nothing_was_put_yet_there_is_none(settings: Settings) -> None:
    assert anchors.newest() is None


def test_a_file_that_was_emptied_holds_none_that_is_genuine(settings: Settings) -> None:
    settings.ANCHOR_FILE.touch()

    with pytest.raises(anchors.NoneGenuine):
        anchors.newest()


def test_the_file_is_made_with_its_folder_for_the_portal_alone(settings: Settings) -> None:
    settings.ANCHOR_FILE = settings.ANCHOR_FILE.parent / "new" / "anchors.jsonl"

    put(1)

    assert stat.S_IMODE(settings.ANCHOR_FILE.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.ANCHOR_FILE.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("after", [b"\n", b"half a li", b'{"checkpoint": 1}\n', b"\xff\xfe\n", b"noise " * 20_000])
def test_whatever_is_written_behind_hides_no_anchor(settings: Settings, after: bytes) -> None:
    last = put(3)

    with settings.ANCHOR_FILE.open("ab") as file:
        file.write(after)

    assert anchors.newest() == last


def test_an_anchor_that_was_edited_is_passed_over(settings: Settings) -> None:
    kept = put(3)
    put(9)
    first, second = settings.ANCHOR_FILE.read_text().splitlines()

    settings.ANCHOR_FILE.write_text(f"{first}\n{second.replace('9', '2', 1)}\n")

    assert anchors.newest() == kept


def test_a_file_of_another_installation_is_pointed_out(settings: Settings) -> None:
    put(3)
    settings.KEY_RING_FILE.unlink()
    create_ring(settings.KEY_RING_FILE)

    with pytest.raises(anchors.NoneGenuine, match=r"anchors\.jsonl holds nothing that was signed with a key of this"):
        anchors.newest()


def test_a_file_that_cannot_be_read_is_pointed_out(settings: Settings) -> None:
    settings.ANCHOR_FILE.mkdir()

    with pytest.raises(anchors.AnchorsUnreadable, match=r"anchors\.jsonl cannot be read \(Is a directory\)"):
        anchors.newest()


def test_without_a_ring_there_is_no_telling(settings: Settings) -> None:
    put(3)
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(KeyRingUnusable):
        anchors.newest()
    with pytest.raises(KeyRingUnusable):
        anchors.checkpoint(PLACE)


def test_a_line_that_a_full_disk_cut_off_takes_no_other_with_it(settings: Settings) -> None:
    put(1)
    with settings.ANCHOR_FILE.open("ab") as file:
        file.write(b'{"seq": 2, "ha')

    put(3)

    newest = anchors.newest()
    assert newest is not None
    assert newest.seq == 3


def test_a_checkpoint_that_a_full_disk_takes_in_part_was_not_put(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda file, text: len(text) - 1)

    with pytest.raises(OSError, match="No space left"):
        put(1)
