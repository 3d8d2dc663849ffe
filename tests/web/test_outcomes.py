from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hamr_portal.domain.audit import Event
from hamr_portal.domain.changes import ChangeStatus, Move, What
from hamr_portal.domain.connections import HamrStatus, ReadOutcome
from hamr_portal.domain.people import Action, Role, may
from hamr_portal.hamr_client import Phase
from hamr_portal.models import AuditEntry, Change, LogLine, Observation, Organization, Person, SkipNotice, Snapshot
from hamr_portal.services import changes
from hamr_portal.services.refusals import Blocked, Busy, SidesChanged
from hamr_portal.services.sending import Came, NotRecordedYet
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing

from .conftest import SignIn

pytestmark = pytest.mark.django_db

HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">'


def browser(role: Role = Role.OPERATOR, email: str = "") -> Client:
    """Give a browser in which the person of `changing` is signed in."""
    client = Client()
    client.force_login(Person.objects.get(email=changing.actor(role, email=email).name))
    return client


def url(view: str, change: Change | int) -> str:
    return reverse(view, kwargs={"pk": change if isinstance(change, int) else change.pk})


def shown(client: Client, change: Change) -> str:
    response = client.get(url("change", change))
    assert response.status_code == 200
    return text(response)


def text(response: Any) -> str:
    """Give what a page says, without its sprite, and with one blank for each run of them."""
    page = re.sub(r"<svg hidden.*?</svg>\s*<a class=\"skip", '<a class="skip', response.content.decode(), flags=re.S)
    return re.sub(r"\s+", " ", page)


def words(page: str) -> str:
    """Give a page's words alone."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))


def rest() -> None:
    """Let so much time pass that a person may ask for a reading again."""
    Snapshot.objects.update(attempted_at=timezone.now() - timedelta(seconds=11))


def standing(status: ChangeStatus, *, ago: timedelta = timedelta(0), **fields: Any) -> Change:
    """Give a change of the pair acme in a status, previewed from PASSIVE; nothing was sent for it."""
    primary, secondary = Organization.objects.order_by("name")[:2] if Organization.objects.exists() else pair()
    at = timezone.now() - ago
    change = changing.standing(
        secondary,
        status,
        **{"other": primary, "url": "https://api.us5.example/api/v2/hamr", "confirmed_at": at, **fields},
    )
    tell(change, What.PREVIEWED, secondary, status=2)
    tell(change, What.PREVIEWED, primary, status=2)
    return change


def pair() -> tuple[Organization, Organization]:
    return factories.pair("acme", "acme-dr")


def tell(change: Change, what: What, organization: Organization | None = None, **fields: Any) -> LogLine:
    """Write one line into a change's log."""
    at = fields.pop("at", timezone.now())
    if organization is not None and "outcome" not in fields:
        fields = {"outcome": ReadOutcome.ANSWERED, "has_connection": True, "is_primary": False, **fields}
    return LogLine.objects.create(
        change=change, what=what, organization=organization, **{"at": at, "last_at": at, **fields}
    )


def moved(change: Change, by_way_of: Move, **fields: Any) -> LogLine:
    return tell(change, What.MOVED, move=by_way_of.name, by=changing.operator().name, **fields)


# --- each status ------------------------------------------------------------------------------------------------


def test_a_preview_leads_its_author_on_and_tells_others_whose_it_is() -> None:
    change = standing(ChangeStatus.PREPARED, confirmed_at=None)

    own, others = shown(browser(), change), shown(browser(Role.VIEWER), change)

    assert url("change_confirm", change) in own
    assert "operator is previewing acme-dr to FAILOVER" in others
    assert url("change_confirm", change) not in others


def test_a_waiting_change_says_that_nothing_was_sent() -> None:
    change = standing(ChangeStatus.AWAITING_APPROVAL, needs_approval=True)

    page = shown(browser(Role.VIEWER), change)

    assert "<title>Waiting for a second person" in page
    assert "Nothing has been sent." in page
    assert "Needs an approver" in page
    assert "change_approve" not in page
    assert url("change_approve", change) not in page


def test_a_change_being_sent_says_that_it_goes_on_without_the_page() -> None:
    change = standing(ChangeStatus.SENDING)
    moved(change, Move.SEND)

    page = shown(browser(), change)

    assert "<title>Sending to us5" in page
    assert "The change goes on if you leave this page" in page
    assert "Waiting for us5" in page
    assert 'data-hx-trigger="every 2s, resume"' in page
    assert '<meta http-equiv="refresh" content="2; url=?live=1">' in page


def test_an_accepted_change_is_not_called_verified() -> None:
    change = standing(ChangeStatus.ACCEPTED)
    moved(change, Move.SEND)
    moved(change, Move.ACCEPT, http_status=200, elapsed_ms=811)

    page = shown(browser(), change)

    assert "<title>Accepted, not verified yet" in page
    assert "HTTP 200, 811 ms" in page
    assert "acme-dr is FAILOVER" not in page


def test_a_verified_change_says_what_is_so_now_and_what_comes_next(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)

    change = changing.changed(primary)
    page = shown(browser(), change)

    assert "<title>Verified: acme is FAILOVER" in page
    assert "Preview change to ACTIVE" in page
    assert "Receipt" in page
    assert "http-equiv" not in page
    assert "every 10s" in page  # FAILOVER is passed through: people are still at work


def test_a_verified_change_that_is_over_does_not_call_its_status_the_present_one(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    first = changing.changed(primary)
    changing.changed(primary, HamrStatus.ACTIVE)

    page = shown(browser(), first)

    assert "<title>Verified: acme was set to FAILOVER" in page
    assert "acme is FAILOVER" not in page
    assert "Preview change to ACTIVE" not in page


def test_a_side_that_stays_silent_is_not_called_verified() -> None:
    change = standing(ChangeStatus.VERIFIED)
    factories.seen(change.organization, status=3)
    factories.seen(Organization.objects.get(name="acme"), at=timezone.now() - timedelta(minutes=10))
    moved(change, Move.ACCEPT, http_status=200)
    tell(change, What.READ_BACK, change.other, outcome=ReadOutcome.NO_ANSWER, reason="timed out")
    tell(change, What.READ_BACK, change.organization, status=3)
    moved(change, Move.VERIFY)

    page = shown(browser(), change)

    assert "Verified on us5" in page
    assert "us1 did not answer, so its side is not verified" in page
    assert "When us1 answers again, compare both sides." in page


def test_a_side_that_answers_again_and_says_something_else_is_to_be_compared() -> None:
    change = standing(ChangeStatus.VERIFIED)
    factories.seen(change.organization, status=3)
    tell(change, What.READ_BACK, change.other, outcome=ReadOutcome.NO_ANSWER, reason="timed out")
    tell(change, What.READ_BACK, change.organization, status=3)
    moved(change, Move.VERIFY)

    page = shown(browser(), change)

    assert "us1 says PASSIVE now." in page


def test_a_late_arrival_says_that_it_took_effect_late() -> None:
    change = standing(ChangeStatus.VERIFIED)
    factories.seen(change.organization, status=3)
    moved(change, Move.LOSE)
    moved(change, Move.RULE_OUT)
    tell(change, What.READ_BACK, change.organization, status=3)
    moved(change, Move.ARRIVE_LATE)

    page = shown(browser(), change)

    assert "<title>Took effect late: acme-dr is FAILOVER" in page


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (403, "disaster_recovery_status_write"),
        (401, "disaster_recovery_status_write"),
        (404, "still has a connection"),
        (429, "Wait until"),
        (422, "The same request is refused again."),
    ],
)
def test_a_rejected_change_says_what_to_put_right(code: int, advice: str) -> None:
    change = standing(ChangeStatus.REJECTED, http_status=code)
    factories.person(Role.ADMIN)
    moved(change, Move.REJECT, http_status=code, reason="refused", raw='{"errors": ["No"]}', retry_after=90.0)
    tell(change, What.READ_BACK, change.organization, status=2)

    page = shown(browser(), change)

    assert "<title>Rejected: nothing changed" in page
    assert f"refused the change with HTTP {code}" in page
    assert "acme-dr is still PASSIVE" in page
    assert "&quot;No&quot;" in page
    assert advice in page


def test_a_rejected_change_after_which_something_changed_says_so() -> None:
    change = standing(ChangeStatus.REJECTED, http_status=422)
    moved(change, Move.REJECT, http_status=422)
    tell(change, What.READ_BACK, change.organization, status=4, modified_by="priya.raman@halden.example")

    page = shown(browser(), change)

    assert "nothing changed" not in page
    assert "acme-dr says ACTIVE, written by priya.raman" in words(page)


def test_a_change_that_was_not_sent_says_so_and_how_far_it_came() -> None:
    change = standing(ChangeStatus.NOT_SENT)
    moved(change, Move.NOT_SENT, phase=Phase.CONNECT, reason="connection refused")

    page = shown(browser(), change)

    assert "Nothing was sent; the status is unchanged." in page
    assert "It failed while connecting to us5: connection refused." in page


def test_an_unknown_outcome_says_not_to_send_again_and_how_it_ends() -> None:
    change = standing(
        ChangeStatus.UNKNOWN, reads=7, agreed_reads=2, agreed_seconds=41.0, check_at=timezone.now() + timedelta(hours=1)
    )
    moved(change, Move.LOSE, reason="no answer within 10 s", elapsed_ms=10000)
    tell(change, What.READ_BACK, change.organization, status=2, times=7)

    page = shown(browser(), change)

    assert "<title>Outcome unknown: do not send again" in page
    assert "Attempt <strong>7</strong>" in page
    assert "us5 reads back PASSIVE, × 7" in page
    assert "How this ends" in page
    assert "Checkout" not in page
    assert "is locked" in page
    assert url("change_resolve", change) in page
    assert 'data-hx-trigger="every 5s, resume"' in page


def test_a_page_with_a_field_is_not_loaded_anew_under_what_somebody_types() -> None:
    change = standing(ChangeStatus.UNKNOWN)

    assert "http-equiv" not in shown(browser(), change)
    assert '<meta http-equiv="refresh" content="5; url=?live=1">' in shown(browser(Role.VIEWER), change)


def test_a_change_that_was_ruled_out_says_as_of_when() -> None:
    change = standing(ChangeStatus.NOT_APPLIED, reads=9, settled_at=timezone.now())
    moved(change, Move.LOSE)
    tell(change, What.READ_BACK, change.organization, status=2, times=9)
    moved(change, Move.RULE_OUT)

    page = shown(browser(), change)

    assert "<title>Reconciled: not applied" in page
    assert "after 9 reads, us5 keeps saying PASSIVE" in page
    assert "Should the request land after all" in page


def test_an_overtaken_change_says_by_whom_and_with_what() -> None:
    change = standing(ChangeStatus.SUPERSEDED)
    tell(change, What.READ_BACK, change.organization, status=5, modified_by="priya.raman@halden.example")
    moved(change, Move.OVERTAKE)

    page = shown(browser(), change)

    assert "<title>Overtaken by another write" in page
    assert "priya.raman@halden.example set acme-dr to RECOVERY" in page


def test_a_change_that_was_resolved_says_by_whom_and_why() -> None:
    operator = changing.operator()
    change = standing(
        ChangeStatus.RESOLVED,
        closed_by=Person.objects.get(email=operator.name),
        closing_reason="us5 is on fire",
        settled_at=timezone.now(),
    )
    moved(change, Move.RESOLVE)

    page = shown(browser(), change)

    assert "<title>Resolved by operator: outcome unknown" in page
    assert "us5 is on fire" in page


@pytest.mark.parametrize(
    ("status", "move"),
    [
        (ChangeStatus.CANCELLED, Move.CANCEL),
        (ChangeStatus.DECLINED, Move.DECLINE),
        (ChangeStatus.EXPIRED, Move.EXPIRE),
    ],
)
def test_a_change_that_ended_before_sending_says_that_nothing_was_sent(status: ChangeStatus, move: Move) -> None:
    changing.operator()
    change = standing(status, closed_by=Person.objects.first(), closing_reason="us5 is full")
    moved(change, move)

    page = shown(browser(), change)

    assert f"<title>{status.capitalize()}: nothing was sent" in page
    assert ("us5 is full" in page) is (status is ChangeStatus.DECLINED)


@pytest.mark.parametrize("status", list(ChangeStatus))
def test_every_status_has_a_page_without_gaps(status: ChangeStatus) -> None:
    changing.operator()
    change = standing(status, closed_by=Person.objects.first(), settled_at=timezone.now(), http_status=409)
    move = next((move for move in Move if move.reaches is status), None)
    if move is not None:
        moved(change, move)

    page = words(shown(browser(), change))

    assert "None" not in page
    assert f"Change {change.pk}" in page


def test_what_people_and_datadog_wrote_cannot_become_a_part_of_the_page() -> None:
    change = standing(ChangeStatus.REJECTED, http_status=422, reason=HOSTILE, ticket=HOSTILE[:100], skip_reason=HOSTILE)
    moved(change, Move.REJECT, http_status=422, reason=HOSTILE, raw=HOSTILE)
    tell(change, What.READ_BACK, change.organization, status=4, modified_by=HOSTILE)

    pages = [
        shown(browser(), change),
        text(browser().get(reverse("changes"))),
        text(browser().get(reverse("organization", kwargs={"name": "acme-dr"}))),
    ]

    for page in pages:
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "&lt;script&gt;" in page


def test_no_such_change_is_a_page_that_says_so() -> None:
    assert browser().get(url("change", 999)).status_code == 404


# --- access: each role, method and address is in test_access ----------------------------------------------------

POSTS = {
    "change_cancel": Action.CHANGE_STATUS,
    "change_approve": Action.APPROVE_CHANGES,
    "change_decline": Action.APPROVE_CHANGES,
    "change_skip_approval": Action.CHANGE_STATUS,
    "change_resolve": Action.CHANGE_STATUS,
    "change_read": Action.READ_NOW,
    "change_again": Action.CHANGE_STATUS,
    "change_seen": Action.SEE_STATUS,
}


@pytest.mark.parametrize("view", [view for view, action in POSTS.items() if not may(Role.VIEWER, action)])
def test_a_role_that_may_not_is_refused_and_nothing_moves(view: str) -> None:
    change = standing(ChangeStatus.AWAITING_APPROVAL, needs_approval=True)

    response = browser(Role.VIEWER).post(url(view, change), {"typed_name": "acme-dr", "comment": "x", "reason": "x"})

    assert response.status_code == 403
    assert "Needs: " in response.content.decode()
    change.refresh_from_db()
    assert change.status == ChangeStatus.AWAITING_APPROVAL


def test_somebody_without_a_role_sees_no_change(signed_in: SignIn) -> None:
    change = standing(ChangeStatus.CANCELLED)
    nobody = signed_in(None)

    assert nobody.get(url("change", change)).status_code == 403
    assert nobody.get(reverse("changes")).status_code == 403


# --- approval ---------------------------------------------------------------------------------------------------


def test_approval_by_another_person_sends_exactly_one_request(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.waiting(primary)
    approver = browser(Role.APPROVER)

    first = approver.post(url("change_approve", change), {"typed_name": "acme", "comment": "go"})
    second = approver.post(url("change_approve", change), {"typed_name": "acme"}, follow=True)

    assert first["Location"] == url("change", change)
    assert len(simulator.posts) == 1
    assert "Nothing more was done: it was verified before." in text(second)
    assert "<title>Verified: acme is FAILOVER" in text(second)
    assert "approved by approver" in text(approver.get(reverse("changes")))


def test_nobody_approves_a_change_of_their_own(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.waiting(primary)
    Person.objects.filter(email=changing.operator().name).update(role=Role.APPROVER)

    response = browser().post(url("change_approve", change), {"typed_name": "acme"})

    assert response.status_code == 403
    assert "Nobody approves a change of their own." in response.content.decode()
    assert len(simulator.posts) == 0


def test_the_author_is_told_that_somebody_else_decides() -> None:
    factories.person(Role.APPROVER)
    change = standing(ChangeStatus.AWAITING_APPROVAL, needs_approval=True)

    page = shown(browser(), change)

    assert "You asked for this change; somebody else decides" in page
    assert "Who can: approver" in page
    assert url("change_cancel", change) in page
    assert "Nobody there? Send without approval" in page
    assert url("change_approve", change) not in page


def test_a_request_that_nobody_decided_is_over_before_it_is_tidied() -> None:
    factories.person(Role.APPROVER)
    change = standing(
        ChangeStatus.AWAITING_APPROVAL, needs_approval=True, expires_at=timezone.now() - timedelta(seconds=1)
    )

    for client in (browser(), browser(Role.APPROVER)):
        page = shown(client, change)

        assert "<title>Ended: nothing was sent" in page
        assert "nobody decided. Nothing was sent." in words(page)
        assert f'action="{url("change_approve", change)}"' not in page
        assert f'action="{url("change_skip_approval", change)}"' not in page
        assert f'action="{url("change_cancel", change)}"' not in page


@pytest.mark.parametrize(("status", "named"), [(ChangeStatus.AWAITING_APPROVAL, False), (ChangeStatus.NOT_SENT, True)])
def test_the_author_is_among_those_who_can_help_but_with_a_decision(status: ChangeStatus, named: bool) -> None:
    change = standing(status, needs_approval=True, skip_reason="" if status == "AWAITING_APPROVAL" else "nobody awake")
    admin = factories.person(Role.ADMIN, "both@halden.example")
    Change.objects.filter(pk=change.pk).update(author=admin)

    page = browser(Role.VIEWER).get(url("change", change))

    assert ("both" in page.context["helpers"]) is named


def test_a_wrong_name_keeps_the_comment_and_sends_nothing(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.waiting(primary)

    response = browser(Role.APPROVER).post(
        url("change_approve", change), {"typed_name": "acme-dr", "comment": "seen with Jonas"}
    )

    assert response.status_code == 422
    assert "“acme-dr” is the other side. This change goes to acme." in text(response)
    assert "seen with Jonas" in text(response)
    assert 'value="acme-dr"' in text(response)
    assert len(simulator.posts) == 0


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [("", "Type acme-dr."), ("acme-eu", "“acme-eu” is not this organization. This change goes to acme-dr.")],
)
def test_what_is_wrong_with_a_name_is_said(typed: str, sentence: str) -> None:
    change = standing(ChangeStatus.AWAITING_APPROVAL, needs_approval=True)

    response = browser(Role.APPROVER).post(url("change_approve", change), {"typed_name": typed})

    assert response.status_code == 422
    assert sentence in text(response)


def test_a_comment_that_is_too_long_comes_back_whole() -> None:
    change = standing(ChangeStatus.AWAITING_APPROVAL, needs_approval=True)

    response = browser(Role.APPROVER).post(url("change_decline", change), {"comment": "x" * 2001})

    assert response.status_code == 422
    assert "At most 2000 characters." in text(response)
    assert "x" * 2001 in text(response)


def test_what_speaks_against_it_by_now_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    change = standing(ChangeStatus.AWAITING_APPROVAL, needs_approval=True)
    monkeypatch.setattr(changes, "approve", raising(SidesChanged(checks=["OTHER_SIDE_DARK"])))

    response = browser(Role.APPROVER).post(url("change_approve", change), {"typed_name": "acme-dr"})

    assert response.status_code == 409
    assert "Other side cannot be read" in text(response)


def test_the_sides_of_a_change_may_be_no_pair() -> None:
    one, other = factories.organization("acme"), factories.organization("acme-dr", site="us5")
    change = changing.standing(one, ChangeStatus.NOT_SENT, other=other)

    page = shown(browser(), change)

    assert page.count("never answered") == 2


def test_a_change_is_declined_with_a_comment_only() -> None:
    change = standing(ChangeStatus.AWAITING_APPROVAL, needs_approval=True)
    approver = browser(Role.APPROVER)

    without = approver.post(url("change_decline", change), {"comment": "  "})
    declined = approver.post(url("change_decline", change), {"comment": "us5 is full"}, follow=True)

    assert without.status_code == 422
    assert "Say why, in a few words." in text(without)
    assert "approver declined it" in text(declined)
    assert "us5 is full" in text(declined)


def test_sides_that_changed_are_shown_instead_of_being_sent_to(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.waiting(primary)
    simulator.write_aside("acme", 4, "priya.raman@halden.example")

    response = browser(Role.APPROVER).post(url("change_approve", change), {"typed_name": "acme", "comment": "go"})

    page = text(response)
    assert response.status_code == 409
    assert "The sides changed since it was confirmed. Nothing was sent." in page
    assert "was PASSIVE, now ACTIVE" in words(page)
    assert "Next: decline it; operator previews anew." in page
    assert len(simulator.posts) == 0


def test_what_a_second_person_sees_is_read_again_on_demand(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.waiting(primary)
    simulator.write_aside("acme", 4, "priya.raman@halden.example")
    rest()

    page = browser(Role.APPROVER).post(url("change_read", change), follow=True)

    assert "Was PASSIVE when it was asked for" in words(text(page))


def test_what_the_database_does_not_take_is_said_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The faults themselves are injected where the services are tested."""
    change = standing(ChangeStatus.AWAITING_APPROVAL, needs_approval=True)
    came = Came(Move.LOSE, timezone.now(), reason="no answer within 10 s")
    approver, texts = browser(Role.APPROVER), {"typed_name": "acme-dr"}

    monkeypatch.setattr(changes, "approve", raising(Blocked("it cannot be recorded")))
    blocked = approver.post(url("change_approve", change), texts)
    monkeypatch.setattr(changes, "approve", raising(NotRecordedYet(change, came, spooled=True)))
    not_recorded = approver.post(url("change_approve", change), texts)

    assert (blocked.status_code, not_recorded.status_code) == (503, 503)
    assert "this change cannot be recorded, so it was not sent" in text(blocked)
    assert "Outcome unknown: do not send again" in text(not_recorded)
    assert "It is kept beside the database" in text(not_recorded)


def test_another_change_that_is_open_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    change = standing(ChangeStatus.AWAITING_APPROVAL, needs_approval=True)
    other = standing(ChangeStatus.NOT_SENT)
    monkeypatch.setattr(changes, "approve", raising(Busy(other)))

    response = browser(Role.APPROVER).post(url("change_approve", change), {"typed_name": "acme-dr", "comment": "go"})

    assert response.status_code == 409
    assert "Another change is open on this pair. Nothing was sent." in text(response)
    assert f"see change {other.pk}" in text(response)
    assert "go</textarea>" in text(response)


def raising(error: Exception) -> Callable[..., None]:
    def do(*_args: Any, **_fields: Any) -> None:
        raise error

    return do


def test_a_change_sent_without_approval_is_marked_everywhere_and_everybody_is_told(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.waiting(primary)
    approver = browser(Role.APPROVER)
    author = browser()
    # The author's sign-in at the confirmation was another one; what counts is the person.

    without = author.post(url("change_skip_approval", change), {"typed_name": "acme", "reason": ""})
    sent = author.post(
        url("change_skip_approval", change), {"typed_name": "acme", "reason": "nobody answers the phone"}, follow=True
    )

    assert without.status_code == 422
    assert len(simulator.posts) == 1
    assert "Without approval" in text(sent)
    assert "without approval" in text(author.get(reverse("changes")))
    assert "without approval" in text(author.get(reverse("organization", kwargs={"name": "acme"})))
    note = text(approver.get(reverse("dashboard")))
    assert "without approval at" in note
    assert "nobody answers the phone" in note


def test_the_note_goes_when_it_was_seen_and_that_is_on_the_record() -> None:
    change = standing(ChangeStatus.NOT_SENT, needs_approval=True, skip_reason="nobody there", other=None)
    approver = browser(Role.APPROVER)
    person = Person.objects.get(role=Role.APPROVER)
    SkipNotice.objects.create(change=change, person=person)
    before = text(approver.get(reverse("dashboard")))

    response = approver.post(url("change_seen", change), headers={"Referer": "http://testserver/changes/"})

    assert url("change_seen", change) in before
    assert response["Location"] == "/changes/"
    assert url("change_seen", change) not in text(approver.get(reverse("dashboard")))
    assert AuditEntry.objects.get(event=Event.SKIP_SEEN).change == change.pk


def test_the_author_takes_a_waiting_change_back() -> None:
    change = standing(ChangeStatus.AWAITING_APPROVAL, needs_approval=True)

    page = browser().post(url("change_cancel", change), follow=True)

    assert "<title>Cancelled: nothing was sent" in text(page)


def test_somebody_elses_change_cannot_be_taken_back() -> None:
    change = standing(ChangeStatus.AWAITING_APPROVAL, needs_approval=True)

    response = browser(Role.OPERATOR, "another@halden.example").post(url("change_cancel", change))

    assert response.status_code == 403


# --- reconciling ------------------------------------------------------------------------------------------------


def test_reading_now_settles_what_was_unknown(simulator: Simulator) -> None:
    changing.connected(simulator)
    change = standing(ChangeStatus.UNKNOWN, is_primary=False)
    moved(change, Move.LOSE)
    simulator.write_aside("acme-dr", HamrStatus.FAILOVER, change.writer)
    rest()

    response = browser(Role.VIEWER).post(url("change_read", change), follow=True)

    assert "<title>Verified: acme-dr is FAILOVER" in text(response)
    assert "Reconciled: applied" in text(response)


def test_reading_now_again_and_again_asks_datadog_once(simulator: Simulator) -> None:
    changing.connected(simulator)
    change = standing(ChangeStatus.UNKNOWN, is_primary=False)
    moved(change, Move.LOSE)
    before = len(simulator.requests)

    response = browser(Role.VIEWER).post(url("change_read", change), follow=True)

    assert "Not read again: it was read less than 10 s ago." in text(response)
    assert len(simulator.requests) == before


def test_a_final_change_is_not_read_again() -> None:
    change = standing(ChangeStatus.NOT_SENT)

    response = browser(Role.VIEWER).post(url("change_read", change), follow=True)

    assert "Not read: the change is final: not sent." in text(response)


def test_the_lock_is_opened_for_a_reason_only() -> None:
    change = standing(ChangeStatus.UNKNOWN)
    operator = browser()

    without = operator.post(url("change_resolve", change), {"reason": " "})
    resolved = operator.post(url("change_resolve", change), {"reason": "must move now"}, follow=True)

    assert without.status_code == 422
    assert "Say why, in a few words." in text(without)
    assert "<title>Resolved by operator: outcome unknown" in text(resolved)
    assert "must move now" in text(resolved)


def test_previewing_again_keeps_ticket_and_reason_and_asks_for_the_name_anew(simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changes.cancel(changing.waiting(primary), by=changing.operator())

    response = browser().post(url("change_again", change))

    renewed = Change.objects.get(replaces=change)
    assert response["Location"] == url("change_confirm", renewed)
    assert (renewed.reason, renewed.ticket, renewed.typed_name) == (changing.REASON, "INC-4711", "")


def test_a_change_that_is_not_over_is_not_previewed_again() -> None:
    change = standing(ChangeStatus.UNKNOWN)

    response = browser().post(url("change_again", change), follow=True)

    assert "Not previewed again: the change is not over: outcome unknown." in text(response)
    assert Change.objects.count() == 1


def test_a_connection_is_previewed_again_by_those_who_may_make_one() -> None:
    change = standing(ChangeStatus.CANCELLED, links=True)

    response = browser().post(url("change_again", change))

    assert response.status_code == 403


# --- all changes ------------------------------------------------------------------------------------------------


def test_changes_that_wait_come_first_and_are_counted_on_every_page() -> None:
    done = standing(ChangeStatus.NOT_SENT)
    Change.objects.filter(pk=done.pk).update(pair=None)
    waiting = standing(ChangeStatus.AWAITING_APPROVAL, needs_approval=True)
    newest = standing(ChangeStatus.CANCELLED)

    page = text(browser(Role.VIEWER).get(reverse("changes")))

    places = [page.index(f'aria-label="Change {change.pk}"') for change in (waiting, newest, done)]
    assert places == sorted(places)
    assert '<span class="vh">waiting: </span>1</span>' in page
    assert '<span class="vh">waiting: </span>1</span>' in text(browser(Role.VIEWER).get(reverse("dashboard")))


def test_previews_of_others_and_what_was_never_confirmed_are_left_out() -> None:
    preview = standing(ChangeStatus.PREPARED, confirmed_at=None)
    expired = standing(ChangeStatus.EXPIRED, confirmed_at=None)

    others, own = text(browser(Role.VIEWER).get(reverse("changes"))), text(browser().get(reverse("changes")))
    everything = text(browser(Role.VIEWER).get(reverse("changes") + "?all"))

    assert f"Change {preview.pk}" not in others
    assert f"Change {preview.pk}" in own
    assert f"Change {expired.pk}" not in own
    assert f"Change {expired.pk}" in everything
    assert f"Change {preview.pk}" not in everything


def test_older_changes_are_on_the_next_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hamr_portal.web.outcomes.ON_A_PAGE", 2)
    oldest, middle, newest = (standing(ChangeStatus.CANCELLED) for _ in range(3))

    first = text(browser().get(reverse("changes")))
    second = text(browser().get(reverse("changes"), {"before": middle.pk}))

    assert f"?before={middle.pk}" in first
    assert f'"Change {newest.pk}"' in first
    assert f'"Change {oldest.pk}"' not in first
    assert f'"Change {oldest.pk}"' in second
    assert f'"Change {newest.pk}"' not in second


def test_a_preview_of_ones_own_is_not_called_final() -> None:
    preview = standing(ChangeStatus.PREPARED, confirmed_at=None)
    final = standing(ChangeStatus.CANCELLED)

    page = text(browser().get(reverse("changes")))

    places = [
        page.index(words) for words in (">Previews<", f'"Change {preview.pk}"', ">Final<", f'"Change {final.pk}"')
    ]
    assert places == sorted(places)


def test_changes_are_listed_by_the_moment_that_is_shown() -> None:
    first, second, third = (standing(ChangeStatus.CANCELLED, ago=timedelta(minutes=minutes)) for minutes in (5, 30, 20))

    page = text(browser().get(reverse("changes")))

    places = [page.index(f'"Change {change.pk}"') for change in (first, third, second)]
    assert places == sorted(places)


def test_the_list_refreshes_itself_with_what_it_was_asked_for() -> None:
    standing(ChangeStatus.CANCELLED)

    page = text(browser().get(reverse("changes") + "?all"))

    assert f'data-hx-get="{reverse("changes")}?all=" data-hx-trigger="every 10s, resume"' in page
    assert '<meta http-equiv="refresh" content="30; url=?all=&amp;live=1">' in page


def test_a_list_with_a_field_is_not_loaded_anew_under_what_somebody_types() -> None:
    observation = seen_outside()

    page = text(browser().get(reverse("changes")))

    assert f'<form id="acknowledge_{observation.pk}" method="post"' in page
    assert 'http-equiv="refresh"' not in page
    assert 'http-equiv="refresh"' in text(browser(Role.VIEWER).get(reverse("changes")))


@pytest.mark.parametrize("before", ["x", "²", "-1", "9" * 40, ""])
def test_an_address_that_names_no_change_is_no_trouble(before: str) -> None:
    assert browser().get(reverse("changes"), {"before": before}).status_code == 200


def test_an_organization_shows_its_recent_changes() -> None:
    change = standing(ChangeStatus.NOT_SENT, reason="us1 dark")

    page = text(browser(Role.VIEWER).get(reverse("organization", kwargs={"name": "acme"})))

    assert f'aria-label="Change {change.pk}"' in page
    assert "us1 dark" in page


# --- outside ----------------------------------------------------------------------------------------------------


def seen_outside(**fields: Any) -> Observation:
    primary, _ = pair()
    at = timezone.now()
    common = {"organization": primary, "outcome": ReadOutcome.ANSWERED, "has_connection": True}
    Observation.objects.create(**common, at=at - timedelta(hours=1), status=2)
    return Observation.objects.create(
        **{**common, "at": at, "status": 3, "outside": True, "modified_by": "priya.raman@halden.example", **fields}
    )


def acknowledged(observation: Observation, client: Client, comment: str = "done by hand, INC-4473") -> Any:
    return client.post(url("outside_acknowledge", observation.pk), {"comment": comment})


def test_what_was_changed_outside_is_listed_with_what_was_there_before() -> None:
    seen_outside()

    page = text(browser().get(reverse("changes")))

    listed = page[page.index("Changed outside the portal") :]
    assert listed.index("PASSIVE") < listed.index("FAILOVER")
    assert "priya.raman@halden.example" in listed
    assert "Acknowledge" in listed


def test_one_write_that_both_sides_show_is_one_line_that_names_both() -> None:
    observation = seen_outside()
    other = Organization.objects.get(name="acme-dr")
    at = observation.at - timedelta(minutes=1)
    Observation.objects.create(
        organization=other, at=at, outcome="ANSWERED", status=3, outside=True, modified_by=observation.modified_by
    )

    page = words(text(browser().get(reverse("changes"))))

    listed = page[page.index("Changed outside the portal") :]
    assert listed.count("priya.raman@halden.example") == 1
    assert "us1 acmeand us5 acme-dr" in listed


def test_an_acknowledged_change_keeps_its_comment() -> None:
    observation = seen_outside()
    operator = browser()

    response = acknowledged(observation, operator)
    again = operator.post(url("outside_acknowledge", observation.pk), {"comment": "me too"}, follow=True)

    assert response["Location"] == reverse("changes")
    assert "done by hand, INC-4473" in text(again)
    assert "operator has acknowledged that already" in text(again)


def test_a_missing_comment_is_refused() -> None:
    observation = seen_outside()

    response = acknowledged(observation, browser(), "   ")

    assert response.status_code == 422
    assert "Say who did it, or why." in text(response)
    observation.refresh_from_db()
    assert observation.acknowledged_at is None


def test_a_viewer_may_not_acknowledge() -> None:
    observation = seen_outside()

    page, response = text(browser(Role.VIEWER).get(reverse("changes"))), acknowledged(observation, browser(Role.VIEWER))

    assert "Not acknowledged" in page
    assert response.status_code == 403


def test_somebody_who_is_not_signed_in_may_not_acknowledge() -> None:
    assert acknowledged(seen_outside(), Client()).status_code == 302


def test_acknowledging_takes_no_visit() -> None:
    assert browser().get(url("outside_acknowledge", seen_outside().pk)).status_code == 405


def test_what_the_portal_made_itself_cannot_be_acknowledged() -> None:
    assert acknowledged(seen_outside(outside=False), browser()).status_code == 404
    assert Snapshot.objects.filter(outside_at__isnull=False).count() == 0
