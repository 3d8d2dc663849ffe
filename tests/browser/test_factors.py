"""Second factors in a real browser: a security key that signs, and what a machine can say of the pages."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import Page, expect

from hamr_portal.domain.people import Role
from hamr_portal.models import Person
from hamr_portal.services import factors
from tests.web.issuer import CLIENT_ID, CLIENT_SECRET, Issuer

from .looking import troubles
from .test_pages import sign_in

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def security_key(page: Page) -> Any:
    """Put a security key into the browser, which its owner touches whenever it is asked for."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "usb", "automaticPresenceSimulation": True}
    options |= {"hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True}
    return cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def add_key(page: Page) -> None:
    sign_in(page, Role.OPERATOR)
    page.goto("/accounts/2fa/webauthn/add/")
    page.get_by_label("Name").fill("On my ring")
    page.get_by_role("button", name="Add security key").click()
    page.wait_for_url("**/accounts/2fa/recovery-codes/")


@pytest.mark.usefixtures("security_key")
def test_a_security_key_is_added_and_lets_in(page: Page) -> None:
    add_key(page)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("E-mail address").fill("operator@halden.example")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/accounts/2fa/authenticate/")

    page.get_by_role("button", name="Use a security key").click()

    page.wait_for_url(re.compile(r":\d+/$"))
    page.goto("/accounts/2fa/")
    expect(page.get_by_role("link", name="Remove On my ring")).to_be_visible()
    assert sorted(Authenticator.objects.values_list("type", flat=True)) == ["recovery_codes", "webauthn"]


def test_without_security_keys_the_page_says_so(page: Page) -> None:
    page.add_init_script("delete window.PublicKeyCredential")
    sign_in(page, Role.OPERATOR)

    page.goto("/accounts/2fa/webauthn/add/")

    expect(page.get_by_text("This browser has no security keys")).to_be_visible()


def look(page: Page, name: str, theme: str) -> list[str]:
    """Give what is wrong with a page, and keep pictures of it where they are asked for."""
    page.wait_for_load_state("networkidle")
    shots = os.environ.get("E2E_SCREENSHOTS")
    for width in (1440, 390) if shots else ():
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=f"{shots}/{name.strip('/').replace('/', '-')}-{width}-{theme}.png", full_page=True)
    return [f"{name}: {trouble}" for trouble in troubles(page)]


@pytest.mark.usefixtures("security_key")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages_of_factors_stand_at_each_width(page: Page, theme: str) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    add_key(page)
    found = look(page, "codes", theme)
    pages = ["/accounts/2fa/totp/activate/"]  # once there is one, it is another page
    for address in pages:
        page.goto(address)
        found += look(page, address, theme)
    pages = ["/accounts/2fa/", "/accounts/2fa/webauthn/add/"]
    pages += ["/accounts/2fa/recovery-codes/generate/", "/accounts/2fa/recovery-codes/"]
    key, mara = Authenticator.objects.get(type="webauthn"), Person.objects.get()
    Authenticator.objects.create(user=mara, type="totp", data={"secret": factors.sealed("JBSWY3DPEHPK3PXP", mara)})
    pages += [f"/accounts/2fa/webauthn/keys/{key.pk}/remove/", "/accounts/2fa/totp/deactivate/"]
    pages += ["/accounts/2fa/reauthenticate/", "/accounts/2fa/webauthn/reauthenticate/"]
    for address in pages:
        page.goto(address)
        found += look(page, address, theme)
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("E-mail address").fill("operator@halden.example")
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    found += look(page, "second factor", theme)
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Sign in", exact=True).click()
    found += look(page, "wrong second factor", theme)

    assert found == []


@pytest.mark.loses_contact  # the refusal is a 403, which the browser remarks
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_pages_of_single_sign_on_stand_at_each_width(page: Page, theme: str, settings: Any) -> None:
    page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
    with Issuer() as issuer:
        settings.OIDC_ISSUER, settings.OIDC_NAME = issuer.issuer, "Halden login"
        settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = CLIENT_ID, CLIENT_SECRET
        page.goto("/accounts/login/")
        found = look(page, "sign-in with sso", theme)
        sign_in(page, Role.OPERATOR)
        page.goto("/accounts/2fa/")
        page.get_by_role("button", name="Link").click()
        found += look(page, "link", theme)
    page.goto("/accounts/sso/callback/")
    found += look(page, "refused", theme)

    assert found == []
