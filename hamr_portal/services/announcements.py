"""Who is told what was done to a person, or that a freeze was broken? All admins: on their pages, and by e-mail."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.news import Kind
from hamr_portal.domain.people import Action
from hamr_portal.models import AuditEntry, Change, Person, PersonNotice

from . import audit, notifications


def announce(
    about: Person, entry: AuditEntry, *, by: Actor, before: str = "", after: str = "", was_admin: bool = False
) -> None:
    """Tell what was done to a person, on pages and by mail, in the transaction that does it; the mail waits there.

    The mail goes to whoever did it too, for it may have been somebody else at their browser.
    """
    notice(about, entry, by=by, before=before, after=after)
    notifications.queue(
        Kind.PEOPLE,
        at=entry.at,
        # Whoever was an admin until now is told as well.
        also_to=[about.email] if was_admin else [],
        about=about.email,
        event=entry.event,
        before=before,
        after=after,
        by=entry.actor_name,
        address=entry.actor_address,
        entry=entry.seq,
    )


def notice(
    about: Person, entry: AuditEntry, *, by: Actor, before: str = "", after: str = "", change: Change | None = None
) -> None:
    """Tell it on the pages alone: of all admins, and of whoever it was done to.

    Whoever did it is not told, for they were there; nor is it a new person's business that they were added.
    """
    told = {person.pk: person for person in Person.objects.who_may(Action.MANAGE_PEOPLE)}
    if entry.event != Event.PERSON_ADDED:
        told |= {about.pk: about}
    notices = [
        PersonNotice(
            person=person, about=about, event=entry.event, before=before, after=after, by=by.name, change=change
        )
        for person in told.values()
        if person.is_active and person.email != by.name
    ]
    for each in notices:
        each.at, each.entry = entry.at, entry.seq
    PersonNotice.objects.bulk_create(notices)


def unseen(person: Person) -> list[PersonNotice]:
    """Give what somebody was told and has not said that they saw, newest first."""
    return list(
        PersonNotice.objects.filter(person=person, seen_at=None)
        .select_related("about", "change__organization")
        .order_by("-pk")
    )


def see(newest: int, *, by: Actor) -> None:
    """Put down that somebody saw what they were told, up to the newest that their page showed."""
    told = PersonNotice.objects.filter(person__email=by.name, seen_at=None, pk__lte=newest)
    with transaction.atomic():
        entries = list(told.order_by("entry").values_list("entry", flat=True))
        if told.filter(entry__in=entries).update(seen_at=timezone.now()):
            audit.append(Event.PERSON_NOTICE_SEEN, by=by, data={"entries": entries})
