"""A stand-in for the HAMR API over real sockets, which imports nothing of ours and so cannot share our mistakes."""

from ._api import CURRENT_USER, HAMR, VALIDATE
from ._control import Control
from ._faults import NAMES as FAULTS
from ._organizations import (
    ACTIVE,
    FAILOVER,
    ONBOARDING,
    PASSIVE,
    RECOVERY,
    UNSPECIFIED,
    SimulatedOrganization,
    View,
)
from ._serve import serve
from ._simulator import RecordedRequest, Simulator

__all__ = [
    "ACTIVE",
    "CURRENT_USER",
    "FAILOVER",
    "FAULTS",
    "HAMR",
    "ONBOARDING",
    "PASSIVE",
    "RECOVERY",
    "UNSPECIFIED",
    "VALIDATE",
    "Control",
    "RecordedRequest",
    "SimulatedOrganization",
    "Simulator",
    "View",
    "serve",
]
