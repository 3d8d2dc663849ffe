from __future__ import annotations

import pytest

from hamr_portal.domain.drivers import LONGEST_REASON, Problem, wrong_with


@pytest.mark.parametrize(
    ("reason", "problem"),
    [
        ("mara does not answer", None),
        (" ", Problem.REASON_MISSING),
        ("0123456789abcdef" * 2, Problem.KEY_IN_REASON),
        ("x" * LONGEST_REASON, None),
        ("x" * (LONGEST_REASON + 1), Problem.REASON_TOO_LONG),
    ],
)
def test_to_take_over_needs_a_reason_in_a_few_words(reason: str, problem: Problem | None) -> None:
    assert wrong_with(reason) is problem
