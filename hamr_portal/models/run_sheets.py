"""What do people do around the statuses of a pair, and around one change: who ticked what, and when?"""

from __future__ import annotations

import json

from django.db import models
from django.db.models import Q

from hamr_portal.domain.run_sheets import Step, steps_of

from .changes import Change
from .pairs import Pair


class RunSheet(models.Model):
    """The run sheet of a pair; `version` counts how often it was saved.

    Where its pair was parted, the sheet is kept under the pair's name, and offered to a pair that is called so again.
    """

    pair = models.OneToOneField(Pair, on_delete=models.SET_NULL, null=True, related_name="run_sheet")
    pair_name = models.CharField(max_length=140)
    steps_json = models.TextField()
    version = models.IntegerField(default=1)
    saved_at = models.DateTimeField()
    saved_by = models.CharField(max_length=254)

    def __str__(self) -> str:
        return f"run sheet of {self.pair_name}"

    @property
    def steps(self) -> list[Step]:
        """Give its steps, in their order."""
        return steps_of(json.loads(self.steps_json))


class SheetCopy(models.Model):
    """The steps of a run sheet as they were when a change was started. They never change."""

    change = models.OneToOneField(Change, on_delete=models.PROTECT, related_name="run_sheet")
    version = models.IntegerField()
    steps_json = models.TextField()

    def __str__(self) -> str:
        return f"run sheet of change {self.change_id}"

    @property
    def steps(self) -> list[Step]:
        """Give its steps, in their order."""
        return steps_of(json.loads(self.steps_json))


class Tick(models.Model):
    """Somebody ticked a step, or took a tick back: the odd ones tick, the even ones take back. None is ever removed."""

    copy = models.ForeignKey(SheetCopy, on_delete=models.PROTECT, related_name="ticks")
    step = models.IntegerField()
    number = models.IntegerField()
    by = models.CharField(max_length=254)
    at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["copy", "step", "number"], name="tick_one_at_a_time"),
            models.CheckConstraint(condition=Q(step__gte=1, number__gte=1), name="tick_counts_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.copy_id}: step {self.step}, {self.number}"

    @property
    def is_done(self) -> bool:
        """Tell whether this one ticks, and does not take back."""
        return self.number % 2 == 1
