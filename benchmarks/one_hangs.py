"""How long until nine organizations' answers are on the dashboard while the tenth hangs?

Run: python -m benchmarks.one_hangs. Prints, for each of the nine, the time from its answer to its being stored, and how
long the hanging one held its own thread.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path

DEADLINE = 4.0


def main() -> None:
    """Set up an installation of its own, hang one organization, sweep, and print."""
    from hamr_portal.simulator import Simulator

    with tempfile.TemporaryDirectory() as folder, Simulator() as simulator:
        os.environ.update(
            DJANGO_SETTINGS_MODULE="hamr_portal.settings",
            ENV_FILE="",
            SECRET_KEY="benchmarks",  # noqa: S106
            HTTPS="false",
            DATABASE_URL=f"sqlite:///{folder}/portal.sqlite3",
            KEY_RING_FILE=f"{folder}/keyring",
            HAMR_SITES=simulator.hamr_sites,
            HAMR_DEADLINE=str(DEADLINE),
        )
        import django

        django.setup()
        measure(simulator, Path(folder))


def measure(simulator: object, folder: Path) -> None:
    """Print the delays of one sweep."""
    from django.core.management import call_command
    from django.utils import timezone

    from hamr_portal.domain.audit import Actor
    from hamr_portal.domain.organizations import Credentials, Secret
    from hamr_portal.models import Snapshot
    from hamr_portal.services import keys, organizations, overview, workers

    call_command("migrate", verbosity=0)
    keys.init_ring()
    by = Actor(kind="command", name="benchmark")
    for number in range(5):
        names = (f"bench-{number}", f"bench-{number}-dr")
        for name, site in zip(names, ("us1", "us5"), strict=True):
            simulator.add_organization(name, site)  # type: ignore[attr-defined]
        simulator.add_pair(*names)  # type: ignore[attr-defined]
    for made in simulator.organizations:  # type: ignore[attr-defined]
        credentials = Credentials(Secret(made.api_key), Secret(made.application_key))
        organizations.add(organizations.Draft(made.name, made.site, credentials), by=by)
    simulator.set_fault("bench-0", "hang")  # type: ignore[attr-defined]
    Snapshot.objects.update(due_at=timezone.now())
    began = time.perf_counter()
    thread = threading.Thread(target=lambda: workers.run(threading.Event(), once=True))
    thread.start()
    seen: dict[str, float] = {}
    while thread.is_alive():
        everything = overview.overview(now=timezone.now())
        for view in everything.views:
            if view.is_current and view.organization.name not in seen:
                seen[view.organization.name] = time.perf_counter() - began
        time.sleep(0.01)
    whole = time.perf_counter() - began
    write = sys.stdout.write
    for name, seconds in sorted(seen.items(), key=lambda item: item[1]):
        write(f"{name:<12} fresh on the dashboard after {seconds * 1000:6.0f} ms\n")
    write(f"the nine: at most {max(seen.values()) * 1000:.0f} ms\n")
    write(f"the sweep with the hanging one: {whole:.2f} s, its deadline: {DEADLINE} s\n")


if __name__ == "__main__":
    main()
