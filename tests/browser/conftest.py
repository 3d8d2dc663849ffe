"""Browser fixtures: Playwright for Python drives the system's Chromium; nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Condition
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

CHROMIUM = os.environ.get("E2E_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")

FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@pytest.fixture(scope="package")
def browser(django_db_setup: None) -> Iterator[Browser]:
    """One browser for this folder's tests.

    Playwright's sync API keeps an event loop running in this thread, so Django's async guard would refuse every query
    of the test itself; the guard comes back when the browser closes.
    """
    if CHROMIUM is None:
        message = "no Chromium on this machine (Debian: apt-get install chromium)"
        if os.environ.get("E2E_REQUIRED"):
            pytest.fail(message)
        pytest.skip(message)
    # Chromium refuses its sandbox to root; only then is it switched off.
    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, headless=True, args=flags)
        yield browser
        browser.close()


def _is_error(message: ConsoleMessage) -> bool:
    # Chromium remarks each answer that is no success; a form that comes back with its errors is meant to be none.
    return message.type == "error" and "responded with a status of 422" not in message.text


@pytest.fixture
def wait_until_served() -> Iterator[Callable[[], None]]:
    """Wait until no request is under way any more: its tables are emptied next, and SQLite in memory does not wait."""
    under_way, ended = 0, Condition()

    def count(by: int) -> None:
        nonlocal under_way
        with ended:
            under_way += by
            ended.notify_all()

    def start(**_: object) -> None:
        count(+1)

    def finish(**_: object) -> None:
        count(-1)

    def wait() -> None:
        with ended:
            assert ended.wait_for(lambda: under_way <= 0, timeout=30)

    request_started.connect(start)
    request_finished.connect(finish)
    yield wait
    request_started.disconnect(start)
    request_finished.disconnect(finish)


@pytest.fixture
def page(
    browser: Browser, live_server: Any, request: pytest.FixtureRequest, wait_until_served: Callable[[], None]
) -> Iterator[Page]:
    """A page on the running portal; any error in its console fails the test, unless it is to lose contact."""
    context = browser.new_context(base_url=live_server.url, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if _is_error(message) else None)
    yield page
    shots = os.environ.get("E2E_SCREENSHOTS")
    if shots:
        Path(shots).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{shots}/{request.node.name}.png", full_page=True)
    context.close()
    wait_until_served()
    if request.node.get_closest_marker("loses_contact") is None:
        assert errors == []
