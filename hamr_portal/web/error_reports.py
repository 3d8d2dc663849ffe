"""What does the report of an error hold? What happened and where; nothing that the program or the request held."""

from __future__ import annotations

from collections.abc import ItemsView
from typing import Any

from django.http import QueryDict
from django.template import Context, Engine
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from hamr_portal.log_lines import error_lines, escaped

_PAGE = Engine().from_string(
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{{ lines|last }}</title></head>'
    "<body><h1>An error, with DEBUG on</h1><p>{{ request }}</p>"
    "<pre>{% for line in lines %}{{ line }}\n{% endfor %}</pre>"
    "<p>Values are left out on purpose: they may be keys. Next: a debugger, or a test.</p></body></html>"
)


class NothingHeld(SafeExceptionReporterFilter):
    """Leaves out settings, what a request carried, and what frames held, in DEBUG as well.

    Django leaves out what is named like a secret; a secret under another name is as secret.
    """

    def get_safe_settings(self) -> dict[str, Any]:
        """Give none."""
        return {}

    def get_safe_request_meta(self, request: Any) -> dict[str, Any]:
        """Give none."""
        return {}

    def get_safe_cookies(self, request: Any) -> dict[str, Any]:
        """Give none."""
        return {}

    def get_post_parameters(self, request: Any) -> dict[str, Any]:
        """Give none."""
        return {}

    def get_cleansed_multivaluedict(self, request: Any, multivaluedict: Any) -> QueryDict:
        """Give none."""
        return QueryDict()

    def get_traceback_frame_variables(self, request: Any, tb_frame: Any) -> ItemsView[str, Any]:
        """Give none."""
        return dict[str, Any]().items()


class ErrorReport(ExceptionReporter):
    """Says which request failed, with which error, and where; Django's page and mail hold far more."""

    def get_traceback_html(self) -> SafeString:
        """Give a page, for whoever develops."""
        return _PAGE.render(Context({"lines": self._lines(), "request": self._request()}))

    def get_traceback_text(self) -> str:  # type: ignore[override] # it goes into no page
        """Give a text, for mails and for what asks for no page."""
        return "\n".join([self._request(), *self._lines()]) + "\n"

    def get_traceback_data(self) -> dict[str, Any]:
        """Give what templates of others would show: the same and no more."""
        return {"exception_type": getattr(self.exc_type, "__name__", ""), "lines": self._lines()}

    def _lines(self) -> list[str]:
        if isinstance(self.exc_value, BaseException):
            return [escaped(line) for line in error_lines(self.exc_value)]
        return [escaped(str(self.exc_value or "no exception"))]

    def _request(self) -> str:
        if self.request is None:
            return "no request"
        # The path without its query: what people search for is nobody's business.
        return escaped(f"{self.request.method} {self.request.path} {getattr(self.request, 'id', '')}".rstrip())
