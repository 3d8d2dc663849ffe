"""Each write of the portal: what has to be there for it, and the call that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from allauth.mfa.models import Authenticator
from django.db.models import Q
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.people import Role
from hamr_portal.domain.tokens import Scope
from hamr_portal.models import Observation, Organization, Pair, Person, PersonNotice, SkipNotice, Snapshot, Worker
from hamr_portal.services import (
    announcements,
    changes,
    connections,
    organizations,
    outside,
    pairs,
    people,
    readings,
    tokens,
    verification,
    workers,
)
from hamr_portal.services.organizations import Draft
from hamr_portal.services.verification import Verification, VerifyOutcome
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing

Write = Callable[[], object]
READS = Verification(VerifyOutcome.READS)


def add(_: Simulator) -> Write:
    draft = Draft("acme", "us1", factories.credentials())
    return lambda: organizations.add(draft, by=factories.ADMIN, found=READS)


def edit(_: Simulator) -> Write:
    saved = factories.organization("acme")
    return lambda: organizations.edit(saved, Draft("acme-new", "us1"), by=factories.ADMIN)


def replace_keys(_: Simulator) -> Write:
    saved = factories.organization("acme")
    draft = Draft("acme", "us1", factories.credentials("other0api0key0aaaaaaaaaaaaaaaa00"))
    return lambda: organizations.edit(saved, draft, by=factories.ADMIN, found=replace(READS, uuid=saved.uuid))


def part(_: Simulator) -> Write:
    saved, other = factories.pair()
    Organization.objects.filter(pk=other.pk).update(disabled_at=timezone.now())
    draft = Draft(saved.name, saved.site, factories.credentials())
    found = Verification(VerifyOutcome.WRONG_ORGANIZATION, uuid=factories.organization("x").pk)
    return lambda: organizations.edit(saved, draft, by=factories.ADMIN, found=found, pin_anew=True, reason="split")


def disable(_: Simulator) -> Write:
    saved = factories.organization("acme")
    return lambda: organizations.disable(saved, by=factories.ADMIN)


def enable(_: Simulator) -> Write:
    saved = factories.organization("acme", disabled_at=timezone.now())
    return lambda: organizations.enable(saved, by=factories.ADMIN)


def verify(simulator: Simulator) -> Write:
    saved = factories.simulated(simulator.add_organization("acme", "us1"))
    return lambda: verification.verify_all([saved], by=factories.ADMIN)


def pin(simulator: Simulator) -> Write:
    made = factories.simulated(simulator.add_organization("acme", "us1"))
    simulator.add_organization("acme-dr", "us5")
    simulator.add_pair("acme", "acme-dr")
    Organization.objects.filter(pk=made.pk).update(uuid=None)
    return storing(made)


def see_that_keys_are_refused(_: Simulator) -> Write:
    return storing(factories.organization("acme"))


def see_a_change_from_outside(simulator: Simulator) -> Write:
    primary, _ = changing.connected(simulator)
    Snapshot.objects.filter(pk=primary.pk).update(status=4)
    return storing(primary)


def storing(organization: Organization) -> Write:
    results = [connections.fetch(flight) for flight in connections.claim([organization.pk], Q())]
    return lambda: readings.store(results, by=factories.WORKER)


def find_a_pair(_: Simulator) -> Write:
    sides = factories.pair()
    Organization.objects.update(pair=None, column=None)
    Pair.objects.all().delete()
    assert len(sides) == 2
    return lambda: pairs.discover_pairs(by=factories.WORKER)


def name_a_pair(_: Simulator) -> Write:
    primary, _other = factories.pair()
    assert primary.pair is not None
    pair = primary.pair
    return lambda: pairs.rename(pair, "Cash desk", by=factories.ADMIN)


def acknowledge(_: Simulator) -> Write:
    primary, _other = factories.pair()
    now = timezone.now()
    Snapshot.objects.filter(pk=primary.pk).update(outside_at=now)
    seen = Observation.objects.create(organization=primary, at=now, outcome="ANSWERED", outside=True)
    return lambda: outside.acknowledge(seen, comment="a drill", by=factories.ADMIN)


def add_a_person(_: Simulator) -> Write:
    return lambda: people.add_person("mara@halden.example", Role.VIEWER, "a whole new sentence", by=factories.SHELL)


def set_a_password(_: Simulator) -> Write:
    mara = factories.person(email="mara@halden.example")
    return lambda: people.set_password(mara.email, "a whole new sentence", by=factories.ADMIN)


def give_a_password(_: Simulator) -> Write:
    by, mara = changing.admin(), factories.person(email="mara@halden.example")
    return lambda: people.give_password(mara, by=by)


def choose_a_password(_: Simulator) -> Write:
    mara = factories.person(email="mara@halden.example")
    return lambda: people.choose_password(mara, "a whole new sentence", by=factories.ADMIN, but=None)


def change_a_role(_: Simulator) -> Write:
    by, mara = changing.admin(), factories.person(email="mara@halden.example")
    return lambda: people.change_role(mara, Role.OPERATOR, was=Role.VIEWER, by=by)


def disable_a_person(_: Simulator) -> Write:
    by, mara = changing.admin(), factories.person(email="mara@halden.example")
    return lambda: people.disable(mara, by=by)


def enable_a_person(_: Simulator) -> Write:
    by, mara = changing.admin(), factories.person(email="mara@halden.example")
    Person.objects.filter(pk=mara.pk).update(is_active=False)
    return lambda: people.enable(mara, by=by)


def reset_factors(_: Simulator) -> Write:
    by, mara = changing.admin(), factories.person(email="mara@halden.example")
    Authenticator.objects.create(user=mara, type=Authenticator.Type.TOTP, data={})
    return lambda: people.reset_factors(mara, by=by)


def see_what_was_done(simulator: Simulator) -> Write:
    change_a_role(simulator)()
    by = Actor(kind="person", name="mara@halden.example")
    return lambda: announcements.see(PersonNotice.objects.get().pk, by=by)


def make_a_token(_: Simulator) -> Write:
    admin = factories.person(Role.ADMIN)
    assert admin.email == factories.ADMIN.name
    return lambda: tokens.add_token("prometheus", Scope.METRICS, days=30, by=factories.ADMIN)


def revoke_a_token(_: Simulator) -> Write:
    factories.person(Role.ADMIN)
    token, _text = tokens.add_token("prometheus", Scope.METRICS, days=30, by=factories.ADMIN)
    return lambda: tokens.revoke(token, by=factories.ADMIN)


def register_after_long(_: Simulator) -> Write:
    long_ago = timezone.now() - timedelta(days=8)
    Worker.objects.create(name="old", started_at=long_ago, seen_at=long_ago)
    return workers._register


def prepare(simulator: Simulator) -> Write:
    primary, _ = changing.connected(simulator)
    changing.operator()
    return lambda: changing.prepared(primary)


def skip_the_approval(simulator: Simulator) -> Write:
    primary, _ = changing.connected(simulator)
    changing.approver()
    change = changing.waiting(primary)
    words = {"typed_name": primary.name, "reason": "nobody answers"}
    return lambda: changes.skip_approval(changing.fresh(change), by=changing.operator(), **words)


def see_that_one_was_skipped(_: Simulator) -> Write:
    primary, _other = factories.pair()
    change = changing.standing(primary, ChangeStatus.NOT_SENT)
    by = changing.approver()
    SkipNotice.objects.create(change=change, person=Person.objects.get(email=by.name))
    return lambda: changes.see_skip(change, by=by)


DRIVEN = [
    (Event.ORGANIZATION_ADDED, add),
    (Event.ORGANIZATION_EDITED, edit),
    (Event.KEYS_REPLACED, replace_keys),
    (Event.PAIR_PARTED, part),
    (Event.ORGANIZATION_DISABLED, disable),
    (Event.ORGANIZATION_ENABLED, enable),
    (Event.ORGANIZATION_VERIFIED, verify),
    (Event.ORGANIZATION_PINNED, pin),
    (Event.KEYS_REFUSED, see_that_keys_are_refused),
    (Event.STATUS_CHANGED_OUTSIDE, see_a_change_from_outside),
    (Event.PAIR_FOUND, find_a_pair),
    (Event.PAIR_NAMED, name_a_pair),
    (Event.OUTSIDE_ACKNOWLEDGED, acknowledge),
    (Event.PERSON_ADDED, add_a_person),
    (Event.PASSWORD_SET, set_a_password),
    (Event.PASSWORD_SET, give_a_password),
    (Event.PASSWORD_SET, choose_a_password),
    (Event.ROLE_CHANGED, change_a_role),
    (Event.PERSON_DISABLED, disable_a_person),
    (Event.PERSON_ENABLED, enable_a_person),
    (Event.FACTORS_RESET, reset_factors),
    (Event.PERSON_NOTICE_SEEN, see_what_was_done),
    (Event.TOKEN_MADE, make_a_token),
    (Event.TOKEN_REVOKED, revoke_a_token),
    (Event.WORKER_RESUMED, register_after_long),
    (Event.CHANGE_PREPARED, prepare),
    (Event.APPROVAL_SKIPPED, skip_the_approval),
    (Event.SKIP_SEEN, see_that_one_was_skipped),
]

SEEN_BEFOREHAND = {Event.CHANGE_PREPARED, Event.APPROVAL_SKIPPED}
"""Both sides are read before these, and that is stored by itself."""
