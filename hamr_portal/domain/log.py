"""Which kinds of events does a reader of the audit log ask for at once?"""

from __future__ import annotations

from enum import Enum

from .audit import Event

_APPROVALS = (
    Event.APPROVAL_ASKED,
    Event.CHANGE_APPROVED,
    Event.APPROVAL_SKIPPED,
    Event.SKIP_SEEN,
    Event.CHANGE_DECLINED,
    Event.APPROVAL_OF_OWN,
)
_SEEN = (
    Event.READ_CHANGED,
    Event.KEYS_REFUSED,
    Event.KEYS_UNREADABLE,
    Event.IDENTITY_MISMATCH,
    Event.TLS_FAILURE,
    Event.REDIRECT_REFUSED,
    Event.WORKER_RESUMED,
)
_OUTSIDE = (Event.STATUS_CHANGED_OUTSIDE, Event.OUTSIDE_ACKNOWLEDGED)
_ORGANIZATIONS = (
    Event.ORGANIZATION_ADDED,
    Event.ORGANIZATION_EDITED,
    Event.ORGANIZATION_DISABLED,
    Event.ORGANIZATION_ENABLED,
    Event.ORGANIZATION_VERIFIED,
    Event.ORGANIZATION_PINNED,
    Event.KEYS_REPLACED,
    Event.KEYS_ROTATED,
    Event.TOKEN_MADE,
    Event.TOKEN_REVOKED,
)
_SIGN_IN = (
    *(Event.SIGNED_IN, Event.SIGNED_OUT, Event.STEPPED_UP, Event.SESSIONS_ENDED),
    *(Event.SIGN_IN_FAILED, Event.LOCKED_OUT),
)
_EXPORTS = (Event.LOG_EXPORTED, Event.LOG_KEYS_GIVEN, Event.PACK_MADE, Event.OFFLINE_PACK_MADE)


def _of(*families: str) -> tuple[Event, ...]:
    return tuple(event for event in Event if event.partition(".")[0] in families)


class Kind(Enum):
    """Events that are asked for together; one event can be of several kinds. The name, in lower case, is for URLs."""

    CHANGES = ("Status changes", _of("change", "approval", "freeze"))
    APPROVALS = ("Approvals", _APPROVALS)
    OUTSIDE = ("Outside changes", _OUTSIDE)
    CREDENTIALS = ("Organizations and keys", _ORGANIZATIONS)
    PAIRS = ("Pairs", _of("pair", "run_sheet"))
    READS = ("Reads", _SEEN)
    SIGN_INS = ("Sign-ins", _SIGN_IN)
    PEOPLE = ("People and access", _of("person", "authz"))
    EXPORTS = ("Exports", _EXPORTS)
    DRILLS = ("Drills", _of("drill"))
    NEWS = ("News", _of("news"))
    LOG = ("Audit log", _of("audit", "chain"))

    def __init__(self, label: str, events: tuple[Event, ...]) -> None:
        self.label = label
        self.events = events

    @property
    def word(self) -> str:
        """Give what stands for it in an address."""
        return self.name.lower()


def events_of(wanted: str) -> tuple[str, ...]:
    """Give the events that a word asks for: a kind's, or with a dot at its end all that begin so, else that one."""
    kind = next((kind for kind in Kind if kind.word == wanted), None)
    if kind is not None:
        return kind.events
    return tuple(event for event in Event if event.startswith(wanted)) if wanted.endswith(".") else (wanted,)
