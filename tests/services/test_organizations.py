from __future__ import annotations

import logging
import traceback
from dataclasses import replace
from uuid import UUID

import pytest
from django.db import IntegrityError
from django.db.models import Q
from django.utils import timezone
from pytest_django.fixtures import Settings

from hamr_portal.crypto import KeyRingUnusable, SealBroken
from hamr_portal.domain.audit import Event
from hamr_portal.domain.organizations import Credentials, InvalidKey, Secret, Spelling
from hamr_portal.models import Observation, Organization, Pair, Snapshot
from hamr_portal.services import connections, keys, organizations, readings
from hamr_portal.services.organizations import Draft
from hamr_portal.services.verification import UnknownSite, VerifyOutcome
from hamr_portal.simulator import CURRENT_USER, SimulatedOrganization, Simulator
from tests import factories

from . import changing
from .conftest import InParallel
from .records import entries, read, whole_database

pytestmark = pytest.mark.django_db
CANARIES = (factories.CANARY_API_KEY, factories.CANARY_APPLICATION_KEY)


@pytest.fixture
def acme(simulator: Simulator) -> SimulatedOrganization:
    made = simulator.add_organization("acme", "us1", api_key=CANARIES[0], application_key=CANARIES[1])
    simulator.add_organization("acme-dr", "us5")
    simulator.add_pair("acme", "acme-dr")
    return made


def keys_of(simulated: SimulatedOrganization) -> Credentials:
    return factories.credentials(simulated.api_key, simulated.application_key)


def draft(simulated: SimulatedOrganization, **fields: object) -> Draft:
    return replace(Draft(simulated.name, simulated.site, keys_of(simulated)), **fields)  # type: ignore[arg-type]


def kept(organization: Organization, **fields: object) -> Draft:
    """Draft what is saved already, but for these fields."""
    return replace(Draft(organization.name, organization.site), **fields)  # type: ignore[arg-type]


# --- add --------------------------------------------------------------------------------------------------------


def test_adding_verifies_saves_and_makes_due(acme: SimulatedOrganization):
    saved, found = organizations.add(
        draft(acme, requires_approval=True, spelling=Spelling.PASCAL_CASE), by=factories.ADMIN
    )

    row = Organization.objects.select_related("snapshot").get()
    assert (row.pk, row.name, row.site, row.uuid) == (saved.pk, "acme", "us1", UUID(acme.uuid))
    assert (row.requires_approval, row.spelling) == (True, "PASCAL_CASE")
    assert (row.verify_outcome, found.outcome) == ("READS", VerifyOutcome.READS)
    assert keys.open_for(row, keys.ring()) == keys_of(acme)
    assert row.snapshot.due_at <= timezone.now()
    (entry,) = entries()
    assert (entry.event, entry.organization, entry.outcome) == (Event.ORGANIZATION_ADDED, "acme", "READS")
    assert entry.actor == "admin@halden.example"
    assert entry.data == {
        "name": "acme",
        "site": "us1",
        "requires_approval": True,
        "spelling": "PASCAL_CASE",
        "uuid": acme.uuid,
        "keys": {"api_key": "••••1e07", "application_key": "••••b3d4"},
    }


def test_a_dark_region_keeps_nobody_from_saving(acme: SimulatedOrganization, simulator: Simulator):
    simulator.set_fault("acme", "refuse")

    saved, found = organizations.add(draft(acme), by=factories.ADMIN)

    assert (saved.verify_outcome, saved.uuid) == ("NO_ANSWER", None)
    assert saved.verify_reason == found.reason != ""


def test_what_could_not_be_learned_when_saving_is_learned_at_the_first_answer(
    acme: SimulatedOrganization, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
):
    view = acme.view
    simulator.disconnect("acme")
    calls = {path: verbs for path, verbs in simulator._api._calls.items() if path != CURRENT_USER}
    monkeypatch.setattr(simulator._api, "_calls", calls)
    saved, found = organizations.add(draft(acme), by=factories.ADMIN)
    assert (found.outcome, saved.uuid) == (VerifyOutcome.READS, None)
    acme.view = view

    read(saved)

    assert Organization.objects.get().uuid == UUID(acme.uuid)


@pytest.mark.parametrize("fault", ["401", "403"])
def test_refused_keys_save_nothing(acme: SimulatedOrganization, simulator: Simulator, fault: str):
    simulator.set_fault("acme", fault)

    with pytest.raises(organizations.KeysRefused, match="A key works on one site only") as refused:
        organizations.add(draft(acme), by=factories.ADMIN)

    assert refused.value.verification is not None
    assert not Organization.objects.exists()
    assert not Snapshot.objects.exists()
    assert entries() == []


def test_a_missing_permission_saves_nothing(acme: SimulatedOrganization):
    acme.may_read = False

    with pytest.raises(organizations.KeysRefused, match="lack disaster_recovery_status_read"):
        organizations.add(draft(acme), by=factories.ADMIN)

    assert not Organization.objects.exists()


def test_a_name_is_given_once(acme: SimulatedOrganization, simulator: Simulator):
    factories.organization("acme")

    with pytest.raises(organizations.NameTaken, match="acme is saved already"):
        organizations.add(draft(acme), by=factories.ADMIN)

    assert simulator.requests == []
    assert Organization.objects.count() == 1


def test_an_organization_is_saved_once_whatever_its_name(acme: SimulatedOrganization):
    organizations.add(draft(acme), by=factories.ADMIN)

    with pytest.raises(organizations.UuidTaken, match="These keys belong to acme, which is saved already"):
        organizations.add(draft(acme, name="acme-again"), by=factories.ADMIN)

    assert Organization.objects.count() == 1
    assert len(entries()) == 1


def test_two_people_who_add_the_same_name_at_once_save_one(
    simulator: Simulator, acme: SimulatedOrganization, in_parallel: InParallel[str]
):
    simulator.set_fault("acme", "404")

    def add() -> str:
        try:
            organizations.add(draft(acme), by=factories.ADMIN)
        except (organizations.NameTaken, organizations.UuidTaken):
            return "taken"
        return "saved"

    assert sorted(in_parallel(4, add)) == ["saved", "taken", "taken", "taken"]
    assert len(entries()) == 1


def test_both_keys_are_needed_to_add(acme: SimulatedOrganization):
    with pytest.raises(organizations.NotSaved, match="Both keys are needed"):
        organizations.add(draft(acme, credentials=None), by=factories.ADMIN)


def test_an_unknown_site_saves_nothing(acme: SimulatedOrganization):
    with pytest.raises(UnknownSite):
        organizations.add(draft(acme, site="mars1"), by=factories.ADMIN)

    assert not Organization.objects.exists()


def test_without_a_ring_nothing_is_asked_or_saved(
    acme: SimulatedOrganization, simulator: Simulator, settings: Settings
):
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(KeyRingUnusable):
        organizations.add(draft(acme), by=factories.ADMIN)

    assert (simulator.requests, Organization.objects.count()) == ([], 0)


# --- edit -------------------------------------------------------------------------------------------------------


def test_an_edit_without_keys_and_site_asks_nobody(simulator: Simulator, acme: SimulatedOrganization):
    saved = factories.simulated(acme)

    found = organizations.edit(saved, kept(saved, name="renamed", requires_approval=True), by=factories.ADMIN)

    row = Organization.objects.get()
    assert (found, simulator.requests) == (None, [])
    assert (row.name, row.requires_approval) == ("renamed", True)
    assert keys.open_for(row, keys.ring()) == keys_of(acme)
    (entry,) = entries()
    assert (entry.event, entry.organization) == (Event.ORGANIZATION_EDITED, "renamed")
    assert (entry.data["before"]["name"], entry.data["after"]["name"]) == ("acme", "renamed")


def test_an_edit_that_changes_nothing_leaves_no_entry(acme: SimulatedOrganization):
    saved = factories.simulated(acme)

    organizations.edit(saved, kept(saved), by=factories.ADMIN)

    assert entries() == []


def test_new_keys_are_verified_and_recorded_as_dots(acme: SimulatedOrganization):
    saved = factories.simulated(acme)
    acme.api_key = "another0api0key0000000000000a1b2"
    before = saved.keys_saved_at

    found = organizations.edit(saved, kept(saved, credentials=keys_of(acme)), by=factories.ADMIN, reason="rotated")

    row = Organization.objects.get()
    assert found is not None
    assert (found.outcome, row.api_key_tail, row.application_key_tail) == (VerifyOutcome.READS, "a1b2", "b3d4")
    assert keys.open_for(row, keys.ring()) == keys_of(acme)
    assert row.keys_saved_at > before
    (entry,) = entries()
    assert (entry.event, entry.outcome, entry.reason) == (Event.KEYS_REPLACED, "READS", "rotated")
    assert entry.data == {"keys": {"api_key": "••••a1b2", "application_key": "••••b3d4"}}


def test_keys_and_name_at_once_make_one_entry_for_each(acme: SimulatedOrganization):
    saved = factories.simulated(acme)

    organizations.edit(saved, kept(saved, name="renamed", credentials=keys_of(acme)), by=factories.ADMIN)

    assert [(entry.event, entry.organization) for entry in entries()] == [
        (Event.KEYS_REPLACED, "renamed"),
        (Event.ORGANIZATION_EDITED, "renamed"),
    ]


@pytest.mark.parametrize("fault", ["401", "403"])
def test_refused_new_keys_leave_the_saved_ones(acme: SimulatedOrganization, simulator: Simulator, fault: str):
    saved = factories.simulated(acme)
    simulator.set_fault("acme", fault)

    with pytest.raises(organizations.KeysRefused):
        organizations.edit(saved, kept(saved, name="renamed", credentials=keys_of(acme)), by=factories.ADMIN)

    row = Organization.objects.get()
    assert (row.name, row.verify_outcome) == ("acme", "")
    assert entries() == []


def test_new_keys_in_a_dark_region_are_saved_with_a_note(acme: SimulatedOrganization, simulator: Simulator):
    saved = factories.simulated(acme)
    simulator.set_fault("acme", "refuse")

    organizations.edit(saved, kept(saved, credentials=keys_of(acme)), by=factories.ADMIN)

    row = Organization.objects.get()
    assert (row.verify_outcome, row.uuid) == ("NO_ANSWER", UUID(acme.uuid))
    assert entries()[0].outcome == "NO_ANSWER"


def test_another_site_verifies_the_saved_keys_there(acme: SimulatedOrganization, simulator: Simulator):
    saved = factories.simulated(acme)

    with pytest.raises(organizations.KeysRefused, match="the API key was refused"):
        organizations.edit(saved, kept(saved, site="us5"), by=factories.ADMIN)
    simulator.organizations.named("acme").site = "us5"
    organizations.edit(saved, kept(saved, site="us5"), by=factories.ADMIN)

    assert Organization.objects.get().site == "us5"
    assert [entry.event for entry in entries()] == [Event.ORGANIZATION_EDITED]


def test_what_is_in_the_air_with_the_old_keys_does_not_speak_for_the_new_ones(acme: SimulatedOrganization):
    saved = factories.simulated(acme)
    old = acme.api_key
    acme.api_key = "another0api0key0000000000000a1b2"
    (flight,) = connections.claim([saved.pk], Q())
    refused = connections.fetch(flight)
    assert old != acme.api_key
    assert refused.outcome == "KEY_REFUSED"

    organizations.edit(saved, kept(saved, credentials=keys_of(acme)), by=factories.ADMIN)
    readings.store([refused], by=factories.WORKER)

    assert Snapshot.objects.get().outcome == ""
    assert [pk for pk, _ in connections.due(9)] == [saved.pk]


def test_an_edit_writes_nothing_back_that_others_saved_meanwhile(acme: SimulatedOrganization):
    factories.simulated(acme)
    Organization.objects.update(uuid=None)
    loaded = Organization.objects.get()
    read(loaded)
    other = Organization.objects.get()
    acme.application_key = "another0application0key00000000000000a1b2"
    organizations.edit(other, kept(other, credentials=keys_of(acme)), by=factories.ADMIN)

    organizations.edit(loaded, kept(loaded, name="renamed"), by=factories.ADMIN)

    row = Organization.objects.get()
    assert (row.name, row.uuid, row.verify_outcome) == ("renamed", UUID(acme.uuid), "READS")
    assert keys.open_for(row, keys.ring()) == keys_of(acme)


def test_a_name_that_another_has_is_refused(acme: SimulatedOrganization):
    saved = factories.simulated(acme)
    factories.organization("taken")

    with pytest.raises(organizations.NameTaken, match="taken is saved already"):
        organizations.edit(saved, kept(saved, name="taken"), by=factories.ADMIN)

    assert Organization.objects.filter(name="acme").exists()


def test_two_who_take_the_same_name_at_once_do_not_both_get_it(in_parallel: InParallel[str]):
    free = [factories.organization("one"), factories.organization("two")]

    def take() -> str:
        mine = free.pop()
        try:
            organizations.edit(mine, kept(mine, name="wanted"), by=factories.ADMIN)
        except organizations.NameTaken:
            return "taken"
        return "saved"

    assert sorted(in_parallel(2, take)) == ["saved", "taken"]
    assert Organization.objects.filter(name="wanted").count() == 1


# --- identity ---------------------------------------------------------------------------------------------------


def paired(simulator: Simulator) -> tuple[Organization, Organization]:
    one, two = (factories.simulated(simulator.organizations.named(name)) for name in ("acme", "acme-dr"))
    read(one, two)
    rows = Organization.objects.select_related("snapshot", "pair")
    return rows.get(pk=one.pk), rows.get(pk=two.pk)


def test_keys_of_another_organization_are_refused(acme: SimulatedOrganization, simulator: Simulator):
    saved, _ = paired(simulator)
    other = simulator.add_organization("other", "us1")

    with pytest.raises(organizations.WrongOrganization, match=f"belong to organization {other.uuid}") as refused:
        organizations.edit(saved, kept(saved, credentials=keys_of(other)), by=factories.ADMIN)

    assert refused.value.verification is not None
    assert Organization.objects.get(pk=saved.pk).uuid == UUID(acme.uuid)


def test_pinning_anew_needs_a_reason(acme: SimulatedOrganization, simulator: Simulator):
    saved, _ = paired(simulator)
    other = simulator.add_organization("other", "us1")
    wanted = kept(saved, credentials=keys_of(other))

    with pytest.raises(organizations.NotSaved, match="Say why"):
        organizations.edit(saved, wanted, by=factories.ADMIN, pin_anew=True)

    assert Organization.objects.get(pk=saved.pk).uuid == UUID(acme.uuid)


def test_pinning_anew_drops_the_view_and_the_pair_and_keeps_history(acme: SimulatedOrganization, simulator: Simulator):
    saved, other_side = paired(simulator)
    other = simulator.add_organization("other", "us1")
    before = len(entries())

    found = organizations.edit(
        saved, kept(saved, credentials=keys_of(other)), by=factories.ADMIN, pin_anew=True, reason="moved"
    )

    row = Organization.objects.select_related("snapshot").get(pk=saved.pk)
    assert found is not None
    assert (found.outcome, row.uuid, row.verify_outcome) == (VerifyOutcome.READS, UUID(other.uuid), "READS")
    assert (row.snapshot.outcome, row.snapshot.has_connection, row.snapshot.raw) == ("", None, "")
    assert (row.pair_id, row.column) == (None, None)
    other_side.refresh_from_db()
    assert (other_side.pair_id, other_side.column) == (None, None)
    assert Observation.objects.filter(organization=row).count() == 1
    parted, replaced, edited = entries()[before:]
    assert (parted.event, parted.data["sides"]) == (Event.PAIR_PARTED, ["acme", "acme-dr"])
    assert (replaced.event, replaced.reason) == (Event.KEYS_REPLACED, "moved")
    assert (edited.event, edited.reason) == (Event.ORGANIZATION_EDITED, "moved")
    assert (edited.data["before"]["uuid"], edited.data["after"]["uuid"]) == (acme.uuid, other.uuid)


def test_pinning_one_anew_that_is_in_no_pair_drops_its_view_alone(acme: SimulatedOrganization, simulator: Simulator):
    saved = factories.simulated(acme)
    read(saved)
    other = simulator.add_organization("other", "us1")

    organizations.edit(
        saved, kept(saved, credentials=keys_of(other)), by=factories.ADMIN, pin_anew=True, reason="moved"
    )

    row = Organization.objects.select_related("snapshot").get()
    assert (row.uuid, row.snapshot.outcome) == (UUID(other.uuid), "")
    assert entries(Event.PAIR_PARTED) == []


def test_keys_of_another_than_was_pinned_meanwhile_are_refused(acme: SimulatedOrganization, simulator: Simulator):
    factories.simulated(acme)
    Organization.objects.update(uuid=None)
    loaded = Organization.objects.get()
    read(loaded)
    other = simulator.add_organization("other", "us1")

    with pytest.raises(organizations.WrongOrganization, match="meanwhile"):
        organizations.edit(loaded, kept(loaded, credentials=keys_of(other)), by=factories.ADMIN)

    assert Organization.objects.get().uuid == UUID(acme.uuid)


def test_pinning_to_an_organization_that_is_saved_is_refused(acme: SimulatedOrganization, simulator: Simulator):
    saved, other_side = paired(simulator)
    theirs = keys_of(simulator.organizations.named("acme-dr"))

    with pytest.raises(organizations.UuidTaken, match="belong to acme-dr"):
        organizations.edit(
            saved, kept(saved, site="us5", credentials=theirs), by=factories.ADMIN, pin_anew=True, reason="moved"
        )

    saved.refresh_from_db()
    assert (saved.uuid, saved.pair_id) == (UUID(acme.uuid), other_side.pair_id)
    assert Pair.objects.count() == 1


def test_what_no_sentence_explains_is_not_explained_away(acme: SimulatedOrganization):
    saved = factories.simulated(acme)

    with pytest.raises(IntegrityError):
        organizations.edit(saved, kept(saved, spelling="CAMEL"), by=factories.ADMIN)


# --- single keys ------------------------------------------------------------------------------------------------


def test_a_key_that_is_not_typed_stays():
    saved = factories.organization()
    text = "typed0key0000000000000000000c3d4"
    new = Secret(text)

    assert organizations.completed(saved, None, None) is None
    assert organizations.completed(saved, new, None) == factories.credentials(api_key=text)
    assert organizations.completed(saved, None, new) == factories.credentials(application_key=text)
    assert organizations.completed(saved, new, new) == factories.credentials(text, text)
    assert organizations.completed(None, new, new) == factories.credentials(text, text)


def test_a_single_key_needs_the_other_to_open():
    saved = factories.organization()
    saved.sealed_application_key = "k9.nothing"

    with pytest.raises(SealBroken):
        organizations.completed(saved, Secret("typed0key0000000000000000000c3d4"), None)


def test_a_new_organization_needs_both_keys():
    assert organizations.completed(None, Secret(factories.CANARY_API_KEY), None) is None


def test_a_draft_without_changes_is_the_same():
    saved = factories.organization()

    assert organizations.is_same(saved, kept(saved))
    assert not organizations.is_same(saved, kept(saved, requires_approval=True))


# --- disable and enable -----------------------------------------------------------------------------------------


def test_a_disabled_organization_is_not_due_and_keeps_its_keys(acme: SimulatedOrganization):
    saved = factories.simulated(acme)

    organizations.disable(saved, by=factories.ADMIN)

    saved.refresh_from_db()
    assert saved.disabled_at is not None
    assert connections.due(9) == []
    assert keys.open_for(saved, keys.ring()) == keys_of(acme)
    assert [(entry.event, entry.organization) for entry in entries()] == [(Event.ORGANIZATION_DISABLED, "acme")]


def test_an_enabled_organization_is_due_at_once(acme: SimulatedOrganization):
    saved = factories.simulated(acme)
    organizations.disable(saved, by=factories.ADMIN)

    organizations.enable(saved, by=factories.ADMIN)

    assert [pk for pk, _ in connections.due(9)] == [saved.pk]
    assert [entry.event for entry in entries()] == [Event.ORGANIZATION_DISABLED, Event.ORGANIZATION_ENABLED]


def test_what_somebody_else_did_first_is_said(acme: SimulatedOrganization):
    saved = factories.simulated(acme)

    with pytest.raises(organizations.AlreadyMoved):
        organizations.enable(saved, by=factories.ADMIN)
    organizations.disable(saved, by=factories.ADMIN)
    with pytest.raises(organizations.AlreadyMoved):
        organizations.disable(saved, by=factories.ADMIN)

    assert len(entries()) == 1


def test_an_answer_that_comes_after_disabling_is_dropped(acme: SimulatedOrganization):
    saved = factories.simulated(acme)
    (flight,) = connections.claim([saved.pk], Q())

    organizations.disable(saved, by=factories.ADMIN)
    readings.store([connections.fetch(flight)], by=factories.WORKER)

    assert Snapshot.objects.get().outcome == ""


# --- secrets ----------------------------------------------------------------------------------------------------


def test_keys_are_nowhere_but_sealed(
    acme: SimulatedOrganization, simulator: Simulator, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    wanted = draft(acme)

    def note(error: BaseException) -> None:
        shown.extend([str(error), repr(error), "".join(traceback.format_exception(error))])

    saved, _ = organizations.add(wanted, by=factories.ADMIN)
    organizations.edit(saved, kept(saved, name="renamed", credentials=wanted.credentials), by=factories.ADMIN)
    for fault in ("401", "403", "html", "wrong_organization"):
        simulator.set_fault("acme", fault)
        read(saved)
        saved.refresh_from_db()
        try:
            organizations.edit(saved, wanted, by=factories.ADMIN)
        except organizations.NotSaved as error:
            note(error)
    with pytest.raises(organizations.NameTaken) as taken:
        organizations.add(wanted, by=factories.ADMIN)
    note(taken.value)
    with pytest.raises(InvalidKey) as invalid:
        factories.credentials(api_key=f"{CANARIES[0]}\n")
    note(invalid.value)

    everything = "\n".join([whole_database(), caplog.text, *shown, repr(wanted)])
    assert "••••1e07" in everything
    assert len(shown) >= 9
    assert [key for key in CANARIES if key in everything] == []


def test_keys_that_somebody_saved_meanwhile_are_not_undone(acme: SimulatedOrganization):
    saved, _ = organizations.add(draft(acme), by=factories.ADMIN)
    first, second = Organization.objects.get(pk=saved.pk), Organization.objects.get(pk=saved.pk)
    organizations.edit(first, kept(first, credentials=keys_of(acme)), by=factories.ADMIN)
    before = Organization.objects.values().get(pk=saved.pk)

    with pytest.raises(organizations.OutOfDate, match="meanwhile"):
        organizations.edit(second, kept(second, credentials=keys_of(acme)), by=factories.ADMIN)

    assert Organization.objects.values().get(pk=saved.pk) == before


def test_an_organization_is_not_disabled_while_a_change_is_open_there(simulator: Simulator):
    acme, acme_dr = changing.connected(simulator)
    changing.standing(acme, "UNKNOWN", other=acme_dr)

    for side in (acme, acme_dr):
        with pytest.raises(organizations.ChangeOpen):
            organizations.disable(side, by=factories.ADMIN)

    assert Organization.objects.enabled().count() == 2
    assert entries(Event.ORGANIZATION_DISABLED) == []
