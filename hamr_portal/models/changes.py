"""Which changes were prepared, sent and settled, and what was seen on the way?"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import models
from django.db.models import Exists, F, OuterRef, Q

from hamr_portal.domain import connections
from hamr_portal.domain.changes import (
    BEFORE_SENDING,
    MAY_STILL_LAND,
    OFFERED,
    OPEN,
    UNSETTLED,
    WATCHED_FOR,
    Again,
    ChangeStatus,
    Move,
    What,
)
from hamr_portal.domain.connections import HamrStatus, ReadOutcome
from hamr_portal.domain.evidence import SAME_WRITE, Agreement, Asked, was_written_by
from hamr_portal.domain.previews import Check, Noticed

from .connections import View
from .freezes import Freeze
from .organizations import Organization
from .pairs import Pair
from .people import Person

NEVER_TOOK_EFFECT = frozenset({ChangeStatus.NOT_SENT, ChangeStatus.REJECTED})
NEVER_SENT = frozenset({ChangeStatus.CANCELLED, ChangeStatus.DECLINED, ChangeStatus.EXPIRED}) | BEFORE_SENDING


def _choices(names: type[ChangeStatus | Again | What | ReadOutcome]) -> list[tuple[str, str]]:
    return [(each.value, each.value) for each in names]


class ChangeQuerySet(models.QuerySet["Change"]):
    """Named questions about changes."""

    def open(self) -> ChangeQuerySet:
        """Keep those that hold their pair."""
        return self.filter(status__in=OPEN)

    def real(self) -> ChangeQuerySet:
        """Keep those that are no drill's."""
        return self.filter(organization__drill__isnull=True)

    def waiting(self) -> ChangeQuerySet:
        """Keep those that wait for a second person."""
        return self.filter(status=ChangeStatus.AWAITING_APPROVAL)

    def driven_by(self, person: int) -> ChangeQuerySet:
        """Keep those that a person drives."""
        return self.filter(Q(driver=person) | Q(driver__isnull=True, author=person))

    def unsettled(self) -> ChangeQuerySet:
        """Keep those that were sent and are read until it is known what came of them."""
        return self.filter(status__in=UNSETTLED)

    def sent(self) -> ChangeQuerySet:
        """Keep those whose request went out, or was about to."""
        return self.filter(sent_at__isnull=False)

    def of(self, organization_ids: Collection[UUID], pair_id: int | None = None) -> ChangeQuerySet:
        """Keep those that concern any of these organizations, as the side that gets the request or as the other."""
        concerned = Q(organization__in=organization_ids) | Q(other__in=organization_ids)
        return self.filter(concerned | Q(pair=pair_id) if pair_id is not None else concerned)

    def listening(self, now: datetime) -> ChangeQuerySet:
        """Keep those that a reading of their organization may tell something about."""
        later = Change.objects.sent().filter(organization=OuterRef("organization"), pk__gt=OuterRef("pk"))
        # Whatever the clock says, the last request that was sent may be the one that lands.
        recent = Q(sent_at__gt=now - WATCHED_FOR) | ~Exists(later)
        return self.filter(Q(status__in=UNSETTLED) | (Q(status__in=MAY_STILL_LAND) & recent))

    def may_still_land(self, now: datetime) -> ChangeQuerySet:
        """Keep those that are over without having been seen to be applied, and not for long."""
        # After the clock was set back, what was sent is in the future: it may land all the more.
        return self.filter(status__in=MAY_STILL_LAND, sent_at__gt=now - WATCHED_FOR)


class Change(models.Model):
    """One preview of one change by one person, and what became of it. What it asks for never changes."""

    nonce = models.CharField(max_length=43, unique=True)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="changes")
    other = models.ForeignKey(Organization, on_delete=models.PROTECT, null=True, related_name="+")
    pair = models.ForeignKey(Pair, on_delete=models.SET_NULL, null=True, related_name="changes")
    author = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="changes")
    author_address = models.CharField(max_length=64, default="", blank=True)
    # Nobody: its author drives.
    driver = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")
    offered_to = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="+")
    author_session = models.CharField(max_length=64, default="", blank=True)
    status = models.CharField(max_length=32, choices=_choices(ChangeStatus), default=ChangeStatus.PREPARED)

    target_status = models.IntegerField(choices=[(each.value, each.name) for each in HamrStatus])
    links = models.BooleanField(default=False)
    is_primary = models.BooleanField(default=False)
    target_uuid = models.UUIDField(null=True)
    target_name = models.CharField(max_length=200, default="", blank=True)
    target_datacenter = models.CharField(max_length=64, default="", blank=True)
    writer = models.CharField(max_length=200)
    url = models.CharField(max_length=300, default="", blank=True)
    request = models.TextField(default="", blank=True)
    noticed_json = models.TextField(default="[]")
    needs_override = models.BooleanField(default=False)
    needs_approval = models.BooleanField(default=False)

    prepared_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    replaces = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="replaced_by")
    again = models.CharField(max_length=32, choices=_choices(Again), default="", blank=True)

    reason = models.TextField(default="", blank=True)
    ticket = models.CharField(max_length=100, default="", blank=True)
    typed_name = models.CharField(max_length=100, default="", blank=True)
    override = models.BooleanField(default=False)
    confirmed_at = models.DateTimeField(null=True)
    approver = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="approved_changes")
    approved_at = models.DateTimeField(null=True)
    skip_reason = models.TextField(default="", blank=True)
    broke_freeze = models.ForeignKey(Freeze, on_delete=models.PROTECT, null=True, related_name="broken_by")
    break_reason = models.TextField(default="", blank=True)
    closed_by = models.ForeignKey(Person, on_delete=models.PROTECT, null=True, related_name="closed_changes")
    closing_reason = models.TextField(default="", blank=True)

    sent_at = models.DateTimeField(null=True)
    http_status = models.IntegerField(null=True)
    settled_at = models.DateTimeField(null=True)
    applied_modified_at = models.DateTimeField(null=True)
    reads = models.IntegerField(default=0)
    agreed_reads = models.IntegerField(default=0)
    agreed_seconds = models.FloatField(default=0.0)
    agreed_at = models.DateTimeField(null=True)
    check_at = models.DateTimeField(null=True)
    restored_at = models.DateTimeField(null=True)

    objects = ChangeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], condition=Q(status__in=OPEN), name="change_open_once_an_organization"
            ),
            models.UniqueConstraint(fields=["pair"], condition=Q(status__in=OPEN), name="change_open_once_a_pair"),
            models.CheckConstraint(condition=Q(status__in=list(ChangeStatus)), name="change_status_known"),
            models.CheckConstraint(
                condition=Q(target_status__range=(min(OFFERED), max(OFFERED))), name="change_target_offered"
            ),
            models.CheckConstraint(
                condition=Q(approver__isnull=True) | ~Q(approver=F("author")), name="change_approved_by_another"
            ),
            models.CheckConstraint(
                condition=Q(sent_at__isnull=True)
                | Q(needs_approval=False)
                | Q(approver__isnull=False)
                | ~Q(skip_reason="")
                | Q(restored_at__isnull=False),
                name="change_sent_as_approved",
            ),
            models.CheckConstraint(
                condition=Q(broke_freeze__isnull=True) | ~Q(break_reason=""), name="change_says_why_it_broke_a_freeze"
            ),
            models.CheckConstraint(
                condition=Q(status__in=NEVER_SENT, sent_at__isnull=True)
                | (~Q(status__in=NEVER_SENT) & Q(sent_at__isnull=False)),
                name="change_sent_says_when",
            ),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="change_newest"),
            # Asked for four times a second and on every page, of a table that previews let grow.
            models.Index(fields=["status"], name="change_in_status"),
        ]

    def __str__(self) -> str:
        return f"change {self.pk}"

    @property
    def target(self) -> HamrStatus:
        """Give the status that is asked for."""
        return HamrStatus(self.target_status)

    @property
    def sides(self) -> list[UUID]:
        """Give the organization that gets the request, and the other side where that is saved."""
        return [side for side in (self.organization_id, self.other_id) if side is not None]

    @property
    def asked(self) -> Asked:
        """Give what a view must show for this change to be applied."""
        assert self.target_uuid is not None  # noqa: S101 - nothing is sent without one
        asked = (self.target, self.is_primary, self.target_uuid, self.writer)
        return Asked(*asked, sent_at=self.sent_at, written_at=self.applied_modified_at)

    @property
    def agreement(self) -> Agreement:
        """Give how much the reads since sending agree."""
        return Agreement(self.agreed_reads, self.agreed_seconds)

    @property
    def noticed(self) -> tuple[Noticed, ...]:
        """Give what the checks said at the preview."""
        return tuple(Noticed(Check[each["check"]], each["facts"]) for each in json.loads(self.noticed_json))

    @property
    def driven_by(self) -> Person:
        """Give who drives it: at first who prepared it."""
        return self.driver or self.author

    @property
    def is_open(self) -> bool:
        """Tell whether it holds its pair."""
        return self.status in OPEN

    def explains(self, view: connections.View, seen_at: datetime) -> bool:
        """Tell whether a view of either side shows what this change wrote."""
        if self.status in NEVER_TOOK_EFFECT or not was_written_by(view, self.target, self.writer):
            return False
        if self.status == ChangeStatus.VERIFIED and self.applied_modified_at and view.modified_at:
            return abs(view.modified_at - self.applied_modified_at) <= SAME_WRITE
        assert self.sent_at is not None  # noqa: S101 - asked of sent changes
        return abs((view.modified_at or seen_at) - self.sent_at) <= WATCHED_FOR

    def may_make(self, move: Move) -> bool:
        """Tell whether the table has this arrow from here."""
        return self.status in move.leaves


class LogLine(View):
    """One thing that happened in the life of a change: a move, or a reading of a side with what it showed.

    Readings that show the same again are one line: `times` counts them, `last_at` is the newest.
    """

    change = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="log")
    at = models.DateTimeField()
    last_at = models.DateTimeField()
    times = models.IntegerField(default=1)
    what = models.CharField(max_length=16, choices=_choices(What))
    move = models.CharField(max_length=16, default="", blank=True)
    by = models.CharField(max_length=254, default="", blank=True)
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, null=True, related_name="+")
    outcome = models.CharField(max_length=32, choices=_choices(ReadOutcome), default="", blank=True)
    phase = models.CharField(max_length=16, default="", blank=True)
    reason = models.CharField(max_length=300, default="", blank=True)
    http_status = models.IntegerField(null=True)
    elapsed_ms = models.IntegerField(null=True)
    retry_after = models.FloatField(null=True)
    raw = models.TextField(default="", blank=True)

    class Meta:
        indexes = [models.Index(fields=["change", "id"], name="log_line_order")]

    def __str__(self) -> str:
        return f"{self.change_id} at {self.at}: {self.what} {self.move}"

    @property
    def view(self) -> connections.View | None:
        """Give what the side said; None where it was not a reading, or brought nothing."""
        if self.has_connection is None:
            return None
        return connections.View(
            has_connection=self.has_connection,
            status=self.status,
            is_primary=self.is_primary,
            modified_at=self.modified_at,
            modified_by=self.modified_by,
            target_uuid=self.target_uuid,
            target_name=self.target_name,
            target_datacenter=self.target_datacenter,
        )


class SkipNotice(models.Model):
    """Somebody who could have approved a change that was sent without approval, and when they saw it."""

    change = models.ForeignKey(Change, on_delete=models.PROTECT, related_name="skip_notices")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="skip_notices")
    seen_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["change", "person"], name="skip_notice_once")]

    def __str__(self) -> str:
        return f"{self.person_id} about {self.change_id}"
