from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.findings import Finding, Found, Join, Judgement, Verdict, judge_pair
from hamr_portal.domain.pairs import Column, Side
from hamr_portal.templatetags import _findings

from .drawing import NOW, ago, drawn

ONE, OTHER = UUID(int=1), UUID(int=2)


@dataclass
class SideRow:
    side: Side


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


def row(primary: Side, secondary: Side) -> Row:
    judgement = judge_pair(primary, secondary, now=NOW, stale_after=timedelta(minutes=2))
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
    ("changed_at", "names_itself"), [(ago(minutes=10), True), (ago(minutes=11), False), (None, False)]
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
