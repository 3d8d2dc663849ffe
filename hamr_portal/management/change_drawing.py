"""How does the life of a change look on paper? Drawn from the tables of `domain.changes` alone, the same each time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hamr_portal.domain.changes import (
    APPROVAL_LASTS,
    MAY_STILL_LAND,
    OFFERED,
    OPEN,
    UNSETTLED,
    WATCHED_FOR,
    ChangeStatus,
    Move,
    Step,
    skipped,
    step,
)
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.templatetags._outcomes import WORDS

_INTRODUCTION = """\
# The life of a change

Drawn by `manage.py draw_changes` from the tables in `hamr_portal/domain/changes.py`. Change those, then draw again.

A change is one preview of one status for one organization by one person, and what became of it. Confirmed, it is at
most one POST. One function moves it: `move` in `hamr_portal/services/moves.py` writes the row, its log and the audit
entry in one transaction."""


def drawing() -> str:
    """Give the whole page as Markdown."""
    parts = (
        _INTRODUCTION,
        "## Drawn",
        _fenced("mermaid", _diagram()),
        "## Every move",
        _table(("From", "What happens", "To", "Move", "On the record as"), _moves()),
        "## Every status",
        _table(("Status", "In words", "What holds"), _statuses()),
        "## Which step between two statuses is usual",
        _STEPS,
        _table(("From \\ to", *(status.name for status in OFFERED)), _steps()),
    )
    return "\n\n".join(parts) + "\n"


def _diagram() -> Iterator[str]:
    yield "stateDiagram-v2"
    yield "    [*] --> PREPARED: previewed"
    for move in Move:
        for status in _leaves(move):
            yield f"    {status} --> {move.reaches}: {move.happens}"
    for status in ChangeStatus:
        if not any(status in move.leaves for move in Move):
            yield f"    {status} --> [*]"


def _moves() -> Iterator[tuple[str, ...]]:
    for move in Move:
        leaves = ", ".join(_leaves(move))
        yield leaves, move.happens, move.reaches, f"`{move.name}`", f"`{move.event}`"


def _leaves(move: Move) -> list[ChangeStatus]:
    # A set has no order of its own, and the page must be the same each time.
    return [status for status in ChangeStatus if status in move.leaves]


def _statuses() -> Iterator[tuple[str, ...]]:
    hours, minutes = WATCHED_FOR.total_seconds() / 3600, APPROVAL_LASTS.total_seconds() / 60
    for status in ChangeStatus:
        holds = []
        if status in OPEN:
            holds.append("holds its pair: no other change may be confirmed there")
        if status is ChangeStatus.AWAITING_APPROVAL:
            holds.append(f"lasts {minutes:g} minutes at most")
        if status in UNSETTLED:
            holds.append("is read until it is known")
        if status in MAY_STILL_LAND:
            holds.append(f"is watched for {hours:g} hours after sending: a request can land late")
        yield status, WORDS[status], "; ".join(holds)


_STEPS = """\
The vendor publishes no rules, so that no step is forbidden; what is not usual needs the override tick. UNSPECIFIED is
never asked for. From a status that is not documented, each step is unusual."""


def _steps() -> Iterator[tuple[str, ...]]:
    for before in HamrStatus:
        yield before.name, *(_step(before, after) for after in OFFERED)


def _step(before: HamrStatus, after: HamrStatus) -> str:
    between = skipped(before, after)
    words = {
        Step.NONE: "already so",
        Step.USUAL: "**usual**",
        Step.SKIPPING: f"skips {between.name if between is not None else ''}",
        Step.UNUSUAL: "unusual",
    }
    return words[step(before, after)]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _fenced(language: str, lines: Iterable[str]) -> str:
    return "\n".join((f"```{language}", *lines, "```"))
