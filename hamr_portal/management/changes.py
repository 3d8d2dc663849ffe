"""How does a change read in a terminal? What was seen, what speaks against it, what goes out, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError

from hamr_portal.domain.changes import ChangeStatus, Move, Step, What, skipped, step, way_back
from hamr_portal.domain.connections import View, name_of
from hamr_portal.domain.previews import Check, Noticed, Weight
from hamr_portal.models import Change, LogLine, Organization, Snapshot
from hamr_portal.services.audit import entries_of
from hamr_portal.services.conditions import LONGEST_REASON, LONGEST_TICKET
from hamr_portal.services.outcomes import Story, story
from hamr_portal.services.reconciliation import ABANDONED_AFTER
from hamr_portal.services.refusals import (
    Busy,
    Changed,
    Forbidden,
    Incomplete,
    LookAgain,
    NotAllowed,
    Problem,
    Refused,
    SidesChanged,
)
from hamr_portal.services.sending import NotRecordedYet, post_deadline
from hamr_portal.templatetags._looks import read_words
from hamr_portal.templatetags._outcomes import WORDS
from hamr_portal.templatetags._time import clock, span

NOTHING_SENT = "Nothing was sent; the status is unchanged."
BLOCKED = "Blocked: this change cannot be recorded, so it was not sent."
UNKNOWN = "Outcome unknown: the request may have taken effect. Do not send again"


# --- before -----------------------------------------------------------------------------------------------------


def preview(change: Change, *, now: datetime) -> Iterator[str]:
    """Give what a person has to see before a change: both sides, every check, the exact request, and what it does."""
    organization = change.organization
    read = {line.organization_id: line for line in change.log.filter(what=What.PREVIEWED)}
    own = read.get(organization.pk)
    before = own.view if own is not None else None
    yield f"Set {organization.name} to {change.target.name} (change {change.pk}, for {change.author.email})"
    yield "\nBoth sides, read just now"
    kind = _kind_of_step(before, change)
    yield from _side(organization, own, now, f" -> {change.target.name}{kind}", "gets the request")
    if change.other is not None:
        yield from _side(change.other, read.get(change.other.pk), now, "", "is sent nothing")
    yield "\nChecks"
    yield from _checks(change, now) if change.noticed else ["  Nothing speaks against it."]
    if change.request:
        yield "\nThe exact request"
        yield from _request(change, before)
    yield "\nWhat will happen"
    yield from _consequences(change, before)


def _kind_of_step(before: View | None, change: Change) -> str:
    if before is None or not before.has_connection:
        return ""
    kind = step(before.status, change.target)
    between = skipped(before.status, change.target)
    words = {
        Step.NONE: "it is so already",
        Step.USUAL: "the usual next step",
        Step.SKIPPING: f"skips {between.name if between else ''}",
        Step.UNUSUAL: f"unusual from {name_of(before.status or 0)}",
    }
    return f", {words[kind]}"


def _side(organization: Organization, line: LogLine | None, now: datetime, after: str, part: str) -> Iterator[str]:
    head = f"  {organization.site} {organization.name}, which {part}: "
    view = line.view if line is not None else None
    if line is not None and view is not None:
        yield f"{head}{_said(view)}{after}"
        yield f"      seen {span(now - line.at)} ago, {line.elapsed_ms} ms{_written(view, now)}"
        return
    snapshot = Snapshot.objects.filter(pk=organization.pk).first()
    if snapshot is None or snapshot.answered_at is None:
        yield f"{head}not known{after}"
    else:
        known = name_of(snapshot.status or 0) if snapshot.has_connection else "no connection"
        yield f"{head}{known} (last known, last answer {span(now - snapshot.answered_at)} ago){after}"
    yield f"      {_attempt(line) if line is not None else 'disabled, and not read'}"


def _said(view: View) -> str:
    return name_of(view.status or 0) if view.has_connection else "no connection"


def _written(view: View, now: datetime) -> str:
    if not view.has_connection:
        return ""
    says = "primary" if view.is_primary else "secondary"
    at = f" at {clock(view.modified_at, now)}" if view.modified_at is not None else ""
    return f"; says {says}; set{at} by {folded(view.modified_by) or 'nobody named'}"


def _attempt(line: LogLine) -> str:
    words = read_words(line.outcome, line.http_status)
    return f"{words}: {folded(line.reason)}" if line.reason else words


_WEIGHTS = {Weight.REFUSES: "forbids it", Weight.NEEDS_OVERRIDE: "needs --override", Weight.WARNS: "to be known"}

_SENTENCES: Mapping[Check, str] = {
    Check.DISABLED: "It is not read and not changed. An admin enables it.",
    Check.WRONG_ORGANIZATION: "{reason}. An admin replaces the keys of {name}.",
    Check.NO_READING: "{name} on {site}: {outcome}{reason}. The request is copied from a fresh reading. Run this again "
    "when it answers.",
    Check.OPEN_CHANGE: "{what}: {status} since {since}. It has to end first: see /changes/{change}/.",
    Check.NO_CONNECTION: "There is nothing to change yet. An admin links it on the page.",
    Check.ALREADY_SO: "It is {status} already.",
    Check.NOT_COPIED: "{reason}. Change it by hand, in Datadog.",
    Check.OTHER_SIDE_DARK: "{name} on {site}: {outcome}{reason}. Its real status is not known; after this the sides "
    "may disagree.",
    Check.SIDES_DISAGREE: "{disagreement}. Look at {name} too, before and after.",
    Check.OTHER_SIDE_ACTIVE: "{name} on {site} takes traffic already.",
    Check.STATUS_NOT_DOCUMENTED: "It is {status}; the portal may be out of date.",
    Check.STEP_SKIPPED: "From {before} the usual next step is {between}.",
    Check.STEP_UNUSUAL: "Not on the usual path from {before}.",
    Check.MAY_LAND_LATE: "{what}, sent at {since}, was never seen to be applied.",
    Check.CHANGED_OUTSIDE: "{name}, at {at} by {by}.",
    Check.SITE_IN_USE: "{name} is failing over to {site} since {since}, by {by}.",
    Check.OTHER_SIDE_NOT_SAVED: "Its status is not known here. Look at it in Datadog.",
    Check.WORKER_STOPPED: "{since}. Start manage.py run_worker; until then manage.py reconcile reads what is "
    "not settled.",
}
"""What a check says of a status; those of a link are for the page, where links are made."""


def _checks(change: Change, now: datetime) -> Iterator[str]:
    for each in change.noticed:
        sentence = _SENTENCES.get(each.check, "").format(**_facts(each, now))
        yield f"  {_WEIGHTS[each.weight]:<16}  {each.check.label}. {sentence}".rstrip()


def _facts(noticed: Noticed, now: datetime) -> dict[str, str]:
    """Give the facts of a check as its sentence needs them: statuses in words, moments to the second."""
    facts = {name: folded(fact) for name, fact in noticed.facts.items()}
    for name in ("since", "at"):
        if name in facts:
            facts[name] = clock(datetime.fromisoformat(facts[name]), now) if facts[name] else "a time not known"
    if noticed.check in (Check.OPEN_CHANGE, Check.MAY_LAND_LATE):
        facts["what"] = "Change {change}, {name} to {target} by {by}".format(**facts)
        facts["status"] = WORDS[ChangeStatus(facts["status"])]
    if noticed.check in (Check.NO_READING, Check.OTHER_SIDE_DARK):
        facts["outcome"] = read_words(facts["outcome"])
        facts["reason"] = f" ({facts['reason']})" if facts["reason"] else ""
    if noticed.check is Check.SIDES_DISAGREE:
        facts["disagreement"] = "; ".join(_disagreements(facts))
    if noticed.check is Check.WORKER_STOPPED:
        facts["since"] = f"None since {facts['since']}" if noticed.facts["since"] else "None has ever run"
    return facts


def _disagreements(facts: Mapping[str, str]) -> Iterator[str]:
    if "connection" in facts:
        yield f"{facts['name']} has no connection"
    if "statuses" in facts:
        yield facts["statuses"]
    if "primary" in facts:
        yield "both say primary" if facts["primary"] == "both" else "neither says primary"
    if "targets" in facts:
        yield f"{facts['targets']} names another target"


def _request(change: Change, before: View | None) -> Iterator[str]:
    yield f"  POST {change.url}"
    yield f"  DD-API-KEY: ••••{change.organization.api_key_tail}"
    yield f"  DD-APPLICATION-KEY: ••••{change.organization.application_key_tail}"
    yield "  Content-Type: application/json"
    body = json.loads(change.request)
    for line in json.dumps(body, indent=2).splitlines():
        yield f"  {line}"
    was = {
        "hamrstatus": f"{before.status} {name_of(before.status or 0)}" if before is not None else "",
        "modifiedby": folded(before.modified_by) if before is not None else "",
    }
    becomes = {"hamrstatus": f"{change.target.value} {change.target.name}", "modifiedby": change.writer}
    for name in body["data"]["attributes"]:
        folded_name = name.replace("_", "").lower()
        if folded_name in was and was[folded_name] != becomes[folded_name]:
            yield f"  Changes {name}: {was[folded_name]} -> {becomes[folded_name]}"


def _consequences(change: Change, before: View | None) -> Iterator[str]:
    if change.needs_approval:
        yield "  This organization asks for approval: nothing is sent until a second person approves."
    yield f"  Datadog is told once that {change.organization.name} is {change.target.name}; both sides are read back."
    yield "  It moves no agents, DNS or integrations."
    if before is None or not before.has_connection:
        return
    back = ", then ".join(each.name for each in way_back(before.status, change.target))
    yield f"  Way back: {back}." if back else f"  Way back: no usual path leads back to {_said(before)}."


# --- after ------------------------------------------------------------------------------------------------------


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
    told = f"{name} {reads} {_said(line.view)}" if line.view is not None else f"{name}: {_attempt(line)}"
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
        says = f"still says {_said(view)}" if view is not None else "did not answer, so its side is not verified"
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
    said = ", ".join(filter(None, [f"HTTP {change.http_status}", folded(line.reason) if line is not None else ""]))
    fate = "Nothing changed."
    if read is not None and read.view is not None:
        fate += f" It reads back {_said(read.view)}."
        if not story.is_unchanged:
            fate = f"Yet it reads back {_said(read.view)}: somebody changed it, or it was changed after all."
    return f"Datadog refused ({said}). {fate} {_after_refusal(story, now)}"


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
    said = f"{WORDS[ChangeStatus(change.status)]}."
    if change.sent_at is None:
        return f"{said} {NOTHING_SENT}"
    return f"{said} See /changes/{change.pk}/ for what was read, and look at manage.py status before anything is sent."


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


# --- refused ----------------------------------------------------------------------------------------------------


def refusal(refused: Refused, change: Change | None, *, now: datetime) -> str:
    """Give why nothing was sent, and what to do."""
    return f"{NOTHING_SENT} {_why(refused, change, now)}"


def _why(refused: Refused, change: Change | None, now: datetime) -> str:
    if isinstance(refused, Incomplete) and change is not None:
        return " ".join(_PROBLEMS[problem].format(**_asked(change)) for problem in refused.problems)
    if isinstance(refused, Forbidden):
        labels = ", ".join(each.check.label for each in refused.noticed)
        return f"Forbidden: {labels}. What to do stands beside each check above."
    if isinstance(refused, Busy):
        return _busy(refused.other, now)
    if isinstance(refused, SidesChanged):
        side, what = refused.facts.get("side"), refused.facts.get("what")
        changed = _CHANGED.get(what, "Something new speaks against it")
        changed = f"{side} does not say any more what was shown above" if side else changed
        return f"{changed}. Run this again, and look at what it shows."
    if isinstance(refused, LookAgain):
        return "The preview is too old. Run this again."
    if isinstance(refused, NotAllowed):
        return f"The role of --as does not allow it. {refused}"
    return f"{refused}."


def _busy(other: Change | None, now: datetime) -> str:
    if other is None:
        return "Another change is open on this pair. See /changes/."
    since = clock(other.sent_at or other.confirmed_at or other.prepared_at, now)
    state = WORDS[ChangeStatus(other.status)]
    return (
        f"Change {other.pk} by {other.author.email} is in progress ({state}, since {since}): "
        f"{other.organization.name} to {other.target.name}. See /changes/{other.pk}/."
    )


_CHANGED: Mapping[object, str] = {
    Changed.REQUEST: "The request would not be the one above any more",
    Changed.APPROVAL: "The organization asks for approval by now",
    Changed.DISABLED: "The organization is disabled by now",
    Changed.PAIR: "It is paired with another organization by now",
    Changed.ANOTHER_SENT: "Another change was sent on this pair meanwhile",
}

_PROBLEMS: Mapping[Problem, str] = {
    Problem.TICKET_MISSING: "--ticket is missing; it has to look like {pattern}.",
    Problem.TICKET_MALFORMED: "--ticket has to look like {pattern}, and have at most {longest_ticket} characters.",
    Problem.REASON_MISSING: "--reason is missing: say why, it goes on the record.",
    Problem.REASON_TOO_LONG: "--reason is longer than {longest_reason} characters.",
    Problem.OVERRIDE_MISSING: "A check above needs --override.",
    Problem.NAME_MISSING: "--confirm is missing: repeat the name, {name}.",
    Problem.NAME_WRONG: "--confirm does not name the organization, {name}.",
    Problem.NAME_OF_OTHER_SIDE: "--confirm names the other side, {other}; the request would go to {name}.",
}


def _asked(change: Change) -> dict[str, Any]:
    return {
        "name": change.organization.name,
        "other": change.other.name if change.other is not None else "",
        "pattern": settings.TICKET_PATTERN.pattern or "any text",
        "longest_reason": LONGEST_REASON,
        "longest_ticket": LONGEST_TICKET,
    }


# --- small ------------------------------------------------------------------------------------------------------


def folded(text: str) -> str:
    """Give a text of elsewhere in one line: a line feed in it could draw a line that is not ours."""
    return " ".join(text.split())
