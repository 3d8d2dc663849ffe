"""What may be asked of the audit log? A form for its filters, which live in the address, and one to adopt it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from django import forms

from hamr_portal.domain.connections import sanitized
from hamr_portal.domain.log import Kind
from hamr_portal.models import Organization, Person
from hamr_portal.services.conditions import LONGEST_REASON
from hamr_portal.services.log import Filters
from hamr_portal.templatetags._entry_words import EVENTS, outcomes

_LARGEST = 2**63 - 1


class _Choice(forms.CharField):
    """One of a list, or what an address asks for: the log also tells of what is not there any more."""

    def __init__(self, label: str, nothing: str) -> None:
        super().__init__(label=label, required=False, widget=forms.Select(attrs={"class": "input"}))
        self.nothing = nothing

    def offer(self, choices: list[Any], typed: str) -> None:
        """Fill the list; what was typed stays in it."""
        flat = [value for value, words in choices if isinstance(words, str)]
        flat += [value for _, group in choices if not isinstance(group, str) for value, _ in group]
        others = [(typed, sanitized(typed, 100))] if typed and typed not in flat else []
        self.widget.choices = [("", self.nothing), *others, *choices]


class ChangeField(forms.IntegerField):
    """The number of a change."""

    def __init__(self, widget: forms.Widget) -> None:
        words = "A change is a number, such as 41."
        super().__init__(
            label="Change",
            required=False,
            min_value=1,
            max_value=_LARGEST,
            widget=widget,
            error_messages=dict.fromkeys(("invalid", "min_value", "max_value"), words),
        )


class DayField(forms.DateField):
    """A day in UTC."""

    def __init__(self, label: str) -> None:
        super().__init__(
            label=label,
            required=False,
            input_formats=["%Y-%m-%d"],
            widget=forms.DateInput(format="%Y-%m-%d", attrs={"class": "input", "type": "date"}),
            error_messages={"invalid": "A day is written as 2026-03-14."},
        )


def wrong_with(since: date | None, until: date | None) -> str:
    """Tell what is wrong with the last of some days; nothing where they can be asked for."""
    if until == date.max:
        return "The last day is too far off."
    return "The last day is before the first one." if since and until and until < since else ""


class FilterForm(forms.Form):
    """What to look for; nothing of it is needed, and all of it combines."""

    q = forms.CharField(
        label="Search",
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"class": "input", "type": "search", "placeholder": "Ticket, reason, person, IP"}),
        error_messages={"null_characters_not_allowed": "A search is plain text."},
    )
    organization = _Choice("Organization", "Any")
    actor = _Choice("Who", "Anyone")
    event = _Choice("Action", "Any")
    outcome = _Choice("Outcome", "Any")
    change = ChangeField(forms.HiddenInput(attrs={"class": "input", "inputmode": "numeric"}))
    since = DayField("From (UTC)")
    until = DayField("To (UTC)")

    def __init__(self, typed: Mapping[str, str]) -> None:
        super().__init__(typed, auto_id="f_%s")
        organizations = Organization.objects.by_name().values_list("name", flat=True)
        people = Person.objects.order_by("email").values_list("email", flat=True)
        self._offer("organization", [(name, name) for name in organizations])
        self._offer("actor", [(email, email.partition("@")[0]) for email in people])
        self._offer("event", _events())
        self._offer("outcome", outcomes())
        if self.errors:
            self._show_as_text()

    def _offer(self, name: str, choices: list[Any]) -> None:
        field = self.fields[name]
        assert isinstance(field, _Choice)  # noqa: S101 - only those are offered anything
        field.offer(choices, self.data.get(name, ""))

    def _show_as_text(self) -> None:
        """Show what is wrong as it was typed: a browser's own field shows no day that is none."""
        for name in self.errors:
            if name in ("since", "until", "change"):
                attrs = {key: value for key, value in self.fields[name].widget.attrs.items() if key != "type"}
                self.fields[name].widget = forms.TextInput(attrs=attrs)

    def clean(self) -> dict[str, Any]:
        """Refuse a time that ends before it begins."""
        data: dict[str, Any] = super().clean() or {}
        wrong = wrong_with(data.get("since"), data.get("until"))
        if wrong:
            self.add_error("until", wrong)
        return data

    def filters(self) -> Filters:
        """Give what is asked for."""
        return Filters(**{name: self.cleaned_data[name] for name in self.fields})

    def asked(self) -> dict[str, str]:
        """Give what was typed, without what was left empty, as an address has it."""
        return {name: self.data[name] for name in self.fields if self.data.get(name, "").strip()}


def _events() -> list[tuple[str, Any]]:
    kinds = [(kind.word, kind.label) for kind in Kind]
    each = sorted(((str(event), words) for event, words in EVENTS.items()), key=lambda each: each[1])
    return [*kinds, ("Each on its own", each)]


class AdoptForm(forms.Form):
    """Why the record is as it is."""

    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=LONGEST_REASON,
        widget=forms.Textarea(attrs={"class": "input", "rows": "2", "autocomplete": "off"}),
        error_messages={
            "max_length": f"At most {LONGEST_REASON} characters.",
            "null_characters_not_allowed": "A reason is plain text.",
        },
    )
