from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from hamr_portal.domain.people import Role
from tests import factories

SignIn = Callable[[Role | None], Client]


@pytest.fixture
def signed_in(db: None) -> SignIn:
    """Give a browser in which somebody of a role is signed in."""

    def sign_in(role: Role | None) -> Client:
        client = Client()
        client.force_login(factories.person(role))
        return client

    return sign_in


@pytest.fixture
def admin(signed_in: SignIn) -> Client:
    return signed_in(Role.ADMIN)


@pytest.fixture
def viewer(signed_in: SignIn) -> Client:
    return signed_in(Role.VIEWER)
