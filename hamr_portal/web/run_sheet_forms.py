"""What may be typed into a run sheet? Forms convert; what a step needs, its domain says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django import forms

from hamr_portal.domain.changes import OFFERED
from hamr_portal.domain.run_sheets import (
    LONGEST_LINK,
    LONGEST_OWNER,
    LONGEST_TEXT,
    MOST_STEPS,
    About,
    Problem,
    Step,
    Wrong,
)

from .forms import LOOKS_LIKE_A_KEY

EMPTY_ROWS = 4
"""So many empty rows follow what is there; who needs more saves, and edits again."""

APART = 10
"""So far apart positions are numbered: a step between two gets a number between theirs."""

_MOST_ROWS = MOST_STEPS + EMPTY_ROWS
_FIELDS = ("position", "what", "about", "target", "owner", "link", "back")
KEPT = ("version", "rows", *(f"step-{row}-{name}" for row in range(_MOST_ROWS) for name in _FIELDS))
"""The names of all that may be typed."""

_SENTENCES = {
    Problem.WHAT_MISSING: "Say what to do, or empty the whole step to leave it out.",
    Problem.TEXT_TOO_LONG: f"At most {LONGEST_TEXT} characters. Put the rest behind the link.",
    Problem.OWNER_TOO_LONG: f"At most {LONGEST_OWNER} characters.",
    Problem.LINK_TOO_LONG: f"At most {LONGEST_LINK} characters.",
    Problem.KEY_IN_TEXT: LOOKS_LIKE_A_KEY,
    Problem.NOT_OFFERED: "Choose from the list.",
    Problem.TOO_MANY: f"At most {MOST_STEPS} steps. Leave some out, or put two into one.",
}
_NUMBER = "A whole number from 1 to 9999, such as 15 for a step between 10 and 20."


def _line(label: str) -> forms.CharField:
    return forms.CharField(
        label=label, required=False, widget=forms.TextInput(attrs={"class": "input", "autocomplete": "off"})
    )


def _choice(label: str, choices: Iterable[tuple[str, str]]) -> forms.ChoiceField:
    sentence = _SENTENCES[Problem.NOT_OFFERED]
    return forms.ChoiceField(
        label=label,
        choices=list(choices),
        required=False,
        widget=forms.Select(attrs={"class": "input"}),
        error_messages={"invalid_choice": sentence},
    )


class StepForm(forms.Form):
    """One step; a row in which nothing is typed is none."""

    position = forms.IntegerField(
        label="Position",
        required=False,
        min_value=1,
        max_value=9999,
        widget=forms.TextInput(attrs={"class": "input", "inputmode": "numeric", "autocomplete": "off"}),
        error_messages={"invalid": _NUMBER, "min_value": _NUMBER, "max_value": _NUMBER},
    )
    what = _line("What to do")
    about = _choice("About", [(about.name, about.value) for about in About])
    target = _choice("Around", [("", "Each status"), *((each.name, each.name) for each in OFFERED)])
    owner = _line("Owner")
    link = _line("Link")
    back = _line("Way back")

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is typed."""
        return not any(str(self[name].value() or "").strip() for name in ("what", "owner", "link", "back"))

    @property
    def step(self) -> Step:
        """Give what is typed."""
        typed = {name: self.cleaned_data.get(name) or "" for name in _FIELDS if name != "position"}
        return Step(**{**typed, "about": typed["about"] or About.OTHER.name})


class SheetForm:
    """A run sheet as it is edited: a row a step, and empty ones after them."""

    def __init__(self, typed: Mapping[str, Any] | None = None, *, steps: Sequence[Step] = (), version: int = 0) -> None:
        self.is_bound = typed is not None
        given = typed if typed is not None else {}
        self.version = number_of(given.get("version"), version)
        count = number_of(given.get("rows"), len(steps) + EMPTY_ROWS)
        self.rows = [self._row(row, typed, steps) for row in range(min(count, _MOST_ROWS))]
        self._filled: list[StepForm] = []

    @staticmethod
    def _row(row: int, typed: Mapping[str, Any] | None, steps: Sequence[Step]) -> StepForm:
        initial: dict[str, Any] = {"position": APART * (row + 1), "about": About.OTHER.name}
        if row < len(steps):
            initial |= asdict(steps[row])
        return StepForm(typed, prefix=f"step-{row}", initial=initial)

    def is_valid(self) -> bool:
        """Tell whether all that is typed can be converted."""
        wrong = [row for row in self.rows if not row.is_valid() and not row.is_empty]
        return not wrong

    @property
    def steps(self) -> list[Step]:
        """Give the steps that are typed, in the order of their positions."""
        filled = [row for row in self.rows if not row.is_empty]
        last = APART * _MOST_ROWS
        self._filled = sorted(filled, key=lambda row: row.cleaned_data.get("position") or last)
        return [row.step for row in self._filled]

    def say(self, found: Iterable[Wrong]) -> None:
        """Put each problem that the service found beside its field."""
        for wrong in found:
            self._filled[wrong.place].add_error(wrong.field, _SENTENCES[wrong.problem])

    @property
    def errors(self) -> list[tuple[str, Any]]:
        """Give every error with the field that it is about, and the number of its row."""
        bound = [(number, row) for number, row in enumerate(self.rows, 1) if self.is_bound and not row.is_empty]
        return [(f"Step {number}", field) for number, row in bound for field in row if field.errors]


def number_of(typed: Any, otherwise: int) -> int:
    """Give a number that came with a form; whatever is none was not typed by anybody."""
    text = str(typed)
    return int(text) if typed is not None and text.isascii() and text.isdigit() and len(text) < 10 else otherwise
