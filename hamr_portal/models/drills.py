"""Which drills were begun, by whom, and when did they end?"""

from __future__ import annotations

from django.db import models
from django.db.models import BooleanField, ExpressionWrapper, F, Q

from hamr_portal.domain import drills


class DrillQuerySet(models.QuerySet["Drill"]):
    """Named questions about drills."""

    def under_way(self) -> DrillQuerySet:
        """Keep the one that nobody has ended yet."""
        return self.filter(ended_at__isnull=True)


class Drill(models.Model):
    """One rehearsal of one scene, with a pair of its own. Who began and ended it is kept as they were then."""

    scene = models.CharField(max_length=32, choices=[(each.name, each.name) for each in drills.Scene])
    begun_at = models.DateTimeField()
    begun_by = models.CharField(max_length=254)
    ends_at = models.DateTimeField()
    # When the scene's trouble began: after both sides were seen to be well.
    turned_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=254, default="", blank=True)

    objects = DrillQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                ExpressionWrapper(Q(ended_at__isnull=True), output_field=BooleanField()),
                condition=Q(ended_at__isnull=True),
                name="drill_one_at_a_time",
            ),
            models.CheckConstraint(condition=Q(ends_at__gt=F("begun_at")), name="drill_ends_after_it_began"),
            models.CheckConstraint(condition=Q(scene__in=[each.name for each in drills.Scene]), name="drill_scene"),
        ]

    def __str__(self) -> str:
        return f"drill {self.pk}"

    @property
    def staged(self) -> drills.Scene:
        """Give the scene as the domain knows it."""
        return drills.Scene[self.scene]
