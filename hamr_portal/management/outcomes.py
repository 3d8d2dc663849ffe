"""How does a terminal say what became of a change, and what to do now?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from django.db import Error as DatabaseError

from hamr_portal.domain.changes import ChangeStatus, Move, What
from hamr_portal.models import Change, LogLine
from hamr_portal.services.audit import entries_of
from hamr_portal.services.outcomes import Story, story
from hamr_portal.services.reconciliation import ABANDONED_AFTER
from hamr_portal.services.sending import NotRecordedYet, post_deadline
from hamr_portal.templatetags._outcomes import WORDS
from hamr_portal.templatetags._time import clock, span

from .readings import attempt, folded, said

NOTHING_SENT = "Nothing was sent; the status is unchanged."
UNKNOWN = "Outcome unknown: the request may have taken effect. Do not send again"


def happened(story: Story) -> Iterator[str]:
    """Give what happened after the preview, oldest first, to the millisecond."""
    for line in story.told:
        moment = line.at.astimezone(UTC)
        yield f"  {moment:%H:%M:%S}.{moment.microsecond // 1000:03d}  {_told(line)}"


def _told(line: LogLine) -> str:
    if line.what == What.MOVED:
        move = Move[line.move]
        facts = [f"HTTP {line.http_status}" if line.http_status else "", folded(line.reason)]
        facts.append(f"{line.elapsed_ms} ms" if line.elapsed_ms is not None else "")
        return ", ".join([f"{WORDS[move.reaches]}: {move.happens}", *filter(None, facts)])
    reads = "reads back" if line.what == What.READ_BACK else "says"
    name = line.organization.name if line.organization is not None else ""
    told = f"{name} {reads} {said(line.view)}" if line.view is not None else f"{name}: {attempt(line)}"
    return f"{told}, × {line.times}" if line.times > 1 else told


def story_of(change: Change) -> Story:
    """Give a change with its log, or without where the database is away: what came of it is said all the same."""
    try:
        return story(change)
    except DatabaseError:
        return Story(change, ())


def outcome(story: Story, *, now: datetime) -> str:
    """Give the sentences that say what is true of a change now, and what to do."""
    return _OUTCOMES.get(ChangeStatus(story.change.status), _over)(story, now)


def _verified(story: Story, now: datetime) -> str:
    change, read = story.change, story.own_read
    at = clock(read.last_at if read is not None else change.settled_at or now, now)
    parts = [f"Verified by reading it back at {at}. {change.organization.name} is {change.target.name}."]
    if change.other is not None and not story.other_agrees:
        view = story.other_read.view if story.other_read is not None else None
        says = f"still says {said(view)}" if view is not None else "did not answer, so its side is not verified"
        parts.append(f"{change.other.name} {says}: compare both with manage.py status {change.other.name} --refresh.")
    parts.append(f"Receipt: {_receipt(change)}.")
    return " ".join(parts)


def _receipt(change: Change) -> str:
    try:
        number = entries_of(change.pk).receipt
    except DatabaseError:
        number = None
    return f"entry #{number}" if number is not None else f"change {change.pk}"


def _rejected(story: Story, now: datetime) -> str:
    change, read = story.change, story.own_answer
    line = story.result
    answer = ", ".join(filter(None, [f"HTTP {change.http_status}", folded(line.reason) if line is not None else ""]))
    fate = "Nothing changed."
    if read is not None and read.view is not None:
        fate += f" It reads back {said(read.view)}."
        if not story.is_unchanged:
            fate = f"Yet it reads back {said(read.view)}: somebody changed it, or it was changed after all."
    return f"Datadog refused ({answer}). {fate} {_after_refusal(story, now)}"


def _after_refusal(story: Story, now: datetime) -> str:
    if story.change.http_status in (401, 403):
        return "The keys may not write (disaster_recovery_status_write): an admin replaces them, then run this again."
    if story.change.http_status == 429:
        again = f" after {clock(story.again_at, now)}" if story.again_at is not None else " later"
        return f"Rate limited; it may be sent again{again}: run this again then."
    return "Mend what Datadog names, then run this again."


def _not_sent(story: Story, now: datetime) -> str:
    why = f" Why: {folded(story.result.reason)}." if story.result is not None and story.result.reason else ""
    return f"{NOTHING_SENT}{why} Run this again when {story.change.organization.site} can be reached."


def _unknown(story: Story, now: datetime) -> str:
    change = story.change
    wait = f", next in {span(change.check_at - now)}" if change.check_at is not None else ""
    return (
        f"{UNKNOWN}; checking (attempt {change.reads}{wait}). A running worker reads on; manage.py reconcile reads "
        f"now. No other change is sent here until it is known, or an operator resolves it on /changes/{change.pk}/."
    )


def _accepted(story: Story, now: datetime) -> str:
    return (
        f"Accepted: Datadog repeats {story.change.target.name}, and it is not read back yet. "
        "A running worker reads on; manage.py reconcile reads now."
    )


def _sending(story: Story, now: datetime) -> str:
    known_from = f"{post_deadline() + ABANDONED_AFTER:.0f} s"
    return (
        f"{UNKNOWN}. Change {story.change.pk} is on the record as being sent, and what came of it is not. "
        f"A running worker, or manage.py reconcile, finds out by reading, from {known_from} after it was sent."
    )


def _waiting(story: Story, now: datetime) -> str:
    change = story.change
    return (
        f"Waiting for approval until {clock(change.expires_at, now)}: nothing was sent. A second person approves on "
        f"/changes/{change.pk}/. To send without, cancel it there and run this again with --without-approval REASON."
    )


def _over(story: Story, now: datetime) -> str:
    change = story.change
    state = f"{WORDS[ChangeStatus(change.status)]}."
    if change.sent_at is None:
        return f"{state} {NOTHING_SENT}"
    return f"{state} See /changes/{change.pk}/ for what was read, and look at manage.py status before anything is sent."


_OUTCOMES: Mapping[ChangeStatus, Callable[[Story, datetime], str]] = {
    ChangeStatus.VERIFIED: _verified,
    ChangeStatus.REJECTED: _rejected,
    ChangeStatus.NOT_SENT: _not_sent,
    ChangeStatus.UNKNOWN: _unknown,
    ChangeStatus.ACCEPTED: _accepted,
    ChangeStatus.SENDING: _sending,
    ChangeStatus.AWAITING_APPROVAL: _waiting,
}

_SEEN: Mapping[Move, str] = {
    Move.NOT_SENT: "Not sent: no byte of the request left; the status is unchanged",
    Move.REJECT: "Rejected: Datadog refused; nothing changed",
    Move.ACCEPT: "Accepted: Datadog repeats what was asked",
    Move.LOSE: f"{UNKNOWN}",
}


def not_recorded_yet(late: NotRecordedYet) -> str:
    """Give what was seen of a request whose outcome the database did not take, and what becomes of it."""
    came = late.came
    facts = ", ".join(filter(None, [f"HTTP {came.http_status}" if came.http_status else "", folded(came.reason)]))
    later = (
        "It waits in the spool; a running worker or manage.py reconcile records it when the database is there again."
    )
    if not late.spooled:
        later = "The spool did not take it either: keep this text. The portal finds out by reading."
    return f"{_SEEN[came.move]}{f' ({facts})' if facts else ''}. This was seen, but is not recorded yet. {later}"
