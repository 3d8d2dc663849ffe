"""One pass by hand over what is not settled: a row each, and nothing is ever sent."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.models import AuditEntry, Change
from tests import factories
from tests.services import changing

pytestmark = pytest.mark.django_db


@pytest.fixture
def unknown(simulator) -> Change:
    """A change to FAILOVER that was sent, and whose answer did not come."""
    primary, _ = changing.connected(simulator)
    simulator.set_fault(primary.name, "drop_before", verb="POST")
    change = changing.changed(primary)
    assert change.status == ChangeStatus.UNKNOWN
    return change


def rows(out: str) -> list[str]:
    return [" ".join(line.split()) for line in out.splitlines()]


def test_where_everything_is_settled_it_says_so_and_reads_nothing(run, simulator):
    changing.connected(simulator)
    before = len(simulator.requests)

    ended = run("reconcile")

    assert (ended.exit, ended.out) == (0, "Everything that was sent is settled.\n")
    assert len(simulator.requests) == before


def test_what_is_not_settled_yet_has_a_row_with_its_reads_and_the_next_one(run, unknown):
    ended = run("reconcile")

    assert ended.exit == 0
    (row,) = rows(ended.out)
    assert row.startswith(f"{unknown.pk} acme to FAILOVER Outcome unknown -> Outcome unknown 2 reads, next in ")


def test_what_took_effect_after_all_is_verified(run, unknown, simulator):
    simulator.write_aside("acme", 3, unknown.writer)

    ended = run("reconcile")

    assert rows(ended.out) == [f"{unknown.pk} acme to FAILOVER Outcome unknown -> Reconciled: applied 2 reads"]
    assert Change.objects.get().status == ChangeStatus.VERIFIED


def test_both_sides_are_read_and_nothing_is_sent(run, unknown, simulator):
    posts, before = len(simulator.posts), len(simulator.requests)

    run("reconcile")

    new = simulator.requests[before:]
    assert {request.organization for request in new} == {"acme", "acme-dr"}
    assert len(simulator.posts) == posts


def test_a_side_that_does_not_answer_leaves_it_as_it_was(run, unknown, simulator):
    simulator.set_fault("acme", "403")

    ended = run("reconcile")

    assert ended.exit == 0
    assert "Outcome unknown -> Outcome unknown" in ended.out


def test_what_a_process_left_behind_is_called_unknown_and_read(run, unknown, simulator):
    simulator.set_fault("acme", None)
    Change.objects.filter(pk=unknown.pk).update(
        status=ChangeStatus.SENDING, sent_at=timezone.now() - timedelta(minutes=5), check_at=None
    )

    ended = run("reconcile")

    assert rows(ended.out)[0].startswith(f"{unknown.pk} acme to FAILOVER Sending -> Outcome unknown")
    assert AuditEntry.objects.filter(event="change.abandoned").exists()


def test_what_somebody_may_still_be_sending_is_named_and_left_alone(run, unknown):
    Change.objects.filter(pk=unknown.pk).update(status=ChangeStatus.SENDING, check_at=None)

    ended = run("reconcile")

    assert rows(ended.out) == [f"{unknown.pk} acme to FAILOVER Sending left alone until 24 s after it was sent"]


def test_what_nobody_approved_in_time_ends(run, simulator):
    primary, _ = changing.connected(simulator)
    change = changing.waiting(primary)
    Change.objects.filter(pk=change.pk).update(expires_at=timezone.now() - timedelta(minutes=5))

    ended = run("reconcile")

    assert rows(ended.out) == [f"{change.pk} acme to FAILOVER Waiting for approval -> Expired 0 reads"]


def test_what_waits_for_approval_and_did_not_move_has_no_row(run, simulator):
    primary, _ = changing.connected(simulator)
    changing.waiting(primary)

    assert run("reconcile").out == "Everything that was sent is settled.\n"


def test_who_did_it_is_the_user_of_this_machine(run, unknown, simulator, monkeypatch):
    monkeypatch.setenv("LOGNAME", "mara")
    simulator.write_aside("acme", 3, unknown.writer)

    run("reconcile")

    entry = AuditEntry.objects.get(event="change.verified")
    assert (entry.actor_kind, entry.actor_name.partition("@")[0]) == ("command", "mara")


def test_without_a_key_ring_it_says_what_to_do(run, unknown, settings):
    settings.KEY_RING_FILE.unlink()

    ended = run("reconcile")

    assert ended.exit == 1
    assert ended.error.startswith("Nothing can be read, so nothing more is known. ")
    assert Change.objects.get().reads == unknown.reads


def test_without_a_database_it_says_what_to_do(run, unknown):
    def away(do, sql, *rest):
        if "hamr_portal_change" in sql:
            raise OperationalError("could not connect to server")
        return do(sql, *rest)

    with connection.execute_wrapper(away):
        ended = run("reconcile")

    assert ended.exit == 1
    assert ended.error == (
        "The database failed (OperationalError): what is not settled stays so. "
        "Look at DATABASE_URL, then run this again."
    )


def test_a_spool_that_cannot_be_opened_is_named(run, settings, tmp_path):
    settings.SPOOL_FILE = tmp_path / "spool.jsonl"
    settings.SPOOL_FILE.mkdir()

    ended = run("reconcile")

    assert ended.exit == 1
    assert ended.error == f"{settings.SPOOL_FILE} cannot be used: Is a directory. Mend that first."


def test_no_key_is_printed(run, unknown, simulator):
    simulator.set_fault("acme", "echo")

    ended = run("reconcile")

    side = simulator.organizations.named("acme")
    for key in (side.api_key, side.application_key, factories.CANARY_API_KEY):
        assert key not in ended.out + ended.err
