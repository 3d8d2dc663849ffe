"""Many processes confirm at the same moment: one POST leaves. See RELIABILITY.md, rows 51 and 52."""

from __future__ import annotations

import logging
from collections import Counter

import pytest

from hamr_portal.domain.audit import Event
from hamr_portal.models import AuditEntry, Change

from .confirm_process import READY
from .installation import Form, Installation, let_go, recorded, settled

logger = logging.getLogger(__name__)

PROCESSES = 24
VERIFIED = ["PREPARED", "SENDING", "ACCEPTED", "VERIFIED"]
REFUSED = {"Busy", "SidesChanged", "Blocked"}
"""What the others may be told; `Blocked` where the database was busy for longer than anybody waits."""


def confirmed_at_once(installation: Installation, forms: list[Form]) -> Counter[str]:
    """Let each form be confirmed by a process of its own, all let go at the same moment, and count what they say."""
    processes = [installation.another_process() for _ in forms]
    for process, form in zip(processes, forms, strict=True):
        process.begin(form, stop_at=READY)
    for process in processes:
        assert process.reached()["name"] == READY
    let_go(processes)
    told = Counter(process.came()["came"] for process in processes)
    logger.info("%d at once: %s", len(processes), dict(told))
    return told


def one_was_sent(installation: Installation) -> bool:
    """Tell whether exactly one POST left, and exactly one was announced."""
    announced = AuditEntry.objects.filter(event=Event.CHANGE_SENDING).count()
    return (len(installation.simulator.posts), announced) == (1, 1)


@pytest.mark.slow
def test_the_same_form_many_times_at_once_is_one_post(installation):
    _, secondary = installation.pair()
    form = installation.form(secondary)

    told = confirmed_at_once(installation, [form] * PROCESSES)

    assert one_was_sent(installation)
    assert told.pop("sent") == 1
    assert told.keys() <= {"AlreadyMoved", "Blocked"}
    assert settled(form.change) == VERIFIED


@pytest.mark.slow
def test_different_previews_of_one_organization_at_once_are_one_post(installation):
    _, secondary = installation.pair()
    forms = installation.forms(PROCESSES, secondary)

    told = confirmed_at_once(installation, forms)

    assert one_was_sent(installation)
    assert told.pop("sent") == 1
    assert told.keys() <= REFUSED
    assert settled(Change.objects.sent().get()) == VERIFIED
    assert sum(recorded(form.change) == ["PREPARED"] for form in forms) == PROCESSES - 1


@pytest.mark.slow
def test_different_previews_of_both_sides_of_a_pair_at_once_are_one_post(installation):
    primary, secondary = installation.pair()
    forms = [*installation.forms(PROCESSES // 2, primary), *installation.forms(PROCESSES // 2, secondary)]

    told = confirmed_at_once(installation, forms)

    assert one_was_sent(installation)
    assert told.pop("sent") == 1
    assert told.keys() <= REFUSED
    assert settled(Change.objects.sent().get()) == VERIFIED
    assert sum(recorded(form.change) == ["PREPARED"] for form in forms) == PROCESSES - 1
