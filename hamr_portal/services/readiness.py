"""What would fail tonight, of all that is known here? Read from the database alone: nobody is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from uuid import UUID

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.db.models import Exists, Max, OuterRef, Q

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain import readiness
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.findings import Finding, Verdict
from hamr_portal.domain.people import NEEDS_FRESH_SIGN_IN
from hamr_portal.domain.readiness import Fine, Found, Keys, Risk, Topic, Urgency
from hamr_portal.models import AuditEntry, Change, Person

from . import anchors, audit, drills, integrity, overview, pulse
from .overview import Overview, SideRow
from .pulse import Pulse

_OTHER_SIDE_UNREAD = (Finding.OTHER_SIDE_DISABLED, Finding.OTHER_SIDE_NOT_SAVED)


@dataclass(frozen=True)
class Board:
    """Everything that was looked at, the worst first, and in one line a topic what is as it has to be."""

    at: datetime
    found: tuple[Found, ...]
    fine: tuple[Fine, ...]

    def of(self, urgency: Urgency) -> list[Found]:
        """Give the risks that matter so much."""
        return [each for each in self.found if each.risk.urgency is urgency]

    @property
    def failing(self) -> list[Found]:
        """Give what would fail tonight."""
        return self.of(Urgency.FAILS)

    @property
    def due(self) -> list[Found]:
        """Give what has time until tomorrow."""
        return self.of(Urgency.DUE)


def board(*, now: datetime, names_people: bool) -> Board:
    """Look at everything. Who has no second factor is named only where `names_people` says so."""
    everything = overview.overview(now=now)
    told = [
        *_worker(now),
        *_log(now),
        *_keys(everything, now),
        *_pairs(everything),
        *_clock(everything, now),
        *_factors(names_people=names_people),
        *_drills(everything, now),
    ]
    order = list(Topic)
    fine = sorted((each for each in told if isinstance(each, Fine)), key=lambda each: order.index(each.topic))
    return Board(now, readiness.in_order(each for each in told if isinstance(each, Found)), tuple(fine))


def _worker(now: datetime) -> Iterator[Found | Fine]:
    state = pulse.state(now=now)
    if state.pulse is Pulse.LIVE:
        yield Fine(Topic.WORKER, at=state.seen_at)
    else:
        yield Found(Risk.WORKER_LATE if state.pulse is Pulse.LATE else Risk.WORKER_STOPPED, since=state.seen_at)


def _log(now: datetime) -> Iterator[Found | Fine]:
    doubt = integrity.trouble()
    if doubt is not None:
        yield Found(Risk.LOG_IN_DOUBT, detail=doubt.detail)
        return
    if audit.head().seq:
        verified_at = integrity.standing().verified_at
        late = list(readiness.of_log(verified_at, _unanchored_since(), now=now))
        yield from late
        if not late:
            yield Fine(Topic.LOG, at=verified_at)


def _unanchored_since() -> datetime | None:
    """Give when the first entry was recorded that is behind the last anchor of this machine."""
    try:
        newest = anchors.newest()
    except (anchors.AnchorsUnreadable, KeyRingUnusable):
        return None  # told by the doubt that it is reason for
    behind = AuditEntry.objects.filter(seq=newest.seq + 1 if newest is not None else 1)
    return behind.values_list("at", flat=True).first()


def _keys(everything: Overview, now: datetime) -> Iterator[Found | Fine]:
    wrote = _writes()
    every = [_of_side(side, *wrote.get(side.organization.pk, (None, None))) for side in everything.views]
    fresh = overview.stale_after()
    for keys in every:
        yield from readiness.of_keys(keys, now=now, fresh=fresh)
    if every:
        yield from readiness.fine_keys(every, now=now, fresh=fresh)


def _of_side(side: SideRow, wrote_at: datetime | None, refused_at: datetime | None) -> Keys:
    organization, snapshot = side.organization, side.snapshot
    return Keys(
        name=organization.name,
        site=organization.site,
        saved_at=organization.keys_saved_at,
        answered_at=snapshot.answered_at,
        read_outcome=snapshot.outcome,
        http_status=snapshot.attempt_status,
        verify_outcome=organization.verify_outcome,
        verified_at=organization.verified_at,
        wrote_at=wrote_at,
        refused_at=refused_at,
    )


def _writes() -> dict[UUID, tuple[datetime | None, datetime | None]]:
    """Give when a change of each organization last went through, and when one was last refused to its keys."""
    through = Q(status=ChangeStatus.VERIFIED) | Q(http_status__range=(200, 299))
    refused = Q(status=ChangeStatus.REJECTED, http_status__in=(401, 403))
    last = {"wrote_at": Max("sent_at", filter=through), "refused_at": Max("sent_at", filter=refused)}
    rows = Change.objects.sent().order_by().values("organization").annotate(**last)
    return {pk: (wrote_at, refused_at) for pk, wrote_at, refused_at in rows.values_list("organization", *last)}


def _pairs(everything: Overview) -> Iterator[Found | Fine]:
    whole = [row for row in everything.rows if row.pair is not None and len(row.sides) == 2]
    for row in everything.rows:
        side = row.sides[0].organization
        if row.verdict is Verdict.SPLIT_VIEW:
            yield Found(Risk.NOT_MIRRORED, side.name, side.site, row.judgement.since, row.name)
        elif any(row.judgement.has(finding) for finding in _OTHER_SIDE_UNREAD):
            yield Found(Risk.OTHER_SIDE_NOT_READ, side.name, side.site)
    if whole:
        yield Fine(Topic.PAIRS, sum(row.verdict is not Verdict.SPLIT_VIEW for row in whole), len(whole))


def _clock(everything: Overview, now: datetime) -> Iterator[Found | Fine]:
    answered = [side.snapshot for side in everything.views if side.is_current]
    said = [row.skew_seconds for row in answered if row.skew_seconds is not None]
    seconds = readiness.skew(said)
    if seconds is not None and readiness.is_skewed(seconds):
        yield Found(Risk.CLOCK_SKEWED, count=round(seconds))
    elif seconds is not None:
        yield Fine(Topic.CLOCK, len(said), len(everything.views), limit=max(1, ceil(abs(seconds))))


def _factors(*, names_people: bool) -> Iterator[Found | Fine]:
    """Say who may change something and signs in by a password alone."""
    factor = Authenticator.objects.filter(user=OuterRef("pk")).exclude(type=Authenticator.Type.RECOVERY_CODES)
    linked = SocialAccount.objects.filter(user=OuterRef("pk"))
    people = list(Person.objects.who_may(*NEEDS_FRESH_SIGN_IN).annotate(safe=Exists(factor) | Exists(linked)))
    without = [person for person in people if not person.safe]
    if names_people:
        for person in without:
            role = person.held_role
            yield Found(Risk.FACTOR_MISSING, person.email, detail=role.word if role else "")
    elif without:
        yield Found(Risk.FACTOR_MISSING, count=len(without))
    if people:
        yield Fine(Topic.FACTORS, len(people) - len(without), len(people))


def _drills(everything: Overview, now: datetime) -> Iterator[Found | Fine]:
    if everything.views:
        yield readiness.of_drills(drills.last_reached(), now=now)
