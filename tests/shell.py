"""Where are the programs that a person runs who has the offline pack in hand? CI has them all."""

from __future__ import annotations

import shutil

import pytest

_MISSING = [name for name in ("bash", "curl", "shasum") if shutil.which(name) is None]

by_a_shell = pytest.mark.skipif(bool(_MISSING), reason=f"not on this machine: {', '.join(_MISSING)}")
