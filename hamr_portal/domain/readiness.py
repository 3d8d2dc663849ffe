"""What would fail tonight? Rules with their thresholds over what is known without asking anybody; pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from statistics import median

KEYS_DUE_AFTER_DAYS = 90
"""So many days after they were saved, keys are due to be replaced."""

DRILL_DUE_AFTER = timedelta(days=90)
"""So long after one that reached its goal a drill is due: within a quarter people on call change, and forget."""

LOG_LATE_AFTER = timedelta(minutes=10)
"""So long after an entry it is late that nobody has verified and anchored it: a worker does so each minute."""

SKEW_ALLOWED = 60.0
"""Seconds that this machine's clock may differ from the sites': beyond, codes and previews are refused."""


class Urgency(Enum):
    """How much a risk matters, the worst first: the words people read."""

    FAILS = "Would fail tonight"
    DUE = "Due"


class Topic(Enum):
    """What is looked at, in the order in which it is told."""

    WORKER = "Poller"
    LOG = "Audit log"
    KEYS = "Keys"
    WRITES = "Writing"
    READS = "Reads"
    PAIRS = "Pairs"
    CLOCK = "Clock"
    AGE = "Age of keys"
    FACTORS = "Second factors"
    DRILLS = "Drills"


class Risk(Enum):
    """One thing that is not as it has to be, the worst first: the word people read, its weight, its topic."""

    WORKER_STOPPED = ("Poller stopped", Urgency.FAILS, Topic.WORKER)
    LOG_IN_DOUBT = ("Audit log in doubt", Urgency.FAILS, Topic.LOG)
    CLOCK_SKEWED = ("Clock wrong", Urgency.FAILS, Topic.CLOCK)
    KEYS_UNREADABLE = ("Keys unreadable", Urgency.FAILS, Topic.KEYS)
    WRONG_ORGANIZATION = ("Wrong organization", Urgency.FAILS, Topic.KEYS)
    KEY_REFUSED = ("Key refused", Urgency.FAILS, Topic.KEYS)
    PERMISSION_MISSING = ("Permission missing", Urgency.FAILS, Topic.KEYS)
    WRITE_REFUSED = ("Write refused", Urgency.FAILS, Topic.WRITES)
    NOT_MIRRORED = ("Split view", Urgency.FAILS, Topic.PAIRS)
    NEVER_READ = ("Never read", Urgency.FAILS, Topic.READS)
    NOT_READ = ("Not read", Urgency.FAILS, Topic.READS)

    WORKER_LATE = ("Poller late", Urgency.DUE, Topic.WORKER)
    LOG_NOT_VERIFIED = ("Not verified", Urgency.DUE, Topic.LOG)
    ANCHOR_LATE = ("Anchor late", Urgency.DUE, Topic.LOG)
    OTHER_SIDE_NOT_READ = ("One side", Urgency.DUE, Topic.PAIRS)
    KEYS_OLD = ("Keys due", Urgency.DUE, Topic.AGE)
    FACTOR_MISSING = ("No second factor", Urgency.DUE, Topic.FACTORS)
    DRILL_DUE = ("Drill due", Urgency.DUE, Topic.DRILLS)

    def __init__(self, label: str, urgency: Urgency, topic: Topic) -> None:
        self.label = label
        self.urgency = urgency
        self.topic = topic


_KEY_RISKS = frozenset({Risk.KEYS_UNREADABLE, Risk.WRONG_ORGANIZATION, Risk.KEY_REFUSED, Risk.PERMISSION_MISSING})


@dataclass(frozen=True)
class Found:
    """A risk, whose it is, since when, and what its sentence needs: a word, a number (days, seconds, people)."""

    risk: Risk
    name: str = ""
    site: str = ""
    since: datetime | None = None
    detail: str = ""
    count: int = 0
    http_status: int | None = None


@dataclass(frozen=True)
class Fine:
    """How much of a topic is as it has to be; `at` is when that was last seen, `limit` how fresh or how close it is."""

    topic: Topic
    good: int = 1
    of: int = 1
    at: datetime | None = None
    limit: float = 0.0


@dataclass(frozen=True)
class Keys:
    """What is known of one organization's keys and reads without writing anything."""

    name: str
    site: str
    saved_at: datetime
    answered_at: datetime | None = None
    read_outcome: str = ""
    http_status: int | None = None
    verify_outcome: str = ""
    verified_at: datetime | None = None
    wrote_at: datetime | None = None
    refused_at: datetime | None = None

    @property
    def trouble(self) -> Risk | None:
        """Give why a site does not take these keys: by the last read, else by a verify since the last answer."""
        if self.read_outcome in _NAMES:
            return _NAMES[self.read_outcome]
        is_newer = self.verified_at is not None and (self.answered_at is None or self.verified_at > self.answered_at)
        return _NAMES.get(self.verify_outcome) if is_newer else None

    @property
    def wrote(self) -> datetime | None:
        """Give when a change last went through with these very keys."""
        return self.wrote_at if self.wrote_at is not None and self.wrote_at >= self.saved_at else None

    @property
    def write_refused(self) -> datetime | None:
        """Give when a change was refused to these very keys, and none went through since."""
        at = self.refused_at
        if at is None or at < self.saved_at or (self.wrote is not None and self.wrote > at):
            return None
        return at

    def is_read(self, now: datetime, fresh: timedelta) -> bool:
        """Tell whether a view came back lately."""
        return self.answered_at is not None and abs(now - self.answered_at) <= fresh

    def days(self, now: datetime) -> int:
        """Give how many whole days ago they were saved."""
        return max(0, (now - self.saved_at).days)


_NAMES = {risk.name: risk for risk in _KEY_RISKS}
"""By the words of reads and of verifying, which are the same."""


def of_keys(keys: Keys, *, now: datetime, fresh: timedelta) -> Iterator[Found]:
    """Give what is not as it has to be with one organization's keys and reads; one trouble hides what follows of it."""
    trouble, at = keys.trouble, (keys.name, keys.site)
    if trouble is not None:
        yield Found(trouble, *at, keys.answered_at)
    elif keys.answered_at is None:
        yield Found(Risk.NEVER_READ, *at, detail=keys.read_outcome, http_status=keys.http_status)
    elif not keys.is_read(now, fresh):
        yield Found(Risk.NOT_READ, *at, keys.answered_at, keys.read_outcome, http_status=keys.http_status)
    if keys.write_refused is not None:
        yield Found(Risk.WRITE_REFUSED, *at, keys.write_refused)
    if keys.days(now) > KEYS_DUE_AFTER_DAYS:
        yield Found(Risk.KEYS_OLD, *at, keys.saved_at, count=keys.days(now))


def fine_keys(every: Sequence[Keys], *, now: datetime, fresh: timedelta) -> Iterator[Fine]:
    """Give how many of all keys are taken, read, wrote, and are young enough."""
    of = len(every)
    wrote = [keys.wrote for keys in every if keys.wrote is not None and keys.write_refused is None]
    yield Fine(Topic.KEYS, sum(keys.trouble is None and keys.answered_at is not None for keys in every), of)
    yield Fine(Topic.WRITES, len(wrote), of, max(wrote, default=None))
    yield Fine(Topic.READS, sum(keys.is_read(now, fresh) for keys in every), of, limit=fresh.total_seconds())
    yield Fine(Topic.AGE, sum(keys.days(now) <= KEYS_DUE_AFTER_DAYS for keys in every), of)


def of_log(verified_at: datetime | None, unanchored_since: datetime | None, *, now: datetime) -> Iterator[Found]:
    """Give what is late with a log that has entries; `unanchored_since` is the first one that no anchor holds."""
    if verified_at is None or now - verified_at > LOG_LATE_AFTER:
        yield Found(Risk.LOG_NOT_VERIFIED, since=verified_at)
    if unanchored_since is not None and now - unanchored_since > LOG_LATE_AFTER:
        yield Found(Risk.ANCHOR_LATE, since=unanchored_since)


def of_drills(reached_at: datetime | None, *, now: datetime) -> Found | Fine:
    """Tell whether a drill that reached its goal is long ago, or whether there was none."""
    if reached_at is not None and now - reached_at <= DRILL_DUE_AFTER:
        return Fine(Topic.DRILLS, at=reached_at)
    return Found(Risk.DRILL_DUE, since=reached_at)


def skew(of_sites: Iterable[float]) -> float | None:
    """Give by how many seconds the sites' clocks are ahead of this machine's, as most of them say; None: not known."""
    said = list(of_sites)
    # One site whose clock is wrong is not this machine's trouble.
    return median(said) if said else None


def is_skewed(seconds: float | None) -> bool:
    """Tell whether that is more than sign-in codes and previews bear."""
    return seconds is not None and abs(seconds) > SKEW_ALLOWED


def in_order(found: Iterable[Found]) -> tuple[Found, ...]:
    """Put the worst first, and by name within."""
    order = list(Risk)
    return tuple(sorted(found, key=lambda each: (order.index(each.risk), each.name)))
