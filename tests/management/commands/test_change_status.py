"""The terminal's way to a status: the same checks, record and one request as the page, and a code that is true."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import InternalError, connection
from django.utils import timezone

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.people import Role
from hamr_portal.hamr_client import HamrClient
from hamr_portal.management.commands.change_status import EXITS
from hamr_portal.models import AuditEntry, Change, Organization, Pair, Person, SkipNotice
from hamr_portal.services import connections
from hamr_portal.templatetags._time import clock
from tests import factories
from tests.services import changing

pytestmark = pytest.mark.django_db

BASE_DIR = Path(__file__).resolve().parents[3]
OPERATOR = "operator@halden.example"


@pytest.fixture(autouse=True)
def _no_pause_before_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry reads at once: the pauses are the client's own tests' subject."""
    monkeypatch.setattr(connections, "client", _client)


@cache
def _client() -> HamrClient:
    return HamrClient(connect_timeout=2.0, pause=lambda _seconds: None)


@pytest.fixture
def acme(simulator):
    """A pair that is PASSIVE: `acme` on us1 and `acme-dr` on us5; and an operator."""
    factories.person(Role.OPERATOR, OPERATOR)
    changing.connected(simulator)
    return simulator


@pytest.fixture
def change_status(run) -> Callable[..., Any]:
    """Run the command with everything that is needed, but for what a test says otherwise."""

    def command(*more: str, name: str = "acme-dr", status: str = "FAILOVER", **over: str) -> Any:
        options = {"reason": "us1 is dark", "confirm": name, "as": OPERATOR} | over
        words = [word for option, value in options.items() for word in (f"--{option}", value)]
        return run("change_status", name, status, *words, *more)

    return command


def events() -> list[str]:
    return list(AuditEntry.objects.filter(event__startswith="change.").order_by("seq").values_list("event", flat=True))


def unfolded(text: str) -> str:
    return " ".join(text.split())


@contextmanager
def failing(when: Callable[[str], bool]) -> Iterator[None]:
    """Let the database refuse the statements that `when` picks.

    Not as one that is busy or gone: the connection would be dropped, and with it the transaction of this test.
    """

    def execute(do: Any, sql: str, *rest: Any) -> Any:
        if when(sql):
            raise InternalError("invalid page in block 3")
        return do(sql, *rest)

    with connection.execute_wrapper(execute):
        yield


@contextmanager
def once_recorded(event: str, do: Callable[[], object]) -> Iterator[None]:
    """Do something right after this event went on the record."""

    def execute(then: Any, sql: str, parameters: Any, *rest: Any) -> Any:
        result = then(sql, parameters, *rest)
        if sql.startswith("INSERT") and "hamr_portal_auditentry" in sql and event in parameters:
            do()
        return result

    with connection.execute_wrapper(execute):
        yield


# --- exits ------------------------------------------------------------------------------------------------------


def test_every_status_of_a_change_has_an_exit_code():
    assert set(EXITS) == set(ChangeStatus)


def test_exit_0_when_both_sides_read_back_what_was_asked(acme, change_status):
    ended = change_status()

    assert (ended.exit, ended.error) == (0, "")
    assert len(acme.posts) == 1
    change = Change.objects.get()
    assert change.status == ChangeStatus.VERIFIED
    receipt = AuditEntry.objects.get(event="change.verified").seq
    last = ended.out.splitlines()[-1]
    assert re.fullmatch(
        rf"Verified by reading it back at \d\d:\d\d:\d\d\. acme-dr is FAILOVER\. Receipt: entry #{receipt}\.", last
    )


def test_a_dark_other_side_is_said_before_and_after(acme, change_status):
    acme.set_fault("acme", "503")

    ended = change_status("--override")

    assert ended.exit == 0
    assert "needs --override  Other side cannot be read. acme on us1: Server error (" in ended.out
    assert "us1 acme, which is sent nothing: PASSIVE (last known, last answer 0 s ago)" in ended.out
    assert "acme did not answer, so its side is not verified" in ended.out.splitlines()[-1]


def test_a_side_that_does_not_follow_is_said(simulator, change_status):
    factories.person(Role.OPERATOR, OPERATOR)
    primary, _ = changing.connected(simulator)
    simulator.organizations.named("acme-dr").mirrors = False

    ended = change_status()

    assert ended.exit == 0
    assert "acme still says PASSIVE: compare both with manage.py status acme --refresh." in ended.out
    assert primary.name == "acme"


def test_exit_0_when_it_was_accepted_and_cannot_be_read_back_yet(acme, change_status):
    acme.on_post = lambda _: acme.set_fault("acme-dr", "503", verb="GET")

    ended = change_status()

    assert ended.exit == 0
    assert Change.objects.get().status == ChangeStatus.ACCEPTED
    assert ended.out.splitlines()[-1] == (
        "Accepted: Datadog repeats FAILOVER, and it is not read back yet. "
        "A running worker reads on; manage.py reconcile reads now."
    )


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("403", "The keys may not write (disaster_recovery_status_write): an admin replaces them, then run this"),
        ("409", "Mend what Datadog names, then run this again."),
        ("429", "Rate limited; it may be sent again after "),
    ],
)
def test_exit_3_when_datadog_refused(acme, change_status, fault, says):
    acme.set_fault("acme-dr", fault, verb="POST")

    ended = change_status()

    assert ended.exit == 3
    last = ended.out.splitlines()[-1]
    assert last.startswith(f"Datadog refused (HTTP {fault}, ")
    assert "Nothing changed. It reads back PASSIVE." in last
    assert says in last


def test_exit_4_when_no_answer_came_and_the_lock_is_told(acme, change_status):
    acme.set_fault("acme-dr", "drop_before", verb="POST")

    ended = change_status()

    assert ended.exit == 4
    assert Change.objects.get().status == ChangeStatus.UNKNOWN
    last = ended.out.splitlines()[-1]
    assert last.startswith("Outcome unknown: the request may have taken effect. Do not send again; checking (attempt 1")
    assert re.search(r"next in \d+ s\)", last)

    again = change_status()

    assert again.exit == 5
    assert "forbids it        Another change is open. Change " in again.out
    assert "acme-dr to FAILOVER by operator@halden.example: Outcome unknown since" in again.out
    assert again.error.startswith("Nothing was sent; the status is unchanged. Forbidden: Another change is open.")
    assert len(acme.posts) == 1


def test_exit_5_when_no_byte_left(acme, change_status):
    with once_recorded("change.sending", lambda: acme.set_fault("acme-dr", "refuse")):
        ended = change_status()

    assert ended.exit == 5
    assert Change.objects.get().status == ChangeStatus.NOT_SENT
    assert ended.out.splitlines()[-1] == (
        "Nothing was sent; the status is unchanged. Why: connection refused. Run this again when us5 can be reached."
    )
    assert acme.posts == []


def test_exit_6_when_a_second_person_has_to_approve(acme, change_status):
    Organization.objects.update(requires_approval=True)

    ended = change_status()

    assert ended.exit == 6
    change = Change.objects.get()
    assert change.status == ChangeStatus.AWAITING_APPROVAL
    assert "This organization asks for approval: nothing is sent until a second person approves." in ended.out
    assert re.match(
        r"Waiting for approval until (\d+ \w+ )?\d\d:\d\d:\d\d: nothing was sent\.", ended.out.splitlines()[-1]
    )
    assert f"/changes/{change.pk}/" in ended.out
    assert acme.posts == []


# --- wrong words ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"name": "acme-rd", "confirm": "acme-rd"}, "'acme-rd' is not saved. Close: acme-dr, acme."),
        ({"name": "zzz"}, "'zzz' is not saved."),
        ({"name": "Shop"}, "Shop is a pair. Name the side that gets the request: acme or acme-dr."),
        ({"status": "FAILOVR"}, "'FAILOVR' is no status. Close: FAILOVER. Use one of ONBOARDING (1), PASSIVE (2)"),
        ({"status": "6"}, "'6' is no status. Use one of"),
        ({"status": "0"}, "UNSPECIFIED is not offered: nobody says what it would do. Use one of ONBOARDING (1)"),
        ({"status": "unspecified"}, "UNSPECIFIED is not offered"),
        ({"as": "nobody@halden.example"}, "Nobody is here as 'nobody@halden.example'."),
        ({"as": ""}, "--as is missing"),
        ({"without-approval": "  "}, "--without-approval needs a reason of its own"),
    ],
)
def test_exit_2_before_anything_is_read_when_a_word_means_nothing(acme, change_status, words, says):
    Pair.objects.update(name="Shop")
    before = len(acme.requests)

    ended = change_status(**words)

    assert ended.exit == 2
    assert ended.error.startswith("Nothing was sent; the status is unchanged. ")
    assert says in ended.error
    assert len(acme.requests) == before
    assert not Change.objects.exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"confirm": ""}, "--confirm is missing: repeat the name, acme-dr."),
        ({"confirm": "ACME-DR"}, "--confirm does not name the organization, acme-dr."),
        ({"confirm": "acme"}, "--confirm names the other side, acme; the request would go to acme-dr."),
        ({"reason": " "}, "--reason is missing: say why, it goes on the record."),
        ({"reason": "x" * 2001}, "--reason is longer than 2000 characters."),
        ({"ticket": "4711"}, "--ticket has to look like INC-[0-9]+, and have at most 100 characters."),
        ({"ticket": ""}, "--ticket is missing; it has to look like INC-[0-9]+."),
    ],
)
def test_exit_2_and_the_preview_when_what_confirms_it_is_missing_or_wrong(acme, change_status, settings, words, says):
    settings.TICKET_PATTERN = re.compile("INC-[0-9]+")

    ended = change_status(**({"ticket": "INC-4711"} | words))

    assert ended.exit == 2
    assert ended.error == f"Nothing was sent; the status is unchanged. {says}"
    assert "The exact request" in ended.out
    assert events() == ["change.prepared", "change.refused_incomplete"]
    assert acme.posts == []


def test_everything_that_is_missing_is_said_at_once(acme, change_status):
    ended = change_status(reason="", confirm="", status="ACTIVE")

    assert ended.exit == 2
    for word in ("--reason is missing", "--confirm is missing", "A check above needs --override."):
        assert word in ended.error


def test_words_that_the_shell_leaves_out_altogether_are_exit_2_too(tmp_path):
    ended = subprocess.run(
        [sys.executable, "manage.py", "change_status", "acme-dr"],
        cwd=BASE_DIR,
        env={"PATH": os.environ["PATH"], "ENV_FILE": "", "SECRET_KEY": "x" * 50, "DATABASE_URL": "sqlite://:memory:"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 2
    assert "the following arguments are required: STATUS" in ended.stderr


# --- not sent ---------------------------------------------------------------------------------------------------


def test_a_warning_needs_the_override_and_is_sent_with_it(acme, change_status):
    without = change_status(status="ACTIVE")
    with_it = change_status("--override", status="ACTIVE")

    assert without.exit == 5
    assert without.error == "Nothing was sent; the status is unchanged. A check above needs --override."
    assert "needs --override  A step is skipped. From PASSIVE the usual next step is FAILOVER." in without.out
    assert "PASSIVE -> ACTIVE, skips FAILOVER" in without.out
    assert with_it.exit == 0
    assert len(acme.posts) == 1


@pytest.mark.parametrize(
    ("status", "line"),
    [
        ("5", "Unusual step. Not on the usual path from PASSIVE."),
        ("passive", "Nothing to send. It is PASSIVE already."),
    ],
)
def test_a_status_is_meant_by_name_in_any_case_or_by_number(acme, change_status, status, line):
    ended = change_status(status=status)

    assert ended.exit == 5
    assert line in ended.out


def test_a_role_that_may_not_is_refused_and_on_the_record(acme, change_status):
    factories.person(Role.VIEWER)

    ended = change_status(**{"as": "viewer@halden.example"})

    assert ended.exit == 5
    assert ended.error == (
        "Nothing was sent; the status is unchanged. The role of --as does not allow it. Needs: operator or admin."
    )
    assert AuditEntry.objects.get(event="authz.denied").actor_name == "viewer@halden.example"


def test_somebody_who_was_shut_out_is_refused(acme, change_status):
    Person.objects.filter(email=OPERATOR).update(is_active=False)

    assert change_status().exit == 5


def test_what_cannot_be_read_is_not_changed(acme, change_status):
    acme.set_fault("acme-dr", "503")

    ended = change_status()

    assert ended.exit == 5
    assert "forbids it        No reading of the side that gets the request. acme-dr on us5: Server error" in ended.out
    assert ended.error.endswith("What to do stands beside each check above.")


def test_a_damaged_key_ring_ends_in_a_sentence(acme, change_status, settings):
    settings.KEY_RING_FILE.unlink()

    ended = change_status()

    assert ended.exit == 5
    assert "run manage.py init_key_ring" in ended.error


def test_a_side_that_changed_between_the_two_readings_stops_it(acme, change_status):
    with once_recorded("change.prepared", lambda: acme.write_aside("acme-dr", 5, "jonas@halden.example")):
        ended = change_status()

    assert ended.exit == 5
    assert ended.error == (
        "Nothing was sent; the status is unchanged. acme-dr does not say any more what was shown above. "
        "Run this again, and look at what it shows."
    )
    assert acme.posts == []


def test_an_organization_that_is_disabled_or_has_no_connection_is_forbidden(acme, change_status):
    acme.disconnect("acme-dr")

    without = change_status()

    assert without.exit == 5
    assert "No connection to change. There is nothing to change yet. An admin links it on the page." in without.out
    assert "us5 acme-dr, which gets the request: no connection -> FAILOVER" in without.out

    Organization.objects.filter(name="acme-dr").update(disabled_at="2026-01-01T00:00Z")

    disabled = change_status()

    assert disabled.exit == 5
    assert "Organization disabled. It is not read and not changed. An admin enables it." in disabled.out


# --- database ---------------------------------------------------------------------------------------------------


def test_exit_5_and_blocked_when_the_intent_cannot_be_recorded(acme, change_status):
    with failing(lambda sql: sql.startswith("UPDATE") and "sent_at" in sql):
        ended = change_status()

    assert ended.exit == 5
    assert ended.error.startswith("Blocked: this change cannot be recorded, so it was not sent.")
    assert acme.posts == []


def test_exit_5_when_the_database_is_away_altogether(acme, change_status):
    with failing(lambda sql: "hamr_portal_person" in sql):
        ended = change_status()

    assert ended.exit == 5
    assert ended.error.startswith("Blocked: ")
    assert "The database failed (InternalError)" in ended.error


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (None, 0, "Accepted: Datadog repeats what was asked (HTTP 200). "),
        ("409", 3, "Rejected: Datadog refused; nothing changed (HTTP 409, "),
        ("drop_after", 4, "Outcome unknown: the request may have taken effect. Do not send again ("),
    ],
)
def test_what_was_seen_decides_when_only_the_outcome_is_not_recorded(
    acme, change_status, run, settings, fault, code, says
):
    acme.set_fault("acme-dr", fault, verb="POST")

    with failing(lambda sql: bool(acme.posts) and sql.startswith(("INSERT", "UPDATE"))):
        ended = change_status()

    assert ended.exit == code
    last = ended.out.splitlines()[-1]
    assert last.startswith(says)
    assert "This was seen, but is not recorded yet. It waits in the spool" in last
    assert settings.SPOOL_FILE.exists()
    assert Change.objects.get().status == ChangeStatus.SENDING

    run("reconcile")

    assert Change.objects.get().status in (ChangeStatus.VERIFIED, ChangeStatus.REJECTED)
    assert len(acme.posts) == 1


def test_it_is_said_when_the_spool_did_not_take_it_either(acme, change_status, settings, tmp_path):
    (tmp_path / "no-folder").write_text("")
    settings.SPOOL_FILE = tmp_path / "no-folder" / "spool.jsonl"

    with failing(lambda sql: bool(acme.posts) and sql.startswith(("INSERT", "UPDATE"))):
        ended = change_status()

    assert ended.exit == 0
    assert "The spool did not take it either: keep this text." in ended.out


# --- approval ---------------------------------------------------------------------------------------------------


def test_without_approval_sends_for_a_reason_and_everybody_who_was_skipped_is_told(acme, change_status):
    Organization.objects.update(requires_approval=True)
    approver = factories.person(Role.APPROVER)

    ended = change_status(**{"without-approval": "nobody answers the pager"})

    assert ended.exit == 0
    assert len(acme.posts) == 1
    assert SkipNotice.objects.get().person == approver
    entry = AuditEntry.objects.get(event="change.approval_skipped")
    assert entry.reason == "nobody answers the pager"
    assert "sent without approval, for a reason" in ended.out


def test_without_approval_changes_nothing_where_none_is_asked_for(acme, change_status):
    ended = change_status(**{"without-approval": "nobody answers the pager"})

    assert ended.exit == 0
    assert "No approval is asked for here: --without-approval was not used." in ended.out


def test_a_change_that_could_not_go_out_without_approval_does_not_hold_its_pair(acme, change_status):
    Organization.objects.update(requires_approval=True)

    with failing(lambda sql: sql.startswith("UPDATE") and "skip_reason" in sql):
        ended = change_status(**{"without-approval": "nobody answers the pager"})

    assert ended.exit == 5
    assert Change.objects.get().status == ChangeStatus.CANCELLED
    assert not Change.objects.open().exists()
    assert acme.posts == []


# --- frozen -----------------------------------------------------------------------------------------------------


def test_a_frozen_portal_sends_nothing_and_says_until_when_and_what_to_do(acme, change_status):
    freeze = changing.frozen()

    ended = change_status()

    assert ended.exit == 5
    assert acme.posts == []
    until = f"Changes are frozen until {clock(freeze.ends_at, timezone.now())} by admin@halden.example: Quarter end"
    assert until in unfolded(ended.out)
    assert "Needs --break-freeze REASON." in ended.out
    assert ended.error.startswith("Nothing was sent")
    assert "Next: wait, or run this again with --break-freeze REASON." in ended.error
    assert "change.refused_frozen" in events()


def test_a_freeze_is_broken_for_a_reason_that_is_on_the_record(acme, change_status):
    changing.frozen()

    ended = change_status(**{"break-freeze": "The region is dark"})

    assert ended.exit == 0
    assert len(acme.posts) == 1
    assert "This breaks the freeze, and every admin is told." in ended.out
    assert AuditEntry.objects.get(event="freeze.broken").reason == "The region is dark"


def test_an_empty_reason_breaks_nothing(acme, change_status):
    changing.frozen()

    ended = change_status(**{"break-freeze": ""})

    assert (ended.exit, acme.posts) == (2, [])
    assert "--break-freeze is empty" in ended.error


def test_breaking_a_freeze_where_there_is_none_is_a_change_as_any(acme, change_status):
    ended = change_status(**{"break-freeze": "The region is dark"})

    assert ended.exit == 0
    assert "Nothing is frozen: --break-freeze was not used." in ended.out
    assert not AuditEntry.objects.filter(event="freeze.broken").exists()


# --- interrupted ------------------------------------------------------------------------------------------------


def interrupt(_: object = None) -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


@pytest.fixture
def control_c_interrupts():
    """Control-C raises KeyboardInterrupt, also where a background shell started the tests with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("control_c_interrupts")
def test_control_c_while_sending_leaves_the_truth_on_the_record(acme, change_status):
    acme.set_fault("acme-dr", "hang", verb="POST", acts=True)
    acme.on_post = interrupt

    ended = change_status()

    assert ended.exit == 4
    assert "Interrupted." in ended.out
    assert "Outcome unknown: the request may have taken effect. Do not send again." in ended.out.splitlines()[-1]
    assert Change.objects.get().status == ChangeStatus.SENDING
    assert len(acme.posts) == 1


@pytest.mark.usefixtures("control_c_interrupts")
def test_control_c_before_it_is_confirmed_sends_nothing(acme, change_status):
    with once_recorded("change.prepared", interrupt):
        ended = change_status()

    assert ended.exit == 5
    assert "Nothing was sent; the status is unchanged." in ended.out + ended.error
    assert acme.posts == []


# --- what is shown and kept -------------------------------------------------------------------------------------


def test_the_preview_has_both_sides_the_exact_request_and_what_it_does(acme, change_status):
    ended = change_status()

    body = acme.posts[0].body.decode()
    shown = unfolded(ended.out)
    assert "us5 acme-dr, which gets the request: PASSIVE -> FAILOVER, the usual next step" in shown
    assert "us1 acme, which is sent nothing: PASSIVE" in shown
    assert re.search(r"seen 0 s ago, \d+ ms; says secondary; set at \S+ by admin@example\.com", shown)
    assert f"POST {acme.urls['us5']}/api/v2/hamr" in shown
    for value in ('"hamr_status": 3', '"modified_by": "operator@halden.example"', '"is_primary": false'):
        assert value in shown
        assert value in body
    assert "Changes hamr_status: 2 PASSIVE -> 3 FAILOVER" in shown
    assert "Changes modified_by: admin@example.com -> operator@halden.example" in shown
    assert "It moves no agents, DNS or integrations." in shown
    assert "Way back: ACTIVE, then RECOVERY, then PASSIVE." in shown


def test_what_happened_is_told_to_the_millisecond(acme, change_status):
    ended = change_status()

    told = ended.out.partition("What happened\n")[2]
    assert re.search(r"^  \d\d:\d\d:\d\d\.\d{3}  Sending: confirmed$", told, re.MULTILINE)
    assert re.search(r"Accepted: the site repeats what was asked, HTTP 200, \d+ ms$", told, re.MULTILINE)
    assert "acme-dr reads back FAILOVER" in told


@pytest.mark.parametrize("fault", [None, "echo", "wrong_schema"])
def test_no_key_is_ever_printed(acme, change_status, fault, caplog):
    acme.set_fault("acme-dr", fault, verb="POST")

    ended = change_status()

    everything = ended.out + ended.err + ended.error + caplog.text
    assert "DD-API-KEY: ••••" in ended.out
    for name in ("acme", "acme-dr"):
        side = acme.organizations.named(name)
        for key in (side.api_key, side.application_key):
            assert key not in everything
            assert key[:-4] not in everything


def test_a_terminal_that_knows_no_dots_does_not_keep_a_change_from_going_out(acme):
    terminal = TextIOWrapper(BytesIO(), encoding="ascii")

    call_command(
        "change_status", "acme-dr", "3", "--reason", "dark", "--confirm", "acme-dr", "--as", OPERATOR, stdout=terminal
    )

    terminal.seek(0)
    assert "DD-API-KEY: ????" in terminal.read()
    assert Change.objects.get().status == ChangeStatus.VERIFIED


def test_text_of_elsewhere_cannot_draw_lines_of_its_own(acme, change_status):
    acme.write_aside("acme-dr", 2, "mara\n\nVerified by reading it back at 03:00")

    ended = change_status()

    assert not any(line.startswith("Verified by reading it back at 03:00") for line in ended.out.splitlines())


def test_the_record_says_the_same_as_the_pages_but_for_who_was_where(acme, change_status, monkeypatch):
    monkeypatch.setenv("LOGNAME", "mara")
    change_status(reason=changing.REASON, ticket="INC-4711")
    by_terminal = list(AuditEntry.objects.filter(change__isnull=False).order_by("seq"))
    page_pair = changing.connected(acme, names=("shop", "shop-dr"))

    changed = changing.changed(page_pair[1], by=changing.operator(email=OPERATOR))

    by_page = list(AuditEntry.objects.filter(change=changed.pk).order_by("seq"))
    kept = ("event", "actor_name", "actor_role", "ticket", "reason", "outcome")
    assert [[getattr(entry, name) for name in kept] for entry in by_terminal] == [
        [getattr(entry, name) for name in kept] for entry in by_page
    ]
    assert {entry.actor_kind for entry in by_terminal} == {"command"}
    assert {entry.actor_address.partition("@")[0] for entry in by_terminal} == {"mara"}
    assert len({entry.request_id for entry in by_terminal}) == 1


def test_a_person_is_found_in_any_case_and_kept_as_saved(acme, change_status):
    change_status(**{"as": "Operator@Halden.Example"})

    assert Change.objects.get().author.email == OPERATOR


def test_two_at_once_are_one_request(acme, change_status):
    first = change_status()
    second = change_status()

    assert (first.exit, second.exit) == (0, 5)
    assert "Nothing to send. It is FAILOVER already." in second.out
    assert len(acme.posts) == 1


# --- a shell ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("control_c_interrupts")
def test_in_a_real_shell_from_an_empty_folder_to_a_verified_change_and_an_interrupted_one(simulator, tmp_path):
    sides = [simulator.add_organization("acme", "us1"), simulator.add_organization("acme-dr", "us5")]
    simulator.add_pair("acme", "acme-dr")
    saved = [{name: getattr(side, name) for name in ("name", "site", "api_key", "application_key")} for side in sides]
    environment = {
        "PATH": os.environ["PATH"],
        "ENV_FILE": "",
        "SECRET_KEY": "x" * 50,
        "HTTPS": "false",
        "DATABASE_URL": f"sqlite:///{tmp_path}/shell.sqlite3",
        "KEY_RING_FILE": str(tmp_path / "shell-keyring"),
        "SPOOL_FILE": str(tmp_path / "shell-spool.jsonl"),
        "HAMR_SITES": simulator.hamr_sites,
        "PORTAL_PASSWORD": "correct horse battery",
    }

    def shell(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=BASE_DIR,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    for words in (("migrate", "-v0"), ("init_key_ring",), ("add_person", OPERATOR, "--role", "operator")):
        assert shell(*words).returncode == 0
    assert shell("import_organizations", "-", stdin=json.dumps(saved)).returncode == 0
    change = ("change_status", "acme-dr", "FAILOVER", "--as", OPERATOR, "--reason", "dark")

    previewed = shell(*change)
    verified = shell(*change, "--confirm", "acme-dr")
    simulator.set_fault("acme-dr", "hang", verb="POST", acts=False)
    with subprocess.Popen(
        [sys.executable, "manage.py", "change_status", "acme-dr", "4", *change[3:], "--confirm", "acme-dr"],
        cwd=BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert simulator.wait_for(2)
        process.send_signal(signal.SIGINT)
        interrupted, _ = process.communicate(timeout=60)
    left = shell("reconcile")

    assert previewed.returncode == 2
    assert previewed.stderr.splitlines()[-1].endswith("--confirm is missing: repeat the name, acme-dr.")
    assert verified.returncode == 0
    assert "Verified by reading it back at" in verified.stdout.splitlines()[-1]
    assert process.returncode == 4
    assert "Do not send again." in interrupted.splitlines()[-1]
    assert left.returncode == 0
    assert "acme-dr to ACTIVE  Sending  left alone until 30 s after it was sent" in left.stdout
    assert len(simulator.posts) == 2
    for side in sides:
        for text in (previewed, verified, left):
            assert side.api_key not in text.stdout + text.stderr


def test_a_refusal_after_which_something_changed_does_not_say_that_nothing_did(acme, change_status):
    acme.set_fault("acme-dr", "409", verb="POST", acts=True)

    ended = change_status()

    assert ended.exit == 3
    assert "Nothing changed" not in ended.out
    assert "Yet it reads back FAILOVER" in ended.out
