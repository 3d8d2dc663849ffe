"""What is on the record? Rows are appended by `services.audit` and never touched again; see `guards`."""

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
    actor_agent = models.CharField(max_length=200, default="", blank=True)
    actor_session = models.CharField(max_length=64, default="", blank=True)
    actor_signed_in = models.CharField(max_length=100, default="", blank=True)
    request_id = models.CharField(max_length=32, default="", blank=True)
    organization = models.CharField(max_length=63, default="", blank=True)
    change = models.BigIntegerField(null=True)
    ticket = models.CharField(max_length=100, default="", blank=True)
    reason = models.TextField(default="", blank=True)
    outcome = models.CharField(max_length=64, default="", blank=True)
    data = models.TextField(default="{}")
    key_id = models.CharField(max_length=32)
    previous = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        indexes = [
            models.Index(fields=["change", "seq"], name="audit_of_change"),
            models.Index(fields=["organization", "seq"], name="audit_of_organization"),
            models.Index(fields=["actor_name", "seq"], name="audit_of_actor"),
            models.Index(fields=["event", "seq"], name="audit_of_event"),
            models.Index(fields=["organization", "actor_name", "seq"], name="audit_of_both"),
            # Some days of something: in the order of the moments, which a range of them can begin and end.
            models.Index(fields=["at", "seq"], name="audit_at"),
            models.Index(fields=["organization", "at", "seq"], name="audit_of_organization_at"),
            models.Index(fields=["actor_name", "at", "seq"], name="audit_of_actor_at"),
            models.Index(fields=["organization", "actor_name", "at", "seq"], name="audit_of_both_at"),
            models.Index(fields=["outcome", "seq"], name="audit_of_outcome"),
        ]

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


class LogStanding(models.Model):
    """How far the log was found to be whole, how far once again, and what is wrong with it, if anything: one row.

    It only saves work and carries the word from the worker to the pages: whoever edits it hides nothing from
    `verify_audit_log`, from the guards, or from the anchors.
    """

    seq = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64)
    verified_at = models.DateTimeField(null=True)
    again_seq = models.BigIntegerField(default=0)
    again_hash = models.CharField(max_length=64)
    trouble = models.CharField(max_length=32, default="", blank=True)
    detail = models.CharField(max_length=300, default="", blank=True)
    broken_seq = models.BigIntegerField(default=0)
    since = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="log_standing_one_row")]

    def __str__(self) -> str:
        return self.trouble or f"whole up to entry {self.seq}"
