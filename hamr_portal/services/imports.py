"""Which organizations does a file hold, and what came of saving them?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings

from hamr_portal.crypto import SealBroken
from hamr_portal.domain.audit import Actor
from hamr_portal.domain.organizations import NAME, RESERVED_NAMES, Credentials, InvalidKey, Secret, Spelling
from hamr_portal.models import Organization

from . import keys, organizations
from .organizations import Draft, NotSaved
from .verification import Verification, probe, site_named

_REQUIRED = ("name", "site", "api_key", "application_key")
_OPTIONAL = ("requires_approval", "spelling")


class InvalidFile(Exception):
    """The file holds something that cannot be saved; nothing was. `problems` says what, entry by entry, never a key."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Imported:
    """What came of one entry: `added`, `updated`, `unchanged` or `not saved`, and why or what verifying showed."""

    name: str
    site: str
    result: str
    detail: str


def parse(text: str) -> list[Draft]:
    """Read the file's JSON. Raises `InvalidFile`."""
    try:
        entries = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise InvalidFile(["This is not JSON. Write a list of organizations, each an object."]) from None
    if not isinstance(entries, list) or not entries:
        raise InvalidFile(["Write a list of organizations: [{" + ", ".join(f'"{k}": …' for k in _REQUIRED) + "}]"])
    problems: list[str] = []
    drafts = [_draft(number, entry, problems) for number, entry in enumerate(entries, 1)]
    names = [draft.name for draft in drafts if draft is not None]
    problems += [
        f"{name}: the name stands in the file more than once."
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if problems:
        raise InvalidFile(problems)
    return [draft for draft in drafts if draft is not None]


def _once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(members)) < len(members):
        raise InvalidFile(["An object holds the same field twice. Write each field once."])
    return dict(members)


def import_all(drafts: Sequence[Draft], *, by: Actor) -> list[Imported]:
    """Verify all at once, then save one after another; each is saved whole or not at all. Raises `KeyRingUnusable`."""
    keys.ring()
    known = {o.name: o for o in Organization.objects.filter(name__in=[draft.name for draft in drafts])}
    drafts = [_without_saved_keys(draft, known.get(draft.name)) for draft in drafts]
    with ThreadPoolExecutor(settings.HAMR_SWEEP_THREADS) as pool:
        found = list(pool.map(lambda draft: _probe(draft, known.get(draft.name)), drafts))
    return [_save(draft, known.get(draft.name), seen, by) for draft, seen in zip(drafts, found, strict=True)]


def _draft(number: int, entry: Any, problems: list[str]) -> Draft | None:
    if not isinstance(entry, dict):
        problems.append(f"entry {number}: write an object with {', '.join(_REQUIRED)}.")
        return None
    name = entry.get("name")
    label = name if isinstance(name, str) and NAME.fullmatch(name) else f"entry {number}"
    mine = list(_problems_of(entry))
    credentials = None
    if not mine:
        try:
            credentials = Credentials(Secret(entry["api_key"]), Secret(entry["application_key"]))
        except InvalidKey as error:
            mine.append(str(error))
    problems += [f"{label}: {problem}" for problem in mine]
    if mine:
        return None
    spelling = Spelling.of(entry.get("spelling", Spelling.AUTO))
    return Draft(entry["name"], entry["site"], credentials, entry.get("requires_approval", False), spelling)


def _problems_of(entry: dict[str, Any]) -> list[str]:
    problems = [f"{key} is missing." for key in _REQUIRED if key not in entry]
    problems += [f"{key} must be a text." for key in _REQUIRED if key in entry and not isinstance(entry[key], str)]
    # Nothing that came from the file is repeated: a key may have been pasted into the wrong place.
    if set(entry) - set(_REQUIRED + _OPTIONAL):
        problems.append(f"a field is not known. Known: {', '.join(_REQUIRED + _OPTIONAL)}.")
    if problems:
        return problems
    if not NAME.fullmatch(entry["name"]) or entry["name"] in RESERVED_NAMES:
        problems.append("the name must be lower-case letters, digits and hyphens, at most 63, such as acme-us1.")
    if entry["site"] not in settings.HAMR_SITES:
        problems.append(f"the site is in no list. Known: {', '.join(settings.HAMR_SITES)}.")
    if not isinstance(entry.get("requires_approval", False), bool):
        problems.append("requires_approval must be true or false.")
    try:
        Spelling.of(str(entry.get("spelling", Spelling.AUTO)))
    except ValueError:
        problems.append("spelling must be auto, snake_case or PascalCase.")
    return problems


def _without_saved_keys(draft: Draft, saved: Organization | None) -> Draft:
    """Leave keys out that are saved already, so that importing a file twice replaces nothing."""
    if saved is None:
        return draft
    try:
        same = keys.open_for(saved, keys.ring()) == draft.credentials
    except SealBroken:
        same = False
    return replace(draft, credentials=None) if same else draft


def _probe(draft: Draft, saved: Organization | None) -> Verification | None:
    if draft.credentials is None:
        return None
    return probe(site_named(draft.site), draft.credentials, pinned=saved.uuid if saved else None)


def _save(draft: Draft, saved: Organization | None, found: Verification | None, by: Actor) -> Imported:
    try:
        if saved is None:
            _, found = organizations.add(draft, by=by, found=found)
            result = "added"
        else:
            unchanged = draft.credentials is None and organizations.is_same(saved, draft)
            found = None if unchanged else organizations.edit(saved, draft, by=by, found=found)
            result = "unchanged" if unchanged else "updated"
    except (NotSaved, SealBroken) as error:
        return Imported(draft.name, draft.site, "not saved", str(error))
    detail = found.reason or found.outcome.word if found is not None else ""
    return Imported(draft.name, draft.site, result, detail)
