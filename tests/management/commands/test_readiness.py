"""The board in a terminal: the same words, and an exit code for a check."""

from __future__ import annotations

import pytest
from django.utils import timezone

from hamr_portal.domain.people import Role
from hamr_portal.models import Snapshot, Worker
from hamr_portal.services import integrity
from tests import factories
from tests.services import practising

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _a_worker() -> None:
    Worker.objects.create(name="here:1", started_at=timezone.now(), seen_at=timezone.now())


def test_nothing_that_fails_is_exit_0(run):
    factories.pair()
    practising.practised()
    integrity.verify_and_keep(by=factories.WORKER)

    ended = run("readiness")

    assert ended.exit == 0
    assert "Drills: A drill reached its goal 0 s ago." in ended.out
    assert "Nothing would fail tonight, as far as is known." in ended.out
    assert "Reads: 2 of 2 organizations read within 2 min." in ended.out


def test_what_is_only_due_is_exit_0_too(run):
    factories.person(Role.OPERATOR)

    ended = run("readiness")

    assert ended.exit == 0
    assert "Due: 1" in ended.out
    assert "operator@halden.example, operator, signs in with a password alone. Next: ask for" in ended.out


def test_something_that_fails_is_exit_10_with_its_next_step(run):
    primary, _ = factories.pair()
    Snapshot.objects.filter(pk=primary.pk).update(outcome="KEY_REFUSED", attempt_failed=True)

    ended = run("readiness")

    assert ended.exit == 10
    assert "Would fail tonight: 1" in ended.out
    assert "Key refused: Site us1 refuses the keys of halden-checkout. Next: replace the keys." in ended.out
