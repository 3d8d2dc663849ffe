from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from hamr_portal.domain.audit import Event
from hamr_portal.domain.people import Role
from hamr_portal.domain.run_sheets import Step
from hamr_portal.models import AuditEntry, Change, LogStanding, Organization, Pair, guards
from hamr_portal.services import (
    adoption,
    audit,
    chain_states,
    changes,
    drivers,
    evidence_packs,
    integrity,
    keys,
    run_sheets,
)
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing, tampering

from .conftest import SignIn
from .test_headers import HEADERS, POLICY, Page

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\" style='x'&amp;"


@pytest.fixture
def auditor(signed_in: SignIn) -> Client:
    return signed_in(Role.AUDITOR)


def get(client: Client, **asked: Any) -> Any:
    return client.get(reverse("evidence_pack"), asked)


def words(response: Any) -> str:
    """Give what stands on a page, without its style."""
    text = re.sub(r"<style>.*?</style>", "", response.content.decode(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


# --- the file ---------------------------------------------------------------------------------------------------


def test_the_pack_of_a_change_is_a_file_to_keep(auditor: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)

    response = get(auditor, change=change.pk)

    assert response.status_code == 200
    named = re.fullmatch(r'attachment; filename="(.+)"', response["Content-Disposition"])
    assert named is not None
    assert re.fullmatch(rf"evidence-change-{change.pk}-\d{{8}}T\d{{6}}Z\.html", named[1])
    assert f"Change {change.pk}: acme to FAILOVER, verified" in words(response)


def test_it_carries_the_headers_of_every_page(auditor: Client) -> None:
    response = get(auditor, since="2026-03-14", until="2026-03-15")

    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    assert {part.strip() for part in response["Content-Security-Policy"].split(";") if part.strip()} == POLICY
    assert response["Content-Disposition"].startswith('attachment; filename="evidence-20260314-20260315-')


class Outside(HTMLParser):
    """Collects what a file would load, run or send to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"src", "href", "srcset", "action", "data", "poster", "style"}
        self.found += [f"{tag} {name}" for name, _ in attrs if name in names or name.startswith("on")]
        if tag in ("script", "link", "img", "iframe", "object", "embed", "form", "base", "svg"):
            self.found.append(tag)


def test_it_needs_nothing_from_anywhere_and_its_policy_allows_its_own_style_alone(
    auditor: Client, simulator: Simulator
) -> None:
    primary, _ = changing.connected(simulator)
    changing.changed(primary)

    text = get(auditor, since="2000-01-01", until="2100-01-01").content.decode()

    assert Outside(text).found == []
    (style,) = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    assert not re.search(r"url\(|@import", style)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    told = {part.strip().partition(" ")[0]: part.strip() for part in policy.replace("&#x27;", "'").split(";")}
    assert told["default-src"] == "default-src 'none'"
    assert told["style-src"] == f"style-src 'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'"


def test_its_last_line_is_the_hash_of_all_lines_above(auditor: Client) -> None:
    content = get(auditor, since="2026-03-14", until="2026-03-14").content

    *above, last = content.splitlines(keepends=True)
    assert sha256(b"".join(above)).hexdigest().encode() in last
    assert last.rstrip().endswith(b"</html>")
    assert b"It shows accidents only" in last


# --- every kind of end ------------------------------------------------------------------------------------------


def verified(simulator: Simulator, primary: Organization) -> Change:
    return changing.changed(primary)


def rejected(simulator: Simulator, primary: Organization) -> Change:
    simulator.set_fault("acme", "403", verb="POST")
    return changing.changed(primary)


def unknown(simulator: Simulator, primary: Organization) -> Change:
    simulator.set_fault("acme", "drop_before", verb="POST")
    return changing.changed(primary)


def approved(simulator: Simulator, primary: Organization) -> Change:
    change = changing.waiting(primary)
    return changes.approve(change, by=changing.approver(), typed_name="acme", comment="Seen by me")


def skipped(simulator: Simulator, primary: Organization) -> Change:
    changing.approver()
    change = changing.waiting(primary)
    return changes.skip_approval(change, by=changing.operator(), typed_name="acme", reason="Nobody answers")


def declined(simulator: Simulator, primary: Organization) -> Change:
    change = changing.waiting(primary)
    return changes.decline(change, by=changing.approver(), comment="Not today")


def cancelled(simulator: Simulator, primary: Organization) -> Change:
    return changes.cancel(changing.prepared(primary), by=changing.operator())


def overridden(simulator: Simulator, primary: Organization) -> Change:
    simulator.set_fault("acme-dr", "503")
    return changing.changed(primary)


def resolved(simulator: Simulator, primary: Organization) -> Change:
    change = unknown(simulator, primary)
    return changes.resolve(change, by=changing.operator(), reason="Looked in Datadog")


ENDS: dict[Callable[[Simulator, Organization], Change], tuple[str, ...]] = {
    verified: ("acme to FAILOVER, verified", "us1 accepted", "Receipt entry", "us1 answered HTTP 200", "Verified"),
    rejected: ("rejected, http 403", "us1 refused", "none: it is not verified", "us1 answered HTTP 403"),
    unknown: ("outcome unknown", "No answer to rely on from us1", "us1 gave no answer"),
    approved: ("approved by approver@halden.example", "Seen by me", "Confirmed, to be approved by a second person"),
    skipped: ("sent without approval : Nobody answers", "Told of it approver@halden.example, not seen yet"),
    declined: ("declined", "Not today", "Nothing was sent.", "The request, never sent"),
    cancelled: ("cancelled", "Nothing was sent."),
    overridden: ("Override ticked us5 cannot be read", "HTTP 503"),
    resolved: ("Lock opened , outcome unknown", "Looked in Datadog"),
}


@pytest.mark.parametrize("end", list(ENDS), ids=lambda end: end.__name__)
def test_each_end_of_a_change_is_told(
    auditor: Client, simulator: Simulator, end: Callable[[Simulator, Organization], Change]
) -> None:
    primary, _ = changing.connected(simulator)
    change = end(simulator, primary)

    response = get(auditor, change=change.pk)

    text = words(response)
    for told in ENDS[end]:
        assert told in text
    assert "operator@halden.example" in text
    first = AuditEntry.objects.filter(change=change.pk).order_by("seq").first()
    assert first is not None
    assert first.hash in text
    assert "DD-API-KEY: ••••••••" in text


def test_every_exchange_is_there_as_it_was(auditor: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    exchanged = [change.request, *change.log.exclude(what="PREVIEWED").values_list("raw", flat=True)]

    shown = re.findall(r"<pre>(.*?)</pre>", get(auditor, change=change.pk).content.decode(), flags=re.DOTALL)

    read = [json.loads(unescape(text).partition("\n\n")[2] or unescape(text)) for text in shown]
    assert len(read) == 4
    assert all(each in [json.loads(text) for text in exchanged if text] for each in read)


def test_the_pack_of_a_pair_lists_its_changes_first(auditor: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    first, second = changing.changed(primary), changing.prepared(primary)

    response = get(auditor, pair=primary.pair_id, since="2000-01-01", until="2100-01-01")

    text = words(response)
    assert f"as paired now (acme, {primary.name}-dr), and its changes" in text
    assert text.count(f"Change {first.pk}: acme") == text.count(f"Change {second.pk}: acme") == 1
    assert f'filename="evidence-pair-{primary.pair_id}-20000101-21000101-' in response["Content-Disposition"]


def test_it_says_when_an_entry_is_not_as_it_was_written(auditor: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    entry = AuditEntry.objects.filter(change=change.pk).order_by("seq")[1]
    guards.lift(connection)
    AuditEntry.objects.filter(seq=entry.seq).update(reason="Never said")

    response = get(auditor, change=change.pk)

    text = words(response)
    assert f"Broken at entry {entry.seq} : its content is not what was signed" in text
    assert "The audit log as a whole is in doubt" in text


def test_it_says_when_the_change_was_edited_by_hand(auditor: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    Change.objects.filter(pk=change.pk).update(ticket="INC-1")

    response = get(auditor, change=change.pk)

    text = words(response)
    assert "Different now: ticket. Somebody edited the database." in text
    assert "Ticket INC-4711 INC-1" in text
    assert text.count("INC-1 ") == 1


def test_whoever_is_written_in_as_approver_is_told_and_marked(auditor: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    stranger = factories.person(Role.APPROVER, "stranger@halden.example")
    Change.objects.filter(pk=change.pk).update(approver=stranger, approved_at=change.sent_at)

    text = words(get(auditor, change=change.pk))

    assert "approved by stranger@halden.example not signed" in text
    assert "Who approved nothing stranger@halden.example" in text
    assert "Approved not signed" in text


def test_an_answer_that_was_forged_is_not_the_one_that_is_shown(auditor: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    change.log.filter(move="ACCEPT").update(raw="forged answer", http_status=418)

    page = get(auditor, change=change.pk).content.decode()

    assert page.count("forged answer") == 1
    assert "us1 answered HTTP 200" in page
    assert "Different now: answer: http status, answer: raw." in page


def test_what_rests_on_no_entry_is_marked(auditor: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)

    text = words(get(auditor, change=change.pk))

    assert "Typed to confirm acme not signed" in text
    assert "Asked by operator@halden.example from 192.0.2.7 Ticket" in text
    assert "do not say the same" not in text


def test_a_change_of_which_nothing_is_signed_says_so(auditor: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    changing.operator()
    change = changing.standing(primary, "NOT_SENT")

    text = words(get(auditor, change=change.pk))

    assert "Nothing of this change is signed No entry of the audit log tells of it." in text


def test_a_change_that_is_only_on_the_record_is_named(auditor: Client) -> None:
    with transaction.atomic():
        audit.append(Event.CHANGE_SENDING, by=factories.ADMIN, change=4711)

    text = words(get(auditor, since="2000-01-01", until="2100-01-01"))

    assert "On the record, and not in the database any more: change 4711." in text


def adopted(simulator: Simulator) -> tuple[Change, int]:
    """Give a change of whose entries one was edited and adopted, and the number of that."""
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)
    entry = AuditEntry.objects.filter(change=change.pk).order_by("seq")[1]
    tampering.edit(entry.seq, reason="Never said")
    integrity.verify_and_keep(by=factories.WORKER)
    adoption.adopt(by=changing.admin(), reason="A disk was replaced", seen=tampering.shown())
    integrity.verify_and_keep(by=factories.WORKER)
    return change, entry.seq


def test_a_break_that_was_adopted_is_named_in_every_pack(auditor: Client, simulator: Simulator) -> None:
    change, broken = adopted(simulator)
    adoption_seq = AuditEntry.objects.get(event=Event.LOG_ADOPTED).seq

    texts = [words(get(auditor, change=change.pk)), words(get(auditor, since="2020-01-01", until="2020-01-01"))]

    for text in texts:
        assert f"Broken at entry {broken} : adopted as it is, up to entry {adoption_seq - 1}, by admin@" in text
        assert f"(entry {adoption_seq}): A disk was replaced" in text
        assert f"verified from entry {adoption_seq} on, up to entry" in text
        assert "found whole" not in text
    assert f"{broken} not as written" in texts[0]


def test_it_says_when_the_whole_log_was_gone_over_and_when_only_a_part(
    auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    integrity.verify_and_keep(by=factories.WORKER, whole=True)
    integrity.verify_and_keep(by=factories.WORKER)
    day = {"since": "2020-01-01", "until": "2020-01-01"}
    short = words(get(auditor, **day))
    monkeypatch.setattr(chain_states, "AGAIN_AT_A_TIME", 0)
    LogStanding.objects.update(again_seq=1)

    long = words(get(auditor, **day))

    assert "all of it was gone over at" in short
    assert "new entries and a part of the older ones were gone over at" in long
    assert re.search(r"this round up to entry 1; all at once at [-0-9: ]+, up to entry \d", long)


def test_the_record_in_it_is_told_in_the_words_of_the_portal(auditor: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary)

    page = get(auditor, change=change.pk).content.decode()

    record = page.partition("The record it rests on")[2]
    assert '<td data-l="Outcome">Sending</td>' in record
    assert "SENDING" not in record


# --- what must not be in it -------------------------------------------------------------------------------------


def test_nothing_that_somebody_typed_or_a_site_said_is_markup(auditor: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    simulator.set_fault("acme", "exactly", verb="POST", status=403, body=HOSTILE.encode(), content_type="text/html")
    change = changing.prepared(primary)
    changing.confirmed(change, reason=HOSTILE, ticket=HOSTILE[:90])
    Change.objects.filter(pk=change.pk).update(closing_reason=HOSTILE, skip_reason=HOSTILE, typed_name=HOSTILE)

    text = get(auditor, change=change.pk).content.decode()

    assert HOSTILE not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert Outside(text).found == []


def test_no_key_of_any_organization_is_in_it(auditor: Client, simulator: Simulator) -> None:
    primary, _ = changing.connected(simulator)
    simulator.set_fault("acme", "echo", verb="POST")
    changing.changed(primary)

    text = get(auditor, since="2000-01-01", until="2100-01-01").content.decode()

    for organization in Organization.objects.all():
        opened = keys.open_for(organization, keys.ring())
        for key in (opened.api_key.reveal(), opened.application_key.reveal()):
            assert key not in text
            assert key[-8:] not in text


# --- what is asked for ------------------------------------------------------------------------------------------


def test_without_a_question_the_page_asks_one_and_records_nothing(auditor: Client) -> None:
    response = get(auditor)

    assert response.status_code == 200
    assert "What is it about?" in words(response)
    assert Page(response.content.decode()).faults == []
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"change": "x"}, "A change is a number, such as 41."),
        ({"change": "-1"}, "A change is a number, such as 41."),
        ({"change": "9" * 30}, "A change is a number, such as 41."),
        ({"change": "4711"}, "There is no change 4711. Next: look it up in the list of changes."),
        ({"pair": "4711", "since": "2026-03-14", "until": "2026-03-14"}, "There is no such pair now."),
        ({"pair": "x", "since": "2026-03-14", "until": "2026-03-14"}, "There is no such pair now."),
        ({"since": "yesterday", "until": "2026-03-14"}, "A day is written as 2026-03-14."),
        ({"since": "2026-03-14"}, "Say from which day to which, or name one change."),
        ({"until": "2026-03-14"}, "Say from which day to which, or name one change."),
        ({"anything": "else"}, "Say from which day to which, or name one change."),
        ({"since": "2026-03-15", "until": "2026-03-14"}, "The last day is before the first one."),
        ({"since": "2026-03-15", "until": "9999-12-31"}, "The last day is too far off."),
    ],
)
def test_a_question_that_cannot_be_answered_is_answered_with_what_to_do(
    auditor: Client, asked: dict[str, str], sentence: str
) -> None:
    response = get(auditor, **asked)

    assert response.status_code == 400
    assert sentence in words(response)
    assert "Content-Disposition" not in response
    assert Page(response.content.decode()).faults == []
    assert not AuditEntry.objects.exists()


def test_a_change_with_days_is_two_questions(auditor: Client) -> None:
    primary, _ = factories.pair()
    changing.operator()
    change = changing.standing(primary, "NOT_SENT")

    response = get(auditor, change=change.pk, since="2026-03-14", until="2026-03-15")

    assert response.status_code == 400
    assert "A change is its own pack." in words(response)


def test_too_many_days_are_refused_with_a_sentence(
    auditor: Client, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, _ = changing.connected(simulator)
    changing.changed(primary)
    monkeypatch.setattr(evidence_packs, "MOST_ENTRIES", 2)

    response = get(auditor, since="2000-01-01", until="2100-01-01")

    assert response.status_code == 400
    assert "That is more than 2 entries, which nobody reads on one page. Next: ask for fewer days" in words(response)


def test_what_cannot_be_recorded_is_not_made(auditor: Client, settings: Settings, tmp_path: Path) -> None:
    settings.KEY_RING_FILE = tmp_path / "no ring here"

    response = get(auditor, since="2026-03-14", until="2026-03-14")

    assert response.status_code == 503
    assert "It cannot be put on the record that a pack is made" in words(response)


# --- who --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", [Role.AUDITOR, Role.ADMIN])
def test_auditors_and_admins_may_have_it(signed_in: SignIn, role: Role) -> None:
    response = get(signed_in(role), since="2026-03-14", until="2026-03-14")

    assert response.status_code == 200
    assert AuditEntry.objects.get().actor_name == f"{role.word}@halden.example"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.APPROVER, None])
def test_nobody_else_may(signed_in: SignIn, role: Role | None) -> None:
    response = get(signed_in(role), since="2026-03-14", until="2026-03-14")

    assert response.status_code == 403
    assert not AuditEntry.objects.exists()


def test_who_is_not_signed_in_is_led_to_the_sign_in(client: Client) -> None:
    response = get(client, since="2026-03-14", until="2026-03-14")

    assert response.status_code == 302
    assert response["Location"].startswith(f"{reverse('account_login')}?next=")


@pytest.mark.parametrize("method", ["post", "put", "head"])
def test_it_takes_no_other_method(auditor: Client, method: str) -> None:
    response = getattr(auditor, method)(f"{reverse('evidence_pack')}?since=2026-03-14&until=2026-03-14")

    assert response.status_code == 405
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(("role", "offered"), [(Role.AUDITOR, True), (Role.ADMIN, True), (Role.OPERATOR, False)])
def test_the_page_of_a_change_offers_its_pack_to_those_who_may(
    signed_in: SignIn, simulator: Simulator, role: Role, offered: bool
) -> None:
    primary, _ = changing.connected(simulator)
    change = changing.changed(primary, by=changing.operator(email="somebody@halden.example"))

    page = signed_in(role).get(reverse("change", args=[change.pk])).content.decode()

    assert (f'href="{reverse("evidence_pack")}?change={change.pk}"' in page) is offered


def test_the_run_sheet_is_in_the_pack_with_names_and_moments_and_who_drove(
    simulator: Simulator, auditor: Client
) -> None:
    acme, _ = changing.connected(simulator)
    steps = [Step("Point <b>DNS</b> at us5", "TRAFFIC", "Network", back="Point it back"), Step("Sign in", "SSO")]
    run_sheets.save(Pair.objects.get(), steps, version=0, by=changing.operator())
    change = changing.changed(acme)
    run_sheets.tick(change, 1, number=1, by=changing.approver())
    drivers.take(change, seen=change.author_id, by=changing.admin(), reason="operator is asleep")

    response = get(auditor, change=change.pk)

    told = words(response)
    assert "Point &lt;b&gt;DNS&lt;/b&gt; at us5 DNS or agent policy Network Point it back ☑ ticked by approver@" in told
    assert "Sign in SSO ☐" in told
    assert "Taken over as driver operator is asleep" in told
    assert "Driven by admin@halden.example" in told
