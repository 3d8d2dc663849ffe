"""Who drives a change, as people meet it: offered and taken, taken over for a reason, and said where the pair is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hamr_portal.domain.people import Role
from hamr_portal.models import Change, Organization, Snapshot
from hamr_portal.services import changes, drivers, people
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing
from tests.web.conftest import SignIn
from tests.web.test_changes import page

pytestmark = pytest.mark.django_db

MARA = "mara@halden.example"
OPERATOR = "operator@halden.example"


@pytest.fixture
def operator(signed_in: SignIn) -> Client:
    return signed_in(Role.OPERATOR)


@pytest.fixture
def change(simulator: Simulator) -> Change:
    """A change of mara's that waits for approval."""
    return changing.waiting(changing.connected(simulator)[0], by=changing.operator(email=MARA))


def at(route: str, change: Change) -> str:
    return reverse(route, args=[change.pk])


def take(client: Client, change: Change, **over: Any) -> Any:
    sent = {"seen": str(change.author_id), "reason": "mara does not answer"}
    return client.post(at("change_driver_take", change), sent | over, follow=True)


def test_the_driver_is_said_on_the_change_the_organization_and_the_dashboard(change: Change, viewer: Client) -> None:
    for url in (at("change", change), reverse("organization", args=["acme"]), reverse("dashboard")):
        assert "Driver: mara" in page(viewer.get(url)), url


def test_it_is_offered_on_its_own_page_and_taken_with_one_button(change: Change, operator: Client) -> None:
    drivers.offer(change, OPERATOR, by=changing.operator(email=MARA))
    shown = operator.get(at("change", change))
    assert "Offered to operator, who has not taken it yet" in page(shown)
    assert "Take it from mara" in page(shown)
    assert "mara offers it to you." in page(operator.get(at("change_driver", change)))

    response = take(operator, change, reason="")

    assert "Driver: operator" in page(response)


def test_who_drives_chooses_from_those_who_may_and_may_take_the_offer_back(change: Change, operator: Client) -> None:
    take(operator, change)
    changing.admin(email="tomas@halden.example")
    url = at("change_driver_offer", change)
    shown = operator.get(at("change_driver", change)).content.decode()
    assert f'value="{MARA}"' in shown
    assert 'value="tomas@halden.example"' in shown

    operator.post(url, {"to": "tomas@halden.example"})
    assert "Until then you drive." in page(operator.get(at("change_driver", change)))
    operator.post(url)

    change.refresh_from_db()
    assert change.offered_to is None


def test_to_take_over_asks_for_a_reason_and_keeps_what_was_typed(change: Change, operator: Client) -> None:
    missing = take(operator, change, reason=" ")
    with_key = take(operator, change, reason="key 0123456789abcdef0123456789abcdef")

    assert missing.status_code == with_key.status_code == 422
    assert "Say why, in a few words" in page(missing)
    assert "This looks like a key" in page(with_key)
    assert "key 0123456789abcdef0123456789abcdef" in with_key.content.decode()


def test_who_comes_second_is_told_who_drives_now_and_keeps_what_was_typed(change: Change, operator: Client) -> None:
    tomas = changing.admin(email="tomas@halden.example")
    drivers.take(change, seen=change.author_id, by=tomas, reason="away")

    response = take(operator, change)

    assert response.status_code == 409
    assert f"Nothing was done: tomas drives change {change.pk} now." in page(response)
    assert "mara does not answer" in response.content.decode()


@pytest.mark.parametrize("seen", ["", "x", "-1", "9" * 30])
def test_a_driver_that_nobody_saw_is_nobody(seen: str, change: Change, operator: Client) -> None:
    assert take(operator, change, seen=seen).status_code == 409


def test_only_who_drives_offers_it_and_to_somebody_who_is_there(change: Change, operator: Client) -> None:
    url = at("change_driver_offer", change)

    refused = operator.post(url, {"to": MARA}, follow=True)
    taken = operator.post(url, {"to": OPERATOR}, follow=True)
    nobody = operator.post(url, {"to": "nobody@halden.example"})

    assert nobody.status_code == 422
    assert "Choose somebody from the list." in page(nobody)
    assert refused.status_code == 422
    assert f"Nothing was done: mara drives change {change.pk}, not you." in page(taken)


def test_a_change_that_is_over_is_handed_to_nobody(change: Change, operator: Client) -> None:
    changes.cancel(changing.fresh(change), by=changing.operator(email=MARA))

    assert "The change is over" in page(operator.get(at("change_driver", change)))
    assert "is over, so nobody drives it any more." in page(take(operator, change))
    assert "Driver:" not in page(operator.get(at("change", change)))


def test_who_is_alone_is_told_that_nobody_else_may_drive(simulator: Simulator, operator: Client) -> None:
    alone = changing.waiting(changing.connected(simulator)[0])

    assert "Nobody else may drive" in page(operator.get(at("change_driver", alone)))


def test_whose_role_was_taken_away_meanwhile_is_refused(
    change: Change, operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(*_: Any, **__: Any) -> None:
        raise people.NotAllowed("Needs: operator.")

    monkeypatch.setattr(drivers, "take", too_late)

    assert take(operator, change).status_code == 403


# --- the clock --------------------------------------------------------------------------------------------------


def test_a_pair_that_is_between_says_since_when_wherever_it_is_shown(simulator: Simulator, viewer: Client) -> None:
    acme, _ = changing.connected(simulator, modified_at=timezone.now() - timedelta(hours=1))
    made = changing.changed(acme, by=changing.operator(email=MARA))

    for url in (at("change", made), reverse("organization", args=["acme"]), reverse("dashboard")):
        shown = page(viewer.get(url))
        assert "In FAILOVER for " in shown, url
        assert "Driver: mara" in shown, url
        assert "passed through" not in shown, url


def test_who_is_between_for_long_is_warned_of_with_what_is_next(viewer: Client) -> None:
    long_ago = timezone.now() - timedelta(minutes=42)
    factories.pair(status=5, at=long_ago)
    Snapshot.objects.update(answered_at=timezone.now())

    dashboard = viewer.get(reverse("dashboard"))
    organization = page(viewer.get(reverse("organization", args=["halden-checkout"])))

    assert "In RECOVERY for at least 42 min" in page(dashboard)
    assert 'data-lasting="at least "' in dashboard.content.decode()
    assert "RECOVERY for over 30 min : it is passed through, not lived in." in page(dashboard).replace("min:", "min :")
    assert "Next: PASSIVE, when us1 takes traffic again." in organization


def test_sides_that_are_between_apart_have_a_clock_each(viewer: Client) -> None:
    primary, other = factories.pair(status=3)
    Snapshot.objects.filter(pk=other.pk).update(status=5)
    Snapshot.objects.filter(pk=primary.pk).update(view_since=timezone.now() - timedelta(minutes=42), modified_at=None)

    shown = page(viewer.get(reverse("organization", args=[Organization.objects.get(pk=primary.pk).name])))

    assert "In FAILOVER on us1 for at least 42 min" in shown
    assert "In RECOVERY on us5 for at least" in shown
    assert "FAILOVER on us1 for over 30 min" in shown
