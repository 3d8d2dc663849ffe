"""Which workers read, and when was each last seen?"""

from __future__ import annotations

from uuid import uuid4

from django.db import models


class Worker(models.Model):
    """One `run_worker` process."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(max_length=130)
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return self.name
