"""`status`: the dashboard in a terminal."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from difflib import get_close_matches
from typing import Any

from django.core.management.base import CommandError
from django.db.models import Q
from django.utils import timezone

from hamr_portal.management.refusals import frozen
from hamr_portal.management.shell import InstalledCommand, console, shell_actor
from hamr_portal.management.status_table import table
from hamr_portal.models import Organization
from hamr_portal.services import freezes, overview, readings
from hamr_portal.services.overview_json import as_json

NEEDS_ACTION = 10


class Command(InstalledCommand):
    """Prints every pair, the worst first."""

    help = "Show every pair. Exit 0 when nothing needs action, 10 when something does or is stale."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what is wanted."""
        parser.add_argument("names", nargs="*", metavar="NAME", help="organizations or pairs; none: all")
        parser.add_argument("--refresh", action="store_true", help="read them now")
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read if asked to, print, and tell by the exit code."""
        names = _known(options["names"])
        if options["refresh"]:
            self._refresh(names)
        everything = overview.overview(now=timezone.now(), filters=overview.Filters(names=frozenset(names)))
        worker, freeze = freezes.beside_workers(now=everything.at)
        if options["json"]:
            self.stdout.write(json.dumps(as_json(everything, worker, freeze), indent=2))
        else:
            if freeze is not None:
                self.stdout.write(frozen(freeze, everything.at))
            console(self.stdout).print(table(everything, worker))
        if overview.needing_action(everything):
            sys.exit(NEEDS_ACTION)

    def _refresh(self, names: list[str]) -> None:
        rows = Organization.objects.enabled().real().select_related("snapshot")
        # With its other side: half a pair that was read now says little.
        wanted = rows.filter(Q(name__in=names) | Q(pair__sides__name__in=names)).distinct() if names else rows
        for organization, answer in readings.read_now(list(wanted), by=shell_actor()).items():
            if answer is not readings.ReadNow.READ:
                self.stderr.write(f"{organization.name}: not read now: {answer.value}")


def _known(names: list[str]) -> list[str]:
    """Give the organizations that are meant: by their own name, or by their pair's in any case."""
    rows = Organization.objects.enabled().real().values_list("name", "pair__name")
    meant: dict[str, list[str]] = {name: [name] for name, _ in rows}
    for _, pair in rows:
        if pair and pair.casefold() not in meant:
            meant[pair.casefold()] = [other for other, its_pair in rows if its_pair == pair]
    wanted: list[str] = []
    for name in names:
        key = name if name in meant else name.casefold()
        if key not in meant:
            if Organization.objects.filter(name=name, drill__isnull=False).exists():
                raise CommandError(f"{name} is of a drill, and counts here for nothing. It is on /drills/.")
            if Organization.objects.filter(name=name).exists():
                raise CommandError(f"{name} is disabled.")
            close = get_close_matches(key, meant, n=3, cutoff=0.4)
            raise CommandError(f"{name} is not saved." + (f" Close: {', '.join(close)}." if close else ""))
        wanted += meant[key]
    return wanted
