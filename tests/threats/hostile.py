"""What somebody types, or an API answers, who means harm; and every place where it can be typed."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

from django.forms import BaseForm

from hamr_portal import web

SCRIPTS = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js></sCrIpT>",
    "<img src=x onerror=alert(1)>",
    "<img/src=`x`/onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<body onload=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<object data=javascript:alert(1)>",
    "<embed src=javascript:alert(1)>",
    "<base href=//evil.example/>",
    "<style>*{background:url(//evil.example)}</style>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=javascript:alert(1)'>",
    "<form action=//evil.example><button formaction=javascript:alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<a href='java\tscript:alert(1)'>x</a>",
    "<math><mtext></mtext><mglyph><style></style><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "' onmouseover='alert(1)",
    "` onmouseover=`alert(1)",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    "--><script>alert(1)</script><!--",
    "]]><script>alert(1)</script>",
    "{{ 7|add:7 }}{% debug %}${7*7}#{7*7}",
    "</title><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "<x data-hx-get=//evil.example data-hx-trigger=load hx-on:load=alert(1)>",
    "javascript:alert(1)//",
    "&lt;script&gt;alert(1)&lt;/script&gt;&#60;script&#62;",
    "\u202e\u2066<script>alert(1)</script>\u2069",
    "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
]

TEXTS = {
    "mixed": "a\x00b\r\n\x1b[2K\u202egnp\ufdd0\ud800<script>",
    "word": "dashboards",
    "NUL": "a\x00b",
    "controls": "\r\n\x1b[2K\x07\x7f\x85",
    "bidi": "\u202egnp\u2066\u2028\u2029",
    "not there": "\ud800",
    "nobody's": "\ufdd0\U0010ffff\ue000",
    "long": "x" * 60_000,
    "wide": "\U0001f600" * 3_000,
    "composed": "e" + "\u0301" * 3_000,
    "script": SCRIPTS[0],
    "pattern": "%s%d%(x)s{0}{x}%00 or 1=1 --';",
    "minus": "-1",
    "huge": "9" * 400,
    "not a number": "nan",
    "infinite": "1e999",
    "digits": "\u0661\u00b2\u2460",
    "date": "9999-99-99",
    "first day": "0001-01-01",
    "last day": "9999-12-31",
    "JSON": '{"a":[1,{"b":null}]}',
    "nested": "[" * 20_000,
    "empty": "",
    "blank": " \t\u00a0\u3000",
    "place": "http://[::1",
}

_MORE = {"theme", "next", "comment", "newest", "token", "login", "password", "code", "credential", "format", "page"}


def field_names() -> list[str]:
    """Give the name of every field that the portal reads from a form or an address."""
    return sorted({*_of_forms(), *_of_requests(), *_MORE})


def _of_forms() -> Iterator[str]:
    for module in pkgutil.iter_modules(web.__path__):
        for _, each in inspect.getmembers(importlib.import_module(f"{web.__name__}.{module.name}"), inspect.isclass):
            if issubclass(each, BaseForm):
                yield from getattr(each, "base_fields", {})


def _of_requests() -> Iterator[str]:
    for path in Path(web.__path__[0]).glob("*.py"):
        yield from re.findall(r"(?:POST|GET)(?:\.get|\.getlist)?[\[(]\"(\w+)\"", path.read_text())
