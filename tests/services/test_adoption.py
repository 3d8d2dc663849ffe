"""Who may answer for a record that is not whole, what it takes, and what happens to what was on its way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.crypto import create_ring
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import ChangeStatus, Move
from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Change, Snapshot, guards
from hamr_portal.services import adoption, anchors, audit, changes, integrity, reconciliation
from hamr_portal.services.integrity import Trouble
from hamr_portal.services.moves import AlreadyMoved
from hamr_portal.services.people import NotAllowed
from hamr_portal.services.refusals import Refused
from hamr_portal.simulator import Simulator
from tests import factories

from .changing import (
    actor,
    admin,
    approver,
    changed,
    confirmed,
    connected,
    fresh,
    made,
    operator,
    prepared,
    standing,
    unconnected,
    words,
)
from .records import entries
from .tampering import cut, edit, events, shown, write

pytestmark = pytest.mark.django_db(transaction=True)

REASON = "The volume failed; restored from 09:00"


def adopt(by: Actor | None = None, reason: str = REASON) -> None:
    adoption.adopt(by=by or admin(), reason=reason, seen=shown())


def look() -> None:
    integrity.verify_and_keep(by=factories.WORKER)


def restored(after: int) -> None:
    """Let the record be one of an earlier time, with what else is in the database as it is."""
    look()
    cut(after)


# --- what it takes ----------------------------------------------------------------------------------------------


def test_an_admin_answers_for_it_with_a_reason_on_the_record() -> None:
    write(9)
    edit(4, reason="another")
    look()

    adopt()

    assert integrity.trouble() is None
    (entry,) = entries(Event.LOG_ADOPTED)
    assert (entry.actor, entry.reason, entry.outcome) == (admin().name, REASON, "BROKEN")
    assert entry.data["detail"] == "entry #4: its content is not what was signed"
    assert (entry.data["broken"], entry.data["head"]["seq"]) == (4, 10)
    anchor = anchors.newest()
    assert anchor is not None
    assert anchor.seq == AuditEntry.objects.get(event=Event.LOG_ADOPTED).seq


@pytest.mark.parametrize("role", [each for each in Role if each is not Role.ADMIN])
def test_nobody_but_an_admin_can(role: Role) -> None:
    write(3)
    restored(1)

    with pytest.raises(NotAllowed):
        adopt(actor(role))

    assert integrity.trouble() is not None
    assert "chain.restored" not in events()


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_it_takes_a_reason(reason: str) -> None:
    write(3)
    restored(1)

    with pytest.raises(adoption.ReasonMissing):
        adopt(reason=reason)

    assert integrity.trouble() is not None


def test_it_takes_the_guards() -> None:
    write(3)
    guards.lift(connection)
    look()

    with pytest.raises(adoption.GuardsMissing, match="audit_guard_insert"):
        adopt()
    guards.install(connection)
    still = integrity.trouble()
    adopt()

    assert still is not None
    assert still.trouble is Trouble.GUARDS_MISSING
    assert integrity.trouble() is None


def test_it_takes_a_trouble() -> None:
    write(3)
    look()

    with pytest.raises(adoption.NothingToAdopt):
        adopt()

    assert "chain.restored" not in events()


def test_it_takes_a_ring(settings: Settings) -> None:
    write(3)
    restored(1)
    by = admin()
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(audit.CannotSign):
        adopt(by)

    assert "chain.restored" not in events()


def test_it_takes_a_ring_for_what_was_found_with_one_as_well(settings: Settings) -> None:
    write(3)
    edit(2, reason="another")
    look()
    by, seen = admin(), shown()
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(audit.CannotSign):
        adoption.adopt(by=by, reason=REASON, seen=seen)

    assert shown() == seen
    assert "chain.restored" not in events()


def test_nobody_answers_for_what_they_have_not_seen() -> None:
    write(5)
    guards.lift(connection)
    seen = shown()
    guards.install(connection)
    restored(2)

    with pytest.raises(adoption.LookAgain):
        adoption.adopt(by=admin(), reason=REASON, seen=seen)

    assert "chain.restored" not in events()


def test_what_missing_guards_let_happen_is_shown_before_it_is_adopted() -> None:
    write(5)
    guards.lift(connection)
    look()
    guards.install(connection)
    edit(3, reason="another")

    with pytest.raises(adoption.LookAgain):
        adopt()
    found = integrity.trouble()
    adopt()

    assert found is not None
    assert (found.trouble, found.broken_seq) == (Trouble.BROKEN, 3)
    assert "guards of the audit log are missing" in found.detail
    assert entries(Event.LOG_ADOPTED)[0].data["broken"] == 3
    assert integrity.trouble() is None


def test_it_takes_anchors_that_can_be_read(settings: Settings) -> None:
    write(3)
    settings.ANCHOR_FILE.mkdir()
    look()

    with pytest.raises(anchors.AnchorsUnreadable):
        adopt()
    settings.ANCHOR_FILE.rmdir()

    assert integrity.trouble() is None
    assert "chain.restored" not in events()


def test_anchors_of_another_installation_are_left_behind(settings: Settings) -> None:
    here = settings.KEY_RING_FILE
    settings.KEY_RING_FILE = here.with_name("another")
    create_ring(settings.KEY_RING_FILE)
    write(3)
    look()
    cut(after=0)
    settings.KEY_RING_FILE = here
    seen = integrity.trouble()

    adopt()

    assert seen is not None
    assert seen.trouble is Trouble.NO_GENUINE_ANCHOR
    assert integrity.trouble() is None
    assert "anchor" not in entries(Event.LOG_ADOPTED)[0].data


# --- a restored backup ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("regrown", "outcome"), [(0, "OLDER_THAN_ANCHOR"), (30, "NOT_ITS_ANCHOR")])
def test_what_was_lost_is_on_the_record(regrown: int, outcome: str) -> None:
    write(25)
    look()
    anchor = anchors.newest()
    cut(after=20)
    write(regrown)
    head = audit.head()

    adopt()

    assert anchor is not None
    (entry,) = entries(Event.LOG_ADOPTED)
    assert entry.outcome == outcome
    assert entry.data["anchor"] == {"seq": 25, "hash": anchor.hash, "at": anchor.at}
    assert entry.data["head"] == {"seq": head.seq, "hash": head.hash}


def test_every_status_is_read_anew(simulator: Simulator) -> None:
    connected(simulator)
    write(3)
    later = timezone.now() + timedelta(hours=1)
    Snapshot.objects.update(due_at=later)
    restored(2)

    adopt()

    assert Snapshot.objects.filter(due_at__lte=timezone.now()).count() == 2


@pytest.mark.parametrize(
    ("before", "after", "is_restored"),
    [
        (ChangeStatus.PREPARED, ChangeStatus.EXPIRED, False),
        (ChangeStatus.AWAITING_APPROVAL, ChangeStatus.UNKNOWN, True),
        (ChangeStatus.SENDING, ChangeStatus.UNKNOWN, True),
        (ChangeStatus.ACCEPTED, ChangeStatus.ACCEPTED, False),
        (ChangeStatus.UNKNOWN, ChangeStatus.UNKNOWN, False),
        (ChangeStatus.VERIFIED, ChangeStatus.VERIFIED, False),
        (ChangeStatus.REJECTED, ChangeStatus.REJECTED, False),
        (ChangeStatus.EXPIRED, ChangeStatus.EXPIRED, False),
    ],
)
def test_what_may_have_been_sent_since_is_unknown(
    simulator: Simulator, before: ChangeStatus, after: ChangeStatus, is_restored: bool
) -> None:
    change = standing(connected(simulator)[0], before, needs_approval=before == ChangeStatus.AWAITING_APPROVAL)
    write(3)
    restored(2)

    adopt()

    now = fresh(change)
    assert (now.status, now.restored_at is not None) == (after, is_restored)
    if is_restored:
        assert now.sent_at is not None
        assert now.check_at is not None
        assert entries(Event.CHANGE_RESTORED)[0].data["before"] == before


def test_what_may_have_been_sent_is_unknown_as_well_where_another_trouble_was_found_first(simulator: Simulator) -> None:
    change = standing(connected(simulator)[0], ChangeStatus.AWAITING_APPROVAL, needs_approval=True)
    write(3)
    restored(2)
    guards.lift(connection)
    look()
    guards.install(connection)

    adopt()

    assert fresh(change).status == ChangeStatus.UNKNOWN
    assert entries(Event.LOG_ADOPTED)[0].outcome == "OLDER_THAN_ANCHOR"
    assert integrity.trouble() is None


def test_what_another_moves_meanwhile_is_left_to_them(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    unconnected(simulator)
    one, other = connected(simulator, names=("beta", "beta-dr")), connected(simulator, names=("gamma", "gamma-dr"))
    standing(one[0], ChangeStatus.AWAITING_APPROVAL, needs_approval=True)
    standing(other[0], ChangeStatus.PREPARED)
    write(3)
    restored(2)

    def first(*_: Any, **__: Any) -> None:
        raise AlreadyMoved

    monkeypatch.setattr(adoption, "move", first)

    adopt()

    assert integrity.trouble() is None


def test_an_approval_or_confirmation_of_then_sends_nothing(simulator: Simulator) -> None:
    acme = connected(simulator)[0]
    acme.requires_approval = True
    acme.save()
    waiting = changed(acme)
    other = connected(simulator, names=("beta", "beta-dr"))[0]
    previewed = prepared(other)
    write(3)
    restored(audit.head().seq - 1)
    adopt()

    for attempt in attempts(waiting, previewed):
        with pytest.raises((AlreadyMoved, Refused)):
            attempt()

    assert simulator.posts == []


def attempts(waiting: Change, previewed: Change) -> list[Callable[[], object]]:
    return [
        lambda: changes.approve(fresh(waiting), by=approver(), typed_name="acme"),
        lambda: changes.skip_approval(fresh(waiting), by=operator(), typed_name="acme", reason="Nobody is there"),
        lambda: changes.confirm(fresh(waiting), words(fresh(waiting)), by=operator()),
        lambda: changes.confirm(fresh(previewed), words(fresh(previewed)), by=operator()),
    ]


def test_what_was_sent_since_the_backup_is_found_by_reading(simulator: Simulator) -> None:
    """The backup has a change that waits; in the meantime it was approved, sent and applied."""
    acme = connected(simulator)[0]
    acme.requires_approval = True
    acme.save()
    change = changed(acme)
    backup = Change.objects.filter(pk=change.pk).values().get()
    length = audit.head().seq
    changes.approve(change, by=approver(), typed_name="acme")
    look()
    Change.objects.filter(pk=change.pk).update(**backup)
    change.log.filter(pk__gt=change.log.filter(move="ASK").get().pk).delete()
    cut(after=length)

    adopt()
    reconciliation.reconcile(by=factories.WORKER)

    assert fresh(change).status == ChangeStatus.VERIFIED
    assert len(simulator.posts) == 1
    assert made(change, Move.RESTORE).by == admin().name


def test_changes_are_possible_again(simulator: Simulator) -> None:
    acme = connected(simulator)[0]
    write(3)
    restored(audit.head().seq - 1)
    with pytest.raises(Refused):
        confirmed(prepared(acme))

    adopt()
    change = confirmed(prepared(acme))

    assert change.status == ChangeStatus.VERIFIED
    assert len(simulator.posts) == 1
