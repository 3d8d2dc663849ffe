"""How does the dashboard look in a terminal?"""

from __future__ import annotations

from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from hamr_portal.domain.findings import Group
from hamr_portal.services.overview import Overview, Row, SideRow
from hamr_portal.services.pulse import Pulse, WorkerState
from hamr_portal.templatetags._findings import clocks
from hamr_portal.templatetags._looks import read_words
from hamr_portal.templatetags._time import span

_STYLES = {
    Group.NEED_ACTION: "bold red",
    Group.IN_PROGRESS: "bold magenta",
    Group.FAILED_OVER: "bold magenta",
    Group.DEGRADED: "bold yellow",
    Group.SETTING_UP: "bold",
    Group.IN_SYNC: "bold green",
}


def table(everything: Overview, worker: WorkerState) -> RenderableType:
    """Give the pairs as a table, the counts above it, and the worker's state below."""
    rows = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="dim", show_lines=False)
    for title in ("Pair", "Primary side", "", "Secondary side"):
        rows.add_column(title, overflow="fold")
    for row in everything.shown:
        primary, secondary = _side(row, row.primary, everything.at), _side(row, row.secondary, everything.at)
        rows.add_row(_pair(row, everything.at), primary, f"\n{row.judgement.join.value}", secondary)
    counts = " · ".join(f"{count} {group.value.lower()}" for group, count in everything.counts.items() if count)
    heading = Text(counts or "No organizations are saved.", style="bold")
    said = _worker(everything, worker)
    return Lines(heading, rows, said) if worker.pulse is Pulse.LIVE else Lines(said, heading, rows)


def _pair(row: Row, now: datetime) -> Text:
    text = Text(row.name, style="bold").append("\n")
    text.append(row.verdict.label, style=_STYLES[row.verdict.group])
    if row.judgement.since is not None:
        text.append(f" for {span(now - row.judgement.since)}", style="dim")
    if row.change is not None:
        change = row.change
        text.append(f"\nchange {change.pk}: {change.organization.name} to {change.target.name}")
        text.append(f"\nby {change.author.email}", style="dim")
    for clock in clocks(row):
        where, at_least = f" on {clock.site}" if clock.site else "", "" if clock.is_known else "at least "
        text.append(f"\nin {clock.status}{where} for {at_least}{span(now - clock.since)}")
    if row.driven is not None:
        offered = f", offered to {row.driven.offered_to.email}" if row.driven.offered_to is not None else ""
        text.append(f"\ndriver: {row.driven.driven_by.email}{offered}", style="dim")
    return text


def _side(row: Row, side: SideRow | None, now: datetime) -> Text:
    if side is None:
        return Text("-", style="dim")
    text = Text(f"{side.organization.site} {side.organization.name}\n")
    text.append(_status(side), style="bold" if side.is_current else "dim")
    if side.side.contradicts_column:
        text.append(" says primary" if side.side.is_primary else " says secondary", style="red")
    text.append(f" {_age(side, now)}", style="dim")
    if not side.side.answers and side.side.outcome is not None:
        text.append(f"\n{last_read(side)}", style="red")
    return text


def _status(side: SideRow) -> str:
    if side.side.has_connection is None:
        return "not known"
    name = (side.status_name or "") if side.side.has_connection else "no connection"
    return name if side.is_current else f"{name} (last known)"


def _age(side: SideRow, now: datetime) -> str:
    if side.side.answered_at is None:
        return ""
    return f"{span(now - side.side.answered_at)} ago"


def last_read(side: SideRow) -> str:
    """Give what came of the last read, and how often in a row."""
    words = read_words(side.side.outcome or "", side.snapshot.attempt_status)
    return f"{words} × {side.side.repeats}" if side.side.repeats > 1 else words


def _worker(everything: Overview, worker: WorkerState) -> Text:
    seen = f", last ran {span(everything.at - worker.seen_at)} ago" if worker.seen_at else ", has never run"
    line = f"Poller: {worker.pulse.value}{seen}. {everything.fresh} of {len(everything.views)} views fresh."
    if worker.pulse is Pulse.STOPPED:
        line += " Nothing reads by itself: start manage.py run_worker."
    return Text(line, style="default" if worker.pulse is Pulse.LIVE else "bold red")
