"""Does the time of a sign-in tell whether somebody is here?

Run: python -m benchmarks.sign_in [ROUNDS]. Tries a wrong password at each kind of account in turn, with the portal's
own password hash and with failures counted in the database, and prints the median of each and its ratio to a good
account: 0.90 to 1.10 is wanted. The last line is the right password, which its answer tells anyway.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from random import shuffle
from statistics import median

PASSWORD = "correct horse battery"  # noqa: S105 - of nobody
KINDS = ("good", "unknown", "disabled", "unusable", "right")


def main() -> None:
    """Set up an installation of its own, try to sign in, and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(
            DJANGO_SETTINGS_MODULE="hamr_portal.settings",
            ENV_FILE="",
            SECRET_KEY="benchmarks",  # noqa: S106
            HTTPS="false",
            DATABASE_URL=f"sqlite:///{folder}/portal.sqlite3",
            KEY_RING_FILE=f"{folder}/keyring",
            ANCHOR_FILE=f"{folder}/anchors.jsonl",
        )
        import django

        django.setup()
        report(measure(Path(folder), rounds))


def measure(folder: Path, rounds: int) -> dict[str, list[float]]:
    """Give the seconds of each try, by kind."""
    from django.core.management import call_command

    from hamr_portal.crypto import create_ring

    logging.getLogger("hamr_portal.heads").disabled = True
    call_command("migrate", verbosity=0)
    create_ring(folder / "keyring")
    people()
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(-3, rounds):
        turn = list(KINDS)
        shuffle(turn)
        for kind in turn:
            took = try_in(kind, f"198.51.{number % 250}.{KINDS.index(kind)}")
            if number >= 0:  # the first few only warm up
                seconds[kind].append(took)
    return seconds


def people() -> None:
    """Add somebody of each kind but the unknown."""
    from django.utils import timezone

    from hamr_portal.domain.people import Role
    from hamr_portal.models import Person

    for kind in ("good", "disabled", "unusable", "right"):
        person = Person(email=f"{kind}@halden.example", role=Role.VIEWER, added_at=timezone.now())
        person.is_active = kind != "disabled"
        if kind == "unusable":
            person.set_unusable_password()
        else:
            person.set_password(PASSWORD)
        person.save()


def try_in(kind: str, address: str) -> float:
    """Try to sign in once, from an address that has not tried before, and give the seconds that it took."""
    from django.test import Client

    client = Client(REMOTE_ADDR=address, SERVER_NAME="localhost")
    typed = {"login": f"{kind}@halden.example", "password": PASSWORD if kind == "right" else "wrong"}
    begun = time.perf_counter()
    response = client.post("/accounts/login/", typed)
    took = time.perf_counter() - begun
    assert response.status_code == (302 if kind == "right" else 200), (kind, response.status_code)  # noqa: S101
    return took


def report(seconds: dict[str, list[float]]) -> None:
    """Print the medians, and how they relate to that of a good account."""
    good = median(seconds["good"])
    for kind, each in seconds.items():
        print(f"{kind:9} {median(each) * 1000:7.1f} ms  {median(each) / good:5.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
