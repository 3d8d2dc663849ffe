"""What becomes of the one POST when the network or the service fails? Rows 18 to 33."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Event as Signal
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.domain.changes import Move, What
from hamr_portal.domain.connections import HamrStatus, ReadOutcome
from hamr_portal.hamr_client import HamrClient, _deadline
from hamr_portal.models import Organization, Snapshot
from hamr_portal.services import changes, connections, reconciliation, sending, workers
from hamr_portal.simulator import ACTIVE, FAILOVER, PASSIVE, Simulator
from tests import factories
from tests.services.changing import again, changed, confirmed, fresh, made, moves, operator, prepared, words

from .conftest import Witness
from .gates import POST, Gate, reset
from .marks import slow
from .stories import SENT, assert_no_post, assert_sent, data_of, settle, story

NOBODY = "0f0f0f0f-1111-11ee-8888-da7ad0900002"

Passing = Callable[..., Gate]


@pytest.fixture
def gate(simulator: Simulator, settings: Settings, request: pytest.FixtureRequest) -> Passing:
    """Put a gate before the site of acme."""

    def put(**scripts: Any) -> Gate:
        made_gate = Gate(simulator.urls["us1"], **scripts)
        made_gate.__enter__()
        request.addfinalizer(lambda: made_gate.__exit__())
        settings.HAMR_SITES = {**settings.HAMR_SITES, "us1": made_gate.site}
        return made_gate

    return put


def side_of(simulator: Simulator, name: str = "acme") -> int:
    """Give the status that a side has in truth."""
    view = simulator.organizations.named(name).view
    assert view is not None
    return view.hamr_status


# --- row 18: no byte left ---------------------------------------------------------------------------------------


def shorten(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let a POST wait so long for an answer."""
    monkeypatch.setattr(sending, "post_deadline", lambda: seconds)


def assert_not_sent(simulator: Simulator, organization: Organization, phase: str) -> None:
    change = changed(organization)

    assert_no_post(change, simulator, *SENT, "change.not_sent", status="NOT_SENT")
    assert data_of(change, "change.not_sent")["phase"] == phase
    assert made(change, Move.NOT_SENT).reason
    assert fresh(change).settled_at is not None
    assert side_of(simulator) == PASSIVE


def test_row_18_refused_connection_is_not_sent(simulator: Simulator, acme: Organization, gate: Passing) -> None:
    gate(before_answer={POST - 1: Gate.refuse})

    assert_not_sent(simulator, acme, "CONNECT")


@pytest.mark.slow
def test_row_18_connection_that_times_out_is_not_sent(simulator: Simulator, acme: Organization, gate: Passing) -> None:
    gate(before_answer={POST - 1: Gate.stall})

    assert_not_sent(simulator, acme, "CONNECT")


@pytest.mark.parametrize("fails", ["refuses", slow("hangs")])
def test_row_18_name_that_does_not_resolve_is_not_sent(
    fails: str, simulator: Simulator, acme: Organization, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = urlsplit(simulator.urls["us1"])
    site = settings.HAMR_SITES["us1"]
    named = replace(site, base_url=f"http://api.acme.localhost:{url.port}")
    settings.HAMR_SITES = {**settings.HAMR_SITES, "us1": named}
    shorten(monkeypatch, 1.0)
    resolver = Resolver("api.acme.localhost", hangs=fails == "hangs")
    monkeypatch.setattr(socket, "getaddrinfo", resolver)

    assert_not_sent(simulator, acme, "RESOLVE")

    resolver.over.set()


class Resolver:
    """Knows a name for as long as it is read, and not any more when the request is to leave."""

    def __init__(self, name: str, *, hangs: bool) -> None:
        self.over = threading.Event()
        self._name, self._hangs, self._asked = name, hangs, 0
        self._resolve = socket.getaddrinfo

    def __call__(self, host: str, *more: Any, **options: Any) -> Any:
        if host != self._name:
            return self._resolve(host, *more, **options)
        self._asked += 1
        if self._asked < POST:
            return self._resolve("127.0.0.1", *more, **options)
        if self._hangs:
            self.over.wait(10)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_row_18_certificate_that_is_not_trusted_is_not_sent(
    simulator: Simulator, acme: Organization, gate: Passing, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted, stranger = trustme.CA(), trustme.CA()
    trusting = ssl.create_default_context()
    trusted.configure_trust(trusting)
    client = HamrClient(connect_timeout=0.5, ssl_context=trusting, pause=lambda _seconds: None)
    monkeypatch.setattr(connections, "client", lambda: client)

    def in_between(passed: Gate) -> None:
        passed.tls = server_context(stranger)

    gate(tls=server_context(trusted), before_answer={POST - 1: in_between})

    assert_not_sent(simulator, acme, "TLS")


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def test_row_18_trying_again_is_a_new_change(simulator: Simulator, acme: Organization, gate: Passing) -> None:
    passed = gate(before_answer={POST - 1: Gate.refuse})
    first = changed(acme)
    passed.__exit__()
    gate()

    second = changed(acme)

    assert fresh(first).status == "NOT_SENT"
    assert_sent(second, simulator, "change.accepted", "change.verified", status="VERIFIED")


# --- rows 19 to 22: cut -----------------------------------------------------------------------------------------


def test_row_19_cut_while_the_body_is_sent_is_unknown(
    simulator: Simulator, acme: Organization, gate: Passing, monkeypatch: pytest.MonkeyPatch, time_machine: Any
) -> None:
    cut = threading.Event()

    def cuts(client: socket.socket) -> None:
        client.recv(1)
        reset(client)
        cut.set()

    def sends(timed: Any, data: bytes) -> None:
        # The body is small and follows the headers at once: it waits here until the connection is cut.
        if data.startswith(b"{"):
            assert cut.wait(10)
        timed._rearm()
        socket.socket.sendall(timed, data)

    monkeypatch.setattr(_deadline.TimedSocket, "sendall", sends)
    gate(scripts={POST: cuts})

    change = changed(acme)

    assert_no_post(change, simulator, *SENT, "change.unknown", status="UNKNOWN")
    assert data_of(change, "change.unknown")["phase"] == "SEND"
    assert fresh(change).reads == 1

    settle(change, time_machine)

    assert_no_post(change, simulator, *SENT, "change.unknown", "change.not_applied", status="NOT_APPLIED")


def test_row_20_acts_and_drops_is_unknown_and_then_verified(simulator: Simulator, acme: Organization) -> None:
    simulator.set_fault("acme", "drop_after", verb="POST")

    change = changed(acme)

    assert_sent(change, simulator, "change.unknown", "change.verified", status="VERIFIED")
    assert data_of(change, "change.unknown")["phase"] == "WAIT"
    assert side_of(simulator) == FAILOVER


@pytest.mark.parametrize("cut", ["drop_before", slow("reset")])
def test_row_21_drops_without_acting_is_not_applied_after_the_settle_window(
    cut: str, simulator: Simulator, acme: Organization, time_machine: Any
) -> None:
    simulator.set_fault("acme", cut, verb="POST")

    change = changed(acme)

    assert_sent(change, simulator, "change.unknown", status="UNKNOWN")

    settle(change, time_machine)

    assert_sent(change, simulator, "change.unknown", "change.not_applied", status="NOT_APPLIED")
    settled = fresh(change)
    assert settled.sent_at is not None
    assert settled.settled_at is not None
    assert settled.settled_at - settled.sent_at >= timedelta(minutes=2)
    assert settled.agreed_reads >= 3
    assert data_of(change, "change.not_applied")["reads"] == settled.reads
    assert side_of(simulator) == PASSIVE


def test_row_21_two_agreeing_reads_or_two_minutes_alone_do_not_settle_it(
    simulator: Simulator, acme: Organization, time_machine: Any
) -> None:
    simulator.set_fault("acme", "drop_before", verb="POST")
    change = changed(acme)

    time_machine.move_to(timezone.now() + timedelta(minutes=10))
    reconciliation.reconcile(by=factories.WORKER)

    assert (fresh(change).status, fresh(change).agreed_reads) == ("UNKNOWN", 2)
    assert len(simulator.posts) == 1


def test_row_22_what_acts_late_is_not_applied_and_then_took_effect_late(
    simulator: Simulator, acme: Organization, time_machine: Any
) -> None:
    simulator.set_fault("acme", "late", verb="POST", seconds=3600)
    change = changed(acme)
    assert_sent(change, simulator, "change.unknown", status="UNKNOWN")
    settle(change, time_machine)
    assert_sent(change, simulator, "change.unknown", "change.not_applied", status="NOT_APPLIED")

    assert simulator.act_late() == 1
    sweep()

    unknown = ["change.unknown", "change.not_applied", "change.took_effect_late"]
    assert_sent(change, simulator, *unknown, status="VERIFIED")
    assert moves(change)[-1] == "ARRIVE_LATE"
    assert not Snapshot.objects.filter(outside_at__isnull=False).exists()


@pytest.mark.slow
def test_row_22_what_acts_within_the_window_is_verified(
    simulator: Simulator, acme: Organization, time_machine: Any
) -> None:
    simulator.set_fault("acme", "late", verb="POST", seconds=3600)
    change = changed(acme)
    for _ in range(2):
        time_machine.move_to(fresh(change).check_at)
        reconciliation.reconcile(by=factories.WORKER)

    simulator.act_late()
    settle(change, time_machine)

    assert_sent(change, simulator, "change.unknown", "change.verified", status="VERIFIED")


def sweep() -> None:
    """Let a worker read everything once."""
    Snapshot.objects.update(due_at=timezone.now() - timedelta(days=365), lease=None, leased_until=None)
    workers.run(Signal(), once=True)


# --- rows 23 to 27: an answer that says nothing -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "phase", "then", "status"),
    [
        ("hang", "WAIT", [], "UNKNOWN"),
        slow("drip_headers", "WAIT", ["change.verified"], "VERIFIED"),
        slow("drip_body", "BODY", ["change.verified"], "VERIFIED"),
    ],
)
def test_row_23_answer_that_does_not_come_in_time_is_unknown(
    fault: str,
    phase: str,
    then: list[str],
    status: str,
    simulator: Simulator,
    acme: Organization,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, 2.0 if then else 0.5)
    simulator.set_fault("acme", fault, verb="POST")

    change = changed(acme)

    assert_sent(change, simulator, "change.unknown", *then, status=status)
    assert data_of(change, "change.unknown")["phase"] == phase


@pytest.mark.parametrize(
    ("fault", "options", "phase", "then", "status"),
    [
        ("truncated", {}, "BODY", ["change.verified"], "VERIFIED"),
        slow("truncated", {"length": False}, "ANSWER", ["change.verified"], "VERIFIED"),
        ("html", {}, "ANSWER", [], "UNKNOWN"),
        ("wrong_schema", {}, "ANSWER", ["change.verified"], "VERIFIED"),
        slow("wrong_schema", {"without": ["target_org_uuid"]}, "ANSWER", ["change.verified"], "VERIFIED"),
        slow("wrong_schema", {"attributes": {"hamr_status": True}}, "ANSWER", ["change.verified"], "VERIFIED"),
        slow("wrong_schema", {"acts": False}, "ANSWER", [], "UNKNOWN"),
        slow("invalid_json", {}, "ANSWER", ["change.verified"], "VERIFIED"),
        slow("huge", {}, "ANSWER", ["change.verified"], "VERIFIED"),
        slow("many_headers", {"acts": False}, "WAIT", [], "UNKNOWN"),
        slow("null", {}, "ANSWER", [], "UNKNOWN"),
    ],
    ids=str,
)
def test_row_24_good_answer_that_cannot_be_read_is_unknown(
    fault: str,
    options: dict[str, Any],
    phase: str,
    then: list[str],
    status: str,
    simulator: Simulator,
    acme: Organization,
) -> None:
    simulator.set_fault("acme", fault, verb="POST", **options)

    change = changed(acme)

    assert_sent(change, simulator, "change.unknown", *then, status=status)
    assert data_of(change, "change.unknown")["phase"] == phase
    assert side_of(simulator) == (FAILOVER if status == "VERIFIED" else PASSIVE)


@pytest.mark.parametrize(
    ("fault", "options"),
    [
        ("unknown_status", {"number": ACTIVE}),
        slow("unknown_status", {"number": 6}),
        ("wrong_organization", {"acts": True}),
        ("wrong_schema", {"attributes": {"target_org_uuid": NOBODY}}),
        slow("wrong_schema", {"attributes": {"is_primary": False}}),
    ],
    ids=str,
)
def test_row_25_echo_of_something_else_is_unknown_with_both_bodies_on_the_record(
    fault: str, options: dict[str, Any], simulator: Simulator, acme: Organization
) -> None:
    simulator.set_fault("acme", fault, verb="POST", **options)

    change = changed(acme)

    assert_sent(change, simulator, "change.unknown", "change.verified", status="VERIFIED")
    unknown = data_of(change, "change.unknown")
    assert (unknown["phase"], unknown["http_status"]) == ("ANSWER", 200)
    assert unknown["reason"] == "Datadog answered something else than was asked"
    assert '"data"' in unknown["raw"]
    assert data_of(change, "change.sending")["request"] == simulator.posts[0].body.decode()


@pytest.mark.slow
def test_row_25_echo_of_something_else_that_did_not_act_is_not_verified(
    simulator: Simulator, acme: Organization, time_machine: Any
) -> None:
    simulator.set_fault("acme", "unknown_status", verb="POST", number=ACTIVE, acts=False)

    change = changed(acme)

    assert_sent(change, simulator, "change.unknown", status="UNKNOWN")

    settle(change, time_machine)

    assert_sent(change, simulator, "change.unknown", "change.not_applied", status="NOT_APPLIED")


def test_row_26_right_echo_that_reads_back_something_else_is_unknown(
    simulator: Simulator, acme: Organization, time_machine: Any
) -> None:
    simulator.set_fault("acme", "not_applied", verb="POST")

    change = changed(acme)

    assert_sent(change, simulator, "change.accepted", "change.unknown", status="UNKNOWN")
    assert moves(change) == ["SEND", "ACCEPT", "DOUBT"]

    settle(change, time_machine)

    doubted = ["change.accepted", "change.unknown", "change.not_applied"]
    assert_sent(change, simulator, *doubted, status="NOT_APPLIED")


@pytest.mark.slow
def test_row_26_eventual_consistency_is_waited_for(simulator: Simulator, acme: Organization, time_machine: Any) -> None:
    simulator.set_fault("acme", "not_applied", verb="POST")
    change = changed(acme)

    simulator.write_aside("acme", FAILOVER, operator().name)
    settle(change, time_machine)

    assert_sent(change, simulator, "change.accepted", "change.unknown", "change.verified", status="VERIFIED")


def test_row_26_write_of_somebody_else_right_after_is_shown_as_theirs(
    simulator: Simulator, acme: Organization, witness: Witness, time_machine: Any
) -> None:
    simulator.set_fault("acme", "not_applied", verb="POST")
    witness.also = lambda: simulator.write_aside("acme", ACTIVE, "somebody.else@halden.example")

    change = changed(acme)
    assert_sent(change, simulator, "change.accepted", "change.unknown", status="UNKNOWN")
    settle(change, time_machine)

    overtaken = ["change.accepted", "change.unknown", "change.superseded"]
    assert_sent(change, simulator, *overtaken, status="SUPERSEDED")
    assert data_of(change, "change.superseded")["reads_back"]["modified_by"] == "somebody.else@halden.example"


@pytest.mark.parametrize("code", [307, *(slow(code) for code in (301, 302, 303, 308))])
def test_row_27_redirect_is_unknown_and_never_followed(code: int, simulator: Simulator, acme: Organization) -> None:
    simulator.set_fault("acme", "redirect", verb="POST", status=code)

    change = changed(acme)

    assert_sent(change, simulator, "change.unknown", status="UNKNOWN")
    unknown = data_of(change, "change.unknown")
    assert unknown["http_status"] == code
    assert unknown["reason"] == "unexpected redirect to 127.0.0.1 refused"
    assert simulator.followed == []


# --- rows 28 to 31: codes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "options", "code", "said"),
    [
        ("400", {}, 400, "hamr_status is refused"),
        slow("404", {}, 404, "no HAMR connection"),
        slow("409", {}, 409, "being changed"),
        ("exactly", {"status": 422, "body": '{"errors": ["not like this"]}'}, 422, "not like this"),
        slow("exactly", {"status": 409, "body": "state", "content_type": "text/plain"}, 409, "state"),
        slow("401", {}, 401, "Unauthorized"),
        slow("403", {}, 403, "Forbidden"),
        ("403", {"detail": "Missing disaster_recovery_status_write"}, 403, "disaster_recovery_status_write"),
    ],
    ids=str,
)
def test_rows_28_and_29_refusal_is_rejected_and_read_back_once(
    fault: str, options: dict[str, Any], code: int, said: str, simulator: Simulator, acme: Organization
) -> None:
    simulator.set_fault("acme", fault, verb="POST", **options)

    change = changed(acme)

    assert_sent(change, simulator, "change.rejected", status="REJECTED")
    rejected = data_of(change, "change.rejected")
    assert (rejected["http_status"], rejected["phase"]) == (code, "ANSWER")
    assert said in rejected["reason"]
    read_back = fresh(change).log.get(what=What.READ_BACK, organization=acme)
    assert (read_back.status, fresh(change).check_at) == (PASSIVE, None)


@pytest.mark.parametrize("code", [slow("401"), "403"])
def test_row_29_refusal_of_a_change_does_not_stop_the_reading(
    code: str, simulator: Simulator, acme: Organization
) -> None:
    simulator.set_fault("acme", code, verb="POST")
    before = len(simulator.requests)

    changed(acme)
    sweep()

    row = again(acme).snapshot
    assert (row.outcome, row.attempt_status) == (ReadOutcome.ANSWERED, 200)
    assert row.due_at < timezone.now() + timedelta(minutes=1)
    assert [request.verb for request in simulator.requests[before:] if request.organization == "acme"] == [
        "GET",
        "GET",
        "POST",
        "GET",
        "GET",
    ]


@pytest.mark.parametrize("code", [403, *(slow(code) for code in (400, 401, 404, 409, 422, 429))])
def test_rows_28_to_30_refusal_that_a_proxy_made_is_unknown(
    code: int, simulator: Simulator, acme: Organization
) -> None:
    simulator.set_fault("acme", "html", verb="POST", status=code)

    change = changed(acme)

    assert_sent(change, simulator, "change.unknown", status="UNKNOWN")
    assert data_of(change, "change.unknown")["http_status"] == code


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({"reset": 30}, 30),
        slow({"headers": False, "retry_after": 12}, 12),
        slow({"headers": False}, 60),
        ({"reset": 10**9}, 300),
        slow({"reset": -5}, 1),
        slow({"reset": "soon"}, 60),
    ],
    ids=str,
)
def test_row_30_rate_limit_is_rejected_and_says_when_it_may_be_sent_again(
    options: dict[str, Any], seconds: float, simulator: Simulator, acme: Organization
) -> None:
    simulator.set_fault("acme", "429", verb="POST", **options)

    change = changed(acme)

    assert_sent(change, simulator, "change.rejected", status="REJECTED")
    rejected = data_of(change, "change.rejected")
    assert (rejected["http_status"], rejected["retry_after"]) == (429, seconds)
    assert made(change, Move.REJECT).retry_after == seconds


@pytest.mark.parametrize("code", [500, *(slow(code) for code in (408, 502, 503, 504))])
@pytest.mark.parametrize("acts", [True, False])
def test_row_31_failure_of_the_service_is_unknown(
    code: int, acts: bool, simulator: Simulator, acme: Organization
) -> None:
    simulator.set_fault("acme", "503", verb="POST", status=code, acts=acts)

    change = changed(acme)

    then = ["change.verified"] if acts else []
    assert_sent(change, simulator, "change.unknown", *then, status="VERIFIED" if acts else "UNKNOWN")
    unknown = data_of(change, "change.unknown")
    assert (unknown["http_status"], unknown["phase"]) == (code, "ANSWER")


# --- row 32: connections ----------------------------------------------------------------------------------------


def test_row_32_each_request_has_a_connection_of_its_own(
    simulator: Simulator, acme: Organization, gate: Passing
) -> None:
    passed = gate()
    before = len(simulator.requests)

    first = changed(acme)
    second = changed(acme, HamrStatus.ACTIVE)

    of_acme = [request for request in simulator.requests[before:] if request.organization == "acme"]
    assert [request.verb for request in of_acme] == ["GET", "GET", "POST", "GET"] * 2
    assert passed.connections == len(of_acme)
    assert {request.headers["connection"] for request in of_acme} == {"close"}
    assert {fresh(first).status, fresh(second).status} == {"VERIFIED"}
    assert len(simulator.posts) == 2


# --- row 33: two results ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("early", [0.01, *(slow(early) for early in (0.0, 0.005, 0.02, 0.04))])
def test_row_33_answer_at_the_deadline_has_exactly_one_result(
    early: float,
    simulator: Simulator,
    acme: Organization,
    gate: Passing,
    monkeypatch: pytest.MonkeyPatch,
    time_machine: Any,
) -> None:
    shorten(monkeypatch, 0.5)
    waiting = threading.Event()
    gate(before_answer={POST: lambda _: waiting.wait(0.5 - early)})

    change = changed(acme)
    settle(change, time_machine)

    assert fresh(change).status == "VERIFIED"
    results = [event for event in story(change) if event in ("change.accepted", "change.unknown")]
    assert len(results) == 1
    assert_sent(change, simulator, results[0], "change.verified", status="VERIFIED")
    assert moves(change) in (["SEND", "ACCEPT", "VERIFY"], ["SEND", "LOSE", "VERIFY"])


def test_row_33_answer_to_what_was_taken_for_abandoned_counts(
    simulator: Simulator, acme: Organization, witness: Witness, time_machine: Any
) -> None:
    def too_long() -> None:
        time_machine.move_to(timezone.now() + timedelta(minutes=1))
        reconciliation.tidy(by=factories.WORKER)

    witness.also = too_long

    change = changed(acme)

    assert_sent(change, simulator, "change.abandoned", "change.accepted", "change.verified", status="VERIFIED")


def test_row_33_answer_to_what_was_resolved_meanwhile_is_told_and_moves_nothing(
    simulator: Simulator, acme: Organization, witness: Witness, time_machine: Any
) -> None:
    simulator.set_fault("acme", "400", verb="POST")
    change = prepared(acme)

    def given_up() -> None:
        time_machine.move_to(timezone.now() + timedelta(minutes=1))
        reconciliation.tidy(by=factories.WORKER)
        changes.resolve(fresh(change), by=operator("s9", "second@halden.example"), reason="We cannot wait")

    witness.also = given_up

    changes.confirm(change, words(change), by=operator())

    events = ["change.abandoned", "change.resolved_by_operator", "change.rejected"]
    assert_sent(change, simulator, *events, status="RESOLVED")
    assert data_of(change, "change.rejected")["too_late_for"] == "REJECT"


def test_row_33_request_that_was_announced_too_long_ago_does_not_leave(
    simulator: Simulator, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "LATEST_START", -1.0)

    change = confirmed(prepared(acme))

    assert_no_post(change, simulator, *SENT, "change.not_sent", status="NOT_SENT")
