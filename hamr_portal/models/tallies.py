"""What do all web processes have to know together, for a while?"""

from __future__ import annotations

from django.db import models


class Tally(models.Model):
    """One value that counts until a moment: how many sign-ins failed, or that a code was used."""

    # The digest of a key: what was typed into the sign-in is nobody's business here.
    digest = models.CharField(max_length=64, primary_key=True)
    value = models.TextField()
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.digest
