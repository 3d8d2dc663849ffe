"""What of the record has an admin answered for?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import takewhile

from django.utils import timezone

from hamr_portal.domain.audit import Event
from hamr_portal.domain.chain import Checkpoint, Place
from hamr_portal.models import AuditEntry

from . import audit, keys

_CLOCK_MAY_BE_OFF = timedelta(minutes=1)


@dataclass(frozen=True)
class AdoptedBreak:
    """A break that counts as it is: from its first entry up to `head`, by the adoption with the number `seq`."""

    broken: int
    head: Place
    seq: int
    by: str
    at: datetime
    reason: str
    digest: str

    @property
    def is_untouched(self) -> bool:
        """Tell whether the entries are still as broken as they were when it was adopted."""
        return self.digest == digest(self.broken, self.head.seq)


def adoptions() -> list[AuditEntry]:
    """Give the entries with which an admin has answered for the record, as far as they are genuine."""
    ring = keys.AuditKeys()
    entries = AuditEntry.objects.filter(event=Event.LOG_ADOPTED).order_by("seq")
    return [entry for entry in audit.loaded(entries) if audit.is_genuine(entry, ring)]


def breaks() -> list[AdoptedBreak]:
    """Give what was adopted although it is broken, oldest first."""
    found = []
    for entry in adoptions():
        told = json.loads(entry.data)
        if "broken" in told:
            who = (entry.seq, entry.actor_name, entry.at, entry.reason)
            found.append(AdoptedBreak(told["broken"], Place(**told["head"]), *who, told["digest"]))
    return found


def excuses(anchor: Checkpoint) -> bool:
    """Tell whether the record was adopted in spite of this anchor, or after it was put there.

    After: what was adopted is the record on every machine that has an older anchor. An adoption with the clock ahead
    excuses only what it names, or else no anchor would count until that moment has come.
    """
    now = timezone.now() + _CLOCK_MAY_BE_OFF
    put_at = datetime.fromisoformat(anchor.at)
    return any(put_at < each.at <= now or _names(each, anchor) for each in adoptions())


def _names(adoption: AuditEntry, anchor: Checkpoint) -> bool:
    named = json.loads(adoption.data).get("anchor")
    return named is not None and anchor.seq <= named["seq"] and anchor.at <= named["at"]


def digest(first: int, last: int) -> str:
    """Give what tells whether these entries are still as they are now, broken as they are."""
    summed = sha256()
    for entry in takewhile(lambda each: each["seq"] <= last, audit.signed_after(first - 1)):
        summed.update(json.dumps(entry, sort_keys=True).encode())
    return summed.hexdigest()
