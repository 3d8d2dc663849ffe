from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.people import Role
from hamr_portal.domain.tokens import Scope
from hamr_portal.models import ApiToken, AuditEntry
from hamr_portal.services import tokens
from hamr_portal.services.people import NotAllowed
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> Actor:
    return actor(Role.ADMIN)


def actor(role: Role) -> Actor:
    return Actor(kind="person", name=factories.person(role).email, role=role)


def made(admin: Actor, name: str = "prometheus") -> tuple[ApiToken, str]:
    token, text = tokens.add_token(name, Scope.METRICS, days=30, by=admin)
    return token, text.reveal()


def now() -> datetime:
    return timezone.now()


def test_a_token_is_made_once_kept_as_a_hash_and_put_on_the_record(admin: Actor):
    token, text = made(admin)

    saved = ApiToken.objects.get()
    entry = AuditEntry.objects.get(event=Event.TOKEN_MADE)
    told = json.loads(entry.data)
    assert tokens.accepted(text, now=now()) == token
    assert (saved.name, saved.scope, saved.made_by) == ("prometheus", "METRICS", admin.name)
    assert (saved.expires_at - saved.made_at) == timedelta(days=30)
    assert (told["name"], told["prefix"], told["scope"]) == ("prometheus", token.prefix, "METRICS")
    assert str(saved) == f"prometheus (hamr_{token.prefix}…)"
    secret = text.split("_", 2)[2]
    assert [place for place in (entry.data, *map(str, saved.__dict__.values())) if secret in place] == []


def test_a_revoked_token_is_refused_and_that_is_on_the_record_once(admin: Actor):
    token, text = made(admin)

    tokens.revoke(token, by=admin)

    assert tokens.accepted(text, now=now()) is None
    with pytest.raises(tokens.AlreadyRevoked):
        tokens.revoke(token, by=admin)
    (entry,) = AuditEntry.objects.filter(event=Event.TOKEN_REVOKED)
    assert json.loads(entry.data) == {"name": "prometheus", "prefix": token.prefix, "scope": "METRICS"}


def test_a_token_is_taken_until_it_expires(admin: Actor):
    token, text = made(admin)
    moment = timedelta(microseconds=1)

    assert tokens.accepted(text, now=token.expires_at - moment) == token
    assert tokens.accepted(text, now=token.expires_at) is None


@pytest.mark.parametrize("place", [-1, 14, 20])
def test_a_token_of_which_a_character_is_wrong_is_refused(admin: Actor, place: int):
    _, text = made(admin)
    wrong = "A" if text[place] != "A" else "B"

    assert tokens.accepted(text[:place] + wrong + (text[place + 1 :] if place != -1 else ""), now=now()) is None


@pytest.mark.parametrize("text", ["", "hamr_00000000_" + "A" * 43, "\x00", "\ud800", "é"])
def test_what_is_no_token_of_ours_is_refused(admin: Actor, text: str):
    made(admin)

    assert tokens.accepted(text, now=now()) is None


def test_use_is_noted_once_an_hour(admin: Actor):
    _, text = made(admin)
    start = now()
    noted = []

    for minutes in (0, 59, 61, 62):
        tokens.accepted(text, now=start + timedelta(minutes=minutes))
        last = ApiToken.objects.get().last_used_at
        assert last is not None
        noted.append(last - start)

    assert noted == [timedelta(0), timedelta(0), timedelta(minutes=61), timedelta(minutes=61)]


def test_use_that_another_process_noted_meanwhile_stays_as_it_is(admin: Actor):
    token, _ = made(admin)
    start = now()
    ApiToken.objects.update(last_used_at=start)

    tokens._note_use(token, start + timedelta(minutes=5))

    assert ApiToken.objects.get().last_used_at == start


def test_a_token_is_taken_while_the_database_takes_nothing(
    admin: Actor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    token, text = made(admin)

    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("attempt to write a readonly database")

    monkeypatch.setattr("django.db.models.QuerySet.update", refuse)

    assert tokens.accepted(text, now=now()) == token
    assert text not in caplog.text
    assert token.prefix in caplog.text


def test_a_name_is_free_again_after_its_token_is_revoked(admin: Actor):
    token, _ = made(admin)
    with pytest.raises(tokens.NameTaken, match="is called prometheus already"):
        made(admin)

    tokens.revoke(token, by=admin)

    assert made(admin)[0].pk != token.pk


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.AUDITOR])
def test_only_admins_make_and_revoke(admin: Actor, role: Role):
    token, text = made(admin)
    by = actor(role)

    with pytest.raises(NotAllowed):
        made(by, "mine")
    with pytest.raises(NotAllowed):
        tokens.revoke(token, by=by)

    assert tokens.accepted(text, now=now()) == token
    assert ApiToken.objects.count() == 1
