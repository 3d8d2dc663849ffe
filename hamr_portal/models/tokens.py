"""Which programs may read?"""

from __future__ import annotations

from datetime import datetime

from django.db import models

from hamr_portal.domain.tokens import Scope


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    """Named questions about tokens."""

    def valid(self, now: datetime) -> ApiTokenQuerySet:
        """Keep those that are taken."""
        return self.filter(revoked_at__isnull=True, expires_at__gt=now)

    def by_age(self) -> ApiTokenQuerySet:
        """Order as people look for them: the newest first."""
        return self.order_by("-made_at", "-pk")


class ApiToken(models.Model):
    """One token: who made it and what it may read; of its text only the hash, and the part by which it is known."""

    name = models.CharField(max_length=63)
    scope = models.CharField(max_length=16, choices=[(scope.value, scope.word) for scope in Scope])
    prefix = models.CharField(max_length=8, unique=True)
    hash = models.CharField(max_length=64)
    made_by = models.CharField(max_length=254)
    made_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=models.Q(revoked_at__isnull=True), name="token_name_once"
            ),
            models.CheckConstraint(
                condition=models.Q(scope__in=[scope.value for scope in Scope]), name="token_scope_known"
            ),
            models.CheckConstraint(condition=models.Q(expires_at__gt=models.F("made_at")), name="token_expires"),
        ]

    def __str__(self) -> str:
        return f"{self.name} (hamr_{self.prefix}…)"
