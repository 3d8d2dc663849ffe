"""Is a log whole? The hash rule, the checkpoints, and the first entry that is not as it was written.

Needs nothing but Python, so that it can be handed to an auditor as it is:

    python chain.py EXPORT.jsonl --keys KEYS.json --checkpoints CHECKPOINTS.jsonl
"""

from __future__ import annotations

import argparse
import hmac
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

FIELDS = (
    "seq",
    "at",
    "event",
    "actor_kind",
    "actor_name",
    "actor_role",
    "actor_address",
    "actor_agent",
    "actor_session",
    "actor_signed_in",
    "request_id",
    "organization",
    "change",
    "ticket",
    "reason",
    "outcome",
    "data",
    "key_id",
    "previous",
)
"""What is signed of an entry, in this order; `at` is UTC in ISO 8601 to the microsecond, `data` the text as kept."""

BEGINNING = "0" * 64
"""What the first entry names as the hash of the one before."""

_NEEDED = frozenset({*FIELDS, "hash"})

Plain = Mapping[str, Any]


def hash_of(key: bytes, entry: Plain) -> str:
    """Give an entry's hash: HMAC-SHA256, in hex, over a JSON list of its fields, with the hash of the one before."""
    text = json.dumps([entry[name] for name in FIELDS], ensure_ascii=False, separators=(",", ":"))
    return hmac.digest(key, text.encode(errors="surrogatepass"), "sha256").hex()


@dataclass(frozen=True)
class Checkpoint:
    """A signed line that says which entry was the last one, and how it hashed, at a moment."""

    seq: int
    hash: str
    at: str
    key_id: str
    signature: str = ""

    def signed(self, key: bytes) -> Checkpoint:
        """Give it with its signature."""
        return Checkpoint(self.seq, self.hash, self.at, self.key_id, self._signature(key))

    def is_genuine(self, keys: Mapping[str, bytes]) -> bool:
        """Tell whether it was signed with one of these keys."""
        key = keys.get(self.key_id)
        # As bytes: two texts are compared only while both are ASCII.
        return key is not None and hmac.compare_digest(self._signature(key).encode(), _bytes(self.signature))

    def _signature(self, key: bytes) -> str:
        text = json.dumps(["checkpoint", self.seq, self.hash, self.at, self.key_id])
        return hmac.digest(key, text.encode(), "sha256").hex()

    def line(self) -> str:
        """Give it as one line of JSON."""
        return json.dumps({"checkpoint": asdict(self)}, separators=(",", ":"))


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def checkpoint_in(line: str) -> Checkpoint | None:
    """Give the checkpoint that a line holds, whoever signed it; None where it holds none."""
    try:
        told = json.loads(line)["checkpoint"]
        found = Checkpoint(**told)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    is_one = all(isinstance(getattr(found, each.name), str) for each in fields(found) if each.name != "seq")
    return found if is_one and type(found.seq) is int else None


@dataclass(frozen=True)
class Broken:
    """The first entry that is not as it was written, or not there, and what is wrong with it."""

    seq: int
    what: str


@dataclass(frozen=True)
class Place:
    """An entry up to which a log is known to be whole."""

    seq: int = 0
    hash: str = BEGINNING


START = Place()
"""Before the first entry."""


@dataclass(frozen=True)
class Walked:
    """What came of going over a log: how many entries were whole, the last of them, and what came then."""

    entries: int
    head: Place
    broken: Broken | None = None


def walk(
    entries: Iterable[Plain],
    keys: Mapping[str, bytes],
    *,
    after: Place = START,
    checkpoints: Iterable[Checkpoint] = (),
    with_gaps: bool = False,
) -> Walked:
    """Go over entries in the order of their numbers, up to the first that is not whole.

    `after` is where to begin; `with_gaps` is for a selection, where numbers are left out and say nothing. An entry that
    lacks a field counts as one that is not whole.
    """
    known: dict[int, list[Checkpoint]] = {}
    for each in checkpoints:
        if not each.is_genuine(keys):
            return Walked(0, after, Broken(each.seq, "its checkpoint was not signed with a key of this installation"))
        known.setdefault(each.seq, []).append(each)
    head, count = after, 0
    for entry in entries:
        what = _wrong(entry, keys, head, known.get(entry["seq"], ()), with_gaps=with_gaps)
        if what:
            return Walked(count, head, Broken(entry["seq"], what))
        head, count = Place(entry["seq"], entry["hash"]), count + 1
    beyond = max((seq for seq in known if seq > head.seq), default=0)
    if beyond and not with_gaps:
        what = f"it is missing, and all after it: the checkpoint of {known[beyond][0].at} knows entry {beyond}"
        return Walked(count, head, Broken(head.seq + 1, what))
    return Walked(count, head)


def _wrong(
    entry: Plain, keys: Mapping[str, bytes], head: Place, checkpoints: Sequence[Checkpoint], *, with_gaps: bool
) -> str:
    if not entry.keys() >= _NEEDED:
        return "it cannot be read"
    seq, follows = entry["seq"], entry["seq"] == head.seq + 1
    if not follows and not (with_gaps and seq > head.seq):
        return f"it comes after entry {head.seq}: one is missing, twice there, or out of order"
    if follows and entry["previous"] != head.hash:
        return f"it does not follow on entry {head.seq} as that is now"
    key = keys.get(entry["key_id"])
    if key is None:
        return f"it is signed with key {entry['key_id']!r}, which is not known here"
    if hash_of(key, entry) != entry["hash"]:
        return "its content is not what was signed"
    other = next((each for each in checkpoints if each.hash != entry["hash"]), None)
    return f"it was written anew after the checkpoint of {other.at}" if other is not None else ""


# --- alone ------------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify an export, and say what came of it: 0 whole, 1 not, 2 for files that cannot be used."""
    parser = argparse.ArgumentParser(description="Verify an export (JSON Lines) of the audit log.")
    parser.add_argument("export", type=Path)
    parser.add_argument("--keys", type=Path, required=True, help='JSON: {"key id": "hex", …}')
    parser.add_argument("--checkpoints", type=Path, help="lines of checkpoint_audit_log")
    parser.add_argument("--selection", action="store_true", help="the export was filtered, so numbers are left out")
    options = parser.parse_args(arguments)
    try:
        keys = {str(name): bytes.fromhex(key) for name, key in json.loads(options.keys.read_text()).items()}
        lines = options.checkpoints.read_text().splitlines() if options.checkpoints else []
        checkpoints = [found for found in map(checkpoint_in, lines) if found is not None]
        if options.checkpoints and not checkpoints:
            raise ValueError(f"{options.checkpoints} holds no checkpoint")
        counted: list[int] = []
        entries = _entries_in(options.export, counted)
        came = walk(entries, keys, checkpoints=checkpoints, with_gaps=options.selection)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        sys.stdout.write(f"Cannot be verified: {type(error).__name__}: {error}\n")
        return 2
    if came.broken is not None:
        sys.stdout.write(f"Entry {came.broken.seq}: {came.broken.what}. {came.entries} entries before it are whole.\n")
        return 1
    if not counted:
        sys.stdout.write(f"The last line, which counts the entries, is missing. {came.entries} are there and whole.\n")
        return 1
    if counted[0] != came.entries:
        sys.stdout.write(f"The last line counts {counted[0]} entries, and {came.entries} are there. Those are whole.\n")
        return 1
    sys.stdout.write(f"{came.entries} entries are whole, up to entry {came.head.seq}, hash {came.head.hash}.\n")
    return 0


def _entries_in(export: Path, counted: list[int]) -> Iterator[Plain]:
    """Read the entries one by one; what the last line says of their number goes into `counted`."""
    with export.open(encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if "seq" in entry:
                yield entry
            else:
                counted.append(entry["entries"])


if __name__ == "__main__":  # pragma: no cover - its test runs it in a process of its own
    sys.exit(main())
