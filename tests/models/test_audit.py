from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from hamr_portal.domain.chain import BEGINNING
from hamr_portal.models import AppendOnly, AuditEntry

pytestmark = pytest.mark.django_db


def entry(seq: int = 1) -> AuditEntry:
    names = {"event": "worker.resumed", "actor_kind": "worker", "actor_name": "tests"}
    return AuditEntry(seq=seq, at=timezone.now(), key_id="k", previous=BEGINNING, hash="f" * 64, **names)


def test_an_entry_is_not_updated():
    made = entry()
    made.save()
    loaded = AuditEntry.objects.get()

    for each in (made, loaded):
        each.event = "nothing.happened"
        with pytest.raises(AppendOnly, match="entry 1 is on the record and stays as it is"):
            each.save()

    assert AuditEntry.objects.get().event == "worker.resumed"


def test_an_entry_is_not_deleted():
    made = entry()
    made.save()

    with pytest.raises(AppendOnly, match="entry 1 is on the record and stays there"):
        made.delete()

    assert AuditEntry.objects.count() == 1


def test_a_number_is_given_once():
    entry().save()

    with pytest.raises(IntegrityError), transaction.atomic():
        entry().save()

    assert AuditEntry.objects.count() == 1


def test_an_entry_points_at_no_other_table():
    assert [field.name for field in AuditEntry._meta.get_fields() if field.is_relation] == []


def test_an_entry_is_shown_by_its_number_and_event():
    assert str(entry(7)) == "#7 worker.resumed"
