from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.people import Role
from hamr_portal.models import Change, Organization, Snapshot
from hamr_portal.services import freezes, overview
from hamr_portal.services.overview import Filters
from hamr_portal.services.overview_json import as_json
from tests import factories
from tests.open_changes import AUTHOR, opened
from tests.services import changing

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def shown(**filters: Any) -> dict[str, Any]:
    everything = overview.overview(now=NOW, filters=Filters(**filters))
    read_back: dict[str, Any] = json.loads(json.dumps(as_json(everything, *freezes.beside_workers(now=NOW))))
    return read_back


def test_a_pair_reads_in_the_words_of_the_domain():
    primary, secondary = factories.pair(at=NOW)

    document = shown()

    assert (document["at"], document["needs_action"]) == (NOW.isoformat(), 0)
    assert document["counts"] == {
        "NEED_ACTION": 0,
        "IN_PROGRESS": 0,
        "FAILED_OVER": 0,
        "DEGRADED": 0,
        "SETTING_UP": 0,
        "IN_SYNC": 1,
    }
    (row,) = document["pairs"]
    assert (row["name"], row["paired"], row["group"], row["verdict"]) == ("Checkout", True, "IN_SYNC", "IN_SYNC")
    assert (row["join"], row["since"]) == ("AGREE", NOW.isoformat())
    assert row["findings"] == [{"finding": "BOTH_PASSIVE", "organization": None}]
    assert (row["change"], row["driven"]) == (None, None)
    assert row["primary"] == {
        "organization": primary.name,
        "site": "us1",
        "uuid": str(primary.uuid),
        "current": True,
        "status": "PASSIVE",
        "status_number": 2,
        "between_since": None,
        "between_since_is_known": None,
        "has_connection": True,
        "says_primary": True,
        "target_uuid": str(secondary.uuid),
        "modified_at": NOW.isoformat(),
        "modified_by": "jonas.weber@halden.example",
        "answered_at": NOW.isoformat(),
        "last_read": "ANSWERED",
        "last_read_at": NOW.isoformat(),
        "reads_in_a_row": 1,
        "reason": "",
    }
    assert row["secondary"]["organization"] == secondary.name


def test_what_was_never_read_is_null_and_not_a_status():
    factories.organization("acme")
    Organization.objects.update(uuid=None)

    (row,) = shown()["pairs"]

    assert (row["paired"], row["verdict"], row["since"], row["secondary"]) == (False, "NOT_READ_YET", None, None)
    empty = ("uuid", "status", "status_number", "target_uuid", "modified_at", "answered_at", "last_read")
    assert {name: row["primary"][name] for name in (*empty, "last_read_at")} == dict.fromkeys((*empty, "last_read_at"))
    assert row["primary"]["current"] is False


def test_an_unknown_status_has_a_number_and_no_name():
    factories.pair(at=NOW, status=99)

    (row,) = shown()["pairs"]

    assert (row["primary"]["status"], row["primary"]["status_number"]) == (None, 99)


def test_a_view_that_is_not_of_the_present_says_so_and_why():
    primary, _ = factories.pair(at=NOW - timedelta(minutes=9))
    Snapshot.objects.filter(pk=primary.pk).update(
        outcome=ReadOutcome.NO_ANSWER, attempt_failed=True, repeats=24, attempt_reason="refused", attempted_at=NOW
    )

    document = shown()

    (row,) = document["pairs"]
    assert (document["needs_action"], row["verdict"]) == (1, "PRIMARY_UNREACHABLE")
    assert {"finding": "PRIMARY_UNREACHABLE", "organization": primary.name} in row["findings"]
    side = row["primary"]
    assert (side["current"], side["status"]) == (False, "PASSIVE")
    assert (side["last_read"], side["reads_in_a_row"], side["reason"]) == ("NO_ANSWER", 24, "refused")


def test_a_freeze_is_told_with_who_why_and_until_when():
    assert shown()["freeze"] is None
    freeze = changing.frozen()

    document = shown()

    assert document["freeze"] == {
        "reason": "Quarter end",
        "begun_at": freeze.begun_at.isoformat(),
        "begun_by": "admin@halden.example",
        "ends_at": freeze.ends_at.isoformat(),
    }


def test_only_the_shown_rows_are_listed():
    factories.pair("a", "a-dr", at=NOW)
    factories.pair("b", "b-dr", at=NOW)

    document = shown(text="b-dr")

    assert [row["name"] for row in document["pairs"]] == ["B"]
    assert document["counts"]["IN_SYNC"] == 1


@pytest.mark.parametrize(
    ("status", "verdict", "group"),
    [
        (ChangeStatus.UNKNOWN, "OUTCOME_UNKNOWN", "NEED_ACTION"),
        (ChangeStatus.ACCEPTED, "SENDING", "IN_PROGRESS"),
        (ChangeStatus.AWAITING_APPROVAL, "WAITING_FOR_APPROVAL", "IN_PROGRESS"),
    ],
)
def test_a_pair_names_the_change_that_is_open_on_it(status: ChangeStatus, verdict: str, group: str):
    _, secondary = factories.pair(at=NOW)
    change = opened(secondary, status, at=NOW)

    document = shown()

    (row,) = document["pairs"]
    assert (row["verdict"], row["group"], document["counts"][group]) == (verdict, group, 1)
    assert document["needs_action"] == (1 if group == "NEED_ACTION" else 0)
    assert row["findings"][1] == {"finding": verdict, "organization": secondary.name}
    assert row["change"] == {
        "id": change.pk,
        "organization": secondary.name,
        "status": status,
        "target": "FAILOVER",
        "by": AUTHOR,
        "since": NOW.isoformat(),
        "url": reverse("change", kwargs={"pk": change.pk}),
    }


def test_a_side_between_two_statuses_tells_since_when_and_who_drives_it_on():
    _, secondary = factories.pair(status=3, at=NOW)
    change = opened(secondary, ChangeStatus.VERIFIED, at=NOW)
    Change.objects.update(offered_to=factories.person(Role.OPERATOR, "jonas.weber@halden.example"))

    (row,) = shown()["pairs"]

    assert (row["secondary"]["status"], row["secondary"]["between_since"]) == ("FAILOVER", NOW.isoformat())
    assert row["secondary"]["between_since_is_known"] is False
    assert row["change"] is None
    assert row["driven"] == {"id": change.pk, "driver": AUTHOR, "offered_to": "jonas.weber@halden.example"}
