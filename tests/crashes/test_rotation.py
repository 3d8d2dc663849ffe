"""A rotation of the key ring is killed at each point: every organization stays readable, and the next run ends it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hamr_portal.models import AuditEntry, Organization
from hamr_portal.services import integrity, keys, rotation
from tests import factories

from .installation import BASE_DIR, Installation

POINTS = 20
"""Before and after: three steps for each of two rings on the disk, and the commits of four entries.

After the last one nothing is left to do.
"""


def rotated(installation: Installation, point: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.crashes.rotation_process", str(point)]
    return subprocess.run(command, cwd=BASE_DIR, env=installation.environment, capture_output=True, text=True)


def readable() -> list[bool]:
    ring = keys.ring()
    return [keys.open_for(each, ring) == factories.credentials() for each in Organization.objects.all()]


@pytest.mark.parametrize(
    "point", [3, *(pytest.param(point, marks=pytest.mark.slow) for point in range(POINTS - 1) if point != 3)]
)
def test_killed_at_a_point_a_rotation_leaves_every_key_readable_and_is_finished_by_the_next(
    point: int, installation: Installation
) -> None:
    factories.organization("one")
    factories.organization("two")
    old = keys.ring()

    killed = rotated(installation, point)

    assert killed.returncode == -9
    assert "Traceback" not in killed.stderr
    assert readable() == [True, True]
    assert all(keys.open_for(each, old) for each in Organization.objects.all())
    came = rotation.rotate(by=factories.ADMIN)
    assert (came.done, came.rows, readable()) == (2, 2, [True, True])
    assert {sealed.key_id for row in keys.sealed_rows() for sealed in row.texts.values()} == {keys.ring().primary}
    assert integrity.verify().broken is None
    assert AuditEntry.objects.filter(event="keys.rotated", outcome="SEALED").count() == 2


@pytest.mark.slow
def test_these_are_all_points(installation: Installation) -> None:
    factories.organization("one")
    factories.organization("two")

    ended = rotated(installation, -1)

    assert ended.returncode == 0
    assert ended.stdout.splitlines()[-1] == f"points {POINTS}"
