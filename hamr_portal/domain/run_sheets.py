"""What do people do around a status? The steps of a pair's run sheet, and what can be wrong with one; pure functions.

A status is not traffic: DNS, agents, integrations, sign-in and telemetry are moved by people, beside the portal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import Enum, StrEnum
from typing import Any
from urllib.parse import urlsplit

from .changes import OFFERED
from .connections import HamrStatus, sanitized
from .organizations import holds_a_key

MOST_STEPS = 20
"""So many steps a sheet has at most: a longer one is no list to tick at night, and would fill the record."""

LONGEST_TEXT = 200
"""Characters of what to do, and of the way back: one line on paper, or two."""

LONGEST_OWNER = 80
LONGEST_LINK = 300


class About(Enum):
    """What a step is about: the word people read."""

    TRAFFIC = "DNS or agent policy"
    INTEGRATIONS = "Integrations"
    SSO = "SSO"
    SYNC = "Sync"
    TELEMETRY = "Telemetry"
    OTHER = "Other"


@dataclass(frozen=True)
class Step:
    """One thing to do around a status, whose it is, where to do it, and how to take it back.

    `target` names the status that it is done around; empty: around each.
    """

    what: str
    about: str = About.OTHER.name
    owner: str = ""
    link: str = ""
    back: str = ""
    target: str = ""

    @property
    def about_word(self) -> str:
        """Give the word for what it is about."""
        return About[self.about].value if self.about in About.__members__ else self.about

    @property
    def is_link(self) -> bool:
        """Tell whether where to do it can be followed; what cannot is shown as text."""
        return is_link(self.link)


PROPOSED = (
    Step(
        "Point agents and DNS at the side that takes over",
        About.TRAFFIC.name,
        back="Point them back",
        target=HamrStatus.FAILOVER.name,
    ),
    Step("Check that integrations collect on the side that takes over", About.INTEGRATIONS.name),
    Step("Sign in by SSO on the side that takes over", About.SSO.name, back="Sign in at the other side's own address"),
    Step("Check that monitors and dashboards are in sync", About.SYNC.name),
    Step("See telemetry of the last five minutes arrive", About.TELEMETRY.name),
    Step(
        "Point agents and DNS back at the primary",
        About.TRAFFIC.name,
        back="Point them at the secondary again",
        target=HamrStatus.RECOVERY.name,
    ),
)
"""What a pair without a sheet is offered to begin with."""

_TARGETS = frozenset({"", *(status.name for status in OFFERED)})


class Problem(StrEnum):
    """What can be missing or wrong in a step."""

    WHAT_MISSING = "WHAT_MISSING"
    TEXT_TOO_LONG = "TEXT_TOO_LONG"
    OWNER_TOO_LONG = "OWNER_TOO_LONG"
    LINK_TOO_LONG = "LINK_TOO_LONG"
    KEY_IN_TEXT = "KEY_IN_TEXT"
    NOT_OFFERED = "NOT_OFFERED"
    TOO_MANY = "TOO_MANY"


@dataclass(frozen=True)
class Wrong:
    """What is wrong, with which field of which step; the first step is 0."""

    problem: Problem
    place: int
    field: str


def wrong_with(steps: Iterable[Step]) -> list[Wrong]:
    """Say everything that is missing or wrong, at once; what looks like a key would stay on the record for ever."""
    listed = list(steps)
    found = [wrong for place, step in enumerate(listed) for wrong in _wrong_with(step, place)]
    if len(listed) > MOST_STEPS:
        found.append(Wrong(Problem.TOO_MANY, MOST_STEPS, "what"))
    return found


def _wrong_with(step: Step, place: int) -> Iterator[Wrong]:
    if not step.what:
        yield Wrong(Problem.WHAT_MISSING, place, "what")
    limits = {"what": LONGEST_TEXT, "back": LONGEST_TEXT, "owner": LONGEST_OWNER, "link": LONGEST_LINK}
    too_long = {"owner": Problem.OWNER_TOO_LONG, "link": Problem.LINK_TOO_LONG}
    for field, limit in limits.items():
        text = getattr(step, field)
        if len(text) > limit:
            yield Wrong(too_long.get(field, Problem.TEXT_TOO_LONG), place, field)
        elif holds_a_key(_told(field, text)):
            yield Wrong(Problem.KEY_IN_TEXT, place, field)
    if step.about not in About.__members__:
        yield Wrong(Problem.NOT_OFFERED, place, "about")
    if step.target not in _TARGETS:
        yield Wrong(Problem.NOT_OFFERED, place, "target")


def _told(field: str, text: str) -> str:
    """Give what of a text may be no key: many a wiki names its pages by 32 digits, in the path alone."""
    if field != "link" or not is_link(text):
        return text
    parts = urlsplit(text)
    return f"{parts.query} {parts.fragment}"


def is_link(text: str) -> bool:
    """Tell whether a text is an address that a page may lead to: https, a host, nobody's password, nothing hidden."""
    if not text.startswith("https://") or sanitized(text, len(text)) != text or not text.isprintable() or " " in text:
        return False
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        return False
    return bool(parts.hostname) and "@" not in parts.netloc and "\\" not in text


def for_status(steps: Iterable[Step], target: HamrStatus) -> list[Step]:
    """Keep the steps that are done around a status, in their order."""
    return [step for step in steps if step.target in ("", target.name)]


def plain(steps: Iterable[Step]) -> list[dict[str, str]]:
    """Give steps as they are kept, and as the record keeps them."""
    return [asdict(step) for step in steps]


def steps_of(kept: Iterable[Mapping[str, Any]]) -> list[Step]:
    """Give steps as they were kept; what another version of the portal kept beside is left out."""
    return [Step(**{name: str(each.get(name, "")) for name in Step.__match_args__}) for each in kept]
