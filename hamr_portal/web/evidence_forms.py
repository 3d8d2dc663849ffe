"""What may an evidence pack be asked for? One change, or some days of one pair or of everything."""

from __future__ import annotations

from datetime import date
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from hamr_portal.models import Change, Pair
from hamr_portal.services.evidence_packs import Scope

_LARGEST = 2**63 - 1


class _Day(forms.DateField):
    def __init__(self, label: str) -> None:
        super().__init__(
            label=label,
            required=False,
            input_formats=["%Y-%m-%d"],
            widget=forms.DateInput(format="%Y-%m-%d", attrs={"class": "input", "type": "date"}),
            error_messages={"invalid": "A day is written as 2026-03-14."},
        )


class PackForm(forms.Form):
    """A change by its number, or days (both included, UTC), with a pair or without."""

    change = forms.IntegerField(
        label="Change",
        required=False,
        min_value=1,
        max_value=_LARGEST,
        widget=forms.TextInput(attrs={"class": "input", "inputmode": "numeric", "autocomplete": "off"}),
        error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), "A change is a number, such as 41."),
    )
    pair = forms.ModelChoiceField(
        label="Pair",
        required=False,
        queryset=Pair.objects.order_by("name"),
        empty_label="All pairs",
        widget=forms.Select(attrs={"class": "input"}),
        error_messages={"invalid_choice": "There is no such pair now. Next: choose one from the list, or all pairs."},
    )
    since = _Day("From (UTC)")
    until = _Day("To (UTC)")

    def clean_change(self) -> Change | None:
        """Find the change."""
        number = self.cleaned_data["change"]
        if number is None:
            return None
        found = Change.objects.filter(pk=number).first()
        if found is None:
            raise ValidationError(f"There is no change {number}. Next: look it up in the list of changes.")
        return found

    def clean(self) -> dict[str, Any]:
        """Hold together what was asked for."""
        data: dict[str, Any] = super().clean() or {}
        since, until = data.get("since"), data.get("until")
        if self.errors:
            return data
        if data["change"] is not None:
            if data["pair"] is not None or since or until:
                self.add_error("change", "A change is its own pack. Next: leave the pair and the days empty.")
        elif not (since and until):
            self.add_error("until" if since else "since", "Say from which day to which, or name one change.")
        elif until < since:
            self.add_error("until", "The last day is before the first one.")
        elif until == date.max:
            self.add_error("until", "The last day is too far off.")
        return data

    def scope(self) -> Scope:
        """Give what is asked for."""
        return Scope(**{name: self.cleaned_data[name] for name in self.fields})
