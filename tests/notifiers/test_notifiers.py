"""Does a message arrive by each way, does nothing hang, and does no address leak?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest
from pytest_django.fixtures import Settings

from hamr_portal import notifiers
from hamr_portal.domain.organizations import Secret
from hamr_portal.notifiers import Channel, NotTold
from tests.sinks import Sink, mail_server, web_server

TOKEN = "canary0notify0token"


@pytest.fixture
def web() -> Iterator[Sink]:
    with web_server() as sink:
        yield sink


@pytest.fixture
def mail(settings: Settings) -> Iterator[Sink]:
    with mail_server() as sink:
        by_mail(settings, sink.port)
        yield sink


def by_mail(settings: Settings, port: int) -> None:
    settings.SENDS_MAIL = True
    settings.DEFAULT_FROM_EMAIL = "portal@halden.example"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port


def channel(settings: Settings, address: str = "") -> Channel:
    settings.NOTIFY_URLS = [Secret(address)] if address else []
    (only,) = notifiers.channels()
    return only


def told(by: Channel, **over: Any) -> None:
    notifiers.tell(by, **{"to": ["mara@halden.example"], "subject": "Acme: Split view", "text": "us1\nus5", **over})


def why_not(by: Channel, **over: Any) -> str:
    with pytest.raises(NotTold) as caught:
        told(by, **over)
    return str(caught.value)


# --- arriving ---------------------------------------------------------------------------------------------------


def test_a_message_arrives_at_a_web_server(web: Sink, settings: Settings) -> None:
    told(channel(settings, web.address("hook")))

    (arrived,) = web.arrived
    assert (arrived["title"], arrived["message"]) == ("Acme: Split view", "us1\nus5")


def test_a_message_arrives_by_mail_at_everybody_who_is_named(mail: Sink, settings: Settings) -> None:
    told(channel(settings), to=["mara@halden.example", "jonas@halden.example"])

    arrived = message_from_string(mail.mails[0])
    assert arrived["Subject"] == "Acme: Split view"
    assert (arrived["From"], arrived["To"]) == ("portal@halden.example", "mara@halden.example, jonas@halden.example")
    assert str(arrived.get_payload()).splitlines() == ["us1", "us5"]


def test_what_is_no_plain_text_stays_as_it_is(web: Sink, settings: Settings) -> None:
    told(channel(settings, web.address()), text="a <b> & <!channel> ünd\n*x*")

    assert web.arrived[0]["message"] == "a <b> & <!channel> ünd\n*x*"


# --- not arriving -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 500])
def test_a_refusal_is_told_by_its_number(web: Sink, settings: Settings, status: int) -> None:
    web.status = status

    assert why_not(channel(settings, web.address(TOKEN))) == f"HTTP {status}"


def test_a_redirect_is_not_followed(web: Sink, settings: Settings) -> None:
    with web_server() as elsewhere:
        web.status, web.location = 307, f"http://127.0.0.1:{elsewhere.port}/"

        assert why_not(channel(settings, web.address())) == "HTTP 307"
        assert elsewhere.arrived == []


def test_nobody_there_is_told_as_that(settings: Settings) -> None:
    with web_server() as gone:
        address = gone.address(TOKEN)

    assert why_not(channel(settings, address)) == "no connection"


def test_an_address_that_nothing_understands_is_told_as_that(settings: Settings) -> None:
    address = f"nonsense://{TOKEN}"

    assert why_not(channel(settings, address)) == "apprise does not know this kind of address"


def test_a_mail_server_that_refuses_is_told_by_the_kind_and_the_number(settings: Settings) -> None:
    with mail_server(refuses=f"550 not from {TOKEN}\r\n".encode()) as refusing:
        by_mail(settings, refusing.port)

        assert why_not(channel(settings)) == "SMTPSenderRefused 550"


def test_a_mail_server_that_is_not_there_is_told_by_the_kind(settings: Settings) -> None:
    with mail_server() as gone:
        by_mail(settings, gone.port)

    assert why_not(channel(settings)) == "ConnectionRefusedError"


def test_a_server_that_drips_is_left_when_the_time_is_over(web: Sink, settings: Settings) -> None:
    web.drips = True

    for seconds in (3, 9, 27):
        assert why_not(channel(settings, web.address(TOKEN)), seconds=seconds) == f"no end after {seconds} s"
        if web.asked.is_set():
            break  # on a busy machine, the first may have come to its end before it asked

    # The connection is gone: nobody listens to the drops any more.
    assert web.asked.is_set()
    assert web.over.wait(5)


def test_a_process_that_nobody_waits_for_ends_by_itself(web: Sink) -> None:
    web.drips = True
    wanted = {"address": web.address(), "subject": "s", "text": "t", "to": [], "seconds": 1}
    with subprocess.Popen([sys.executable, "-I", notifiers._TELLER], stdin=subprocess.PIPE) as left:
        assert left.stdin is not None
        left.stdin.write(json.dumps(wanted).encode())
        left.stdin.close()

        assert left.wait(20) != 0


def test_a_machine_that_has_no_process_to_give_is_told_as_that(settings: Settings, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")

    assert why_not(channel(settings, "json://127.0.0.1")) == "no process to be had, FileNotFoundError"


def test_what_a_process_says_beside_our_words_is_not_repeated(settings: Settings, monkeypatch: Any, tmp_path: Path):
    babbling = tmp_path / "teller.py"
    babbling.write_text(f"print('{TOKEN}')")
    monkeypatch.setattr(notifiers, "_TELLER", babbling)

    assert why_not(channel(settings, "json://127.0.0.1")) == "it broke off"


# --- secrets ----------------------------------------------------------------------------------------------------


def test_a_process_gets_the_address_on_no_command_line_and_nothing_of_our_environment(
    settings: Settings, monkeypatch: Any, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET_KEY", TOKEN)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    spying = tmp_path / "teller.py"
    spying.write_text(
        "import os, pathlib, sys\n"
        f"pathlib.Path({str(tmp_path / 'seen')!r}).write_text(repr((sys.argv, dict(os.environ))))\n"
        "print(end='told')\n"
    )
    monkeypatch.setattr(notifiers, "_TELLER", spying)

    told(channel(settings, f"json://127.0.0.1/{TOKEN}"))

    seen = (tmp_path / "seen").read_text()
    assert TOKEN not in seen
    assert "https_proxy" in seen


def test_a_channel_shows_its_scheme_and_two_letters(settings: Settings) -> None:
    one = channel(settings, f"slack://{TOKEN}/{TOKEN}/{TOKEN}?footer={TOKEN}")

    assert one.label == "1: slack://c…n"
    assert TOKEN not in repr(one)
    assert TOKEN not in one.key


def test_a_channel_is_known_again_by_the_same_secret_key_alone(settings: Settings) -> None:
    first, second = channel(settings, "json://a"), channel(settings, "json://b")
    settings.SECRET_KEY = "another"

    assert len({first.key, second.key, channel(settings, "json://a").key}) == 3


def test_without_settings_there_is_no_channel(settings: Settings) -> None:
    settings.SENDS_MAIL, settings.NOTIFY_URLS = False, []

    assert notifiers.channels() == []
