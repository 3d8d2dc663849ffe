"""How do the board and the terminal say what would fail tonight? A word, a sentence and a next step for each risk."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.readiness import KEYS_DUE_AFTER_DAYS, Fine, Found, Risk, Topic

from ._looks import read_words
from ._time import clock, length_of_time, span

_LABELS = {Risk.WRITE_REFUSED: "Write refused {day}", Risk.KEYS_OLD: "{count} d, due"}
"""Where a risk's word says when, or how much."""

_SENTENCES: Mapping[Risk, tuple[str, str]] = {
    Risk.WORKER_STOPPED: ("No worker reads{since}.", "start one with manage.py run_worker"),
    Risk.WORKER_LATE: ("The poller last ran {ago}.", "look at the worker"),
    Risk.LOG_IN_DOUBT: ("{detail}. No change can be sent.", "an admin looks at the log, and adopts it with a reason"),
    Risk.LOG_NOT_VERIFIED: ("Nobody has verified the audit log{since}.", "look at the worker"),
    Risk.ANCHOR_LATE: (
        "What was recorded since {at} is in no anchor on this machine.",
        "look at the worker, and whether it may write the anchor file",
    ),
    Risk.CLOCK_SKEWED: (
        "This machine's clock is {skew} the sites' clocks.",
        "set it by NTP; until then sign-in codes and previews are refused",
    ),
    Risk.KEYS_UNREADABLE: ("The saved keys of {name} cannot be opened.", "look at the key ring, or replace the keys"),
    Risk.WRONG_ORGANIZATION: (
        "The keys of {name} answer for another organization.",
        "replace the keys, or pin the new organization",
    ),
    Risk.KEY_REFUSED: ("Site {site} refuses the keys of {name}.", "replace the keys"),
    Risk.PERMISSION_MISSING: (
        "The keys of {name} lack a permission at {site}.",
        "give them the permission, or replace them",
    ),
    Risk.WRITE_REFUSED: (
        "Site {site} refused a change by the keys of {name}; they read.",
        "replace them by keys with disaster_recovery_status_write",
    ),
    Risk.NOT_MIRRORED: ("The sides of {detail} do not agree{since}.", "compare both sides"),
    Risk.OTHER_SIDE_NOT_READ: (
        "The other side of {name} is not read here.",
        "add it, or enable it: until then nobody sees whether the two agree",
    ),
    Risk.NEVER_READ: ("Organization {name} on {site} has never answered: {read}.", "look at its reads"),
    Risk.NOT_READ: (
        "Organization {name} on {site} last answered {ago}: {read}.",
        "look at its reads; if {site} is up, read it now",
    ),
    Risk.KEYS_OLD: ("The keys of {name} were saved on {day}.", "replace the keys"),
    Risk.DRILL_DUE: ("{practised}", "begin one, and reach its goal"),
    Risk.FACTOR_MISSING: ("{who} in with a password alone.", "ask for an authenticator app or a key"),
}
"""What is the matter, and the one next step."""


def risk_label(found: Found, now: datetime) -> str:
    """Give a risk in a word or two: `Key refused`, `97 d, due`."""
    return _said(_LABELS.get(found.risk, found.risk.label), found, now)


def risk_sentence(found: Found, now: datetime) -> str:
    """Give what is the matter, in one sentence."""
    return _said(_SENTENCES[found.risk][0], found, now)


def risk_next(found: Found, now: datetime) -> str:
    """Give the one next step."""
    return _said(_SENTENCES[found.risk][1], found, now)


def _said(words: str, found: Found, now: datetime) -> str:
    people = f"{found.count} who may change something sign" if found.count != 1 else "1 who may change something signs"
    since = found.since
    return words.format(
        name=found.name,
        site=found.site,
        detail=found.detail[:1].upper() + found.detail[1:],
        count=found.count,
        read=_read(found) if found.risk.topic is Topic.READS else "",
        who=f"{found.name}, {found.detail}, signs" if found.name else people,
        skew=f"{abs(found.count)} s {'behind' if found.count > 0 else 'ahead of'}",
        since=f" since {clock(since, now)}" if since is not None else "",
        at=clock(since, now) if since is not None else "the beginning",
        ago=f"{span(now - since)} ago" if since is not None else "never",
        day=_day(since, now) if since is not None else "",
        practised=_practised(since, now),
    )


def _practised(since: datetime | None, now: datetime) -> str:
    if since is None:
        return "No drill has reached its goal yet."
    return f"No drill has reached its goal since {_day(since, now)}, for {(now - since).days} d."


def _read(found: Found) -> str:
    answered = found.detail in (ReadOutcome.ANSWERED, ReadOutcome.NO_CONNECTION)
    return "nobody has asked since" if answered else read_words(found.detail, found.http_status)


def _day(moment: datetime, now: datetime) -> str:
    return f"{moment.day} {moment:%b}" + ("" if moment.year == now.year else f" {moment.year}")


_FINE: Mapping[Topic, str] = {
    Topic.WORKER: "The poller is live, last ran {ago}",
    Topic.LOG: "Verified {ago}, and anchored",
    Topic.KEYS: "{good} of {of} keys are taken by their sites",
    Topic.WRITES: "{good} of {of} keys wrote since they were saved{last}; nothing but a real change can prove the rest",
    Topic.READS: "{good} of {of} organizations read within {limit}",
    Topic.PAIRS: "{good} of {of} pairs mirror each other",
    Topic.CLOCK: "Within {limit} of the sites' clocks, as {good} of {of} organizations' answers say",
    Topic.AGE: f"{{good}} of {{of}} keys saved within {KEYS_DUE_AFTER_DAYS} d",
    Topic.DRILLS: "A drill reached its goal {ago}",
    Topic.FACTORS: "{good} of {of} who may change something have a second factor or single sign-on",
}


def fine_words(fine: Fine, now: datetime) -> str:
    """Give how much of a topic is as it has to be, in one line."""
    return _FINE[fine.topic].format(
        good=fine.good,
        of=fine.of,
        limit=length_of_time(fine.limit),
        ago=f"{span(now - fine.at)} ago" if fine.at is not None else "never",
        last=f", the last {_day(fine.at, now)}" if fine.at is not None else "",
    )
