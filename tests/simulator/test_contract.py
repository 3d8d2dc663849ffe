"""The documented spelling, held against the vendor's OpenAPI document."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from hamr_portal.simulator import HAMR

from .client import fetch, keys, read, wanted, write

DOCUMENT = yaml.safe_load(Path(__file__).with_name("hamr-openapi.yaml").read_text())
EXAMPLE = DOCUMENT["paths"][HAMR]["post"]["requestBody"]["content"]["application/json"]["examples"]["default"]["value"]


@pytest.fixture
def other(simulator, primary):
    """The other side of the pair, answering as documented like the primary."""
    other = simulator.add_organization("acme-us5", "us5")
    simulator.add_pair(primary.name, other.name)
    return other


def check(verb, reply):
    """Hold an answer against what the document says of its status."""
    documented = _resolved(DOCUMENT["paths"][HAMR][verb]["responses"][str(reply.status)])
    schema = documented["content"][reply.headers["Content-Type"]]["schema"]
    Draft202012Validator(schema | {"components": DOCUMENT["components"]}).validate(reply.json)


def _resolved(documented):
    if "$ref" not in documented:
        return documented
    found = DOCUMENT
    for name in documented["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def test_answers_are_as_documented(simulator, primary, other):
    for organization in (primary, other):
        check("get", read(simulator, organization))
        check("post", write(simulator, organization, wanted(organization)))


def test_attributes_are_those_of_the_document_and_no_others(simulator, primary, other):
    documented = DOCUMENT["components"]["schemas"]["HamrOrgConnectionAttributesResponse"]["properties"]

    assert read(simulator, primary).attributes.keys() == documented.keys()


def test_example_of_the_document_is_accepted(simulator):
    organization = simulator.add_organization("example", "us5", uuid=EXAMPLE["data"]["id"])
    target = EXAMPLE["data"]["attributes"]["target_org_uuid"]
    simulator.add_organization("Production Backup Org", "us1", uuid=target)

    reply = write(simulator, organization, EXAMPLE)

    assert reply.status == 200
    check("post", reply)
    assert EXAMPLE["data"]["attributes"].items() <= reply.attributes.items()


def test_example_is_accepted_though_its_target_is_unknown(simulator):
    organization = simulator.add_organization("example", "us5", uuid=EXAMPLE["data"]["id"])

    check("post", write(simulator, organization, EXAMPLE))


@pytest.mark.parametrize(
    ("verb", "fault"), [("get", "429"), ("post", "429"), ("get", "400"), ("get", "404"), ("post", "500")]
)
def test_faults_that_the_document_knows_are_as_documented(simulator, primary, other, verb, fault):
    simulator.set_fault("acme-us1", fault)

    reply = read(simulator, primary) if verb == "get" else write(simulator, primary, wanted(primary))

    assert reply.status == int(fault)
    check(verb, reply)


def test_refusals_are_as_documented(simulator, primary, other):
    reader = simulator.add_organization("acme-us3", "us3", may_read=False, may_write=False)

    check("get", read(simulator, reader))
    check("post", write(simulator, reader, wanted(primary)))
    check("post", write(simulator, primary, wanted(primary, hamr_status=9)))
    check("post", write(simulator, primary, b"{}"))
    simulator.disconnect("acme-us1")
    check("get", read(simulator, primary))


def test_wrong_application_key_is_answered_as_recorded_and_not_as_documented(simulator, primary):
    reply = fetch(simulator.urls["us1"], HAMR, headers=keys(primary) | {"DD-APPLICATION-KEY": "x" * 40})

    assert reply.json == {"errors": ["Forbidden"]}
