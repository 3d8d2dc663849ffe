from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from hamr_portal.domain.audit import Event
from hamr_portal.domain.pairs import Column
from hamr_portal.models import Organization, Pair, Snapshot
from hamr_portal.services import pairs
from tests import factories

from .conftest import InParallel
from .records import entries

pytestmark = pytest.mark.django_db
PAIRED = (Event.PAIR_FOUND, Event.PAIR_MOVED)


def sees(organization: Organization, target: Organization | None, *, is_primary: bool = True) -> Organization:
    return factories.seen(organization, target_uuid=target.uuid if target else None, is_primary=is_primary)


def discover() -> None:
    pairs.discover_pairs(by=factories.WORKER)


def columns() -> dict[str, list[str | None]]:
    """Give the sides of each pair, the primary first."""
    found: dict[str, list[str | None]] = {}
    for organization in Organization.objects.filter(pair__isnull=False).order_by("column").select_related("pair"):
        assert organization.pair is not None
        found.setdefault(organization.pair.name, []).append(organization.name)
    return found


@pytest.fixture
def acme() -> tuple[Organization, Organization]:
    return factories.organization("acme-us1"), factories.organization("acme-us5", site="us5")


def test_two_that_name_each_other_become_a_pair_with_the_name_they_share(acme: tuple[Organization, Organization]):
    sees(acme[0], acme[1], is_primary=False)
    sees(acme[1], acme[0], is_primary=True)

    discover()

    assert columns() == {"acme": ["acme-us5", "acme-us1"]}
    (entry,) = entries()
    assert entry.event == Event.PAIR_FOUND
    assert entry.data == {"pair": "acme", "primary": "acme-us5", "secondary": "acme-us1"}


def test_one_that_names_a_side_that_never_answered_is_enough(acme: tuple[Organization, Organization]):
    sees(acme[0], acme[1])

    discover()

    assert columns() == {"acme": ["acme-us1", "acme-us5"]}


def test_nobody_is_paired_without_a_view_or_with_somebody_unknown(acme: tuple[Organization, Organization]):
    factories.seen(acme[0], target_uuid=UUID(int=7))

    discover()

    assert columns() == {}
    assert entries() == []


def test_a_disabled_organization_is_not_paired(acme: tuple[Organization, Organization]):
    sees(acme[0], acme[1])
    Organization.objects.filter(pk=acme[1].pk).update(disabled_at=timezone.now())

    discover()

    assert columns() == {}


def test_without_news_nothing_is_written(acme: tuple[Organization, Organization]):
    sees(acme[0], acme[1])
    sees(acme[1], acme[0], is_primary=False)
    discover()
    before = list(Pair.objects.values())

    discover()

    assert list(Pair.objects.values()) == before
    assert len(entries()) == 1


@pytest.mark.parametrize("gone", ["dark", "no connection"])
def test_a_pair_stays_one_when_a_side_goes_dark(acme: tuple[Organization, Organization], gone: str):
    sees(acme[0], acme[1])
    sees(acme[1], acme[0], is_primary=False)
    discover()
    lost = {"attempt_failed": True, "outcome": "NO_ANSWER"} if gone == "dark" else {"target_uuid": None}
    Snapshot.objects.filter(pk=acme[1].pk).update(**lost)

    discover()

    assert columns() == {"acme": ["acme-us1", "acme-us5"]}


def test_columns_follow_when_both_sides_agree_that_the_roles_have_swapped(acme: tuple[Organization, Organization]):
    sees(acme[0], acme[1])
    sees(acme[1], acme[0], is_primary=False)
    discover()
    pair = Pair.objects.get()
    sees(acme[0], acme[1], is_primary=False)
    discover()
    one_says_so = columns()
    sees(acme[1], acme[0], is_primary=True)

    discover()

    assert one_says_so == {"acme": ["acme-us1", "acme-us5"]}
    assert columns() == {"acme": ["acme-us5", "acme-us1"]}
    assert Pair.objects.get() == pair
    assert [entry.event for entry in entries()] == [Event.PAIR_FOUND, Event.PAIR_MOVED]


def test_a_side_that_moves_to_another_leaves_nobody_behind_in_half_a_pair(acme: tuple[Organization, Organization]):
    sees(acme[0], acme[1])
    sees(acme[1], acme[0], is_primary=False)
    discover()
    newcomer = factories.organization("acme-eu1", site="eu1")
    sees(acme[0], newcomer)
    sees(newcomer, acme[0], is_primary=False)

    discover()

    assert columns() == {"acme": ["acme-us1", "acme-eu1"]}
    assert Organization.objects.get(name="acme-us5").pair is None
    assert Pair.objects.count() == 1
    assert [entry.event for entry in entries()] == [Event.PAIR_FOUND, Event.PAIR_MOVED]


def test_two_pairs_that_swap_partners_stay_two_pairs():
    moment = timezone.now() - timedelta(days=1)
    one, two = factories.pair("a-one", "a-two", at=moment)
    three, four = factories.pair("b-one", "b-two", at=moment)
    for side, target, is_primary in ((one, four, True), (four, one, False), (three, two, True), (two, three, False)):
        sees(side, target, is_primary=is_primary)

    discover()

    sides = sorted(columns().values())
    assert sides == [["a-one", "b-two"], ["b-one", "a-two"]]
    assert Pair.objects.count() == 2


def test_a_pair_is_found_once_however_many_look_at_once(in_parallel: InParallel[None]):
    one, two = factories.organization("acme-us1"), factories.organization("acme-us5", site="us5")
    sees(one, two)
    sees(two, one, is_primary=False)

    in_parallel(6, discover)

    assert columns() == {"acme": ["acme-us1", "acme-us5"]}
    assert [entry.event for entry in entries()] == [Event.PAIR_FOUND]
    assert Pair.objects.count() == 1


# --- names ------------------------------------------------------------------------------------------------------


def test_a_new_name_goes_on_the_record_and_the_same_name_does_not():
    factories.pair()
    pair = Pair.objects.get()

    pairs.rename(pair, "Checkout, EU", by=factories.ADMIN)
    pairs.rename(pair, "Checkout, EU", by=factories.ADMIN)

    assert Pair.objects.get().name == "Checkout, EU"
    (entry,) = entries()
    assert (entry.event, entry.actor) == (Event.PAIR_NAMED, "admin@halden.example")
    assert entry.data == {"before": "Checkout", "after": "Checkout, EU"}


def test_a_name_outlives_a_swap_of_the_columns():
    one, two = factories.pair()
    pairs.rename(Pair.objects.get(), "Ours", by=factories.ADMIN)
    sees(one, two, is_primary=False)
    sees(two, one, is_primary=True)

    discover()

    assert list(columns()) == ["Ours"]
    assert Organization.objects.get(pk=two.pk).column == Column.PRIMARY


def test_two_pairs_are_never_called_the_same():
    one, _ = factories.pair("a-one", "a-two")
    factories.pair("halden-fleet", "halden-fleet-dr")
    assert one.pair is not None

    with pytest.raises(pairs.NameTaken, match="Fleet is the pair of halden-fleet and halden-fleet-dr"):
        pairs.rename(one.pair, "FLEET", by=factories.ADMIN)

    assert sorted(Pair.objects.values_list("name", flat=True)) == ["A-One", "Fleet"]


def test_a_pair_that_is_found_takes_no_name_that_is_taken():
    for site in ("us1", "eu1"):
        primary, secondary = factories.organization(f"acme-{site}"), factories.organization(f"acme-{site}-dr")
        sees(primary, secondary)
        sees(secondary, primary, is_primary=False)
        Pair.objects.get_or_create(name=f"Acme-{site}", defaults={"found_at": timezone.now()})

    discover()

    assert set(columns()) == {"acme-us1 and acme-us1-dr", "acme-eu1 and acme-eu1-dr"}
