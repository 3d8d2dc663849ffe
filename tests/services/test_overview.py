from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from pytest_django.fixtures import Settings

from hamr_portal.domain.changes import OPEN, ChangeStatus, What
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.findings import Finding, Group, Join, Verdict
from hamr_portal.domain.pairs import Column
from hamr_portal.models import LogLine, Organization, Pair, Snapshot
from hamr_portal.services import overview
from hamr_portal.services.comparison import Agreement, Comparison, compare
from hamr_portal.services.overview import Filters, Freshness, SiteAnswers
from tests import factories
from tests.open_changes import opened

pytestmark = pytest.mark.django_db


def now_overview(**filters: object) -> overview.Overview:
    return overview.overview(now=timezone.now(), filters=Filters(**filters))  # type: ignore[arg-type]


def failing(organization: Organization, outcome: ReadOutcome, repeats: int = 1) -> None:
    Snapshot.objects.filter(pk=organization.pk).update(outcome=outcome, attempt_failed=True, repeats=repeats)


def says(organization: Organization, **view: object) -> None:
    Snapshot.objects.filter(pk=organization.pk).update(**view)


def names(rows: tuple[overview.Row, ...]) -> list[str]:
    return [row.name for row in rows]


@pytest.fixture
def of_every_group() -> None:
    """One row in each group, made in no order."""
    _, dark = factories.pair("in-progress-a", "in-progress-b", status=3)
    factories.pair("in-sync-a", "in-sync-b")
    factories.pair("failed-over-a", "failed-over-b", status=4)
    factories.pair("setting-up-a", "setting-up-b", status=1)
    limited, _ = factories.pair("degraded-a", "degraded-b")
    failing(limited, ReadOutcome.RATE_LIMITED)
    dark, _ = factories.pair("need-action-a", "need-action-b")
    failing(dark, ReadOutcome.NO_ANSWER, repeats=3)


# --- rows -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("of_every_group")
def test_the_groups_come_worst_first_with_a_row_each():
    everything = now_overview()

    assert [group for group, _ in everything.groups] == list(Group)
    assert [names(tuple(rows)) for _, rows in everything.groups] == [
        ["Need-Action-A"],
        ["In-Progress-A"],
        ["Failed-Over-A"],
        ["Degraded-A"],
        ["Setting-Up-A"],
        ["In-Sync-A"],
    ]
    assert everything.counts == dict.fromkeys(Group, 1)


def test_rows_of_one_verdict_are_in_the_order_of_their_names():
    for name in ("zebra", "acme", "mango"):
        factories.pair(name, f"{name}-dr")

    assert names(now_overview().rows) == ["Acme", "Mango", "Zebra"]


def test_an_installation_with_nothing_saved_is_empty():
    everything = now_overview()

    assert (everything.rows, everything.groups, everything.sites, everything.fresh) == ((), [], (), 0)
    assert everything.counts == dict.fromkeys(Group, 0)
    assert not overview.needing_action(everything)


def test_a_pair_has_its_sides_in_their_columns_whoever_was_saved_first():
    primary, secondary = factories.pair()
    Organization.objects.filter(pk__in=[primary.pk, secondary.pk]).update(pair=None, column=None)
    pair = Pair.objects.get()
    Organization.objects.filter(pk=primary.pk).update(pair=pair, column=Column.SECONDARY)
    Organization.objects.filter(pk=secondary.pk).update(pair=pair, column=Column.PRIMARY)

    (row,) = now_overview().rows

    assert [side.organization for side in row.sides] == [secondary, primary]
    assert row.primary is not None
    assert row.secondary is not None
    assert (row.other(row.primary), row.other(row.secondary)) == (row.secondary, row.primary)


def test_a_disabled_side_leaves_its_other_side_alone_and_in_its_column():
    primary, secondary = factories.pair()
    Organization.objects.filter(pk=primary.pk).update(disabled_at=timezone.now())

    (row,) = now_overview().rows

    assert (row.pair, row.name, row.primary) == (secondary.pair, "Checkout", None)
    assert row.secondary is not None
    assert row.secondary.organization == secondary
    assert (row.verdict, row.judgement.join, row.other(row.secondary)) == (Verdict.SIDE_DISABLED, Join.ONE_SIDE, None)


def test_an_organization_that_was_never_read_is_shown_without_a_status():
    factories.organization("acme")

    (row,) = now_overview().rows

    assert (row.verdict, row.sides[0].status_name, row.sides[0].is_current) == (Verdict.NOT_READ_YET, None, False)


def test_an_unknown_status_is_named_by_its_number():
    factories.pair(status=99)

    (row,) = now_overview().rows

    assert [side.status_name for side in row.sides] == ["Unknown status 99"] * 2
    assert row.verdict is Verdict.UNKNOWN_STATUS


@pytest.mark.parametrize(("saved", "verdict"), [(True, Verdict.SPLIT_VIEW), (False, Verdict.UNPAIRED)])
def test_an_unpaired_side_is_split_only_where_its_target_is_saved(saved: bool, verdict: Verdict):
    target = factories.organization("target")
    factories.seen(factories.organization("acme"), target_uuid=target.uuid if saved else uuid4())

    (row,) = now_overview(text="acme", names=frozenset({"acme"})).shown

    assert row.verdict is verdict


# --- open changes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", sorted(OPEN))
def test_a_pair_carries_the_change_that_is_open_on_it(status: ChangeStatus):
    primary, secondary = factories.pair()
    factories.pair("search", "search-dr")
    change = opened(secondary, status)

    by_name = {row.name: row.change for row in now_overview().rows}

    assert by_name == {"Checkout": change, "Search": None}
    assert overview.row_of(primary, now=timezone.now()).change == change


@pytest.mark.parametrize("status", sorted(set(ChangeStatus) - OPEN))
def test_a_change_that_holds_no_pair_is_not_carried(status: ChangeStatus):
    _, secondary = factories.pair()
    never_sent = status in {"PREPARED", "CANCELLED", "DECLINED", "EXPIRED"}
    opened(secondary, status, sent_at=None if never_sent else timezone.now())

    (row,) = now_overview().rows

    assert (row.change, row.verdict) == (None, Verdict.IN_SYNC)


def test_a_change_is_carried_by_a_pair_that_was_found_after_it_and_by_both_sides_where_there_is_none():
    _, secondary = factories.pair()
    change = opened(secondary, pair=None)
    single, other = (factories.seen(factories.organization(name)) for name in ("acme", "acme-dr"))
    linking = opened(single, ChangeStatus.UNKNOWN, other=other, links=True)

    by_name = {row.name: row.change for row in now_overview().rows}

    assert by_name == {"Checkout": change, "acme": linking, "acme-dr": linking}


def test_a_change_stays_with_its_pair_where_a_side_has_left_it():
    _, secondary = factories.pair()
    change = opened(secondary)
    Organization.objects.filter(pk=secondary.pk).update(disabled_at=timezone.now())

    (row,) = now_overview().rows

    assert (row.primary is not None, row.secondary, row.change) == (True, None, change)


def test_of_several_changes_a_pair_carries_the_one_that_a_person_has_to_know_of_first():
    primary, secondary = factories.pair()
    opened(primary, ChangeStatus.AWAITING_APPROVAL, pair=None)
    unknown = opened(secondary, ChangeStatus.UNKNOWN)

    (row,) = now_overview().rows

    assert row.change == unknown


def test_a_change_that_arrives_at_one_side_first_is_no_split_view():
    _, secondary = factories.pair()
    change = opened(secondary, ChangeStatus.ACCEPTED)
    says(secondary, status=3)

    (row,) = now_overview().rows

    assert (row.verdict, row.judgement.join, row.change) == (Verdict.SENDING, Join.DISAGREE, change)
    assert row.judgement.since == change.sent_at


def test_what_was_before_is_what_was_read_last_before_sending_on_the_side_that_got_the_request():
    primary, secondary = factories.pair()
    change = opened(secondary, ChangeStatus.ACCEPTED)
    lines = [(secondary, 4, What.READ_AGAIN), (primary, 5, What.READ_AGAIN), (secondary, 5, What.READ_BACK)]
    for organization, status, what in lines:
        moment = timezone.now()
        LogLine.objects.create(
            change=change,
            organization=organization,
            has_connection=True,
            status=status,
            what=what,
            at=moment,
            last_at=moment,
        )

    verdicts = {}
    for status in (2, 4, 5):
        says(primary, status=status)
        says(secondary, status=3)
        verdicts[status] = now_overview().rows[0].verdict

    assert verdicts == {2: Verdict.SPLIT_VIEW, 4: Verdict.SENDING, 5: Verdict.SPLIT_VIEW}


@pytest.mark.parametrize(
    ("status", "needs"),
    [
        (ChangeStatus.UNKNOWN, 1),
        (ChangeStatus.SENDING, 0),
        (ChangeStatus.ACCEPTED, 0),
        (ChangeStatus.AWAITING_APPROVAL, 0),
    ],
)
def test_only_an_unknown_outcome_needs_action_in_a_terminal(status: ChangeStatus, needs: int):
    opened(factories.pair()[1], status)

    assert overview.needing_action(now_overview()) == needs


def test_an_open_change_does_not_hide_that_nobody_reads():
    _, secondary = factories.pair(at=timezone.now() - timedelta(minutes=5))
    opened(secondary, ChangeStatus.AWAITING_APPROVAL)

    everything = now_overview()

    assert everything.rows[0].verdict is Verdict.WAITING_FOR_APPROVAL
    assert everything.rows[0].judgement.has(Finding.STALE)
    assert overview.needing_action(everything) == 1


# --- filters ----------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout_and_search() -> tuple[Organization, Organization]:
    checkout, _ = factories.pair("checkout", "checkout-dr", sites=("us1", "us5"), status=2)
    search, search_dr = factories.pair("search", "search-dr", sites=("eu1", "ap1"), status=4)
    failing(search, ReadOutcome.KEY_REFUSED)
    says(search_dr, target_name="Grüße", target_uuid=UUID(int=77))
    return checkout, search


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["Search", "Checkout"]),
        ({"text": "CHECK"}, ["Checkout"]),
        ({"text": "search-dr"}, ["Search"]),
        ({"text": "GRÜSSE"}, ["Search"]),
        ({"text": "-0000-00000000004d"}, ["Search"]),
        ({"text": "nowhere"}, []),
        ({"site": "us5"}, ["Checkout"]),
        ({"site": "us3"}, []),
        ({"status": "ACTIVE"}, ["Search"]),
        ({"status": "ACTIVE", "site": "us1"}, []),
        ({"group": Group.IN_SYNC}, ["Checkout"]),
        ({"group": Group.IN_PROGRESS}, []),
        ({"names": frozenset({"checkout-dr"})}, ["Checkout"]),
    ],
)
@pytest.mark.usefixtures("checkout_and_search")
def test_a_filter_shows_what_it_asks_for_and_counts_what_it_leaves(filters: dict[str, object], found: list[str]):
    everything = now_overview(**filters)

    assert names(everything.shown) == found
    assert names(everything.rows) == ["Search", "Checkout"]
    assert sum(everything.counts.values()) == (2 if "group" in filters else len(found))
    assert [row.name for row in everything.action] == ["Search"]


def test_a_site_that_nobody_asked_lately_does_not_count_as_answering():
    moment = timezone.now() - timedelta(minutes=10)
    primary, _ = factories.pair(at=moment)
    Snapshot.objects.filter(pk=primary.pk).update(due_at=moment)

    by_site = {site.site: site for site in now_overview().sites}

    assert (by_site["us1"].answered, by_site["us1"].worst) == (0, None)
    assert by_site["us5"].answered == 1


def test_what_is_stale_needs_action_in_a_terminal():
    factories.pair(at=timezone.now() - timedelta(minutes=5))

    assert overview.needing_action(now_overview())


def test_text_finds_an_organizations_own_uuid(checkout_and_search: tuple[Organization, Organization]):
    checkout, _ = checkout_and_search

    assert names(now_overview(text=str(checkout.uuid)).shown) == ["Checkout"]


def test_what_needs_action_is_asked_of_the_shown_rows(checkout_and_search: tuple[Organization, Organization]):
    checkout, search = checkout_and_search

    assert overview.needing_action(now_overview())
    assert overview.needing_action(now_overview(names=frozenset({search.name})))
    assert not overview.needing_action(now_overview(names=frozenset({checkout.name})))


# --- sites ------------------------------------------------------------------------------------------------------


def test_sites_say_how_many_answer_and_the_worst_comes_first():
    one, two = factories.pair("a", "a-dr", sites=("us1", "us5"))
    three, _ = factories.pair("b", "b-dr", sites=("us1", "eu1"))
    factories.organization("never", site="ap1")
    failing(one, ReadOutcome.SERVER_ERROR)
    failing(two, ReadOutcome.NO_ANSWER)
    failing(three, ReadOutcome.KEY_REFUSED)

    assert now_overview().sites == (
        SiteAnswers("us5", 0, 1, ReadOutcome.NO_ANSWER),
        SiteAnswers("us1", 1, 2, ReadOutcome.SERVER_ERROR),
        SiteAnswers("eu1", 1, 1, None),
    )


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_no_answer_is_the_worst_that_a_site_can_do(order: tuple[int, int]):
    sides = factories.pair("a", "a-dr", sites=("us1", "us1"))
    failing(sides[order[0]], ReadOutcome.NO_ANSWER)
    failing(sides[order[1]], ReadOutcome.UNREADABLE)

    assert now_overview().sites == (SiteAnswers("us1", 0, 2, ReadOutcome.NO_ANSWER),)


# --- freshness --------------------------------------------------------------------------------------------------


def test_only_views_of_the_present_are_counted_as_fresh():
    now = timezone.now()
    factories.pair("fresh", "fresh-dr", at=now)
    factories.pair("old", "old-dr", at=now - timedelta(minutes=3))
    dark, _ = factories.pair("dark", "dark-dr", at=now)
    failing(dark, ReadOutcome.NO_ANSWER)
    factories.organization("never")
    disabled = factories.organization("disabled")
    Organization.objects.filter(pk=disabled.pk).update(disabled_at=now)

    everything = overview.overview(now=now)

    assert overview.freshness(now=now) == Freshness(fresh=3, total=7, last=now)
    assert (everything.fresh, len(everything.views)) == (3, 7)


def test_views_stay_fresh_for_longer_where_reads_are_rarer(settings: Settings):
    settings.HAMR_POLL_INTERVAL = 5
    short = overview.stale_after()
    settings.HAMR_POLL_INTERVAL = 100

    assert (short, overview.stale_after()) == (timedelta(minutes=2), timedelta(minutes=5))


# --- comparing --------------------------------------------------------------------------------------------------


def compared() -> Comparison | None:
    (row,) = now_overview().rows
    return compare(row)


def test_two_views_that_mirror_each_other_agree_in_all():
    factories.pair()

    comparison = compared()

    agree = Agreement.AGREE
    assert comparison == Comparison(agree, agree, agree, agree, None)
    assert comparison is not None
    assert comparison.known


@pytest.mark.parametrize(
    ("view", "respect", "agreement"),
    [
        ({"status": 4}, "status", Agreement.DIFFER),
        ({"is_primary": True}, "role", Agreement.BOTH_PRIMARY),
        ({"target_uuid": UUID(int=7)}, "target", Agreement.DIFFER),
        ({"modified_by": "somebody"}, "modified", Agreement.DIFFER),
        ({"modified_at": datetime.fromisoformat("2026-01-01T00:00:00Z")}, "modified", Agreement.DIFFER),
    ],
)
def test_each_respect_is_compared_for_itself(view: dict[str, object], respect: str, agreement: Agreement):
    _, secondary = factories.pair()
    says(secondary, **view)

    comparison = compared()

    found = {name: getattr(comparison, name) for name in ("status", "role", "target", "modified")}
    assert found.pop(respect) is agreement
    assert set(found.values()) == {Agreement.AGREE}


def test_two_secondaries_have_no_primary():
    primary, _ = factories.pair()
    says(primary, is_primary=False)

    comparison = compared()

    assert comparison is not None
    assert comparison.role is Agreement.NEITHER_PRIMARY


def test_what_is_not_of_the_present_is_not_compared():
    long_ago = timezone.now() - timedelta(hours=1)
    primary, _ = factories.pair(status=2)
    says(primary, answered_at=long_ago)
    failing(primary, ReadOutcome.NO_ANSWER)

    comparison = compared()

    unknown = Agreement.NOT_KNOWN
    assert comparison == Comparison(unknown, unknown, unknown, unknown, long_ago)
    assert comparison is not None
    assert not comparison.known


def test_nothing_is_known_of_a_side_that_never_answered():
    primary, _ = factories.pair()
    says(primary, answered_at=None, has_connection=None, outcome="")

    comparison = compared()

    assert comparison is not None
    assert (comparison.known, comparison.last_known_at) == (False, None)


def test_one_side_is_not_compared():
    factories.seen(factories.organization("alone"))

    assert compared() is None


# --- one organization's row -------------------------------------------------------------------------------------


def scattered(seed: int, now: datetime) -> list[Organization]:
    """Save organizations in a state that nobody thought of."""
    random = Random(seed)
    for number in range(4):
        factories.pair(f"p{number}", f"p{number}-dr", at=now)
    for number in range(4):
        factories.seen(factories.organization(f"single{number}"), at=now)
    uuids = [*Organization.objects.values_list("uuid", flat=True), None, uuid4()]
    for organization in Organization.objects.all():
        says(
            organization,
            target_uuid=random.choice(uuids),
            is_primary=random.choice([True, False, None]),
            has_connection=random.choice([True, True, False, None]),
            status=random.choice([None, 0, 1, 2, 2, 3, 4, 5, 9]),
            outcome=random.choice([*ReadOutcome, ReadOutcome.ANSWERED, ""]),
            repeats=random.choice([1, 2, 3]),
            answered_at=random.choice([now, now - timedelta(minutes=5), None]),
        )
        if random.random() < 0.2:
            Organization.objects.filter(pk=organization.pk).update(disabled_at=now)
    return list(Organization.objects.enabled().select_related("snapshot", "pair"))


@pytest.mark.parametrize("seed", range(12))
def test_an_organizations_own_row_is_the_one_of_the_overview(seed: int):
    now = timezone.now()
    organizations = scattered(seed, now)
    rows = {side.organization.pk: row for row in overview.overview(now=now).rows for side in row.sides}

    assert organizations
    for organization in organizations:
        row, expected = overview.row_of(organization, now=now), rows[organization.pk]
        assert (row.name, row.pair, row.judgement) == (expected.name, expected.pair, expected.judgement)
        assert [side.side for side in row.sides] == [side.side for side in expected.sides]


def test_a_disabled_organization_still_has_a_row_of_its_own():
    primary, secondary = factories.pair()
    Organization.objects.filter(pk=primary.pk).update(disabled_at=timezone.now())

    row = overview.row_of(primary, now=timezone.now())

    assert [side.organization for side in row.sides] == [primary, secondary]
    assert [side.is_current for side in row.sides] == [False, True]


def test_disabled_organizations_are_saved_all_the_same():
    primary, _ = factories.pair()
    Organization.objects.filter(pk=primary.pk).update(disabled_at=timezone.now())

    assert overview.count_saved() == 2


# --- queries ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", [1, 20])
def test_the_number_of_queries_does_not_grow(pairs: int, django_assert_num_queries: DjangoAssertNumQueries):
    for number in range(pairs):
        _, secondary = factories.pair(f"org-{number}", f"org-{number}-dr")
        opened(secondary)
    organization = Organization.objects.select_related("snapshot", "pair").first()
    assert organization is not None

    with django_assert_num_queries(2):
        everything = now_overview()
        assert len(everything.views) == 2 * pairs
        assert all(row.change and row.change.author.email and row.change.organization.name for row in everything.rows)
    with django_assert_num_queries(3):
        overview.row_of(organization, now=timezone.now())
    with django_assert_num_queries(1):
        overview.freshness(now=timezone.now())
