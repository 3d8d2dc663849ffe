"""What somebody wrote into a change by hand is not what its evidence says, and is told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from hamr_portal.domain.audit import Event
from hamr_portal.domain.chain import Place
from hamr_portal.domain.changes import Again, ChangeStatus, Move, What
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Change, LogLine, Person, SkipNotice, guards
from hamr_portal.services import adoption, anchors, changes, evidence_packs, integrity, sending
from hamr_portal.services.evidence_packs import Scope, Told
from hamr_portal.services.sending import Came
from hamr_portal.simulator import Simulator
from tests import factories

from . import changing

pytestmark = pytest.mark.django_db


def told(change: Change) -> Told:
    """Give what a pack tells of a change."""
    return evidence_packs.make(Scope(change=changing.fresh(change)), by=factories.ADMIN).changes[0]


def differences(change: Change) -> dict[str, tuple[str, str]]:
    return {each.name: (each.signed, each.now) for each in told(change).held.differences}


def stranger() -> Person:
    return factories.person(Role.APPROVER, "stranger@halden.example")


def approved(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    change = changing.waiting(primary)
    return changes.approve(change, by=changing.approver(), typed_name="acme", comment="Go")


def verified(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    return changing.changed(primary)


def edit(change: Change, **fields: Any) -> None:
    Change.objects.filter(pk=change.pk).update(**fields)


# --- nothing was edited -----------------------------------------------------------------------------------------


def doubted(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    simulator.set_fault("acme", "not_applied", verb="POST")
    return changing.changed(primary)


def lost(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    simulator.set_fault("acme", "drop_after", verb="POST")
    return changing.changed(primary)


def rejected(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    simulator.set_fault("acme", "403", verb="POST")
    return changing.changed(primary)


def skipped(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    changing.approver()
    change = changing.waiting(primary)
    changes.skip_approval(change, by=changing.operator(), typed_name="acme", reason=" Nobody answers ")
    changes.see_skip(change, by=changing.approver())
    return change


def broke_a_freeze(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    changing.frozen()
    return changing.confirmed(changing.prepared(primary), break_freeze=True, break_reason=" The region is dark ")


def declined(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    return changes.decline(changing.waiting(primary), by=changing.approver(), comment="Not today")


def cancelled(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    return changes.cancel(changing.prepared(primary), by=changing.operator())


def resolved(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    simulator.set_fault("acme", "drop_before", verb="POST")
    return changes.resolve(changing.changed(primary), by=changing.operator(), reason="Looked in Datadog")


def restored(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    change = changing.waiting(primary)
    anchors.put(anchors.checkpoint(Place(999, "f" * 64)))
    found = integrity.trouble()
    assert found is not None
    adoption.adopt(by=changing.admin(), reason="The volume failed", seen=integrity.seen_as(found))
    return change


def told_too_late(simulator: Simulator) -> Change:
    change = resolved(simulator)
    sending.record(change, Came(Move.REJECT, timezone.now(), http_status=403, raw="no"), by=factories.WORKER)
    return change


def renewed(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    change = changing.prepared(primary)
    return changes.renew(change, by=changing.operator(), again=Again.EXPIRED, words=changing.words(change))


LIVES = [
    *(verified, doubted, lost, rejected, approved, skipped, declined, cancelled, resolved, restored, told_too_late),
    *(renewed, broke_a_freeze),
]


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.__name__)
def test_what_nobody_edited_differs_in_nothing_and_each_move_is_signed(simulator: Simulator, life: Any) -> None:
    change = life(simulator)

    shown = told(change)

    assert shown.held.differences == []
    moves = {line.pk for line in shown.story.lines if line.what == What.MOVED}
    assert moves <= shown.held.lines
    assert shown.held.unsigned <= {"typed name", "checks", "reason", "ticket", "request", "address"}
    assert all(step.is_signed for step in shown.steps)


def test_what_was_read_back_is_signed_where_an_entry_repeats_it(simulator: Simulator) -> None:
    shown = told(verified(simulator))

    own = [line.pk for line in shown.read_backs if line.organization_id == shown.story.change.organization_id]
    assert own[-1] in shown.held.lines


# --- the change was edited --------------------------------------------------------------------------------------

LATER = timedelta(hours=3)
EDITS: dict[str, dict[str, Any]] = {
    "status": {"status": ChangeStatus.NOT_SENT},
    "reason": {"reason": "Another one"},
    "ticket": {"ticket": "INC-1"},
    "override": {"override": True},
    "second person": {"needs_approval": False},
    "status asked for": {"target_status": HamrStatus.PASSIVE},
    "new connection": {"links": True},
    "address of who asked": {"author_address": "10.6.6.6"},
    "HTTP status": {"http_status": 500},
    "reason to send without approval": {"skip_reason": "Never said"},
    "reason to break the freeze": {"break_reason": "Never said"},
    "closing reason": {"closing_reason": "Never said"},
}


@pytest.mark.parametrize("name", list(EDITS))
def test_a_fact_that_was_edited_is_shown_as_it_was_signed(simulator: Simulator, name: str) -> None:
    change = approved(simulator)
    ((attribute, forged),) = EDITS[name].items()
    signed = getattr(changing.fresh(change), attribute)
    edit(change, **EDITS[name])

    shown = told(change)

    assert shown.differs == [name]
    is_signed = name not in ("reason to send without approval", "reason to break the freeze", "closing reason")
    assert getattr(shown.story.change, attribute) == (signed if is_signed else forged)
    assert (name in shown.held.unsigned) is not is_signed


def test_a_freeze_that_was_broken_cannot_be_taken_off_the_change(simulator: Simulator) -> None:
    change = broke_a_freeze(simulator)
    freeze = change.broke_freeze_id
    edit(change, broke_freeze=None, break_reason="")

    shown = told(change)

    assert set(shown.differs) == {"freeze that was broken", "reason to break the freeze"}
    assert (shown.story.change.broke_freeze_id, shown.story.change.break_reason) == (freeze, "The region is dark")


@pytest.mark.parametrize(("attribute", "name"), [("author", "who asked"), ("approver", "who approved")])
def test_another_person_in_the_place_of_who_signed_is_told(simulator: Simulator, attribute: str, name: str) -> None:
    change = approved(simulator)
    signed = getattr(change, attribute).email
    edit(change, **{attribute: stranger()})

    shown = told(change)

    assert differences(change) == {name: (signed, "stranger@halden.example")}
    assert getattr(shown.story.change, attribute).email == signed


@pytest.mark.parametrize("fields", [{"approver": "stranger"}, {"closed_by": "stranger"}])
def test_a_person_who_signed_nothing_is_told_and_marked(simulator: Simulator, fields: dict[str, Any]) -> None:
    change = verified(simulator)
    (attribute,) = fields
    edit(change, **{attribute: stranger()})

    shown = told(change)

    (name,) = shown.differs
    assert name in shown.held.unsigned
    assert differences(change) == {name: ("nothing", "stranger@halden.example")}


def test_who_closed_it_is_who_signed_that(simulator: Simulator) -> None:
    change = declined(simulator)
    edit(change, closed_by=stranger(), closing_reason="Whatever")

    shown = told(change)

    assert set(shown.differs) == {"who closed it", "closing reason"}
    assert shown.story.change.closed_by is not None
    assert shown.story.change.closed_by.email == changing.approver().name
    assert shown.story.change.closing_reason == "Not today"


@pytest.mark.parametrize("attribute", ["prepared_at", "confirmed_at", "approved_at", "sent_at"])
def test_a_moment_that_was_edited_is_shown_as_it_was_signed(simulator: Simulator, attribute: str) -> None:
    change = approved(simulator)
    forged = getattr(change, attribute) + LATER
    edit(change, **{attribute: forged})

    shown = told(change)

    assert len(shown.differs) == 1
    assert shown.differs[0].startswith("when it was")
    assert getattr(shown.story.change, attribute) in {entry.at for entry in shown.genuine}


def test_a_moment_for_which_nothing_is_signed_is_marked_in_the_steps(simulator: Simulator) -> None:
    change = verified(simulator)
    edit(change, approved_at=change.confirmed_at, approver=stranger())

    shown = told(change)

    assert [step.name for step in shown.steps if not step.is_signed] == ["Approved"]


@pytest.mark.parametrize("noticed", ["[]", "no JSON", '[{"check": "NO_SUCH", "facts": {}}]', "[" * 100_000])
def test_checks_that_were_edited_are_told_by_name_and_break_nothing(simulator: Simulator, noticed: str) -> None:
    change = verified(simulator)
    edit(change, noticed_json=noticed)

    found = differences(change)

    assert found["checks"][0] == "WORKER_STOPPED"
    assert told(change).other_checks == []


def test_what_was_typed_to_confirm_is_never_signed(simulator: Simulator) -> None:
    assert "typed name" in told(verified(simulator)).held.unsigned


def test_a_preview_is_marked_where_nobody_has_signed_for_it(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.prepared(primary)

    shown = told(change)

    assert {"request", "address"} <= shown.held.unsigned
    assert shown.differs == []


def test_without_any_entry_nothing_is_signed_and_nothing_differs(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    changing.operator()
    change = changing.standing(primary, ChangeStatus.NOT_SENT)

    shown = told(change)

    assert shown.differs == []
    assert {"who asked", "status", "when it was previewed"} <= shown.held.unsigned


def test_an_entry_that_was_spoilt_signs_for_nothing(simulator: Simulator) -> None:
    change = approved(simulator)
    guards.lift(connection)
    AuditEntry.objects.filter(event=Event.CHANGE_APPROVED).update(actor_name="stranger@halden.example")
    edit(change, approver=stranger())

    shown = told(change)

    assert "who approved" in shown.held.unsigned
    assert differences(change)["who approved"] == ("nothing", "stranger@halden.example")


# --- its log was edited -----------------------------------------------------------------------------------------


def answer(change: Change) -> Any:
    return LogLine.objects.filter(change=change, move=Move.ACCEPT.name)


@pytest.mark.parametrize(
    ("field", "forged"), [("raw", '{"data": "forged"}'), ("http_status", 418), ("elapsed_ms", 1), ("reason", "Forged")]
)
def test_an_answer_that_was_edited_is_shown_as_it_was_signed(simulator: Simulator, field: str, forged: Any) -> None:
    change = verified(simulator)
    signed = getattr(answer(change).get(), field)
    answer(change).update(**{field: forged})

    shown = told(change)

    assert shown.differs == [f"answer: {field.replace('_', ' ')}"]
    assert shown.story.result is not None
    assert getattr(shown.story.result, field) == signed


def test_who_made_a_move_and_when_is_shown_as_it_was_signed(simulator: Simulator) -> None:
    change = approved(simulator)
    line = changing.made(change, Move.APPROVE)
    LogLine.objects.filter(pk=line.pk).update(by="stranger@halden.example", at=line.at + LATER)

    shown = told(change)

    (approval,) = (each for each in shown.story.lines if each.pk == line.pk)
    assert shown.differs == ["who did it", "when it happened"]
    assert approval.by == changing.approver().name
    assert abs(approval.at - line.at) < LATER


def test_a_line_that_no_entry_tells_of_is_told_and_marked(simulator: Simulator) -> None:
    change = rejected(simulator)
    line = changing.made(change, Move.REJECT)
    line.pk, line.move = None, Move.ARRIVE_LATE.name
    line.save(force_insert=True)

    shown = told(change)

    assert shown.differs == ["what happened"]
    assert line.pk not in shown.held.lines


def test_a_line_that_was_taken_away_is_told(simulator: Simulator) -> None:
    change = rejected(simulator)
    LogLine.objects.filter(pk=changing.made(change, Move.REJECT).pk).delete()

    found = differences(change)

    assert found["what happened"][0].endswith(Event.CHANGE_REJECTED)
    assert found["what happened"][1] == "nothing"


@pytest.mark.parametrize(
    ("field", "forged"), [("status", 4), ("modified_by", "stranger"), ("modified_at", None), ("is_primary", None)]
)
def test_what_was_read_back_is_shown_as_it_was_signed(simulator: Simulator, field: str, forged: Any) -> None:
    change = verified(simulator)
    own = LogLine.objects.filter(change=change, what=What.READ_BACK, organization=change.organization)
    signed = getattr(own.get(), field)
    own.update(**{field: forged})

    shown = told(change)

    assert shown.differs == [f"read back: {field.replace('_', ' ')}"]
    assert shown.story.own_read is not None
    assert getattr(shown.story.own_read, field) == signed


def test_a_read_back_that_was_taken_away_is_told(simulator: Simulator) -> None:
    change = verified(simulator)
    LogLine.objects.filter(change=change, what=What.READ_BACK).delete()

    assert told(change).differs == ["what was read back"]


def test_a_status_before_that_was_edited_is_shown_as_it_was_signed(simulator: Simulator) -> None:
    change = verified(simulator)
    LogLine.objects.filter(change=change, what=What.PREVIEWED, organization=change.organization).update(status=5)

    shown = told(change)

    assert shown.differs == ["status before"]
    assert shown.story.before is not None
    assert shown.story.before.status == HamrStatus.PASSIVE


def test_who_has_seen_that_nobody_approved_is_who_signed_that(simulator: Simulator) -> None:
    change = skipped(simulator)
    SkipNotice.objects.filter(change=change).update(seen_at=None)
    SkipNotice.objects.create(change=change, person=stranger(), seen_at=change.sent_at)

    shown = told(change)

    seen = {notice.person.email: notice.seen_at is not None for notice in shown.skipped}
    assert seen[changing.approver().name]
    assert shown.differs == [f"seen by {changing.approver().name}", "seen by stranger@halden.example"]
    assert "seen by stranger@halden.example" in shown.held.unsigned
