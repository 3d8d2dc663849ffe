"""Every fault as a client sees it."""

import contextlib
import http.client
import json
import socket
import threading

import pytest

from hamr_portal.simulator import ACTIVE, CURRENT_USER, FAULTS, HAMR, PASSIVE
from hamr_portal.simulator._faults import parse

from .client import fetch, keys, read, wanted, write

NO_ANSWER = (http.client.RemoteDisconnected, ConnectionResetError)


def test_refusing_closes_the_port_of_the_whole_site(simulator, primary, secondary):
    neighbour = simulator.add_organization("acme-other", "us1")

    simulator.set_fault("acme-us1", "refuse")

    for organization in (primary, neighbour):
        with pytest.raises(ConnectionRefusedError):
            read(simulator, organization)
    assert read(simulator, secondary).status == 200
    assert simulator.faults("acme-us1") == {"ANY": "refuse"}


def test_site_that_refused_listens_again_on_the_same_port(simulator, primary, secondary):
    url = simulator.urls["us1"]
    simulator.set_fault("acme-us1", "refuse")

    simulator.set_fault("acme-us1", None)

    assert simulator.urls["us1"] == url
    assert read(simulator, primary).status == 200


def test_site_refuses_until_the_last_organization_stops(simulator, primary, secondary):
    simulator.add_organization("acme-other", "us1")
    for name in ("acme-us1", "acme-other"):
        simulator.set_fault(name, "refuse")

    simulator.set_fault("acme-other", "429")

    with pytest.raises(ConnectionRefusedError):
        read(simulator, primary)
    simulator.set_fault("acme-us1", None)
    assert read(simulator, primary).status == 200


def test_refusing_ends_kept_connections(simulator, primary, secondary):
    connection = http.client.HTTPConnection(simulator.urls["us1"].removeprefix("http://"))
    with contextlib.closing(connection):
        connection.request("GET", HAMR, headers=keys(primary))
        connection.getresponse().read()

        simulator.set_fault("acme-us1", "refuse")

        assert connection.sock.recv(1) == b""


def test_hanging_ends_when_the_client_gives_up(simulator, primary):
    simulator.set_fault("acme-us1", "hang")
    with _connected(simulator, primary) as connection:
        simulator.wait_for(1, "GET")
        connection.settimeout(0.01)

        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_dripped_headers_come_a_byte_at_a_time(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "drip_headers", interval=0)
    with _connected(simulator, primary) as connection:
        assert len(connection.recv(1)) == 1


@pytest.mark.parametrize("fault", ["drip_headers", "drip_body"])
def test_dripped_answer_is_whole_in_the_end(simulator, primary, secondary, fault):
    simulator.set_fault("acme-us1", fault, interval=0)

    assert read(simulator, primary).attributes["hamr_status"] == PASSIVE


@pytest.mark.parametrize("fault", ["drop_before", "reset"])
def test_dropped_before_acting(simulator, primary, secondary, fault):
    simulator.set_fault("acme-us1", fault, verb="POST")

    with pytest.raises(NO_ANSWER):
        write(simulator, primary, wanted(primary, hamr_status=ACTIVE))

    assert len(simulator.posts) == 1
    assert primary.view.hamr_status == PASSIVE


def test_reset_is_not_an_orderly_end(simulator, primary):
    simulator.set_fault("acme-us1", "reset")

    with _connected(simulator, primary) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_dropped_after_acting(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "drop_after", verb="POST")

    with pytest.raises(NO_ANSWER):
        write(simulator, primary, wanted(primary, hamr_status=ACTIVE))

    assert (primary.view.hamr_status, secondary.view.hamr_status) == (ACTIVE, ACTIVE)


def test_late_acts_when_it_is_triggered_and_only_once(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "late", verb="POST", times=1)
    with pytest.raises(NO_ANSWER):
        write(simulator, primary, wanted(primary, hamr_status=ACTIVE))
    before = primary.view.hamr_status

    acted = simulator.act_late(), simulator.act_late()

    assert (before, acted) == (PASSIVE, (1, 0))
    assert (primary.view.hamr_status, secondary.view.hamr_status) == (ACTIVE, ACTIVE)


def test_late_acts_by_itself_after_its_seconds(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "late", verb="POST", seconds=0)
    with pytest.raises(NO_ANSWER):
        write(simulator, primary, wanted(primary, hamr_status=ACTIVE))

    simulator.agenda.after(0, (done := threading.Event()).set)

    assert done.wait(10)
    assert primary.view.hamr_status == ACTIVE
    assert simulator.act_late() == 0


def test_late_that_was_triggered_does_not_act_again(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "late", verb="POST", seconds=0.05)
    with pytest.raises(NO_ANSWER):
        write(simulator, primary, wanted(primary, hamr_status=ACTIVE))
    simulator.act_late()
    simulator.write_aside("acme-us1", PASSIVE, "somebody")

    simulator.agenda.after(0.05, (done := threading.Event()).set)

    assert done.wait(10)
    assert primary.view.hamr_status == PASSIVE


def test_truncated_body_is_shorter_than_it_says(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "truncated")

    with pytest.raises(http.client.IncompleteRead):
        read(simulator, primary)


def test_truncated_body_need_not_say_its_length(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "truncated", length=False)

    reply = read(simulator, primary)

    assert reply.headers["Content-Length"] is None
    with pytest.raises(json.JSONDecodeError):
        reply.json  # noqa: B018


def test_huge_body_goes_on(simulator, primary):
    simulator.set_fault("acme-us1", "huge")
    with _connected(simulator, primary) as connection, connection.makefile("rb") as stream:
        assert len(stream.read(2_000_000)) == 2_000_000


def test_many_headers(simulator, primary):
    simulator.set_fault("acme-us1", "many_headers", count=50, size=1000)

    assert len(read(simulator, primary).headers["X-Padding-49"]) == 1000


def test_html_is_a_page_and_does_not_act(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "html")

    reply = write(simulator, primary, wanted(primary, hamr_status=ACTIVE))

    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<html>" in reply.body
    assert primary.view.hamr_status == PASSIVE


def test_invalid_json(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "invalid_json")

    with pytest.raises(json.JSONDecodeError):
        read(simulator, primary).json  # noqa: B018


def test_exactly_what_a_test_wants(simulator, primary):
    simulator.set_fault(
        "acme-us1", "exactly", status=299, body=b"\xef\xbb\xbf{}", content_type="text/plain", headers={"X-A": "b"}
    )

    reply = read(simulator, primary)

    assert (reply.status, reply.body, reply.headers["X-A"]) == (299, b"\xef\xbb\xbf{}", "b")


def test_wrong_schema_in_either_spelling(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "wrong_schema")
    simulator.set_fault("acme-eu1", "wrong_schema", attributes={"hamr_status": True}, without=["target_org_uuid"])

    documented, recorded = read(simulator, primary).attributes, read(simulator, secondary).attributes

    assert documented["hamr_status"] == "PASSIVE"
    assert recorded["HamrStatus"] is True
    assert "TargetOrgUuid" not in recorded


@pytest.mark.parametrize("fault", ["wrong_schema", "unknown_status"])
def test_refusal_has_no_attributes_to_spoil(simulator, primary, fault):
    simulator.set_fault("acme-us1", fault)

    assert read(simulator, primary).status == 404


def test_unknown_status(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "unknown_status")
    simulator.set_fault("acme-eu1", "unknown_status", number=99)

    assert read(simulator, primary).attributes["hamr_status"] == 6
    assert read(simulator, secondary).attributes["HamrStatus"] == 99


def test_echo_that_differs_from_what_was_asked(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "unknown_status", verb="POST", number=PASSIVE)

    reply = write(simulator, primary, wanted(primary, hamr_status=ACTIVE))

    assert (reply.attributes["hamr_status"], primary.view.hamr_status) == (PASSIVE, ACTIVE)


def test_echo_of_what_was_not_done(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "not_applied", verb="POST")

    reply = write(simulator, primary, wanted(primary, hamr_status=ACTIVE))

    assert (reply.attributes["hamr_status"], primary.view.hamr_status) == (ACTIVE, PASSIVE)


def test_wrong_organization_everywhere(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "wrong_organization")

    connection, user = read(simulator, primary).json["data"], read(simulator, primary, CURRENT_USER).json["data"]

    assert connection["id"] == user["relationships"]["org"]["data"]["id"] != primary.uuid
    assert read(simulator, primary, "/api/v1/validate").json == {"valid": True}


@pytest.mark.parametrize(("data", "document"), [(False, None), (True, {"data": None})])
def test_null(simulator, primary, secondary, data, document):
    simulator.set_fault("acme-us1", "null", data=data)

    assert read(simulator, primary).json == document


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
def test_status_is_answered_and_nothing_done(simulator, primary, secondary, status):
    simulator.set_fault("acme-us1", str(status))

    reply = write(simulator, primary, wanted(primary, hamr_status=ACTIVE))

    assert reply.status == status
    assert reply.json["errors"]
    assert primary.view.hamr_status == PASSIVE


def test_echo_repeats_the_keys_plain_and_escaped_and_does_nothing(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "echo")

    reply = write(simulator, primary, wanted(primary, hamr_status=ACTIVE))

    sent = [primary.api_key, primary.application_key]
    assert (reply.status, reply.json["errors"]) == (400, [*sent, *sent])
    assert [reply.body.count(key.encode()) for key in sent] == [1, 1]
    assert primary.view.hamr_status == PASSIVE


def test_echo_repeats_what_was_sent_and_nothing_else(simulator, primary):
    simulator.set_fault("acme-us1", "echo")
    headers = {"DD-API-KEY": primary.api_key}

    reply = fetch(simulator.urls["us1"], "/api/v1/validate", headers=headers)

    assert (reply.status, reply.json["errors"]) == (400, [primary.api_key] * 2)


def test_server_error_can_have_acted(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "503", status=504, acts=True)

    reply = write(simulator, primary, wanted(primary, hamr_status=ACTIVE))

    assert (reply.status, primary.view.hamr_status) == (504, ACTIVE)


def test_missing_connection_does_not_concern_other_calls(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "404", times=1)

    assert read(simulator, primary, CURRENT_USER).status == 200
    assert read(simulator, primary).status == 404


def test_forbidden_with_a_detail_is_an_object(simulator, primary):
    simulator.set_fault("acme-us1", "403", detail="The application key was revoked.")

    assert read(simulator, primary).json["errors"][0]["detail"] == "The application key was revoked."


def test_rate_limit_headers(simulator, primary):
    simulator.set_fault("acme-us1", "429", reset=12)

    headers = read(simulator, primary).headers

    names = ("Limit", "Period", "Remaining", "Reset", "Name")
    assert [headers[f"X-RateLimit-{name}"] for name in names] == ["100", "60", "0", "12", "hamr_api"]
    assert headers["Retry-After"] is None


def test_rate_limit_without_headers(simulator, primary):
    simulator.set_fault("acme-us1", "429", headers=False, retry_after="soon")

    headers = read(simulator, primary).headers

    assert (headers["X-RateLimit-Reset"], headers["Retry-After"]) == (None, "soon")


def test_redirect_leads_to_where_following_is_noticed(simulator, primary):
    simulator.set_fault("acme-us1", "redirect")
    reply = read(simulator, primary)
    url, path = reply.headers["Location"].removesuffix(HAMR), HAMR
    before = list(simulator.followed)

    fetch(url, path, headers=keys(primary))

    assert (reply.status, before) == (307, [])
    assert simulator.followed[0].headers["dd-api-key"] == primary.api_key


def test_redirect_to_a_given_place(simulator, primary):
    simulator.set_fault("acme-us1", "redirect", to="https://example.com/", status=301)

    reply = read(simulator, primary)

    assert (reply.status, reply.headers["Location"]) == (301, "https://example.com/")


def test_fault_concerns_its_verb_alone(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "500", verb="POST")

    assert read(simulator, primary).status == 200
    assert write(simulator, primary, wanted(primary)).status == 500
    assert simulator.faults("acme-us1") == {"POST": "500"}


def test_verbs_can_fail_differently(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "500", verb="POST")
    simulator.set_fault("acme-us1", "503", verb="GET")

    assert (read(simulator, primary).status, write(simulator, primary, wanted(primary)).status) == (503, 500)


def test_fault_passes_after_its_times(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "503", times=2)

    assert [read(simulator, primary).status for _ in range(3)] == [503, 503, 200]
    assert simulator.faults("acme-us1") == {}


def test_fault_is_taken_back(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "503")
    simulator.set_fault("acme-us1", None)

    assert read(simulator, primary).status == 200


def test_fault_of_one_organization_spares_its_other_side(simulator, primary, secondary):
    simulator.set_fault("acme-us1", "429")

    assert read(simulator, secondary).status == 200


def test_names_and_options_are_explained(simulator, primary):
    with pytest.raises(ValueError, match=r"No fault 418; there are: refuse, hang,.* redirect"):
        simulator.set_fault("acme-us1", "418")
    with pytest.raises(ValueError, match=r"429: .*'rest'; options: headers, reset, retry_after, acts, times"):
        simulator.set_fault("acme-us1", "429", rest=3)
    with pytest.raises(ValueError, match="No verb PUT; there are: GET, POST, ANY"):
        simulator.set_fault("acme-us1", "429", verb="PUT")
    with pytest.raises(ValueError, match="property of a site"):
        simulator.set_fault("acme-us1", "refuse", verb="POST")
    with pytest.raises(ValueError, match="No organization acme;"):
        simulator.set_fault("acme", "refuse")


def test_faults_of_the_command_line():
    assert list(parse("a:429, b:GET:hang,")) == [("a", "ANY", "429"), ("b", "GET", "hang")]


@pytest.mark.parametrize(
    ("words", "says"),
    [("a", "NAME:FAULT"), ("a:b:c:d", "NAME:FAULT"), ("a:PUT:429", "No verb PUT"), ("a:42", "No fault 42")],
)
def test_wrong_words_of_the_command_line_are_explained(words, says):
    with pytest.raises(ValueError, match=says):
        list(parse(words))


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "refuse"])
def test_every_fault_can_stand_without_options(simulator, primary, fault):
    simulator.set_fault("acme-us1", fault)

    assert simulator.faults("acme-us1") == {"GET": fault, "POST": fault}


@contextlib.contextmanager
def _connected(simulator, organization):
    """A raw connection that has sent a GET."""
    host, _, port = simulator.urls[organization.site].removeprefix("http://").partition(":")
    lines = [f"GET {HAMR} HTTP/1.1", *(f"{name}: {value}" for name, value in keys(organization).items()), "", ""]
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode())
        yield connection
