"""A bad night from the sign-in to its end, on the demo as a newcomer starts it: by mouse, by keyboard, on a phone.

At the end of each the simulator's own record and the audit log are asked what was sent.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect

from hamr_portal.simulator import ACTIVE, PASSIVE

from .ways import Keyboard, Mouse, Phone, Way

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("journeys"),  # one demo for all of them
    pytest.mark.parametrize("way", [Mouse, Keyboard, Phone], ids=["by mouse", "by keyboard", "on a phone"]),
]

BASE_DIR = Path(__file__).resolve().parent.parent.parent
OPERATOR, APPROVER = "mara.lindqvist@halden.example", "jonas.weber@halden.example"
TICKET, REASON = "INC-4473", "us1 is dark, moving over"
PATIENCE = 60_000
"""Milliseconds that a busy machine may take to read both sides as often as counts, send, and read back."""

# What happens in the demo by itself happens to none of these.
OF_WAY = {Mouse: "support", Keyboard: "logistics", Phone: "warehouse"}
DARK_OF_WAY = {Mouse: "search", Keyboard: "billing", Phone: "reporting"}
APPROVED = "identity"


@dataclass
class Demo:
    """The demo's process: where it is, its password, and its simulator."""

    url: str
    password: str
    control: str
    folder: Path

    def ask(self, what: str) -> Any:
        """Give what the simulator says of itself."""
        with urllib.request.urlopen(f"{self.control}/{what}", timeout=10) as answer:
            return json.load(answer)

    def steer(self, call: str, **words: Any) -> None:
        """Let something happen in the simulator."""
        urllib.request.urlopen(f"{self.control}/{call}", json.dumps(words).encode(), timeout=10).close()

    def posts(self, name: str) -> list[str]:
        """Give the bodies of the POSTs that reached an organization."""
        return [each["body"] for each in self.ask("requests") if (each["verb"], each["organization"]) == ("POST", name)]

    def settle(self, pair: str) -> None:
        """Let a pair be PASSIVE and answer, whatever happened to it before."""
        name = f"halden-{pair}-dr"
        self.steer("faults", name=name, fault=None)
        (view,) = [each["view"] for each in self.ask("state")["organizations"] if each["name"] == name]
        if view["hamr_status"] != PASSIVE:
            self.steer("write_aside", name=name, status=PASSIVE, modified_by=APPROVER)

    def darken(self, pair: str) -> None:
        """Let the primary of a pair be silent from now on."""
        self.settle(pair)
        self.steer("faults", name=f"halden-{pair}", fault="drop_before")

    def record(self, change: int) -> list[tuple[str, str]]:
        """Give what the audit log says of a change: each event, and who did it."""
        rows = "SELECT event, actor_name FROM hamr_portal_auditentry WHERE change = ? ORDER BY seq"
        with closing(sqlite3.connect(f"file:{self.folder}/portal.sqlite3?mode=ro", uri=True)) as log:
            return [
                (event, who.partition(":")[0] if "@" not in who else who) for event, who in log.execute(rows, [change])
            ]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """Start the demo once for all journeys, with nothing of this process's environment but where programs are."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder = BASE_DIR / "var" / "demo" / str(port)
    command = [sys.executable, "manage.py", "demo", "--port", str(port)]
    with subprocess.Popen(
        command, cwd=BASE_DIR, env={"PATH": environ["PATH"]}, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            told = ""
            for line in process.stdout:
                told += line
                if "Ctrl-C" in line:
                    break
            found = re.search(r"with the password {2}(\S+)\n(?s:.*)reached the simulator: (\S+)/requests", told)
            assert found, told
            password, control = found.groups()
            demo = Demo(f"http://127.0.0.1:{port}", password, control, folder)
            for pair in DARK_OF_WAY.values():
                demo.darken(pair)  # so early, for it takes some reads until a side counts as dark
            yield demo
        finally:
            process.terminate()
            process.wait(30)
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Journey:
    """One person's way through the portal, in a browser of their own; whatever a page does wrong is kept."""

    demo: Demo
    page: Page
    way: Way
    wrong: list[str] = field(default_factory=list)

    def arrive(self, title: str | re.Pattern[str]) -> None:
        """Wait until the page is the one whose heading this is, and look at it."""
        expect(self.page.get_by_role("heading", level=1)).to_have_text(title, timeout=PATIENCE)
        self.page.wait_for_load_state()
        if self.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            self.wrong.append(f"scrolls sideways: {self.page.url}")

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name)

    def sign_in(self, email: str) -> None:
        self.page.goto("/accounts/login/")
        self.arrive("Sign in")
        self.way.type(self.page.get_by_label("E-mail address"), email)
        self.way.type(self.page.get_by_label("Password"), self.demo.password)
        self.way.press(self.button("Sign in"))
        self.arrive(re.compile("action"))

    def find(self, pair: str, verdict: str) -> None:
        """Leave nothing but one pair on the status page, and wait until it is as it has to be."""
        self.way.type(self.page.get_by_label("Find a pair"), pair)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(f"**/?q={pair}*")
        self.arrive(re.compile("action"))
        expect(self.page.locator(".pair")).to_have_count(1)
        expect(self.page.locator(".pair")).to_contain_text(verdict, timeout=PATIENCE)

    def preview(self, pair: str, verdict: str = "In sync") -> None:
        """Go from the status page to the form that sends."""
        self.find(pair, verdict)
        self.way.press(self.page.get_by_role("link", name=re.compile(f"^Change status ?: {pair.capitalize()}$")))
        self.arrive(f"Change status of halden-{pair}-dr")
        self.way.choose(self.page.get_by_role("radio", name=re.compile("^FAILOVER")))
        self.way.press(self.button("Preview change"))
        self.arrive(f"Set halden-{pair}-dr to FAILOVER?")

    def say_why(self) -> None:
        self.way.type(self.page.get_by_label("Ticket"), TICKET)
        self.way.type(self.page.get_by_label("Reason"), REASON)

    def name_it(self, pair: str) -> None:
        self.way.type(self.page.get_by_label(f"ype halden-{pair}-dr"), f"halden-{pair}-dr")

    @property
    def change(self) -> int:
        """The number of the change whose page this is."""
        return int(self.page.url.rstrip("/").rpartition("/")[2])


Start = Callable[[], Journey]


@pytest.fixture
def start(demo: Demo, browser: Browser, way: type[Way]) -> Iterator[Start]:
    """Let people begin, each in a browser of their own; at the end no page may have done anything wrong."""
    begun: list[Journey] = []
    with ExitStack() as ending:

        def begin() -> Journey:
            size: Any = {"width": way.width, "height": 900}
            context = browser.new_context(base_url=demo.url, viewport=size, has_touch=way.has_touch)
            ending.callback(context.close)
            context.set_default_timeout(PATIENCE)
            page = context.new_page()
            journey = Journey(demo, page, way(page))
            page.on("pageerror", lambda error: journey.wrong.append(str(error)))
            page.on("console", lambda said: journey.wrong.extend(_errors(said)))
            page.on("request", lambda asked: journey.wrong.extend(_others(asked.url, demo.url)))
            begun.append(journey)
            return journey

        yield begin
        assert [wrong for journey in begun for wrong in journey.wrong] == []


def _errors(said: ConsoleMessage) -> list[str]:
    return [said.text] if said.type == "error" else []


def _others(address: str, ours: str) -> list[str]:
    return [] if address.startswith((f"{ours}/", "data:")) else [f"asked another origin: {address}"]


def test_failover_with_both_sides_up(demo: Demo, start: Start, way: type[Way]) -> None:
    pair = OF_WAY[way]
    demo.settle(pair)
    before = len(demo.posts(f"halden-{pair}-dr"))
    mara = start()

    mara.sign_in(OPERATOR)
    mara.preview(pair)
    mara.say_why()
    mara.name_it(pair)
    mara.way.press(mara.button(f"Set halden-{pair}-dr to FAILOVER"))
    mara.arrive(f"Verified: halden-{pair}-dr is FAILOVER")

    assert len(demo.posts(f"halden-{pair}-dr")) == before + 1
    assert demo.posts(f"halden-{pair}") == []
    assert [event for event, _ in demo.record(mara.change)] == [
        "change.prepared",
        "change.sending",
        "change.accepted",
        "change.verified",
    ]
    assert ("change.sending", OPERATOR) in demo.record(mara.change)


def test_failover_with_the_primary_dark(demo: Demo, start: Start, way: type[Way]) -> None:
    pair = DARK_OF_WAY[way]
    before = len(demo.posts(f"halden-{pair}-dr"))
    mara = start()

    mara.sign_in(OPERATOR)
    mara.preview(pair, "Primary unreachable")
    mara.say_why()
    mara.way.tick(mara.page.get_by_role("checkbox"))
    mara.name_it(pair)
    mara.way.press(mara.button(f"Set halden-{pair}-dr to FAILOVER"))
    mara.arrive(f"Verified: halden-{pair}-dr is FAILOVER")

    expect(mara.page.locator("#main")).to_contain_text("Verified on ")
    assert len(demo.posts(f"halden-{pair}-dr")) == before + 1
    assert demo.posts(f"halden-{pair}") == []
    assert demo.record(mara.change)[-1][0] == "change.verified"
    assert ("change.sending", OPERATOR) in demo.record(mara.change)


def test_an_unknown_outcome_until_it_is_reconciled(demo: Demo, start: Start, way: type[Way]) -> None:
    pair = OF_WAY[way]
    demo.settle(pair)
    demo.steer("faults", name=f"halden-{pair}-dr", fault="late", verb="POST", seconds=3600)
    before = len(demo.posts(f"halden-{pair}-dr"))
    mara = start()

    mara.sign_in(OPERATOR)
    mara.preview(pair)
    mara.say_why()
    mara.name_it(pair)
    mara.way.press(mara.button(f"Set halden-{pair}-dr to FAILOVER"))
    mara.arrive("Outcome unknown: do not send again")
    change = mara.change
    mara.way.press(mara.page.get_by_role("navigation", name="Breadcrumb").get_by_role("link", name=f"halden-{pair}-dr"))
    mara.arrive(f"halden-{pair}-dr")
    expect(mara.page.locator("#change")).to_contain_text("No other change until it ends")
    mara.way.press(mara.page.locator("#change").get_by_role("link", name="see the change"))
    mara.arrive("Outcome unknown: do not send again")
    demo.steer("act_late")
    mara.arrive(f"Verified: halden-{pair}-dr is FAILOVER")

    assert len(demo.posts(f"halden-{pair}-dr")) == before + 1
    assert [event for event, _ in demo.record(change)] == [
        "change.prepared",
        "change.sending",
        "change.unknown",
        "change.verified",
    ]


def test_approval_by_two_people(demo: Demo, start: Start, way: type[Way]) -> None:
    demo.settle(APPROVED)
    before = len(demo.posts(f"halden-{APPROVED}-dr"))
    mara, jonas = start(), start()

    mara.sign_in(OPERATOR)
    mara.preview(APPROVED)
    mara.say_why()
    mara.name_it(APPROVED)
    mara.way.press(mara.button(f"Ask for approval: halden-{APPROVED}-dr to FAILOVER"))
    mara.arrive("Waiting for a second person")
    assert len(demo.posts(f"halden-{APPROVED}-dr")) == before
    jonas.sign_in(APPROVER)
    jonas.find(APPROVED, "Waiting for approval")
    jonas.way.press(jonas.page.get_by_role("link", name=re.compile(f"^Decide ?: {APPROVED.capitalize()}$")))
    jonas.arrive(re.compile("."))
    jonas.name_it(APPROVED)
    jonas.way.press(jonas.button(f"Approve: set halden-{APPROVED}-dr to FAILOVER"))
    jonas.arrive(f"Verified: halden-{APPROVED}-dr is FAILOVER")
    mara.arrive(f"Verified: halden-{APPROVED}-dr is FAILOVER")

    assert mara.change == jonas.change
    assert len(demo.posts(f"halden-{APPROVED}-dr")) == before + 1
    said = demo.record(mara.change)
    assert ("change.approval_asked", OPERATOR) in said
    assert ("change.approved", APPROVER) in said
    assert said[-1][0] == "change.verified"


def test_a_form_that_grew_stale_while_it_was_read(demo: Demo, start: Start, way: type[Way]) -> None:
    pair = OF_WAY[way]
    demo.settle(pair)
    before = len(demo.posts(f"halden-{pair}-dr"))
    mara = start()

    mara.sign_in(OPERATOR)
    mara.preview(pair)
    mara.say_why()
    mara.name_it(pair)
    demo.steer("write_aside", name=f"halden-{pair}", status=ACTIVE, modified_by=APPROVER)
    mara.way.press(mara.button(f"Set halden-{pair}-dr to FAILOVER"))
    expect(mara.page.locator("#main")).to_contain_text("Nothing was sent: the sides changed while you read")
    mara.arrive(f"Set halden-{pair}-dr to FAILOVER?")
    expect(mara.page.get_by_label("Ticket")).to_have_value(TICKET)
    expect(mara.page.get_by_label("Reason")).to_have_value(REASON)
    expect(mara.page.get_by_label(f"ype halden-{pair}-dr")).to_have_value(f"halden-{pair}-dr")
    assert len(demo.posts(f"halden-{pair}-dr")) == before
    mara.way.tick(mara.page.get_by_role("checkbox"))  # what a split view asks for
    mara.way.press(mara.button(f"Set halden-{pair}-dr to FAILOVER"))
    mara.arrive(f"Verified: halden-{pair}-dr is FAILOVER")

    assert len(demo.posts(f"halden-{pair}-dr")) == before + 1
    assert demo.record(mara.change)[-1][0] == "change.verified"


def test_a_drill_from_its_begin_to_its_debrief(demo: Demo, start: Start, way: type[Way]) -> None:
    mara = start()

    mara.sign_in(OPERATOR)
    mara.way.press(mara.page.get_by_role("link", name="What would fail tonight"))
    mara.page.wait_for_url("**/readiness/")
    mara.way.press(mara.page.get_by_role("contentinfo").get_by_role("link", name="Drills"))
    mara.arrive("Drills")
    mara.way.choose(mara.page.get_by_role("radio", name=re.compile("^Region dark")))
    mara.way.press(mara.button("Begin the drill"))
    mara.arrive(re.compile(r"^Drill \d+: region dark, under way\s*$"))
    drill = mara.change
    name = f"drill-{drill}-us5"
    mara.way.press(mara.page.get_by_role("link", name=f"Drill: open {name}"))
    mara.arrive(name)
    expect(mara.page.locator("#found")).to_contain_text("Primary unreachable", timeout=PATIENCE)
    mara.way.choose(mara.page.get_by_role("radio", name=re.compile("^FAILOVER")))
    mara.way.press(mara.button("Drill: preview change"))
    mara.arrive(f"Set {name} to FAILOVER?")
    mara.say_why()
    mara.way.tick(mara.page.get_by_role("checkbox"))
    mara.way.type(mara.page.get_by_label(f"ype {name}"), name)
    mara.way.press(mara.button(f"Drill: set {name} to FAILOVER"))
    mara.arrive(f"Verified: {name} is FAILOVER")
    said = demo.record(mara.change)
    mara.way.press(mara.page.get_by_role("link", name="What is expected, and what happened"))
    mara.arrive(f"Drill {drill}: region dark, goal reached")
    mara.way.press(mara.button("End the drill"))
    expect(mara.page.locator("#main")).to_contain_text("The drill is ended.")

    assert said[-1][0] == "change.verified"
    assert ("change.sending", OPERATOR) in said
    assert [each for each in demo.ask("requests") if each["organization"].startswith("drill")] == []
