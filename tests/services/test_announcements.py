"""Are all admins told what was done to people, on their pages and by e-mail?"""

from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator
from django.db import transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.news import GATHERED_FOR
from hamr_portal.domain.people import ANNOUNCED, Role
from hamr_portal.models import AuditEntry, Delivery, Person, PersonNotice
from hamr_portal.services import announcements, notifications, people
from hamr_portal.services.notifications import Message
from tests import factories

from . import changing
from .records import entries

pytestmark = pytest.mark.django_db

MARA, OTHER = "mara@halden.example", "other@halden.example"


@pytest.fixture
def by() -> Actor:
    """Give an admin who acts; another admin, a disabled one and a viewer are there too."""
    factories.person(Role.ADMIN, OTHER)
    out = factories.person(Role.ADMIN, "out@halden.example")
    Person.objects.filter(pk=out.pk).update(is_active=False)
    factories.person(Role.VIEWER, "viewer@halden.example")
    return changing.admin()


@pytest.fixture
def mails(settings: Settings) -> None:
    settings.SENDS_MAIL = True
    settings.DEFAULT_FROM_EMAIL = "portal@halden.example"


def mailed() -> list[Message]:
    """Give the mails that go out next."""
    return notifications.take(now=timezone.now() + 2 * GATHERED_FOR, most=9)


def told() -> dict[str, tuple[str, str, str]]:
    rows = PersonNotice.objects.select_related("person")
    return {row.person.email: (row.event, row.before, row.after) for row in rows}


def demote(by: Actor) -> None:
    mara = factories.person(Role.ADMIN, MARA)
    people.change_role(mara, Role.OPERATOR, was=Role.ADMIN, by=by)


# --- on their pages ---------------------------------------------------------------------------------------------


def test_every_admin_and_the_one_it_was_done_to_are_told_and_nobody_else(by: Actor):
    demote(by)

    assert told() == dict.fromkeys([OTHER, MARA], (Event.ROLE_CHANGED, "admin", "operator"))
    notice = PersonNotice.objects.first()
    assert notice is not None
    assert (notice.by, notice.about.email, notice.happened) == (by.name, MARA, Event.ROLE_CHANGED)
    assert notice.entry == AuditEntry.objects.get().seq


def done(event: Event, by: Actor) -> None:
    if event == Event.PERSON_ADDED:
        people.invite(MARA, Role.AUDITOR, by=by)
        return
    mara = factories.person(Role.VIEWER, MARA)
    if event == Event.ROLE_CHANGED:
        people.change_role(mara, Role.ADMIN, was=Role.VIEWER, by=by)
    elif event == Event.PERSON_DISABLED:
        people.disable(mara, by=by)
    elif event == Event.PERSON_ENABLED:
        Person.objects.filter(pk=mara.pk).update(is_active=False)
        people.enable(mara, by=by)
    elif event == Event.FACTORS_RESET:
        Authenticator.objects.create(user=mara, type="totp", data={})
        people.reset_factors(mara, by=by)
    else:
        people.give_password(mara, by=by)


TOLD = {
    Event.PERSON_ADDED: ({OTHER}, f"{MARA} was added as auditor"),
    Event.ROLE_CHANGED: ({OTHER, MARA}, f"{MARA} is admin now, was viewer"),
    Event.PERSON_DISABLED: ({OTHER}, f"{MARA} was disabled"),
    Event.PERSON_ENABLED: ({OTHER, MARA}, f"{MARA} was enabled"),
    Event.FACTORS_RESET: ({OTHER, MARA}, f"{MARA} has no second factor any more"),
    Event.PASSWORD_SET: ({OTHER, MARA}, f"{MARA} was given a new password"),
}


@pytest.mark.parametrize("event", [event for event in ANNOUNCED if event != Event.FREEZE_BROKEN])
def test_each_of_these_is_told_on_pages_and_in_one_mail_to_all_admins(event: Event, by: Actor, mails: None):
    done(event, by)

    expected, fact = TOLD[event]
    assert set(told()) == expected
    (message,) = mailed()
    assert message.subject == f"HAMR Portal, tests: {fact}"
    assert set(message.to) == {OTHER, by.name} | ({MARA} if event == Event.ROLE_CHANGED else set())
    for part in (fact, by.name, by.address, f"entry {AuditEntry.objects.get().seq} of the audit log"):
        assert part in message.text


def test_an_admin_who_is_none_any_more_gets_the_mail_too(by: Actor, mails: None):
    demote(by)

    assert MARA in mailed()[0].to


def test_no_mail_and_no_entry_holds_a_password(by: Actor, mails: None):
    mara, first = people.invite(MARA, Role.VIEWER, by=by)
    second = people.give_password(mara, by=by)
    people.set_password(MARA, "canary battery staple", by=factories.SHELL)

    (message,) = mailed()
    texts = [message.subject, message.text] + [each.data for each in AuditEntry.objects.all()]
    assert len(message.rows) == 3
    for password in (first.reveal(), second.reveal(), "canary battery staple"):
        assert not [text for text in texts if password in text]


def test_what_is_undone_is_mailed_to_nobody(by: Actor, mails: None):
    with transaction.atomic():
        demote(by)
        transaction.set_rollback(True)

    assert not Delivery.objects.exists()


def test_without_a_mail_server_nothing_is_prepared(by: Actor):
    demote(by)

    assert mailed() == []
    assert len(told()) == 2


def test_an_installation_without_an_admin_mails_nobody(mails: None):
    factories.person(Role.VIEWER, MARA)

    people.set_password(MARA, "a whole new sentence", by=factories.SHELL)

    assert mailed() == []


def test_an_address_is_in_a_mail_as_it_is_written(by: Actor, mails: None):
    people.invite("o'hara&co@halden.example", Role.VIEWER, by=by)

    (message,) = mailed()
    assert message.subject.endswith(": o'hara&co@halden.example was added as viewer")
    assert "o'hara&co@halden.example was added" in message.text


# --- seen -------------------------------------------------------------------------------------------------------


def test_what_was_seen_is_told_no_more_and_that_is_on_the_record(by: Actor):
    demote(by)
    mine = Actor(kind="person", name=OTHER)
    person = Person.objects.get(email=OTHER)
    (notice,) = announcements.unseen(person)

    announcements.see(notice.pk, by=mine)
    announcements.see(notice.pk, by=mine)

    assert announcements.unseen(person) == []
    assert len(announcements.unseen(Person.objects.get(email=MARA))) == 1
    (entry,) = entries(Event.PERSON_NOTICE_SEEN)
    assert (entry.actor, entry.data) == (OTHER, {"entries": [notice.entry]})


def test_what_came_after_the_page_is_still_told(by: Actor):
    demote(by)
    person = Person.objects.get(email=OTHER)
    (shown,) = announcements.unseen(person)
    people.disable(Person.objects.get(email=MARA), by=by)

    announcements.see(shown.pk, by=Actor(kind="person", name=OTHER))

    assert [notice.event for notice in announcements.unseen(person)] == [Event.PERSON_DISABLED]
