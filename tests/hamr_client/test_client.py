import json
import logging
import re
import traceback
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.organizations import Site, Spelling
from hamr_portal.hamr_client import (
    Foreign,
    HamrClient,
    HamrError,
    NotSent,
    OutcomeUnknown,
    Phase,
    Rejected,
    request_body,
)
from tests.hamr_client.conftest import API_KEY, APPLICATION_KEY
from tests.hamr_client.servers import (
    GOOD,
    ORGANIZATION,
    Server,
    answers,
    attributes,
    cuts,
    document,
    http,
    recorded_attributes,
)

LONG = 5.0
"""A deadline in seconds that no server of these tests comes near."""

REFUSED = ["400 Bad", "401 No", "403 No", "404 None", "409 Busy", "422 Bad", "429 Many"]
BROKEN = ["408 Late", "500 Broken", "502 Bad", "503 Busy", "504 Late"]


def ask(client, method, site, credentials):
    """Read, or write a body of no interest."""
    body = [b"{}"] if method == "write" else []
    return getattr(client, method)(site, credentials, *body, seconds=LONG)


def refuses(status, *headers):
    return answers(http({"errors": ["no"]}, status=status, headers=headers))


# Reading


def test_read_sends_both_keys_and_nothing_else(tls, client, credentials):
    with Server(answers(GOOD), tls) as server:
        client.read(server.site(), credentials, seconds=LONG)

    assert server.requests == [
        b"GET /api/v2/hamr HTTP/1.1\r\n"
        b"Host: localhost:%d\r\n"
        b"Accept: application/json\r\n"
        b"Accept-Encoding: identity\r\n"
        b"Connection: close\r\n"
        b"User-Agent: hamr-portal\r\n"
        b"DD-API-KEY: %b\r\n"
        b"DD-APPLICATION-KEY: %b\r\n\r\n" % (server.port, API_KEY.encode(), APPLICATION_KEY.encode())
    ]


def test_read_gives_the_connection_and_what_came(tls, client, credentials):
    good = http(document(recorded_attributes()))

    with Server(answers(good), tls) as server:
        answer = client.read(server.site(), credentials, seconds=LONG)

    assert (answer.connection.status, answer.connection.spelling) == (2, Spelling.PASCAL_CASE)
    assert answer.raw.encode() == good[good.index(b"{") :]
    assert answer.http_status == 200
    assert 0 <= answer.elapsed_ms < LONG * 1000


def test_site_may_have_a_path(client, credentials):
    with Server(answers(GOOD)) as server:
        client.read(server.site("/us1/proxy"), credentials, seconds=LONG)

    assert server.requests[0].startswith(b"GET /us1/proxy/api/v2/hamr HTTP/1.1\r\n")


def test_answer_as_the_service_was_recorded_is_read(client, credentials):
    recorded = http(document(recorded_attributes(HamrStatus=4)), content_type="application/vnd.api+json")

    with Server(answers(recorded)) as server:
        assert client.read(server.site(), credentials, seconds=LONG).connection.status == 4


def test_chunked_answer_is_read(client, credentials):
    body = GOOD[GOOD.index(b"{") :]
    chunked = http(b"", headers=["Transfer-Encoding: chunked"], length=False) + b"%x\r\n%b\r\n0\r\n\r\n" % (
        len(body),
        body,
    )

    with Server(answers(chunked)) as server:
        assert client.read(server.site(), credentials, seconds=LONG).connection.status == 2


@pytest.mark.parametrize(
    "raw",
    [
        http(b"null"),
        http({"data": None}),
        http({"errors": ["Not found"]}, status="404 None"),
        http({"errors": [{"title": "Not found"}], "code": 404}, status="404 None", content_type="text/plain"),
        http({"errors": []}, status="404 None"),
        http(b"", status="404 None", content_type="text/plain"),
        http(b"\r\n", status="404 None"),
    ],
)
def test_organization_without_a_connection_is_an_answer(raw, client, credentials):
    with Server(answers(raw)) as server:
        answer = client.read(server.site(), credentials, seconds=LONG)

    assert answer.connection is None
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<html>404</html>", "text/html"),
        (b"404 page not found\n", "text/plain"),
        ({"message": "no Route matched with those values"}, "application/json"),
        ({"type": "about:blank", "title": "Not Found", "status": 404}, "application/problem+json"),
        ({"errors": {"path": ["no such path"]}}, "application/problem+json"),
        (["errors"], "application/json"),
        (b"null", "application/json"),
        (b'{"errors": ["cut', "application/json"),
    ],
)
def test_404_of_something_in_between_is_no_answer_of_the_service(body, content_type, client, credentials):
    stranger = http(body, status="404 Not Found", content_type=content_type)

    with Server(answers(stranger)) as server, pytest.raises(Foreign) as caught:
        client.read(server.site(), credentials, seconds=LONG)

    assert caught.value.reason == f"HTTP 404: not a Datadog answer ({content_type})"
    assert (caught.value.read_outcome, caught.value.__context__) == (ReadOutcome.UNREADABLE, None)
    assert len(server.requests) == 1


def test_raw_answer_is_capped(client, credentials):
    with Server(answers(http(document(attributes(more="x" * 60_000))))) as server:
        assert len(client.read(server.site(), credentials, seconds=LONG).raw) == 16 * 1024


@pytest.mark.parametrize("status", BROKEN)
def test_read_is_tried_again_twice_after_a_server_error(status, client, credentials, pauses):
    with Server(refuses(status)) as server, pytest.raises(OutcomeUnknown) as caught:
        client.read(server.site(), credentials, seconds=LONG)

    assert len(server.requests) == 3
    assert caught.value.read_outcome is ReadOutcome.SERVER_ERROR
    assert 0.2 <= pauses[0] <= 0.3
    assert 0.4 <= pauses[1] <= 0.6


@pytest.mark.parametrize("cut", [b"", GOOD[:40], GOOD[:-1]])
def test_read_is_tried_again_twice_after_a_cut(cut, client, credentials):
    with Server(cuts(cut)) as server, pytest.raises(OutcomeUnknown) as caught:
        client.read(server.site(), credentials, seconds=LONG)

    assert len(server.requests) == 3
    assert caught.value.read_outcome is ReadOutcome.NO_ANSWER


def test_read_that_works_at_the_second_try_is_an_answer(client, credentials, pauses):
    with Server(answers(http({}, status="503 Busy"), GOOD)) as server:
        answer = client.read(server.site(), credentials, seconds=LONG)

    assert answer.connection.status == 2
    assert (len(server.requests), len(pauses)) == (2, 1)


@pytest.mark.parametrize("status", [status for status in REFUSED if not status.startswith("404")])
def test_read_that_is_refused_is_not_tried_again(status, client, credentials):
    with Server(refuses(status)) as server, pytest.raises(Rejected, match="no"):
        client.read(server.site(), credentials, seconds=LONG)

    assert len(server.requests) == 1


@pytest.mark.parametrize("raw", [http(b"{"), http(b"<html>", content_type="text/html"), http({"data": {}})])
def test_read_that_is_unreadable_is_not_tried_again(raw, client, credentials):
    with Server(answers(raw)) as server, pytest.raises(OutcomeUnknown) as caught:
        client.read(server.site(), credentials, seconds=LONG)

    assert len(server.requests) == 1
    assert caught.value.read_outcome is ReadOutcome.UNREADABLE


def test_pause_is_really_made(trusting, credentials):
    client = HamrClient(ssl_context=trusting)

    with Server(answers(http({}, status="503 Busy"), GOOD)) as server:
        answer = client.read(server.site(), credentials, seconds=LONG)

    assert answer.elapsed_ms >= 200


def test_one_client_serves_64_threads_at_once(tls, client, credentials):
    def names_the_path(visit):
        path = visit.read_request().split(b" ")[1].decode()
        visit.send(http(document(attributes(target_org_name=path))))

    with Server(names_the_path, tls) as server, ThreadPoolExecutor(64) as threads:
        paths = [f"/{number}" for number in range(128)]
        found = threads.map(lambda path: client.read(server.site(path), credentials, seconds=30), paths)
        names = [answer.connection.target_name for answer in found]

    assert names == [f"{path}/api/v2/hamr" for path in paths]


# Writing


def test_write_sends_the_body_once(tls, client, credentials):
    with Server(answers(GOOD), tls) as server:
        answer = client.write(server.site("/p"), credentials, b'{"data": 1}', seconds=LONG)

    [request] = server.requests
    assert request.startswith(b"POST /p/api/v2/hamr HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/json\r\n" in request
    assert f"\r\nDD-API-KEY: {API_KEY}\r\nDD-APPLICATION-KEY: {APPLICATION_KEY}\r\n".encode() in request
    assert request.endswith(b'\r\nContent-Length: 11\r\n\r\n{"data": 1}')
    assert answer.connection.status == 2


def test_what_was_read_can_be_written(client, credentials):
    with Server(answers(GOOD)) as server:
        reading = client.read(server.site(), credentials, seconds=LONG).connection
        body = request_body(reading, status=3, modified_by="me", spelling=Spelling.AUTO)
        client.write(server.site(), credentials, body, seconds=LONG)

    assert server.requests[1].endswith(b"\r\n\r\n" + body)


@pytest.mark.parametrize("status", REFUSED)
def test_write_that_is_refused_changed_nothing(status, client, credentials):
    with Server(refuses(status)) as server, pytest.raises(Rejected, match="no") as caught:
        client.write(server.site(), credentials, b"{}", seconds=LONG)

    assert (caught.value.phase, caught.value.http_status) == (Phase.ANSWER, int(status[:3]))
    assert len(server.requests) == 1


def test_write_that_is_limited_says_when_it_may_be_sent_again(client, credentials):
    with Server(refuses("429 Many", "x-RATELIMIT-reset: 17")) as server, pytest.raises(Rejected) as caught:
        client.write(server.site(), credentials, b"{}", seconds=LONG)

    assert caught.value.retry_after == 17


@pytest.mark.parametrize(
    "script",
    [
        *(refuses(status) for status in BROKEN),
        refuses("302 Found", "Location: /login"),
        refuses("405 Not allowed"),
        refuses("413 Too large"),
        answers(http(b"", status="204 No Content")),
        answers(http(b"null")),
        answers(http({"data": None})),
        answers(http(b"{")),
        answers(http(b"<html>", content_type="text/html")),
        answers(http({"data": {"type": "users"}})),
        answers(http(document(attributes(hamr_status=True)))),
        answers(http(b"x" * 100, headers=["Content-Encoding: gzip"])),
        cuts(),
        cuts(reset=True),
        cuts(GOOD[:20]),
        cuts(GOOD[:-1]),
        cuts(b"no http"),
    ],
)
def test_write_without_a_readable_answer_is_unknown_and_sent_once(script, client, credentials, pauses):
    with Server(script) as server, pytest.raises(OutcomeUnknown):
        client.write(server.site(), credentials, b"{}", seconds=LONG)

    assert (len(server.requests), server.connections, pauses) == (1, 1, [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["read", "write"])
def test_redirect_is_never_followed(status, method, client, credentials):
    with Server(answers(GOOD)) as evil:
        location = f"Location: http://localhost:{evil.port}/api/v2/hamr"
        with Server(refuses(f"{status} Elsewhere", location)) as server, pytest.raises(OutcomeUnknown) as caught:
            ask(client, method, server.site(), credentials)

    assert caught.value.reason == "unexpected redirect to localhost refused"
    assert (len(server.requests), evil.connections) == (1, 0)


# Asking whose keys these are


def test_organization_of_the_keys_is_asked(client, credentials):
    user = {"data": {"relationships": {"org": {"data": {"id": ORGANIZATION}}}}}

    with Server(answers(http({}, status="503 Busy"), http(user))) as server:
        found = client.organization_uuid(server.site(), credentials, seconds=LONG)

    assert found == UUID(ORGANIZATION)
    assert server.requests[1].startswith(b"GET /api/v2/current_user HTTP/1.1\r\n")
    assert API_KEY.encode() in server.requests[1]
    assert APPLICATION_KEY.encode() in server.requests[1]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (http({}), OutcomeUnknown),
        (http({}, status="403 No"), Rejected),
        (http({"errors": ["Not found"]}, status="404 None"), Rejected),
        (http(b"404 page not found", status="404 None", content_type="text/plain"), Rejected),
    ],
)
def test_organization_that_is_not_told_is_an_error(raw, kind, client, credentials):
    with Server(answers(raw)) as server, pytest.raises(kind):
        client.organization_uuid(server.site(), credentials, seconds=LONG)


@pytest.mark.parametrize(
    ("raw", "valid"),
    [
        (http({"valid": True}), True),
        (http({"valid": False}), False),
        (http({"errors": ["Forbidden"]}, status="403 No"), False),
        (http({"errors": ["Unauthorized"]}, status="401 No"), False),
    ],
)
def test_api_key_is_checked_without_the_application_key(raw, valid, client, credentials):
    with Server(answers(raw)) as server:
        assert client.api_key_is_valid(server.site(), credentials, seconds=LONG) is valid

    assert server.requests[0].startswith(b"GET /api/v1/validate HTTP/1.1\r\n")
    assert API_KEY.encode() in server.requests[0]
    assert APPLICATION_KEY.encode() not in server.requests[0]


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (http({"valid": 1}), OutcomeUnknown),
        (http({}), OutcomeUnknown),
        (http(b"<html>", status="403 No", content_type="text/html"), Foreign),
        (http({}, status="429 Many"), Rejected),
    ],
)
def test_api_key_that_was_not_judged_is_an_error(raw, kind, client, credentials):
    with Server(answers(raw)) as server, pytest.raises(kind):
        client.api_key_is_valid(server.site(), credentials, seconds=LONG)


# Keeping the keys


def test_netrc_is_ignored(client, credentials, monkeypatch, tmp_path):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine localhost login someone password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))

    with Server(answers(GOOD)) as server:
        client.read(server.site(), credentials, seconds=LONG)

    assert b"authorization" not in server.requests[0].lower()


def test_cookies_are_not_kept(client, credentials):
    with Server(answers(http(headers=["Set-Cookie: session=1; Path=/"]))) as server:
        client.read(server.site(), credentials, seconds=LONG)
        client.read(server.site(), credentials, seconds=LONG)

    assert b"cookie" not in server.requests[1].lower()


def echoes(build):
    """Answer with something that is made of the request, keys and all."""

    def script(visit):
        visit.send(build(visit.read_request()))

    return script


def keys_in(request):
    return b" ".join(re.findall(rb"KEY: (.*)\r\n", request))


def echoes_malformed_headers(request):
    return GOOD.replace(b"\r\n", b"\r\nno header at all " + keys_in(request) + b"\r\n", 1)


def escaped(text, *, backslashes=1, each=1, digits="02x"):
    """Write each, or each so-manieth, character as JSON may write it."""
    prefix = "\\" * backslashes
    return "".join(
        chr(byte) if number % each else f"{prefix}u00{byte:{digits}}" for number, byte in enumerate(text)
    ).encode()


def echoes_escaped(template, status="200 OK", **how):
    return echoes(lambda request: http(template.replace(b"KEYS", escaped(keys_in(request), **how)), status=status))


def unescaped(text):
    """Give text as whoever decodes JSON, any number of times, would see it."""
    return re.sub(r"\\+u00([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text, flags=re.IGNORECASE)


LEAKY = [
    cuts(),
    cuts(reset=True),
    cuts(GOOD[:-1]),
    answers(b"nonsense\r\n"),
    answers(http(b"{")),
    echoes(lambda request: http(request)),
    echoes(lambda request: http(request, status="400 Bad", content_type="text/plain")),
    echoes(lambda request: http({"errors": [request.decode()]}, status="403 No")),
    echoes(lambda request: http({"errors": [{"detail": request.decode().upper()}]}, status="422 No")),
    echoes(lambda request: http({request.decode(): 1}).replace(b": 1}", b": 1, " + b'"a": 1, "a": 2}')),
    echoes(lambda request: http({}, status=f"302 {API_KEY}", headers=[f"Location: https://{APPLICATION_KEY}.example"])),
    echoes(lambda request: http(b"", content_type=APPLICATION_KEY)),
    echoes(echoes_malformed_headers),
    echoes(lambda request: http(document(attributes(modified_by=request.decode())))),
    echoes_escaped(b'{"errors": ["KEYS"]}', "400 Bad"),
    echoes_escaped(b'{"errors": ["KEYS"]}', "404 None"),
    echoes_escaped(b'{"errors": ["KEYS"]}', "404 None", each=3, digits="02X"),
    echoes_escaped(b'{"errors": ["{\\"message\\": \\"KEYS\\"}"]}', "404 None", backslashes=2),
    echoes_escaped(b'{"errors": ["KEYS"], "message": "cut', "503 Busy"),
    echoes_escaped(b'{"KEYS": 1, "KEYS": 2}'),
    echoes_escaped(json.dumps(document(attributes(modified_by="KEYS"))).encode()),
    echoes_escaped(json.dumps(document(attributes(KEYS=[{"KEYS": 1}]))).encode(), each=2),
]


@pytest.mark.parametrize("script", LEAKY)
@pytest.mark.parametrize("method", ["read", "write"])
def test_keys_appear_in_no_error_answer_or_log(script, method, client, credentials, caplog):
    caplog.set_level(logging.DEBUG)

    with Server(script) as server:
        shown = everything_shown(client, method, server.site(), credentials)

    assert "canary" in server.requests[0].decode()
    assert "canary" not in unescaped(shown + caplog.text).lower()


def test_answer_with_an_escaped_key_is_still_read(client, credentials):
    body = json.dumps(document(attributes(modified_by="me KEYS"))).encode()

    with Server(echoes_escaped(body)) as server:
        answer = client.read(server.site(), credentials, seconds=LONG)

    assert answer.connection.modified_by == "me *** ***"
    assert json.loads(answer.raw)["data"]["attributes"]["modified_by"] == answer.connection.modified_by


@pytest.mark.parametrize("url", ["http://localhost:1", "https://[", "https://localhost:1"])
@pytest.mark.parametrize("method", ["read", "write"])
def test_keys_appear_in_no_error_before_sending(url, method, client, credentials, caplog):
    caplog.set_level(logging.DEBUG)

    shown = everything_shown(client, method, Site("test", url), credentials)

    assert "canary" not in (shown + caplog.text).lower()


@pytest.mark.parametrize("url", ["http://localhost:1", "https://["])
def test_error_keeps_no_trail_to_the_request(url, client, credentials):
    with pytest.raises(NotSent) as caught:
        client.read(Site("test", url), credentials, seconds=LONG)

    assert (caught.value.__context__, caught.value.__cause__) == (None, None)


def everything_shown(client, method, site, credentials):
    """All that an answer or error could put on a page or in a log: texts, traceback, local variables of its frames."""
    try:
        return repr(ask(client, method, site, credentials))
    except HamrError as error:
        frames = [repr(frame.f_locals) for frame, _ in traceback.walk_tb(error.__traceback__)]
        trail = [repr(error.__context__), repr(error.__cause__), *traceback.format_exception(error)]
        return "\n".join([str(error), repr(error.args), repr(vars(error)), *trail, *frames])


# Whatever comes over the wire, it is an answer that holds, or an error of the family.

HEADERS = st.sampled_from(
    [
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Content-Length: 1, 2",
        b"Content-Length: 9" + b"9" * 5000,
        b"Content-Length: \xb2",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Content-Encoding: gzip",
        b"Content-Encoding: " + b"gzip, " * 50,
        b"Content-Type: application/json; charset=\xff; =; charset",
        b"Connection: keep-alive",
        b"Location: http://[::1/\x00",
        b"Set-Cookie: =; expires=\xff; domain=..; max-age=x",
        b"Retry-After: Mon, 99 Nov 99999 99:99:99 GMT",
        b"X-RateLimit-Reset: 1e999",
        b"no header",
        b" folded",
        b": nameless",
        b"\x00: \x00",
        b"Upgrade: h2c",
    ]
)
STATUS_LINES = st.sampled_from(
    [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b"HTTP/1.0 200", b"HTTP/2 200 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 -1 x"]
    + [b"HTTP/1.1 %d x" % status for status in (100, 101, 103, 204, 205, 206, 302, 304, 403, 404, 429, 500, 600, 999)]
    + [b"HTTP/9.9 200 OK", b"HTTP/1.1  200", b"HTTP/1.1", b"", b"\xff\x00", b"ICY 200 OK"]
)
RAW = st.one_of(
    st.builds(
        lambda line, headers, body: b"\r\n".join([line, *headers, b"", b""]) + body,
        STATUS_LINES,
        st.lists(HEADERS | st.just(b"Content-Type: application/json"), max_size=5),
        st.sampled_from([GOOD[GOOD.index(b"{") :], b"null", b"", b"4\r\nnull\r\n0\r\n\r\n", b"-1\r\n", b"\xff\r\n"]),
    ),
    st.builds(
        lambda at, cut, patch: GOOD[:at] + patch + GOOD[at + cut :],
        st.integers(0, len(GOOD)),
        st.integers(0, 5),
        st.binary(max_size=5),
    ),
)


def check_that_any_bytes_hold_or_fail(client, credentials, examples):
    """A write that gets these bytes gives an answer with the one status in them, or an error of the family."""
    sent = [b""]

    def script(visit):
        visit.read_request()
        visit.send(sent[0])

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(RAW)
    def check(raw):
        sent[0] = raw
        try:
            answer = client.write(server.site(host="127.0.0.1"), credentials, b"{}", seconds=LONG)
        except (Rejected, OutcomeUnknown):
            return
        assert b'"hamr_status": %d' % answer.connection.status in raw

    with Server(script) as server:
        check()

    assert len(server.requests) == server.connections >= examples


def test_any_bytes_hold_or_fail(client, credentials):
    check_that_any_bytes_hold_or_fail(client, credentials, 300)


@pytest.mark.slow
@pytest.mark.thorough
def test_any_of_many_bytes_hold_or_fail(client, credentials):
    check_that_any_bytes_hold_or_fail(client, credentials, 2_500)


def test_refused_connection_is_seen_as_no_answer(client, credentials):
    with pytest.raises(NotSent) as caught:
        client.read(Site("test", "http://localhost:1"), credentials, seconds=LONG)

    assert caught.value.read_outcome is ReadOutcome.NO_ANSWER
