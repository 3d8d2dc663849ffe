"""What may an issuer of single sign-on do to whoever asks it? Nothing but answer, in time."""

import os

import pytest
import requests

from hamr_portal.hamr_client import BoundedSession
from tests.hamr_client.servers import GOOD, Server, answers, document, http

LONG = 5.0
"""A deadline in seconds that no answering server comes near."""


def test_answer_comes_whole():
    with Server(answers(GOOD)) as server:
        response = BoundedSession(LONG).get(server.site("/keys").base_url)

    assert (response.status_code, response.json()) == (200, document())


@pytest.mark.parametrize("status", ["404 None", "500 Broken"])
def test_refusal_is_an_answer_too(status):
    with Server(answers(http({"error": "no"}, status=status))) as server:
        response = BoundedSession(LONG).post(server.site().base_url, data={"code": "c-4711"})

    assert (response.status_code, response.json()) == (int(status[:3]), {"error": "no"})
    assert server.requests[0].endswith(b"code=c-4711")


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Again", "308 Moved"])
def test_redirect_is_followed_nowhere_even_where_the_caller_asks_for_it(status):
    with Server(answers(GOOD)) as elsewhere:
        away = http({}, status=status, headers=[f"Location: {elsewhere.site().base_url}"])
        with Server(answers(away)) as server, pytest.raises(requests.TooManyRedirects):
            BoundedSession(LONG).post(server.site().base_url, data={"secret": "s"}, allow_redirects=True)

    assert (server.connections, elsewhere.connections) == (1, 0)


def test_answer_that_drips_ends_at_the_deadline_whatever_the_caller_grants():
    def drips(visit):
        visit.read_request()
        visit.drip(http(b"x" * 1000))

    with Server(drips) as server, pytest.raises(requests.RequestException):
        BoundedSession(0.1).get(server.site().base_url, timeout=60)

    assert server.left_early == 1


def test_server_that_is_not_vouched_for_is_told_nothing(server_tls):
    with Server(answers(GOOD), server_tls) as server, pytest.raises(requests.exceptions.SSLError):
        BoundedSession(LONG).post(server.site().base_url, data={"secret": "s"})

    assert server.requests == []


def test_proxies_and_passwords_of_the_surroundings_are_left_alone(monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine localhost login mara password canary\n")
    monkeypatch.setenv("NETRC", os.fspath(tmp_path / "netrc"))

    with Server(answers(GOOD)) as proxy, Server(answers(GOOD)) as server:
        monkeypatch.setenv("http_proxy", proxy.site().base_url)
        BoundedSession(LONG).get(server.site().base_url)

    assert proxy.connections == 0
    assert b"authorization" not in server.requests[0].lower()
