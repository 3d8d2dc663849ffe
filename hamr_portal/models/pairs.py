"""Which organizations belong together, and under which name?"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower


class PairQuerySet(models.QuerySet["Pair"]):
    """Named questions about pairs."""

    def real(self) -> PairQuerySet:
        """Keep those that are no drill's."""
        return self.exclude(sides__drill__isnull=False)


class Pair(models.Model):
    """Two organizations that named each other once; their columns are kept on the organizations (`sides`)."""

    name = models.CharField(max_length=140)
    found_at = models.DateTimeField()

    objects = PairQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(Lower("name"), name="pair_name_once")]

    def __str__(self) -> str:
        return self.name
