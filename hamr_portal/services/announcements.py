"""Who is told what was done to a person? All admins: on their pages, and by e-mail where that is set up."""

from __future__ import annotations

import logging
from functools import partial
from threading import Thread

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.people import Action
from hamr_portal.models import AuditEntry, Person, PersonNotice

from . import audit

logger = logging.getLogger(__name__)

MAIL_SECONDS = 5.0
"""So long a page waits for the mail server, whatever it does. The mail may still go out after that."""


def announce(
    about: Person, entry: AuditEntry, *, by: Actor, before: str = "", after: str = "", was_admin: bool = False
) -> None:
    """Tell what was done to a person, in the transaction that does it; the mail goes out once that is committed.

    Whoever did it is not told on their pages, for they were there; the mail goes to them too, for it may have been
    somebody else at their browser. Somebody who is no admin is told on their pages what was done to themself.
    """
    admins = {person.pk: person for person in Person.objects.who_may(Action.MANAGE_PEOPLE)}
    told = admins if entry.event == Event.PERSON_ADDED else admins | {about.pk: about}
    notices = [
        PersonNotice(person=person, about=about, event=entry.event, before=before, after=after, by=by.name)
        for person in told.values()
        if person.is_active and person.email != by.name
    ]
    for notice in notices:
        notice.at, notice.entry = entry.at, entry.seq
    PersonNotice.objects.bulk_create(notices)
    mailed = admins | {about.pk: about} if was_admin else admins
    if settings.SENDS_MAIL and mailed:
        message = _message(about, entry, before, after, sorted(person.email for person in mailed.values()))
        transaction.on_commit(partial(_send, message), robust=True)


def unseen(person: Person) -> list[PersonNotice]:
    """Give what somebody was told and has not said that they saw, newest first."""
    return list(PersonNotice.objects.filter(person=person, seen_at=None).select_related("about").order_by("-pk"))


def see(newest: int, *, by: Actor) -> None:
    """Put down that somebody saw what they were told, up to the newest that their page showed."""
    told = PersonNotice.objects.filter(person__email=by.name, seen_at=None, pk__lte=newest)
    with transaction.atomic():
        entries = list(told.order_by("entry").values_list("entry", flat=True))
        if told.filter(entry__in=entries).update(seen_at=timezone.now()):
            audit.append(Event.PERSON_NOTICE_SEEN, by=by, data={"entries": entries})


def _message(about: Person, entry: AuditEntry, before: str, after: str, to: list[str]) -> EmailMessage:
    facts = {"about": about, "entry": entry, "before": before, "after": after}
    facts |= {"environment": settings.ENVIRONMENT_NAME}
    subject = " ".join(render_to_string("people/mail_subject.txt", facts).split())
    return EmailMessage(subject, render_to_string("people/mail.txt", facts), to=to)


def _send(message: EmailMessage) -> None:
    # A server may take its time over each of its lines: only from outside is that bounded in sum.
    sending = Thread(target=_sent, args=(message,), name="mail", daemon=True)
    sending.start()
    sending.join(MAIL_SECONDS)
    if sending.is_alive():
        logger.error("mail.late: the mail server has not taken it after %g s", MAIL_SECONDS)


def _sent(message: EmailMessage) -> None:
    try:
        message.send()
    except (OSError, ValueError) as error:
        # Only its kind: what a server answers may repeat what it was sent.
        logger.error("mail.not_sent: %s", type(error).__name__)
