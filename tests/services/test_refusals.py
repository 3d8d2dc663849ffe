from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import Again
from hamr_portal.domain.previews import Check, Noticed
from hamr_portal.models import AuditEntry, Organization
from hamr_portal.services import audit, rooms
from hamr_portal.services.moves import AlreadyMoved
from hamr_portal.services.refusals import (
    Blocked,
    Busy,
    Changed,
    Forbidden,
    Incomplete,
    LookAgain,
    NotAllowed,
    OwnChange,
    Problem,
    Refused,
    SidesChanged,
    on_record,
)
from hamr_portal.services.rooms import AT_MOST
from tests import factories

from . import changing
from .records import entries

pytestmark = pytest.mark.django_db

KINDS: list[tuple[Refused, Event, dict[str, Any]]] = [
    (Refused("no", extra=1), Event.CHANGE_REFUSED, {"why": "no", "extra": 1}),
    (NotAllowed("Needs: operator.", action="X"), Event.ACCESS_DENIED, {"why": "Needs: operator.", "action": "X"}),
    (OwnChange("Nobody does."), Event.APPROVAL_OF_OWN, {"why": "Nobody does."}),
    (
        Incomplete(Problem.REASON_MISSING, Problem.NAME_WRONG),
        Event.CHANGE_INCOMPLETE,
        {"why": "REASON_MISSING, NAME_WRONG", "problems": ["REASON_MISSING", "NAME_WRONG"]},
    ),
    (
        Forbidden((Noticed(Check.NO_READING), Noticed(Check.DISABLED))),
        Event.CHANGE_REFUSED,
        {
            "why": "No reading of the side that gets the request, Organization disabled",
            "checks": ["NO_READING", "DISABLED"],
        },
    ),
    (Busy(None), Event.CHANGE_BUSY, {"why": "another change is open", "other": None}),
    (LookAgain(Again.EXPIRED), Event.CHANGE_TOKEN, {"why": "EXPIRED", "again": "EXPIRED"}),
    (
        SidesChanged(side="acme"),
        Event.CHANGE_STALE,
        {"why": "SIDES_CHANGED", "again": "SIDES_CHANGED", "side": "acme"},
    ),
]


@pytest.fixture
def acme() -> Organization:
    return factories.organization("acme")


@pytest.mark.parametrize(("refused", "event", "data"), KINDS, ids=lambda each: type(each).__name__)
def test_each_refusal_is_on_the_record_by_its_own_name(
    acme: Organization, refused: Refused, event: Event, data: dict[str, Any]
):
    change = changing.standing(acme, "PREPARED")

    with pytest.raises(type(refused)) as raised, on_record(changing.operator(), acme, change):
        raise refused

    assert raised.value is refused
    (entry,) = entries()
    assert (entry.event, entry.organization, entry.outcome) == (event, "acme", type(refused).__name__)
    assert (entry.actor, entry.data) == (changing.operator().name, data)
    assert AuditEntry.objects.get().change == change.pk


def test_a_refusal_before_there_is_a_change_names_none(acme: Organization):
    with pytest.raises(NotAllowed), on_record(changing.operator(), acme):
        raise NotAllowed("Needs: admin.")

    assert AuditEntry.objects.get().change is None


def test_what_is_busy_names_the_other_change(acme: Organization):
    other = changing.standing(acme, "UNKNOWN")

    refused = Busy(other)

    assert (refused.other, refused.facts) == (other, {"other": other.pk})


def test_what_is_refused_says_what_to_do_about_it():
    noticed = (Noticed(Check.ALREADY_SO, {"status": "PASSIVE"}),)

    assert Incomplete(Problem.TICKET_MISSING).problems == (Problem.TICKET_MISSING,)
    assert Forbidden(noticed).noticed == noticed
    assert LookAgain(Again.OLD_FORM).again is Again.OLD_FORM
    assert SidesChanged(what=Changed.REQUEST).again is Again.SIDES_CHANGED


@pytest.mark.parametrize("error", [AlreadyMoved("first"), Blocked("not recorded"), ValueError("a bug")])
def test_what_is_no_refusal_passes_without_an_entry(acme: Organization, error: Exception):
    with pytest.raises(type(error)), on_record(changing.operator(), acme):
        raise error

    assert entries() == []


def test_what_is_not_refused_leaves_no_entry(acme: Organization):
    with on_record(changing.operator(), acme):
        pass

    assert entries() == []


def test_a_refusal_that_cannot_be_recorded_is_still_a_refusal(
    acme: Organization, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(event: Event, **_: Any) -> None:
        raise OperationalError("secret details of the database")

    monkeypatch.setattr(audit, "append", fail)

    with pytest.raises(Busy), on_record(changing.operator(), acme):
        raise Busy(None)

    (line,) = caplog.records
    assert (line.levelname, line.getMessage()) == (
        "CRITICAL",
        "audit.write_failed: change.refused_busy: OperationalError",
    )


def test_what_one_person_is_not_allowed_is_told_so_often_an_hour_and_other_refusals_each_time(acme: Organization):
    for refused in (NotAllowed("Needs: admin."), Busy(None)):
        for _ in range(AT_MOST + 2):
            with pytest.raises(Refused), on_record(changing.operator(), acme):
                raise refused

    assert len(entries(Event.ACCESS_DENIED)) == AT_MOST
    assert len(entries(Event.CHANGE_BUSY)) == AT_MOST + 2
    assert rooms.left_out.take() == {f"authz.denied {changing.operator().name}": 2}
