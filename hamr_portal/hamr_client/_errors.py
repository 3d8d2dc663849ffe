"""Which errors leave the HAMR client, and what does each let its catcher say?"""

from __future__ import annotations

from enum import StrEnum

from hamr_portal.domain.connections import ReadOutcome, sanitized

_REASON_LIMIT = 200
_RAW_LIMIT = 200


class Phase(StrEnum):
    """How far a request had come when it failed."""

    RESOLVE = "RESOLVE"
    CONNECT = "CONNECT"
    TLS = "TLS"
    SEND = "SEND"
    WAIT = "WAIT"
    BODY = "BODY"
    ANSWER = "ANSWER"


class HamrError(Exception):
    """The one family of errors of this package; `str(error)` is the reason, and no text of it holds a key.

    `elapsed_ms` is milliseconds since the call began, `retry_after` seconds, `raw` the body's first 200 characters.
    """

    def __init__(
        self,
        reason: str,
        *,
        phase: Phase,
        elapsed_ms: int,
        http_status: int | None = None,
        raw: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(sanitized(" ".join(reason.split()), _REASON_LIMIT))
        self.phase = phase
        self.elapsed_ms = elapsed_ms
        self.http_status = http_status
        self.raw = sanitized(raw, _RAW_LIMIT)
        self.retry_after = retry_after

    @property
    def reason(self) -> str:
        """Give the one short sentence that says what went wrong."""
        return str(self)

    @property
    def read_outcome(self) -> ReadOutcome:
        """Give what a read came to that ended in this error."""
        if self.phase is not Phase.ANSWER or self.http_status is None:
            return ReadOutcome.NO_ANSWER
        if self.http_status in _OUTCOMES:
            return _OUTCOMES[self.http_status]
        if self.http_status >= 500:
            return ReadOutcome.SERVER_ERROR
        return ReadOutcome.REFUSED if self.http_status >= 400 else ReadOutcome.UNREADABLE


_OUTCOMES = {
    401: ReadOutcome.KEY_REFUSED,
    403: ReadOutcome.KEY_REFUSED,
    408: ReadOutcome.SERVER_ERROR,
    429: ReadOutcome.RATE_LIMITED,
}


class NotSent(HamrError):
    """No byte of the request left: the status is unchanged."""


class Untrusted(NotSent):
    """The other side could not prove who it is, so nothing was sent; trying again is no remedy."""


class Rejected(HamrError):
    """The service understood and refused: nothing changed. `retry_after` is set for 429."""


class OutcomeUnknown(HamrError):
    """A byte may have left and no readable answer came: the request may have taken effect."""


class Foreign(OutcomeUnknown):
    """Something in between refused, a proxy's page for example: the service itself may never have been asked."""

    @property
    def read_outcome(self) -> ReadOutcome:
        """Give that nothing was read: in particular, no key was refused."""
        return ReadOutcome.UNREADABLE
