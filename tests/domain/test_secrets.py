"""In which modules is a secret opened? The fewer, the fewer can leak one."""

from __future__ import annotations

import re
from pathlib import Path

import hamr_portal

PORTAL = Path(hamr_portal.__file__).parent

OPENED_IN = {
    "crypto.py": "to seal it",
    "hamr_client/_client.py": "to send it, and to take it out of what comes back",
    "notifiers/__init__.py": "to hand it to the process that tells, and to know it again by a keyed hash",
    "management/drill_stage.py": "to teach the stage the made-up keys of a drill",
    "services/factors.py": "to compare a code with what it makes",
    "services/people.py": "to hash a password",
    "domain/organizations.py": "to see that it is a header value before anything else does",
}


def test_secrets_are_opened_in_these_modules_only() -> None:
    modules = {
        str(path.relative_to(PORTAL)) for path in PORTAL.rglob("*.py") if re.search(r"\.reveal\b", path.read_text())
    }

    assert modules == OPENED_IN.keys()


def test_nobody_reaches_past_it() -> None:
    reaching = {path.name for path in PORTAL.rglob("*.py") if re.search(r"(?<!self|ther)\._text\b", path.read_text())}

    assert reaching == set()


def test_pages_show_a_secret_where_it_is_shown_once_only() -> None:
    templates = PORTAL.parent / "templates"
    showing = {str(path.relative_to(templates)) for path in templates.rglob("*.*") if "reveal" in path.read_text()}

    assert showing == {"people/given.html", "tokens/made.html"}
