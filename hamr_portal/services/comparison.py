"""How do the two views of a pair compare, respect by respect?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from hamr_portal.domain.findings import Finding

from .overview import Row


class Agreement(Enum):
    """How two views compare in one respect: the words people read."""

    AGREE = "Agree"
    DIFFER = "Differ"
    BOTH_PRIMARY = "Both primary"
    NEITHER_PRIMARY = "Neither primary"
    NOT_KNOWN = "Not known"


@dataclass(frozen=True)
class Comparison:
    """How the two views of a pair compare, in each respect; `last_known_at`: when both had answered, if not now."""

    status: Agreement
    role: Agreement
    target: Agreement
    modified: Agreement
    last_known_at: datetime | None

    @property
    def known(self) -> bool:
        """Tell whether both views are of the present, so that comparing them means something."""
        return self.status is not Agreement.NOT_KNOWN


def compare(row: Row) -> Comparison | None:
    """Compare the two views of a pair; None where there is one side only."""
    if row.primary is None or row.secondary is None:
        return None
    sides = row.sides
    if not all(side.is_current and side.side.has_connection for side in sides):
        answered = [side.side.answered_at for side in sides if side.side.answered_at is not None]
        unknown = Agreement.NOT_KNOWN
        return Comparison(unknown, unknown, unknown, unknown, min(answered) if len(answered) == 2 else None)
    found = row.judgement.has
    role = Agreement.BOTH_PRIMARY if found(Finding.BOTH_PRIMARY) else Agreement.AGREE
    return Comparison(
        status=Agreement.DIFFER if found(Finding.STATUSES_DIFFER) else Agreement.AGREE,
        role=Agreement.NEITHER_PRIMARY if found(Finding.NEITHER_PRIMARY) else role,
        target=Agreement.DIFFER if found(Finding.TARGETS_DIFFER) else Agreement.AGREE,
        modified=Agreement.DIFFER if found(Finding.MODIFIED_DIFFERS) else Agreement.AGREE,
        last_known_at=None,
    )
