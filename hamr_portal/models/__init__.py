from .audit import AppendOnly, AuditEntry, LogStanding
from .changes import Change, LogLine, SkipNotice
from .connections import Observation, Snapshot
from .organizations import Organization
from .pairs import Pair
from .people import Person
from .workers import Worker

__all__ = [
    "AppendOnly",
    "AuditEntry",
    "Change",
    "LogLine",
    "LogStanding",
    "Observation",
    "Organization",
    "Pair",
    "Person",
    "SkipNotice",
    "Snapshot",
    "Worker",
]
