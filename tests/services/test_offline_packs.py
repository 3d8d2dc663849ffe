"""The offline pack: its own commands are run by a shell, against the simulator, as whoever holds it would."""

from __future__ import annotations

import json
import re
import subprocess
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone

from hamr_portal.crypto import KeyRingUnusable
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import HamrStatus, sanitized
from hamr_portal.domain.organizations import SITES, sites_with
from hamr_portal.domain.people import Role
from hamr_portal.models import AuditEntry, Organization, Snapshot
from hamr_portal.services import offline_packs, previews
from hamr_portal.services.audit import CannotSign
from hamr_portal.services.offline_packs import Made
from hamr_portal.services.previews import Wish
from hamr_portal.simulator import SimulatedOrganization, Simulator
from tests import factories
from tests.shell import by_a_shell

from . import changing, tampering

pytestmark = pytest.mark.django_db

SENDER = "mara.lindqvist@halden.example"
NOTHING_LEFT = re.compile(r"^HTTP 000, sent after 0\.000000 s$", re.MULTILINE)


class Read(HTMLParser):
    """The file as a person reads it: its commands, and its words without them."""

    def __init__(self, made: Made) -> None:
        super().__init__()
        self.commands: list[str] = []
        self.words = ""
        self._within = ""
        self.feed(made.content.decode())
        self.close()
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "pre":
            self.commands.append("")
        if tag not in ("strong", "code", "a"):
            self.words += " "
        self._within = tag

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "pre":
            self.commands[-1] += data
        elif self._within != "style":
            self.words += data

    def those(self, *parts: str) -> list[str]:
        """Give the commands that hold all of these."""
        return [each for each in self.commands if all(part in each for part in parts)]

    def send(self, name: str, status: HamrStatus) -> str:
        """Give the command that sets an organization to a status."""
        variable = f"${name.upper().replace('-', '_')}_API_KEY"
        (command,) = [
            each for each in self.those(variable, "--data-raw") if re.search(rf'tatus": {status.value},', each)
        ]
        return command


def made() -> Made:
    return offline_packs.make(by=factories.SHELL)


def by_hand(read: Read, organization: SimulatedOrganization, *commands: str) -> str:
    """Run commands in a new shell into which sender and keys are put as the file says; give what they print."""
    asking = [*read.those("MODIFIED_BY", "read -r"), *read.those(f"API key of {organization.name}: ")]
    script = "\n".join([*(line.replace("read -rs", "read -r") for line in asking), *commands])
    answers = f"{SENDER}\n{organization.api_key}\n{organization.application_key}\n"
    ended = subprocess.run(["bash", "-c", script], input=answers, capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr


@by_a_shell
@pytest.mark.parametrize("spelling", ["snake_case", "PascalCase"])
def test_its_commands_take_a_pair_along_the_usual_path_and_back(
    simulator: Simulator, spelling: Literal["snake_case", "PascalCase"]
):
    changing.connected(simulator, spelling=spelling)
    acme = simulator.organizations.named("acme")
    read = Read(made())

    seen = []
    for status in (HamrStatus.FAILOVER, HamrStatus.ACTIVE, HamrStatus.RECOVERY, HamrStatus.PASSIVE):
        said = by_hand(read, acme, read.send("acme", status), *read.those("$ACME_API_KEY")[:1])
        assert said.count("HTTP 200, sent after 0.") == 2, said
        assert acme.view is not None
        seen.append((acme.view.hamr_status, acme.view.modified_by))

    assert seen == [(3, SENDER), (4, SENDER), (5, SENDER), (2, SENDER)]
    assert len(simulator.posts) == 4


@by_a_shell
@pytest.mark.parametrize("spelled", ["AUTO", "SNAKE_CASE", "PASCAL_CASE"])
@pytest.mark.parametrize("answers_in", ["snake_case", "PascalCase"])
def test_a_body_is_the_one_that_the_portal_would_send(simulator: Simulator, answers_in: Any, spelled: str):
    primary, _ = changing.connected(simulator, spelling=answers_in)
    Organization.objects.update(spelling=spelled)
    read = Read(made())

    by_hand(read, simulator.organizations.named("acme"), read.send("acme", HamrStatus.FAILOVER))

    sight = previews.look(Wish(changing.again(primary), HamrStatus.FAILOVER), by=changing.operator())
    (post,) = simulator.posts
    assert post.body.decode() == previews.request_of(sight, writer=SENDER)
    assert post.headers["content-type"] == post.headers["accept"] == "application/json"


@by_a_shell
@pytest.mark.parametrize(
    "name",
    ["'; touch {there}; '", "$(touch {there})", "`touch {there}`", '"$(touch {there})" \\u0000 "\\u0000"', "a\nb"],
)
def test_no_name_runs_in_the_shell(simulator: Simulator, tmp_path: Path, name: str):
    there = tmp_path / "there"
    changing.connected(simulator)
    named = sanitized(name.format(there=there), 200)
    Snapshot.objects.update(target_name=named)
    read = Read(made())

    by_hand(read, simulator.organizations.named("acme"), read.send("acme", HamrStatus.FAILOVER))

    assert json.loads(simulator.posts[0].body)["data"]["attributes"]["target_org_name"] == named
    assert not there.exists()


# --- what curl says, and what that means ------------------------------------------------------------------------


def answer(simulator: Simulator, fault: str, **options: Any) -> str:
    changing.connected(simulator)
    read = Read(made())
    simulator.set_fault("acme", fault, **options)
    command = read.send("acme", HamrStatus.FAILOVER).replace("--max-time 30", "--max-time 1")
    return by_hand(read, simulator.organizations.named("acme"), command)


@by_a_shell
def test_a_request_that_never_left_is_told_by_the_last_line(simulator: Simulator):
    assert NOTHING_LEFT.search(answer(simulator, "refuse"))
    assert simulator.posts == []


@by_a_shell
@pytest.mark.parametrize("fault", ["hang", "drop_before", "drop_after", "truncated"])
def test_a_request_that_left_is_never_told_as_one_that_did_not(simulator: Simulator, fault: str):
    said = answer(simulator, fault, verb="POST")

    assert re.search(r"^HTTP \d+, sent after 0\.\d*[1-9]\d* s$", said, re.MULTILINE)
    assert not NOTHING_LEFT.search(said)
    assert len(simulator.posts) == 1


@by_a_shell
@pytest.mark.parametrize(("fault", "status"), [("403", 403), ("429", 429), ("503", 503)])
def test_a_refusal_shows_its_status_and_nothing_is_sent_twice(simulator: Simulator, fault: str, status: int):
    assert f"HTTP {status}, sent after" in answer(simulator, fault, verb="POST")
    assert len(simulator.posts) == 1


@by_a_shell
def test_a_redirect_is_not_followed_although_curlrc_says_so(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".curlrc").write_text("location\nretry = 3\n")

    said = answer(simulator, "redirect", verb="POST")

    assert "HTTP 30" in said
    assert simulator.followed == []


# --- what is told of a side -------------------------------------------------------------------------------------


def test_each_side_is_told_with_when_it_was_read(simulator: Simulator):
    primary, secondary = changing.connected(simulator)

    read = Read(made())

    for side in (primary, secondary):
        assert side.snapshot.answered_at is not None
        assert f"last known PASSIVE, read {side.snapshot.answered_at:%Y-%m-%d %H:%M:%S}" in read.words
        assert str(side.uuid) in read.words
        assert previews.url_of(side) in read.words
    assert "before this was made" in read.words
    assert "In sync when this was made" in read.words
    assert len(read.those("--data-raw")) == 8
    assert made().pack.without_request == []


def test_a_side_that_stopped_answering_keeps_its_requests(simulator: Simulator):
    changing.connected(simulator)
    Snapshot.objects.filter(organization__name="acme").update(outcome="NO_ANSWER", attempt_failed=True)

    read = Read(made())

    assert "Then: No answer, since" in read.words
    assert len(read.those("$ACME_API_KEY", "--data-raw")) == 4


def test_keys_that_were_refused_are_warned_of(simulator: Simulator):
    changing.connected(simulator)
    Snapshot.objects.filter(organization__name="acme").update(outcome="KEY_REFUSED", attempt_failed=True)

    assert "The keys that the portal has were refused. Take others." in Read(made()).words


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ({"outcome": "WRONG_ORGANIZATION"}, "answered for another organization"),
        ({"has_connection": None, "answered_at": None, "status": None, "outcome": ""}, "It was never read"),
        ({"has_connection": False, "status": None, "outcome": "NO_CONNECTION"}, "it has no HAMR connection"),
        ({"status": 0}, "Its last known status is UNSPECIFIED"),
        ({"status": 7}, "Its last known status is Unknown status 7"),
        ({"target_uuid": None}, "cannot be written back unchanged"),
        ({"target_name": "acme\N{REPLACEMENT CHARACTER}dr"}, "cannot be written back unchanged"),
    ],
)
def test_where_no_request_can_be_relied_on_there_is_none_and_the_reason(seen: dict[str, Any], says: str):
    factories.seen(factories.organization("acme"), **{"target_uuid": uuid4()} | seen)

    pack = made()

    read = Read(pack)
    assert "acme" in pack.pack.without_request
    assert says in read.words
    assert read.those("$ACME_API_KEY", "--data-raw") == []
    assert len(read.those("$ACME_API_KEY")) == 1


def test_a_split_view_offers_no_request_on_either_side(simulator: Simulator):
    changing.connected(simulator)
    simulator.split("acme", hamr_status=4)
    changing.look(*Organization.objects.all())

    read = Read(made())

    assert read.words.count("The two sides disagreed") == 2
    assert read.those("--data-raw") == []


def test_an_unknown_uuid_offers_no_request():
    factories.seen(factories.organization("acme"), target_uuid=uuid4())
    Organization.objects.filter(name="acme").update(uuid=None)

    assert "Its UUID is not known." in Read(made()).words


def test_a_site_in_no_list_has_no_address_and_so_no_command(settings: Any):
    settings.HAMR_SITES = {"us5": SITES["us5"]}
    factories.pair("acme", "acme-dr")

    read = Read(made())

    assert "its site us1 is in no list of the portal" in read.words
    assert read.those("curl", "$ACME_API_KEY") == []
    assert len(read.those("curl", "$ACME_DR_API_KEY")) == 5


def test_what_is_disabled_is_named_and_its_other_side_warned_of(simulator: Simulator):
    primary, secondary = changing.connected(simulator)
    Organization.objects.filter(pk=secondary.pk).update(disabled_at=timezone.now())

    pack = made()

    read = Read(pack)
    assert pack.pack.without_request == ["acme-dr"]
    assert "The other side is not in this file" in read.words
    assert read.those("$ACME_DR_API_KEY") == []
    assert f"acme-dr {secondary.site} {secondary.uuid}" in read.words
    assert primary.name in read.words


def test_where_a_second_person_is_asked_for_it_says_whom_to_ask(simulator: Simulator):
    changing.connected(simulator, approval=True)
    nobody = Read(made())
    factories.person(Role.APPROVER, "jonas.weber@halden.example")

    somebody = Read(made())

    assert "Nobody may approve in the portal" in nobody.words
    assert (
        "It asks for a second person before each change. Ask one of jonas.weber@halden.example first" in somebody.words
    )


def test_a_change_that_is_open_is_warned_of(simulator: Simulator):
    primary, _ = changing.connected(simulator)
    changing.standing(primary, ChangeStatus.UNKNOWN)

    assert "A change was open then: acme to FAILOVER, by operator@halden.example, sent" in Read(made()).words


def test_an_installation_without_organizations_gets_a_file_too():
    assert "No organization is read." in Read(made()).words


def test_a_proxy_is_told_and_not_named(settings: Any):
    settings.HAMR_PROXY = "http://proxy.halden.example:3128"

    text = made().content.decode()

    assert "The portal goes through a proxy" in text
    assert "proxy.halden.example" not in text


# --- the file, and the record of it -----------------------------------------------------------------------------


def test_no_key_is_in_it(simulator: Simulator):
    changing.connected(simulator)
    factories.organization("other")

    text = made().content.decode()

    keys = [factories.CANARY_API_KEY, factories.CANARY_APPLICATION_KEY]
    for each in simulator.organizations:
        keys += [each.api_key, each.application_key]
    assert [key for key in keys if key in text or key[-4:] + '"' in text] == []


def test_it_says_its_hash_in_its_last_line_and_the_record_says_it_too():
    pack = made()

    *above, last = pack.content.splitlines(keepends=True)
    assert sha256(b"".join(above)).hexdigest() == pack.sha256
    assert pack.sha256.encode() in last
    assert json.loads(pack.entry.data) == {"organizations": 0, "sha256": pack.sha256, "without_request": 0}
    assert (pack.entry.event, pack.entry.actor_name) == ("offline_pack.made", factories.SHELL.name)
    assert AuditEntry.objects.filter(event="offline_pack.made").count() == 1


def test_it_names_its_moment_its_maker_and_the_end_of_the_log():
    before = made()

    pack = made()

    read = Read(pack)
    assert f"{pack.pack.at:%H:%M:%S} UTC, by {factories.SHELL.name}" in read.words
    assert f"up to entry {before.entry.seq}, {before.entry.hash}" in read.words
    assert pack.pack.at <= pack.entry.at


@pytest.mark.parametrize(
    ("environment", "begins"), [("Production EU", "offline-pack-production-eu-"), ("€", "offline-pack-")]
)
def test_its_name_tells_of_which_portal_it_is_and_of_when(settings: Any, environment: str, begins: str):
    settings.ENVIRONMENT_NAME = environment

    assert re.fullmatch(rf"{begins}\d{{8}}T\d{{6}}Z\.html", made().name)


def test_the_last_one_is_known():
    assert offline_packs.last() is None
    made()
    pack = made()

    last = offline_packs.last()

    assert last is not None
    assert (last.entry.seq, last.sha256) == (pack.entry.seq, pack.sha256)


def test_of_an_entry_that_was_edited_no_hash_is_believed():
    pack = made()
    tampering.unguarded("UPDATE hamr_portal_auditentry SET data = '{}' WHERE seq = %s", pack.entry.seq)

    last = offline_packs.last()

    assert last is not None
    assert last.sha256 == ""


def test_without_a_record_there_is_no_file():
    settings.KEY_RING_FILE.unlink()

    with pytest.raises((CannotSign, KeyRingUnusable)):
        made()

    assert not AuditEntry.objects.exists()


def test_it_asks_nobody(simulator: Simulator, settings: Any):
    changing.connected(simulator)
    asked = len(simulator.requests)
    settings.HAMR_SITES = sites_with(simulator.hamr_sites)

    made()

    assert len(simulator.requests) == asked
