"""The demo as a newcomer starts it: a process of its own, which leaves nothing and touches nothing."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

BASE_DIR = Path(__file__).resolve().parent.parent.parent.parent


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine with an installation, none of which is the demo's."""
    (tmp_path / "installation.env").write_text(f"KEY_RING_FILE={tmp_path}/installation/ring\n")
    (tmp_path / "tmp").mkdir()
    return {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(tmp_path / "tmp"),
        "ENV_FILE": str(tmp_path / "installation.env"),
        "DATABASE_URL": f"sqlite:///{tmp_path}/installation/portal.sqlite3",
        "SECRET_KEY": "the-installation's",
        "DEBUG": "nonsense",
        "ALLOWED_HOSTS": "*",
        "HTTPS": "true",
        "HAMR_SITES": "nonsense",
        "HAMR_POLL_INTERVAL": "nonsense",
        "TRUSTED_PROXIES": "nonsense",
    }


def demo(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "demo", *words],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,  # Whoever holds its output open after its end would hold this test too.
    )


def processes_with(text: str) -> list[str]:
    """Give the command lines of running processes that hold a text."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(file.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # It ended meanwhile.
            continue
    return [line for line in lines if text in line]


def is_untouched(tmp_path: Path) -> bool:
    """Tell whether nothing was written but into the demo's own folder, and that is gone."""
    return sorted(each.name for each in tmp_path.rglob("*")) == ["installation.env", "tmp"]


@pytest.mark.slow
def test_once_shows_the_company_and_leaves_nothing_behind(tmp_path, environment):
    ended = demo(environment, "--once")

    assert (ended.returncode, ended.stderr) == (0, "")
    for word in (
        "need action",
        "Split view",
        "Failover in progress",
        "Recovery in progress",
        "Failed over",
        "Onboarding",
        "No connection",
        "Unpaired",
        "In sync",
    ):
        assert word in ended.stdout
    assert ended.stdout.count("halden-") >= 33
    assert is_untouched(tmp_path)
    assert processes_with(str(tmp_path)) == []


def test_a_wrong_word_is_told_and_leaves_nothing_behind(tmp_path, environment):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        lines = [("--port", str(port)), ("--port", "99999"), ("--port", "eight"), ("--once", "--bogus"), ("--help",)]
        with ThreadPoolExecutor(len(lines)) as pool:
            on_taken, no_port, no_number, bogus, helped = pool.map(lambda words: demo(environment, *words), lines)

    assert on_taken.returncode == 1
    assert on_taken.stderr == f"Port {port} is taken. Choose another: manage.py demo --port {port + 1}\n"
    assert no_port.returncode == 1
    assert no_port.stderr == "99999 is no port. Choose one from 1 to 65535: manage.py demo --port 8000\n"
    assert no_number.returncode == 2
    assert "invalid int value: 'eight'" in no_number.stderr
    assert bogus.returncode == 2
    assert "unrecognized arguments: --bogus" in bogus.stderr
    assert helped.returncode == 0
    assert "--once" in helped.stdout
    assert not any("Traceback" in each.stderr for each in (on_taken, no_port, no_number, bogus, helped))
    assert is_untouched(tmp_path)
    assert processes_with(str(tmp_path)) == []


@pytest.mark.slow
def test_the_demo_serves_its_pages_until_it_is_asked_to_end(tmp_path, environment):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder = BASE_DIR / "var" / "demo" / str(port)

    with subprocess.Popen(
        [sys.executable, "manage.py", "demo", "--port", str(port)],
        cwd=BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = ""
        for line in process.stdout:
            told += line
            if "Ctrl-C" in line:
                break
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/accounts/login/", timeout=10) as page:
            status = page.status
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    try:
        assert f"http://127.0.0.1:{port}/" in told
        assert re.search(r"with the password {2}\S{12}\n", told)
        assert status == 200
        assert process.returncode == 0
        assert processes_with(str(folder)) == []
        assert processes_with(f"127.0.0.1:{port}") == []
        assert is_untouched(tmp_path)
    finally:
        shutil.rmtree(folder)
