from .audit import AppendOnly, AuditEntry
from .connections import Observation, Snapshot
from .organizations import Organization
from .pairs import Pair
from .people import Person
from .workers import Worker

__all__ = ["AppendOnly", "AuditEntry", "Observation", "Organization", "Pair", "Person", "Snapshot", "Worker"]
