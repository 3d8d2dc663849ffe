from .audit import AppendOnly, AuditEntry, LogStanding
from .changes import Change, LogLine, SkipNotice
from .connections import Lapse, Observation, Snapshot
from .drills import Drill
from .freezes import Freeze
from .news import Delivery, News, Watched
from .organizations import Organization
from .pairs import Pair
from .people import Person, PersonNotice
from .run_sheets import RunSheet, SheetCopy, Tick
from .tallies import Tally
from .tokens import ApiToken
from .workers import Worker

__all__ = [
    "ApiToken",
    "AppendOnly",
    "AuditEntry",
    "Change",
    "Delivery",
    "Drill",
    "Freeze",
    "Lapse",
    "LogLine",
    "LogStanding",
    "News",
    "Observation",
    "Organization",
    "Pair",
    "Person",
    "PersonNotice",
    "RunSheet",
    "SheetCopy",
    "SkipNotice",
    "Snapshot",
    "Tally",
    "Tick",
    "Watched",
    "Worker",
]
