from __future__ import annotations

import pytest
from django import forms

from hamr_portal.templatetags import portal


@pytest.mark.parametrize(
    ("address", "words"),
    [("mara@halden.example", "mara"), ("priya.raman", "priya.raman"), ("", "nobody named")],
)
def test_person_is_named_shortly(address: str, words: str):
    assert portal.person(address) == words


def test_json_is_indented():
    assert portal.pretty('{"a":[1]}') == '{\n  "a": [\n    1\n  ]\n}'


def test_other_text_stays_as_it_came():
    assert portal.pretty("<html>no</html>") == "<html>no</html>"


def test_too_deep_json_stays_as_it_came():
    deep = "[" * 200_000

    assert portal.pretty(deep) == deep


def test_escapes_in_json_cannot_reorder_the_page():
    assert "\u202e" not in portal.pretty('{"name": "\\u202eevil"}')


def test_hinted_field_is_described_by_hint_and_error():
    class Form(forms.Form):
        name = forms.CharField()

    text = str(portal.hinted(Form({"name": ""})["name"]))

    assert 'aria-describedby="id_name_hint id_name_error"' in text
    assert 'aria-invalid="true"' in text


def test_hinted_field_without_error_is_described_by_its_hint():
    class Form(forms.Form):
        name = forms.CharField()

    assert 'aria-describedby="id_name_hint"' in str(portal.hinted(Form()["name"]))
