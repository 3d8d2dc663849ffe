"""What may be typed about tokens?"""

from __future__ import annotations

from django import forms

from hamr_portal.domain.tokens import DAYS, NAME, Scope

_FOR = {Scope.STATUS: "status: the dashboard, at /api/status", Scope.METRICS: "metrics: the numbers, at /metrics"}
_NO_HELP = {"class": "input", "autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}


class TokenForm(forms.Form):
    """A token to make."""

    name = forms.RegexField(
        rf"\A{NAME.pattern}\Z",
        label="Name",
        max_length=63,
        widget=forms.TextInput(attrs=_NO_HELP),
        error_messages={
            "required": "Say which program has it, such as prometheus-us1.",
            "invalid": "Lower-case letters, digits and hyphens, such as prometheus-us1.",
        },
    )
    scope = forms.TypedChoiceField(
        label="Reads",
        choices=[(scope.value, words) for scope, words in _FOR.items()],
        coerce=Scope,
        widget=forms.Select(attrs={"class": "input"}),
        error_messages={"required": "Choose what it reads.", "invalid_choice": "Choose what it reads from the list."},
    )
    days = forms.TypedChoiceField(
        label="Expires after",
        choices=[(days, f"{days} days") for days in DAYS],
        coerce=int,
        initial=DAYS[1],
        widget=forms.Select(attrs={"class": "input"}),
        error_messages={"required": "Choose how long it lasts.", "invalid_choice": "Choose how long from the list."},
    )
