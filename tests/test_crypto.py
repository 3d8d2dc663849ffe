"""Sealed keys open for their own row and field only, and a ring that is not right is never used or replaced."""

from __future__ import annotations

import json
import os
import stat
import traceback
from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamr_portal.crypto import (
    KeyRing,
    KeyRingUnusable,
    RingExists,
    SealBroken,
    create_ring,
    load_ring,
    replace_ring,
)
from hamr_portal.domain.organizations import Secret

RING = KeyRing("k1", {"k1": b"1" * 32})
TWO_KEYS = KeyRing("k2", {"k1": b"1" * 32, "k2": b"2" * 32})
IDENTITY = "organization:11111111-1111-1111-1111-111111111111:api_key"
CANARY = "canary0api0key0aaaaaaaaaaaaaaaaa"
KEY_MATERIAL = urlsafe_b64encode(b"ring0canary0ring0canary0ring0can").decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "another" / "ring"


def written(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def everything_told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


# --- seals ------------------------------------------------------------------------------------------------------


@given(st.text(max_size=200), st.text(max_size=80))
def test_what_was_sealed_opens_for_the_same_identity(text, identity):
    assert RING.open(RING.seal(Secret(text), identity), identity) == Secret(text)


def test_a_sealed_text_shows_nothing_and_is_never_the_same_twice():
    first, second = RING.seal(Secret(CANARY), IDENTITY), RING.seal(Secret(CANARY), IDENTITY)

    assert first != second
    assert CANARY not in first
    assert CANARY.encode() not in urlsafe_b64decode(first.removeprefix("k1."))


@pytest.mark.parametrize(
    "other",
    [
        "organization:22222222-2222-2222-2222-222222222222:api_key",
        "organization:11111111-1111-1111-1111-111111111111:application_key",
        "person:11111111-1111-1111-1111-111111111111:api_key",
        IDENTITY + " ",
        "",
    ],
)
def test_a_seal_of_another_row_or_field_does_not_open(other):
    sealed = RING.seal(Secret(CANARY), IDENTITY)

    with pytest.raises(SealBroken, match="belongs to another row") as broken:
        RING.open(sealed, other)

    assert CANARY not in everything_told(broken.value)


SEALED = RING.seal(Secret(CANARY), IDENTITY)


@given(st.data())
def test_an_edit_anywhere_in_a_sealed_text_is_refused(data):
    place = data.draw(st.integers(0, len(SEALED) - 1))
    character = data.draw(st.characters(codec="utf-8").filter(lambda new: new != SEALED[place]))

    with pytest.raises(SealBroken):
        RING.open(SEALED[:place] + character + SEALED[place + 1 :], IDENTITY)


@given(st.integers(0, len(SEALED)), st.text(min_size=1, max_size=3))
def test_something_put_into_a_sealed_text_is_refused(place, text):
    with pytest.raises(SealBroken):
        RING.open(SEALED[:place] + text + SEALED[place:], IDENTITY)


@given(st.integers(0, len(SEALED) - 1))
def test_a_cut_sealed_text_is_refused(place):
    with pytest.raises(SealBroken):
        RING.open(SEALED[:place], IDENTITY)


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_any_byte_is_refused(bit):
    raw = urlsafe_b64decode(SEALED.removeprefix("k1."))

    for place in range(len(raw)):
        edited = raw[:place] + bytes([raw[place] ^ (1 << bit)]) + raw[place + 1 :]
        with pytest.raises(SealBroken):
            RING.open(f"k1.{urlsafe_b64encode(edited).decode()}", IDENTITY)


@pytest.mark.parametrize(
    "sealed",
    [
        "",
        ".",
        "k1",
        "k1.",
        "k1.AAAA",
        "k1.ä",
        "k1.A",
        "k1." + "A" * 16,
        pytest.param("k1.\n" + SEALED[3:], id="new line"),
    ],
)
def test_what_is_no_sealed_text_is_refused(sealed):
    with pytest.raises(SealBroken):
        RING.open(sealed, IDENTITY)


def test_two_seals_cannot_be_swapped():
    other = IDENTITY.replace("api_key", "application_key")
    first, second = RING.seal(Secret(CANARY), IDENTITY), RING.seal(Secret("another"), other)

    for sealed, identity in ((second, IDENTITY), (first, other)):
        with pytest.raises(SealBroken):
            RING.open(sealed, identity)


# --- several keys -----------------------------------------------------------------------------------------------


def test_new_seals_take_the_primary_key_and_old_ones_still_open():
    old = RING.seal(Secret(CANARY), IDENTITY)

    new = TWO_KEYS.seal(Secret(CANARY), IDENTITY)

    assert (old[:3], new[:3]) == ("k1.", "k2.")
    assert TWO_KEYS.open(old, IDENTITY) == TWO_KEYS.open(new, IDENTITY) == Secret(CANARY)


def test_a_seal_under_a_key_that_is_not_in_the_ring_says_which():
    sealed = TWO_KEYS.seal(Secret(CANARY), IDENTITY)

    with pytest.raises(SealBroken, match="sealed under key 'k2', which is not in the ring"):
        RING.open(sealed, IDENTITY)


def test_a_seal_cannot_be_moved_under_another_key():
    sealed = RING.seal(Secret(CANARY), IDENTITY)

    with pytest.raises(SealBroken):
        TWO_KEYS.open("k2." + sealed.removeprefix("k1."), IDENTITY)


def test_a_ring_shows_how_many_keys_it_has_and_none_of_them():
    shown = f"{TWO_KEYS} {TWO_KEYS!r} {[TWO_KEYS]}"

    assert "KeyRing(primary='k2', 2 keys)" in shown
    assert "1111" not in shown
    assert "2222" not in shown


# --- the file ---------------------------------------------------------------------------------------------------


def test_a_new_ring_is_for_its_owner_alone_and_reads_as_it_was_made(path):
    ring = create_ring(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_ring(path) == ring
    assert len(ring.keys[ring.primary]) == 32


def test_a_new_ring_is_for_its_owner_alone_whatever_the_umask(path):
    before = os.umask(0)
    try:
        create_ring(path)
    finally:
        os.umask(before)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_two_rings_have_the_same_key(path, tmp_path):
    assert create_ring(path).keys != create_ring(tmp_path / "third").keys


@pytest.mark.parametrize("there", ["", "no ring at all", json.dumps({"primary": "k1", "keys": {"k1": KEY_MATERIAL}})])
def test_what_lies_there_already_is_never_overwritten(path, there):
    written(path, there)

    with pytest.raises(RingExists, match="It is kept"):
        create_ring(path)

    assert path.read_text() == there


def test_a_link_that_leads_nowhere_is_not_followed(path, tmp_path):
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(RingExists):
        create_ring(path)

    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_ring_says_how_to_make_one(path):
    with pytest.raises(KeyRingUnusable, match=r"cannot be read \(No such file or directory\)\. .* init_key_ring"):
        load_ring(path)


def test_a_folder_is_no_ring(path):
    path.mkdir(parents=True, mode=0o700)

    with pytest.raises(KeyRingUnusable, match="cannot be read"):
        load_ring(path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644, 0o666, 0o777])
def test_a_ring_that_others_may_reach_is_not_used(path, mode):
    create_ring(path)
    path.chmod(mode)

    with pytest.raises(KeyRingUnusable, match=f"Run: chmod 600 {path}"):
        load_ring(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_ring_that_its_owner_alone_may_reach_is_used(path, mode):
    ring = create_ring(path)
    path.chmod(mode)

    assert load_ring(path) == ring


def ring_text(keys: object, primary: object = "k1") -> str:
    return json.dumps({"primary": primary, "keys": keys})


@pytest.mark.parametrize(
    "text",
    [
        "",
        KEY_MATERIAL,
        "[]",
        "null",
        "1",
        '"text"',
        "{}",
        "{" + f'"keys": {{"k1": "{KEY_MATERIAL}"}}' + "}",
        '{"primary": "k1"}',
        ring_text([KEY_MATERIAL]),
        ring_text(KEY_MATERIAL),
        ring_text(None),
        ring_text({}),
        ring_text({"k1": None}),
        ring_text({"k1": 7}),
        ring_text({"k1": [KEY_MATERIAL]}),
        ring_text({"k1": "ä" + KEY_MATERIAL}),
        ring_text({"k1": KEY_MATERIAL[:-1]}),
        ring_text({"k1": KEY_MATERIAL[:-4]}),
        ring_text({"k1": KEY_MATERIAL * 2}),
        ring_text({"k1": ""}),
        ring_text({"k1": KEY_MATERIAL, "k2": "AAAA"}),
        ring_text({"k2": KEY_MATERIAL}),
        ring_text({"k1": KEY_MATERIAL}, primary=None),
        ring_text({"k1": KEY_MATERIAL}, primary=["k1"]),
        ring_text({"k1": KEY_MATERIAL})[:-1],
        b"\xff\xfe\x00" + KEY_MATERIAL.encode(),
        KEY_MATERIAL.encode() + b"\xff",
        b"\x00" * 100,
        "[" * 100_000,
    ],
    ids=range(30),
)
def test_a_damaged_ring_is_refused_with_a_sentence_and_left_as_it_is(path, text):
    written(path, text)
    before = path.read_bytes()

    with pytest.raises(KeyRingUnusable, match=r"(is not a|is a damaged) key ring\. .*\.$") as refused:
        load_ring(path)

    assert str(path) in str(refused.value)
    assert KEY_MATERIAL[:8] not in everything_told(refused.value)
    assert path.read_bytes() == before


@given(st.binary(max_size=300))
def test_no_bytes_in_the_file_bring_another_error(tmp_path_factory, data):
    path = written(tmp_path_factory.getbasetemp() / "any-ring", data)

    with pytest.raises(KeyRingUnusable):
        load_ring(path)


# --- rotation ---------------------------------------------------------------------------------------------------


def test_a_ring_that_is_rotated_reads_as_it_was_written(path):
    ring = create_ring(path)
    waiting = ring.with_key()
    later = waiting.promoted().without(ring.primary)

    for each in (waiting, waiting.promoted(), later):
        replace_ring(path, each)
        assert load_ring(path) == each

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert waiting.primary == ring.primary
    assert later.primary == waiting.waiting
    assert later.audit_keys == waiting.audit_keys


@pytest.mark.parametrize(
    "more",
    [
        {"waiting": "k2"},
        {"waiting": ["k1"]},
        {"retired": None},
        {"retired": {"k0": "AAAA"}},
        {"retired": {"k0": 7}},
        {"retired": [KEY_MATERIAL]},
    ],
)
def test_what_a_rotation_adds_is_checked_as_well(path, more):
    written(path, json.dumps({"primary": "k1", "keys": {"k1": KEY_MATERIAL}} | more))

    with pytest.raises(KeyRingUnusable, match="key ring"):
        load_ring(path)
