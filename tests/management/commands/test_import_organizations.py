from __future__ import annotations

import json
from typing import Any

import pytest

from hamr_portal.domain.organizations import Spelling
from hamr_portal.models import AuditEntry, Organization
from hamr_portal.services import keys

pytestmark = pytest.mark.django_db
CANARY = "canary0api0key0cccccccccccc"
GOOD: dict[str, Any] = {
    "name": "acme-us1",
    "site": "us1",
    "api_key": CANARY,
    "application_key": CANARY + "0application",
}


def entry_of(simulated: Any, **more: Any) -> dict[str, Any]:
    return {name: getattr(simulated, name) for name in ("name", "site", "api_key", "application_key")} | more


@pytest.fixture
def company(simulator):
    """Two organizations as the simulator has them."""
    primary = simulator.add_organization("acme-us1", "us1")
    secondary = simulator.add_organization("acme-us5", "us5", spelling="PascalCase")
    simulator.add_pair("acme-us1", "acme-us5")
    return [
        entry_of(primary, requires_approval=True),
        entry_of(secondary, spelling="snake_case"),
    ]


# --- what works -------------------------------------------------------------------------------------------------


def test_organizations_of_a_file_are_verified_saved_and_told_row_by_row(run, company, tmp_path):
    (tmp_path / "organizations.json").write_text(json.dumps(company))

    ended = run("import_organizations", str(tmp_path / "organizations.json"))

    assert ended.exit == 0
    assert [line.split() for line in ended.out.splitlines()] == [
        ["added", "us1", "acme-us1", "Reads"],
        ["added", "us5", "acme-us5", "Reads"],
    ]
    first, second = Organization.objects.by_name()
    assert (first.requires_approval, first.spelling) == (True, Spelling.AUTO)
    assert (second.requires_approval, second.spelling) == (False, Spelling.SNAKE_CASE)
    assert keys.open_for(first, keys.ring()).api_key.reveal() == company[0]["api_key"]


def test_organizations_come_from_standard_input_too(run, company):
    ended = run("import_organizations", "-", stdin=json.dumps(company[:1]))

    assert ended.exit == 0
    assert Organization.objects.get().name == "acme-us1"


def test_importing_twice_changes_nothing_and_records_nothing(run, company):
    run("import_organizations", "-", stdin=json.dumps(company))
    before = list(Organization.objects.by_name().values())
    entries = AuditEntry.objects.count()

    ended = run("import_organizations", "-", stdin=json.dumps(company))

    assert [line.split()[0] for line in ended.out.splitlines()] == ["unchanged", "unchanged"]
    assert list(Organization.objects.by_name().values()) == before
    assert AuditEntry.objects.count() == entries


def test_what_differs_is_updated_and_the_keys_stay(run, company):
    run("import_organizations", "-", stdin=json.dumps(company))
    sealed = Organization.objects.get(name="acme-us1").sealed_api_key

    ended = run("import_organizations", "-", stdin=json.dumps([company[0] | {"requires_approval": False}, company[1]]))

    assert [line.split()[0] for line in ended.out.splitlines()] == ["updated", "unchanged"]
    changed = Organization.objects.get(name="acme-us1")
    assert (changed.requires_approval, changed.sealed_api_key) == (False, sealed)


def test_an_organization_in_the_dark_is_saved_all_the_same(run, company, simulator):
    simulator.set_fault("acme-us1", "refuse")

    ended = run("import_organizations", "-", stdin=json.dumps(company[:1]))

    assert ended.exit == 0
    assert ended.out.split()[:3] == ["added", "us1", "acme-us1"]
    assert Organization.objects.get().uuid is None


def test_refused_keys_are_not_saved_and_leave_the_others_alone(run, company):
    wrong = company[0] | {"api_key": CANARY}

    ended = run("import_organizations", "-", stdin=json.dumps([wrong, company[1]]))

    assert ended.exit == 1
    assert "1 of 2 were not saved" in ended.error
    assert ended.out.splitlines()[0].startswith("not saved  us1      acme-us1  us1 says that the API key was refused")
    assert [each.name for each in Organization.objects.all()] == ["acme-us5"]


def test_two_names_for_one_organization_are_refused(run, company):
    ended = run("import_organizations", "-", stdin=json.dumps([company[0], company[0] | {"name": "acme-copy"}]))

    assert ended.exit == 1
    assert "These keys belong to acme-us1" in ended.out
    assert Organization.objects.count() == 1


def test_no_key_is_printed_or_recorded_whatever_comes_of_it(run, company):
    given = [company[0], company[1] | {"api_key": CANARY}]

    ended = run("import_organizations", "-", stdin=json.dumps(given))

    told = ended.out + ended.err + ended.error + "".join(AuditEntry.objects.values_list("data", flat=True))
    for entry in given:
        assert entry["api_key"] not in told
        assert entry["application_key"] not in told


# --- what does not ----------------------------------------------------------------------------------------------


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in GOOD.items() if key != name}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "This is not JSON."),
        (CANARY, "This is not JSON."),
        (json.dumps([GOOD])[:-1], "This is not JSON."),
        ("[" * 100_000, "This is not JSON."),
        ("\ufeff" + json.dumps([GOOD]), "This is not JSON."),
        ("[1" + "0" * 5000 + "]", "This is not JSON."),
        ("null", "Write a list of organizations:"),
        ("[]", "Write a list of organizations:"),
        (json.dumps(GOOD), "Write a list of organizations:"),
        (json.dumps(CANARY), "Write a list of organizations:"),
        (json.dumps([GOOD, CANARY]), "entry 2: write an object with name, site, api_key, application_key."),
        (json.dumps([GOOD, None]), "entry 2: write an object"),
        (json.dumps([without("name")]), "entry 1: name is missing."),
        (json.dumps([without("site")]), "acme-us1: site is missing."),
        (json.dumps([without("api_key")]), "acme-us1: api_key is missing."),
        (json.dumps([without("application_key")]), "acme-us1: application_key is missing."),
        (json.dumps([GOOD | {"app_key": CANARY}]), "acme-us1: a field is not known. Known: name, site, api_key"),
        (json.dumps([GOOD | {"api_key": 7}]), "acme-us1: api_key must be a text."),
        (json.dumps([GOOD | {"application_key": None}]), "acme-us1: application_key must be a text."),
        (json.dumps([GOOD | {"name": ["acme"]}]), "entry 1: name must be a text."),
        (json.dumps([GOOD | {"api_key": CANARY + "\n"}]), "acme-us1: The API key must be 16 to 128 letters"),
        (json.dumps([GOOD | {"application_key": "short"}]), "acme-us1: The application key must be"),
        (json.dumps([GOOD | {"api_key": "\ud800" * 20}]), "acme-us1: The API key must be"),
        (json.dumps([GOOD | {"name": "Acme US1"}]), "entry 1: the name must be lower-case letters"),
        (json.dumps([GOOD | {"name": "new"}]), "new: the name must be"),
        (json.dumps([GOOD | {"name": ""}]), "entry 1: the name must be"),
        (json.dumps([GOOD | {"site": "us9"}]), "acme-us1: the site is in no list. Known: us1, us3"),
        (json.dumps([GOOD | {"site": "https://evil.example"}]), "acme-us1: the site is in no list."),
        (json.dumps([GOOD | {"site": "\u202eus1"}]), "acme-us1: the site is in no list."),
        (json.dumps([GOOD | {"requires_approval": "yes"}]), "acme-us1: requires_approval must be true or false."),
        (json.dumps([GOOD | {"requires_approval": 1}]), "acme-us1: requires_approval must be true or false."),
        (json.dumps([GOOD | {"spelling": "camelCase"}]), "acme-us1: spelling must be auto, snake_case or PascalCase."),
        (json.dumps([GOOD | {"spelling": None}]), "acme-us1: spelling must be auto"),
        (json.dumps([GOOD, GOOD]), "acme-us1: the name stands in the file more than once."),
    ],
    ids=range(34),
)
def test_a_wrong_file_is_refused_as_a_whole_by_the_entry_that_is_wrong(run, simulator, text, sentence):
    ended = run("import_organizations", "-", stdin=text)

    assert ended.exit == 1
    assert ended.error.startswith("Nothing was saved.\n")
    assert sentence in ended.error
    assert CANARY not in ended.error + ended.out + ended.err
    assert not Organization.objects.exists()
    assert simulator.requests == [], "nothing was asked either"


def test_all_that_is_wrong_is_told_at_once(run):
    wrong = [without("site"), GOOD | {"name": "b", "requires_approval": 0}, GOOD | {"name": "c"}, GOOD | {"name": "c"}]

    ended = run("import_organizations", "-", stdin=json.dumps(wrong))

    assert ended.error.splitlines() == [
        "Nothing was saved.",
        "acme-us1: site is missing.",
        "b: requires_approval must be true or false.",
        "c: the name stands in the file more than once.",
    ]


def test_a_file_that_is_not_there_or_not_text_is_told_in_a_sentence(run, tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe" + CANARY.encode())

    missing = run("import_organizations", str(tmp_path / "missing.json"))
    binary = run("import_organizations", str(tmp_path / "binary"))

    assert (missing.exit, binary.exit) == (1, 1)
    assert "missing.json cannot be read" in missing.error
    assert "binary cannot be read" in binary.error
    assert CANARY not in binary.error


def test_without_a_key_ring_nothing_is_saved(run, company, settings):
    settings.KEY_RING_FILE.unlink()

    ended = run("import_organizations", "-", stdin=json.dumps(company))

    assert ended.exit == 1
    assert ended.error.startswith("Nothing was saved. The key ring")
    assert not Organization.objects.exists()
