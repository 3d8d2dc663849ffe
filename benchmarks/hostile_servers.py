"""How far beyond its deadline does a call end, for each kind of hostile server?

Run from the repository: `python -m benchmarks.hostile_servers [rounds]`. It prints the worst overrun of each kind in
milliseconds, and exits 1 when one is beyond 100 ms. A server that is left at once, before the deadline, shows 0.
"""

from __future__ import annotations

import ssl
import sys
import time

import trustme

from hamr_portal.domain.organizations import Credentials, Secret, Site
from hamr_portal.hamr_client import HamrClient, HamrError
from tests.hamr_client.servers import HOSTILE, HOSTILE_IN_TLS, HOSTILE_OVER_TLS, Hostile, Server, hostile_by_hand

DEADLINE = 0.5
MOST_OVERRUN = 0.1


def main(rounds: int) -> int:
    """Measure each kind so often, print the worst of each, and give the exit code."""
    authority = trustme.CA()
    server_context, client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("localhost").configure_cert(server_context)
    authority.configure_trust(client_context)
    client = HamrClient(ssl_context=client_context)
    by_hand = [*HOSTILE_IN_TLS, *hostile_by_hand(server_context)]
    kinds = [
        *(("http", hostile, None) for hostile in HOSTILE),
        *(("https", hostile, server_context) for hostile in [*HOSTILE, *HOSTILE_OVER_TLS[:1]]),
        *(("https", hostile, None) for hostile in by_hand),
    ]
    worst = 0.0
    for scheme, hostile, context in kinds:
        overrun = max(measure(client, scheme, hostile, context) for _ in range(rounds))
        worst = max(worst, overrun)
        sys.stdout.write(f"{scheme:5} {hostile.name:32} {overrun * 1000:6.1f} ms\n")
    sys.stdout.write(f"{len(kinds)} kinds, worst {worst * 1000:.1f} ms of {MOST_OVERRUN * 1000:.0f} ms\n")
    return int(worst > MOST_OVERRUN)


def measure(client: HamrClient, scheme: str, hostile: Hostile, context: ssl.SSLContext | None) -> float:
    """Give the seconds by which one call outlasts its deadline."""
    credentials = Credentials(Secret("a" * 32), Secret("b" * 40))
    with Server(hostile.script, context) as server:
        site = Site("benchmark", f"{scheme}://localhost:{server.port}")
        start = time.monotonic()
        try:
            client.write(site, credentials, hostile.body, seconds=DEADLINE)
            raise SystemExit(f"{hostile.name}: got an answer")
        except HamrError:
            return max(0.0, time.monotonic() - start - DEADLINE)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
