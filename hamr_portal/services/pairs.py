"""How do pairs come to be, and how are they named?"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from hamr_portal.domain.audit import Actor, Event
from hamr_portal.domain.drills import is_like_a_drill
from hamr_portal.domain.pairs import Claim, Column, Match, discover, shared_name
from hamr_portal.models import Organization, Pair

from . import audit


def discover_pairs(*, by: Actor) -> None:
    """Make and move pairs as the organizations' own views say. Without news, nothing is written."""
    if _matches():
        with transaction.atomic():
            # Locked and looked at again: another worker may have been first.
            list(Organization.objects.select_for_update(no_key=True).order_by("pk").values_list("pk"))
            entries = [_join(match) for match in _matches()]
            for entry in entries:
                audit.append(by=by, **entry)


class NameTaken(Exception):
    """Another pair has this name. The text says which one."""


class NameKept(Exception):
    """A drill's pair keeps its name, and no other takes one like it. The text says which of both."""


def rename(pair: Pair, name: str, *, by: Actor) -> None:
    """Give a pair another name. Raises `NameTaken`, `NameKept`."""
    if pair.sides.filter(drill__isnull=False).exists():
        raise NameKept("It is the pair of a drill, and goes with it.")
    if is_like_a_drill(name):
        raise NameKept("Names that begin with drill are of drills. Choose another name.")
    with transaction.atomic():
        before = Pair.objects.select_for_update().get(pk=pair.pk).name
        if before == name:
            return
        other = Pair.objects.filter(name__iexact=name).exclude(pk=pair.pk).first()
        if other is not None:
            sides = " and ".join(other.sides.order_by("column").values_list("name", flat=True))
            raise NameTaken(f"{other.name} is the pair of {sides}. Choose another name.")
        Pair.objects.filter(pk=pair.pk).update(name=name)
        audit.append(Event.PAIR_NAMED, by=by, data={"before": before, "after": name})


def part(pair_id: int, *, by: Actor) -> None:
    """Take a pair apart, in the caller's transaction: one of its sides is not what it was any more."""
    pair = Pair.objects.select_for_update().get(pk=pair_id)
    sides = list(pair.sides.order_by("column").values_list("name", flat=True))
    Organization.objects.filter(pair=pair).update(pair=None, column=None)
    audit.append(Event.PAIR_PARTED, by=by, data={"pair": pair.name, "sides": sides})
    pair.delete()


def _matches() -> list[Match]:
    """Give what is to be joined: real organizations with each other, and those of a drill with each other."""
    claims = _claims()
    return [match for drill in claims for match in discover(claims[drill])]


def _claims() -> dict[int | None, list[Claim]]:
    """Give every claim, by the drill that it is of; None: of none."""
    rows = Organization.objects.enabled().values_list(
        "id", "name", "uuid", "snapshot__target_uuid", "snapshot__is_primary", "pair_id", "column", "drill_id"
    )
    claims: dict[int | None, list[Claim]] = {}
    for row in rows:
        claims.setdefault(row[7], []).append(Claim(*row[:6], column=Column(row[6]) if row[6] else None))
    return claims


def _join(match: Match) -> dict[str, Any]:
    """Put two organizations into one pair, and give what goes on the record."""
    sides = (match.primary, match.secondary)
    left = {side.pair for side in sides if side.pair is not None}
    together = len(left) == 1 and match.primary.pair == match.secondary.pair
    # Out of their old columns first, with whoever is left behind: a column holds one organization.
    Organization.objects.filter(pair_id__in=left).update(pair=None, column=None)
    if together:
        pair = Pair.objects.get(pk__in=left)
    else:
        Pair.objects.filter(pk__in=left).delete()
        pair = Pair.objects.create(name=_free_name(match), found_at=timezone.now())
    for side, column in zip(sides, Column, strict=True):
        Organization.objects.filter(pk=side.key).update(pair=pair, column=column)
    data = {"pair": pair.name, "primary": match.primary.name, "secondary": match.secondary.name}
    return {"event": Event.PAIR_MOVED if left else Event.PAIR_FOUND, "data": data}


def _free_name(match: Match) -> str:
    """Give what the two names share, or both where another pair is called that already."""
    primary, secondary = match.primary.name, match.secondary.name
    name = shared_name(primary, secondary)
    return f"{primary} and {secondary}" if Pair.objects.filter(name__iexact=name).exists() else name
