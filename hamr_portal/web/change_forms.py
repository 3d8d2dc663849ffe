"""What may be typed to choose and to confirm a change? Forms convert; what a change needs, its service says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings

from hamr_portal.domain.changes import OFFERED
from hamr_portal.domain.connections import HamrStatus, sanitized
from hamr_portal.models import Change, Organization
from hamr_portal.services.conditions import LONGEST_REASON, LONGEST_TICKET, Words
from hamr_portal.services.previews import Link
from hamr_portal.services.refusals import Problem

from .forms import LOOKS_LIKE_A_KEY

CHOSEN = ("target_status", "other", "target_uuid", "target_name", "target_datacenter", "primary")
CONFIRMED = ("ticket", "reason", "typed_name", "break_reason")
"""What of each form outlasts a sign-in that it asks for. A tick does not: it is given for what one has just read."""

_QUIET = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
_INPUT = {"class": "input", "autocomplete": "off"}
_MONO = {"class": "input input--mono", **_QUIET}


def _needed(**attrs: str) -> dict[str, Any]:
    """Mark a field that the script counts until it is filled in."""
    return {**attrs, "required": True, "data-need": True}


class StatusForm(forms.Form):
    """The status to ask for, by its name or its number."""

    target_status = forms.CharField(
        max_length=32, label="New status", error_messages={"required": "Choose the new status."}
    )

    def clean_target_status(self) -> HamrStatus:
        """Give the status; what UNSPECIFIED would do, nobody says, so that it is not offered."""
        text: str = self.cleaned_data["target_status"].upper()
        found = next((status for status in OFFERED if text in (status.name, str(status.value))), None)
        if found is None:
            names = ", ".join(status.name for status in OFFERED)
            raise forms.ValidationError(f"Choose one of {names}.")
        return found


class LinkForm(forms.Form):
    """The other side of a connection that is to be made: a saved organization, or one that is typed."""

    other = forms.ChoiceField(
        label="Saved organization",
        required=False,
        widget=forms.Select(attrs={"class": "input"}),
        error_messages={"invalid_choice": "Choose an organization from the list."},
    )
    target_uuid = forms.UUIDField(
        label="UUID",
        required=False,
        widget=forms.TextInput(attrs=_MONO),
        error_messages={"invalid": "A UUID looks like 550e8400-e29b-41d4-a716-446655440000."},
    )
    target_name = forms.CharField(
        label="Name", required=False, max_length=200, widget=forms.TextInput(attrs={**_INPUT, **_QUIET})
    )
    target_datacenter = forms.CharField(
        label="Datacenter", required=False, max_length=64, widget=forms.TextInput(attrs=_MONO)
    )
    primary = forms.ChoiceField(
        label="Which side is primary?",
        choices=[("this", "this"), ("other", "other")],
        widget=forms.RadioSelect,
        error_messages={"required": "Say which side is the primary."},
    )

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        *,
        organization: Organization,
        kept: dict[str, str] | None = None,
    ) -> None:
        super().__init__(data, initial=kept)
        others = Organization.objects.enabled().beside(organization).select_related("snapshot").by_name()
        self.saved = {str(row.pk): row for row in others.defer("snapshot__raw")}
        free = [row for row in self.saved.values() if not row.snapshot.has_connection]
        taken = [row for row in self.saved.values() if row.snapshot.has_connection]
        self.fields["other"].choices = [  # type: ignore[attr-defined]
            ("", "None of these"),
            ("Without a connection", [(str(row.pk), f"{row.name}, {row.site}") for row in free]),
            ("With a connection", [(str(row.pk), f"{row.name}, {row.site}") for row in taken]),
        ]

    def clean_target_name(self) -> str:
        """Refuse what a page could not show as it is."""
        return _shown(self.cleaned_data["target_name"])

    def clean_target_datacenter(self) -> str:
        """Refuse what a page could not show as it is."""
        return _shown(self.cleaned_data["target_datacenter"])

    def clean(self) -> dict[str, Any]:
        """Ask for one other side, whole."""
        data: dict[str, Any] = super().clean() or {}
        typed = [name for name in ("target_uuid", "target_name", "target_datacenter") if self[name].value()]
        if data.get("other") and typed:
            self.add_error("other", "Choose a saved organization or type one, not both.")
        elif not data.get("other"):
            if not typed and "other" not in self.errors:
                self.add_error("other", "Choose the other side, or type it below.")
            for name in ("target_uuid", "target_name", "target_datacenter"):
                if typed and name not in typed:
                    self.add_error(name, f"Type its {'UUID' if name == 'target_uuid' else name.partition('_')[2]}.")
        return data

    @property
    def link(self) -> Link:
        """Give the connection to make; a typed UUID that is saved here is that organization, and is read."""
        data = self.cleaned_data
        is_primary = data["primary"] == "this"
        other = self.saved.get(data["other"])
        if other is not None:
            datacenter = other.snapshot.own_datacenter or other.site
            return Link(other.uuid, other.name, datacenter, is_primary, other)
        uuid: UUID = data["target_uuid"]
        saved = next((row for row in self.saved.values() if row.uuid == uuid), None)
        return Link(uuid, data["target_name"], data["target_datacenter"], is_primary, saved)


class ConfirmForm(forms.Form):
    """What a person types to confirm. Nothing is required here: the service says everything that is missing at once."""

    ticket = forms.CharField(label="Ticket", required=False, widget=forms.TextInput(attrs=_MONO))
    reason = forms.CharField(
        label="Reason", required=False, widget=forms.Textarea(attrs=_needed(rows="2", **{"class": "input"}))
    )
    override = forms.BooleanField(label="Tick", required=False, widget=forms.CheckboxInput(attrs=_needed()))
    break_freeze = forms.BooleanField(
        label="Break the freeze", required=False, widget=forms.CheckboxInput(attrs=_needed())
    )
    break_reason = forms.CharField(
        label="Why it cannot wait", required=False, widget=forms.Textarea(attrs=_needed(rows="2", **{"class": "input"}))
    )
    typed_name = forms.CharField(label="Name", required=False, widget=forms.TextInput(attrs=_needed(**_MONO)))

    def __init__(
        self, data: Mapping[str, Any] | None = None, *, change: Change, kept: Mapping[str, str] | None = None
    ) -> None:
        before = {name: getattr(change, name) for name in CONFIRMED}
        super().__init__(data, initial={**before, **(kept or {})})
        self.change = change
        self.pattern: str = settings.TICKET_PATTERN.pattern
        if self.pattern:
            self.fields["ticket"].widget.attrs |= {"required": True, "data-need": True}
        self.fields["typed_name"].widget.attrs["data-match"] = change.organization.name
        if not change.needs_override:
            del self.fields["override"]

    def words(self, token: str) -> Words:
        """Give what was typed, whatever is wrong with it."""
        self.is_valid()
        data = self.cleaned_data
        return Words(
            token=token,
            reason=data.get("reason", ""),
            ticket=data.get("ticket", ""),
            typed_name=data.get("typed_name", ""),
            override=data.get("override", False),
            break_freeze=data.get("break_freeze", False),
            break_reason=data.get("break_reason", ""),
        )

    def say(self, problems: tuple[Problem, ...]) -> None:
        """Put each problem that the service found beside its field."""
        for problem in problems:
            field = _FIELD_OF[problem]
            self.add_error(field, self._sentence(problem))

    def _sentence(self, problem: Problem) -> str:
        name = self.change.organization.name
        typed = sanitized(self.cleaned_data.get("typed_name", ""), 80)
        match problem:
            case Problem.TICKET_MISSING:
                return "Name the ticket."
            case Problem.TICKET_MALFORMED if self.pattern:
                return f"A ticket looks like {self.pattern}"
            case Problem.TICKET_MALFORMED:
                return f"At most {LONGEST_TICKET} characters."
            case Problem.KEY_IN_REASON | Problem.KEY_IN_TICKET | Problem.KEY_IN_BREAK_REASON:
                return LOOKS_LIKE_A_KEY
            case Problem.REASON_MISSING:
                return "Say why, in a few words."
            case Problem.REASON_TOO_LONG:
                return f"At most {LONGEST_REASON} characters; these are {len(self.cleaned_data['reason'])}."
            case Problem.BREAK_REASON_MISSING:
                return "Say why it cannot wait until the freeze is over."
            case Problem.BREAK_REASON_TOO_LONG:
                return f"At most {LONGEST_REASON} characters; these are {len(self.cleaned_data['break_reason'])}."
            case Problem.OVERRIDE_MISSING:
                return "Tick this to send it anyway."
            case Problem.NAME_MISSING:
                return f"Type {name}."
            case Problem.NAME_OF_OTHER_SIDE:
                return f"“{typed}” is the other side. This change goes to {name}."
            case Problem.NAME_WRONG:
                return f"“{typed}” is {_whose(typed)}. This change goes to {name}."


_FIELD_OF = {
    Problem.TICKET_MISSING: "ticket",
    Problem.TICKET_MALFORMED: "ticket",
    Problem.KEY_IN_TICKET: "ticket",
    Problem.KEY_IN_REASON: "reason",
    Problem.REASON_MISSING: "reason",
    Problem.REASON_TOO_LONG: "reason",
    Problem.OVERRIDE_MISSING: "override",
    Problem.BREAK_REASON_MISSING: "break_reason",
    Problem.BREAK_REASON_TOO_LONG: "break_reason",
    Problem.KEY_IN_BREAK_REASON: "break_reason",
    Problem.NAME_MISSING: "typed_name",
    Problem.NAME_WRONG: "typed_name",
    Problem.NAME_OF_OTHER_SIDE: "typed_name",
}


def _whose(typed: str) -> str:
    site = Organization.objects.filter(name=typed).values_list("site", flat=True).first()
    return f"another organization, on {site}" if site is not None else "not this organization"


def _shown(text: str) -> str:
    if sanitized(text, len(text)) != text:
        raise forms.ValidationError("It holds characters that cannot be shown. Type it by hand.")
    return text
