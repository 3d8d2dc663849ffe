"""The audit log's pages: found, read, verified, exported, adopted; and nothing on them that somebody else wrote."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, LogStanding, guards
from hamr_portal.services import anchors, audit, chain_states, integrity, log
from tests import factories
from tests.services import changing, tampering
from tests.services.records import entries

from .conftest import SignIn

pytestmark = pytest.mark.django_db

MARA = Actor(
    kind="person",
    name="mara@halden.example",
    role="OPERATOR",
    address="10.20.4.17",
    session="s-7c19e2",
    request_id="r-41",
    agent="Firefox 136",
    signed_in="password",
)


@pytest.fixture
def auditor(signed_in: SignIn) -> Client:
    return signed_in(Role.AUDITOR)


def entry(event: Event = Event.CHANGE_SENDING, *, by: Actor = MARA, **more: Any) -> int:
    """Put an entry on the record and give its number."""
    with transaction.atomic():
        return audit.append(event, by=by, **more).seq


def tamper(seq: int, **fields: Any) -> None:
    """Write into the log past its guards, which are there again after it."""
    guards.lift(connection)
    AuditEntry.objects.filter(seq=seq).update(**fields)
    guards.install(connection)


def words(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())


def numbers(response: Any) -> list[int]:
    return [int(seq) for seq in re.findall(r'aria-controls="d(\d+)"', response.content.decode())]


def streamed(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


def says(response: Any) -> str:
    """Give the messages of a page."""
    return " ".join(str(message) for message in response.context["messages"])


# --- the list ---------------------------------------------------------------------------------------------------


def test_the_log_is_listed_newest_first_with_who_what_when_and_what_came_of_it(auditor: Client) -> None:
    first = entry(organization="halden-checkout-dr", ticket="CHG-2310", data={"from": 2, "to": "FAILOVER"})
    second = entry(Event.CHANGE_REJECTED, outcome="REJECTED", organization="halden-checkout-dr")

    response = auditor.get(reverse("audit"))

    text = words(response)
    assert numbers(response)[:2] == [second, first]
    assert "mara 10.20.4.17" in text
    assert "Status change" in text
    assert "badge--failover" in response.content.decode()
    assert "Rejected" in text
    assert "CHG-2310" in text
    assert f'href="{reverse("audit_entry", args=[first])}"' in response.content.decode()
    assert 'aria-current="page">Audit log' in response.content.decode()


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.APPROVER])
def test_who_may_not_read_the_log_is_not_led_to_it(role: Role, signed_in: SignIn) -> None:
    response = signed_in(role).get(reverse("dashboard"))

    assert reverse("audit") not in response.content.decode()


def test_filters_combine_and_live_in_the_address(auditor: Client) -> None:
    entry(organization="acme", ticket="INC-1")
    wanted = entry(organization="acme", ticket="INC-2")
    entry(organization="other", ticket="INC-2")

    response = auditor.get(reverse("audit"), {"organization": "acme", "q": "INC-2", "event": "changes"})

    assert numbers(response) == [wanted]
    assert "1 entry matches" in words(response)


def test_what_is_filtered_by_a_change_leads_to_its_evidence_pack(auditor: Client) -> None:
    entry(change=41)

    filtered, all_of_it = (auditor.get(reverse("audit"), asked) for asked in ({"change": "41"}, {}))

    assert "Evidence pack of change 41" in words(filtered)
    assert f'href="{reverse("evidence_pack")}?change=41"' in filtered.content.decode()
    assert f'href="{reverse("evidence_pack")}">Evidence pack' in all_of_it.content.decode()


def test_each_filter_can_be_removed_and_the_others_stay(auditor: Client) -> None:
    entry(organization="acme", ticket="INC-2")

    response = auditor.get(reverse("audit"), {"organization": "acme", "q": "INC-2", "since": "2026-03-14"})

    chips = {chip.words: chip.without for chip in response.context["chips"]}
    assert chips["acme"] == "?q=INC-2&since=2026-03-14"
    assert chips["“INC-2”"] == "?organization=acme&since=2026-03-14"
    assert len(chips) == 3


@pytest.mark.parametrize(
    ("asked", "chip"),
    [
        ({"since": "2024-03-14", "until": "2024-03-15"}, "14 Mar 2024 to 15 Mar 2024"),
        ({"since": "2024-03-14", "until": "2024-03-14"}, "14 Mar 2024"),
        ({"since": "2024-03-14"}, "From 14 Mar 2024"),
        ({"until": "2024-03-14"}, "Up to 14 Mar 2024"),
        ({"event": "sign_ins"}, "Sign-ins"),
        ({"event": "change.approved"}, "Approval"),
        ({"outcome": "UNKNOWN"}, "Outcome unknown"),
        ({"change": "41"}, "Change 41"),
    ],
)
def test_a_filter_is_told_in_words(auditor: Client, asked: dict[str, str], chip: str) -> None:
    response = auditor.get(reverse("audit"), asked)

    assert [each.words for each in response.context["chips"]] == [chip]


@pytest.mark.parametrize(
    ("asked", "name", "error"),
    [
        ({"since": "14.3.2026"}, "since", "A day is written as 2026-03-14."),
        ({"until": "2026-02-30"}, "until", "A day is written as 2026-03-14."),
        ({"until": "9999-12-31"}, "until", "The last day is too far off."),
        ({"since": "2026-03-15", "until": "2026-03-14"}, "until", "The last day is before the first one."),
        ({"change": "forty-one"}, "change", "A change is a number, such as 41."),
        ({"change": "0"}, "change", "A change is a number, such as 41."),
        ({"change": "9" * 30}, "change", "A change is a number, such as 41."),
        ({"q": "nul\0l"}, "q", "A search is plain text."),
    ],
)
def test_a_filter_that_is_wrong_is_told_beside_its_field_and_nothing_typed_is_lost(
    auditor: Client, asked: dict[str, str], name: str, error: str
) -> None:
    entry()

    response = auditor.get(reverse("audit"), {"organization": "acme", **asked})

    page = response.content.decode()
    assert response.status_code == 422
    assert numbers(response) == []
    assert f'id="f_{name}_error"' in page
    assert error in words(response)
    for typed in (asked | {"organization": "acme"}).values():
        assert f'value="{typed}"' in page
    assert not re.search(rf'<input type="(hidden|date)" name="{name}"', page)


def test_a_filter_by_what_is_not_there_any_more_stays_in_its_list(auditor: Client) -> None:
    wanted = entry(organization="long-gone")

    response = auditor.get(reverse("audit"), {"organization": "long-gone"})

    assert numbers(response) == [wanted]
    assert '<option value="long-gone" selected>long-gone</option>' in response.content.decode()


def test_pages_are_cut_by_numbers_and_keep_their_filters(auditor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "PAGE", 2)
    first, second, third = (entry(organization="acme") for _ in range(3))
    older = re.compile(r'href="(/audit/[^"]*before=\d+)">Older')

    newest = auditor.get(reverse("audit"), {"organization": "acme"})
    entry(organization="acme")
    link = older.search(newest.content.decode())
    assert link is not None
    rest = auditor.get(link[1].replace("&amp;", "&"))

    assert numbers(newest) == [third, second]
    assert numbers(rest) == [first]
    assert older.search(rest.content.decode()) is None
    assert 'href="/audit/?organization=acme">Newest' in rest.content.decode()


@pytest.mark.parametrize("before", ["x", "-3", "9" * 40, "9" * 5000, "²"])
def test_an_address_of_no_page_is_none(auditor: Client, before: str) -> None:
    entry()

    assert auditor.get(reverse("audit"), {"before": before}).status_code == 200


def test_what_nothing_matches_says_so_and_what_to_do(auditor: Client) -> None:
    response = auditor.get(reverse("audit"), {"q": "nothing-like-it"})
    past_the_end = auditor.get(reverse("audit"), {"before": "1"})

    assert "No entry matches all of these. Next: remove one." in words(response)
    assert "Nothing older." in words(past_the_end)


def test_more_than_is_counted_is_told_as_that(auditor: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST_COUNTED", 1)
    entry(ticket="INC-1")
    entry(ticket="INC-1")

    assert "More than 1 entries" in words(auditor.get(reverse("audit"), {"q": "INC-1"}))


def test_the_list_asks_no_more_of_the_database_for_more_entries(
    auditor: Client, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        entry(organization=f"acme-{number}", change=number + 1)

    with django_assert_max_num_queries(25):
        auditor.get(reverse("audit"))


# --- one entry --------------------------------------------------------------------------------------------------


def test_an_entry_shows_everything_of_it_at_its_own_address(auditor: Client) -> None:
    first = entry(Event.SIGNED_IN)
    data = {"url": "https://api.us5.test/api/v2/hamr", "request": '{"data": 5}', "from": 4, "to": "RECOVERY"}
    seq = entry(reason="DR test", ticket="CHG-2291", organization="acme", change=9, outcome="SENDING", data=data)
    kept = AuditEntry.objects.get(seq=seq)

    response = auditor.get(reverse("audit_entry", args=[seq]))

    text = words(response)
    for told in ("DR test", "CHG-2291", "acme", "operator", "s-7c19e2", "r-41", "Firefox 136", "10.20.4.17"):
        assert told in text
    assert "POST https://api.us5.test/api/v2/hamr" in text
    assert kept.hash in text
    assert kept.previous in text
    assert "State Verified" in text
    assert f'href="{reverse("audit_entry", args=[first])}">Entry {first}' in response.content.decode()


def test_an_entry_is_told_in_the_words_and_times_of_the_portal(auditor: Client) -> None:
    by = replace(MARA, signed_in="password, 2026-11-23T15:14:04Z")
    data = {"seen_at": "2026-11-23 15:14:05.123456+00:00", "phase": "ANSWER", "role": "AUDITOR"}
    seq = entry(Event.CHANGE_ACCEPTED, by=by, outcome="ACCEPTED", data=data)

    shown = words(auditor.get(reverse("audit_entry", args=[seq]))).partition("All that it tells")[0]

    assert "Signed in password, 23 Nov 2026 15:14:04 UTC" in shown
    assert "Seen at 23 Nov 2026 15:14:05 UTC" in shown
    assert "How far it came answered" in shown
    assert "Role auditor" in shown


def test_the_page_of_a_change_leads_to_its_receipt(simulator: Any, signed_in: SignIn) -> None:
    side, _ = changing.connected(simulator)
    change = changing.changed(side)
    receipt = audit.entries_of(change.pk).receipt
    assert receipt is not None
    link = f'<a href="{reverse("audit_entry", args=[receipt])}">entry {receipt}</a>'

    pages = {role: signed_in(role).get(reverse("change", args=[change.pk])) for role in (Role.AUDITOR, Role.VIEWER)}

    assert link in pages[Role.AUDITOR].content.decode()
    assert link not in pages[Role.VIEWER].content.decode()
    assert f"Receipt entry {receipt}" in words(pages[Role.VIEWER])


def test_an_entry_leads_to_the_log_of_its_person_organization_and_change(auditor: Client, simulator: Any) -> None:
    side, _ = changing.connected(simulator)
    change = changing.standing(side, ChangeStatus.NOT_SENT, author=factories.person(Role.OPERATOR))
    seq = entry(organization=side.name, change=change.pk)

    page = auditor.get(reverse("audit_entry", args=[seq])).content.decode()

    assert 'href="/audit/?actor=mara%40halden.example"' in page
    assert f'href="/audit/?organization={side.name}"' in page
    assert f'href="/audit/?change={change.pk}"' in page
    assert f'href="{reverse("change", args=[change.pk])}"' in page


def test_an_entry_of_a_change_that_is_not_there_leads_to_no_page(auditor: Client) -> None:
    seq = entry(change=4711)

    assert reverse("change", args=[4711]) not in auditor.get(reverse("audit_entry", args=[seq])).content.decode()


@pytest.mark.parametrize("seq", [99, 9**30])
def test_an_entry_that_is_not_there_is_no_page(auditor: Client, seq: int) -> None:
    assert auditor.get(reverse("audit_entry", args=[seq])).status_code == 404


def test_an_entry_that_was_edited_says_so_on_its_page_and_in_its_row(auditor: Client) -> None:
    seq, after = entry(reason="Region is down"), entry()
    tamper(seq, reason="Nobody knows")

    text = words(auditor.get(reverse("audit_entry", args=[seq])))

    assert "Not as it was written Its content is not what was signed" in text
    assert "Chain broken here Its content is not what was signed. Next: compare it with a copy of the log" in text
    listed = auditor.get(reverse("audit")).content.decode()
    assert "Chain broken here" in row(listed, seq)
    assert "Chain broken" not in row(listed, after)


def row(page: str, seq: int) -> str:
    """Give an entry's row of the list, without what opens in place."""
    return next(each for each in page.split('<tr role="row" ') if f'aria-controls="d{seq}"' in each)


def test_where_an_entry_is_missing_the_next_one_is_as_it_was_written_and_the_gap_is_told(auditor: Client) -> None:
    missing, after = entry(), entry()
    cut_out(missing)

    response = auditor.get(reverse("audit_entry", args=[missing]))

    assert response.status_code == 404
    assert f"Entry {missing} is missing from the log" in words(response)
    assert f'href="{reverse("audit_entry", args=[after])}">Entry {after}' in response.content.decode()
    text = words(auditor.get(reverse("audit_entry", args=[after])))
    assert "As it was written; the chain is broken before it" in text
    assert f"entry {missing}, on which it followed, is missing" in text
    assert "Not as it was written" not in text
    assert "Chain broken before it" in row(auditor.get(reverse("audit")).content.decode(), after)


def test_the_first_entry_can_be_missing_too(auditor: Client) -> None:
    first, after = entry(), entry()
    assert first == 1
    cut_out(first)

    response = auditor.get(reverse("audit_entry", args=[1]))

    assert "The first one" in words(response)
    assert f'href="{reverse("audit_entry", args=[after])}"' in response.content.decode()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL keeps no text that is none")
def test_an_entry_that_nobody_can_read_is_told_as_that_and_not_as_missing(auditor: Client) -> None:
    seq = entry()
    entry()
    tampering.unguarded("UPDATE hamr_portal_auditentry SET reason = %s WHERE seq = %s", b"\xff", seq)

    response = auditor.get(reverse("audit_entry", args=[seq]))

    assert response.status_code == 404
    assert f"Entry {seq} cannot be read" in words(response)
    assert "missing" not in words(response)


def cut_out(seq: int) -> None:
    tampering.unguarded("DELETE FROM hamr_portal_auditentry WHERE seq = %s", seq)


def test_an_entry_of_an_unknown_key_says_that_it_cannot_be_checked(auditor: Client) -> None:
    seq = entry()
    tamper(seq, key_id="k0ther")

    assert "Cannot be checked" in words(auditor.get(reverse("audit_entry", args=[seq])))


def test_the_pages_of_an_organization_and_of_a_change_lead_to_their_logs(auditor: Client, simulator: Any) -> None:
    side, _ = changing.connected(simulator)
    change = changing.prepared(side)

    organization_page = auditor.get(reverse("organization", args=[side.name])).content.decode()
    change_page = auditor.get(reverse("change", args=[change.pk])).content.decode()

    assert f'href="/audit/?organization={side.name}"' in organization_page
    assert f'href="/audit/?change={change.pk}"' in change_page


# --- hostile text -----------------------------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script>\u202egnp.exe\0'\"><b>"


def test_hostile_text_is_shown_as_text_wherever_it_stands(auditor: Client) -> None:
    by = Actor(kind="visitor", name=HOSTILE, address=HOSTILE, agent=HOSTILE, session="s", signed_in="<b>")
    told = {"why": HOSTILE.replace("\0", ""), "<b>": "<b>", "raw": HOSTILE.replace("\0", ""), "request": "<b>"}
    seq = entry(by=by, reason=HOSTILE, ticket=HOSTILE, organization="<b>\u202e", outcome="<b>\u202e", data=told)

    pages = [auditor.get(reverse("audit")), auditor.get(reverse("audit_entry", args=[seq]))]
    pages.append(auditor.get(reverse("audit"), {"actor": AuditEntry.objects.get(seq=seq).actor_name}))

    for page in pages:
        text = page.content.decode()
        assert "<script>alert" not in text
        assert "<b>" not in text
        assert "\u202e" not in text
        assert "\0" not in text
        assert "&lt;script&gt;" in text


@pytest.mark.parametrize("name", ["q", "organization", "actor", "event", "outcome", "change", "since", "until"])
def test_hostile_filters_are_shown_as_text(auditor: Client, name: str) -> None:
    response = auditor.get(reverse("audit"), {name: "<script>alert(1)</script>'\"><b>"})

    assert response.status_code in (200, 422)
    assert "<script>alert" not in response.content.decode()
    assert "<b>" not in response.content.decode()


# --- verify -----------------------------------------------------------------------------------------------------


def test_verifying_says_how_many_entries_are_whole_and_is_itself_on_the_record(auditor: Client) -> None:
    entry()

    response = auditor.post(reverse("audit_verify"), follow=True)

    told = re.search(
        r"Chain verified: (\d+) entries are whole, up to entry (\d+)\. This verification is entry (\d+)\.",
        says(response),
    )
    assert told is not None
    assert told[1] == told[2]
    assert int(told[3]) == int(told[2]) + 1
    assert f"Up to entry {told[2]}; 1 newer" in words(response)
    assert "All gone over" in words(response)
    assert "Chain verified" in words(response)
    assert entries(Event.LOG_VERIFIED)[0].actor == "auditor@halden.example"


@pytest.mark.parametrize(
    ("came_from", "leads_to"),
    [
        ("http://testserver/audit/?organization=acme", "/audit/?organization=acme"),
        ("http://testserver/", "/audit/"),
        ("https://elsewhere.example/audit/?q=1", "/audit/"),
    ],
)
def test_verifying_leads_back_to_the_list_whose_button_was_pressed(
    auditor: Client, came_from: str, leads_to: str
) -> None:
    response = auditor.post(reverse("audit_verify"), headers={"referer": came_from})

    assert response["Location"] == leads_to


def test_a_broken_chain_is_told_with_its_entry_and_its_next_step(auditor: Client) -> None:
    broken = entry(reason="Region is down")
    entry()
    tamper(broken, reason="Nobody knows")

    response = auditor.post(reverse("audit_verify"), follow=True)

    assert f"Chain broken at entry {broken}: its content is not what was signed." in says(response)
    assert "No change can be sent." in says(response)
    assert "Audit log in doubt" in words(response)


def test_a_log_that_is_whole_and_not_guarded_is_in_doubt(auditor: Client) -> None:
    entry()
    guards.lift(connection)

    response = auditor.post(reverse("audit_verify"), follow=True)

    assert "but the log is in doubt" in says(response)
    assert "manage.py migrate" in words(response)


def test_a_break_that_was_adopted_is_told_as_that(admin: Client) -> None:
    broken = entry(reason="Region is down")
    tamper(broken, reason="Nobody knows")
    admin.post(reverse("audit_verify"))
    adopt(admin, "A disk was replaced")
    adoption = AuditEntry.objects.get(event=Event.LOG_ADOPTED).seq

    response = admin.post(reverse("audit_verify"), follow=True)

    text = words(response)
    assert f"An admin adopted the log as it is (entry {adoption}). Verified from entry {adoption} on" in says(response)
    assert f"Verified from entry {adoption} on" in text
    assert f"Broken at entry {broken} ; adopted up to entry {adoption - 1} by admin@halden.example" in text
    assert f"( entry {adoption} ): A disk was replaced" in text
    assert "Chain verified" not in text
    assert f"Audit chain verified from entry {adoption} up to entry" in words(admin.get(reverse("dashboard")))


def test_without_its_key_the_log_is_not_verified_and_the_page_says_why(auditor: Client, settings: Any) -> None:
    settings.KEY_RING_FILE.unlink()

    response = auditor.post(reverse("audit_verify"), follow=True)

    assert response.status_code == 200
    assert "Not verified. The key that signs entries cannot be read" in says(response)


def test_an_anchor_file_that_cannot_be_read_is_told(auditor: Client, settings: Any) -> None:
    entry()
    settings.ANCHOR_FILE.mkdir()

    response = auditor.post(reverse("audit_verify"), follow=True)

    assert "in doubt" in words(response)
    assert "The anchor file cannot be read." in words(response)


# --- the state of the chain -------------------------------------------------------------------------------------


def test_a_chain_that_nobody_verified_is_not_called_verified(auditor: Client) -> None:
    assert "Not verified yet" in words(auditor.get(reverse("audit")))


def test_a_chain_that_was_verified_long_ago_says_since_when_not(auditor: Client) -> None:
    auditor.post(reverse("audit_verify"), follow=True)
    LogStanding.objects.update(verified_at="2026-03-14T10:00:00Z")

    text = words(auditor.get(reverse("audit")))

    assert "Not verified since" in text
    assert "Chain verified" not in text.partition("All times UTC")[0]


def test_without_its_keys_the_chain_is_not_called_verified(auditor: Client, settings: Any) -> None:
    LogStanding.objects.create(pk=1, verified_at=timezone.now())
    settings.ANCHOR_FILE = settings.ANCHOR_FILE.with_name("none yet")
    settings.KEY_RING_FILE.unlink()

    text = words(auditor.get(reverse("audit")))

    assert "In doubt" in text
    assert "hain verified" not in text


def test_a_log_longer_than_a_round_says_what_was_gone_over_when(
    auditor: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(6):
        entry()
    auditor.post(reverse("audit_verify"))
    monkeypatch.setattr(chain_states, "AGAIN_AT_A_TIME", 2)
    LogStanding.objects.update(again_seq=2)

    text = words(auditor.get(reverse("audit")))

    assert "New entries, and a part of the older ones, gone over" in text
    assert "this round up to entry 2; all at once" in text
    assert "All gone over" not in text


# --- export -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "content_type"), [("csv", "text/csv"), ("jsonl", "application/x-ndjson")])
def test_an_export_is_streamed_as_a_file_that_nobody_keeps(auditor: Client, kind: str, content_type: str) -> None:
    entry(ticket="CHG-2291")
    entry(ticket="CHG-9999")

    response = auditor.get(reverse("audit_export"), {"format": kind, "q": "CHG-2291"})

    text = streamed(response)
    assert response.streaming
    assert response["Content-Type"].startswith(content_type)
    assert response["Cache-Control"] == "no-store"
    assert re.fullmatch(rf'attachment; filename="audit-log-\d{{8}}T\d{{6}}Z\.{kind}"', response["Content-Disposition"])
    assert "CHG-2291" in text
    assert "CHG-9999" not in text
    assert [each.actor for each in entries(Event.LOG_EXPORTED)][:1] == ["auditor@halden.example"]


def test_an_export_holds_what_the_page_shows(auditor: Client) -> None:
    entry(organization="acme")
    entry(organization="other")
    asked = {"organization": "acme"}

    shown = numbers(auditor.get(reverse("audit"), asked))
    response = auditor.get(reverse("audit_export"), {"format": "jsonl", **asked})
    lines = [json.loads(line) for line in streamed(response).splitlines()]

    assert [line["seq"] for line in lines if "seq" in line] == shown


@pytest.mark.parametrize("asked", [{}, {"format": "xlsx"}, {"format": "<script>"}])
def test_an_export_in_another_format_is_refused_in_a_sentence(auditor: Client, asked: dict[str, str]) -> None:
    response = auditor.get(reverse("audit_export"), asked)

    assert response.status_code == 400
    assert "Not exported: the format is csv or jsonl." in words(response)
    assert entries(Event.LOG_EXPORTED) == []


def test_an_export_with_a_wrong_filter_is_refused_and_says_which(auditor: Client) -> None:
    response = auditor.get(reverse("audit_export"), {"format": "csv", "since": "yesterday"})

    assert response.status_code == 400
    assert "A day is written as 2026-03-14." in words(response)
    assert entries(Event.LOG_EXPORTED) == []


def test_an_export_that_cannot_be_put_on_the_record_does_not_leave(auditor: Client, settings: Any) -> None:
    entry(ticket="CHG-2291")
    settings.KEY_RING_FILE.unlink()

    response = auditor.get(reverse("audit_export"), {"format": "csv"})

    assert response.status_code == 503
    assert "Not exported. The key that signs entries cannot be read" in words(response)


# --- adopt ------------------------------------------------------------------------------------------------------


def in_doubt() -> int:
    """Let an entry be edited, and be found."""
    seq = entry(reason="Region is down")
    tamper(seq, reason="Nobody knows")
    integrity.verify_and_keep(by=factories.WORKER)
    return seq


def test_while_the_log_is_in_doubt_its_page_says_what_is_wrong_and_what_adopting_means(admin: Client) -> None:
    seq = in_doubt()

    response = admin.get(reverse("audit"))

    assert f": entry {seq}: its content is not what was signed." in words(response)
    assert re.search(r"Found \d\d:\d\d:\d\d : entry", words(response))
    assert "Changes are possible again." in words(response)
    assert f'action="{reverse("audit_adopt")}#adopt"' in response.content.decode()
    assert "In doubt" in words(response)


def adopt(admin: Client, reason: str) -> Any:
    """Adopt what the page shows, as its form does."""
    seen = re.search(r'<input type="hidden" name="seen" value="([^"]*)">', admin.get(reverse("audit")).content.decode())
    assert seen is not None
    return admin.post(reverse("audit_adopt"), {"reason": reason, "seen": seen[1]}, follow=True)


def test_what_was_not_shown_is_not_adopted_and_what_was_typed_stays(admin: Client) -> None:
    guards.lift(connection)
    entry(reason="Region is down")
    shown = admin.get(reverse("audit")).context["seen"]
    guards.install(connection)
    seq = in_doubt()

    response = admin.post(reverse("audit_adopt"), {"reason": "The guards are back", "seen": shown})

    assert response.status_code == 409
    assert "What is wrong now is not what this page had shown." in words(response)
    assert f"entry {seq}: its content is not what was signed" in words(response)
    assert "The guards are back" in response.content.decode()
    assert entries(Event.LOG_ADOPTED) == []


def test_the_page_leads_to_the_entries_where_the_chain_is_broken(auditor: Client) -> None:
    seq = in_doubt()
    entry()

    page = auditor.get(reverse("audit")).content.decode()

    link = re.search(r'href="([^"]*)#h-entries">look at the entries there', page)
    assert link is not None
    assert numbers(auditor.get(link[1]))[:2] == [seq + 1, seq]


def test_guards_that_are_back_are_told_as_missing_then_and_not_now(auditor: Client) -> None:
    entry()
    guards.lift(connection)
    integrity.verify_and_keep(by=factories.WORKER)
    before = words(auditor.get(reverse("audit")))
    guards.install(connection)

    text = words(auditor.post(reverse("audit_verify"), follow=True))

    assert "They are there again." not in before
    assert "manage.py migrate" in before
    assert "They are there again. Next: find out who took them away; then adopt the log." in text
    assert "Found then: guards of the audit log are missing" in text
    assert "manage.py migrate" not in text


def test_an_anchor_file_that_is_another_installations_is_told_like_a_restored_backup(
    admin: Client, settings: Any
) -> None:
    entry()
    settings.ANCHOR_FILE.write_text('{"checkpoint": "of somebody else"}\n')

    response = admin.get(reverse("audit"))

    assert "The anchor file holds nothing that this installation signed" in words(response)
    assert "Outcome unknown, since they may have been sent" in words(response)


def test_an_auditor_sees_what_is_wrong_and_who_can_adopt(auditor: Client) -> None:
    in_doubt()
    factories.person(Role.ADMIN)

    response = auditor.get(reverse("audit"))

    assert "Needs an admin: admin." in words(response)
    assert "Adopt the log as it is" not in words(response)


def test_an_admin_adopts_the_log_for_a_reason(admin: Client) -> None:
    in_doubt()

    response = adopt(admin, "A disk was replaced")

    assert "Changes are possible again." in says(response)
    assert integrity.trouble() is None
    assert [each.reason for each in entries(Event.LOG_ADOPTED)] == ["A disk was replaced"]


def test_a_restored_backup_says_what_becomes_of_open_changes(admin: Client) -> None:
    entry()
    ahead = anchors.checkpoint(audit.head().__class__(99, "f" * 64))
    anchors.put(ahead)

    response = admin.get(reverse("audit"))

    assert "a backup was restored" in words(response)
    assert "Outcome unknown, since they may have been sent, and every organization is read anew" in words(response)


def test_without_a_reason_nothing_is_adopted(admin: Client) -> None:
    in_doubt()

    response = admin.post(reverse("audit_adopt"), {"reason": "  "})

    assert response.status_code == 422
    assert "Say why the log is as it is, and who knows of it." in words(response)
    assert integrity.trouble() is not None


def test_a_reason_that_is_too_long_is_kept_to_be_shortened(admin: Client) -> None:
    in_doubt()

    response = admin.post(reverse("audit_adopt"), {"reason": "x" * 2001})

    assert response.status_code == 422
    assert "At most 2000 characters." in words(response)
    assert "x" * 2001 in response.content.decode()


def test_without_guards_nothing_is_adopted_and_what_was_typed_stays(admin: Client) -> None:
    entry()
    guards.lift(connection)

    response = admin.post(reverse("audit_adopt"), {"reason": "<script>We dropped them"})

    assert response.status_code == 422
    assert "Next: run manage.py migrate." in words(response)
    assert "&lt;script&gt;We dropped them" in response.content.decode()
    assert entries(Event.LOG_ADOPTED) == []


def test_without_the_key_nothing_is_adopted_and_the_page_says_so(admin: Client, settings: Any) -> None:
    in_doubt()
    seen = admin.get(reverse("audit")).context["seen"]
    settings.KEY_RING_FILE.unlink()

    response = admin.post(reverse("audit_adopt"), {"reason": "The key is lost", "seen": seen})

    assert response.status_code == 422
    assert "The key that signs entries cannot be read" in words(response)
    assert "The key is lost" in response.content.decode()


def test_without_its_anchors_nothing_is_adopted_and_the_page_says_so(admin: Client, settings: Any) -> None:
    entry()
    settings.ANCHOR_FILE.mkdir()
    seen = admin.get(reverse("audit")).context["seen"]

    response = admin.post(reverse("audit_adopt"), {"reason": "The file is gone", "seen": seen})

    assert response.status_code == 422
    assert "The anchor file cannot be used" in words(response)
    assert entries(Event.LOG_ADOPTED) == []


def test_a_log_that_is_whole_is_not_adopted(admin: Client) -> None:
    response = admin.post(reverse("audit_adopt"), {"reason": "To be sure"}, follow=True)

    assert "Nothing was adopted" in says(response)
    assert entries(Event.LOG_ADOPTED) == []


# --- around each page -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "next_step"),
    [
        (Role.ADMIN, "look at the audit log, and adopt it"),
        (Role.AUDITOR, "look at the audit log ; an admin adopts it"),
        (Role.OPERATOR, "an admin looks at the audit log, and adopts it"),
    ],
)
def test_every_page_says_that_the_log_is_in_doubt_and_what_this_person_does_next(
    role: Role, next_step: str, signed_in: SignIn
) -> None:
    in_doubt()

    response = signed_in(role).get(reverse("dashboard"))

    assert "The audit log is in doubt since" in words(response)
    assert next_step in words(response)


def test_every_page_says_at_its_foot_when_the_chain_was_verified(auditor: Client, viewer: Client) -> None:
    before = words(viewer.get(reverse("dashboard")))
    auditor.post(reverse("audit_verify"))

    after = viewer.get(reverse("dashboard"))

    assert "Audit chain verified" not in before
    assert "Audit chain verified" in words(after)
    assert reverse("audit") not in after.content.decode()
    assert f'<a href="{reverse("audit")}">Audit chain verified' in auditor.get(reverse("dashboard")).content.decode()
