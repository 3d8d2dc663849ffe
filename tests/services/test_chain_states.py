"""Nothing is said to be verified that was not."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from hamr_portal.domain.audit import Event
from hamr_portal.models import AuditEntry, LogStanding, guards
from hamr_portal.services import adoption, anchors, audit, chain_states, integrity
from tests import factories

from . import changing, tampering
from .tampering import edit, write

pytestmark = pytest.mark.django_db


def look(*, whole: bool = False) -> None:
    integrity.verify_and_keep(by=factories.WORKER, whole=whole)


def adopted(broken: int) -> None:
    """Let an entry be edited, be found, and be adopted."""
    edit(broken, reason="Never said")
    look()
    adoption.adopt(by=changing.admin(), reason="A disk was replaced", seen=tampering.shown())


def test_an_empty_log_has_nothing_newer_and_nothing_adopted() -> None:
    state = chain_states.now()

    assert (state.newer, state.breaks, state.whole_from, state.whole_pass) == (0, (), 1, None)
    assert state.trouble is None


def test_what_came_since_is_counted() -> None:
    write(3)
    look()
    write(2)

    assert chain_states.now().newer == 2


def test_after_a_break_was_adopted_the_log_is_whole_from_there_on() -> None:
    write(5)
    adopted(3)

    state = chain_states.now()

    (each,) = state.breaks
    assert (each.broken, each.reason) == (3, "A disk was replaced")
    assert state.whole_from == each.head.seq + 1 == chain_states.whole_from()


def test_without_a_key_nobody_can_say_what_was_adopted(settings: Any) -> None:
    write(5)
    adopted(3)
    settings.KEY_RING_FILE.unlink()

    state = chain_states.now()

    assert (state.breaks, state.whole_pass) == ((), None)
    assert state.trouble is not None
    assert chain_states.whole_from() == 1


def test_a_look_at_what_is_new_is_no_pass_over_the_whole_log() -> None:
    write(3)
    look()

    assert chain_states.now().whole_pass is None


def test_the_last_pass_over_the_whole_log_is_told() -> None:
    write(3)
    look(whole=True)
    seq = audit.head().seq
    write(2)

    found = chain_states.now().whole_pass

    assert found is not None
    assert (found.seq, found.head) == (seq, 3)


def test_a_verification_from_a_checkpoint_on_is_no_pass_over_the_whole_log() -> None:
    write(3)
    checkpoint = anchors.checkpoint(audit.head())

    integrity.verify_against([checkpoint], by=factories.WORKER, from_last=True)

    assert AuditEntry.objects.filter(event=Event.LOG_VERIFIED).exists()
    assert chain_states.now().whole_pass is None


@pytest.mark.parametrize("forged", [{"outcome": "BROKEN"}, {"data": "no JSON"}])
def test_an_edited_verification_tells_of_no_pass(forged: dict[str, str]) -> None:
    write(3)
    look(whole=True)
    edit(audit.head().seq, **forged)

    assert chain_states.now().whole_pass is None


def test_a_pass_that_found_a_break_is_no_pass_over_the_whole_log() -> None:
    write(3)
    edit(2, reason="Never said")
    look(whole=True)

    assert chain_states.now().whole_pass is None


def test_a_log_longer_than_a_round_is_not_gone_over_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    write(5)
    look()
    before = chain_states.now().goes_over_all
    monkeypatch.setattr(chain_states, "AGAIN_AT_A_TIME", 4)

    assert (before, chain_states.now().goes_over_all) == (True, False)


def test_a_round_that_is_not_at_its_end_did_not_go_over_all() -> None:
    write(5)
    look()
    LogStanding.objects.update(again_seq=2)

    assert not chain_states.now().goes_over_all


def test_guards_that_are_back_are_told_from_those_that_are_missing() -> None:
    write()
    guards.lift(connection)
    look()
    missing = chain_states.now()
    guards.install(connection)

    back = chain_states.now()

    assert (missing.guards_are_back, back.guards_are_back) == (False, True)
    assert back.trouble is not None
