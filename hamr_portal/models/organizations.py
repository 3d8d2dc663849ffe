"""Which organizations are saved, with which sealed keys?"""

from __future__ import annotations

from uuid import uuid4

from django.db import models

from hamr_portal.domain import drills
from hamr_portal.domain.organizations import OF_DRILLS, Spelling
from hamr_portal.domain.pairs import Column

from .drills import Drill
from .pairs import Pair


class OrganizationQuerySet(models.QuerySet["Organization"]):
    """Named questions about saved organizations."""

    def enabled(self) -> OrganizationQuerySet:
        """Keep those that are read."""
        return self.filter(disabled_at__isnull=True)

    def real(self) -> OrganizationQuerySet:
        """Keep those that are no drill's: what is counted, told and handed out is of these alone."""
        return self.filter(drill__isnull=True)

    def beside(self, organization: Organization) -> OrganizationQuerySet:
        """Keep those that could be its other side: real ones of a real one, and of a drill those of that drill."""
        return self.filter(drill=organization.drill_id).exclude(pk=organization.pk)

    def by_name(self) -> OrganizationQuerySet:
        """Order as people look for them."""
        return self.order_by("name")


class Organization(models.Model):
    """One Datadog organization: its keys are sealed for this row and field, and open nowhere else."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(max_length=63, unique=True)
    site = models.CharField(max_length=63)
    uuid = models.UUIDField(null=True, unique=True)
    sealed_api_key = models.TextField()
    sealed_application_key = models.TextField()
    api_key_tail = models.CharField(max_length=4)
    application_key_tail = models.CharField(max_length=4)
    keys_saved_at = models.DateTimeField()
    requires_approval = models.BooleanField(default=False)
    spelling = models.CharField(max_length=16, choices=[(s.value, s.value) for s in Spelling], default=Spelling.AUTO)
    verify_outcome = models.CharField(max_length=32, default="", blank=True)
    verify_reason = models.CharField(max_length=300, default="", blank=True)
    verified_at = models.DateTimeField(null=True)
    added_at = models.DateTimeField()
    disabled_at = models.DateTimeField(null=True)
    pair = models.ForeignKey(Pair, null=True, on_delete=models.SET_NULL, related_name="sides")
    column = models.CharField(max_length=16, choices=[(c.value, c.value) for c in Column], null=True)  # noqa: DJ001
    drill = models.ForeignKey(Drill, null=True, on_delete=models.PROTECT, related_name="organizations")

    objects = OrganizationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pair", "column"], name="pair_has_one_side_a_column"),
            models.CheckConstraint(
                condition=models.Q(pair__isnull=True, column__isnull=True)
                | models.Q(pair__isnull=False, column__isnull=False, column__in=[c.value for c in Column]),
                name="organization_column_goes_with_pair",
            ),
            models.CheckConstraint(
                condition=models.Q(spelling__in=[s.value for s in Spelling]),
                name="organization_spelling_known",
            ),
            # A drill's organization talks to the stage alone, and a real one never does.
            models.CheckConstraint(
                condition=(models.Q(drill__isnull=True) & ~models.Q(site__in=list(drills.SITES.values())))
                | models.Q(drill__isnull=False, site__in=list(drills.SITES.values()), name__startswith=OF_DRILLS),
                name="organization_of_a_drill_is_on_its_stage",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def identity(self, field: str) -> str:
        """Give what a sealed key is bound to: this row, one field, and the drill that the row is of, if of one.

        So a row that somebody makes a real one's, or a drill's, has keys that open nowhere: nothing can be asked.
        """
        row = f"organization:{self.id}:{field}"
        return f"drill:{self.drill_id}:{row}" if self.drill_id is not None else row
