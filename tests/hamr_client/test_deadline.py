import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import trustme

from hamr_portal.domain.organizations import Credentials, Secret, Site
from hamr_portal.hamr_client import HamrClient, HamrError, NotSent, OutcomeUnknown, Phase, Untrusted
from tests.hamr_client.conftest import API_KEY, APPLICATION_KEY, server_context, trusting_context
from tests.hamr_client.servers import (
    BIG,
    GOOD,
    HOSTILE,
    HOSTILE_IN_TLS,
    HOSTILE_OVER_TLS,
    OK_JSON,
    PATIENCE,
    Server,
    answers,
    cuts,
    drips_the_handshake,
    drips_tls_records,
    never_answers,
    never_reads,
    shakes_hands_late,
    shakes_no_hands,
    tunnels,
    tunnels_to_drips,
    tunnels_to_silence,
)

SHORT = 0.5
"""A deadline in seconds that every hostile server would outlast by far."""

LONG = 5.0
"""A deadline in seconds that no other server comes near."""


def secure(server, host="localhost"):
    """The https: site of a server that makes TLS by itself, or none."""
    return Site("test", f"https://{host}:{server.port}")


@pytest.fixture(scope="module")
def endings():
    """Meet the hostile servers, four at a time since most of it is waiting: the server and the error of each."""

    def meet(hostile):
        credentials = Credentials(Secret(API_KEY), Secret(APPLICATION_KEY))
        with Server(hostile.script) as server, pytest.raises(HamrError) as caught:
            HamrClient().write(server.site(), credentials, hostile.body, seconds=SHORT)
        return server, caught.value

    with ThreadPoolExecutor(4) as threads:
        return {hostile: threads.submit(meet, hostile) for hostile in HOSTILE}


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_hostile_server_is_left_at_the_deadline(hostile, endings):
    server, error = endings[hostile].result()

    assert (type(error), error.phase) == (hostile.kind, hostile.phase)
    assert (server.connections, server.left_early) == (1, 1)


@pytest.mark.parametrize("hostile", HOSTILE_OVER_TLS, ids=lambda hostile: hostile.name)
def test_hostile_server_over_tls_is_left_at_the_deadline(hostile, server_tls, client, credentials):
    with Server(hostile.script, server_tls) as server, pytest.raises(HamrError) as caught:
        client.write(server.site(), credentials, hostile.body, seconds=SHORT)

    assert (type(caught.value), caught.value.phase) == (hostile.kind, hostile.phase)
    assert (server.connections, server.left_early) == (1, 1)


@pytest.mark.parametrize("hostile", HOSTILE_IN_TLS, ids=lambda hostile: hostile.name)
def test_server_that_shakes_no_hands_gets_no_request(hostile, client, credentials):
    with Server(hostile.script) as server, pytest.raises(NotSent) as caught:
        client.write(secure(server), credentials, b"{}", seconds=SHORT)

    assert caught.value.phase is Phase.TLS
    assert caught.value.reason.startswith("TLS check failed: ")


def test_stalled_handshake_is_left_at_the_deadline(client, credentials):
    with (
        Server(shakes_no_hands) as server,
        pytest.raises(NotSent, match=r"timed out after 0\.\d s in the TLS handshake"),
    ):
        client.write(secure(server), credentials, b"{}", seconds=SHORT)

    assert server.left_early == 1


def test_dripped_handshake_is_left_at_the_deadline(server_tls, client, credentials):
    with Server(drips_the_handshake(server_tls)) as server, pytest.raises(NotSent) as caught:
        client.write(secure(server), credentials, b"{}", seconds=SHORT)

    assert caught.value.phase is Phase.TLS
    assert server.left_early == 1


def test_dripped_tls_record_is_left_at_the_deadline(server_tls, client, credentials):
    with Server(drips_tls_records(server_tls)) as server, pytest.raises(OutcomeUnknown) as caught:
        client.write(secure(server), credentials, b"{}", seconds=SHORT)

    assert caught.value.phase is Phase.WAIT
    assert server.left_early == 1


def test_deadline_that_has_passed_sends_nothing(client, credentials):
    with Server(answers(GOOD)) as server, pytest.raises(NotSent, match=r"timed out after 0\.0 s resolving the name"):
        client.write(server.site(), credentials, b"{}", seconds=0)

    assert server.connections == 0


def test_retries_share_one_deadline(client, credentials):
    with Server(answers(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")) as server, pytest.raises(OutcomeUnknown):
        client.read(server.site(), credentials, seconds=0.19)

    assert server.connections == 1


def test_second_try_has_only_what_the_first_left(client, credentials):
    visits = []

    def stalls(visit):
        visit.read_request()
        visits.append(visit)
        visit.stall(0.7)
        visit.send(b"" if len(visits) == 1 else GOOD)

    with Server(stalls) as server, pytest.raises(OutcomeUnknown) as caught:
        client.read(server.site(), credentials, seconds=1.1)

    assert caught.value.phase is Phase.WAIT
    assert (server.connections, server.left_early) == (2, 1)


def test_refused_connection_is_not_sent(client, credentials, pauses):
    with pytest.raises(NotSent, match=r"^connection refused$") as caught:
        client.read(Site("test", f"http://localhost:{closed_port()}"), credentials, seconds=LONG)

    assert caught.value.phase is Phase.CONNECT
    assert len(pauses) == 2


def test_connecting_ends_at_the_connect_timeout(trusting, credentials):
    client = HamrClient(connect_timeout=0.05, ssl_context=trusting)

    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, fills(full), pytest.raises(NotSent) as caught:
        client.write(Site("test", f"http://127.0.0.1:{full.getsockname()[1]}"), credentials, b"{}", seconds=60)

    assert caught.value.phase is Phase.CONNECT
    assert caught.value.reason == "timed out after 0.1 s connecting"


def test_connect_timeout_does_not_cut_a_handshake(trusting, server_tls, credentials):
    client = HamrClient(connect_timeout=0.1, ssl_context=trusting)

    with Server(shakes_hands_late(server_tls, 0.2)) as server:
        answer = client.write(secure(server), credentials, b"{}", seconds=LONG)

    assert answer.http_status == 200


def test_second_address_is_tried_where_the_first_refuses(client, credentials, monkeypatch):
    with Server(answers(GOOD)) as server:
        ports = (closed_port(), server.port)
        resolved = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolved)

        answer = client.write(server.site(), credentials, b"{}", seconds=LONG)

    assert answer.http_status == 200


def test_name_that_does_not_resolve_is_not_sent(client, credentials, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(NotSent, match=r"^name not resolved$") as caught:
        client.write(Site("test", "https://no-such-host.invalid"), credentials, b"{}", seconds=LONG)

    assert caught.value.phase is Phase.RESOLVE


def test_hanging_look_up_is_left_at_the_deadline(client, credentials, hanging_look_up):
    with pytest.raises(NotSent, match=r"timed out after 0\.\d s resolving the name") as caught:
        client.write(Site("test", "https://hangs.example"), credentials, b"{}", seconds=SHORT)

    assert caught.value.phase is Phase.RESOLVE


def test_sending_has_only_what_resolving_left(client, credentials, monkeypatch):
    look_up = socket.getaddrinfo

    def hesitates(*arguments, **options):
        threading.Event().wait(0.5)
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hesitates)

    with Server(never_reads) as server, pytest.raises(OutcomeUnknown) as caught:
        client.write(server.site(), credentials, b"x" * BIG, seconds=0.9)

    assert caught.value.phase is Phase.SEND
    assert server.left_early == 1


@pytest.mark.parametrize("url", ["https://[", "https://", "https://a..b", "https://host:99999"])
def test_address_that_makes_no_request_is_not_sent(url, client, credentials):
    with pytest.raises(NotSent) as caught:
        client.write(Site("test", url), credentials, b"{}", seconds=LONG)

    assert caught.value.phase is Phase.RESOLVE
    assert caught.value.reason in ("the request could not be made", "name not resolved")


def test_certificate_of_an_unknown_authority_is_refused(credentials, server_tls, pauses):
    with Server(answers(GOOD), server_tls) as server, pytest.raises(Untrusted) as caught:
        HamrClient(pause=pauses.append).read(server.site(), credentials, seconds=LONG)

    assert caught.value.reason == "TLS check failed: unable to get local issuer certificate"
    assert (server.requests, server.connections, pauses) == ([], 1, [])


def test_certificate_for_another_host_is_refused(client, credentials, server_tls, pauses):
    with Server(answers(GOOD), server_tls) as server, pytest.raises(Untrusted, match="IP address mismatch"):
        client.read(server.site(host="127.0.0.1"), credentials, seconds=LONG)

    assert (server.requests, server.connections, pauses) == ([], 1, [])


def test_expired_certificate_is_refused(client, credentials, authority):
    yesterday = datetime.now(UTC) - timedelta(days=1)
    context = server_context(
        authority.issue_cert("localhost", not_before=yesterday - timedelta(days=1), not_after=yesterday)
    )

    with Server(answers(GOOD), context) as server, pytest.raises(Untrusted, match="certificate has expired"):
        client.write(server.site(), credentials, b"{}", seconds=LONG)

    assert (server.requests, server.connections) == ([], 1)


def test_context_that_does_not_verify_is_made_to(credentials, server_tls):
    careless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    careless.check_hostname, careless.verify_mode = False, ssl.CERT_NONE

    with Server(answers(GOOD), server_tls) as server, pytest.raises(Untrusted):
        HamrClient(ssl_context=careless).write(server.site(), credentials, b"{}", seconds=LONG)

    assert server.requests == []
    assert (careless.check_hostname, careless.verify_mode) == (True, ssl.CERT_REQUIRED)


def test_authorities_are_loaded_once(client, credentials, trusting, server_tls):
    loaded = trusting.cert_store_stats()

    with Server(answers(GOOD), server_tls) as server:
        client.read(server.site(), credentials, seconds=LONG)

    assert trusting.cert_store_stats() == loaded


def test_shared_context_is_not_changed_by_a_call(client, credentials, server_tls, monkeypatch):
    changes = []
    monkeypatch.setattr(ssl.SSLContext, "set_alpn_protocols", lambda *arguments: changes.append(arguments))

    with Server(answers(GOOD), server_tls) as server:
        client.read(server.site(), credentials, seconds=LONG)

    assert changes == []


def test_cut_while_sending_may_have_been_sent(tls, client, credentials):
    def resets_while_reading(visit):
        visit.received()
        visit.reset()

    with Server(resets_while_reading, tls) as server, pytest.raises(OutcomeUnknown) as caught:
        client.write(server.site(), credentials, b"x" * BIG, seconds=LONG)

    assert (caught.value.phase, caught.value.reason) == (Phase.SEND, "connection cut while sending")
    assert server.connections == 1


def test_answer_that_comes_before_all_was_sent_is_read(client, credentials):
    def refuses_at_once(visit):
        visit.received()
        visit.send(b"HTTP/1.1 422 Too large\r\nContent-Length: 0\r\n\r\n")
        visit.connection.shutdown(socket.SHUT_RDWR)
        visit.reset()

    with Server(refuses_at_once) as server, pytest.raises(HamrError) as caught:
        client.write(server.site(), credentials, b"x" * BIG, seconds=LONG)

    assert caught.value.phase in (Phase.SEND, Phase.ANSWER)
    assert server.connections == 1


@pytest.mark.parametrize("reset", [False, True])
def test_cut_while_waiting_may_have_taken_effect(reset, tls, client, credentials):
    with Server(cuts(reset=reset), tls) as server, pytest.raises(OutcomeUnknown) as caught:
        client.write(server.site(), credentials, b"{}", seconds=LONG)

    assert (caught.value.phase, caught.value.http_status) == (Phase.WAIT, None)
    assert caught.value.reason == "connection cut while waiting for the answer"
    assert len(server.requests) == 1


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\nContent-Type: application/json", b"\r\nContent-Length: 0\r\n"])
@pytest.mark.parametrize("status", [b"200 OK", b"403 Forbidden"])
def test_answer_cut_in_its_headers_may_hide_an_effect(status, end, tls, client, credentials):
    with Server(cuts(b"HTTP/1.1 " + status + end), tls) as server, pytest.raises(OutcomeUnknown) as caught:
        client.write(server.site(), credentials, b"{}", seconds=LONG)

    assert (caught.value.phase, caught.value.http_status) == (Phase.WAIT, None)
    assert len(server.requests) == 1


@pytest.mark.parametrize("head", [b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x00\xff\n", b"{}\r\n"])
def test_bytes_that_are_no_http_may_hide_an_effect(head, client, credentials):
    with Server(cuts(head)) as server, pytest.raises(OutcomeUnknown, match=r"^not an HTTP answer$") as caught:
        client.write(server.site(), credentials, b"{}", seconds=LONG)

    assert caught.value.phase is Phase.WAIT
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "cut",
    [
        GOOD[:-1],
        GOOD[: GOOD.index(b"{")],
        OK_JSON + b"Transfer-Encoding: chunked\r\n\r\n4\r\nnu",
        OK_JSON + b"Transfer-Encoding: chunked\r\n\r\n4\r\nnull\r\n",
        OK_JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_body_that_ends_too_early_is_incomplete(cut, client, credentials):
    with Server(cuts(cut)) as server, pytest.raises(OutcomeUnknown, match=r"^incomplete answer$") as caught:
        client.write(server.site(), credentials, b"{}", seconds=LONG)

    assert (caught.value.phase, caught.value.http_status) == (Phase.BODY, 200)
    assert server.connections == 1


def test_connection_is_never_used_again(client, credentials):
    def keeps_alive(visit):
        while True:
            visit.read_request()
            visit.send(GOOD)

    with Server(keeps_alive) as server:
        client.read(server.site(), credentials, seconds=LONG)
        client.read(server.site(), credentials, seconds=LONG)

    assert server.connections == 2
    assert all(b"\r\nConnection: close\r\n" in request for request in server.requests)


def test_request_to_https_goes_through_a_tunnel(authority, credentials, server_tls):
    with Server(answers(GOOD), server_tls) as server, Server(tunnels) as proxy:
        client = HamrClient(ssl_context=trusting_context(authority), proxies={"https": proxied(proxy)})
        answer = client.read(server.site(), credentials, seconds=LONG)

    assert answer.http_status == 200
    assert b"canary" in server.requests[0]
    assert b"canary" not in b"".join(proxy.requests)


def test_proxy_over_tls_is_verified_and_tunnels(authority, credentials, server_tls):
    with Server(answers(GOOD), server_tls) as server, Server(tunnels, server_tls) as proxy:
        client = HamrClient(ssl_context=trusting_context(authority), proxies={"https": proxied(proxy)})
        answer = client.read(server.site(), credentials, seconds=LONG)

    assert answer.http_status == 200


def test_proxy_over_tls_that_cannot_prove_itself_gets_nothing(trusting, credentials):
    with Server(tunnels, server_context(trustme.CA().issue_cert("localhost"))) as proxy:
        client = HamrClient(ssl_context=trusting, proxies={"https": proxied(proxy)})

        with pytest.raises(Untrusted):
            client.write(Site("test", "https://localhost:1"), credentials, b"{}", seconds=LONG)

    assert proxy.requests == []


@pytest.mark.parametrize(
    ("script", "phase", "reason"),
    [
        (answers(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), Phase.CONNECT, "no connection through"),
        (never_answers, Phase.CONNECT, "timed out after 0.[5-9] s connecting"),
        (tunnels_to_silence, Phase.TLS, "TLS check failed: timed out"),
    ],
)
def test_proxy_that_does_not_tunnel_gets_no_request(script, phase, reason, trusting, credentials):
    with Server(script) as proxy:
        client = HamrClient(ssl_context=trusting, proxies={"https": proxied(proxy)})

        with pytest.raises(NotSent, match=reason) as caught:
            client.write(Site("test", "https://localhost:1"), credentials, b"{}", seconds=SHORT)

    assert caught.value.phase is phase
    assert b"canary" not in b"".join(proxy.requests)


def test_proxy_over_tls_that_drips_is_left_at_the_deadline(trusting, credentials, server_tls):
    with Server(tunnels_to_drips, server_tls) as proxy:
        client = HamrClient(ssl_context=trusting, proxies={"https": proxied(proxy)})

        with pytest.raises(NotSent, match="TLS check failed: timed out"):
            client.write(Site("test", "https://localhost:1"), credentials, b"{}", seconds=SHORT)

    assert proxy.left_early == 1


@pytest.mark.parametrize("userinfo", ["", "someone:secret@"])
def test_one_proxy_serves_sites_with_and_without_tls(userinfo, authority, credentials, server_tls):
    scripts = iter([answers(GOOD), tunnels])
    with Server(answers(GOOD), server_tls) as server, Server(lambda visit: next(scripts)(visit)) as proxy:
        url = f"http://{userinfo}localhost:{proxy.port}"
        client = HamrClient(ssl_context=trusting_context(authority), proxies={"http": url, "https": url})
        client.read(Site("test", "http://hamr.invalid"), credentials, seconds=LONG)
        client.read(server.site(), credentials, seconds=LONG)

    plain, connect = proxy.requests
    assert plain.startswith(b"GET http://hamr.invalid/api/v2/hamr HTTP/1.1\r\n")
    assert connect.startswith(b"CONNECT localhost:%d HTTP/1." % server.port)
    assert [b"\r\nProxy-Authorization: Basic " in request for request in proxy.requests] == [bool(userinfo)] * 2
    assert b"proxy-authorization" not in server.requests[0].lower()


@pytest.mark.parametrize(
    "url",
    [
        "socks5://someone:secret@localhost:1080",
        "localhost:3128",
        "//localhost:3128",
        "http:localhost",
        "http://:3128",
        "http://localhost:99999",
        "http://localhost:port",
        "https://[::1",
        "",
    ],
)
def test_address_that_is_no_proxys_is_refused_and_not_repeated(url):
    with pytest.raises(
        ValueError, match=r"^A proxy's address must be http://host:port or https://host:port\.$"
    ) as caught:
        HamrClient(proxies={"https": url})

    assert caught.value.__context__ is None


@pytest.mark.parametrize("url", ["http://proxy.example:3128", "https://proxy.example/", "http://[::1]:3128"])
def test_address_of_a_proxy_is_accepted(url):
    assert HamrClient(proxies={"http": url, "https": url})


def test_proxies_of_the_environment_are_ignored(client, credentials, monkeypatch):
    with Server(answers(GOOD)) as server, Server(answers(GOOD)) as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxied(proxy))
        monkeypatch.delenv("no_proxy", raising=False)
        client.read(server.site(), credentials, seconds=LONG)

    assert (len(server.requests), proxy.connections) == (1, 0)


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def proxied(proxy):
    return f"{'https' if proxy.tls else 'http'}://localhost:{proxy.port}"


class fills:
    """Fill a listener's backlog, so that it lets no further connection in and refuses none."""

    def __init__(self, listener):
        self._sockets = [socket.socket() for _ in range(4)]
        self._address = listener.getsockname()

    def __enter__(self):
        for sock in self._sockets:
            sock.setblocking(False)
            sock.connect_ex(self._address)

    def __exit__(self, *_):
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def hanging_look_up(monkeypatch):
    """Make each look-up hang until the test is over."""
    over = threading.Event()

    def hang(*_, **__):
        over.wait(PATIENCE)
        raise socket.gaierror(socket.EAI_AGAIN, "hung")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield
    over.set()
