"""When were changes frozen, by whom, and why?"""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import BooleanField, ExpressionWrapper, F, Q


class FreezeQuerySet(models.QuerySet["Freeze"]):
    """Named questions about freezes."""

    def in_force(self, now: datetime) -> FreezeQuerySet:
        """Keep the one that holds now: what passed its end is over, whether or not anybody put that down."""
        # Not by when it was begun: after the clock was set back, it holds all the same.
        return self.filter(ended_at__isnull=True, ends_at__gt=now)


class Freeze(models.Model):
    """A time in which no change is sent but by breaking it. Who began and ended it is kept as they were then."""

    reason = models.TextField()
    begun_at = models.DateTimeField()
    begun_by = models.CharField(max_length=254)
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=254, default="", blank=True)

    objects = FreezeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                ExpressionWrapper(Q(ended_at__isnull=True), output_field=BooleanField()),
                condition=Q(ended_at__isnull=True),
                name="freeze_one_at_a_time",
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=F("begun_at")), name="freeze_ends_after_it_began"),
        ]

    def __str__(self) -> str:
        return f"freeze {self.pk}"
