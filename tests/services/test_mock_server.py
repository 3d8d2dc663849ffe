"""The vendor's OpenAPI document under a mock server is a site like any other."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event as Signal
from typing import Any
from uuid import UUID

import pytest
import yaml
from pytest_django.fixtures import Settings

from hamr_portal.domain.connections import HamrStatus, ReadOutcome
from hamr_portal.domain.organizations import sites_with
from hamr_portal.models import Organization, Snapshot
from hamr_portal.services import organizations, workers
from hamr_portal.services.organizations import Draft
from hamr_portal.services.verification import VerifyOutcome
from tests import factories

DOCUMENT: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent.parent / "simulator" / "hamr-openapi.yaml").read_text(encoding="utf-8")
)
SCHEMES = DOCUMENT["components"]["securitySchemes"].values()
KEY_HEADERS = [scheme["name"] for scheme in SCHEMES if scheme["type"] == "apiKey"]


def example(path: str, verb: str) -> tuple[str, Any]:
    """Give the content type and the example of what is answered with 200."""
    ((content_type, content),) = DOCUMENT["paths"][path][verb]["responses"]["200"]["content"].items()
    return content_type, content["examples"]["default"]["value"]


class Mock(BaseHTTPRequestHandler):
    """Answers with the document's examples, and with a problem where the document has none, as Prism does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path not in DOCUMENT["paths"]:
            self._answer(404, "application/problem+json", {"title": "Route not resolved", "status": 404})
        elif not all(self.headers[name] for name in KEY_HEADERS):
            self._answer(401, "application/problem+json", {"title": "Invalid security scheme used", "status": 401})
        else:
            self._answer(200, *example(self.path, "get"))

    def _answer(self, status: int, content_type: str, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def _mock(settings: Settings) -> Iterator[None]:
    """Run the mock server as the site `mock`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Mock) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        settings.HAMR_SITES = sites_with(f"mock=http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_mock")
def test_the_document_under_a_mock_server_is_read_as_a_site_without_error():
    _, documented = example("/api/v2/hamr", "get")
    uuid = UUID(documented["data"]["id"])

    _, found = organizations.add(Draft("acme", "mock", factories.credentials()), by=factories.ADMIN)
    workers.run(Signal(), once=True)

    assert (found.outcome, found.uuid) == (VerifyOutcome.READS, uuid)
    assert Organization.objects.get().uuid == uuid
    seen = Snapshot.objects.get()
    assert (seen.outcome, seen.attempt_failed, seen.attempt_reason) == (ReadOutcome.ANSWERED, False, "")
    assert seen.status == HamrStatus.ACTIVE == documented["data"]["attributes"]["hamr_status"]
    assert seen.is_primary is documented["data"]["attributes"]["is_primary"]
    assert seen.target_name == documented["data"]["attributes"]["target_org_name"]
