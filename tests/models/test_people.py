from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from hamr_portal.domain.people import Role
from hamr_portal.models import Person
from tests import factories

pytestmark = pytest.mark.django_db


def test_people_are_found_whatever_the_case_of_their_address():
    anna = factories.person(email="anna@halden.example")

    assert Person.objects.get_by_natural_key("Anna@HALDEN.example") == anna
    with pytest.raises(Person.DoesNotExist):
        Person.objects.get_by_natural_key("anna")


def test_an_address_is_given_once_whatever_its_case():
    factories.person(email="anna@halden.example")

    with pytest.raises(IntegrityError), transaction.atomic():
        factories.person(email="ANNA@halden.example")

    assert Person.objects.count() == 1


def test_a_role_is_one_of_those_that_there_are_or_none():
    person = factories.person(None)

    with pytest.raises(IntegrityError), transaction.atomic():
        Person.objects.filter(pk=person.pk).update(role="ROOT")

    assert Person.objects.get().held_role is None


def test_a_person_is_shown_by_their_address_and_labelled_by_its_first_part():
    person = factories.person(Role.ADMIN, email="anna.weber@halden.example")

    assert (str(person), person.label, person.held_role) == (
        "anna.weber@halden.example",
        "anna.weber",
        Role.ADMIN,
    )
