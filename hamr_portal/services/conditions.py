"""What has to hold before a change is sent? Whose it is, what was typed, and that both sides say what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from secrets import compare_digest

from django.conf import settings
from django.utils import timezone

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import Again, ChangeStatus, What
from hamr_portal.domain.connections import View
from hamr_portal.domain.organizations import holds_a_key
from hamr_portal.domain.people import Action
from hamr_portal.domain.previews import Check, Weight, refusing
from hamr_portal.models import Change, Freeze, Organization, Person
from hamr_portal.models.changes import ChangeQuerySet

from . import freezes, integrity, people, previews
from .moves import AlreadyMoved
from .previews import Link, Sight, Wish
from .refusals import (
    Busy,
    Changed,
    Forbidden,
    Frozen,
    Incomplete,
    LookAgain,
    NotAllowed,
    OwnChange,
    Problem,
    SidesChanged,
)

LONGEST_REASON = 2000
LONGEST_TICKET = 100


@dataclass(frozen=True)
class Words:
    """What a person types to confirm; `token` binds it to one preview. To break a freeze takes a tick and a reason."""

    token: str = ""
    reason: str = ""
    ticket: str = ""
    typed_name: str = ""
    override: bool = False
    break_freeze: bool = False
    break_reason: str = ""


@dataclass(frozen=True)
class Ready:
    """A change that may be sent if nothing comes between: what was read last, and what `clear` holds it against."""

    sight: Sight
    sent_before: int
    action: Action


# --- people -----------------------------------------------------------------------------------------------------


def entitled(by: Actor, action: Action) -> Person:
    """Give the person behind an actor, as the database has them now. Raises `NotAllowed`."""
    try:
        return people.entitled(by, action)
    except people.NotAllowed as error:
        raise NotAllowed(str(error), action=action) from None


def action_of(change: Change) -> Action:
    """Give what its author must be allowed to do."""
    return Action.LINK_ORGANIZATIONS if change.links else Action.CHANGE_STATUS


def its_author(change: Change, by: Actor) -> Person:
    """Give the person, where the change is theirs. Raises `NotAllowed`."""
    person = entitled(by, action_of(change))
    if person.pk != change.author_id:
        raise NotAllowed(f"This change is for {change.author.email} to confirm.", author=change.author.email)
    return person


def another_person(change: Change, by: Actor) -> Person:
    """Give the person, where they may approve and did not ask for it themselves. Raises `OwnChange`, `NotAllowed`."""
    if by.name == change.author.email:
        raise OwnChange("Nobody approves a change of their own.")
    return entitled(by, Action.APPROVE_CHANGES)


# --- words ------------------------------------------------------------------------------------------------------


def of_this_preview(change: Change, words: Words, by: Actor) -> None:
    """Hold a form against its preview: used once, its token, its sign-in, its time.

    Raises `LookAgain`, `AlreadyMoved`.
    """
    if change.status == ChangeStatus.EXPIRED:
        raise LookAgain(Again.EXPIRED)
    if change.status != ChangeStatus.PREPARED:
        raise AlreadyMoved(f"change {change.pk} was confirmed already")
    if not compare_digest(change.nonce.encode(), words.token.encode()):
        raise LookAgain(Again.OLD_FORM)
    if change.author_session != by.session:
        raise LookAgain(Again.OTHER_SIGN_IN)
    # Both ways: after the clock was set back, an old preview must not become valid again.
    if not change.prepared_at <= timezone.now() <= change.expires_at:
        raise LookAgain(Again.EXPIRED)


def complete(change: Change, words: Words, *, broken: Freeze | None = None) -> None:
    """Say everything that is missing or wrong in what was typed, at once. Raises `Incomplete`."""
    problems = list(_ticket_problems(words.ticket.strip()))
    problems += wrong_with(words.reason)
    if change.needs_override and not words.override:
        problems.append(Problem.OVERRIDE_MISSING)
    if broken is not None:
        problems += [_WHY_BREAK[problem] for problem in wrong_with(words.break_reason)]
    named(change, words.typed_name, *problems)


def wrong_with(reason: str) -> list[Problem]:
    """Say what is missing or wrong in a reason; what looks like a key would stay on the record for ever."""
    if not reason.strip():
        return [Problem.REASON_MISSING]
    if holds_a_key(reason):
        return [Problem.KEY_IN_REASON]
    return [Problem.REASON_TOO_LONG] if len(reason) > LONGEST_REASON else []


def named(change: Change, typed_name: str, *problems: Problem) -> None:
    """Hold the typed name against the organization's; other problems are said with it. Raises `Incomplete`."""
    typed, found = typed_name.strip(), list(problems)
    if not typed:
        found.append(Problem.NAME_MISSING)
    elif change.other is not None and typed == change.other.name:
        found.append(Problem.NAME_OF_OTHER_SIDE)
    elif typed != change.organization.name:
        found.append(Problem.NAME_WRONG)
    if found:
        raise Incomplete(*found)


def _ticket_problems(ticket: str) -> Iterator[Problem]:
    pattern = settings.TICKET_PATTERN
    if holds_a_key(ticket):
        yield Problem.KEY_IN_TICKET
    elif pattern.pattern and not ticket:
        yield Problem.TICKET_MISSING
    elif len(ticket) > LONGEST_TICKET or (pattern.pattern and not pattern.fullmatch(ticket)):
        yield Problem.TICKET_MALFORMED


# --- freezes ----------------------------------------------------------------------------------------------------


_WHY_BREAK = {
    Problem.REASON_MISSING: Problem.BREAK_REASON_MISSING,
    Problem.REASON_TOO_LONG: Problem.BREAK_REASON_TOO_LONG,
    Problem.KEY_IN_REASON: Problem.KEY_IN_BREAK_REASON,
}
"""What is wrong with a reason, where it is the one to break a freeze."""


def breaking(change: Change, words: Words) -> Freeze | None:
    """Give the freeze that is in force and that a person ticks to break; None: nothing is frozen. Raises `Frozen`."""
    freeze = freezes.holding(change.organization, now=timezone.now())
    if freeze is not None and not words.break_freeze:
        raise Frozen(freeze)
    return freeze


def not_frozen(change: Change, *, broken: int | None) -> None:
    """Hold that no freeze is in force but the one that its author broke, by its number. Raises `Frozen`.

    A freeze begins with an entry, and so does a move: after the move's own, no freeze can come before it any more.
    """
    freeze = freezes.holding(change.organization, now=timezone.now())
    if freeze is not None and freeze.pk != broken:
        raise Frozen(freeze)


# --- sides ------------------------------------------------------------------------------------------------------


def not_forbidden(change: Change) -> None:
    """Refuse what a check of the preview forbids. Raises `Forbidden`."""
    forbidden = refusing(change.noticed)
    if forbidden:
        raise Forbidden(forbidden)


def as_confirmed(change: Change, *, by: Actor, action: Action) -> Ready:
    """Read both sides again: they say what the person saw, and nothing new speaks against it.

    Raises `SidesChanged`, `Busy`, `AlreadyMoved`.
    """
    _not_busy(change)
    sent_before = _sent(change)
    if _others(change).sent().filter(pk__gt=change.pk).exists():
        # Changes are told apart by their numbers, so that they are sent in that order.
        raise SidesChanged(what=Changed.ANOTHER_SENT)
    # Its pair with the run sheet comes along: starting a change starts a copy of it, for no query more.
    organization = Organization.objects.select_related("pair__run_sheet").get(pk=change.organization_id)
    sight = previews.look(wish_of(change, organization), by=by)
    # What the same form did a moment ago is its result, and no difference.
    if not Change.objects.filter(pk=change.pk, status=change.status).exists():
        raise AlreadyMoved(f"change {change.pk} was moved meanwhile")
    _as_seen(change, sight)
    if (previews.request_of(sight, writer=change.writer), previews.url_of(organization)) != (
        change.request,
        change.url,
    ):
        raise SidesChanged(what=Changed.REQUEST)
    new = _new_troubles(change, sight)
    if new:
        raise SidesChanged(checks=new)
    return Ready(sight, sent_before, action)


def clear(change: Change, ready: Ready, by: Actor) -> None:
    """Hold what could have come between, in the transaction that commits: roles, settings, pairs, other changes.

    Raises `NotAllowed`, `Busy`, `SidesChanged`; the last where the record came into doubt meanwhile, too.
    """
    entitled(by, ready.action)
    if integrity.trouble() is not None:
        raise SidesChanged(checks=[Check.LOG_IN_DOUBT.name])
    if not Person.objects.who_may(action_of(change)).filter(pk=change.author_id).exists():
        raise NotAllowed(f"{change.author.email}, who asked for it, may not change a status any more.")
    rows = Organization.objects.select_for_update(no_key=True).filter(pk__in=change.sides).order_by("pk")
    own = next(row for row in rows if row.pk == change.organization_id)
    if own.disabled_at is not None or (own.requires_approval and not change.needs_approval):
        raise SidesChanged(what=Changed.DISABLED if own.disabled_at is not None else Changed.APPROVAL)
    if own.pair_id != change.pair_id or not _is_across(change, own):
        raise SidesChanged(what=Changed.PAIR)
    _not_busy(change)
    if _sent(change) != ready.sent_before:
        raise SidesChanged(what=Changed.ANOTHER_SENT)


def _as_seen(change: Change, sight: Sight) -> None:
    """Hold both sides against what the person saw of them."""
    seen = {line.organization_id: line.view for line in change.log.filter(what=What.PREVIEWED)}
    if sight.own_view is None or not _same(sight.own_view, seen.get(change.organization_id)):
        raise SidesChanged(side=sight.wish.organization.name)
    if sight.other is not None and sight.other_view is not None:
        across = seen.get(sight.other.pk)
        if across is not None and not _same(sight.other_view, across):
            raise SidesChanged(side=sight.other.name)


def _is_across(change: Change, own: Organization) -> bool:
    """Tell whether the other side is still the one that was read; a link names its own."""
    across = previews.other_side(own)
    return change.links or (across.pk if across is not None else None) == change.other_id


def open_beside(change: Change) -> Change | None:
    """Give the other change that is open on either side or on the pair."""
    return _others(change).open().select_related("author", "organization").first()


def wish_of(change: Change, organization: Organization | None = None) -> Wish:
    """Give what a change asks for, to look at it again."""
    link = None
    if change.links:
        uuid = change.target_uuid or (change.other.uuid if change.other is not None else None)
        target = (uuid, change.target_name, change.target_datacenter)
        link = Link(*target, is_primary=change.is_primary, other=change.other)
    return Wish(organization or change.organization, change.target, link)


def _same(view: View, seen: View | None) -> bool:
    return seen is not None and view.says_the_same(seen)


def _new_troubles(change: Change, sight: Sight) -> list[str]:
    known = {each.check for each in change.noticed} | {Check.OPEN_CHANGE}  # `clear` looks for those
    found = {each.check for each in previews.noticed(sight, now=timezone.now())}
    return sorted(check.name for check in found - known if check.weight is not Weight.WARNS)


def _not_busy(change: Change) -> None:
    other = open_beside(change)
    if other is not None:
        raise Busy(other)


def _others(change: Change) -> ChangeQuerySet:
    return Change.objects.of(change.sides, change.pair_id).exclude(pk=change.pk)


def _sent(change: Change) -> int:
    return _others(change).sent().count()
