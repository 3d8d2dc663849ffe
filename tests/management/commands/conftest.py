from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import CommandError
from django.test import override_settings


@dataclass(frozen=True)
class Ended:
    """What a command wrote, and how it ended: `exit` as a shell would see it."""

    out: str
    err: str
    exit: int
    error: str = ""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Ended]]:
    """Run a command as a shell does, with `stdin` on its standard input."""

    def command(*words: str, stdin: str = "") -> Ended:
        out, err = StringIO(), StringIO()
        monkeypatch.setattr("sys.stdin", StringIO(stdin))
        error, status = "", 0
        try:
            # As a shell would: call_command leaves checks out, and a command that has none does not know the option.
            has_checks = load_command_class(get_commands()[words[0]], words[0]).requires_system_checks
            options: dict[str, Any] = {"skip_checks": False} if has_checks else {}
            # Without the name that tests call the portal by: what nobody else reaches may be set up simpler.
            with override_settings(ALLOWED_HOSTS=["localhost"]):
                call_command(*words, stdout=out, stderr=err, **options)
        except CommandError as refused:
            error, status = str(refused), refused.returncode
        except SystemExit as ended:
            status = int(ended.code or 0)
        return Ended(out.getvalue(), err.getvalue(), status, error)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield command
    for number, handler in handlers.items():
        signal.signal(number, handler)
