"""Which ways are there to tell somebody, and how is a message handed over without anything being able to hang?

A library of a hundred services, and each server behind it, may take as long as they like: a message is told by a
process of its own, which is ended when its time is over. It is given the address on its standard input, never on a
command line, and little of the environment.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.crypto import salted_hmac

from hamr_portal.domain.news import short_address
from hamr_portal.domain.organizations import Secret

MAIL = "mail"
"""The channel of all mails; whom one goes to is said beside it."""

SECONDS = 15.0
"""So long a message may take, whatever a server does: from the start of the process to its last word."""

_TELLER = Path(__file__).with_name("teller.py")
_SURROUNDINGS = re.compile(r"PATH|LANG|LC_\w+|TZ|TMPDIR|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|\w+_proxy", re.IGNORECASE)
_OF_MAIL = (
    *("EMAIL_BACKEND", "EMAIL_FILE_PATH", "EMAIL_HOST", "EMAIL_PORT", "EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD"),
    *("EMAIL_USE_TLS", "EMAIL_USE_SSL", "EMAIL_TIMEOUT", "DEFAULT_FROM_EMAIL"),
)
_WORDS = re.compile(r"[A-Za-z][A-Za-z0-9 ]{0,59}")


class NotTold(Exception):
    """The message did not get through, as far as is known. The text says why, in words that hold no address."""


@dataclass(frozen=True)
class Channel:
    """One way to tell: a fingerprint to know it by, what may be shown of it, and its address (None: mail).

    What is shown begins with its number in `NOTIFY_URLS`: two addresses may look alike otherwise.
    """

    key: str
    label: str
    address: Secret | None = None


def channels() -> list[Channel]:
    """Give every channel that is set: the mail server, then `NOTIFY_URLS`."""
    mail = [Channel(MAIL, "E-mail")] if settings.SENDS_MAIL else []
    return mail + [_of(number, address) for number, address in enumerate(settings.NOTIFY_URLS, 1)]


def _of(number: int, address: Secret) -> Channel:
    # Keyed: without SECRET_KEY nobody can try out addresses against a database that they found.
    key = salted_hmac("hamr_portal.notifiers", address.reveal(), algorithm="sha256").hexdigest()[:32]
    return Channel(key, f"{number}: {short_address(address.reveal())}"[:80], address)


def tell(channel: Channel, *, to: Sequence[str], subject: str, text: str, seconds: float = SECONDS) -> None:
    """Hand over one message, within these seconds by the wall clock. Raises `NotTold`.

    When it raises, the message may have arrived all the same: an answer can be lost.
    """
    wanted: dict[str, Any] = {"subject": subject, "text": text, "to": list(to), "seconds": seconds}
    if channel.address is not None:
        wanted["address"] = channel.address.reveal()
    else:
        wanted["mail"] = {name: getattr(settings, name) for name in _OF_MAIL}
    environment = {name: value for name, value in os.environ.items() if _SURROUNDINGS.fullmatch(name)}
    try:
        ended = subprocess.run(  # noqa: S603 - our own file, by our own interpreter
            [sys.executable, "-I", str(_TELLER)],
            input=json.dumps(wanted).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what a library says of an address is for nobody
            timeout=seconds,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotTold(f"no end after {seconds:g} s") from None
    except OSError as error:
        raise NotTold(f"no process to be had, {type(error).__name__}") from None
    said = ended.stdout.decode(errors="replace").rpartition("\n")[2]
    if said != "told":
        # Its words are its own choice of ours; anything else it says could be a part of an address.
        raise NotTold(said if _WORDS.fullmatch(said) else "it broke off")
