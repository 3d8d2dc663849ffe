"""Would the witness notice a POST that nobody announced?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import transaction
from django.utils import timezone

from hamr_portal.domain.changes import Move
from hamr_portal.models import AuditEntry, Change, Organization
from hamr_portal.services.moves import move
from hamr_portal.simulator import HAMR, RecordedRequest
from tests.services.changing import operator, prepared

from .conftest import Witness


def asked_about(change: Change, body: str | None = None) -> int | None:
    """Give what a witness finds out, on a connection of its own, of a POST for this change."""
    witness, sent = Witness(), (change.request if body is None else body).encode()
    request = RecordedRequest("POST", HAMR, "acme", 0.0, sent, {})
    with ThreadPoolExecutor(1) as pool:
        pool.submit(witness, request).result()
    return witness.announced[0]


def test_announced_and_committed_is_found(acme: Organization) -> None:
    change = prepared(acme)

    move(change, Move.SEND, by=operator(), data={"request": change.request}, fields={"sent_at": timezone.now()})

    assert asked_about(change) == change.pk
    assert asked_about(change, change.request + " ") is None


def test_preview_alone_announces_nothing(acme: Organization) -> None:
    assert asked_about(prepared(acme)) is None


def test_what_is_sent_without_an_entry_is_noticed(acme: Organization) -> None:
    change = prepared(acme)

    Change.objects.filter(pk=change.pk).update(status="SENDING", sent_at=timezone.now())

    assert asked_about(change) is None


def test_entry_that_is_not_committed_is_noticed(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    change = prepared(acme)
    found: list[int | None] = []
    save = AuditEntry.save

    def save_and_ask(entry: AuditEntry, **kwargs: object) -> None:
        save(entry, **kwargs)
        found.append(asked_about(change))

    monkeypatch.setattr(AuditEntry, "save", save_and_ask)

    move(change, Move.SEND, by=operator(), data={"request": change.request}, fields={"sent_at": timezone.now()})

    assert found == [None]
    assert transaction.get_connection().in_atomic_block is False
    assert asked_about(change) == change.pk
