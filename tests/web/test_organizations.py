from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.views.debug import get_exception_reporter_class
from pytest_django import DjangoAssertNumQueries

from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.connections import ReadOutcome
from hamr_portal.domain.pairs import Column
from hamr_portal.models import AuditEntry, Observation, Organization, Pair, Snapshot
from hamr_portal.services import organizations
from hamr_portal.simulator import SimulatedOrganization, Simulator
from tests import factories
from tests.open_changes import opened

pytestmark = pytest.mark.django_db


def url(view: str, name: str = "halden-checkout") -> str:
    return reverse(view, kwargs={"name": name})


def typed(simulated: Any, **changes: str) -> dict[str, str]:
    """Give what somebody types to save an organization of the simulator."""
    return {
        "name": simulated.name,
        "site": simulated.site,
        "api_key": simulated.api_key,
        "application_key": simulated.application_key,
        "spelling": "AUTO",
        **changes,
    }


# --- one organization -------------------------------------------------------------------------------------------


def test_an_organization_shows_both_views_and_raw_answers(viewer: Client) -> None:
    primary, _ = factories.pair()
    factories.seen(primary, raw='{"data": {"id": "the-raw-answer"}}')

    shown = viewer.get(url("organization")).content.decode()

    assert "Both views" in shown
    assert "halden-checkout-dr" in shown
    assert "the-raw-answer" in shown
    assert "Primary of" in shown


def test_history_marks_what_was_changed_outside(viewer: Client) -> None:
    primary, _ = factories.pair()
    Observation.objects.create(
        organization=primary,
        at=timezone.now(),
        outcome=ReadOutcome.ANSWERED,
        has_connection=True,
        status=3,
        outside=True,
        modified_by="priya.raman",
    )

    shown = viewer.get(url("organization")).content.decode()

    assert "FAILOVER" in shown
    assert "priya.raman" in shown
    assert "outside" in shown.casefold()


def test_reading_now_reads_both_sides(viewer: Client, simulator: Simulator) -> None:
    made = [
        simulator.add_organization("halden-checkout", "us1"),
        simulator.add_organization("halden-checkout-dr", "us5"),
    ]
    simulator.add_pair("halden-checkout", "halden-checkout-dr", status=4)
    pair = Pair.objects.create(name="Checkout", found_at=timezone.now())
    for each, column in zip(made, Column, strict=True):
        factories.simulated(each, pair=pair, column=column)

    response = viewer.post(url("organization_refresh"), follow=True)

    assert list(Snapshot.objects.values_list("status", flat=True)) == [4, 4]
    assert "read now" in response.content.decode()


def test_an_organization_without_any_view_is_shown(viewer: Client) -> None:
    factories.organization()

    shown = viewer.get(url("organization")).content.decode()

    assert "Not read yet" in shown


def test_a_disabled_organization_says_so_and_to_whom_to_turn(viewer: Client) -> None:
    primary, _ = factories.pair()
    before = viewer.get(url("organization")).content.decode()
    organizations.disable(primary, by=factories.ADMIN)

    shown = viewer.get(url("organization")).content.decode()

    assert "Disabled since" not in before
    assert "<title>halden-checkout: disabled" in shown
    assert "Disabled since" in shown
    assert "Needs an admin" in shown


def test_an_admin_is_led_from_a_disabled_organization_to_where_it_is_enabled(admin: Client) -> None:
    primary, _ = factories.pair()
    organizations.disable(primary, by=factories.ADMIN)

    shown = admin.get(url("organization")).content.decode()

    assert f'id="enable" href="{url("organization_edit")}' in shown


def observed(*moments: tuple[Organization, int, str]) -> None:
    """Write lines of history: whose, after how many minutes, and by whom."""
    began = timezone.now() - timedelta(days=1)
    for number, (organization, minutes, modified_by) in enumerate(moments):
        Observation.objects.create(
            organization=organization,
            at=began + timedelta(minutes=minutes),
            outcome=ReadOutcome.ANSWERED,
            has_connection=True,
            status=3 + number % 2,
            modified_by=modified_by,
        )


def test_history_of_both_sides_is_newest_first(viewer: Client) -> None:
    primary, secondary = factories.pair()
    observed(
        (primary, 20, "by-third"), (primary, 10, "by-first"), (secondary, 30, "by-fourth"), (primary, 20, "by-later")
    )
    observed((secondary, 15, "by-second"))

    shown = viewer.get(url("organization")).content.decode().split('id="history"')[1].split("</section>")[0]

    assert re.findall(r"by-\w+", shown) == ["by-fourth", "by-later", "by-third", "by-second", "by-first"]


def test_history_shows_the_newest_fifty_lines(viewer: Client) -> None:
    primary, secondary = factories.pair()
    observed(*((side, minutes, f"by{minutes:03}") for minutes in range(26) for side in (primary, secondary)))

    shown = viewer.get(url("organization")).content.decode().split('id="history"')[1].split("</section>")[0]

    assert shown.split("<tbody")[1].count("<tr") == 50
    assert "by025" in shown
    assert "by000" not in shown


# --- its past ---------------------------------------------------------------------------------------------------


def section(client: Client, name: str, address: str = "") -> str:
    shown = client.get(address or url("organization")).content.decode()
    return shown.split(f'id="{name}"')[1].split("</section>")[0]


def silent(organization: Organization, **ago: float) -> None:
    """Let it have answered for a month, until it did not any more."""
    now = timezone.now()
    lines = (
        {"at": now - timedelta(days=31), "outcome": ReadOutcome.ANSWERED},
        {"at": now - timedelta(**ago), "outcome": ReadOutcome.NO_ANSWER},
    )
    for line in lines:
        Observation.objects.create(organization=organization, has_connection=True, status=2, **line)


def test_the_timeline_shows_both_sides_with_what_was_not_answered(viewer: Client) -> None:
    primary, secondary = factories.pair()
    silent(primary, hours=2)
    observed((secondary, 90, "by-somebody"))

    shown = section(viewer, "timeline")

    bars = re.findall(r'<rect class="b-(\w+)" x="([\d.]+)%" y="(\d+)"', shown)
    assert [(look, y) for look, _, y in bars] == [
        ("passive", "52"),
        ("none", "52"),
        ("unread", "114"),
        ("failover", "114"),
    ]
    assert [float(x) for _, x, _ in bars] == pytest.approx([0, 91.7, 0, 6.3], abs=0.1)
    assert "us1 halden-checkout</text>" in shown
    assert ">No answer since " in shown
    assert '<desc id="tl-d">halden-checkout: PASSIVE; from ' in shown


@pytest.mark.parametrize(
    ("query", "words"), [("", "24 h"), ("?range=30d", "30 d"), ("?range=6h", "6 h"), ("?range=%00'&range=", "24 h")]
)
def test_the_timeline_goes_back_as_far_as_the_address_says(viewer: Client, query: str, words: str) -> None:
    factories.pair()

    shown = section(viewer, "timeline", url("organization") + query)

    assert f"HAMR status over the last {words}</title>" in shown
    assert re.findall(r'aria-current="true">([^<]+)<', shown) == [words]


def test_a_refresh_keeps_the_range_and_so_does_a_page_without_script(viewer: Client) -> None:
    factories.pair()

    shown = viewer.get(url("organization") + "?range=7d").content.decode()

    assert 'data-hx-get="/organizations/halden-checkout/?range=7d"' in shown
    assert "#timeline," in shown.split("data-hx-select-oob=")[1].split(">")[0]
    assert 'url=?range=7d&amp;live=1"' in shown
    assert 'href="?range=6h"' in section(viewer, "timeline", url("organization") + "?range=7d&live=1")


def test_a_change_has_one_number_in_the_picture_its_table_and_the_list_of_changes(viewer: Client) -> None:
    primary, secondary = factories.pair()
    now = timezone.now()
    opened(secondary, ChangeStatus.VERIFIED, at=now - timedelta(days=3))
    opened(primary, ChangeStatus.VERIFIED, at=now - timedelta(hours=9), applied_modified_at=now - timedelta(hours=8))
    opened(secondary, ChangeStatus.VERIFIED, at=now - timedelta(hours=2))

    timeline, recent = section(viewer, "timeline"), section(viewer, "recent")

    assert re.findall(r'class="tl-pin-n" y="4">(\d)<', timeline) == ["1", "2"]
    assert re.findall(r'class="pin">(\d)</span> <a href="/changes/\d+/">FAILOVER sent to (us\d)</a>', timeline) == [
        ("1", "us1"),
        ("2", "us5"),
    ]
    assert timeline.count("took effect") == 1
    assert re.findall(r'class="pin">(\d)<', recent) == ["2", "1"]
    assert recent.split("<tbody")[1].count("<tr") == 3


def test_what_was_changed_outside_is_marked_and_in_the_key_and_in_the_table(viewer: Client) -> None:
    primary, _ = factories.pair()
    observed((primary, 90, "priya.raman"))
    Observation.objects.update(outside=True)

    shown = section(viewer, "timeline")

    assert shown.count('<use href="#tl-outside"') == 1
    assert "Changed outside the portal</li>" in shown
    assert "us1, by priya.raman, seen " in shown


def test_the_past_of_an_organization_that_was_never_read_is_not_known(viewer: Client) -> None:
    factories.organization()

    shown = section(viewer, "timeline")

    assert '<rect class="b-unread" x="0.00%"' in shown
    assert shown.count('<rect class="b-') == 2  # the bar, and its line of the key
    assert ">Not read yet</text>" in shown


def test_a_table_that_leaves_out_rows_says_so(viewer: Client) -> None:
    primary, _ = factories.pair()
    now = timezone.now()
    turns = range(2, 140)
    Observation.objects.bulk_create(
        Observation(
            organization=primary,
            at=now - timedelta(minutes=10 * each),
            outcome=ReadOutcome.ANSWERED,
            has_connection=True,
            status=2 + each % 2,
        )
        for each in turns
    )

    assert "The newest 100 rows; " in section(viewer, "timeline")


def test_an_organizations_page_asks_the_database_as_often_for_a_long_past_as_for_a_short_one(
    viewer: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    primary, secondary = factories.pair()
    observed(*((side, minutes, "by-somebody") for minutes in range(60) for side in (primary, secondary)))
    for hours in (1, 2, 3):
        opened(secondary, ChangeStatus.VERIFIED, at=timezone.now() - timedelta(hours=hours))

    with django_assert_max_num_queries(20):
        viewer.get(url("organization"))


# --- saved organizations ----------------------------------------------------------------------------------------


def test_saved_keys_are_shown_as_dots(admin: Client) -> None:
    factories.organization()

    shown = admin.get(reverse("organizations")).content.decode() + admin.get(url("organization_edit")).content.decode()

    assert "••••1e07" in shown
    assert "••••b3d4" in shown
    assert factories.CANARY_API_KEY not in shown
    assert factories.CANARY_APPLICATION_KEY not in shown


def test_good_keys_are_verified_saved_and_pinned(admin: Client, simulator: Simulator) -> None:
    made = simulator.add_organization("halden-checkout", "us1")

    response = admin.post(reverse("organization_new"), typed(made), follow=True)

    saved = Organization.objects.get()
    assert "saved. The keys read." in response.content.decode()
    assert str(saved.uuid) == str(made.uuid)
    assert made.api_key not in response.content.decode()
    assert AuditEntry.objects.filter(event="organization.added", actor_name="admin@halden.example").count() == 1


def test_refused_keys_save_nothing_and_keep_the_text(admin: Client, simulator: Simulator) -> None:
    made = simulator.add_organization("halden-checkout", "us1")

    response = admin.post(reverse("organization_new"), typed(made, application_key="wrong0wrong0wrong0wrong0"))

    shown = response.content.decode()
    assert response.status_code == 422
    assert "the application key was refused" in shown
    assert 'value="halden-checkout"' in shown
    assert "wrong0wrong0" not in shown
    assert made.api_key not in shown
    assert not Organization.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", "Halden Checkout", "Lower-case letters, digits and hyphens"),
        ("name", "new", "Lower-case letters, digits and hyphens"),
        ("name", "", "Give it a short name"),
        ("site", "http://169.254.169.254", "Choose a site from the list"),
        ("site", "datadoghq.com@evil", "Choose a site from the list"),
        ("api_key", "short", "A key is 16 to 128 letters"),
        ("api_key", "with space 0123456789abcdef", "A key is 16 to 128 letters"),
        ("application_key", "line\nbreak0123456789abcdef", "A key is 16 to 128 letters"),
        ("application_key", "", "Paste the key"),
    ],
)
def test_what_cannot_be_saved_is_said_beside_its_field(
    field: str, value: str, sentence: str, admin: Client, simulator: Simulator
) -> None:
    made = simulator.add_organization("halden-checkout", "us1")

    response = admin.post(reverse("organization_new"), typed(made, **{field: value}))

    assert response.status_code == 422
    assert sentence in response.content.decode()
    assert not Organization.objects.exists()
    assert simulator.requests == []


def test_a_name_that_is_taken_is_said(admin: Client, simulator: Simulator) -> None:
    factories.organization()
    made = simulator.add_organization("halden-checkout", "us1")

    response = admin.post(reverse("organization_new"), typed(made))

    assert response.status_code == 422
    assert "is saved already" in response.content.decode()


def test_verify_only_saves_nothing(admin: Client, simulator: Simulator) -> None:
    made = simulator.add_organization("halden-checkout", "us1")

    response = admin.post(reverse("organization_new"), typed(made, verify="1"))

    assert response.status_code == 200
    assert "Reads" in response.content.decode()
    assert not Organization.objects.exists()


def test_empty_keys_keep_the_saved_ones(admin: Client, simulator: Simulator) -> None:
    made = simulator.add_organization("halden-checkout", "us1")
    before = factories.simulated(made)

    admin.post(
        url("organization_edit"),
        typed(made, name="halden-renamed", api_key="", application_key="", requires_approval="on"),
    )

    after = Organization.objects.get()
    assert (after.name, after.requires_approval) == ("halden-renamed", True)
    assert after.sealed_api_key == before.sealed_api_key


def test_keys_of_another_organization_are_refused_until_they_are_pinned_with_a_reason(
    admin: Client, simulator: Simulator
) -> None:
    made = simulator.add_organization("halden-checkout", "us1")
    factories.organization(uuid=uuid4())

    refused = admin.post(url("organization_edit"), typed(made))
    without_reason = admin.post(url("organization_edit"), typed(made, pin_anew="on"))
    pinned = admin.post(url("organization_edit"), typed(made, pin_anew="on", reason="moved to a new account"))

    assert refused.status_code == 422
    assert 'name="pin_anew"' in refused.content.decode()
    assert without_reason.status_code == 422
    assert pinned.status_code == 302
    assert str(Organization.objects.get().uuid) == str(made.uuid)
    assert AuditEntry.objects.filter(reason="moved to a new account").exists()


def test_saved_keys_are_verified_on_demand(admin: Client, simulator: Simulator) -> None:
    made = simulator.add_organization("halden-checkout", "us1")
    factories.simulated(made)

    one = admin.post(url("organization_verify"), follow=True).content.decode()
    all_of_them = admin.post(reverse("organizations_verify"), follow=True).content.decode()

    assert "the keys read" in one
    assert "the keys read" in all_of_them


def test_a_missing_key_ring_is_named_and_nothing_is_saved(admin: Client, simulator: Simulator, settings: Any) -> None:
    made = simulator.add_organization("halden-checkout", "us1")
    settings.KEY_RING_FILE.unlink()

    response = admin.post(reverse("organization_new"), typed(made))

    assert response.status_code == 422
    assert "init_key_ring" in response.content.decode()
    assert not Organization.objects.exists()


def test_a_missing_key_ring_does_not_break_verifying(admin: Client, settings: Any) -> None:
    factories.organization()
    settings.KEY_RING_FILE.unlink()

    response = admin.post(reverse("organizations_verify"), follow=True)

    assert "init_key_ring" in response.content.decode()


def test_disabling_twice_says_that_somebody_was_first(admin: Client) -> None:
    factories.organization()

    first = admin.post(url("organization_disable"), follow=True).content.decode()
    second = admin.post(url("organization_disable"), follow=True).content.decode()
    again = admin.post(url("organization_enable"), follow=True).content.decode()

    assert "It is not read any more" in first
    assert "somebody else did that already" in second
    assert "enabled" in again
    assert AuditEntry.objects.filter(event="organization.disabled").count() == 1


def test_an_admin_names_a_pair(admin: Client) -> None:
    primary, _ = factories.pair()

    response = admin.post(reverse("pair_rename", kwargs={"pk": primary.pair_id}), {"name": "Cash desk"}, follow=True)

    assert "Cash desk" in response.content.decode()
    assert AuditEntry.objects.filter(event="pair.named").count() == 1


def test_a_pair_without_a_name_keeps_its_old_one(admin: Client) -> None:
    primary, _ = factories.pair()

    response = admin.post(reverse("pair_rename", kwargs={"pk": primary.pair_id}), {"name": ""}, follow=True)

    assert "Give the pair a name" in response.content.decode()
    assert Pair.objects.get().name == "Checkout"


# --- pairs that come of what was learned --------------------------------------------------------------------------

VERIFY: dict[str, Callable[[Client], object]] = {
    "the button of one": lambda admin: admin.post(url("organization_verify")),
    "the button of all": lambda admin: admin.post(reverse("organizations_verify")),
}


@pytest.fixture
def named_by_its_other_side(simulator: Simulator) -> SimulatedOrganization:
    """Give an organization that nobody saved yet; its other side is saved, was read, and names it."""
    made = simulator.add_organization("halden-checkout", "us1")
    other = factories.simulated(simulator.add_organization("halden-checkout-dr", "us5"))
    simulator.add_pair("halden-checkout", "halden-checkout-dr")
    factories.seen(other, is_primary=False, target_uuid=UUID(str(made.uuid)), target_name=made.name)
    return made


@pytest.mark.parametrize("how", list(VERIFY))
def test_what_was_saved_while_its_region_was_dark_is_paired_as_soon_as_it_is_verified(
    how: str, named_by_its_other_side: SimulatedOrganization, admin: Client, simulator: Simulator
) -> None:
    simulator.set_fault("halden-checkout", "refuse")
    admin.post(reverse("organization_new"), typed(named_by_its_other_side))
    assert Organization.objects.get(name="halden-checkout").uuid is None
    assert not Pair.objects.exists()
    simulator.set_fault("halden-checkout", None)

    VERIFY[how](admin)

    assert not Snapshot.objects.filter(organization__name="halden-checkout", answered_at__isnull=False).exists()
    sides = Pair.objects.get().sides.order_by("column")
    assert [side.name for side in sides] == ["halden-checkout", "halden-checkout-dr"]


def test_what_was_disabled_is_paired_as_soon_as_it_is_enabled(
    named_by_its_other_side: SimulatedOrganization, admin: Client
) -> None:
    factories.simulated(named_by_its_other_side, disabled_at=timezone.now())

    admin.post(url("organization_enable"))

    sides = Pair.objects.get().sides.order_by("column")
    assert [side.name for side in sides] == ["halden-checkout", "halden-checkout-dr"]


# --- what goes wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["organization_new", "organization_edit"])
def test_the_report_of_a_bug_holds_no_key(
    view: str,
    admin: Client,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def bug(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    made = simulator.add_organization(
        "halden-checkout", "us1", api_key="canary0api0key0000000", application_key="canary0application000"
    )
    path = reverse(view) if view == "organization_new" else url(view)
    if view == "organization_edit":
        factories.simulated(made)
    monkeypatch.setattr(organizations, "add", bug)
    monkeypatch.setattr(organizations, "edit", bug)
    admin.raise_request_exception = False

    response = admin.post(path, typed(made))

    assert response.status_code == 500
    logged = next(record for record in caplog.records if record.name == "django.request" and record.exc_info)
    # As it would be mailed to admins, and as a service that collects errors asks for it.
    request = vars(logged)["request"]
    kind, error, trace = logged.exc_info or (None, None, None)
    report = get_exception_reporter_class(request)(request, kind, error, trace, is_email=True)  # type: ignore[operator]
    assert "canary0" not in str(dict(report.filter.get_post_parameters(request)))
    text = report.get_traceback_text()
    assert "RuntimeError" in text
    assert path in text
    assert "canary0" not in text
    assert "canary0" not in report.get_traceback_html()


def test_a_read_that_failed_says_from_which_day_the_view_is(viewer: Client, simulator: Simulator) -> None:
    made = simulator.add_organization("halden-checkout", "us1")
    long_ago = timezone.now() - timedelta(days=3)
    factories.seen(factories.simulated(made), at=long_ago)
    simulator.set_fault("halden-checkout", "401")

    shown = viewer.post(url("organization_refresh"), follow=True).content.decode()

    assert f"The view below is from {long_ago.day} {long_ago:%b}" in shown


def test_an_organization_is_not_disabled_while_a_change_is_open_there(admin: Client) -> None:
    primary, _ = factories.pair()
    opened(primary)

    page = admin.post(url("organization_disable"), follow=True).content.decode()

    assert "not disabled. A change is open there." in page
    assert Organization.objects.enabled().filter(pk=primary.pk).exists()
