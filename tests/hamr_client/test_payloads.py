import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hamr_portal.domain.connections import Connection
from hamr_portal.domain.organizations import Spelling
from hamr_portal.hamr_client import HamrError, NotCopied, request_body
from hamr_portal.hamr_client._payloads import (
    Unreadable,
    connection_in,
    document_in,
    echo_in,
    organization_uuid_in,
    validity_in,
)
from hamr_portal.hamr_client._replies import Reply, check_status, understood
from tests.hamr_client.servers import ORGANIZATION, TARGET, attributes, document, recorded_attributes

SNAKE_AND_PASCAL = [
    ("hamr_status", "HamrStatus"),
    ("is_primary", "IsPrimary"),
    ("modified_at", "ModifiedAt"),
    ("modified_by", "ModifiedBy"),
    ("target_org_datacenter", "TargetOrgDatacenter"),
    ("target_org_name", "TargetOrgName"),
    ("target_org_uuid", "TargetOrgUuid"),
]


def connection(**changes):
    """The connection of an answer as described, with these attributes changed."""
    found = connection_in(document(attributes(**changes)))
    assert found is not None
    return found


def without(found, name):
    return {key: value for key, value in found.items() if key != name}


def test_answer_as_described_is_read():
    assert connection() == Connection(
        organization_uuid=UUID(ORGANIZATION),
        status=2,
        is_primary=True,
        modified_at=datetime(2026, 1, 13, 17, 26, 48, 830968, tzinfo=UTC),
        modified_by="ops@example.com",
        target_uuid=UUID(TARGET),
        target_name="Acme US5",
        target_datacenter="us5",
        own_datacenter="",
        spelling=Spelling.SNAKE_CASE,
    )


def test_answer_as_recorded_is_read():
    assert connection_in(document(recorded_attributes())) == Connection(
        organization_uuid=UUID(ORGANIZATION),
        status=2,
        is_primary=True,
        modified_at=datetime(2026, 5, 28, 16, 34, 21, 636477, tzinfo=UTC),
        modified_by="ops-login",
        target_uuid=UUID(TARGET),
        target_name="Acme US5",
        target_datacenter="us5.prod.dog",
        own_datacenter="us1.prod.dog",
        spelling=Spelling.PASCAL_CASE,
    )


def test_unknown_names_are_ignored():
    found = document(attributes(hamr_mode="new", OrgColour=[1]) | {"Hamr_Status": 9})
    found["meta"], found["data"]["links"] = {"a": 1}, []

    assert connection_in(found) == connection()


def test_own_datacenter_is_read_in_either_spelling():
    assert connection(org_datacenter="us1").own_datacenter == "us1"


@pytest.mark.parametrize("answer", [None, {"data": None}, {"data": None, "meta": {}}])
def test_null_is_no_connection(answer):
    assert connection_in(answer) is None


@pytest.mark.parametrize("answer", [None, {"data": None}])
def test_null_does_not_repeat_a_request(answer):
    with pytest.raises(Unreadable, match="no connection in it"):
        echo_in(answer)


def test_repeated_connection_is_read():
    assert echo_in(document()) == connection()


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 5, 6, 99, 2**31 - 1])
def test_status_number_is_kept_known_or_not(number):
    assert connection(hamr_status=number).status == number


@pytest.mark.parametrize("value", [True, False, 4.0, "4", [], {}, None, -1, 2**31, 10**30, [4]])
def test_status_that_is_no_number_is_unreadable(value):
    with pytest.raises(Unreadable, match='"hamr_status" is not a status number'):
        connection(hamr_status=value)


@pytest.mark.parametrize("value", [0, 1, "true", None, [], {}])
def test_primary_that_is_neither_true_nor_false_is_unreadable(value):
    with pytest.raises(Unreadable, match='"is_primary" is not true or false'):
        connection(is_primary=value)


@pytest.mark.parametrize("name", [pair[0] for pair in SNAKE_AND_PASCAL])
def test_missing_attribute_is_unreadable(name):
    with pytest.raises(Unreadable, match=f'"{name}" is missing'):
        connection_in(document(without(attributes(), name)))


@pytest.mark.parametrize("name", [pair[1] for pair in SNAKE_AND_PASCAL])
def test_missing_recorded_attribute_is_unreadable(name):
    with pytest.raises(Unreadable, match=f'"{name}" is missing'):
        connection_in(document(without(recorded_attributes(), name)))


@pytest.mark.parametrize(("snake", "pascal"), SNAKE_AND_PASCAL)
def test_attributes_in_two_spellings_are_unreadable(snake, pascal):
    both = attributes() | {pascal: recorded_attributes()[pascal]}
    mixed = without(both, snake)

    for found in (both, mixed):
        with pytest.raises(Unreadable, match="attributes in two spellings"):
            connection_in(document(found))


def test_attributes_of_neither_spelling_are_unreadable():
    with pytest.raises(Unreadable, match='"hamr_status" is missing'):
        connection_in(document({"HAMR_STATUS": 4}))


@pytest.mark.parametrize("empty", ["", None])
def test_connection_that_is_not_linked_yet_may_be_empty(empty):
    found = connection(
        hamr_status=1,
        modified_at=empty,
        modified_by=empty,
        target_org_datacenter=empty,
        target_org_name=empty,
        target_org_uuid=empty,
        org_datacenter=empty,
    )

    assert (found.modified_at, found.target_uuid) == (None, None)
    assert (found.modified_by, found.target_name, found.target_datacenter, found.own_datacenter) == ("",) * 4


@pytest.mark.parametrize("value", [4, True, [], {}, 1.5])
@pytest.mark.parametrize("name", ["modified_by", "target_org_name", "target_org_datacenter", "org_datacenter"])
def test_text_of_another_type_is_unreadable(name, value):
    with pytest.raises(Unreadable, match=f'"{name}" is not a text'):
        connection(**{name: value})


@pytest.mark.parametrize(
    "value", ["x", "{" + TARGET + "}", TARGET.replace("-", ""), "urn:uuid:" + TARGET, TARGET + "\n", 4, [], False, 0]
)
def test_target_that_is_no_uuid_is_unreadable(value):
    with pytest.raises(Unreadable, match='"target_org_uuid" is not a UUID'):
        connection(target_org_uuid=value)


@pytest.mark.parametrize("value", ["", None, "x", 4, [], "\uff10" + ORGANIZATION[1:]])
def test_organization_without_a_uuid_is_unreadable(value):
    with pytest.raises(Unreadable, match='"id" is not a UUID'):
        connection_in(document() | {"data": document()["data"] | {"id": value}})


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-13T17:26:48Z", datetime(2026, 1, 13, 17, 26, 48, tzinfo=UTC)),
        ("2026-01-13t17:26:48.5z", datetime(2026, 1, 13, 17, 26, 48, 500000, tzinfo=UTC)),
        ("2026-01-13T17:26:48.123456789+02:00", datetime(2026, 1, 13, 15, 26, 48, 123456, tzinfo=UTC)),
        ("2026-01-13T17:26:48-00:30", datetime(2026, 1, 13, 17, 56, 48, tzinfo=UTC)),
        ("2024-01-01T00:00:00+00:00", datetime(2024, 1, 1, tzinfo=UTC)),
        ("2026-05-28 16:34:21.636477", datetime(2026, 5, 28, 16, 34, 21, 636477, tzinfo=UTC)),
        ("2026-05-28 16:34:21", datetime(2026, 5, 28, 16, 34, 21, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_time_in_either_form_is_utc(text, moment):
    assert connection(modified_at=text).modified_at == moment


@pytest.mark.parametrize(
    "value",
    [
        "yesterday",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:01Z",
        "2026-01-01T00:00:00+25:00",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01",
        "2026-01-01T00:00:00Z\n",
        "\u0662026-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+05:00",
        "9999-12-31T23:59:59-05:00",
        "9999-12-31T23:59:59Z",
        1767225600,
        1.5,
        True,
        [],
        {},
        0,
        False,
    ],
)
def test_time_that_is_none_is_unreadable(value):
    with pytest.raises(Unreadable, match='"modified_at" is not a time'):
        connection(modified_at=value)


def test_text_is_sanitized_and_short():
    found = connection(
        modified_by="\ud800\x00\u202e" + "m" * 300, target_org_name="n" * 300, target_org_datacenter="d" * 300
    )

    assert found.modified_by == "\ufffd\ufffd\ufffd" + "m" * 196 + "…"
    assert found.target_name == "n" * 199 + "…"
    assert found.target_datacenter == "d" * 63 + "…"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([], "the answer is not an object"),
        ("data", "the answer is not an object"),
        (4, "the answer is not an object"),
        ({}, '"data" is missing'),
        ({"Data": {}}, '"data" is missing'),
        ({"data": []}, "data is not an object"),
        ({"data": {}}, '"type" is missing'),
        ({"data": {"type": "users"}}, "data.type is not hamr_org_connections"),
        ({"data": {"type": ["hamr_org_connections"]}}, "data.type is not hamr_org_connections"),
        ({"data": {"type": "hamr_org_connections"}}, '"attributes" is missing'),
        ({"data": {"type": "hamr_org_connections", "attributes": []}}, "attributes is not an object"),
        ({"data": {"type": "hamr_org_connections", "attributes": attributes()}}, '"id" is missing'),
    ],
)
def test_envelope_of_another_shape_is_unreadable(answer, why):
    with pytest.raises(Unreadable, match=why):
        connection_in(answer)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        ("{}".encode("utf-16"), "not valid JSON"),
        ("{}".encode("utf-16-le"), "not valid JSON"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b"[" * 60_000, "not valid JSON"),
        (b'{"a":' * 12_000, "not valid JSON"),
        (b"9" * 5_000, "not valid JSON"),
        (b'{"a": NaN}', "NaN is not a number"),
        (b"[-Infinity]", "-Infinity is not a number"),
        (b'{"data": 1, "data": 2}', 'duplicate key "data"'),
        (b'{"a": {"b": 1, "\\u0062": 2}}', 'duplicate key "b"'),
        (b'{"\\ud800": 1, "\\ud800": 2}', 'duplicate key "\ufffd"'),
    ],
)
def test_body_that_is_no_strict_json_is_unreadable(body, why):
    with pytest.raises(Unreadable, match=why):
        document_in(body)


def test_organization_of_the_keys_is_read():
    answer = {"data": {"relationships": {"org": {"data": {"id": ORGANIZATION, "type": "orgs"}}}}}

    assert organization_uuid_in(answer) == UUID(ORGANIZATION)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"data": None},
        {"data": {}},
        {"data": {"relationships": {"org": {"data": []}}}},
        {"data": {"relationships": {"org": {"data": {"id": "x"}}}}},
    ],
)
def test_organization_that_is_not_said_is_unreadable(answer):
    with pytest.raises(Unreadable):
        organization_uuid_in(answer)


@pytest.mark.parametrize("valid", [True, False])
def test_validity_is_read(valid):
    assert validity_in({"valid": valid}) is valid


@pytest.mark.parametrize("answer", [None, {}, {"valid": 1}, {"valid": "true"}])
def test_validity_that_is_not_said_is_unreadable(answer):
    with pytest.raises(Unreadable):
        validity_in(answer)


def test_request_changes_only_the_status_and_who_set_it():
    body = json.loads(request_body(connection(), status=4, modified_by="me", spelling=Spelling.AUTO))

    expected = without(attributes(hamr_status=4, modified_by="me"), "modified_at")
    assert body == {"data": {"id": ORGANIZATION, "type": "hamr_org_connections", "attributes": expected}}


def test_request_spells_as_the_reading_did():
    reading = echo_in(document(recorded_attributes()))

    body = json.loads(request_body(reading, status=4, modified_by="me", spelling=Spelling.AUTO))

    expected = recorded_attributes(HamrStatus=4, ModifiedBy="me")
    assert body["data"]["attributes"] == without(without(expected, "ModifiedAt"), "OrgDatacenter")


@pytest.mark.parametrize("reading", [attributes(), recorded_attributes()])
@pytest.mark.parametrize(
    ("spelling", "name"), [(Spelling.SNAKE_CASE, "hamr_status"), (Spelling.PASCAL_CASE, "HamrStatus")]
)
def test_request_is_spelled_as_asked(reading, spelling, name):
    body = json.loads(request_body(echo_in(document(reading)), status=4, modified_by="me", spelling=spelling))

    assert body["data"]["attributes"][name] == 4
    assert len(body["data"]["attributes"]) == 6


def test_request_without_a_target_says_so():
    reading = connection(target_org_uuid="")

    body = json.loads(request_body(reading, status=1, modified_by="me", spelling=Spelling.AUTO))

    assert body["data"]["attributes"]["target_org_uuid"] == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"target_org_name": "Acme \u202e US5"},
        {"target_org_name": "n" * 201},
        {"target_org_datacenter": "us5\x00"},
        {"target_org_datacenter": "d" * 65},
    ],
)
def test_reading_that_was_altered_is_not_written_back(changes):
    with pytest.raises(NotCopied):
        request_body(connection(**changes), status=4, modified_by="me", spelling=Spelling.AUTO)


def test_longest_name_is_written_back_unchanged():
    reading = connection(target_org_name="é" * 200, target_org_datacenter="d" * 64)

    body = json.loads(request_body(reading, status=4, modified_by="me\ud800", spelling=Spelling.AUTO))

    assert body["data"]["attributes"]["target_org_name"] == "é" * 200


# Whatever a body is, it ends in a connection whose status the body itself shows, or in an error of the family.

ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["4", 4.0, 2**31, -1, 10**400, "\ud800", "0001-01-01T00:00:00+05:00", "9999-12-31 23:59:59"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
NAMES = [name for pair in SNAKE_AND_PASCAL for name in pair] + ["org_datacenter", "OrgDatacenter"]
ENVELOPE = ["data", "id", "type", "attributes"]


@st.composite
def odd_documents(draw):
    """A good document with a few odd values, missing names and names of the other spelling."""
    found = draw(st.sampled_from([attributes, recorded_attributes]))()
    found |= draw(st.dictionaries(st.sampled_from(NAMES), ODD, max_size=2))
    for name in draw(st.lists(st.sampled_from(NAMES), max_size=1)):
        found.pop(name, None)
    whole = document(found)
    whole["data"] |= draw(st.dictionaries(st.sampled_from(ENVELOPE), ODD, max_size=1)) if draw(st.booleans()) else {}
    return json.dumps(whole, ensure_ascii=draw(st.booleans())).encode(errors="surrogatepass")


@st.composite
def mutated_bodies(draw):
    """A good body with a few bytes replaced, cut out or repeated."""
    body = bytearray(json.dumps(document(draw(st.sampled_from([attributes, recorded_attributes]))())).encode())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(start + 12, len(body))))
        patch = draw(
            st.one_of(st.binary(max_size=4), st.sampled_from([b"", b"0", b"e9", b".0", b'"', b",", b"}", b"["]))
        )
        body[start:end] = patch if draw(st.booleans()) else bytes(body[start:end]) * 2
    return bytes(body)


BODIES = st.one_of(odd_documents(), mutated_bodies(), ODD.map(lambda odd: json.dumps(odd).encode()), st.binary())
STATUSES = st.sampled_from([200, 200, 200, 201, 204, 302, 400, 401, 404, 408, 429, 500, 503])
TYPES = st.sampled_from(["application/json"] * 3 + ["application/vnd.api+json", "text/html", ""])


def check_that_it_is_read_truly_or_not_at_all(status, content_type, body):
    found, reason = outcome(Reply(status, {"Content-Type": content_type}, body, 1))

    if found is not None:
        shown = json.loads(body)["data"]["attributes"]
        [shown_status] = [shown[name] for name in ("hamr_status", "HamrStatus") if name in shown]
        assert (type(shown_status), shown_status) == (int, found.status)
    elif not reason:
        shown = json.loads(body)
        assert shown is None or shown["data"] is None


def outcome(reply):
    """The connection or None, and why there is no answer, or an empty text."""
    try:
        check_status(reply)
        return understood(reply, connection_in), ""
    except HamrError as error:
        return None, error.reason or pytest.fail("an error without a reason")


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STATUSES, TYPES, BODIES)
def test_any_body_is_read_truly_or_not_at_all(status, content_type, body):
    check_that_it_is_read_truly_or_not_at_all(status, content_type, body)


@pytest.mark.longest
@pytest.mark.slow
@pytest.mark.thorough
@settings(max_examples=10_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STATUSES, TYPES, BODIES)
def test_any_of_many_bodies_is_read_truly_or_not_at_all(status, content_type, body):
    check_that_it_is_read_truly_or_not_at_all(status, content_type, body)
