"""How does a reading read in a terminal?"""

from __future__ import annotations

from hamr_portal.domain.connections import View, name_of
from hamr_portal.models import LogLine
from hamr_portal.templatetags._looks import read_words


def said(view: View) -> str:
    """Give the status that a view shows."""
    return name_of(view.status or 0) if view.has_connection else "no connection"


def attempt(line: LogLine) -> str:
    """Give why a reading brought no view."""
    words = read_words(line.outcome, line.http_status)
    return f"{words}: {folded(line.reason)}" if line.reason else words


def folded(text: str) -> str:
    """Give a text of elsewhere in one line: a line feed in it could draw a line that is not ours."""
    return " ".join(text.split())
