"""How do things stand with the chain, so that no page says more than was verified?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.audit import Event
from hamr_portal.domain.chain import Place
from hamr_portal.models import AuditEntry, LogStanding, guards

from . import adopted, audit, integrity, keys
from .adopted import AdoptedBreak
from .integrity import AGAIN_AT_A_TIME, Found, Trouble

_LOOKED_AT = 20
"""So many verifications are looked at for one of the whole log."""


@dataclass(frozen=True)
class Pass:
    """One time at which somebody let the whole log be gone over: up to which entry, when, and the entry of that."""

    seq: int
    head: int
    at: datetime


@dataclass(frozen=True)
class ChainState:
    """What was verified of the log, what is wrong with it, and what an admin has answered for.

    `whole_pass` is the last time that all of it was gone over at once, by a button or a command. Without the keys
    nobody can say what was adopted, and the log is in doubt.
    """

    standing: LogStanding
    head: Place
    trouble: Found | None
    breaks: tuple[AdoptedBreak, ...]
    whole_pass: Pass | None
    guards_are_back: bool

    @property
    def newer(self) -> int:
        """Give how many entries came since the last one that was verified."""
        return max(0, self.head.seq - self.standing.seq)

    @property
    def whole_from(self) -> int:
        """Give the first entry after all that was adopted although it is broken."""
        return max((each.head.seq for each in self.breaks), default=0) + 1

    @property
    def goes_over_all(self) -> bool:
        """Tell whether each round goes over the whole log: a longer one takes several rounds."""
        return self.standing.seq <= AGAIN_AT_A_TIME and not self.standing.again_seq


def now() -> ChainState:
    """Give how things stand."""
    known, found = integrity.standing(), integrity.trouble()
    try:
        breaks, whole_pass = tuple(adopted.breaks()), _whole_pass()
    except KeyRingUnusable:
        breaks, whole_pass = (), None
    lacks_guards = found is not None and found.trouble is Trouble.GUARDS_MISSING
    return ChainState(
        standing=known,
        head=audit.head(),
        trouble=found,
        breaks=breaks,
        whole_pass=whole_pass,
        guards_are_back=lacks_guards and not guards.missing(connection),
    )


def whole_from() -> int:
    """Give the first entry after all that was adopted although it is broken: 1 where nothing was, or nobody can say."""
    try:
        return max((each.head.seq for each in adopted.breaks()), default=0) + 1
    except KeyRingUnusable:
        return 1


def _whole_pass() -> Pass | None:
    """Give the last verification of the whole log; one from a checkpoint on counted fewer entries than there are."""
    ring = keys.AuditKeys()
    for entry in audit.loaded(AuditEntry.objects.filter(event=Event.LOG_VERIFIED).order_by("-seq")[:_LOOKED_AT]):
        told = json.loads(entry.data) if audit.is_genuine(entry, ring) else {}
        if told and told["entries"] == told["head"] and "broken" not in told:
            return Pass(entry.seq, told["head"], entry.at)
    return None
