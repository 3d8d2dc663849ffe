"""A forced error, with secrets wherever a report could find them: none is in the page, the log or the mail."""

from __future__ import annotations

import json
import logging
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core import mail
from django.http import HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import Client
from django.urls import path
from django.utils.log import AdminEmailHandler

from hamr_portal import urls
from hamr_portal.log_lines import Lines
from hamr_portal.services import keys
from hamr_portal.web.access import public
from hamr_portal.web.error_reports import ErrorReport, NothingHeld

LOCAL, POSTED, COOKIE, HEADER = "canary-local", "canary-posted", "canary-cookie", "canary-header"
SETTING, SEARCHED, VALUE = "canary-setting", "canary-searched", "canary0value0aaaaaaaa0"


@public
def _bug(request: HttpRequest) -> HttpResponse:
    ring, typed, local = keys.ring(), request.POST.dict(), LOCAL
    raise RuntimeError(f"no good: {VALUE}", len((ring, typed, local)))


@public
def _template(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Template(f"{LOCAL} {{% nonsense %}}").render(Context({})))


class Broken:
    handler400, handler403 = urls.handler400, urls.handler403
    handler404, handler500 = urls.handler404, urls.handler500
    urlpatterns = [*urls.urlpatterns, path("bug/", _bug), path("template/", _template)]


@pytest.fixture
def told() -> Iterator[StringIO]:
    """Collect what the log and the mails of an error tell."""
    stream = StringIO()
    handlers = [logging.StreamHandler(stream), AdminEmailHandler(include_html=True)]
    handlers[0].setFormatter(Lines())
    logger = logging.getLogger("django.request")
    for handler in handlers:
        logger.addHandler(handler)
    yield stream
    for handler in handlers:
        logger.removeHandler(handler)


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("page", ["/bug/", "/template/"])
def test_a_forced_error_tells_no_secret_anywhere(
    page: str, debug: bool, accept: str, settings: Any, told: StringIO, caplog: pytest.LogCaptureFixture
) -> None:
    settings.ROOT_URLCONF, settings.DEBUG = Broken, debug
    settings.ADMINS = [("On call", "oncall@halden.example")]
    settings.HAMR_NOTE = SETTING
    client = Client(raise_request_exception=False, headers={"Accept": accept, "X-Note": HEADER, "User-Agent": HEADER})
    client.cookies["note"] = COOKIE

    response = client.post(f"{page}?q={SEARCHED}", {"note": POSTED})

    assert response.status_code == 500
    mails = [str(part) for each in mail.outbox for part in (each.subject, each.body, getattr(each, "alternatives", ""))]
    seen = "\n".join([response.content.decode(), str(response.headers), told.getvalue(), *mails])
    assert len(mails) == 3
    assert "RuntimeError" in seen or "TemplateSyntaxError" in seen
    ring = [urlsafe_b64encode(key).decode()[:16] for key in keys.ring().keys.values()]
    raw = [repr(key)[2:14] for key in keys.ring().keys.values()]
    canaries = [LOCAL, POSTED, COOKIE, HEADER, SETTING, SEARCHED, VALUE, settings.SECRET_KEY, *ring, *raw]
    assert [canary for canary in canaries if canary in seen] == []
    assert json.loads(told.getvalue())["request"] == response["X-Request-Id"]


def test_with_debug_on_the_page_says_what_failed_and_where_and_holds_no_source(settings: Any) -> None:
    settings.ROOT_URLCONF, settings.DEBUG = Broken, True

    response = Client(raise_request_exception=False).get("/bug/", headers={"Accept": "text/html"})

    page = response.content.decode()
    assert "RuntimeError: " in page
    assert "test_error_reports.py:" in page
    assert "in _bug" in page
    assert "len((ring" not in page
    assert response["X-Frame-Options"] == "DENY"


def test_the_portal_itself_reports_this_way(settings: Any) -> None:
    assert f"{ErrorReport.__module__}.{ErrorReport.__name__}" == settings.DEFAULT_EXCEPTION_REPORTER
    assert f"{NothingHeld.__module__}.{NothingHeld.__name__}" == settings.DEFAULT_EXCEPTION_REPORTER_FILTER


def test_a_report_of_no_request_and_of_no_exception_says_so() -> None:
    as_django_mails: Any = "a sentence\nof two lines"
    text = ErrorReport(None, None, as_django_mails, None, is_email=True).get_traceback_text()

    assert text == "no request\na sentence\\u000aof two lines\n"


def test_what_other_reporters_ask_the_filter_for_is_nothing(rf: Any) -> None:
    request, nothing = rf.post("/", {"a": POSTED}), NothingHeld()

    answers = [
        nothing.get_safe_settings(),
        nothing.get_safe_request_meta(request),
        nothing.get_safe_cookies(request),
        nothing.get_post_parameters(request),
        nothing.get_cleansed_multivaluedict(request, request.POST),
        nothing.get_traceback_frame_variables(request, None),
    ]

    assert not any(answers)
    assert ErrorReport(request, ValueError, ValueError("x"), None).get_traceback_data() == {
        "exception_type": "ValueError",
        "lines": ["ValueError: x"],
    }
