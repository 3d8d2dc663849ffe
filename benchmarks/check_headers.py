"""Which answers of a running portal lack a header, hold something inline, or set a cookie that they should not?

An independent look from outside: it knows nothing of the portal's settings, and asks over a socket. Run from the
repository: `PORTAL_PASSWORD=… python -m benchmarks.check_headers http://127.0.0.1:8000 somebody@example.com`. It
follows every link from the dashboard, then asks for what fails, prints each finding, and exits 1 where there is one.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import requests

POLICY = r"(?=.*default-src 'none')(?=.*frame-ancestors 'none')(?=.*base-uri 'none')(?!.*(unsafe|\*|data:))"
EXPECTED = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": r"nosniff$",
    "X-Frame-Options": r"DENY$",
    "Referrer-Policy": r"(same-origin|no-referrer)$",
    "Cross-Origin-Opener-Policy": r"same-origin$",
    "Cross-Origin-Resource-Policy": r"same-origin$",
    "Permissions-Policy": r".*camera=\(\)",
    "Cache-Control": r"no-store$",
}
OVER_TLS = {"Strict-Transport-Security": r"max-age=(\d{8,})"}
TELLING = ("X-Powered-By", "X-AspNet-Version", "Via")
FAILING = ("/no-such-page/", "/organizations/no-such-one/", "/metrics", "/api/status", "/audit/export/", "/static/none")
MOST_PAGES, MOST_OF_A_KIND = 200, 3


class Page(HTMLParser):
    """The links and files of a page, and what is inline on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inline: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note where it leads, and what is inline."""
        self._in_script = tag == "script"
        for name, value in attrs:
            if name in ("href", "src"):
                self.links.append(value or "")
            if name == "style" or name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.inline.append(f"<{tag} {name}>")
        if tag == "style":
            self.inline.append("<style>")

    def handle_data(self, data: str) -> None:
        """Note a script that stands in the page."""
        if self._in_script and data.strip():
            self.inline.append("inline script")


def found_in(answer: requests.Response, *, is_file: bool) -> list[str]:
    """Give what is wrong with one answer."""
    expected = EXPECTED | (OVER_TLS if answer.url.startswith("https:") else {})
    wrong = [
        f"{name}: {answer.headers.get(name, 'missing')}"
        for name, pattern in expected.items()
        if not re.match(pattern, answer.headers.get(name, "")) and not (is_file and name == "Cache-Control")
    ]
    wrong += [f"{name} tells what serves it" for name in TELLING if name in answer.headers]
    wrong += (
        [f"Server tells a version: {answer.headers['Server']}"]
        if re.search(r"\d", answer.headers.get("Server", ""))
        else []
    )
    for cookie in answer.raw.headers.getlist("Set-Cookie"):
        needed = {"samesite", "path=/"} | ({"secure"} if answer.url.startswith("https:") else set())
        needed |= set() if cookie.startswith(("theme=", "messages=")) else {"httponly"}
        wrong += [f"cookie without {word}: {cookie.partition('=')[0]}" for word in needed if word not in cookie.lower()]
    if "text/html" in answer.headers.get("Content-Type", ""):
        wrong += Page(answer.text).inline
    return wrong


def main(base: str, email: str) -> int:
    """Look at everything that can be reached, print what is wrong, and give the exit code."""
    browser = requests.Session()
    form = browser.get(f"{base}/accounts/login/", timeout=10).text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
    fields = {
        "login": email,
        "password": os.environ["PORTAL_PASSWORD"],
        "csrfmiddlewaretoken": token[1] if token else "",
    }
    answer = browser.post(
        f"{base}/accounts/login/", fields, headers={"Referer": base}, timeout=10, allow_redirects=False
    )
    if answer.status_code != 302:
        sys.stdout.write(f"{email} cannot sign in: HTTP {answer.status_code}\n")
        return 2
    pending, seen, kinds, count = ["/", "/runbook/", *FAILING], set[str](), Counter[str](), 0
    while pending and len(seen) < MOST_PAGES:
        path = pending.pop(0)
        kind = re.sub(r"\d+", "N", path)
        if path in seen or kinds[kind] >= MOST_OF_A_KIND:
            continue
        seen.add(path)
        kinds[kind] += 1
        answer = browser.get(base + path, timeout=30, allow_redirects=False)
        is_file = path.startswith("/static/") and answer.ok
        for wrong in found_in(answer, is_file=is_file):
            count += 1
            sys.stdout.write(f"{path} (HTTP {answer.status_code}): {wrong}\n")
        if "text/html" in answer.headers.get("Content-Type", ""):
            there = [urlsplit(urljoin(base + path, link)) for link in Page(answer.text).links]
            pending += [
                each.path for each in there if each.netloc == urlsplit(base).netloc and "export" not in each.path
            ]
    sys.stdout.write(f"{len(seen)} addresses, {count} findings\n")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1].rstrip("/"), sys.argv[2]))
