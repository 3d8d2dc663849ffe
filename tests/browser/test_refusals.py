"""Forms that come back, and pages that tell why there is no other: what a machine can say of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from django.utils import timezone
from playwright.sync_api import Page

from hamr_portal.domain.changes import ChangeStatus, Move
from hamr_portal.domain.people import Role
from hamr_portal.models import Change, Organization
from hamr_portal.services import changes, overview
from hamr_portal.services.refusals import Blocked
from hamr_portal.services.sending import Came, NotRecordedYet
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing

from .looking import troubles
from .test_changes import a_pair, fill_in, preview
from .test_pages import sign_in

pytestmark = [
    pytest.mark.browser,
    pytest.mark.loses_contact,  # the browser remarks each page that comes with 403 to 503
    pytest.mark.django_db(transaction=True),
]

schemes = pytest.mark.parametrize("scheme", ["light", "dark"])


def submit(page: Page, action: str, **typed: str) -> None:
    """Send a form with nothing chosen and this typed, past what the browser and the script would say to it."""
    with page.expect_navigation():
        page.locator(f"form[action*='{action}']").first.evaluate(
            "(form, typed) => { for (const each of form.querySelectorAll('[type=radio]')) each.checked = false;"
            " for (const [name, text] of Object.entries(typed)) form.elements[name].value = text;"
            " HTMLFormElement.prototype.submit.call(form); }",
            typed,
        )


def refused(page: Page, path: str, action: str = "", **typed: str) -> list[str]:
    """Give what is wrong with a form that came back."""
    page.goto(path)
    submit(page, action or path, **typed)
    says_so = page.locator("[aria-invalid=true], .errsum").count()
    return troubles(page) + ([] if says_so else ["it says no error"])


def wrong(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: each for name, each in found.items() if each}


@schemes
def test_no_form_that_comes_back_to_an_admin_has_what_axe_finds(page: Page, simulator: Simulator, scheme: Any) -> None:
    a_pair(simulator, approval=True)
    simulator.add_organization("lone", "us3")
    factories.simulated(simulator.organizations.named("lone"))
    simulator.write_aside("acme", 3, "priya.raman@halden.example")
    changing.look(*Organization.objects.all())
    page.emulate_media(color_scheme=scheme)
    found = {"sign in": refused(page, "/accounts/login/", login="nobody@halden.example", password="no")}
    sign_in(page)
    found |= {
        path: refused(page, path, **typed)
        for path, typed in {
            "/organizations/new/": {"name": "Not A Name", "api_key": "short"},
            "/organizations/acme/edit/": {"name": "acme-dr", "api_key": "short"},
            "/organizations/acme/changes/new/": {},
            "/organizations/lone/changes/new/": {},
            "/freezes/new/": {},
            "/tokens/new/": {},
            "/accounts/password/": {"oldpassword": "no"},
            "/accounts/reauthenticate/": {"password": "no"},
            "/accounts/2fa/totp/activate/": {"code": "000000"},
        }.items()
    }
    found["comment"] = refused(page, "/changes/", "/acknowledge/")

    assert wrong(found) == {}


@schemes
def test_no_decision_that_comes_back_has_what_axe_finds(page: Page, simulator: Simulator, scheme: Any) -> None:
    primary, _ = changing.connected(simulator, approval=True)
    waiting = changing.waiting(primary)
    page.emulate_media(color_scheme=scheme)
    sign_in(page, Role.APPROVER)
    found = {"approve": refused(page, f"/changes/{waiting.pk}/", "/approve/", typed_name="acne")}
    page.context.clear_cookies()
    sign_in(page, Role.OPERATOR)
    found["skip"] = refused(page, f"/changes/{waiting.pk}/", "/send/", typed_name="acne")
    Change.objects.update(status=ChangeStatus.UNKNOWN, sent_at=timezone.now(), skip_reason="nobody awake")
    found["resolve"] = refused(page, f"/changes/{waiting.pk}/", "/resolve/")

    assert wrong(found) == {}


def raising(error: Exception) -> Callable[..., NoReturn]:
    def broken(*_: object, **__: object) -> NoReturn:
        raise error

    return broken


@schemes
def test_no_page_that_comes_instead_of_another_has_what_axe_finds(
    page: Page, simulator: Simulator, scheme: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    a_pair(simulator)
    of_another = changing.prepared(changing.again(Organization.objects.get(name="acme")))
    page.emulate_media(color_scheme=scheme)
    sign_in(page, Role.VIEWER)
    found = {}
    page.goto("/organizations/")
    found["another role"] = troubles(page)
    page.context.clear_cookies()
    sign_in(page)
    page.goto(f"/changes/{of_another.pk}/confirm/")
    found["of another"] = troubles(page)
    for name, came in {"lose": Move.LOSE, "accept": Move.ACCEPT, "nothing": None}.items():
        preview(page)
        fill_in(page)
        seen = Came(came, at=timezone.now(), reason="no answer") if came else None
        error = NotRecordedYet(Change.objects.latest("pk"), seen, spooled=True) if seen else Blocked("no")
        with monkeypatch.context() as patch:
            patch.setattr(changes, "confirm", raising(error))
            submit(page, "/confirm/")
        found[name] = troubles(page)
    with monkeypatch.context() as patch:
        patch.setattr(overview, "overview", raising(RuntimeError("broken")))
        page.goto("/")
        found["broken"] = troubles(page)
    page.goto("/")
    page.evaluate(
        "() => { const form = document.querySelector('[data-theme-form]');"
        " for (let n = 0; n < 60; n++)"
        " form.append(Object.assign(document.createElement('input'), { name: `n${n}` })); }"
    )
    submit(page, "/theme/")
    found["too many fields"] = troubles(page)
    page.context.clear_cookies()
    settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login": "1/m/ip"}
    page.goto("/accounts/login/")
    submit(page, "/accounts/login/", login="nobody@halden.example", password="no")
    submit(page, "/accounts/login/", login="nobody@halden.example", password="no")
    found["too many sign-ins"] = troubles(page)

    assert wrong(found) == {}
