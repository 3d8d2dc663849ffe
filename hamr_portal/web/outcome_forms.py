"""What may be typed to end a change? Forms convert; what a decision needs, its service says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from django import forms

from hamr_portal.domain.connections import sanitized
from hamr_portal.models import Change
from hamr_portal.services.conditions import LONGEST_REASON
from hamr_portal.services.refusals import Problem

from .forms import LOOKS_LIKE_A_KEY

_QUIET = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}


def _name() -> forms.CharField:
    return forms.CharField(
        label="Name", required=False, widget=forms.TextInput(attrs={"class": "input input--mono", **_QUIET})
    )


def _text(label: str) -> forms.CharField:
    return forms.CharField(
        label=label, required=False, widget=forms.Textarea(attrs={"class": "input", "rows": "2", "autocomplete": "off"})
    )


class EndForm(forms.Form):
    """What a person types to end a change, one way or another; `text_field` is where they say why."""

    name: ClassVar[str]
    text_field: ClassVar[str]

    def __init__(
        self, typed: Mapping[str, Any] | None = None, *, change: Change, kept: dict[str, str] | None = None
    ) -> None:
        # A page can hold two of these: their fields are told apart by the form's name.
        super().__init__(typed, auto_id=f"{self.name}_%s", initial=kept)
        self.change = change

    @property
    def texts(self) -> dict[str, str]:
        """Give what was typed, whatever is wrong with it."""
        self.is_valid()
        return {name: self.cleaned_data.get(name, "") for name in self.fields}

    def say(self, problems: Iterable[Problem]) -> None:
        """Put each problem that the service found beside its field."""
        for problem in problems:
            about_name = problem in _OF_THE_NAME
            self.add_error("typed_name" if about_name else self.text_field, self._sentence(problem))

    def _sentence(self, problem: Problem) -> str:
        name = self.change.organization.name
        typed = sanitized(self.texts.get("typed_name", ""), 80)
        match problem:
            case Problem.NAME_MISSING:
                return f"Type {name}."
            case Problem.NAME_OF_OTHER_SIDE:
                return f"“{typed}” is the other side. This change goes to {name}."
            case Problem.NAME_WRONG:
                return f"“{typed}” is not this organization. This change goes to {name}."
            case Problem.KEY_IN_REASON:
                return LOOKS_LIKE_A_KEY
            case Problem.REASON_TOO_LONG:
                return f"At most {LONGEST_REASON} characters."
        return "Say why, in a few words."


_OF_THE_NAME = frozenset({Problem.NAME_MISSING, Problem.NAME_WRONG, Problem.NAME_OF_OTHER_SIDE})


class DecisionForm(EndForm):
    """A second person's decision: the name to approve, a comment to decline."""

    name, text_field = "decide", "comment"
    typed_name = _name()
    comment = _text("Comment")


class SkipForm(EndForm):
    """What it takes to send without approval."""

    name, text_field = "skip", "reason"
    reason = _text("Reason to send without approval")
    typed_name = _name()


class ResolveForm(EndForm):
    """What it takes to open the lock of a change whose outcome is not known."""

    name, text_field = "resolve", "reason"
    reason = _text("Reason")
