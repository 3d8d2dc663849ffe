"""Each write of the portal: what has to be there for it, and the call that makes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.changes import ChangeStatus
from hamr_portal.domain.organizations import Secret
from hamr_portal.domain.people import Role
from hamr_portal.domain.run_sheets import PROPOSED
from hamr_portal.domain.tokens import Scope
from hamr_portal.models import (
    Change,
    Observation,
    Organization,
    Pair,
    Person,
    PersonNotice,
    SkipNotice,
    Snapshot,
    Worker,
)
from hamr_portal.services import (
    announcements,
    changes,
    connections,
    drills,
    drivers,
    freezes,
    news,
    organizations,
    outside,
    pairs,
    people,
    readings,
    run_sheets,
    tokens,
    verification,
    workers,
)
from hamr_portal.services.organizations import Draft
from hamr_portal.services.verification import Verification, VerifyOutcome
from hamr_portal.simulator import Simulator
from tests import factories
from tests.services import changing, practising

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


def try_the_channels(_: Simulator) -> Write:
    factories.person(Role.ADMIN)
    settings.NOTIFY_URLS = [Secret("json://127.0.0.1")]
    return lambda: news.send_test(by=factories.ADMIN)


def register_after_long(_: Simulator) -> Write:
    long_ago = timezone.now() - timedelta(days=8)
    Worker.objects.create(name="old", started_at=long_ago, seen_at=long_ago)
    return workers._register


def save_a_run_sheet(_: Simulator) -> Write:
    primary, _other = factories.pair()
    by = changing.operator()
    assert primary.pair is not None
    pair = primary.pair
    return lambda: run_sheets.save(pair, PROPOSED, version=0, by=by)


def begun(simulator: Simulator) -> Change:
    primary, _ = changing.connected(simulator)
    assert primary.pair is not None
    run_sheets.save(primary.pair, PROPOSED, version=0, by=changing.operator())
    return changing.changed(primary)


def tick_a_step(simulator: Simulator) -> Write:
    change, by = begun(simulator), changing.operator()
    return lambda: run_sheets.tick(change, 1, number=1, by=by)


def take_a_tick_back(simulator: Simulator) -> Write:
    change, by = begun(simulator), changing.operator()
    run_sheets.tick(change, 1, number=1, by=by)
    return lambda: run_sheets.tick(change, 1, number=2, by=by)


def offer_a_change(simulator: Simulator) -> Write:
    change, to = begun(simulator), changing.admin().name
    return lambda: drivers.offer(change, to, by=changing.operator())


def keep_a_change(simulator: Simulator) -> Write:
    offer_a_change(simulator)()
    change = Change.objects.get()
    return lambda: drivers.offer(change, "", by=changing.operator())


def take_a_change(simulator: Simulator) -> Write:
    offer_a_change(simulator)()
    change = Change.objects.get()
    return lambda: drivers.take(change, seen=change.author_id, by=changing.admin())


def take_a_change_over(simulator: Simulator) -> Write:
    change, by = begun(simulator), changing.admin()
    return lambda: drivers.take(change, seen=change.author_id, by=by, reason="does not answer")


def begin_a_freeze(_: Simulator) -> Write:
    by = changing.admin()
    return lambda: changing.frozen(by=by)


def end_a_freeze(_: Simulator) -> Write:
    freeze = changing.frozen()
    return lambda: freezes.end(freeze, by=changing.admin())


def break_a_freeze(simulator: Simulator) -> Write:
    primary, _ = changing.connected(simulator)
    changing.frozen()
    change = changing.prepared(primary)
    return lambda: changing.confirmed(changing.fresh(change), break_freeze=True, break_reason="cannot wait")


def begin_a_drill(_: Simulator) -> Write:
    by = changing.operator()
    return lambda: practising.begun(by=by)


def let_the_trouble_begin(_: Simulator) -> Write:
    drill = practising.begun()
    return lambda: drills.turn(drill.pk, by=factories.SHELL)


def end_a_drill(_: Simulator) -> Write:
    drill = practising.begun()
    return lambda: drills.end(drill, by=changing.operator())


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
    (Event.NEWS_TESTED, try_the_channels),
    (Event.WORKER_RESUMED, register_after_long),
    (Event.RUN_SHEET_SAVED, save_a_run_sheet),
    (Event.STEP_TICKED, tick_a_step),
    (Event.STEP_TAKEN_BACK, take_a_tick_back),
    (Event.DRIVER_OFFERED, offer_a_change),
    (Event.DRIVER_KEPT, keep_a_change),
    (Event.DRIVER_TAKEN, take_a_change),
    (Event.DRIVER_TAKEN_OVER, take_a_change_over),
    (Event.FREEZE_BEGUN, begin_a_freeze),
    (Event.FREEZE_ENDED, end_a_freeze),
    (Event.FREEZE_BROKEN, break_a_freeze),
    (Event.DRILL_BEGUN, begin_a_drill),
    (Event.DRILL_TURNED, let_the_trouble_begin),
    (Event.DRILL_ENDED, end_a_drill),
    (Event.CHANGE_PREPARED, prepare),
    (Event.APPROVAL_SKIPPED, skip_the_approval),
    (Event.SKIP_SEEN, see_that_one_was_skipped),
]

SEEN_BEFOREHAND = {Event.CHANGE_PREPARED, Event.APPROVAL_SKIPPED, Event.FREEZE_BROKEN}
"""Both sides are read before these, and that is stored by itself."""
