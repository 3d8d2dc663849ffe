"""What was last seen of each organization's connection, and what was seen before?"""

from __future__ import annotations

from django.db import models

from hamr_portal.domain.connections import ReadOutcome

from .organizations import Organization

_OUTCOMES = [(outcome.value, outcome.value) for outcome in ReadOutcome]


class View(models.Model):
    """One organization's own statement about its connection. None in `has_connection`: it never answered."""

    has_connection = models.BooleanField(null=True)
    status = models.IntegerField(null=True)
    is_primary = models.BooleanField(null=True)
    modified_at = models.DateTimeField(null=True)
    modified_by = models.CharField(max_length=200, default="", blank=True)
    target_uuid = models.UUIDField(null=True)
    target_name = models.CharField(max_length=200, default="", blank=True)
    target_datacenter = models.CharField(max_length=64, default="", blank=True)

    class Meta:
        abstract = True


class Snapshot(View):
    """The last good view of an organization beside the last attempt to get one, and when the next is due.

    The lease says who reads at this moment, by the database's clock; a result whose lease has passed on is dropped.
    """

    organization = models.OneToOneField(
        Organization, primary_key=True, on_delete=models.PROTECT, related_name="snapshot"
    )
    own_datacenter = models.CharField(max_length=64, default="", blank=True)
    spelling = models.CharField(max_length=16, default="", blank=True)
    raw = models.TextField(default="", blank=True)
    answered_at = models.DateTimeField(null=True)
    answer_status = models.IntegerField(null=True)
    answer_ms = models.IntegerField(null=True)
    skew_seconds = models.FloatField(null=True)
    view_since = models.DateTimeField(null=True)
    outside_at = models.DateTimeField(null=True)

    outcome = models.CharField(max_length=32, choices=_OUTCOMES, default="", blank=True)
    outcome_since = models.DateTimeField(null=True)
    repeats = models.IntegerField(default=0)
    attempt_failed = models.BooleanField(default=False)
    attempted_at = models.DateTimeField(null=True)
    attempt_status = models.IntegerField(null=True)
    attempt_ms = models.IntegerField(null=True)
    attempt_phase = models.CharField(max_length=16, default="", blank=True)
    attempt_reason = models.CharField(max_length=300, default="", blank=True)
    attempt_raw = models.CharField(max_length=300, default="", blank=True)

    due_at = models.DateTimeField()
    lease = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="snapshot_due")]

    def __str__(self) -> str:
        return f"{self.organization_id}: {self.outcome or 'not read yet'}"


class Observation(View):
    """One line of an organization's history: written only when something changed."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="observations")
    at = models.DateTimeField()
    outcome = models.CharField(max_length=32, choices=_OUTCOMES)
    reason = models.CharField(max_length=300, default="", blank=True)
    outside = models.BooleanField(default=False)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=254, default="", blank=True)
    comment = models.TextField(default="", blank=True)

    class Meta:
        indexes = [models.Index(fields=["organization", "-at", "-id"], name="observation_newest")]

    def __str__(self) -> str:
        return f"{self.organization_id} at {self.at}: {self.outcome}"


class Lapse(models.Model):
    """A time in which nobody read an organization: written when it is read again, and only then known to be over."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="lapses")
    since = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(until__gt=models.F("since")), name="lapse_ends_after_it_began")
        ]
        indexes = [models.Index(fields=["organization", "-until"], name="lapse_newest")]

    def __str__(self) -> str:
        return f"{self.organization_id} from {self.since} to {self.until}"
