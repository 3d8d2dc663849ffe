"""Where does the demo live? In a folder and an environment of its own, so that it never touches an installation's."""

from __future__ import annotations

import argparse
import atexit
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent.parent
DEMOS = BASE_DIR / "var" / "demo"

_INSTALLATION = [
    "SECRET_KEY",
    "DEBUG",
    "ALLOWED_HOSTS",
    "CSRF_TRUSTED_ORIGINS",
    "HTTPS",
    "DATABASE_URL",
    "KEY_RING_FILE",
    "SPOOL_FILE",
    "ANCHOR_FILE",
    "HAMR_SITES",
    "DRILL_PORT",
    "HAMR_POLL_INTERVAL",
    "HAMR_CONNECT_TIMEOUT",
    "HAMR_DEADLINE",
    "HAMR_SETTLE_SECONDS",
    "HAMR_SETTLE_READS",
    "HAMR_SWEEP_THREADS",
    "HAMR_PROXY",
    "HAMR_MODIFIED_BY",
    "PREVIEW_SECONDS",
    "STEP_UP_SECONDS",
    "SESSION_IDLE_SECONDS",
    "SESSION_ABSOLUTE_SECONDS",
    "TICKET_PATTERN",
    "OIDC_ISSUER",
    "OIDC_CLIENT_ID",
    "OIDC_CLIENT_SECRET",
    "OIDC_NAME",
    "OIDC_GROUPS_CLAIM",
    "OIDC_ROLES",
    "TRUSTED_PROXIES",
    "ENVIRONMENT_NAME",
    "DEFAULT_FROM_EMAIL",
    "EMAIL_URL",
    "NOTIFY_URLS",
]
"""Settings of the machine that must not leak into a demo: it would write to, or notify, the real thing."""


class Surroundings:
    """One demo's folder, its simulator, and where the simulator is steered."""

    def __init__(self, folder: Path, *, keep: bool) -> None:
        self.folder = folder
        self.keep = keep
        self.organizations = folder / "organizations.json"
        self.control = ""
        self.simulator: subprocess.Popen[str] | None = None

    def start_simulator(self) -> str:
        """Start it and give its sites as `HAMR_SITES` has them."""
        command = [sys.executable, "-m", "hamr_portal.simulator", "--organizations", str(self.organizations)]
        self.simulator = subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True)  # noqa: S603
        told = {}
        for line in self.simulator.stdout or ():
            name, _, value = line.strip().partition("=")
            told[name] = value
            if name == "ORGANIZATIONS":
                break
        else:
            sys.exit("The simulator ended before it told where it is; what it said stands above.")
        self.control = told["CONTROL"]
        return told["HAMR_SITES"]

    def end(self) -> None:
        """Stop the simulator, and leave nothing behind that was for once. May be called again."""
        if self.simulator is not None:
            self.simulator.terminate()
            try:
                self.simulator.wait(10)
            except subprocess.TimeoutExpired:
                self.simulator.kill()
                self.simulator.wait()
            if self.simulator.stdout:
                self.simulator.stdout.close()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


surroundings: Surroundings | None = None


def enter() -> None:
    """Make the demo's folder and environment, and start its simulator, before Django reads any setting."""
    global surroundings
    options = _options()
    if options.help:
        # The help text needs settings, and no more.
        _replace_environment({"SECRET_KEY": secrets.token_urlsafe(40), "DATABASE_URL": "sqlite://:memory:"}, "")
        return
    if not 0 < options.port < 65_536:
        sys.exit(f"{options.port} is no port. Choose one from 1 to 65535: manage.py demo --port 8000")
    if not options.once and not _is_free(options.port):
        sys.exit(f"Port {options.port} is taken. Choose another: manage.py demo --port {options.port + 1}")
    folder = Path(tempfile.mkdtemp(prefix="hamr-demo-")) if options.once else _fresh(DEMOS / str(options.port))
    surroundings = Surroundings(folder, keep=not options.once)
    # Before and beside the command: a wrong word on the line, or a signal, must leave no simulator behind.
    atexit.register(surroundings.end)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sites = surroundings.start_simulator()
    env_file = folder / "env"
    env_file.touch(0o600)
    env_file.write_text("".join(f"{name}={value}\n" for name, value in _settings(folder, sites).items()))
    _replace_environment({}, str(env_file))


def _replace_environment(settings: dict[str, str], env_file: str) -> None:
    for name in _INSTALLATION:
        os.environ.pop(name, None)
    os.environ.update(settings, ENV_FILE=env_file)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("-h", "--help", action="store_true")
    return parser.parse_known_args(sys.argv[2:])[0]


def _settings(folder: Path, sites: str) -> dict[str, str]:
    return {
        "SECRET_KEY": secrets.token_urlsafe(40),
        "ENVIRONMENT_NAME": "demo",
        "HTTPS": "false",
        "DATABASE_URL": f"sqlite:///{folder}/portal.sqlite3",
        "KEY_RING_FILE": str(folder / "keyring"),
        "SPOOL_FILE": str(folder / "spool.jsonl"),
        "ANCHOR_FILE": str(folder / "anchors.jsonl"),
        "HAMR_SITES": sites,
        "DRILL_PORT": str(_two_free_ports()),
        # Faster than in earnest, so that a newcomer need not wait to see a region go dark.
        "HAMR_POLL_INTERVAL": "5",
        "HAMR_CONNECT_TIMEOUT": "1",
        "HAMR_DEADLINE": "3",
    }


def _fresh(folder: Path) -> Path:
    """Give an empty folder; what lies there from an earlier demo goes."""
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, mode=0o700)
    return folder


def _two_free_ports() -> int:
    """Give a port that is free, and so is the next."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port < 65_535 and _is_free(port + 1):
                return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
