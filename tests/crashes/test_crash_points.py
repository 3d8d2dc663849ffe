"""A process is killed, or its database fails, at each named point of a change. See RELIABILITY.md, rows 34 to 39."""

from __future__ import annotations

import pytest
from django.conf import settings

from hamr_portal.domain.changes import ChangeStatus

from .confirm_process import FAIL_FROM_HERE, FAIL_ONCE, READY
from .installation import Form, Installation, confirmed, reconciled, recorded

BEFORE_THE_INTENT = [
    "read",
    "has read",
    "begin 1",
    "updated SENDING",
    "recorded change.sending",
    "commit change.sending",
]
BEFORE_THE_POST = ["committed change.sending", pytest.param("write", marks=pytest.mark.slow)]
AFTER_THE_POST = [
    "answered",
    "written",
    "begin 2",
    "updated ACCEPTED",
    "recorded change.accepted",
    "commit change.accepted",
]
AFTER_THE_RESULT = [
    "committed change.accepted",
    "read back",
    "has read back",
    "begin 3",
    "updated VERIFIED",
    "recorded change.verified",
    "commit change.verified",
]
AT_THE_END = "committed change.verified"
VERIFIED = ["PREPARED", "SENDING", "ACCEPTED", "VERIFIED"]
FOUND_APPLIED = ["PREPARED", "SENDING", "UNKNOWN", "VERIFIED"]
FOUND_NOT_APPLIED = ["PREPARED", "SENDING", "UNKNOWN", "NOT_APPLIED"]


@pytest.fixture
def form(installation: Installation) -> Form:
    """A page that is about to be sent."""
    _, secondary = installation.pair()
    return installation.form(secondary)


def killed_at(point: str | int, installation: Installation, form: Form) -> None:
    process = installation.process().begin(form, stop_at=point)
    assert process.reached().get("name") == point
    process.kill()
    assert process.is_killed()


def failing_at(point: str | int, installation: Installation, form: Form, word: str) -> str:
    process = installation.process().begin(form, stop_at=point)
    assert process.reached().get("name") == point
    process.tell(word)
    came: str = process.came()["came"]
    return came


def sent_again(installation: Installation, form: Form) -> str:
    came: str = confirmed(installation.process(), form)["came"]
    return came


def steps(installation: Installation, *, that_only_look_after: str = "") -> list[int]:
    """Give the numbers of the steps, as an undisturbed process goes through them.

    Those that only look at the database change nothing for a process that is killed there, and are left out up to one.
    """
    _, secondary = installation.pair("halden-undisturbed")
    names = confirmed(installation.process(), installation.form(secondary))["steps"]
    looks_from = names.index(that_only_look_after) if that_only_look_after else len(names)
    numbered = [(number, name) for number, name in enumerate(names) if name != READY]
    return [number + 1 for number, name in numbered if number > looks_from or not name.startswith("SELECT")]


# --- killed -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("point", BEFORE_THE_INTENT)
def test_killed_before_the_intent_is_committed_nothing_is_there_and_the_form_may_be_sent_again(
    point, installation, form
):
    killed_at(point, installation, form)

    assert recorded(form.change) == ["PREPARED"]
    assert len(installation.simulator.posts) == 0
    assert sent_again(installation, form) == "sent"
    assert recorded(form.change) == VERIFIED
    assert len(installation.simulator.posts) == 1


@pytest.mark.parametrize("point", BEFORE_THE_POST)
def test_killed_before_the_post_it_is_found_not_applied(point, installation, form):
    killed_at(point, installation, form)

    assert recorded(form.change) == ["PREPARED", "SENDING"]
    assert sent_again(installation, form) == "AlreadyMoved"
    assert reconciled(form.change) == ChangeStatus.NOT_APPLIED
    assert recorded(form.change) == FOUND_NOT_APPLIED
    assert len(installation.simulator.posts) == 0


@pytest.mark.slow
@pytest.mark.parametrize("acts", [True, False])
def test_killed_while_the_request_waits_what_is_true_is_found(acts, installation, form):
    announced = installation.is_announced
    name = form.change.organization.name
    installation.simulator.set_fault(name, "drop_after" if acts else "drop_before", verb="POST")
    process = installation.process().begin(form).has_started()

    def kill(request):
        announced(request)
        process.kill()

    installation.simulator.on_post = kill
    assert process.is_killed()

    assert recorded(form.change) == ["PREPARED", "SENDING"]
    assert sent_again(installation, form) == "AlreadyMoved"
    assert reconciled(form.change) == (ChangeStatus.VERIFIED if acts else ChangeStatus.NOT_APPLIED)
    assert installation.has_acted(form.change.organization) is acts
    assert recorded(form.change) == (FOUND_APPLIED if acts else FOUND_NOT_APPLIED)
    assert len(installation.simulator.posts) == 1


@pytest.mark.slow
@pytest.mark.parametrize("point", AFTER_THE_POST)
def test_killed_before_the_result_is_committed_it_is_found_applied(point, installation, form):
    killed_at(point, installation, form)

    assert recorded(form.change) == ["PREPARED", "SENDING"]
    assert sent_again(installation, form) == "AlreadyMoved"
    assert reconciled(form.change) == ChangeStatus.VERIFIED
    assert recorded(form.change) == FOUND_APPLIED
    assert len(installation.simulator.posts) == 1


@pytest.mark.slow
@pytest.mark.parametrize("point", AFTER_THE_RESULT)
def test_killed_before_it_is_read_back_the_result_stays_and_the_worker_reads_on(point, installation, form):
    killed_at(point, installation, form)

    assert recorded(form.change) == ["PREPARED", "SENDING", "ACCEPTED"]
    assert sent_again(installation, form) == "AlreadyMoved"
    assert reconciled(form.change) == ChangeStatus.VERIFIED
    assert recorded(form.change) == VERIFIED
    assert len(installation.simulator.posts) == 1


@pytest.mark.slow
def test_killed_before_the_page_is_delivered_all_is_there_and_a_reload_sends_nothing(installation, form):
    killed_at(AT_THE_END, installation, form)

    assert recorded(form.change) == VERIFIED
    assert sent_again(installation, form) == "AlreadyMoved"
    assert recorded(form.change) == VERIFIED
    assert len(installation.simulator.posts) == 1


@pytest.mark.slow
def test_killed_before_any_write_commit_or_request_what_is_recorded_becomes_what_is_true(installation):
    process = installation.process()
    left_as = set()

    for step in steps(installation):
        _, secondary = installation.pair(f"halden-step-{step}")
        form = installation.form(secondary)
        stopped = process.begin(form, stop_at=step).reached()
        process.kill()
        assert process.is_killed()
        left, posts = recorded(form.change), installation.posts(secondary)
        told = confirmed(process, form)["came"]
        came = reconciled(form.change)

        where = (step, stopped["name"])
        assert told == ("sent" if left == ["PREPARED"] else "AlreadyMoved"), where
        assert came == ("VERIFIED" if installation.has_acted(secondary) else "NOT_APPLIED"), where
        assert recorded(form.change)[-1] == came, where
        assert installation.posts(secondary) == (1 if left == ["PREPARED"] else posts), where
        left_as.add((left[-1], posts))

    assert left_as == {("PREPARED", 0), ("SENDING", 0), ("SENDING", 1), ("ACCEPTED", 1), ("VERIFIED", 1)}


# --- the database fails -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("point", BEFORE_THE_INTENT[2:])
def test_a_database_that_is_gone_before_the_intent_blocks_the_change(point, installation, form):
    came = failing_at(point, installation, form, FAIL_FROM_HERE)

    assert came == "Blocked"
    assert recorded(form.change) == ["PREPARED"]
    assert len(installation.simulator.posts) == 0
    assert sent_again(installation, form) == "sent"
    assert recorded(form.change) == VERIFIED
    assert len(installation.simulator.posts) == 1


@pytest.mark.slow
@pytest.mark.parametrize("point", ["updated SENDING", "commit change.sending"])
def test_a_database_that_fails_once_before_the_intent_is_asked_once_more(point, installation, form):
    came = failing_at(point, installation, form, FAIL_ONCE)

    assert came == "sent"
    assert recorded(form.change) == VERIFIED
    assert len(installation.simulator.posts) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("word", "told"), [(FAIL_ONCE, "AlreadyMoved"), (FAIL_FROM_HERE, "Blocked")])
def test_a_commit_whose_answer_is_lost_announces_a_post_that_never_leaves(word, told, installation, form):
    came = failing_at("committed change.sending", installation, form, word)

    assert came == told
    assert recorded(form.change) == ["PREPARED", "SENDING"]
    assert reconciled(form.change) == ChangeStatus.NOT_APPLIED
    assert recorded(form.change) == FOUND_NOT_APPLIED
    assert len(installation.simulator.posts) == 0


@pytest.mark.slow
@pytest.mark.parametrize("point", ["write", *AFTER_THE_POST])
def test_a_result_that_the_database_does_not_take_waits_in_the_spool(point, installation, form):
    came = failing_at(point, installation, form, FAIL_FROM_HERE)

    assert came == "NotRecordedYet ACCEPT spooled=True"
    assert recorded(form.change) == ["PREPARED", "SENDING"]
    assert sent_again(installation, form) == "AlreadyMoved"
    assert reconciled(form.change) == ChangeStatus.VERIFIED
    assert recorded(form.change) == VERIFIED
    assert settings.SPOOL_FILE.read_bytes() == b""
    assert len(installation.simulator.posts) == 1


@pytest.mark.slow
@pytest.mark.parametrize("point", ["written", "commit change.accepted"])
def test_a_result_that_the_database_does_not_take_at_once_is_recorded_at_the_second_try(point, installation, form):
    came = failing_at(point, installation, form, FAIL_ONCE)

    assert came == "sent"
    assert recorded(form.change) == VERIFIED
    assert not settings.SPOOL_FILE.exists()
    assert len(installation.simulator.posts) == 1


@pytest.mark.slow
@pytest.mark.parametrize("word", [FAIL_ONCE, FAIL_FROM_HERE])
def test_a_result_whose_commit_is_not_answered_is_recorded_and_told_once_more(word, installation, form):
    came = failing_at("committed change.accepted", installation, form, word)

    assert came == ("sent" if word == FAIL_ONCE else "NotRecordedYet ACCEPT spooled=True")
    assert reconciled(form.change) == ChangeStatus.VERIFIED
    assert recorded(form.change) == VERIFIED
    assert len(installation.simulator.posts) == 1


@pytest.mark.slow
@pytest.mark.parametrize("point", ["read back", "has read back", "updated VERIFIED"])
def test_a_read_back_that_the_database_does_not_take_is_done_by_the_worker(point, installation, form):
    came = failing_at(point, installation, form, FAIL_FROM_HERE)

    assert came == "sent"
    assert recorded(form.change)[:3] == ["PREPARED", "SENDING", "ACCEPTED"]
    assert reconciled(form.change) == ChangeStatus.VERIFIED
    assert recorded(form.change) == VERIFIED
    assert len(installation.simulator.posts) == 1


@pytest.mark.slow
@pytest.mark.parametrize(("word", "after"), [(FAIL_ONCE, ""), (FAIL_FROM_HERE, "recorded change.sending")])
def test_whichever_statement_the_database_fails_at_what_is_told_and_recorded_is_true(word, after, installation):
    process = installation.process()
    told = set()

    for step in steps(installation, that_only_look_after=after):
        _, secondary = installation.pair(f"halden-step-{step}")
        form = installation.form(secondary)
        stopped = process.begin(form, stop_at=step).reached()
        process.tell(word)
        came = process.came()["came"]
        left, posts = recorded(form.change), installation.posts(secondary)
        final = "PREPARED" if left == ["PREPARED"] else reconciled(form.change)

        where = (step, stopped["name"], came)
        told.add((came, posts))
        assert final == ("VERIFIED" if posts else "NOT_APPLIED" if left != ["PREPARED"] else "PREPARED"), where
        assert installation.has_acted(secondary) is bool(posts), where
        assert recorded(form.change)[-1] == final, where
        assert installation.posts(secondary) == posts, where

    lost = "NotRecordedYet ACCEPT spooled=True"
    assert told == {("sent", 1), ("Blocked", 0), ("AlreadyMoved", 0) if word == FAIL_ONCE else (lost, 1)}
