"""Which cases does the plain command leave to CI? Each row keeps at least one that it runs."""

from __future__ import annotations

from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """Give a case of a parametrized test that only CI runs."""
    return pytest.param(*values, marks=pytest.mark.slow)
