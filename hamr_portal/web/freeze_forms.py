"""What may be typed to freeze changes? Forms convert; what a freeze needs, its service says."""

from __future__ import annotations

from collections.abc import Iterable

from django import forms

from hamr_portal.domain.freezes import LONGEST, LONGEST_REASON, Problem

from .forms import LOOKS_LIKE_A_KEY

_SENTENCES = {
    Problem.REASON_MISSING: ("reason", "Say why, in a few words: it stands on every page."),
    Problem.REASON_TOO_LONG: ("reason", f"At most {LONGEST_REASON} characters: it stands on every page."),
    Problem.KEY_IN_REASON: ("reason", LOOKS_LIKE_A_KEY),
    Problem.END_PASSED: ("ends_at", "That moment has passed. Times are UTC."),
    Problem.END_TOO_FAR: ("ends_at", f"At most {LONGEST.days} days from now. A new one can follow it."),
}
_NEEDED = "Say when it ends, in UTC, such as 2026-03-15 06:00."


class FreezeForm(forms.Form):
    """A freeze to begin."""

    reason = forms.CharField(
        label="Reason",
        required=False,
        widget=forms.Textarea(attrs={"class": "input", "rows": "2", "autocomplete": "off"}),
    )
    ends_at = forms.DateTimeField(
        label="Ends at, UTC",
        widget=forms.DateTimeInput(
            format="%Y-%m-%dT%H:%M", attrs={"class": "input", "type": "datetime-local", "autocomplete": "off"}
        ),
        error_messages={"required": _NEEDED, "invalid": _NEEDED},
    )

    def say(self, problems: Iterable[Problem]) -> None:
        """Put each problem that the service found beside its field."""
        for problem in problems:
            self.add_error(*_SENTENCES[problem])
