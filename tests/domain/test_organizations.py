"""Sites, keys and secrets: what is accepted, and what never shows."""

from __future__ import annotations

import copy
import json
import pickle
import traceback
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hamr_portal.domain.organizations import (
    KEY,
    NAME,
    SITES,
    Credentials,
    InvalidKey,
    InvalidSites,
    Secret,
    is_loopback,
    site_of_datacenter,
    sites_with,
)

CANARY = "canary0secret0never0shown0anywhere"
key_characters = st.sampled_from("0123456789ABCDEFabcdef_-")

# --- sites ------------------------------------------------------------------------------------------------------


def test_the_nine_sites_are_where_the_vendor_says():
    assert {site.name: site.base_url for site in SITES.values()} == {
        "us1": "https://api.datadoghq.com",
        "us3": "https://api.us3.datadoghq.com",
        "us5": "https://api.us5.datadoghq.com",
        "eu1": "https://api.datadoghq.eu",
        "ap1": "https://api.ap1.datadoghq.com",
        "ap2": "https://api.ap2.datadoghq.com",
        "uk1": "https://api.uk1.datadoghq.com",
        "us1-fed": "https://api.ddog-gov.com",
        "us2-fed": "https://api.us2.ddog-gov.com",
    }
    assert list(SITES) == [site.name for site in SITES.values()]


@pytest.mark.parametrize("nothing", ["", " ", ",", " , ,, "])
def test_without_more_there_are_the_built_in_sites(nothing):
    assert sites_with(nothing) == dict(SITES)


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://proxy.halden.example", "https://proxy.halden.example"),
        ("https://proxy.halden.example/", "https://proxy.halden.example"),
        ("https://proxy.halden.example:8443", "https://proxy.halden.example:8443"),
        ("https://proxy.halden.example/datadog/us1/", "https://proxy.halden.example/datadog/us1"),
        ("HTTPS://proxy.halden.example", "https://proxy.halden.example"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://10.0.0.7", "https://10.0.0.7"),
        ("http://127.0.0.1:9001", "http://127.0.0.1:9001"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:9001", "http://[::1]:9001"),
        ("http://localhost:9001/", "http://localhost:9001"),
        ("http://LOCALHOST:9001", "http://LOCALHOST:9001"),
    ],
)
def test_a_good_address_is_taken_without_its_last_slash(address, kept):
    assert sites_with(f" us1 = {address} ")["us1"].base_url == kept


@pytest.mark.parametrize(
    "address",
    [
        "",
        "proxy.halden.example",
        "//proxy.halden.example",
        "ftp://proxy.halden.example",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://:8443",
        "https:proxy.halden.example",
        "https://datadoghq.com@evil.example",
        "https://user:password@proxy.halden.example",
        "https://@evil.example",
        "https://evil.example\\@api.datadoghq.com",
        "https://api.datadoghq.com\\.evil.example",
        "https://proxy halden.example",
        "https://proxy.halden.example/a b",
        "https://proxy.halden\t.example",
        "\x01https://proxy.halden.example",
        "https://proxy.halden.example/\x7f",
        "https://proxy.halden.example:0",
        "https://proxy.halden.example:65536",
        "https://proxy.halden.example:-1",
        "https://proxy.halden.example:port",
        "https://[::1",
        "https://[not-an-address]",
        "https://bücher.example",
        "https://аpi.datadoghq.com",  # a Cyrillic "а"
        "https://api.datadoghq.com%2eevil.example?x",
        "https://proxy.halden.example?site=us1",
        "https://proxy.halden.example#us1",
        "http://proxy.halden.example",
        "http://169.254.169.254",
        "http://10.0.0.7",
        "http://0.0.0.0:9001",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://[2001:db8::1]",
        "http://2130706433",
    ],
)
def test_a_wrong_address_is_refused_with_the_name_of_its_site(address):
    with pytest.raises(InvalidSites, match=r"^proxy: the address |^proxy: http: is for loopback"):
        sites_with(f"us3=https://good.example,proxy={address}")


@pytest.mark.parametrize("entry", ["=https://a.example", "US1=https://a.example", "us 1=https://a.example"])
def test_an_entry_without_a_good_name_is_refused_with_what_to_write(entry):
    with pytest.raises(InvalidSites, match="write name=base-url"):
        sites_with(entry)


def test_a_password_in_an_address_is_not_repeated():
    with pytest.raises(InvalidSites) as refused:
        sites_with(f"us1=https://somebody:{CANARY}@proxy.halden.example")

    assert CANARY not in _told(refused.value)


def test_more_sites_come_after_the_built_in_and_replace_those_of_the_same_name():
    sites = sites_with("lab=http://127.0.0.1:1, us1=https://one.example,us1=https://two.example,")

    assert list(sites) == [*SITES, "lab"]
    assert sites["us1"].base_url == "https://two.example"
    assert sites["us3"] == SITES["us3"]
    assert SITES["us1"].base_url == "https://api.datadoghq.com"


def test_an_address_may_hold_an_equals_sign():
    assert sites_with("us1=https://proxy.example/a=b")["us1"].base_url == "https://proxy.example/a=b"


@given(st.text(max_size=40))
def test_whatever_is_written_is_either_refused_or_leads_over_tls_or_to_this_machine(text):
    try:
        url = sites_with(f"us1={text.replace(',', '')}")["us1"].base_url
    except InvalidSites:
        return

    assert url.isascii()
    assert url.lower().startswith(("https://", "http://localhost", "http://127.", "http://[::1]"))


@pytest.mark.parametrize(
    "host", ["localhost", "portal.localhost", ".localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]", "0:0:0:0:0:0:0:1"]
)
def test_these_hosts_mean_this_machine_alone(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "0.0.0.0",
        "::",
        "10.0.0.7",
        "portal.halden.example",
        "localhost.example",
        "notlocalhost",
        "*",
        "127.0.0.1.nip.io",
    ],
)
def test_these_hosts_may_be_reached_by_others(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("datacenter", "site"),
    [
        ("us5", "us5"),
        ("us5.prod.dog", "us5"),
        ("US5.PROD.DOG", "us5"),
        (" eu1.prod.dog ", "eu1"),
        ("us1.fed.dog", "us1-fed"),
        ("us2.fed.dog", "us2-fed"),
        ("us1-fed", "us1-fed"),
        ("us9.somewhere.else", "us9.somewhere.else"),
        ("", ""),
    ],
)
def test_both_forms_of_a_datacenter_lead_to_its_site(datacenter, site):
    assert site_of_datacenter(datacenter) == site


# --- names and keys ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "acme-us1", "0", "a" * 63, "a--b"])
def test_a_slug_is_a_name(name):
    assert NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a b", "a_b", "a" * 64, "ä", "a\n", "../a", "a.b"])
def test_what_is_no_slug_is_no_name(name):
    assert not NAME.fullmatch(name)


@given(st.text(key_characters, min_size=16, max_size=128))
def test_every_key_of_16_to_128_plain_characters_is_taken(key):
    assert Credentials(Secret(key), Secret(key)).api_key.reveal() == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "k" * 15,
        "k" * 129,
        "k" * 32 + "\n",
        "k" * 32 + "\r\nX-Evil: 1",
        " " + "k" * 32,
        "k" * 16 + "ä",
        "k" * 16 + "\x00",
        "k" * 16 + "٣",
        "k" * 16 + ".",
    ],
)
@pytest.mark.parametrize("field", ["API key", "application key"])
def test_a_malformed_key_is_refused_by_the_name_of_its_field_and_not_repeated(key, field):
    good = Secret("g" * 32)
    pair = (Secret(key), good) if field == "API key" else (good, Secret(key))

    with pytest.raises(InvalidKey, match=f"^The {field} must be 16 to 128 letters") as refused:
        Credentials(*pair)

    assert key == "" or key not in _told(refused.value)


@given(st.text(max_size=140))
def test_no_accepted_key_can_break_a_header(key):
    if KEY.fullmatch(key):
        assert key.isascii()
        assert not set(key) & set("\r\n\0 :")


# --- secrets ----------------------------------------------------------------------------------------------------


def test_a_secret_gives_its_text_only_when_asked_to_reveal_it():
    secret = Secret(CANARY)

    assert secret.reveal() == CANARY
    assert secret.tail == CANARY[-4:]


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r}".format,
        "{!s:>40}".format,
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031
        lambda secret: str([secret, {"key": secret}]),
        lambda secret: repr(Credentials(secret, secret)),
        lambda secret: json.dumps({"key": secret}, default=str),
        lambda secret: str(dir(secret)),
    ],
)
def test_a_secret_does_not_show_its_text(show):
    shown = show(Secret(CANARY))

    assert shown
    assert CANARY not in shown


@pytest.mark.parametrize(
    "take",
    [
        pickle.dumps,
        lambda secret: pickle.dumps(secret, protocol=0),
        lambda secret: pickle.dumps(Credentials(secret, secret)),
        copy.copy,
        copy.deepcopy,
        vars,
        json.dumps,
        lambda secret: asdict(Credentials(secret, secret)),
        lambda secret: f"{secret:>40}",
    ],
)
def test_a_secret_is_not_taken_out_by_accident(take):
    with pytest.raises(TypeError) as refused:
        take(Secret(CANARY))

    assert CANARY not in _told(refused.value)


def test_a_traceback_with_local_variables_does_not_show_a_secret():
    def fail(credentials: Credentials) -> None:
        api_key = credentials.api_key  # noqa: F841 - a local variable, for the traceback
        raise RuntimeError(f"{credentials}")

    with pytest.raises(RuntimeError) as failed:
        fail(Credentials(Secret(CANARY), Secret(CANARY)))

    report = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
    assert "Secret(***)" in "".join(report.format())
    assert CANARY not in "".join(line for line in report.format() if "test_a_traceback" not in line)


def test_secrets_are_equal_by_their_texts():
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret(CANARY + "x")
    assert Secret(CANARY) != CANARY
    assert len({Secret(CANARY), Secret(CANARY)}) == 1


def _told(error: BaseException) -> str:
    """What anybody could be told of an error: itself and what it came from."""
    return "".join(traceback.format_exception(error, chain=True, limit=0)) + repr(error.args)
