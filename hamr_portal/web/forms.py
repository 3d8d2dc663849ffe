"""What may be typed? Forms validate and convert; they never save."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from hamr_portal.domain.organizations import KEY, NAME, RESERVED_NAMES, Secret, Spelling, holds_a_key

_KEY_RULE = "A key is 16 to 128 letters, digits, hyphens or underscores. Paste it again, without spaces."

LOOKS_LIKE_A_KEY = "This looks like a key, and would stay on the record for ever. Leave it out."


def _no_help(**attrs: str) -> dict[str, str]:
    """Switch off what browsers and password managers would add to a field."""
    return {"autocomplete": "off", "spellcheck": "false", "autocapitalize": "none", **attrs}


class KeyField(forms.CharField):
    """A key: written into the page never, read from it once."""

    def __init__(self, label: str) -> None:
        widget = forms.PasswordInput(attrs=_no_help(**{"class": "input input--mono"}), render_value=False)
        super().__init__(label=label, required=False, max_length=500, widget=widget)

    def clean(self, value: Any) -> Secret | None:
        """Refuse what cannot be a key, without repeating it; what can be one is a secret from here on."""
        text: str = super().clean(value)
        if text and not KEY.fullmatch(text):
            raise forms.ValidationError(_KEY_RULE)
        return Secret(text) if text else None


class OrganizationForm(forms.Form):
    """An organization to add or edit. Editing keeps keys that are left empty."""

    name = forms.CharField(
        label="Name",
        max_length=63,
        widget=forms.TextInput(attrs=_no_help(**{"class": "input"})),
        error_messages={"required": "Give it a short name, such as acme-us1."},
    )
    site = forms.ChoiceField(
        label="Site",
        widget=forms.Select(attrs={"class": "input"}),
        error_messages={"required": "Choose the site.", "invalid_choice": "Choose a site from the list."},
    )
    api_key = KeyField("API key")
    application_key = KeyField("Application key")
    requires_approval = forms.BooleanField(label="A second person approves each change", required=False)
    spelling = forms.ChoiceField(
        label="Spelling of requests",
        choices=[
            (Spelling.AUTO, "As the organization answers"),
            (Spelling.SNAKE_CASE, "snake_case"),
            (Spelling.PASCAL_CASE, "PascalCase"),
        ],
        initial=Spelling.AUTO,
        widget=forms.Select(attrs={"class": "input"}),
    )
    pin_anew = forms.BooleanField(label="Pin the organization that these keys answer for", required=False)
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=500,
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
    )

    def __init__(self, *args: Any, needs_keys: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.needs_keys = needs_keys
        self.fields["site"].choices = [(name, name) for name in settings.HAMR_SITES]  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        """Refuse what is no slug, or is a path of this portal."""
        name: str = self.cleaned_data["name"]
        if not NAME.fullmatch(name) or name in RESERVED_NAMES:
            raise forms.ValidationError("Lower-case letters, digits and hyphens, at most 63, such as acme-us1.")
        return name

    def clean(self) -> dict[str, Any]:
        """Ask for what a new organization or a new pin cannot do without."""
        data: dict[str, Any] = super().clean() or {}
        if self.needs_keys:
            for field in ("api_key", "application_key"):
                if field not in self.errors and not data.get(field):
                    self.add_error(field, "Paste the key.")
        if holds_a_key(data.get("reason", "")):
            self.add_error("reason", LOOKS_LIKE_A_KEY)
        if data.get("pin_anew") and not data.get("reason"):
            self.add_error("reason", "Say why these are now another organization's keys.")
        return data


class PairNameForm(forms.Form):
    """A pair's name."""

    name = forms.CharField(
        label="Pair name",
        max_length=130,
        widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"}),
        error_messages={"required": "Give the pair a name."},
    )
