"""Who can sign in?"""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower

from hamr_portal.domain.people import Action, Role, may


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
