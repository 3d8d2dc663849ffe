from __future__ import annotations

from uuid import UUID

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.audit import Actor, Event
from hamr_portal.models import Organization
from hamr_portal.services import verification
from hamr_portal.services.verification import VerifyOutcome, probe, site_named
from hamr_portal.simulator import CURRENT_USER, VALIDATE, SimulatedOrganization, Simulator
from tests import factories

from .records import entries

pytestmark = pytest.mark.django_db


@pytest.fixture
def acme(simulator: Simulator) -> SimulatedOrganization:
    made = simulator.add_organization("acme", "us1")
    simulator.add_organization("acme-dr", "us5")
    simulator.add_pair("acme", "acme-dr")
    return made


def verified(organization: Organization, *, by: Actor) -> verification.Verification:
    """Verify one organization, as the pages do."""
    return verification.verify_all([organization], by=by)[organization.name]


def probed(
    acme: SimulatedOrganization, *, api_key: str = "", application_key: str = "", pinned: UUID | None = None
) -> verification.Verification:
    typed = factories.credentials(api_key or acme.api_key, application_key or acme.application_key)
    return probe(site_named(acme.site), typed, pinned=pinned)


# --- what a probe shows -----------------------------------------------------------------------------------------


def test_keys_that_read_tell_whose_they_are(acme: SimulatedOrganization):
    found = probed(acme, pinned=UUID(acme.uuid))

    assert (found.outcome, found.reason, found.uuid) == (VerifyOutcome.READS, "", UUID(acme.uuid))
    assert not found.forbids_saving


def test_without_a_connection_the_uuid_is_learned_from_the_current_user(
    acme: SimulatedOrganization, simulator: Simulator
):
    simulator.disconnect("acme")

    found = probed(acme)

    assert (found.outcome, found.uuid) == (VerifyOutcome.READS, UUID(acme.uuid))


def test_without_connection_and_current_user_keys_read_and_the_uuid_is_not_known(
    acme: SimulatedOrganization, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    simulator.disconnect("acme")
    without(simulator, monkeypatch, CURRENT_USER)

    found = probed(acme)

    assert (found.outcome, found.uuid) == (VerifyOutcome.READS, None)


def without(simulator: Simulator, monkeypatch: pytest.MonkeyPatch, *paths: str) -> None:
    """Take calls off the simulated sites, as a site that does not know them."""
    calls = {path: verbs for path, verbs in simulator._api._calls.items() if path not in paths}
    monkeypatch.setattr(simulator._api, "_calls", calls)


def test_an_api_key_that_is_refused_is_named(acme: SimulatedOrganization):
    found = probed(acme, api_key=factories.CANARY_API_KEY)

    assert (found.outcome, found.reason) == (VerifyOutcome.KEY_REFUSED, "the API key was refused")
    assert found.forbids_saving


def test_an_application_key_that_is_refused_is_named(acme: SimulatedOrganization):
    found = probed(acme, application_key=factories.CANARY_APPLICATION_KEY)

    assert (found.outcome, found.reason) == (VerifyOutcome.KEY_REFUSED, "the application key was refused")


@pytest.mark.parametrize("paths", [(CURRENT_USER,), (VALIDATE,), (CURRENT_USER, VALIDATE)])
def test_no_key_is_blamed_where_the_site_cannot_tell(
    acme: SimulatedOrganization, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, paths: tuple[str, ...]
):
    without(simulator, monkeypatch, *paths)

    found = probed(acme, application_key=factories.CANARY_APPLICATION_KEY)

    assert (found.outcome, found.reason) == (VerifyOutcome.KEY_REFUSED, "the keys were refused")


def test_a_missing_permission_is_told_from_a_refused_key(acme: SimulatedOrganization):
    acme.may_read = False

    found = probed(acme)

    assert (found.outcome, found.uuid) == (VerifyOutcome.PERMISSION_MISSING, UUID(acme.uuid))
    assert found.reason == "the keys work, but lack disaster_recovery_status_read"
    assert found.forbids_saving


def test_a_missing_permission_is_not_hidden_by_a_wrong_organization(acme: SimulatedOrganization):
    acme.may_read = False

    assert probed(acme, pinned=UUID(int=7)).outcome is VerifyOutcome.PERMISSION_MISSING


def test_keys_of_another_organization_are_told(acme: SimulatedOrganization):
    found = probed(acme, pinned=UUID(int=7))

    assert (found.outcome, found.uuid) == (VerifyOutcome.WRONG_ORGANIZATION, UUID(acme.uuid))
    assert found.reason == f"the keys answer for organization {acme.uuid}, saved is {UUID(int=7)}"


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("refuse", VerifyOutcome.NO_ANSWER),
        ("500", VerifyOutcome.NOT_VERIFIED),
        ("html", VerifyOutcome.NOT_VERIFIED),
        ("429", VerifyOutcome.NOT_VERIFIED),
    ],
)
def test_what_is_no_refusal_forbids_nothing_and_says_why(
    acme: SimulatedOrganization, simulator: Simulator, fault: str, outcome: VerifyOutcome
):
    simulator.set_fault("acme", fault)

    found = probed(acme)

    assert found.outcome is outcome
    assert found.reason
    assert not found.forbids_saving


def test_an_unknown_site_is_said_with_the_known_ones():
    with pytest.raises(verification.UnknownSite, match=r"'mars1' is in no list\. Known: us1"):
        site_named("mars1")


@pytest.mark.parametrize(("outcome", "word"), [("READS", "Reads"), ("PERMISSION_MISSING", "Permission missing")])
def test_outcomes_have_words(outcome: str, word: str):
    assert VerifyOutcome(outcome).word == word


# --- saved and typed keys ---------------------------------------------------------------------------------------


def test_verifying_saved_keys_is_kept_and_goes_on_the_record(acme: SimulatedOrganization):
    saved = factories.simulated(acme)

    found = verified(saved, by=factories.ADMIN)

    saved.refresh_from_db()
    assert (saved.verify_outcome, saved.verify_reason, saved.uuid) == ("READS", "", UUID(acme.uuid))
    assert saved.verified_at is not None
    (entry,) = entries()
    assert (entry.event, entry.organization, entry.outcome) == (Event.ORGANIZATION_VERIFIED, "acme", "READS")
    assert entry.data == {"detail": "", "uuid": acme.uuid, "saved": True}
    assert found.outcome is VerifyOutcome.READS


def test_verifying_learns_a_uuid_that_was_not_known(acme: SimulatedOrganization):
    saved = factories.simulated(acme)
    Organization.objects.update(uuid=None)
    saved.refresh_from_db()

    verified(saved, by=factories.ADMIN)

    assert Organization.objects.get().uuid == UUID(acme.uuid)


def test_verifying_never_pins_anew(acme: SimulatedOrganization, simulator: Simulator):
    saved = factories.simulated(acme)
    simulator.set_fault("acme", "wrong_organization")

    found = verified(saved, by=factories.ADMIN)

    assert found.outcome is VerifyOutcome.WRONG_ORGANIZATION
    assert Organization.objects.get().uuid == UUID(acme.uuid)


def test_keys_of_an_organization_that_is_saved_already_are_a_wrong_organization(acme: SimulatedOrganization):
    factories.simulated(acme)
    twin = factories.organization("twin", with_credentials=factories.credentials(acme.api_key, acme.application_key))
    Organization.objects.filter(pk=twin.pk).update(uuid=None)
    twin.refresh_from_db()

    found = verified(twin, by=factories.ADMIN)

    twin.refresh_from_db()
    assert (found.outcome, twin.uuid) == (VerifyOutcome.WRONG_ORGANIZATION, None)
    assert found.reason.endswith("which is saved as acme")


def test_a_result_never_speaks_for_keys_that_were_saved_meanwhile(acme: SimulatedOrganization):
    loaded = factories.simulated(acme)
    other = factories.organization("other")
    Organization.objects.filter(pk=loaded.pk).update(sealed_api_key=other.sealed_api_key)

    verified(loaded, by=factories.ADMIN)

    assert Organization.objects.get(pk=loaded.pk).verify_outcome == ""
    assert entries()[0].data["saved"] is False


def test_keys_that_do_not_open_are_said(acme: SimulatedOrganization):
    saved = factories.simulated(acme)
    saved.sealed_api_key = "k9.nothing"
    saved.save()

    found = verified(saved, by=factories.ADMIN)

    assert (found.outcome, saved.name) == (VerifyOutcome.KEYS_UNREADABLE, "acme")
    assert "not in the ring" in found.reason


def test_a_saved_site_that_is_in_no_list_is_said():
    found = verified(factories.organization(site="mars1"), by=factories.ADMIN)

    assert found.outcome is VerifyOutcome.NO_ANSWER
    assert "'mars1' is in no list" in found.reason


def test_without_a_ring_nothing_is_verified(settings: Settings, acme: SimulatedOrganization):
    saved = factories.simulated(acme)
    settings.KEY_RING_FILE.unlink()

    for verify in (
        lambda: verified(saved, by=factories.ADMIN),
        lambda: verification.verify_all([saved], by=factories.ADMIN),
    ):
        with pytest.raises(KeyRingUnusable):
            verify()
    assert entries() == []


def test_many_are_verified_with_one_entry_each(acme: SimulatedOrganization, simulator: Simulator):
    saved = [factories.simulated(each) for each in simulator.organizations]
    simulator.set_fault("acme-dr", "401")

    found = verification.verify_all(saved, by=factories.ADMIN)

    assert {name: each.outcome for name, each in found.items()} == {
        "acme": VerifyOutcome.READS,
        "acme-dr": VerifyOutcome.KEY_REFUSED,
    }
    assert [(entry.organization, entry.outcome) for entry in entries()] == [
        ("acme", "READS"),
        ("acme-dr", "KEY_REFUSED"),
    ]


def test_typed_keys_are_verified_and_not_saved(acme: SimulatedOrganization):
    typed = factories.credentials(acme.api_key, acme.application_key)
    before = timezone.now()

    found = verification.verify_typed("acme", "us1", typed, pinned=None, by=factories.ADMIN)

    (entry,) = entries(Event.ORGANIZATION_VERIFIED)
    assert found.outcome is VerifyOutcome.READS
    assert entry.data["saved"] is False
    assert entry.data["keys"] == {
        "api_key": f"••••{acme.api_key[-4:]}",
        "application_key": f"••••{acme.application_key[-4:]}",
    }
    assert not Organization.objects.filter(added_at__gte=before).exists()
