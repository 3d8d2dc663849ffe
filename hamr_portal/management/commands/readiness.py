"""`readiness`: what would fail tonight, in a terminal."""

from __future__ import annotations

import sys
from typing import Any

from django.utils import timezone
from rich.text import Text

from hamr_portal.domain.readiness import Urgency
from hamr_portal.management.shell import InstalledCommand, console
from hamr_portal.services import readiness
from hamr_portal.templatetags._readiness import fine_words, risk_label, risk_next, risk_sentence

WOULD_FAIL = 10

_STYLES = {Urgency.FAILS: "bold red", Urgency.DUE: "bold yellow"}


class Command(InstalledCommand):
    """Prints what the board shows; it asks nobody and writes nothing."""

    help = (
        "Show what would fail tonight, of all that is known here. Exit 0 when nothing would, 10 when something would."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the risks, the worst first, then what is fine, and tell by the exit code."""
        board = readiness.board(now=timezone.now(), names_people=True)
        terminal = console(self.stdout)
        for urgency in Urgency:
            listed = board.of(urgency)
            if listed:
                terminal.print(Text(f"{urgency.value}: {len(listed)}", style=_STYLES[urgency]))
            for found in listed:
                said = risk_sentence(found, board.at)
                terminal.print(Text(f"  {risk_label(found, board.at)}: {said} Next: {risk_next(found, board.at)}."))
        terminal.print(Text("Fine" if board.found else "Nothing would fail tonight, as far as is known.", style="bold"))
        for fine in board.fine:
            terminal.print(Text(f"  {fine.topic.value}: {fine_words(fine, board.at)}."))
        if board.failing:
            sys.exit(WOULD_FAIL)
