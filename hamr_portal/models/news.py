"""What is to be told, to whom, and did it arrive? And of which pairs was told that they need action?"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q

from hamr_portal.domain.findings import Verdict
from hamr_portal.domain.news import Kind, Lean


class _Facts(dict[str, Any]):
    """Facts by name; what an older version did not put down is None, so that its news can still be told."""

    def __missing__(self, name: str) -> None:
        return None


def _read(pairs: list[tuple[str, Any]]) -> _Facts:
    return _Facts(
        (name, datetime.fromisoformat(value) if value and name.endswith("_at") else value) for name, value in pairs
    )


class News(models.Model):
    """One thing that happened and that people are told of: the facts; the sentences are in templates/news/."""

    kind = models.CharField(max_length=16, choices=[(kind.value, kind.value) for kind in Kind])
    at = models.DateTimeField(db_index=True)
    # What is the same to people has the same key.
    key = models.CharField(max_length=400, default="", blank=True, db_index=True)
    facts_json = models.TextField(default="{}")

    class Meta:
        verbose_name_plural = "news"
        constraints = [models.CheckConstraint(condition=Q(kind__in=[kind.value for kind in Kind]), name="news_kind")]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}"

    @property
    def facts(self) -> dict[str, Any]:
        """Give the facts, with moments as such."""
        facts: dict[str, Any] = json.loads(self.facts_json, object_pairs_hook=_read)
        return facts


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Named questions about deliveries."""

    def waiting(self) -> DeliveryQuerySet:
        """Keep those that are still to be told."""
        return self.filter(state=Delivery.State.WAITING)


class Delivery(models.Model):
    """One piece of news on its way to one channel: a mail to some people, or one of `NOTIFY_URLS`.

    The channel is known by a fingerprint, and shown by its scheme: the address itself is a secret, and not kept here.
    """

    class State(models.TextChoices):
        """Where it is on its way."""

        WAITING = "WAITING"
        TOLD = "TOLD"
        GIVEN_UP = "GIVEN_UP"

    news = models.ForeignKey(News, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=32)
    label = models.CharField(max_length=80)
    to = models.TextField(default="", blank=True)
    state = models.CharField(max_length=16, choices=State, default=State.WAITING)
    tries = models.IntegerField(default=0)
    next_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=100, default="", blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["news", "channel"], name="delivery_once_a_channel"),
            models.CheckConstraint(
                condition=Q(state="TOLD", told_at__isnull=False)
                | Q(state__in=["WAITING", "GIVEN_UP"], told_at__isnull=True),
                name="delivery_told_says_when",
            ),
        ]
        indexes = [
            # Asked for every two seconds.
            models.Index(fields=["next_at"], condition=Q(state="WAITING"), name="delivery_waiting"),
            models.Index(fields=["told_at"], name="delivery_told"),
        ]

    def __str__(self) -> str:
        return f"{self.news_id} to {self.label}: {self.state}"


class Watched(models.Model):
    """A pair or an unpaired organization that people were called for, or soon will be."""

    # pair-7, or organization-<its id>
    key = models.CharField(max_length=60, primary_key=True)
    told = models.CharField(max_length=32, choices=[(each.name, each.name) for each in Verdict], default="", blank=True)
    told_at = models.DateTimeField(null=True)
    leans = models.CharField(max_length=8, choices=[(each.value, each.value) for each in Lean], default="", blank=True)
    leans_since = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.key}: {self.told or 'nothing told'}"

    @property
    def verdict(self) -> Verdict | None:
        """Give the verdict that was told last; None where it was that nothing is the matter, or nothing was told."""
        return Verdict[self.told] if self.told else None
