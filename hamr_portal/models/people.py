"""Who can sign in, and what were they told of one another?"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower

from hamr_portal.domain.audit import Event
from hamr_portal.domain.people import ANNOUNCED, Action, Role, may


class PersonManager(BaseUserManager["Person"]):
    """Finds people by e-mail address, whatever its case, and by what they may do."""

    def who_may(self, *actions: Action) -> models.QuerySet[Person]:
        """Give the people whose role allows any of these."""
        roles = [role for role in Role if any(may(role, action) for action in actions)]
        return self.filter(role__in=roles, is_active=True)

    def get_by_natural_key(self, username: str | None) -> Person:
        """Find by e-mail address, for Django's authentication."""
        return self.get(email__iexact=username)


class Person(AbstractBaseUser):
    """Somebody with an e-mail address and exactly one role. Without a role, a person may do nothing."""

    email = models.EmailField(max_length=254, unique=True)
    role = models.CharField(max_length=16, choices=[(role.value, role.word) for role in Role], null=True, blank=True)  # noqa: DJ001
    is_active = models.BooleanField(default=True)
    added_at = models.DateTimeField()
    # Since when the password is one that somebody else knows. Empty: the person has chosen it.
    password_given_at = models.DateTimeField(null=True, blank=True)
    # How often all of their sessions were ended: a sign-in that began before, and waits, counts no more.
    sessions_ended = models.PositiveIntegerField(default=0)

    objects = PersonManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="person_email_once"),
            models.CheckConstraint(
                condition=models.Q(role__isnull=True) | models.Q(role__in=[role.value for role in Role]),
                name="person_role_known",
            ),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def label(self) -> str:
        """Give the part of the address that the page header shows."""
        return self.email.partition("@")[0]

    @property
    def held_role(self) -> Role | None:
        """Give the role as the domain knows it."""
        return Role(self.role) if self.role else None


class PersonNotice(models.Model):
    """What somebody was told of what was done to a person or by one, and when they saw it. The entry has all of it."""

    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="notices")
    about = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    event = models.CharField(max_length=64, choices=[(event.value, event.value) for event in ANNOUNCED])
    before = models.CharField(max_length=16, default="", blank=True)
    after = models.CharField(max_length=16, default="", blank=True)
    change = models.ForeignKey("Change", on_delete=models.PROTECT, null=True, related_name="+")
    by = models.CharField(max_length=254)
    at = models.DateTimeField()
    entry = models.BigIntegerField()
    seen_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["entry", "person"], name="person_notice_once"),
            models.CheckConstraint(
                condition=models.Q(event__in=[event.value for event in ANNOUNCED]), name="person_notice_event_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person_id} about {self.about_id}: {self.event}"

    @property
    def happened(self) -> Event:
        """Give what was done."""
        return Event(self.event)
