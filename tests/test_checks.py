"""What is found wrong with an installation, by id, each time with what to do."""

from __future__ import annotations

import pytest
from django.core.checks import CheckMessage, run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from pytest_django.fixtures import Settings

from hamr_portal import checks
from hamr_portal.domain.organizations import sites_with
from hamr_portal.domain.people import Action
from hamr_portal.models import Organization, guards
from hamr_portal.services import integrity
from hamr_portal.web.access import public, requires
from tests import factories
from tests.services.tampering import cut, write


def undeclared(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


class Urls:
    """A tiny set of addresses, as ROOT_URLCONF takes it."""

    urlpatterns = [
        path("open/", public(lambda request: HttpResponse())),
        path("guarded/", requires(Action.SEE_STATUS)(lambda request: HttpResponse())),
        path("inner/", include([path("<int:pk>/forgotten/", undeclared)])),
    ]


def found(*tags: str) -> dict[str, str]:
    """Run checks as a start of the portal does, and give their texts by id."""
    messages = run_checks(tags=tags or None, include_deployment_checks=bool(tags))
    return {message.id or "": message.msg for message in messages if (message.id or "").startswith("portal.")}


def test_every_view_of_the_portal_declares_its_access():
    assert checks.every_view_declares_its_access(None) == []


def test_a_view_that_declares_no_access_is_an_error(settings: Settings):
    settings.ROOT_URLCONF = Urls

    messages = checks.every_view_declares_its_access(None)

    assert [(message.id, message.msg) for message in messages] == [
        ("portal.E001", "The view of /inner/<int:pk>/forgotten/ declares no access.")
    ]
    assert messages[0].hint is not None
    assert "@requires" in messages[0].hint


@pytest.mark.parametrize(
    ("sites", "hosts", "ids"),
    [
        ("lab=http://127.0.0.1:9001", ["portal.halden.example"], ["portal.W002"]),
        ("lab=http://127.0.0.1:9001", ["localhost"], []),
        ("lab=https://proxy.example", ["portal.halden.example"], []),
    ],
)
def test_sites_without_tls_are_pointed_out_where_others_reach_the_portal(settings: Settings, sites, hosts, ids):
    settings.HAMR_SITES = sites_with(sites)
    settings.ALLOWED_HOSTS = hosts

    messages = checks.sites_stay_secret(None)

    assert [message.id for message in messages] == ids
    assert all("lab" in message.msg for message in messages)


@pytest.mark.django_db
def test_a_complete_installation_has_nothing_to_say():
    factories.organization()

    assert found(checks.INSTALLATION) == {}


@pytest.mark.django_db
def test_plain_checks_do_not_ask_the_database(django_assert_num_queries, settings: Settings):
    settings.ALLOWED_HOSTS = ["localhost"]  # without the name that tests call the portal by

    with django_assert_num_queries(0):
        assert found() == {}


@pytest.mark.django_db
def test_a_migration_that_is_missing_is_an_error():
    MigrationRecorder(connection).record_unapplied(*factories.newest_migration())

    with pytest.raises(SystemCheckError, match=r"portal\.E004.*lacks 1 migrations[\s\S]*manage\.py migrate"):
        call_command("check", deploy=True, tags=[checks.INSTALLATION])


@pytest.mark.django_db
def test_a_database_of_a_newer_version_is_an_error():
    MigrationRecorder(connection).record_applied("hamr_portal", "9999_from_the_future")

    assert found(checks.INSTALLATION) == {
        "portal.E007": "The database is of a newer version (9999_from_the_future).",
    }


@pytest.mark.django_db
def test_migrations_of_an_app_that_is_gone_do_no_harm():
    MigrationRecorder(connection).record_applied("removed_app", "0001_initial")

    assert found(checks.INSTALLATION) == {}


@pytest.mark.django_db
def test_a_missing_ring_is_a_warning_so_that_the_last_known_statuses_are_still_served(settings: Settings):
    settings.KEY_RING_FILE.unlink()

    warnings = found(checks.INSTALLATION)

    assert list(warnings) == ["portal.W005"]
    assert "init_key_ring" in warnings["portal.W005"]


@pytest.mark.django_db
def test_a_ring_that_others_may_read_is_a_warning(settings: Settings):
    settings.KEY_RING_FILE.chmod(0o644)

    assert "chmod 600" in found(checks.INSTALLATION)["portal.W005"]


@pytest.mark.django_db
def test_keys_of_another_row_are_a_warning_that_names_the_organization():
    stranger = factories.organization("stranger")
    victim = factories.organization("victim")
    Organization.objects.filter(pk=victim.pk).update(sealed_api_key=stranger.sealed_api_key)

    warnings = found(checks.INSTALLATION)

    assert list(warnings) == ["portal.W006"]
    assert "The keys of victim cannot be opened" in warnings["portal.W006"]
    assert factories.CANARY_API_KEY not in warnings["portal.W006"]


@pytest.mark.parametrize(("reads", "seconds", "warned"), [(3, 120, False), (2, 120, True), (3, 119, True)])
def test_too_little_patience_with_late_requests_is_a_warning(
    settings: Settings, reads: int, seconds: int, warned: bool
):
    settings.HAMR_SETTLE_READS, settings.HAMR_SETTLE_SECONDS = reads, seconds

    assert ("portal.W008" in found("security")) is warned


@pytest.mark.django_db(transaction=True)
def test_missing_guards_are_a_warning_that_says_how_to_put_them_back():
    factories.organization()
    guards.lift(connection)

    (warning,) = warnings_about_the_record()

    assert warning.msg.startswith("The audit log is in doubt: guards of the audit log are missing: audit_guard_")
    assert warning.hint is not None
    assert "manage.py migrate" in warning.hint


@pytest.mark.django_db(transaction=True)
def test_a_log_that_is_older_than_its_anchor_is_a_warning_that_says_who_can_adopt_it():
    write(5)
    integrity.verify_and_keep(by=factories.WORKER)
    cut(after=3)

    (warning,) = warnings_about_the_record()

    assert warning.msg == "The audit log is in doubt: the database is older than its anchor (#3 < #5)."
    assert warning.hint is not None
    assert "an admin adopts it on /audit/" in warning.hint


@pytest.mark.django_db(transaction=True)
def test_a_machine_without_an_anchor_is_told_once_the_log_was_anchored(settings: Settings):
    write(5)
    before = warnings_about_the_record("portal.W020")
    integrity.verify_and_keep(by=factories.WORKER)
    anchored = warnings_about_the_record("portal.W020")

    settings.ANCHOR_FILE.unlink()

    assert before == anchored == []
    (warning,) = warnings_about_the_record("portal.W020")
    assert warning.hint is not None
    assert str(settings.ANCHOR_FILE) in warning.hint


def warnings_about_the_record(id_: str = "portal.W009") -> list[CheckMessage]:
    messages = run_checks(tags=[checks.INSTALLATION], include_deployment_checks=True)
    return [message for message in messages if message.id == id_]
