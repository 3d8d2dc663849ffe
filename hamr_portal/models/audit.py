"""What is on the record? Rows are appended by `services.audit` and never touched again."""

from __future__ import annotations

from typing import Any

from django.db import models


class AppendOnly(Exception):
    """An audit entry is not updated and not deleted."""


class AuditEntry(models.Model):
    """One entry. It has no foreign keys: everything is as it was then."""

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    event = models.CharField(max_length=64)
    actor_kind = models.CharField(max_length=16)
    actor_name = models.CharField(max_length=254)
    actor_role = models.CharField(max_length=16, default="", blank=True)
    actor_address = models.CharField(max_length=64, default="", blank=True)
    actor_session = models.CharField(max_length=64, default="", blank=True)
    request_id = models.CharField(max_length=32, default="", blank=True)
    organization = models.CharField(max_length=63, default="", blank=True)
    change = models.BigIntegerField(null=True)
    ticket = models.CharField(max_length=100, default="", blank=True)
    reason = models.TextField(default="", blank=True)
    outcome = models.CharField(max_length=64, default="", blank=True)
    data = models.TextField(default="{}")

    class Meta:
        indexes = [models.Index(fields=["change", "seq"], name="audit_of_change")]

    def __str__(self) -> str:
        return f"#{self.seq} {self.event}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Insert, never update."""
        if not self._state.adding:
            raise AppendOnly(f"entry {self.seq} is on the record and stays as it is")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Refuse."""
        raise AppendOnly(f"entry {self.seq} is on the record and stays there")
