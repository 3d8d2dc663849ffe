from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.urls import reverse

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus, ReadOutcome
from hamr_portal.domain.findings import (
    OF_CHANGES,
    VERDICT_OF,
    Finding,
    Found,
    Join,
    Judgement,
    OpenChange,
    Verdict,
    judge_pair,
)
from hamr_portal.domain.pairs import Column, Side
from hamr_portal.templatetags import _findings

from .drawing import NOW, ago, drawn

ONE, OTHER = UUID(int=1), UUID(int=2)


@dataclass
class SideRow:
    side: Side
    is_current: bool = True


@dataclass
class Row:
    judgement: Judgement
    sides: tuple[SideRow, ...]
    pair: object | None = "Checkout"


@dataclass
class Line:
    organization_id: str
    at: int
    has_connection: bool | None = True
    status: int | None = 2
    is_primary: bool | None = True
    target_uuid: UUID | None = ONE
    modified_at: datetime | None = NOW
    modified_by: str = "mara"


@dataclass
class Answers:
    answered: int
    total: int
    worst: ReadOutcome | None = None


def side(name: str, column: Column, *, status: int = 2, is_primary: bool | None = None, **more: Any) -> Side:
    primary = column is Column.PRIMARY
    known: dict[str, Any] = {
        "uuid": ONE if primary else OTHER,
        "target_uuid": OTHER if primary else ONE,
        "has_connection": True,
        "answered_at": NOW,
        "modified_at": ago(minutes=5),
        "outcome": ReadOutcome.ANSWERED,
    }
    says = primary if is_primary is None else is_primary
    return Side(name, "us1", column=column, status=status, is_primary=says, **(known | more))


def row(primary: Side, secondary: Side, change: OpenChange | None = None) -> Row:
    judgement = judge_pair(primary, secondary, now=NOW, stale_after=timedelta(minutes=2), change=change)
    return Row(judgement, (SideRow(primary), SideRow(secondary)))


def test_leading_finding_is_the_one_behind_the_verdict():
    split = row(side("a", Column.PRIMARY, status=4), side("b", Column.SECONDARY, is_primary=True))

    assert _findings.leading(split).finding is Finding.STATUSES_DIFFER


def test_what_one_sentence_says_is_not_listed_again():
    split = row(side("a", Column.PRIMARY, status=4), side("b", Column.SECONDARY, is_primary=True))

    assert _findings.further(split) == []


def test_both_primary_alone_leads():
    split = row(side("a", Column.PRIMARY), side("b", Column.SECONDARY, is_primary=True))

    assert _findings.leading(split).finding is Finding.BOTH_PRIMARY


def test_everything_else_is_listed_the_worst_first():
    refused = side("a", Column.PRIMARY, outcome=ReadOutcome.RATE_LIMITED, outside_at=NOW)
    unread = side("b", Column.SECONDARY, outcome=ReadOutcome.NO_ANSWER, repeats=3)
    gone = side("b", Column.SECONDARY, outcome=ReadOutcome.KEY_REFUSED)

    assert [found.finding for found in _findings.further(row(refused, unread))] == [
        Finding.RATE_LIMITED,
        Finding.CHANGED_OUTSIDE,
    ]
    assert [found.finding for found in _findings.further(row(refused, gone))] == [
        Finding.RATE_LIMITED,
        Finding.CHANGED_OUTSIDE,
    ]


def test_second_side_with_the_same_trouble_is_listed():
    refused = row(
        side("a", Column.PRIMARY, outcome=ReadOutcome.KEY_REFUSED),
        side("b", Column.SECONDARY, outcome=ReadOutcome.KEY_REFUSED),
    )

    assert [found.side.name for found in _findings.further(refused) if found.side] == ["b"]


def test_calm_pair_has_nothing_further():
    assert _findings.further(row(side("a", Column.PRIMARY), side("b", Column.SECONDARY))) == []


def test_finding_is_found_by_name_where_it_holds():
    calm = row(side("a", Column.PRIMARY), side("b", Column.SECONDARY))

    assert _findings.found(calm, "BOTH_PASSIVE") is not None
    assert _findings.found(calm, "STALE") is None


def test_finding_leads_to_its_side():
    pair = row(side("a", Column.PRIMARY), side("b", Column.SECONDARY, outcome=ReadOutcome.KEY_REFUSED))

    assert _findings.side_of(pair, _findings.leading(pair)) is pair.sides[1]
    assert _findings.across(pair, pair.sides[1]) is pair.sides[0]


def test_finding_about_both_leads_to_the_first_side():
    pair = row(side("a", Column.PRIMARY), side("b", Column.SECONDARY))

    assert _findings.side_of(pair, Found(Finding.BOTH_PASSIVE, None, None)) is pair.sides[0]


def test_unpaired_organization_has_nothing_across():
    alone = SideRow(side("a", Column.PRIMARY))

    assert _findings.across(Row(Judgement(Verdict.UNPAIRED, None, Join.ONE_SIDE, ()), (alone,)), alone) is None


WAITING = OpenChange(ChangeStatus.AWAITING_APPROVAL, "b", before=2, target=3, since=NOW)


def test_open_change_is_said_beside_what_is_worse_and_is_not_listed_again():
    behind = row(side("a", Column.PRIMARY, status=3), side("b", Column.SECONDARY, status=3), WAITING)
    ahead = row(side("a", Column.PRIMARY), side("b", Column.SECONDARY), WAITING)

    assert _findings.beside(behind) == Found(Finding.WAITING_FOR_APPROVAL, behind.sides[1].side, NOW)
    assert _findings.beside(ahead) is None
    assert _findings.leading(ahead).finding is Finding.WAITING_FOR_APPROVAL
    assert _findings.further(behind) == _findings.further(ahead) == []


def test_nothing_is_said_beside_where_no_change_is_open():
    assert _findings.beside(row(side("a", Column.PRIMARY), side("b", Column.SECONDARY))) is None


def test_change_from_outside_is_a_remark_where_a_change_of_the_portal_is_the_news():
    outside = row(side("a", Column.PRIMARY, outside_at=NOW), side("b", Column.SECONDARY), WAITING)

    assert not _findings.outside_is_news(outside)
    assert [found.finding for found in _findings.further(outside)] == [Finding.CHANGED_OUTSIDE]


DARK: dict[str, Any] = {"outcome": ReadOutcome.NO_ANSWER, "repeats": 3}
BARE: dict[str, Any] = {"outcome": ReadOutcome.NO_CONNECTION, "has_connection": False}


@pytest.mark.parametrize(
    ("primary", "secondary", "name", "advised"),
    [
        ({}, {}, "b", False),
        (DARK, {}, "b", True),
        (DARK, {"status": 3}, "b", True),
        (DARK, {"status": 4}, "b", False),
        (DARK, {"answered_at": ago(minutes=5)}, "b", False),
        ({}, DARK, "a", False),
        ({"status": 3}, {"status": 3}, "b", True),
        ({"status": 3, "outside_at": NOW}, {"status": 3}, "b", False),
        ({"status": 4}, {"status": 4}, "a", True),
        ({"status": 5}, {"status": 5}, "a", True),
        ({"status": 1}, {"status": 1}, "a", False),
        ({"outcome": ReadOutcome.KEY_REFUSED}, {}, "b", False),
        ({}, {"outcome": ReadOutcome.RATE_LIMITED}, "a", False),
    ],
)
def test_row_offers_the_change_that_its_note_names(
    primary: dict[str, Any], secondary: dict[str, Any], name: str, advised: bool
):
    pair = row(side("a", Column.PRIMARY, **primary), side("b", Column.SECONDARY, **secondary))
    for each in pair.sides:
        each.is_current = each.side.is_current(NOW, timedelta(minutes=2))

    offer = _findings.offer(pair)

    assert offer is not None
    assert (offer.side.side.name, offer.connects, offer.advised) == (name, False, advised)


@pytest.mark.parametrize(
    ("primary", "secondary"),
    [
        (DARK, DARK),
        (DARK, BARE | DARK),
        ({"status": 4}, {}),
        ({"outcome": None}, {"outcome": None}),
    ],
)
def test_row_offers_no_change_where_sides_are_to_be_compared_or_none_answers(
    primary: dict[str, Any], secondary: dict[str, Any]
):
    assert _findings.offer(row(side("a", Column.PRIMARY, **primary), side("b", Column.SECONDARY, **secondary))) is None


@pytest.mark.parametrize(
    ("primary", "secondary", "name"),
    [(BARE, BARE, "a"), ({"status": 1}, BARE, "b"), (BARE, {"status": 1}, "a")],
)
def test_row_without_a_connection_offers_to_make_it_where_its_note_says(
    primary: dict[str, Any], secondary: dict[str, Any], name: str
):
    offer = _findings.offer(row(side("a", Column.PRIMARY, **primary), side("b", Column.SECONDARY, **secondary)))

    assert offer is not None
    assert (offer.side.side.name, offer.connects, offer.advised) == (name, True, False)


def test_rows_are_kept_by_verdict():
    calm = row(side("a", Column.PRIMARY), side("b", Column.SECONDARY))
    over = row(side("a", Column.PRIMARY, status=3), side("b", Column.SECONDARY, status=3))

    assert _findings.judged([calm, over], "FAILOVER_IN_PROGRESS") == [over]


def test_sites_are_told_apart_by_who_answers():
    dark, half = Answers(0, 2, ReadOutcome.NO_ANSWER), Answers(1, 2, ReadOutcome.NO_ANSWER)
    unasked, fine = Answers(0, 2), Answers(2, 2)

    assert _findings.silent([dark, half, unasked, fine]) == [dark]
    assert _findings.answering([dark, half, unasked, fine]) == [fine]


def over(**secondary: Any) -> Row:
    return row(side("a", Column.PRIMARY, status=3), side("b", Column.SECONDARY, status=3, **secondary))


def test_change_from_outside_is_the_news_of_a_failover_and_is_not_listed_again():
    pair = over(outside_at=NOW)

    assert _findings.outside_is_news(pair)
    assert _findings.further(pair) == []


def test_change_from_outside_is_a_remark_on_a_calm_pair():
    assert not _findings.outside_is_news(row(side("a", Column.PRIMARY, outside_at=NOW), side("b", Column.SECONDARY)))
    assert not _findings.outside_is_news(over())


@pytest.mark.parametrize(
    ("changed_at", "names_itself"),
    [
        (ago(minutes=10), True),
        (NOW, True),
        (ago(minutes=11), False),
        (ago(seconds=-1), False),
        (None, False),
    ],
)
def test_change_names_itself_when_its_time_is_near(changed_at: datetime | None, names_itself: bool):
    found = Found(Finding.CHANGED_OUTSIDE, side("a", Column.PRIMARY, modified_at=changed_at), NOW)

    assert _findings.names_itself(found) is names_itself


def test_side_that_was_changed_last_is_the_one_that_names_the_newer_change():
    pair = row(side("a", Column.PRIMARY, status=4, modified_at=NOW), side("b", Column.SECONDARY))

    assert _findings.changed_last(pair) is pair.sides[0]


@pytest.mark.parametrize("modified_at", [ago(minutes=5), None])
def test_no_side_was_changed_last_where_the_times_do_not_show_it(modified_at: datetime | None):
    pair = row(side("a", Column.PRIMARY, modified_at=modified_at), side("b", Column.SECONDARY))

    assert _findings.changed_last(pair) is None


def test_differing_changes_are_not_listed_where_the_split_says_them():
    pair = row(side("a", Column.PRIMARY, status=4, modified_at=NOW), side("b", Column.SECONDARY))

    assert pair.judgement.has(Finding.MODIFIED_DIFFERS)
    assert _findings.further(pair) == []


def test_views_agreed_when_they_say_the_same_and_neither_changed_since():
    moment = ago(minutes=4)

    def agreed(**secondary: Any) -> bool:
        return _findings.agreed(row(side("a", Column.PRIMARY), side("b", Column.SECONDARY, **secondary)), moment)

    assert agreed()
    assert agreed(view_since=ago(minutes=5))
    assert not agreed(view_since=ago(minutes=3))
    assert not agreed(status=4)
    assert not agreed(is_primary=True)
    assert not agreed(has_connection=None)


def test_rows_are_counted_as_what_they_are():
    pair, alone = over(), over()
    alone.pair = None

    assert _findings.rows_named([pair]) == "1 pair"
    assert _findings.rows_named([alone]) == "1 organization"
    assert _findings.rows_named([alone, alone]) == "2 organizations"
    assert _findings.rows_named([pair, alone]) == "2 pairs"


def test_line_of_history_stands_beside_the_one_before_it_of_its_organization():
    newest, between, oldest = Line("a", 3), Line("b", 2), Line("a", 1)

    assert _findings.with_before([newest, between, oldest]) == [(newest, oldest), (between, None), (oldest, None)]


def test_line_that_only_read_otherwise_says_the_same_of_the_connection():
    assert _findings.same_view(Line("a", 2), Line("a", 1))


@pytest.mark.parametrize("changed", [{"status": 3}, {"is_primary": False}, {"target_uuid": OTHER}, {"modified_by": ""}])
def test_line_that_changed_the_connection_does_not_say_the_same(changed: dict[str, Any]):
    assert not _findings.same_view(Line("a", 2, **changed), Line("a", 1))


def test_first_line_says_something_new():
    assert not _findings.same_view(Line("a", 1), None)


CHANGE_FINDING = {
    "UNKNOWN": Finding.OUTCOME_UNKNOWN,
    "SENDING": Finding.SENDING,
    "ACCEPTED": Finding.SENDING,
    "AWAITING_APPROVAL": Finding.WAITING_FOR_APPROVAL,
}
CHANGE_OF = {Finding.OUTCOME_UNKNOWN: "UNKNOWN", Finding.WAITING_FOR_APPROVAL: "AWAITING_APPROVAL"}


def open_change(status: str, **fields: Any) -> SimpleNamespace:
    given: dict[str, Any] = {
        "pk": 12,
        "status": status,
        "organization": SimpleNamespace(name="halden-b"),
        "author": SimpleNamespace(email="mara.lindqvist@halden.example"),
        "author_id": 7,
        "target": HamrStatus.FAILOVER,
        "sent_at": ago(minutes=2),
        "confirmed_at": ago(minutes=3),
        "expires_at": NOW + timedelta(minutes=27),
    }
    return SimpleNamespace(**(given | fields))


@pytest.mark.parametrize("finding", [each for each in Finding if each is not Finding.BOTH_PASSIVE])
@pytest.mark.parametrize("paired", [True, False])
def test_every_finding_has_a_sentence_with_what_is_next(finding: Finding, paired: bool):
    snapshot = SimpleNamespace(
        answered_at=ago(minutes=4), due_at=NOW + timedelta(seconds=5), attempt_status=503, attempt_reason="", repeats=2
    )
    here, there = (
        SimpleNamespace(
            organization=SimpleNamespace(name=each.name, site=each.site),
            snapshot=snapshot,
            side=each,
            is_current=True,
            status_name="PASSIVE",
        )
        for each in (side("halden-a", Column.PRIMARY), side("halden-b", Column.SECONDARY))
    )
    found = Found(finding, here.side, ago(minutes=4))
    shown = SimpleNamespace(
        primary=here,
        secondary=there if paired else None,
        sides=(here, there) if paired else (here,),
        change=open_change(CHANGE_OF.get(finding, "SENDING")),
        judgement=Judgement(Verdict.SPLIT_VIEW, NOW, Join.DISAGREE, (found,)),
    )

    text = drawn("{% include 'dashboard/_note.html' %}", found=found, row=shown)

    assert "Next" in text
    assert "None" not in text


def note(finding: Finding, *, modified_by: str = "mara.lindqvist", without_next: bool = False, **seen: Any) -> str:
    """Draw what is said of a finding on the only side of a row."""
    here = side("halden-a", Column.PRIMARY, modified_by=modified_by, modified_at=seen.pop("modified_at", NOW))
    shown = SimpleNamespace(organization=SimpleNamespace(name=here.name, site=here.site), side=here)
    shown.snapshot = SimpleNamespace(**{"due_at": NOW, "attempt_reason": "", **seen})
    found = Found(finding, here, NOW)
    drawn_row = SimpleNamespace(sides=(shown,), judgement=Judgement(Verdict.IN_SYNC, NOW, Join.AGREE, (found,)))
    text = drawn(
        "{% include 'dashboard/_note.html' %}", found=found, row=drawn_row, without_next=without_next, worker=None
    )
    return " ".join(text.split())


def test_change_that_names_itself_leads_to_who_made_it():
    text = note(Finding.CHANGED_OUTSIDE)

    assert "was changed outside the portal, seen at" in text
    assert text.endswith("Next: ask mara.lindqvist.")
    assert note(Finding.CHANGED_OUTSIDE, modified_by="").endswith("Next: find out who did it.")


def test_change_that_names_no_time_accuses_nobody():
    text = note(Finding.CHANGED_OUTSIDE, modified_at=ago(days=3))

    assert "and names no new change" in text
    assert "mara" not in text
    assert "/organizations/halden-a/#history" in text


def test_change_after_which_another_was_made_accuses_nobody():
    text = note(Finding.CHANGED_OUTSIDE, modified_at=ago(minutes=-1))

    assert "was changed outside the portal, seen at" in text
    assert "and changed again at" in text
    assert "mara" not in text
    assert "/organizations/halden-a/#history" in text


def test_remark_beside_another_note_leaves_the_next_step_to_it():
    assert "Next" not in note(Finding.CHANGED_OUTSIDE, without_next=True)


def test_read_that_was_due_is_not_announced():
    assert "Next read" not in note(Finding.NO_ANSWER, repeats=1)
    assert "was due" in note(Finding.NO_ANSWER, repeats=1)


def test_read_that_is_due_and_taken_is_under_way():
    assert "under way" in note(Finding.NO_ANSWER, repeats=1, leased_until=NOW + timedelta(seconds=5))


def test_web_page_in_place_of_an_answer_points_at_the_proxy():
    assert "check the proxy" in note(Finding.UNREADABLE, attempt_reason="not a Datadog answer (text/html)")
    assert "#raw" in note(Finding.UNREADABLE)


def state(pulse: str, *, fresh: int = 1, last: datetime | None = None, action: int = 0, dark: bool = False) -> str:
    """Draw the state of everything."""
    rows = [SimpleNamespace(name=name, pair=name) for name in ("Payments", "Billing", "Search")[:action]]
    site = Answers(0, 2, ReadOutcome.NO_ANSWER) if dark else Answers(2, 2)
    text = drawn(
        "{% include 'dashboard/_state.html' %}",
        overview=SimpleNamespace(action=rows, rows=(), sites=[site]),
        freshness=SimpleNamespace(fresh=fresh, last=last),
        worker=SimpleNamespace(pulse=SimpleNamespace(name=pulse)),
    )
    return " ".join(text.split())


def test_no_current_view_is_said_before_anything_else():
    text = state("STOPPED", fresh=0, last=ago(minutes=9), action=3)

    assert "No view is current" in text
    assert "3 pairs needed action then: Payments, Billing, Search. Next: start a worker" in text


@pytest.mark.parametrize(("pulse", "said"), [("LIVE", "has answered since"), ("LATE", "restart the worker")])
def test_what_to_do_without_a_current_view_depends_on_the_worker(pulse: str, said: str):
    assert said in state(pulse, fresh=0, last=ago(minutes=9))


@pytest.mark.parametrize(
    ("pulse", "dark", "calm"), [("LIVE", False, True), ("LIVE", True, False), ("LATE", False, False)]
)
def test_every_site_answers_only_while_somebody_reads_and_each_does(pulse: str, dark: bool, calm: bool):
    assert ("Every site answers." in state(pulse, dark=dark)) is calm


def test_late_reading_is_said_beside_what_needs_action():
    assert "1 pair needs action. Reading is late" in state("LATE", action=1)


# --- what is said of an open change, and the row's button ----------------------------------------------------------


def open_row(change: SimpleNamespace | None, *findings: Finding, status: str = "PASSIVE") -> SimpleNamespace:
    """Give a pair with these findings, the worst first, as templates are handed it."""
    sides = [side("halden-a", Column.PRIMARY), side("halden-b", Column.SECONDARY)]
    rows = tuple(
        SimpleNamespace(
            organization=SimpleNamespace(name=each.name, site=site),
            snapshot=SimpleNamespace(answered_at=NOW, repeats=3),
            side=each,
            is_current=True,
            status_name=status,
        )
        for each, site in zip(sides, ("us1", "us5"), strict=True)
    )
    wanted = next(verdict for verdict, of_it in VERDICT_OF.items() if findings[0] in of_it)
    found = tuple(Found(each, sides[each in OF_CHANGES], NOW) for each in findings)
    judgement = Judgement(wanted, NOW, Join.AGREE, found)
    return SimpleNamespace(
        name="A", pair="A", primary=rows[0], secondary=rows[1], sides=rows, judgement=judgement, verdict=wanted,
        change=change,
    )  # fmt: skip


def said(change: SimpleNamespace | None, *findings: Finding, **context: Any) -> str:
    """Draw what is to be known of a pair, without markup."""
    text = drawn("{% include 'dashboard/_notes.html' %}", row=open_row(change, *findings), **context)
    return " ".join(re.sub(r"<[^>]+>", "", text).split())


@pytest.mark.parametrize(
    ("change", "finding", "sentence"),
    [
        (
            open_change("UNKNOWN"),
            Finding.OUTCOME_UNKNOWN,
            "Whether halden-b was set to FAILOVER is not known. Sent by mara.lindqvist, 03:10:44. "
            "Next: do not send again, see the change.",
        ),
        (
            open_change("UNKNOWN", links=True, skip_reason="nobody is awake"),
            Finding.OUTCOME_UNKNOWN,
            "Whether halden-b was connected is not known. Sent by mara.lindqvist without approval, 03:10:44. "
            "Next: do not send again, see the change.",
        ),
        (
            open_change("SENDING", skip_reason="nobody is awake"),
            Finding.SENDING,
            "mara.lindqvist sets halden-b to FAILOVER without approval, sent 03:10:44. Next: see what comes of it.",
        ),
        (
            open_change("ACCEPTED", links=True),
            Finding.SENDING,
            "mara.lindqvist connects halden-b, sent 03:10:44: accepted, not read back yet. Next: see what comes of it.",
        ),
        (
            open_change("AWAITING_APPROVAL"),
            Finding.WAITING_FOR_APPROVAL,
            "mara.lindqvist asks to set halden-b to FAILOVER, since 03:09:44; it waits until 03:39:44. "
            "Next: a second person approves it. Needs an approver.",
        ),
        (
            open_change("AWAITING_APPROVAL", links=True),
            Finding.WAITING_FOR_APPROVAL,
            "mara.lindqvist asks to connect halden-b, since 03:09:44; it waits until 03:39:44. "
            "Next: a second person approves it. Needs an approver.",
        ),
    ],
)
def test_open_change_is_told_with_who_and_since_when_and_what_is_next(
    change: SimpleNamespace, finding: Finding, sentence: str
):
    assert said(change, finding) == sentence


@pytest.mark.parametrize(("person", "decides"), [(8, True), (7, False)])
def test_only_another_person_than_the_author_is_asked_to_approve(person: int, decides: bool):
    text = said(
        open_change("AWAITING_APPROVAL"),
        Finding.WAITING_FOR_APPROVAL,
        approves=True,
        person=SimpleNamespace(pk=person),
    )

    assert ("Next: approve or decline it." in text) is decides


@pytest.mark.parametrize(
    "worse", [Finding.PRIMARY_UNREACHABLE, Finding.STATUSES_DIFFER, Finding.BOTH_PRIMARY, Finding.BOTH_FAILOVER]
)
def test_next_step_of_a_pair_with_an_open_change_is_that_change(worse: Finding):
    text = said(open_change("UNKNOWN"), worse, Finding.OUTCOME_UNKNOWN)

    assert text.count("Next:") == 1
    assert text.endswith("Next: do not send again, see the change.")


def test_change_from_outside_beside_an_open_one_leaves_the_next_step_to_it():
    text = said(
        open_change("AWAITING_APPROVAL"), Finding.BOTH_FAILOVER, Finding.WAITING_FOR_APPROVAL, Finding.CHANGED_OUTSIDE
    )

    assert "was changed outside the portal" in text
    assert text.count("Next:") == 1


def test_failover_is_one_step_away_for_operators_and_named_for_others():
    drawn_row = open_row(None, Finding.PRIMARY_UNREACHABLE)
    template = "{% include 'dashboard/_notes.html' %}"

    for_operators = drawn(template, row=drawn_row, changes_status=True)
    for_others = drawn(template, row=drawn_row)

    assert f'<a href="{reverse("change_new", args=["halden-b"])}">set halden-b to FAILOVER</a>' in for_operators
    assert "set halden-b to FAILOVER. Needs an operator." in for_others
    assert "by hand" not in for_operators + for_others


@pytest.mark.parametrize("finding", [Finding.NO_CONNECTION, Finding.ONBOARDING_ON_ONE_SIDE])
def test_connection_is_made_by_an_admin(finding: Finding):
    template = "{% include 'dashboard/_notes.html' %}"

    for_admins = drawn(template, row=open_row(None, finding), links_organizations=True)
    for_others = drawn(template, row=open_row(None, finding))

    assert f'<a href="{reverse("change_new", args=["halden-a"])}">create it on halden-a</a>' in for_admins
    assert "create it on halden-a. Needs an admin." in for_others


def act(row: SimpleNamespace, **may: Any) -> tuple[str, str, str]:
    """Give the words, the style and the address of a row's button."""
    text = drawn("{% include 'dashboard/_act.html' %}", row=row, first="halden-a", **may)
    (found,) = re.findall(r'<a class="btn btn--sm ?([^"]*)" id="act-halden-a" href="([^"]*)">([^<]*)<', text)
    style, address, words = found
    return words, style, address


OPERATOR = {"changes_status": True}
ADMIN = {"changes_status": True, "links_organizations": True}
APPROVER = {"approves": True, "person": SimpleNamespace(pk=8)}
AUTHOR = {"approves": True, "person": SimpleNamespace(pk=7)}


@pytest.mark.parametrize(
    ("findings", "may", "button"),
    [
        ([Finding.PRIMARY_UNREACHABLE], OPERATOR, ("Change status", "btn--primary", "change_new halden-b")),
        ([Finding.PRIMARY_UNREACHABLE], {}, ("Compare sides", "", "organization halden-a")),
        ([Finding.KEY_REFUSED], OPERATOR, ("Change status", "", "change_new halden-a")),
        ([Finding.STATUSES_DIFFER], OPERATOR, ("Compare sides", "", "organization halden-a")),
        ([Finding.BOTH_FAILOVER], OPERATOR, ("Change status", "btn--primary", "change_new halden-b")),
        ([Finding.RATE_LIMITED], OPERATOR, ("Change status", "btn--quiet", "change_new halden-a")),
        ([Finding.BOTH_PASSIVE], OPERATOR, ("Change status", "btn--quiet", "change_new halden-b")),
        ([Finding.BOTH_PASSIVE], {}, ("Compare sides", "btn--quiet", "organization halden-a")),
        ([Finding.NO_CONNECTION], ADMIN, ("Create connection", "btn--quiet", "change_new halden-a")),
        ([Finding.NO_CONNECTION], OPERATOR, ("Compare sides", "btn--quiet", "organization halden-a")),
    ],
)
def test_button_of_a_row_is_the_next_step_of_who_looks(
    findings: list[Finding], may: dict[str, Any], button: tuple[str, str, str]
):
    words, style, address = button
    name, argument = address.split()

    assert act(open_row(None, *findings), **may) == (words, style, reverse(name, args=[argument]))


@pytest.mark.parametrize(
    ("status", "may", "words", "style"),
    [
        ("UNKNOWN", OPERATOR, "See the change", "btn--primary"),
        ("UNKNOWN", {}, "See the change", "btn--primary"),
        ("SENDING", OPERATOR, "See the change", ""),
        ("ACCEPTED", APPROVER, "See the change", ""),
        ("AWAITING_APPROVAL", OPERATOR, "See the change", ""),
        ("AWAITING_APPROVAL", APPROVER, "Decide", "btn--primary"),
        ("AWAITING_APPROVAL", AUTHOR, "See the change", ""),
    ],
)
def test_button_of_a_row_with_an_open_change_leads_to_it(status: str, may: dict[str, Any], words: str, style: str):
    shown = open_row(open_change(status), Finding.PRIMARY_UNREACHABLE, CHANGE_FINDING[status])

    assert act(shown, **may) == (words, style, reverse("change", args=[12]))
