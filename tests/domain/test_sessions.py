from __future__ import annotations

import pytest

from hamr_portal.domain.sessions import Over, over

NOON = 1_773_576_000.0
MIN, H = 60.0, 3600.0


@pytest.mark.parametrize(
    ("began", "seen", "why"),
    [
        (0, 0, None),
        (11.9 * H, 0, None),
        (1 * H, 29.9 * MIN, None),
        (1 * H, 30 * MIN, Over.IDLE),
        (12 * H, 0, Over.OLD),
        (13 * H, 31 * MIN, Over.OLD),
        # The clock was set back: nobody is thrown out, and the session ends by it nevertheless.
        (-5 * MIN, -5 * MIN, None),
    ],
)
def test_a_session_is_over_when_nothing_was_done_for_long_or_when_it_is_old(
    began: float, seen: float, why: Over | None
) -> None:
    found = over(NOON - began, NOON - seen, now=NOON, idle=30 * MIN, absolute=12 * H)

    assert found is why


@pytest.mark.parametrize(("began", "seen"), [(None, NOON), (NOON, None), ("today", NOON), (NOON, [])])
def test_a_session_that_does_not_say_when_it_began_is_over(began: object, seen: object) -> None:
    assert over(began, seen, now=NOON, idle=30 * MIN, absolute=12 * H) is Over.OLD
