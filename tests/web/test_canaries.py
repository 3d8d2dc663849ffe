"""Keys that nobody must ever see again: planted, then looked for everywhere."""

from __future__ import annotations

import logging
from threading import Event as Signal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import get_resolver, reverse
from django.utils import timezone

from hamr_portal import notifiers
from hamr_portal.checks import views
from hamr_portal.domain.news import addresses_in
from hamr_portal.domain.people import Role
from hamr_portal.log_lines import error_lines
from hamr_portal.models import Delivery, Person
from hamr_portal.services import workers
from hamr_portal.simulator import FAULTS, Simulator
from hamr_portal.web.error_reports import ErrorReport
from tests import factories
from tests.sinks import mail_server, web_server

from .conftest import SignIn

pytestmark = pytest.mark.django_db

CANARIES = ("canary0api", "canary0application")
API_KEY = "canary0api0key0000000000000000"
APPLICATION_KEY = "canary0application0key00000000"
NO_PAGES = {"live/", "api/status", "metrics", "accounts/2fa/totp/activate/picture.svg"}
"""What answers with a part of a page, with data or with a picture."""


def everything_stored() -> str:
    """Give every value of every table as one text."""
    texts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            texts += [str(row) for row in cursor.fetchall()]
    return "\n".join(texts)


@pytest.mark.parametrize(
    "fault",
    [
        None,
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in sorted({*FAULTS} - {"hang", "drip_headers", "drip_body"})
        ),
    ],
)
def test_keys_are_on_no_page_in_no_row_and_in_no_log_line(
    fault: str | None, admin: Client, simulator: Simulator, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    settings.HAMR_DEADLINE = 0.3
    simulator.add_organization("halden-checkout", "us1", api_key=API_KEY, application_key=APPLICATION_KEY)
    if fault is not None:
        simulator.set_fault("halden-checkout", fault)
    form = {
        "name": "halden-checkout",
        "site": "us1",
        "api_key": API_KEY,
        "application_key": APPLICATION_KEY,
        "spelling": "AUTO",
    }

    pages = [admin.post(reverse("organization_new"), form, follow=True).content.decode()]
    pages.append(admin.post(reverse("organization_new"), form | {"verify": "1"}).content.decode())
    pages.append(admin.post("/organizations/halden-checkout/refresh/", follow=True).content.decode())
    pages.append(admin.post(reverse("organizations_verify"), follow=True).content.decode())
    pages.append(admin.get("/").content.decode())

    seen = "\n".join([*pages, everything_stored(), caplog.text])
    assert [canary for canary in CANARIES if canary in seen] == []


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    "role", [Role.ADMIN, *(pytest.param(each, marks=pytest.mark.slow) for each in Role if each is not Role.ADMIN)]
)
def test_keys_are_on_no_page_of_any_role(role: Role, method: str, signed_in: SignIn, simulator: Simulator) -> None:
    primary, _ = factories.pair()
    client = signed_in(role)
    typed = {"name": "halden-new", "site": "us1", "api_key": API_KEY, "application_key": APPLICATION_KEY}
    pages: dict[str, str] = {}

    for route, _ in views(get_resolver().url_patterns):
        client.force_login(Person.objects.get())  # One of the routes signs out.
        path = "/" + route.replace("<slug:name>", primary.name).replace("<int:pk>", str(primary.pair_id))
        data = typed if method == "post" else {}
        pages[route] = getattr(client, method)(path, data, follow=True).content.decode()

    assert {name for name, page in pages.items() if "<h1" not in page} <= NO_PAGES
    assert {name for name, page in pages.items() if "canary0" in page} == set()


NEWS = "canary0news"


def test_an_address_for_news_is_on_no_page_in_no_row_and_in_no_log_line(
    admin: Client, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    with web_server() as sink, mail_server(refuses=f"550 {NEWS}\r\n".encode()) as mail:
        sink.status = 401
        hidden = f"{NEWS}0user:{NEWS}0password@127.0.0.1:{sink.port}/{NEWS}0path?+{NEWS}0header={NEWS}0value"
        settings.NOTIFY_URLS = addresses_in(f"json://{hidden},slack://{NEWS},json://127.0.0.1:1/{NEWS}")
        settings.SENDS_MAIL, settings.DEFAULT_FROM_EMAIL = True, "portal@halden.example"
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mail.port
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""

        pages = [admin.post(reverse("news_test"), follow=True).content.decode()]
        Delivery.objects.update(next_at=timezone.now())
        workers.run(Signal(), once=True)
        pages += [admin.get(path).content.decode() for path in ("/news/", "/metrics", "/audit/", "/audit/1/")]

    assert Delivery.objects.filter(tries=1).exclude(error="").count() == 4
    assert [page for page in pages if "json://1…1" in page], "that it is shown at all"
    assert NEWS not in "\n".join([*pages, everything_stored(), caplog.text])


def test_an_address_for_news_is_in_no_report_of_an_error(settings: Any) -> None:
    settings.NOTIFY_URLS = addresses_in(f"json://{NEWS}")
    try:
        notifiers.tell(notifiers.channels()[0], to=[], subject="s", text="t", seconds="no number")  # type: ignore[arg-type]
    except TypeError as error:
        report = ErrorReport(None, type(error), error, error.__traceback__)
        texts = [report.get_traceback_text(), report.get_traceback_html(), *error_lines(error)]

    assert NEWS not in "\n".join(texts)
