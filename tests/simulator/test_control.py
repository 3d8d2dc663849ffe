"""Steering a simulator from another process."""

import json

import pytest

from hamr_portal.simulator import ACTIVE, PASSIVE, Control, scene

from .client import fetch, read, wanted, write


@pytest.fixture
def control(simulator, secondary):
    with Control(simulator) as control:
        yield control


def tell(control, path, **words):
    return fetch(control.url, path, verb="POST", body=json.dumps(words).encode())


def test_state_tells_everything_but_keys(simulator, control, primary):
    simulator.set_fault("acme-us1", "429", verb="GET")

    reply = fetch(control.url, "/state")

    first = reply.json["organizations"][0]
    assert reply.json["sites"] == simulator.urls
    assert reply.json["scene"] is None
    assert (first["name"], first["site"], first["uuid"]) == ("acme-us1", "us1", primary.uuid)
    assert (first["view"]["hamr_status"], first["faults"]) == (PASSIVE, {"GET": "429"})
    assert primary.api_key.encode() not in reply.body
    assert primary.application_key.encode() not in reply.body


def test_state_of_an_organization_without_a_connection(simulator, control):
    simulator.disconnect("acme-us1")

    assert fetch(control.url, "/state").json["organizations"][0]["view"] is None


def test_faults_are_set_and_taken_back(simulator, control, primary):
    reply = tell(control, "/faults", name="acme-us1", fault="429", verb="GET", reset=5)
    during = read(simulator, primary)
    tell(control, "/faults", name="acme-us1", fault=None)

    assert reply.json == {"faults": {"GET": "429"}}
    assert (during.status, during.headers["X-RateLimit-Reset"]) == (429, "5")
    assert read(simulator, primary).status == 200


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"name": "acme-us1", "fault": "42"}, "No fault 42; there are"),
        ({"name": "acme", "fault": "429"}, "No organization acme"),
        ({"fault": "429"}, "name"),
    ],
)
def test_wrong_words_are_explained(control, words, says):
    reply = tell(control, "/faults", **words)

    assert reply.status == 400
    assert says in reply.json["error"]


def test_body_that_is_no_object_is_refused(control):
    assert fetch(control.url, "/faults", verb="POST", body=b"[]").status == 400
    assert fetch(control.url, "/faults", verb="POST", body=b"{").status == 400


def test_unknown_call_lists_the_known_ones(control):
    reply = fetch(control.url, "/fault")

    assert reply.status == 404
    assert "POST /faults" in reply.json["error"]


def test_requests_are_told(simulator, control, primary):
    write(simulator, primary, b"{}")

    (request,) = fetch(control.url, "/requests").json

    assert request == {
        "verb": "POST",
        "path": "/api/v2/hamr",
        "organization": "acme-us1",
        "at": simulator.posts[0].at,
        "body": "{}",
    }


def test_write_aside(control, primary, secondary):
    reply = tell(control, "/write_aside", name="acme-us1", status=ACTIVE, modified_by="somebody")

    assert reply.json["view"]["modified_by"] == "somebody"
    assert (primary.view.hamr_status, secondary.view.hamr_status) == (ACTIVE, ACTIVE)


def test_split(simulator, control, primary, secondary):
    tell(control, "/split", name="acme-us1", is_primary=False, modified_at="2026-05-28T16:34:21+00:00")

    assert read(simulator, primary).attributes["modified_at"] == "2026-05-28T16:34:21.000000Z"
    assert (primary.view.is_primary, secondary.view.is_primary) == (False, False)


def test_late_requests_can_be_let_act(simulator, control, primary):
    simulator.set_fault("acme-us1", "late", verb="POST")
    with pytest.raises(ConnectionError):
        write(simulator, primary, wanted(primary, hamr_status=ACTIVE))

    reply = tell(control, "/act_late")

    assert reply.json == {"acted": 1}
    assert primary.view.hamr_status == ACTIVE


def test_scene_begins_once(simulator, monkeypatch):
    played = []
    company = scene.build(simulator)
    monkeypatch.setattr(company, "play", lambda: played.append(True))  # it would wait for 45 s
    with Control(simulator, company) as control:
        before = fetch(control.url, "/state").json["scene"]
        replies = [tell(control, "/begin").json for _ in range(2)]

    assert before == {"elapsed": None}
    assert replies == [{"elapsed": 0}, {"elapsed": 0}]
    assert played == [True]
    assert simulator.faults("halden-checkout") == {"ANY": "refuse"}


def test_without_a_scene_nothing_begins(control):
    assert tell(control, "/begin").json == {"error": "There is no scene."}
