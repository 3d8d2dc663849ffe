"""How does a preview read in a terminal? What was seen, what speaks against it, what goes out, and what it does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime

from hamr_portal.domain.changes import ChangeStatus, Step, What, skipped, step, way_back
from hamr_portal.domain.connections import View, name_of
from hamr_portal.domain.previews import Check, Noticed, Weight
from hamr_portal.models import Change, LogLine, Organization, Snapshot
from hamr_portal.templatetags._looks import read_words
from hamr_portal.templatetags._outcomes import WORDS
from hamr_portal.templatetags._time import clock, span

from .readings import attempt, folded, said


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
        yield f"{head}{said(view)}{after}"
        yield f"      seen {span(now - line.at)} ago, {line.elapsed_ms} ms{_written(view, now)}"
        return
    snapshot = Snapshot.objects.filter(pk=organization.pk).first()
    if snapshot is None or snapshot.answered_at is None:
        yield f"{head}not known{after}"
    else:
        known = name_of(snapshot.status or 0) if snapshot.has_connection else "no connection"
        yield f"{head}{known} (last known, last answer {span(now - snapshot.answered_at)} ago){after}"
    yield f"      {attempt(line) if line is not None else 'disabled, and not read'}"


def _written(view: View, now: datetime) -> str:
    if not view.has_connection:
        return ""
    says = "primary" if view.is_primary else "secondary"
    at = f" at {clock(view.modified_at, now)}" if view.modified_at is not None else ""
    return f"; says {says}; set{at} by {folded(view.modified_by) or 'nobody named'}"


_WEIGHTS = {Weight.REFUSES: "forbids it", Weight.NEEDS_OVERRIDE: "needs --override", Weight.WARNS: "to be known"}

_SENTENCES: Mapping[Check, str] = {
    Check.LOG_IN_DOUBT: "{detail}. An admin adopts it on /audit/, with a reason.",
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
    yield f"  Way back: {back}." if back else f"  Way back: no usual path leads back to {said(before)}."
