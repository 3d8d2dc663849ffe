"""Why does the portal not do what is asked? Each refusal has a name, and is put on the record."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseError
from django.db import transaction

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import Again
from hamr_portal.domain.previews import Noticed
from hamr_portal.models import Change, Freeze, Organization

from . import audit, rooms

logger = logging.getLogger(__name__)


class Problem(StrEnum):
    """What can be missing or wrong in what was typed."""

    TICKET_MISSING = "TICKET_MISSING"
    TICKET_MALFORMED = "TICKET_MALFORMED"
    KEY_IN_TICKET = "KEY_IN_TICKET"
    REASON_MISSING = "REASON_MISSING"
    REASON_TOO_LONG = "REASON_TOO_LONG"
    KEY_IN_REASON = "KEY_IN_REASON"
    OVERRIDE_MISSING = "OVERRIDE_MISSING"
    BREAK_REASON_MISSING = "BREAK_REASON_MISSING"
    BREAK_REASON_TOO_LONG = "BREAK_REASON_TOO_LONG"
    KEY_IN_BREAK_REASON = "KEY_IN_BREAK_REASON"
    NAME_MISSING = "NAME_MISSING"
    NAME_WRONG = "NAME_WRONG"
    NAME_OF_OTHER_SIDE = "NAME_OF_OTHER_SIDE"


class Changed(StrEnum):
    """What can come between a confirmation and the request, beside what the sides say."""

    REQUEST = "REQUEST"
    APPROVAL = "APPROVAL"
    DISABLED = "DISABLED"
    PAIR = "PAIR"
    ANOTHER_SENT = "ANOTHER_SENT"


class Refused(Exception):
    """The portal does not do it. Nothing was sent, and the attempt is on the record."""

    event: ClassVar[Event] = Event.CHANGE_REFUSED

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts = facts


class NotAllowed(Refused, PermissionDenied):
    """The person's role does not allow it, or the change is somebody else's. The text says whose it is to do.

    A view lets it pass: Django answers with the page that says so.
    """

    event = Event.ACCESS_DENIED


class OwnChange(NotAllowed):
    """Nobody approves a change of their own."""

    event = Event.APPROVAL_OF_OWN


class Incomplete(Refused):
    """Something is missing or wrong in what was typed; `problems` says what, all at once."""

    event = Event.CHANGE_INCOMPLETE

    def __init__(self, *problems: Problem) -> None:
        super().__init__(", ".join(problems), problems=problems)
        self.problems = problems


class Forbidden(Refused):
    """A check forbids it; `noticed` says which."""

    def __init__(self, noticed: tuple[Noticed, ...]) -> None:
        super().__init__(", ".join(each.check.label for each in noticed), checks=[each.check.name for each in noticed])
        self.noticed = noticed


class Busy(Refused):
    """Another change is open on this pair; `other` is that one, where it is known."""

    event = Event.CHANGE_BUSY

    def __init__(self, other: Change | None) -> None:
        super().__init__("another change is open", other=other.pk if other is not None else None)
        self.other = other


class Frozen(Refused):
    """Changes are frozen, and this one does not break that; `freeze` says until when. Next: wait, or break it."""

    event = Event.CHANGE_FROZEN

    def __init__(self, freeze: Freeze) -> None:
        super().__init__("changes are frozen", freeze=freeze.pk, ends_at=audit.moment(freeze.ends_at))
        self.freeze = freeze


class LookAgain(Refused):
    """The form is not one of this preview, or not any more; `again` says why. Next: preview anew."""

    event = Event.CHANGE_TOKEN

    def __init__(self, again: Again, **facts: Any) -> None:
        super().__init__(again, again=again, **facts)
        self.again = again


class SidesChanged(LookAgain):
    """A side says something else than what was confirmed, or could have changed meanwhile."""

    event = Event.CHANGE_STALE

    def __init__(self, **facts: Any) -> None:
        super().__init__(Again.SIDES_CHANGED, **facts)


class Blocked(Exception):
    """The database did not take the intent, so that nothing was sent."""


@contextmanager
def on_record(by: Actor, organization: Organization, change: Change | None = None) -> Iterator[None]:
    """Put a refusal that leaves this block on the record, and let it go on."""
    try:
        yield
    except Refused as refused:
        try:
            _keep(refused, by, organization, change)
        except DatabaseError as error:
            logger.critical("audit.write_failed: %s: %s", refused.event, type(error).__name__)
        raise


def _keep(refused: Refused, by: Actor, organization: Organization, change: Change | None) -> None:
    outcome, facts = type(refused).__name__, {"why": str(refused), **refused.facts}
    where: dict[str, Any] = {"organization": organization.name, "change": change.pk if change is not None else None}
    if refused.event == Event.ACCESS_DENIED:
        rooms.of_person(refused.event, by=by, outcome=outcome, about=facts, repeated=True, **where)
        return
    with transaction.atomic():
        audit.append(refused.event, by=by, outcome=outcome, data=facts, **where)
