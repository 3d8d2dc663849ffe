from __future__ import annotations

import pytest

from hamr_portal.domain.tokens import is_of, make, prefix_of


def test_a_token_is_known_by_its_prefix_and_its_hash_alone():
    made = make()
    text = made.text.reveal()

    assert prefix_of(text) == made.prefix
    assert is_of(text, made.hash)
    assert made.prefix in text
    assert made.hash not in text
    assert text not in repr(made)


def test_no_two_tokens_are_alike_and_each_has_256_random_bits():
    texts = {make().text.reveal() for _ in range(50)}

    assert len(texts) == 50
    assert {len(text.split("_", 2)[2]) * 6 for text in texts} == {258}


@pytest.mark.parametrize("end", ["", "x", "\n"])
def test_another_text_is_of_no_token(end):
    made = make()
    text = made.text.reveal()
    other = text[:-1] + end

    assert not is_of(other, made.hash)
    assert (prefix_of(other) is None) is (len(other) != len(text) or end == "\n")


@pytest.mark.parametrize("text", ["", "hamr_", "hamr_abc", "Bearer x", "hamr_" + "0" * 52, "é" * 60, "\x00", "\ud800"])
def test_what_is_no_token_has_no_prefix(text):
    assert prefix_of(text) is None
