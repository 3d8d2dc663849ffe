import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from requests.structures import CaseInsensitiveDict

from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.hamr_client import Foreign, HamrError, OutcomeUnknown, Phase, Rejected
from hamr_portal.hamr_client._payloads import echo_in
from hamr_portal.hamr_client._replies import MOST_BODY, Reply, check_status, understood
from tests.hamr_client.servers import document

JSON = "application/json"


def reply(status=200, body=b"", content_type=JSON, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, CaseInsensitiveDict({"Content-Type": content_type} | named), content, 7)


def raised(answer):
    with pytest.raises(HamrError) as caught:
        check_status(answer)
    return caught.value


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429])
@pytest.mark.parametrize("body", [b"", b"no", b'{"errors": ["no"]}', b"\xff\x00", b'{"a":1,"a":2}'])
def test_refusal_is_rejected_whatever_its_body(status, body):
    error = raised(reply(status, body))

    assert type(error) is Rejected
    assert (error.phase, error.http_status, error.elapsed_ms) == (Phase.ANSWER, status, 7)


@pytest.mark.parametrize(
    "status", [100, 101, 199, 300, 304, 402, 405, 408, 410, 418, 451, 500, 502, 503, 504, 599, 999]
)
def test_any_other_status_leaves_the_outcome_unknown(status):
    error = raised(reply(status, {"errors": ["no"]}))

    assert type(error) is OutcomeUnknown
    assert (error.phase, error.http_status) == (Phase.ANSWER, status)


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        ({"errors": ["Unauthorized"]}, JSON, "Unauthorized"),
        ({"errors": ["one", "two"]}, JSON, "one; two"),
        ({"errors": ["Forbidden"]}, "text/plain; charset=utf-8", "Forbidden"),
        ({"errors": [{"title": "Bad Request"}]}, JSON, "Bad Request"),
        ({"errors": [{"detail": "Missing attribute"}]}, JSON, "Missing attribute"),
        ({"errors": [{"title": "Same", "detail": "Same"}]}, JSON, "Same"),
        (
            {
                "errors": [
                    {
                        "detail": "Missing required attribute",
                        "meta": {"a": 1},
                        "source": {"header": "Authorization", "parameter": "limit", "pointer": "/data/id"},
                        "status": "400",
                        "title": "Bad Request",
                    }
                ]
            },
            JSON,
            "Bad Request: Missing required attribute (Authorization, limit, /data/id)",
        ),
        ({"errors": [{"source": {"pointer": "/data"}}]}, JSON, "(/data)"),
        ({"errors": ["Down"], "status": "error", "code": 403, "statuspage": "http://x"}, JSON, "Down"),
        ({"errors": []}, JSON, "HTTP 403"),
        ({"errors": [{}]}, JSON, "HTTP 403"),
        ({"errors": [None, 4, [], {"title": 5, "detail": None, "source": [1]}]}, JSON, "HTTP 403"),
        ({"errors": "no list"}, JSON, "HTTP 403"),
        ({"message": "another shape"}, JSON, "HTTP 403"),
        (["a list"], JSON, "HTTP 403"),
        (b"", "", "HTTP 403"),
        (b" \t", JSON, "HTTP 403"),
        ({"errors": [" "]}, JSON, "HTTP 403"),
        (b"upstream\n  said no", "text/plain", "upstream said no"),
        (b"<html>Log in</html>", "text/html; charset=utf-8", "HTTP 403: not a Datadog answer (text/html)"),
        (b" <!doctype html>", "", "HTTP 403: not a Datadog answer (no content type)"),
        (b"[" * 60_000, JSON, "[" * 199 + "…"),
    ],
)
def test_error_body_of_any_shape_becomes_one_reason(body, content_type, reason):
    assert raised(reply(403, body, content_type)).reason == reason


def test_body_is_kept_short_and_sanitized():
    assert raised(reply(500, b"\x1b[31m" + b"x" * 500)).raw == "\ufffd[31m" + "x" * 194 + "…"


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("https://evil.example/login", "evil.example"),
        ("//evil.example", "evil.example"),
        ("/login", "the same host"),
        ("", "the same host"),
        ("https://[evil", "an unreadable address"),
    ],
)
def test_redirect_says_where_it_would_have_led(location, host):
    error = raised(reply(307, Location=location))

    assert error.reason == f"unexpected redirect to {host} refused"
    assert error.read_outcome is ReadOutcome.UNREADABLE


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60),
        ({"X_RateLimit_Reset": "17"}, 17),
        ({"x_ratelimit_reset": "17"}, 17),
        ({"X_RATELIMIT_RESET": "2.5"}, 2.5),
        ({"Retry_After": "20"}, 20),
        ({"X_RateLimit_Reset": "17", "Retry_After": "20"}, 17),
        ({"X_RateLimit_Reset": "soon", "Retry_After": "20"}, 20),
        ({"X_RateLimit_Reset": "soon"}, 60),
        ({"X_RateLimit_Reset": "nan"}, 60),
        ({"X_RateLimit_Reset": ""}, 60),
        ({"X_RateLimit_Reset": "0"}, 1),
        ({"X_RateLimit_Reset": "-5"}, 1),
        ({"X_RateLimit_Reset": "1000000000"}, 300),
        ({"X_RateLimit_Reset": "9" * 5000}, 300),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 1),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:00 -0000"}, 1),
        ({"Retry_After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 300),
        ({"Retry_After": "Fri, 31 Dec 9999 23:59:59 -2300"}, 60),
    ],
)
def test_rate_limit_says_when_to_come_back(headers, seconds):
    assert raised(reply(429, **headers)).retry_after == seconds


def test_date_to_come_back_is_counted_from_now():
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)

    assert 90 < raised(reply(429, Retry_After=soon)).retry_after <= 100


@pytest.mark.parametrize("ahead", [-3600, 0, 95])
def test_how_far_the_sites_clock_is_ahead_is_told_by_its_date(ahead):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)

    assert ahead - 5 < reply(Date=date).skew <= ahead


@pytest.mark.parametrize("headers", [{}, {"Date": "yesterday"}, {"Date": "Thu, 99 Foo 2026 99:99:99 GMT"}])
def test_an_answer_without_a_date_says_nothing_of_the_clocks(headers):
    assert reply(**headers).skew is None


def test_only_a_rate_limit_says_when_to_come_back():
    assert raised(reply(503, Retry_After="20")).retry_after is None


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_success_is_no_error(status):
    check_status(reply(status))


def test_status_that_is_an_answer_is_no_error():
    check_status(reply(404, {"errors": ["Not found"]}), frozenset({404}))


@pytest.mark.parametrize(("content_type", "body"), [("text/html", b"Not found"), (JSON, b"<h1>Not found</h1>")])
def test_page_of_a_proxy_is_no_answer_of_the_service(content_type, body):
    with pytest.raises(Foreign, match="HTTP 404: not a Datadog answer"):
        check_status(reply(404, body, content_type), frozenset({404}))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429])
def test_refusal_by_a_page_refuses_no_key_and_leaves_the_outcome_unknown(status):
    error = raised(reply(status, b"<html>no</html>"))

    assert isinstance(error, OutcomeUnknown)
    assert error.read_outcome is ReadOutcome.UNREADABLE


def test_error_page_of_a_broken_server_is_a_server_error():
    assert raised(reply(502, b"<html>no</html>")).read_outcome is ReadOutcome.SERVER_ERROR


@pytest.mark.parametrize(
    "content_type",
    [JSON, "application/vnd.api+json", "Application/JSON; charset=utf-8", "application/problem+json;x=y"],
)
def test_json_of_any_kind_is_understood(content_type):
    assert understood(reply(200, document(), content_type), echo_in).status == 2


@pytest.mark.parametrize(
    ("content_type", "shown"),
    [
        ("text/html", "text/html"),
        ("text/plain", "text/plain"),
        ("text/json", "text/json"),
        ("application/jsonp", "application/jsonp"),
        ("application/x+json+xml", "application/x+json+xml"),
        ("", "no content type"),
        ("json", "json"),
    ],
)
def test_success_of_another_content_type_is_not_an_answer(content_type, shown):
    with pytest.raises(OutcomeUnknown) as caught:
        understood(reply(200, document(), content_type), echo_in)

    assert caught.value.reason == f"not a Datadog answer ({shown})"
    assert caught.value.read_outcome is ReadOutcome.UNREADABLE


@pytest.mark.parametrize("encoding", ["gzip", "br", "gzip, gzip", "GZIP", ""])
def test_compressed_answer_is_refused(encoding):
    with pytest.raises(OutcomeUnknown, match=r"^compressed answer"):
        understood(reply(200, document(), Content_Encoding=encoding), echo_in)


@pytest.mark.parametrize("encoding", ["Identity", " identity\t"])
def test_answer_that_says_it_is_not_compressed_is_understood(encoding):
    assert understood(reply(200, document(), Content_Encoding=encoding), echo_in).status == 2


def test_compressed_answer_of_another_kind_is_called_compressed():
    with pytest.raises(OutcomeUnknown, match=r"^compressed answer \(gzip\) refused$"):
        understood(reply(200, b"\x1f\x8b", "text/plain", Content_Encoding="gzip"), echo_in)


@pytest.mark.parametrize("status", [300, 399])
def test_first_and_last_of_the_redirects_are_called_so(status):
    assert raised(reply(status)).reason == "unexpected redirect to the same host refused"


def test_answer_longer_than_the_limit_is_unreadable():
    body = json.dumps(document()).encode()

    assert understood(reply(200, body.ljust(MOST_BODY)), echo_in).status == 2
    with pytest.raises(OutcomeUnknown, match=r"^unreadable answer: longer than 64 KiB"):
        understood(reply(200, body.ljust(MOST_BODY + 1)), echo_in)


def test_unreadable_answer_keeps_no_trail_to_the_body():
    with pytest.raises(OutcomeUnknown, match=r"^unreadable answer: not valid JSON") as caught:
        understood(reply(200, b"{"), echo_in)

    assert caught.value.__context__ is None
