"""`reconcile`: find out now what became of what was sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from django.utils import timezone

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.management.shell import InstalledCommand, console, shell_actor
from hamr_portal.models import Change
from hamr_portal.services import keys, reconciliation
from hamr_portal.services.outcomes import Story, stories
from hamr_portal.services.reconciliation import ABANDONED_AFTER
from hamr_portal.services.sending import post_deadline
from hamr_portal.templatetags._outcomes import WORDS, outcome_words
from hamr_portal.templatetags._time import span


class Command(InstalledCommand):
    """Records what was spooled, ends what is over, and reads what is not settled; sends nothing."""

    help = (
        "Do one pass over the changes whose outcome is not settled: read both sides and say what became of each. "
        "Sends nothing. A worker does the same by itself."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Do one pass, and print a row for each change that it was about."""
        try:
            keys.ring()
            # A pass goes on without the spool; a person who asks for one is told.
            reconciliation.deliver_spooled()
            rows = _reconciled()
        except KeyRingUnusable as error:
            raise CommandError(f"Nothing can be read, so nothing more is known. {error}") from None
        except DatabaseError as error:
            raise CommandError(
                f"The database failed ({type(error).__name__}): what is not settled stays so. "
                "Look at DATABASE_URL, then run this again."
            ) from None
        except OSError as error:
            raise CommandError(f"{settings.SPOOL_FILE} cannot be used: {error.strerror}. Mend that first.") from None
        out = console(self.stdout)
        for row in rows or ["Everything that was sent is settled."]:
            out.print(row, markup=False, highlight=False)


def _reconciled() -> list[str]:
    """Do the pass, and give a row for each change that was looked at, was moved, or is being sent."""
    before = _movable()
    looked_at = {change.pk for change in reconciliation.reconcile(by=shell_actor())}
    now = timezone.now()
    after = Change.objects.filter(pk__in=looked_at | before.keys()).select_related("organization").order_by("pk")
    rows = []
    for told in stories(after):
        status = told.change.status
        was = before.get(told.change.pk, status)
        if told.change.pk in looked_at or status != was or status == ChangeStatus.SENDING:
            rows.append(_row(told, was, now))
    return rows


def _movable() -> dict[int, str]:
    """Give the status of every change that a pass may move."""
    listening = Change.objects.listening(timezone.now()).values_list("pk", "status")
    return dict(listening) | dict(Change.objects.open().values_list("pk", "status"))


def _row(story: Story, before: str, now: datetime) -> str:
    change = story.change
    asked = f"{change.pk:>6}  {change.organization.name} to {change.target.name}"
    if change.status == ChangeStatus.SENDING:
        return f"{asked}  Sending  left alone until {post_deadline() + ABANDONED_AFTER:.0f} s after it was sent"
    wait = f", next in {span(change.check_at - now)}" if change.check_at is not None else ""
    reads = f"{change.reads} read{'' if change.reads == 1 else 's'}{wait}"
    after = WORDS[ChangeStatus(before)] if change.status == before else outcome_words(story)
    return f"{asked}  {WORDS[ChangeStatus(before)]} -> {after}  {reads}"
