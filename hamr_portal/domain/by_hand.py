"""How is a change made by hand, where the portal is away? The portal's requests as curl commands that hold no key."""

from __future__ import annotations

import json
from dataclasses import dataclass
from shlex import quote

from .connections import ReadOutcome
from .pairs import Side
from .previews import Check

SECONDS = 30
"""So long curl waits: longer than the portal, for each answer that is waited for is one unknown outcome less."""

SENDER = "\0"
"""Stands in a body for who sends it. A body is JSON, and no text that was read holds this, so it is found again."""

# Nothing of ~/.curlrc holds, which may say to try again or to follow. The last line tells what is known afterwards:
# the seconds stay zero until the first byte of the request is about to leave.
_CURL = f"curl -q -sS --max-time {SECONDS} -w '\\nHTTP %{{http_code}}, sent after %{{time_pretransfer}} s\\n'"


@dataclass(frozen=True)
class KeyNames:
    """The names of the shell's variables that hold the two keys of an organization."""

    api_key: str
    application_key: str

    @classmethod
    def of(cls, name: str) -> KeyNames:
        """Give the names for an organization: `ACME_US1_API_KEY` for `acme-us1`, and no two for one."""
        begins = name.upper().replace("-", "_")
        if begins[0].isdigit():
            begins = f"_{begins}"  # no shell's variable begins with a digit, and no organization with a hyphen
        return cls(f"{begins}_API_KEY", f"{begins}_APPLICATION_KEY")


def ask_for_sender() -> str:
    """Give the command that asks who sends: Datadog keeps it as who changed the status."""
    return "printf 'Your e-mail address: '; read -r MODIFIED_BY"


def ask_for_keys(name: str) -> str:
    """Give the command that asks for an organization's keys, unseen and not kept in the shell's history."""
    # One line: of several that are pasted at once, the first would read the second as its answer.
    names = KeyNames.of(name)
    asked = (("API key", names.api_key), ("Application key", names.application_key))
    return "; ".join(f"printf {quote(f'{kind} of {name}: ')}; read -rs {each}; echo" for kind, each in asked)


def read(name: str, url: str) -> str:
    """Give the command that reads an organization's connection."""
    return _command(name, url, "-H 'Accept: application/json'")


def send(name: str, url: str, body: str) -> str:
    """Give the command that sends a body, in which whoever sends it stands as `SENDER`."""
    filled_in = quote(body).replace(json.dumps(SENDER), '"\'"$MODIFIED_BY"\'"')
    return _command(
        name, url, "-H 'Accept: application/json'", "-H 'Content-Type: application/json'", f"--data-raw {filled_in}"
    )


def _command(name: str, url: str, *more: str) -> str:
    names = KeyNames.of(name)
    keys = (f'-H "DD-API-KEY: ${names.api_key}"', f'-H "DD-APPLICATION-KEY: ${names.application_key}"')
    return " \\\n  ".join((_CURL, quote(url), *keys, *more))


def forbids(side: Side, *, is_split: bool) -> Check | None:
    """Give what forbids to prepare a request from what was last known of a side; None where nothing does."""
    if side.outcome is ReadOutcome.WRONG_ORGANIZATION:
        return Check.WRONG_ORGANIZATION
    if side.has_connection is None:
        return Check.NO_READING
    if not side.has_connection:
        return Check.NO_CONNECTION
    if side.uuid is None:
        return Check.UUID_NOT_KNOWN
    return Check.SIDES_DISAGREE if is_split else None
