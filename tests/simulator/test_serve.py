"""The simulator as a process of its own."""

import contextlib
import json
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hamr_portal.simulator import serve

from .client import fetch

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def running(*words):
    """A simulator, and the lines that it writes at its start."""
    command = [sys.executable, "-m", "hamr_portal.simulator", *words]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, _told(process.stdout)
        finally:
            process.terminate()


def _told(output):
    lines = (output.readline().strip().partition("=") for _ in range(3))
    return {name: value for name, _, value in lines}


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_process_tells_where_it_is_and_ends_when_asked(tmp_path, end):
    path = tmp_path / "organizations.json"
    path.write_text("old")

    with running("--organizations", str(path), "--faults", "halden-ads-dr:GET:429", "--begin") as (process, told):
        state = fetch(told["CONTROL"], "/state").json
        process.send_signal(end)

        assert process.wait(20) == 0
    assert told["HAMR_SITES"] == ",".join(f"{site}={url}" for site, url in state["sites"].items())
    assert told["ORGANIZATIONS"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {each["name"] for each in json.loads(path.read_text())} < {each["name"] for each in state["organizations"]}
    assert state["scene"] == {"elapsed": 0}


@pytest.mark.parametrize("words", ["halden-ads-dr:429x", "halden-ads-dr:PUT:429", "nobody:429", "x"])
def test_wrong_faults_end_the_process_with_what_is_possible(words):
    command = [sys.executable, "-m", "hamr_portal.simulator", "--faults", words]

    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20)

    assert ended.returncode == 2
    assert "there are:" in ended.stderr or "NAME:VERB:FAULT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_simulator_imports_nothing_but_itself_and_the_standard_library():
    code = (
        "import sys; before = set(sys.modules); import hamr_portal.simulator.__main__;"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - sys.stdlib_module_names);"
        "print(*sorted(name for name in sys.modules if name.startswith('hamr_portal.')))"
    )

    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    foreign, own = ended.stdout.splitlines()
    assert foreign.split() == ["hamr_portal"]
    assert {name.split(".")[1] for name in own.split()} == {"simulator"}


def test_organizations_are_written_where_no_file_is_named():
    written = []
    before = set(threading.enumerate()), signal.getsignal(signal.SIGTERM)

    def write(line):
        written.append(line)
        if line.startswith("ORGANIZATIONS="):
            signal.raise_signal(signal.SIGTERM)

    serve(spelling="PascalCase", write=write)

    saved = json.loads(written[2].removeprefix("ORGANIZATIONS="))
    assert saved[0]["name"] == "halden-checkout"
    assert (set(threading.enumerate()), signal.getsignal(signal.SIGTERM)) == before
