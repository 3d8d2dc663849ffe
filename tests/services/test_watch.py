"""Are people called once when a pair begins to need action, once when that is over, and not each time it flickers?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.news import LASTS, Kind, Lean
from hamr_portal.models import News, Organization, Snapshot, Watched
from hamr_portal.services import notifications, watch
from tests import factories
from tests.services import changing

pytestmark = pytest.mark.django_db

START = timezone.now().replace(hour=12)
WORSE, BETTER = LASTS[Lean.WORSE], LASTS[Lean.BETTER]


def looked(*after: timedelta) -> datetime:
    """Look at each of these times after the start, each after the one before, while everything that was read is new."""
    now = START
    for each in after:
        now += each
        Snapshot.objects.filter(attempt_failed=False, answered_at__isnull=False).update(answered_at=now)
        watch.look(now=now)
    return now


def silent(*organizations: Organization, since: datetime = START) -> None:
    fields: dict[str, Any] = {"outcome": "NO_ANSWER", "attempt_failed": True, "repeats": 7, "outcome_since": since}
    Snapshot.objects.filter(pk__in=[each.pk for each in organizations]).update(**fields)


def answering(*organizations: Organization) -> None:
    fields: dict[str, Any] = {"outcome": "ANSWERED", "attempt_failed": False, "repeats": 1}
    Snapshot.objects.filter(pk__in=[each.pk for each in organizations]).update(**fields)


def told() -> list[tuple[str, str]]:
    return [(news.kind, news.facts["verdict"]) for news in News.objects.order_by("pk")]


NOW = timedelta(0)


def test_a_calm_pair_is_no_news_and_leaves_nothing_behind() -> None:
    factories.pair()

    looked(NOW, WORSE, BETTER)

    assert told() == []
    assert not Watched.objects.exists()


def test_a_pair_that_needs_action_is_told_once() -> None:
    primary, _ = factories.pair()
    silent(primary)

    looked(NOW)
    before = told()
    looked(WORSE, WORSE, BETTER, BETTER)

    assert before == [], "it has to last"
    assert told() == [(Kind.VERDICT, "Primary unreachable")]


def test_what_passes_at_once_is_told_to_nobody() -> None:
    primary, _ = factories.pair()
    silent(primary)
    looked(NOW)
    answering(primary)

    looked(WORSE / 2, WORSE, BETTER)

    assert told() == []
    assert not Watched.objects.exists()


def test_that_it_is_over_is_told_once_when_it_has_lasted() -> None:
    primary, _ = factories.pair()
    silent(primary)
    looked(NOW, WORSE)
    answering(primary)

    looked(2 * WORSE, BETTER / 2)
    before = told()
    looked(2 * WORSE + BETTER, BETTER)

    assert len(before) == 1
    assert told()[1:] == [(Kind.OVER, "In sync")]
    assert not Watched.objects.exists()


def test_a_pair_that_flickers_is_told_of_once() -> None:
    primary, _ = factories.pair()
    silent(primary)
    now = looked(NOW, WORSE) - START
    for _ in range(40):
        now += BETTER / 3
        answering(primary)
        looked(now)
        now += BETTER / 3
        silent(primary)
        looked(now)

    assert told() == [(Kind.VERDICT, "Primary unreachable")]


def test_what_flickers_between_two_troubles_is_told_of_all_the_same() -> None:
    primary, secondary = factories.pair()
    now = NOW
    for _ in range(4):
        silent(primary)
        answering(secondary)
        looked(now)
        now += WORSE / 2
        silent(primary, secondary)
        looked(now)
        now += WORSE / 2

    assert told()[:1] in ([(Kind.VERDICT, "Both unreachable")], [(Kind.VERDICT, "Primary unreachable")])
    assert len(told()) <= 2


def test_what_gets_worse_is_told_at_once_and_what_gets_less_bad_when_it_has_lasted() -> None:
    primary, secondary = factories.pair()
    silent(primary)
    looked(NOW, WORSE)
    silent(secondary)
    now = looked(2 * WORSE, WORSE) - START
    answering(secondary)
    looked(now, WORSE)
    before = told()
    looked(now + WORSE + BETTER)

    assert before == [(Kind.VERDICT, "Primary unreachable"), (Kind.VERDICT, "Both unreachable")]
    assert told()[2:] == [(Kind.VERDICT, "Primary unreachable")]
    assert News.objects.order_by("-pk")[0].facts["before"] == "Both unreachable"


def test_an_unpaired_organization_is_watched_too() -> None:
    alone = factories.seen(factories.organization("acme"), outcome="KEY_REFUSED")

    looked(NOW, WORSE)

    assert told() == [(Kind.VERDICT, "Key refused")]
    assert Watched.objects.get().key == f"organization-{alone.pk}"


def test_a_side_whose_other_side_is_disabled_is_watched_as_itself() -> None:
    primary, secondary = factories.pair()
    Organization.objects.filter(pk=secondary.pk).update(disabled_at=START)
    silent(primary)

    looked(NOW, WORSE)

    assert told() == [(Kind.VERDICT, "Unreachable")]


def test_what_is_not_there_any_more_is_forgotten() -> None:
    primary, _ = factories.pair()
    silent(primary)
    looked(NOW, WORSE)
    Organization.objects.update(disabled_at=START)

    looked(2 * WORSE, BETTER)

    assert len(told()) == 1
    assert not Watched.objects.exists()


def test_an_unknown_outcome_is_the_changes_own_news() -> None:
    primary, _ = factories.pair()
    changing.standing(primary, ChangeStatus.UNKNOWN)

    looked(NOW, WORSE, BETTER)

    assert told() == []


@pytest.mark.parametrize("lost", ["told", "over"])
def test_of_two_workers_that_look_at_once_one_tells(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    primary, _ = factories.pair()
    silent(primary)
    looked(NOW)
    if lost == "over":
        looked(WORSE)
        answering(primary)
        looked(2 * WORSE)
    (seen,) = Watched.objects.all()
    now = looked(2 * WORSE + BETTER)
    told_once = told()

    monkeypatch.setattr(Watched.objects, "all", lambda: [seen])
    watch.look(now=now)

    assert told() == told_once


def test_a_clock_that_is_set_back_does_not_silence_it() -> None:
    primary, _ = factories.pair()
    silent(primary)
    looked(NOW)

    looked(timedelta(days=-1))

    assert len(told()) == 1


# --- words ------------------------------------------------------------------------------------------------------


def test_it_is_told_since_when_what_each_side_said_and_how_old_that_is() -> None:
    primary, secondary = factories.pair()
    silent(primary, since=START - timedelta(minutes=4))
    now = looked(NOW, WORSE)
    Snapshot.objects.filter(pk=primary.pk).update(answered_at=now - timedelta(minutes=5))
    (news,) = News.objects.all()

    fact, lines = notifications.words_of(news, now=now + timedelta(seconds=9))

    assert fact == f"{primary.pair}: Primary unreachable since {START - timedelta(minutes=4):%H:%M:%S} UTC"
    assert lines[0].startswith(f"us1 {primary.name}: No answer × 7. Last known PASSIVE, last answer ")
    assert lines[1] == f"us5 {secondary.name}: PASSIVE, as read 9 s ago at {now:%H:%M:%S} UTC."
    assert lines[2] == f"Page: /organizations/{primary.name}/"


def test_what_is_over_is_told_with_how_long_ago_it_was_told() -> None:
    primary, _ = factories.pair()
    silent(primary)
    looked(NOW, WORSE)
    answering(primary)
    now = looked(2 * WORSE, BETTER)

    fact, lines = notifications.words_of(News.objects.get(kind=Kind.OVER), now=now)

    assert fact == f"{primary.pair}: Primary unreachable is over, In sync"
    assert lines[0].startswith("Told of it 5 min 10 s ago at ")
    assert f"over since {START + 2 * WORSE:%H:%M:%S} UTC." in lines[0]


def test_a_side_without_a_connection_and_one_never_read_have_words() -> None:
    refused = factories.seen(factories.organization("bare"), outcome="KEY_REFUSED", has_connection=False, status=None)
    Snapshot.objects.filter(pk=refused.pk).update(attempt_status=403, attempt_failed=True)
    new = factories.organization("fresh")
    Snapshot.objects.filter(pk=new.pk).update(outcome="KEY_REFUSED", outcome_since=START, attempt_failed=True)
    now = looked(NOW, WORSE)

    bare, fresh = (notifications.words_of(news, now=now)[1][0] for news in News.objects.order_by("pk"))

    assert bare.startswith("us1 bare: HTTP 403, key refused. No connection, last answer ")
    assert fresh == "us1 fresh: Key refused."
