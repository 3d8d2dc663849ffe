from __future__ import annotations

import pytest
from allauth.mfa.models import Authenticator

from hamr_portal.models import AuditEntry
from tests import factories

pytestmark = pytest.mark.django_db


def test_somebodys_factors_are_taken_away_and_nobody_elses_and_it_is_on_the_record(run):
    mara = factories.person(email="mara@halden.example")
    ada = factories.person(email="ada@halden.example")
    for person in (mara, ada):
        Authenticator.objects.create(user=person, type="totp", data={"secret": ""})

    ended = run("reset_factors", "Mara@halden.example")

    assert ended.exit == 0
    assert "with the password alone" in ended.out
    assert [factor.user for factor in Authenticator.objects.all()] == [ada]
    assert list(AuditEntry.objects.values_list("event", "actor_kind")) == [("person.factors_reset", "command")]


@pytest.mark.parametrize(
    ("email", "sentence"),
    [
        ("nobody@halden.example", "Nobody is here as nobody@halden.example."),
        ("mara@halden.example", "Not changed. mara@halden.example has no second factor."),
    ],
)
def test_where_there_is_nothing_to_take_away_it_says_so(run, email, sentence):
    factories.person(email="mara@halden.example")

    ended = run("reset_factors", email)

    assert ended.exit == 1
    assert ended.error.startswith(sentence)
    assert not AuditEntry.objects.exists()
