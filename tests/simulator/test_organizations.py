"""Reading and writing: what a healthy service knows, says and refuses."""

import re
from datetime import UTC, datetime

import pytest

from hamr_portal.simulator import ACTIVE, CURRENT_USER, FAILOVER, ONBOARDING, PASSIVE, VALIDATE

from .client import fetch, keys, read, wanted, write

AT = datetime(2026, 5, 28, 16, 34, 21, 636477, tzinfo=UTC)
ELSEWHERE = "660f9511-f3ac-52e5-b827-557766551111"


def test_documented_spelling(simulator, primary, secondary):
    simulator.add_pair("acme-us1", "acme-eu1", status=ACTIVE, modified_by="ann@example.com", modified_at=AT)

    reply = read(simulator, primary)

    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json == {
        "data": {
            "id": primary.uuid,
            "type": "hamr_org_connections",
            "attributes": {
                "hamr_status": 4,
                "is_primary": True,
                "modified_at": "2026-05-28T16:34:21.636477Z",
                "modified_by": "ann@example.com",
                "target_org_datacenter": "eu1",
                "target_org_name": "acme-eu1",
                "target_org_uuid": secondary.uuid,
            },
        }
    }


def test_recorded_spelling(simulator, primary, secondary):
    simulator.add_pair("acme-us1", "acme-eu1", status=ACTIVE, modified_by="ann", modified_at=AT)

    reply = read(simulator, secondary)

    assert reply.headers["Content-Type"] == "application/vnd.api+json"
    assert reply.attributes == {
        "HamrStatus": 4,
        "IsPrimary": False,
        "ModifiedAt": "2026-05-28 16:34:21.636477",
        "ModifiedBy": "ann",
        "OrgDatacenter": "eu1.prod.dog",
        "TargetOrgDatacenter": "us1.prod.dog",
        "TargetOrgName": "acme-us1",
        "TargetOrgUuid": primary.uuid,
    }


def test_own_datacenter_is_named_only_where_asked_for(simulator):
    simulator.add_organization("acme-us3", "us3", spelling="PascalCase")
    other = simulator.add_organization("acme-us5", "us5", spelling="PascalCase")
    simulator.add_pair("acme-us3", "acme-us5")

    assert "OrgDatacenter" not in read(simulator, other).attributes


def test_identity_is_that_of_a_version_1_uuid_and_stays_the_same(simulator, primary):
    assert primary.uuid == "6914c125-61f3-19dd-b186-acc82a13ec3a"
    assert re.fullmatch("[0-9a-f]{32}", primary.api_key)
    assert re.fullmatch("[0-9a-f]{40}", primary.application_key)


@pytest.mark.parametrize(("absence", "document"), [("null", None), ("data_null", {"data": None})])
def test_no_connection_can_be_a_null(simulator, absence, document):
    organization = simulator.add_organization("acme-ap1", "ap1", absence=absence)

    reply = read(simulator, organization)

    assert (reply.status, reply.json) == (200, document)


def test_no_connection_is_404_otherwise(simulator, primary):
    assert read(simulator, primary).status == 404


def test_post_changes_both_views_alike(simulator, primary, secondary):
    reply = write(simulator, primary, wanted(primary, hamr_status=FAILOVER, modified_by="ann@example.com"))

    assert reply.status == 200
    assert reply.json == read(simulator, primary).json
    own, other = primary.view, secondary.view
    assert (own.hamr_status, own.modified_by, own.is_primary) == (FAILOVER, "ann@example.com", True)
    assert (other.hamr_status, other.modified_by, other.is_primary) == (FAILOVER, "ann@example.com", False)
    assert own.modified_at == other.modified_at
    assert (other.target_org_uuid, other.target_org_name, other.target_org_datacenter) == (
        primary.uuid,
        "acme-us1",
        "us1",
    )


def test_post_in_the_recorded_spelling(simulator, primary, secondary):
    attributes = {
        "HamrStatus": FAILOVER,
        "IsPrimary": False,
        "ModifiedBy": "ann",
        "TargetOrgDatacenter": "us1.prod.dog",
        "TargetOrgName": "acme-us1",
        "TargetOrgUuid": primary.uuid,
    }

    reply = write(simulator, secondary, wanted(secondary) | _data(secondary, attributes))

    assert reply.status == 200
    assert reply.attributes["HamrStatus"] == FAILOVER
    assert (primary.view.hamr_status, primary.view.is_primary) == (FAILOVER, True)


def test_four_attributes_of_the_guide_link_a_pair(simulator, primary):
    target = simulator.add_organization("acme-us5", "us5")
    attributes = {"TargetOrgUuid": target.uuid, "HamrStatus": 1, "ModifiedBy": "ann", "IsPrimary": True}

    reply = write(simulator, primary, _data(primary, attributes))

    assert reply.status == 200
    assert (primary.view.target_org_name, primary.view.target_org_datacenter) == ("acme-us5", "us5")
    assert (target.view.hamr_status, target.view.is_primary) == (ONBOARDING, False)


def test_four_attributes_do_not_change_a_status(simulator, primary, secondary):
    attributes = {"TargetOrgUuid": secondary.uuid, "HamrStatus": 3, "ModifiedBy": "ann", "IsPrimary": True}

    reply = write(simulator, primary, _data(primary, attributes))

    assert reply.status == 400
    assert reply.pointers == {"/data/attributes/TargetOrgName", "/data/attributes/TargetOrgDatacenter"}
    assert primary.view.hamr_status == PASSIVE


def test_four_attributes_do_not_link_an_unknown_organization(simulator, primary):
    attributes = {"TargetOrgUuid": ELSEWHERE, "HamrStatus": 1, "ModifiedBy": "ann", "IsPrimary": True}

    assert write(simulator, primary, _data(primary, attributes)).pointers == {"/data/attributes/TargetOrgUuid"}


def test_post_about_an_organization_of_somebody_else_changes_the_own_view_alone(simulator, primary, secondary):
    wish = wanted(primary, target_org_uuid=ELSEWHERE, target_org_name="Else", target_org_datacenter="us5.prod.dog")

    reply = write(simulator, primary, wish)

    assert reply.attributes["target_org_datacenter"] == "us5"
    assert secondary.view.target_org_uuid == primary.uuid


def test_organization_that_does_not_mirror_changes_its_own_view_alone(simulator):
    one = simulator.add_organization("acme-us1", "us1", mirrors=False)
    other = simulator.add_organization("acme-eu1", "eu1")
    simulator.add_pair("acme-us1", "acme-eu1")

    write(simulator, one, wanted(one, hamr_status=ACTIVE))

    assert (one.view.hamr_status, other.view.hamr_status) == (ACTIVE, PASSIVE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hamr_status", 6),
        ("hamr_status", -1),
        ("hamr_status", True),
        ("hamr_status", 4.0),
        ("hamr_status", "4"),
        ("hamr_status", None),
        ("is_primary", 1),
        ("is_primary", "true"),
        ("modified_by", " "),
        ("modified_by", None),
        ("target_org_name", ""),
        ("target_org_uuid", 7),
        ("target_org_datacenter", "us5"),  # the target is in eu1
        ("modified_at", "2026-05-28T16:34:21Z"),  # not for the caller to say
        ("HamrStatus", 3),  # two spellings in one body
    ],
)
def test_bad_attribute_is_named_and_changes_nothing(simulator, primary, secondary, name, value):
    reply = write(simulator, primary, wanted(primary, **{name: value}))

    assert reply.status == 400
    assert f"/data/attributes/{name}" in reply.pointers or name == "HamrStatus"
    assert primary.view.hamr_status == PASSIVE


def test_organization_is_not_its_own_target(simulator, primary, secondary):
    wish = wanted(primary, target_org_uuid=primary.uuid, target_org_datacenter="us1")

    assert write(simulator, primary, wish).pointers == {"/data/attributes/target_org_uuid"}


def test_every_missing_attribute_is_named(simulator, primary, secondary):
    reply = write(simulator, primary, _data(primary, {"hamr_status": 2}))

    assert reply.pointers == {
        f"/data/attributes/{name}"
        for name in ("is_primary", "modified_by", "target_org_datacenter", "target_org_name", "target_org_uuid")
    }


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"id": ELSEWHERE}, "/data/id"),
        ({"id": None}, "/data/id"),
        ({"type": "hamr"}, "/data/type"),
        ({"attributes": []}, "/data/attributes"),
    ],
)
def test_bad_envelope_is_named(simulator, primary, secondary, change, pointer):
    document = wanted(primary)
    document["data"] |= change

    reply = write(simulator, primary, document)

    assert (reply.status, reply.pointers) == (400, {pointer})


@pytest.mark.parametrize("document", [[], {}, {"data": []}, None])
def test_body_without_data_is_refused(simulator, primary, document):
    assert write(simulator, primary, document).pointers == {"/data"}


def test_body_that_is_not_json_is_refused(simulator, primary):
    assert write(simulator, primary, b"\xff{").status == 400


def test_body_of_another_type_is_refused(simulator, primary):
    reply = fetch(simulator.urls["us1"], "/api/v2/hamr", verb="POST", headers=keys(primary), body=b"{}")

    assert reply.status == 415


def test_unknown_api_key_is_unauthorized(simulator, primary):
    reply = fetch(simulator.urls["us1"], "/api/v2/hamr", headers=keys(primary) | {"DD-API-KEY": "x" * 32})

    assert (reply.status, reply.json) == (401, {"errors": ["Unauthorized"]})


def test_missing_keys_are_unauthorized(simulator, primary):
    assert fetch(simulator.urls["us1"], "/api/v2/hamr").status == 401


def test_wrong_application_key_is_forbidden(simulator, primary, secondary):
    mixed = keys(primary) | {"DD-APPLICATION-KEY": secondary.application_key}

    reply = fetch(simulator.urls["us1"], "/api/v2/hamr", headers=mixed)

    assert (reply.status, reply.json) == (403, {"errors": ["Forbidden"]})


def test_keys_open_nothing_at_another_site(simulator, primary):
    assert fetch(simulator.urls["eu1"], "/api/v2/hamr", headers=keys(primary)).status == 401
    assert fetch(simulator.urls["eu1"], VALIDATE, headers=keys(primary)).status == 403


def test_missing_permissions_are_named(simulator):
    simulator.add_organization("acme-us1", "us1", may_read=False)
    reader = simulator.add_organization("acme-eu1", "eu1", may_write=False)
    simulator.add_pair("acme-us1", "acme-eu1")

    refused_read = read(simulator, simulator.organizations.named("acme-us1"))
    refused_write = write(simulator, reader, wanted(reader))

    assert (refused_read.status, refused_write.status) == (403, 403)
    assert "disaster_recovery_status_read" in refused_read.json["errors"][0]["detail"]
    assert "disaster_recovery_status_write" in refused_write.json["errors"][0]["detail"]


def test_current_user_tells_the_organization(simulator, primary):
    reply = read(simulator, primary, CURRENT_USER)

    assert reply.json["data"]["relationships"]["org"]["data"]["id"] == primary.uuid


def test_current_user_needs_both_keys(simulator, primary):
    reply = fetch(simulator.urls["us1"], CURRENT_USER, headers={"DD-API-KEY": primary.api_key})

    assert reply.status == 403


def test_validate_needs_the_api_key_alone(simulator, primary):
    good = fetch(simulator.urls["us1"], VALIDATE, headers={"DD-API-KEY": primary.api_key})
    bad = fetch(simulator.urls["us1"], VALIDATE)

    assert (good.status, good.json) == (200, {"valid": True})
    assert bad.status == 403


def test_unknown_path_and_verb(simulator, primary):
    assert read(simulator, primary, "/api/v2/other").json["errors"][0]["status"] == "404"
    assert fetch(simulator.urls["us1"], VALIDATE, verb="DELETE").status == 405


def test_query_is_ignored(simulator, primary, secondary):
    assert read(simulator, primary, "/api/v2/hamr?x=1").status == 200


def test_write_aside_changes_both_views(simulator, primary, secondary):
    simulator.write_aside("acme-eu1", ACTIVE, "somebody")

    for view in (primary.view, secondary.view):
        assert (view.hamr_status, view.modified_by) == (ACTIVE, "somebody")
    assert primary.view.modified_at == secondary.view.modified_at


def test_split_changes_one_view(simulator, primary, secondary):
    simulator.split("acme-eu1", is_primary=True, hamr_status=ACTIVE)

    assert (secondary.view.is_primary, secondary.view.hamr_status) == (True, ACTIVE)
    assert (primary.view.is_primary, primary.view.hamr_status) == (True, PASSIVE)


def test_disconnected_side_answers_404_until_it_is_written(simulator, primary, secondary):
    simulator.disconnect("acme-eu1")
    before = read(simulator, secondary).status

    write(simulator, primary, wanted(primary))

    assert (before, read(simulator, secondary).status) == (404, 200)


def test_wrong_names_are_explained(simulator, primary):
    with pytest.raises(ValueError, match="No organization acme; there are: acme-us1"):
        simulator.write_aside("acme", 2, "x")
    with pytest.raises(ValueError, match="acme-us1 has no connection"):
        simulator.write_aside("acme-us1", 2, "x")
    with pytest.raises(ValueError, match="already an organization acme-us1"):
        simulator.add_organization("acme-us1", "us3")
    with pytest.raises(ValueError, match="No site uk1; there are: us1"):
        simulator.add_organization("acme-uk1", "uk1")


def _data(organization, attributes):
    return {"data": {"id": organization.uuid, "type": "hamr_org_connections", "attributes": attributes}}
