"""A person at the pages, the form that they got, and the page that comes: what tests of pages and faults ask."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from hamr_portal.domain.connections import HamrStatus
from hamr_portal.domain.people import Role
from hamr_portal.models import Change, Person
from tests import factories
from tests.services.changing import REASON


class Browser:
    """A person at the pages: previews, and presses the button of the form that they got."""

    def __init__(self, role: Role = Role.OPERATOR, email: str = "") -> None:
        self.email = email or f"{role.word}@halden.example"
        self.person = Person.objects.filter(email=self.email).first() or factories.person(role, self.email)
        self.client = Client()
        self.client.force_login(self.person)

    def preview(self, target: HamrStatus = HamrStatus.FAILOVER) -> Form:
        """Choose a status, and give the form of the preview that comes."""
        came = self.client.post(reverse("change_new", args=["acme"]), {"target_status": target.name})
        assert came.status_code == 302
        return self.form(came["Location"])

    def form(self, path: str) -> Form:
        """Open a preview's page, and give its form, filled in."""
        page = self.client.get(path)
        assert page.status_code == 200
        token = re.search(r'name="token" value="([^"]+)"', page.content.decode())
        assert token is not None
        number = int(path.split("/")[2])
        return Form(self, path, number, {"token": token[1], "reason": REASON, "typed_name": "acme", "override": "on"})

    def end(self, change: Change, how: str, **fields: str) -> Page:
        """Press a button on a change's page."""
        return Page(self.client.post(reverse(f"change_{how}", args=[change.pk]), fields))


class Form:
    """One form of one preview."""

    def __init__(self, browser: Browser, path: str, number: int, fields: dict[str, str]) -> None:
        self.browser, self.path, self.fields = browser, path, fields
        self.change = Change.objects.get(pk=number)

    def send(self, by: Browser | None = None, **over: str) -> Page:
        """Press the button, and give the page that comes, not yet followed."""
        return Page((by or self.browser).client.post(self.path, {**self.fields, **over}))


class Page:
    """What came: its code, and its text without tags."""

    def __init__(self, response: Any) -> None:
        assert isinstance(response, HttpResponse)
        self.code = response.status_code
        self.headers = response.headers
        self.text = " ".join(re.sub(r"<[^>]*>", " ", response.content.decode()).split())

    @property
    def leads_to(self) -> str:
        assert self.code == 302
        return self.headers["Location"]
