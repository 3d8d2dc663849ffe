"""Are all admins told what was done to people, on their pages and by e-mail, and does a mail server hold up nothing?"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.people import ANNOUNCED, Role
from hamr_portal.models import AuditEntry, Person, PersonNotice
from hamr_portal.services import announcements, people
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


@pytest.mark.parametrize("event", ANNOUNCED)
def test_each_of_these_is_told_on_pages_and_in_one_mail_to_all_admins(
    event: Event, by: Actor, mails: None, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        done(event, by)

    expected, fact = TOLD[event]
    assert set(told()) == expected
    (message,) = mail.outbox
    assert message.subject == f"HAMR Portal, tests: {fact}"
    assert set(message.to) == {OTHER, by.name} | ({MARA} if event == Event.ROLE_CHANGED else set())
    assert message.from_email == "portal@halden.example"
    for part in (fact, by.name, by.address, f"entry {AuditEntry.objects.get().seq} of the audit log"):
        assert part in str(message.body)


def test_an_admin_who_is_none_any_more_gets_the_mail_too(
    by: Actor, mails: None, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        demote(by)

    assert MARA in mail.outbox[0].to


def test_no_mail_and_no_entry_holds_a_password(
    by: Actor, mails: None, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        mara, first = people.invite(MARA, Role.VIEWER, by=by)
        second = people.give_password(mara, by=by)
        people.set_password(MARA, "canary battery staple", by=factories.SHELL)

    texts = [str(message.message()) for message in mail.outbox] + [each.data for each in AuditEntry.objects.all()]
    assert len(mail.outbox) == 3
    for password in (first.reveal(), second.reveal(), "canary battery staple"):
        assert not [text for text in texts if password in text]


def test_what_is_not_committed_is_mailed_to_nobody(by: Actor, mails: None):
    demote(by)

    assert mail.outbox == []


def test_without_a_mail_server_nothing_is_prepared(
    by: Actor, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        demote(by)

    assert mail.outbox == []
    assert len(told()) == 2


def test_an_installation_without_an_admin_mails_nobody(
    mails: None, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
):
    factories.person(Role.VIEWER, MARA)

    with django_capture_on_commit_callbacks(execute=True):
        people.set_password(MARA, "a whole new sentence", by=factories.SHELL)

    assert mail.outbox == []


def test_an_address_is_in_a_mail_as_it_is_written(
    by: Actor, mails: None, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        people.invite("o'hara&co@halden.example", Role.VIEWER, by=by)

    assert mail.outbox[0].subject.endswith(": o'hara&co@halden.example was added as viewer")
    assert "o'hara&co@halden.example was added" in str(mail.outbox[0].body)


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


# --- the mail server --------------------------------------------------------------------------------------------


@pytest.fixture
def silent_server(settings: Settings) -> Iterator[None]:
    """Run a server that takes a connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.getsockname()
        settings.EMAIL_TIMEOUT = 0.2
        yield


def test_a_server_that_takes_its_time_holds_up_no_page(
    by: Actor,
    mails: None,
    silent_server: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    settings: Any,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
):
    monkeypatch.setattr(announcements, "MAIL_SECONDS", 0.01)

    with django_capture_on_commit_callbacks(execute=True):
        demote(by)

    assert "mail.late: the mail server has not taken it after 0.01 s" in caplog.text
    assert Person.objects.get(email=MARA).held_role is Role.OPERATOR


def test_a_server_that_fails_is_a_line_in_the_log_and_no_error(
    by: Actor,
    mails: None,
    silent_server: None,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
):
    with django_capture_on_commit_callbacks(execute=True):
        demote(by)

    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert line.getMessage().startswith("mail.not_sent: ")
    assert MARA not in line.getMessage()


def test_no_page_waits_more_than_five_seconds():
    assert announcements.MAIL_SECONDS <= 5
