"""`change_status`: change one status from a terminal, by the same checks, record and one request as the page."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from secrets import token_hex
from typing import Any

from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from django.utils import timezone

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.changes import OFFERED, ChangeStatus
from hamr_portal.domain.connections import HamrStatus
from hamr_portal.management.outcomes import NOTHING_SENT, UNKNOWN, happened, not_recorded_yet, outcome, story_of
from hamr_portal.management.previews import preview
from hamr_portal.management.refusals import BLOCKED, frozen, refusal
from hamr_portal.management.shell import InstalledCommand, shell_actor
from hamr_portal.models import Change, Organization, Person
from hamr_portal.services import changes, freezes
from hamr_portal.services.audit import CannotSign
from hamr_portal.services.conditions import LONGEST_REASON, Words
from hamr_portal.services.moves import AlreadyMoved
from hamr_portal.services.refusals import Blocked, Incomplete, Problem, Refused
from hamr_portal.services.sending import NotRecordedYet

VERIFIED_OR_ACCEPTED = 0
WRONG_WORDS = 2
REJECTED = 3
OUTCOME_UNKNOWN = 4
NOT_SENT = 5
WAITING_FOR_APPROVAL = 6

EXITS: Mapping[ChangeStatus, int] = {
    ChangeStatus.VERIFIED: VERIFIED_OR_ACCEPTED,
    ChangeStatus.ACCEPTED: VERIFIED_OR_ACCEPTED,
    ChangeStatus.REJECTED: REJECTED,
    ChangeStatus.SENDING: OUTCOME_UNKNOWN,
    ChangeStatus.UNKNOWN: OUTCOME_UNKNOWN,
    # Sent, and settled otherwise by somebody else meanwhile: only a person can say what that means for a script.
    ChangeStatus.NOT_APPLIED: OUTCOME_UNKNOWN,
    ChangeStatus.SUPERSEDED: OUTCOME_UNKNOWN,
    ChangeStatus.RESOLVED: OUTCOME_UNKNOWN,
    ChangeStatus.NOT_SENT: NOT_SENT,
    ChangeStatus.PREPARED: NOT_SENT,
    ChangeStatus.CANCELLED: NOT_SENT,
    ChangeStatus.DECLINED: NOT_SENT,
    ChangeStatus.EXPIRED: NOT_SENT,
    ChangeStatus.AWAITING_APPROVAL: WAITING_FOR_APPROVAL,
}

_LIST = ", ".join(f"{status.name} ({status.value})" for status in OFFERED)


@dataclass(frozen=True)
class Asked:
    """What was asked for on the command line."""

    organization: Organization
    target: HamrStatus
    by: Actor
    without_approval: str


class Command(InstalledCommand):
    """Previews, prints what it saw, and sends once; it asks nothing, so that it works in a script."""

    help = (
        "Change the status of one organization: reads both sides, prints every check and the exact request, sends it "
        "once, and reads it back. Without --confirm it only previews. A connection that does not exist yet is linked "
        "on the page. Exit 0 verified or accepted, 3 rejected, 4 outcome unknown, 5 not sent, 6 waiting for approval, "
        "2 wrong words."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take everything that the page asks for."""
        parser.add_argument("name", metavar="NAME", help="the organization that gets the request")
        parser.add_argument("status", metavar="STATUS", help=f"a name or number: {_LIST}")
        parser.add_argument("--reason", default="", metavar="TEXT", help="why; goes on the record")
        parser.add_argument("--confirm", default="", metavar="NAME", help="the organization's name once more")
        parser.add_argument("--as", default="", dest="email", metavar="EMAIL", help="the person who asks for it")
        parser.add_argument("--ticket", default="", help="has to fit TICKET_PATTERN, where that is set")
        parser.add_argument("--override", action="store_true", help="send although a check needs it")
        parser.add_argument(
            "--break-freeze", metavar="REASON", help="send although changes are frozen; every admin is told"
        )
        parser.add_argument(
            "--without-approval", metavar="REASON", help="send without the approval that is asked for; all are told"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Preview, confirm, and tell by the exit code what is true."""
        if hasattr(self.stdout, "reconfigure"):
            self.stdout.reconfigure(errors="replace")  # A terminal without dots must not keep a change from going out.
        change: Change | None = None
        try:
            asked = _asked(options)
            change = changes.prepare(asked.organization, asked.target, by=asked.by)
            for line in preview(change, now=timezone.now()):
                self.stdout.write(line)
            self._say_frozen(change, is_broken=options["break_freeze"] is not None)
            self._send(change, asked, options)
        except Refused as refused:
            raise CommandError(refusal(refused, change, now=timezone.now()), returncode=_exit_of(refused)) from None
        except Blocked:
            raise _blocked("The database did not take it") from None
        except NotRecordedYet as late:
            self.stdout.write(f"\n{not_recorded_yet(late)}")
            sys.exit(EXITS[late.came.move.reaches])
        except CannotSign as error:
            raise CommandError(f"{BLOCKED} {error}", returncode=NOT_SENT) from None
        except DatabaseError as error:
            # Whatever is announced comes back as one of the above: here, nothing was.
            raise _blocked(f"The database failed ({type(error).__name__})") from None
        except KeyboardInterrupt:
            change = self._interrupted(change)
        self._end(change)

    def _say_frozen(self, change: Change, *, is_broken: bool) -> None:
        now = timezone.now()
        freeze = freezes.holding(change.organization, now=now)
        if freeze is not None:
            breaks = "This breaks the freeze, and every admin is told." if is_broken else "Needs --break-freeze REASON."
            self.stdout.write(f"\n{frozen(freeze, now)}\n{breaks}")
        elif is_broken:
            self.stdout.write("\nNothing is frozen: --break-freeze was not used.")

    def _send(self, change: Change, asked: Asked, options: dict[str, Any]) -> None:
        words = Words(
            token=change.nonce,
            reason=options["reason"],
            ticket=options["ticket"],
            typed_name=options["confirm"],
            override=options["override"],
            break_freeze=options["break_freeze"] is not None,
            break_reason=options["break_freeze"] or "",
        )
        try:
            changes.confirm(change, words, by=asked.by)
            if asked.without_approval:
                self._skip_approval(change, asked, options["confirm"])
        except AlreadyMoved:
            # Somebody was quicker, and approved it for example; what is on the record says how far it is.
            self._look_up(change, "Somebody else moved this change")

    def _skip_approval(self, change: Change, asked: Asked, typed_name: str) -> None:
        if change.status != ChangeStatus.AWAITING_APPROVAL:
            self.stdout.write("\nNo approval is asked for here: --without-approval was not used.")
            return
        try:
            changes.skip_approval(change, by=asked.by, typed_name=typed_name, reason=asked.without_approval)
        except (Refused, Blocked):
            # It must not hold the pair while nobody is asked to approve it.
            changes.cancel(change, by=asked.by)
            raise

    def _interrupted(self, change: Change | None) -> Change:
        """Give the change after Ctrl-C as it is on the record."""
        if change is None:
            raise CommandError(f"Interrupted. {NOTHING_SENT}", returncode=NOT_SENT) from None
        self._look_up(change, "Interrupted")
        self.stdout.write("\nInterrupted.")
        return change

    def _look_up(self, change: Change, why: str) -> None:
        """Bring a change up to date, or say that it cannot be known how far it is."""
        try:
            change.refresh_from_db()
        except DatabaseError:
            said = f"{why}, and the database is away. {UNKNOWN}. manage.py reconcile finds out."
            raise CommandError(said, returncode=OUTCOME_UNKNOWN) from None

    def _end(self, change: Change) -> None:
        """Print what happened and the outcome, and leave with the code that says it."""
        try:
            story = story_of(change)
            told = [*happened(story), f"\n{outcome(story, now=timezone.now())}"]
        except DatabaseError:
            told = [f"The database went away; last on the record: {change.status}. manage.py reconcile finds out more."]
        for line in ["\nWhat happened", *told]:
            self.stdout.write(line)
        exit_code = EXITS[ChangeStatus(change.status)]
        if exit_code:
            sys.exit(exit_code)


def _exit_of(refused: Refused) -> int:
    """Give the code of a refusal: words that were wrong, or something else that nothing was sent for."""
    wrong = isinstance(refused, Incomplete) and set(refused.problems) != {Problem.OVERRIDE_MISSING}
    return WRONG_WORDS if wrong else NOT_SENT


def _blocked(why: str) -> CommandError:
    return CommandError(
        f"{BLOCKED} {why}: look at DATABASE_URL and the disk, then run this again.", returncode=NOT_SENT
    )


def _wrong(sentence: str) -> CommandError:
    return CommandError(f"{NOTHING_SENT} {sentence}", returncode=WRONG_WORDS)


# --- words ------------------------------------------------------------------------------------------------------


def _asked(options: dict[str, Any]) -> Asked:
    target = _target(options["status"])
    organization = _organization(options["name"])
    reason = options["without_approval"]
    if reason is not None and not 0 < len(reason.strip()) <= LONGEST_REASON:
        raise _wrong(f"--without-approval needs a reason of its own, of at most {LONGEST_REASON} characters.")
    return Asked(organization, target, _actor(options["email"]), reason or "")


def _target(text: str) -> HamrStatus:
    """Give the status that is meant, by its name in any case or by its number."""
    word = text.strip().upper()
    meant = next((status for status in HamrStatus if word in (status.name, str(status.value))), None)
    if meant in OFFERED:
        return meant
    if meant is not None:
        raise _wrong(f"{meant.name} is not offered: nobody says what it would do. Use one of {_LIST}.")
    close = get_close_matches(word, [status.name for status in OFFERED], n=1)
    hint = f" Close: {close[0]}." if close else ""
    raise _wrong(f"{text!r} is no status.{hint} Use one of {_LIST}.")


def _organization(name: str) -> Organization:
    organization = Organization.objects.filter(name=name).select_related("pair").first()
    if organization is not None:
        return organization
    sides = Organization.objects.filter(pair__name__iexact=name).order_by("column").values_list("name", flat=True)
    if sides:
        raise _wrong(f"{name} is a pair. Name the side that gets the request: {' or '.join(sides)}.")
    close = get_close_matches(name.casefold(), Organization.objects.values_list("name", flat=True), n=3, cutoff=0.4)
    raise _wrong(f"{name!r} is not saved." + (f" Close: {', '.join(close)}." if close else ""))


def _actor(email: str) -> Actor:
    """Give the person in whose name it is done; where it is done from says who is at the shell."""
    if not email.strip():
        raise _wrong("--as is missing: the e-mail address of the person who asks for it.")
    person = Person.objects.filter(email__iexact=email.strip()).first()
    if person is None:
        raise _wrong(f"Nobody is here as {email!r}. manage.py add_person lets somebody in.")
    return Actor(
        kind="command",
        name=person.email,
        role=person.role or "",
        address=shell_actor().name,
        request_id=f"c-{token_hex(4)}",
    )
