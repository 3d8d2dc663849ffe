"""What may an evidence pack be asked for? One change, or some days of one pair or of everything."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from hamr_portal.models import Change, Pair
from hamr_portal.services.evidence_packs import Scope

from .audit_forms import ChangeField, DayField, wrong_with


class PackForm(forms.Form):
    """A change by its number, or days (both included, UTC), with a pair or without."""

    change = ChangeField(forms.TextInput(attrs={"class": "input", "inputmode": "numeric", "autocomplete": "off"}))
    pair = forms.ModelChoiceField(
        label="Pair",
        required=False,
        queryset=Pair.objects.real().order_by("name"),
        empty_label="All pairs",
        widget=forms.Select(attrs={"class": "input"}),
        error_messages={"invalid_choice": "There is no such pair now. Next: choose one from the list, or all pairs."},
    )
    since = DayField("From (UTC)")
    until = DayField("To (UTC)")

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
        elif wrong_with(since, until):
            self.add_error("until", wrong_with(since, until))
        return data

    def scope(self) -> Scope:
        """Give what is asked for."""
        return Scope(**{name: self.cleaned_data[name] for name in self.fields})
