from .audit import AppendOnly, AuditEntry, LogStanding
from .changes import Change, LogLine, SkipNotice
from .connections import Observation, Snapshot
from .organizations import Organization
from .pairs import Pair
from .people import Person, PersonNotice
from .tallies import Tally
from .tokens import ApiToken
from .workers import Worker

__all__ = [
    "ApiToken",
    "AppendOnly",
    "AuditEntry",
    "Change",
    "LogLine",
    "LogStanding",
    "Observation",
    "Organization",
    "Pair",
    "Person",
    "PersonNotice",
    "SkipNotice",
    "Snapshot",
    "Tally",
    "Worker",
]
