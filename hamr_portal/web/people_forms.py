"""What may be typed about people? Forms validate and convert; they never save."""

from __future__ import annotations

from typing import Any

from django import forms

from hamr_portal.domain.people import Role
from hamr_portal.templatetags._people import summary

_ROLES = [(role.value, f"{role.word}: {summary(role)}") for role in Role]


def _role_field() -> forms.TypedChoiceField:
    return forms.TypedChoiceField(
        label="Role",
        choices=[("", "Choose a role"), *_ROLES],
        coerce=Role,
        widget=forms.Select(attrs={"class": "input"}),
        error_messages={"required": "Choose a role.", "invalid_choice": "Choose a role from the list."},
    )


class PersonForm(forms.Form):
    """Somebody to let in."""

    email = forms.EmailField(
        label="E-mail address",
        max_length=254,
        widget=forms.EmailInput(
            attrs={"class": "input", "autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}
        ),
        error_messages={
            "required": "Type the address that they sign in with.",
            "invalid": "Type an address such as anna@halden.example.",
        },
    )
    role = _role_field()


class RoleForm(forms.Form):
    """Another role for somebody, and which one the page showed."""

    role = _role_field()
    was = forms.TypedChoiceField(
        choices=[("", "none"), *_ROLES],
        coerce=Role,
        empty_value=None,
        required=False,
        widget=forms.HiddenInput,
    )

    @property
    def words(self) -> dict[str, Any]:
        """Give what was chosen, for the service."""
        return {"role": self.cleaned_data["role"], "was": self.cleaned_data["was"]}
