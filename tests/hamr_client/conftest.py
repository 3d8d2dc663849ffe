"""Certificates and clients for the servers of these tests."""

import ssl

import pytest
import trustme

from hamr_portal.domain.organizations import Credentials, Secret
from hamr_portal.hamr_client import HamrClient

API_KEY = "canary-api-key-0123456789abcdef"
APPLICATION_KEY = "canary-application-key-0123456789abcdef"


@pytest.fixture(scope="session")
def authority():
    return trustme.CA()


@pytest.fixture(scope="session")
def server_tls(authority):
    """Give the TLS context of a server whose certificate is good for localhost."""
    return server_context(authority.issue_cert("localhost"))


@pytest.fixture
def trusting(authority):
    """Give a client's TLS context that trusts these tests' authority."""
    return trusting_context(authority)


@pytest.fixture(params=["http", "https"])
def tls(request, server_tls):
    """Give the server's TLS context, and once None for plain HTTP."""
    return server_tls if request.param == "https" else None


@pytest.fixture
def pauses():
    """Give the pauses that the client made, instead of making them."""
    return []


@pytest.fixture
def client(trusting, pauses):
    return HamrClient(ssl_context=trusting, pause=pauses.append)


@pytest.fixture
def credentials():
    return Credentials(Secret(API_KEY), Secret(APPLICATION_KEY))


def server_context(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def trusting_context(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
