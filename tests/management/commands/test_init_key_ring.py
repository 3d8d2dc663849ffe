from __future__ import annotations

import stat
from base64 import urlsafe_b64encode

from hamr_portal.crypto import load_ring


def test_a_ring_is_made_where_the_settings_say(run, settings, tmp_path):
    settings.KEY_RING_FILE = tmp_path / "var" / "keyring"

    ended = run("init_key_ring")

    assert ended.exit == 0
    assert f"Made {settings.KEY_RING_FILE}." in ended.out
    assert "Keep a copy elsewhere" in ended.out
    assert stat.S_IMODE(settings.KEY_RING_FILE.stat().st_mode) == 0o600
    assert len(load_ring(settings.KEY_RING_FILE).keys) == 1


def test_a_ring_that_is_there_is_kept(run, settings):
    before = settings.KEY_RING_FILE.read_bytes()

    ended = run("init_key_ring")

    assert ended.exit == 1
    assert "It is kept" in ended.error
    assert settings.KEY_RING_FILE.read_bytes() == before


def test_a_ring_that_cannot_be_written_is_told_in_a_sentence(run, settings, tmp_path):
    (tmp_path / "file").touch()
    settings.KEY_RING_FILE = tmp_path / "file" / "keyring"

    ended = run("init_key_ring")

    assert ended.exit == 1
    assert ended.error.startswith("The key ring cannot be written:")
    assert "KEY_RING_FILE" in ended.error


def test_neither_the_ring_nor_its_key_is_printed(run, settings, tmp_path):
    settings.KEY_RING_FILE = tmp_path / "another"

    ended = run("init_key_ring")

    ring = load_ring(settings.KEY_RING_FILE)
    key = urlsafe_b64encode(ring.keys[ring.primary]).decode()
    assert key in settings.KEY_RING_FILE.read_text()
    assert key[:20] not in ended.out + ended.err
