from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from hamr_portal.crypto import KeyRingUnusable, create_ring
from hamr_portal.domain.audit import Event
from hamr_portal.domain.organizations import Spelling
from hamr_portal.models import Organization
from hamr_portal.services import imports, keys
from hamr_portal.services.imports import Imported, InvalidFile
from hamr_portal.simulator import SimulatedOrganization, Simulator
from tests import factories

from .records import entries

pytestmark = pytest.mark.django_db
KEYS = {"api_key": factories.CANARY_API_KEY, "application_key": factories.CANARY_APPLICATION_KEY}
GOOD = {"name": "acme", "site": "us1", **KEYS}


def entry(simulated: SimulatedOrganization, **fields: Any) -> dict[str, Any]:
    return {
        "name": simulated.name,
        "site": simulated.site,
        "api_key": simulated.api_key,
        "application_key": simulated.application_key,
        **fields,
    }


def imported(*wanted: dict[str, Any]) -> list[Imported]:
    return imports.import_all(imports.parse(json.dumps(wanted)), by=factories.ADMIN)


@pytest.fixture
def two(simulator: Simulator) -> list[SimulatedOrganization]:
    made = [simulator.add_organization("acme", "us1"), simulator.add_organization("acme-dr", "us5")]
    simulator.add_pair("acme", "acme-dr")
    return made


# --- the file ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "This is not JSON"),
        ("{", "This is not JSON"),
        ("[" * 100_000, "This is not JSON"),
        ("{}", "Write a list of organizations"),
        ("[]", "Write a list of organizations"),
        ("null", "Write a list of organizations"),
        ("[3]", "entry 1: write an object with name, site, api_key, application_key."),
    ],
)
def test_a_file_that_is_no_list_of_objects_is_said(text: str, problem: str):
    with pytest.raises(InvalidFile) as invalid:
        imports.parse(text)

    assert invalid.value.problems[0].startswith(problem)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "Acme US1"}, "entry 1: the name must be lower-case letters"),
        ({"name": "new"}, "new: the name must be lower-case letters"),
        ({"name": 7}, "entry 1: name must be a text."),
        ({"site": "mars1"}, "acme: the site is in no list. Known: us1"),
        ({"site": None}, "acme: site must be a text."),
        ({"api_key": "short"}, "acme: The API key must be 16 to 128"),
        ({"application_key": KEYS["api_key"] + "\n"}, "acme: The application key must be 16 to 128"),
        ({"api_key": ["x"]}, "acme: api_key must be a text."),
        ({"aplication_key": "x"}, "acme: a field is not known. Known: name, site, api_key"),
        ({"requires_approval": "yes"}, "acme: requires_approval must be true or false."),
        ({"spelling": "camelCase"}, "acme: spelling must be auto, snake_case or PascalCase."),
        ({"spelling": None}, "acme: spelling must be auto"),
    ],
)
def test_a_value_that_cannot_be_saved_is_said_without_a_key(fields: dict[str, Any], problem: str):
    with pytest.raises(InvalidFile) as invalid:
        imports.parse(json.dumps([{**GOOD, **fields}]))

    (said,) = invalid.value.problems
    assert said.startswith(problem)
    assert "canary" not in str(invalid.value) + repr(invalid.value)


def test_every_problem_of_every_entry_is_said_at_once():
    wanted = [{"name": "one"}, {**GOOD, "name": "two", "site": "mars1", "requires_approval": 1}, GOOD, GOOD]

    with pytest.raises(InvalidFile) as invalid:
        imports.parse(json.dumps(wanted))

    assert [problem.partition(":")[0] for problem in invalid.value.problems] == ["one"] * 3 + ["two"] * 2 + ["acme"]
    assert invalid.value.problems[-1] == "acme: the name stands in the file more than once."


def test_what_is_optional_may_be_given_in_either_case():
    (draft,) = imports.parse(json.dumps([{**GOOD, "spelling": "snake_case", "requires_approval": True}]))
    (plain,) = imports.parse(json.dumps([GOOD]))

    assert (draft.spelling, draft.requires_approval) == (Spelling.SNAKE_CASE, True)
    assert (plain.spelling, plain.requires_approval) == (Spelling.AUTO, False)
    assert plain.credentials == factories.credentials()


# --- what is saved ----------------------------------------------------------------------------------------------


def test_new_organizations_are_verified_and_saved_with_an_entry_each(two: list[SimulatedOrganization]):
    rows = imported(*map(entry, two))

    assert rows == [Imported("acme", "us1", "added", "Reads"), Imported("acme-dr", "us5", "added", "Reads")]
    assert [(each.event, each.organization) for each in entries()] == [
        (Event.ORGANIZATION_ADDED, "acme"),
        (Event.ORGANIZATION_ADDED, "acme-dr"),
    ]


def test_importing_a_file_twice_changes_nothing_and_asks_nobody(two: list[SimulatedOrganization], simulator: Simulator):
    imported(*map(entry, two))
    asked, record, rows = len(simulator.requests), entries(), list(Organization.objects.by_name().values())

    again = imported(*map(entry, two))

    assert [row.result for row in again] == ["unchanged", "unchanged"]
    assert len(simulator.requests) == asked
    assert entries() == record
    assert list(Organization.objects.by_name().values()) == rows


def test_one_that_is_refused_does_not_keep_the_others_out(two: list[SimulatedOrganization], simulator: Simulator):
    simulator.set_fault("acme", "401")

    rows = imported(*map(entry, two))

    assert [(row.name, row.result) for row in rows] == [("acme", "not saved"), ("acme-dr", "added")]
    assert (
        rows[0].detail
        == "us1 says that the API key was refused. A key works on one site only. Check the site, then paste both keys."
    )
    assert [organization.name for organization in Organization.objects.all()] == ["acme-dr"]


def test_no_answer_is_saved_and_said(two: list[SimulatedOrganization], simulator: Simulator):
    simulator.set_fault("acme", "500")

    rows = imported(entry(two[0]))

    assert (rows[0].result, rows[0].detail) == ("added", Organization.objects.get().verify_reason)
    assert rows[0].detail != ""


def test_the_same_keys_under_two_names_are_saved_once(two: list[SimulatedOrganization]):
    rows = imported(entry(two[0]), entry(two[0], name="twin"))

    assert [row.result for row in rows] == ["added", "not saved"]
    assert "belong to acme" in rows[1].detail


def test_other_settings_are_updated_without_replacing_keys(two: list[SimulatedOrganization], simulator: Simulator):
    imported(entry(two[0]))
    asked = len(simulator.requests)

    rows = imported(entry(two[0], requires_approval=True))

    assert rows == [Imported("acme", "us1", "updated", "")]
    assert Organization.objects.get().requires_approval
    assert len(simulator.requests) == asked
    assert [each.event for each in entries()] == [Event.ORGANIZATION_ADDED, Event.ORGANIZATION_EDITED]


def test_new_keys_replace_the_saved_ones(two: list[SimulatedOrganization]):
    imported(entry(two[0]))
    two[0].api_key = "another0api0key0000000000000a1b2"

    rows = imported(entry(two[0]))

    assert rows == [Imported("acme", "us1", "updated", "Reads")]
    assert Organization.objects.get().api_key_tail == "a1b2"
    assert entries()[-1].event == Event.KEYS_REPLACED


def test_another_site_with_the_saved_keys_is_verified_there(two: list[SimulatedOrganization]):
    imported(entry(two[0]))
    two[0].site = "eu1"

    rows = imported(entry(two[0]))

    assert rows == [Imported("acme", "eu1", "updated", "Reads")]


def test_keys_of_another_organization_are_not_saved(two: list[SimulatedOrganization], simulator: Simulator):
    imported(entry(two[0]))
    other = simulator.add_organization("other", "us1")

    (row,) = imported(entry(other, name="acme"))

    assert (row.result, "These keys belong to organization" in row.detail) == ("not saved", True)
    assert Organization.objects.get().api_key_tail == two[0].api_key[-4:]


def test_keys_that_do_not_open_any_more_are_replaced(two: list[SimulatedOrganization], settings: Settings):
    imported(entry(two[0]))
    settings.KEY_RING_FILE.unlink()
    create_ring(settings.KEY_RING_FILE)

    (row,) = imported(entry(two[0]))

    assert row.result == "updated"
    assert keys.open_for(Organization.objects.get(), keys.ring()).api_key.tail == two[0].api_key[-4:]


def test_without_a_ring_nothing_is_asked_and_nothing_is_saved(
    two: list[SimulatedOrganization], simulator: Simulator, settings: Settings
):
    settings.KEY_RING_FILE.unlink()

    with pytest.raises(KeyRingUnusable):
        imported(*map(entry, two))

    assert simulator.requests == []
    assert not Organization.objects.exists()


def test_a_field_that_stands_twice_is_refused():
    with pytest.raises(InvalidFile, match="the same field twice"):
        imports.parse('[{"name": "a", "name": "b", "site": "us1", "api_key": "x", "application_key": "y"}]')
