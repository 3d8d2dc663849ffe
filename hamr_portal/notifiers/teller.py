"""How is one message told? In a process of its own, which knows nothing of the portal and ends by itself.

Reads JSON on standard input; the last line of its output is `told`, or why not, in words that hold no address.
"""

from __future__ import annotations

import json
import logging
import math
import re
import signal
import sys
from typing import Any


class _Heard(logging.Handler):
    """Keeps of what a library says the HTTP status, and that it found nobody: nothing else is free of addresses."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.why = "not taken"

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        status = re.search(r"error=(\d{3})\b", text)
        if status is not None:
            self.why = f"HTTP {status[1]}"
        elif "onnection error" in text:
            self.why = "no connection"


def by_service(wanted: dict[str, Any]) -> str:
    """Tell it to one of apprise's services."""
    from apprise import Apprise, AppriseAsset, NotifyFormat, OverflowMode

    heard = _Heard()
    logging.getLogger("apprise").addHandler(heard)
    asset = AppriseAsset(async_mode=False)
    # A message goes where the setting says, and nowhere that a server says.
    asset.http_redirects = False
    service = Apprise.instantiate(wanted["address"], asset=asset)
    if service is None:
        return "apprise does not know this kind of address"
    # A service that takes little gets the beginning, where the facts are.
    service.overflow_mode = OverflowMode.TRUNCATE
    post = Apprise(service, asset=asset)
    taken = post.notify(body=wanted["text"], title=wanted["subject"], body_format=NotifyFormat.TEXT)
    return "told" if taken else heard.why


def by_mail(wanted: dict[str, Any]) -> str:
    """Tell it by one mail."""
    from django.conf import settings
    from django.core.mail import EmailMessage

    settings.configure(**wanted["mail"])
    try:
        EmailMessage(wanted["subject"], wanted["text"], to=wanted["to"]).send()
    except (OSError, ValueError) as error:
        # Only its kind: what a server answers may repeat what it was sent.
        code = getattr(error, "smtp_code", "")
        return f"{type(error).__name__} {code}".strip() if isinstance(code, int) else type(error).__name__
    return "told"


def main() -> None:
    """Tell one message, and say what came of it."""
    wanted = json.load(sys.stdin)
    # Whoever started it may be gone: it outlives nobody by long.
    signal.alarm(math.ceil(wanted["seconds"]) + 1)
    said = by_service(wanted) if "address" in wanted else by_mail(wanted)
    sys.stdout.write(f"\n{said}")


if __name__ == "__main__":
    main()
