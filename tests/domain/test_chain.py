"""Is each way to tamper with a log found, and an honest one never accused? Two hundred entries, edited in every way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hamr_portal.domain import chain
from hamr_portal.domain.chain import BEGINNING, FIELDS, START, Checkpoint, Place, Walked, checkpoint_in, hash_of, walk

KEYS = {"2026-01": b"a" * 32, "2026-07": b"b" * 32}
LENGTH, ROTATED_AFTER = 200, 100
Entry = dict[str, Any]


def entry(seq: int, previous: str) -> Entry:
    """Give an honest entry; the later half is signed with the key that took over."""
    key_id = "2026-01" if seq <= ROTATED_AFTER else "2026-07"
    texts = {name: f"{name} {seq}" for name in FIELDS}
    made: Entry = {
        **texts,
        "seq": seq,
        "at": f"2026-08-01T10:{seq // 60:02}:{seq % 60:02}.000000Z",
        "reason": f"Grüße, {seq} — 区\x1f\u2028",
        "change": seq if seq % 3 else None,
        "data": json.dumps({"after": "SENDING", "n": seq}),
        "key_id": key_id,
        "previous": previous,
    }
    return made | {"hash": hash_of(KEYS[key_id], made)}


def log_of(length: int) -> list[Entry]:
    made: list[Entry] = []
    for seq in range(1, length + 1):
        made.append(entry(seq, made[-1]["hash"] if made else BEGINNING))
    return made


LOG = log_of(LENGTH)
CHECKPOINT = Checkpoint(LENGTH, LOG[-1]["hash"], "2026-08-01T11:00:00.000000Z", "2026-07").signed(KEYS["2026-07"])


def verified(log: list[Entry], *checkpoints: Checkpoint, **more: Any) -> Walked:
    return walk(log, KEYS, checkpoints=checkpoints or [CHECKPOINT], **more)


def edited(value: Any) -> Any:
    """Give another value of the same kind."""
    if value is None:
        return 1
    return value + 1 if isinstance(value, int) else f"{value[:-1]}{'a' if value[-1:] != 'a' else 'b'}"


def signed_anew(log: list[Entry], begin: int, keys: dict[str, bytes]) -> list[Entry]:
    """Give the log with the chain made anew from an index on, as whoever has these keys would."""
    made = log[:begin]
    for old in log[begin:]:
        one = old | {"previous": made[-1]["hash"] if made else BEGINNING}
        made.append(one | {"hash": hash_of(keys[one["key_id"]], one)})
    return made


# --- each kind of mutation, for every entry ---------------------------------------------------------------------


def edits(every: int) -> Iterator[tuple[str, list[Entry], int]]:
    """Give edits of one field: what was edited, the log, and the number at which it must be found at the latest."""
    for index, old in enumerate(LOG):
        for name in (*FIELDS, "hash") if index % every == 0 else ("reason", "data"):
            yield (
                f"{name} of {index + 1}",
                [*LOG[:index], old | {name: edited(old[name])}, *LOG[index + 1 :]],
                index + 1,
            )


def moved(every: int) -> Iterator[tuple[str, list[Entry], int]]:
    for index in range(0, LENGTH, every):
        yield f"deleted {index + 1}", LOG[:index] + LOG[index + 1 :], index + 1
        yield f"twice {index + 1}", LOG[: index + 1] + LOG[index:], index + 1
        yield f"last again behind {index + 1}", [*LOG, LOG[index]], LENGTH
        if index:
            swapped = [*LOG]
            swapped[index - 1], swapped[index] = swapped[index], swapped[index - 1]
            yield f"swapped {index} and {index + 1}", swapped, index
            numbered = [*LOG]
            numbered[index - 1] = LOG[index] | {"seq": index}
            numbered[index] = LOG[index - 1] | {"seq": index + 1}
            yield f"swapped and numbered {index}", numbered, index


def rewritten(every: int) -> Iterator[tuple[str, list[Entry], int]]:
    others = dict.fromkeys(KEYS, b"x" * 32)
    for index, old in list(enumerate(LOG))[::every]:
        changed = [*LOG[:index], old | {"reason": "nothing happened"}, *LOG[index + 1 :]]
        yield f"edited {index + 1}, made anew without the key", signed_anew(changed, index, others), index + 1
        yield f"edited {index + 1}, made anew with the key", signed_anew(changed, index, KEYS), LENGTH
        without = [*LOG[:index], *({**each, "seq": each["seq"] - 1} for each in LOG[index + 1 :])]
        yield f"left out {index + 1}, made anew with the key", signed_anew(without, index, KEYS), LENGTH


def cut(every: int) -> Iterator[tuple[str, list[Entry], int]]:
    for length in range(1, LENGTH, every):
        yield f"cut after {length}", LOG[:length], length + 1


MUTATIONS = {"edits": edits, "moved": moved, "rewritten": rewritten, "cut": cut}


def missed_of(mutations: Iterable[tuple[str, list[Entry], int]]) -> list[str]:
    """Give the mutations that are not found, or found only behind where they are."""
    missed = []
    for name, mutated, latest in mutations:
        broken = verified(mutated).broken
        if broken is None or broken.seq > latest + 1:
            missed.append(name)
    return missed


@pytest.mark.parametrize("kind", MUTATIONS)
def test_mutations_are_found_where_there_is_a_checkpoint(kind: str) -> None:
    assert missed_of(MUTATIONS[kind](11)) == []


@pytest.mark.slow
def test_every_mutation_of_every_entry_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    mutations = [mutation for kind in MUTATIONS.values() for mutation in kind(1)]
    honest = [log_of(length) for length in range(1, LENGTH + 1)]

    missed = missed_of(mutations)
    alarms = sum(walk(log, KEYS).broken is not None for log in honest) + (verified(LOG).broken is not None)

    with capsys.disabled():
        found = f"{len(mutations) - len(missed)}/{len(mutations)}"
        print(f"\nchain mutations detected: {found}, false alarms {alarms}")  # noqa: T201 - a figure of the scorecard
    assert (missed, alarms) == ([], 0)
    assert len(mutations) > LENGTH * (len(FIELDS) + 1 + 5)


# --- what is said -----------------------------------------------------------------------------------------------


def test_an_honest_log_is_whole() -> None:
    came = verified(LOG)

    assert came == Walked(LENGTH, Place(LENGTH, LOG[-1]["hash"]))


def test_an_empty_log_is_whole() -> None:
    assert walk([], KEYS) == Walked(0, START)


def test_an_honest_log_is_whole_after_each_rotation_of_its_key() -> None:
    assert walk(LOG, KEYS | {"2027-01": b"c" * 32}).broken is None


@pytest.mark.parametrize(
    ("change", "seq", "what"),
    [
        ({3: {"reason": "another"}}, 3, "its content is not what was signed"),
        ({3: {"hash": "ü" * 64}}, 3, "its content is not what was signed"),
        ({3: {"hash": None}}, 3, "its content is not what was signed"),
        ({3: {"reason": "\ud800"}}, 3, "its content is not what was signed"),
        ({3: {"previous": "0" * 64}}, 3, "it does not follow on entry 2 as that is now"),
        ({3: {"key_id": "another"}}, 3, "it is signed with key 'another', which is not known here"),
        ({3: {"seq": 4}}, 4, "it comes after entry 2: one is missing, twice there, or out of order"),
    ],
)
def test_what_is_wrong_with_the_first_bad_entry_is_said(change: dict[int, Entry], seq: int, what: str) -> None:
    came = verified([each | change.get(each["seq"], {}) for each in LOG])

    assert came.broken == chain.Broken(seq, what)
    assert (came.entries, came.head.seq) == (2, 2)


def test_an_entry_that_lacks_a_field_cannot_be_read() -> None:
    came = verified([*LOG[:4], {"seq": 5}, *LOG[5:]])

    assert came.broken == chain.Broken(5, "it cannot be read")


def test_a_log_that_was_written_anew_is_told_by_its_checkpoint() -> None:
    anew = signed_anew([LOG[0] | {"reason": "another"}, *LOG[1:]], 0, KEYS)

    assert walk(anew, KEYS).broken is None
    assert verified(anew).broken == chain.Broken(200, "it was written anew after the checkpoint of " + CHECKPOINT.at)


def test_a_tail_that_was_cut_off_is_told_by_its_checkpoint() -> None:
    assert walk(LOG[:150], KEYS).broken is None
    what = f"it is missing, and all after it: the checkpoint of {CHECKPOINT.at} knows entry 200"
    assert verified(LOG[:150]).broken == chain.Broken(151, what)


def test_of_two_checkpoints_of_one_entry_both_count() -> None:
    other = replace(CHECKPOINT, hash="f" * 64).signed(KEYS["2026-07"])

    for both in ([other, CHECKPOINT], [CHECKPOINT, other]):
        assert verified(LOG, *both).broken is not None


@pytest.mark.parametrize("name", ["seq", "hash", "at", "key_id", "signature"])
def test_an_edited_checkpoint_is_no_checkpoint(name: str) -> None:
    forged = replace(CHECKPOINT, **{name: edited(getattr(CHECKPOINT, name))})

    came = verified(LOG, CHECKPOINT, forged)

    assert came.broken is not None
    assert came.broken.what == "its checkpoint was not signed with a key of this installation"


def test_a_signature_that_is_no_ascii_is_none() -> None:
    assert not replace(CHECKPOINT, signature="ü" * 64).is_genuine(KEYS)


def test_from_a_place_on_only_what_comes_after_it_is_verified() -> None:
    after = Place(150, LOG[149]["hash"])

    assert verified(LOG[150:], after=after).entries == 50
    assert verified(LOG[151:], after=after).broken == chain.Broken(
        152, "it comes after entry 150: one is missing, twice there, or out of order"
    )


def test_of_a_selection_gaps_say_nothing_and_edits_are_found() -> None:
    selection = LOG[::7]

    assert verified(selection, with_gaps=True).broken is None
    assert verified([*selection[:3], selection[3] | {"ticket": "x"}], with_gaps=True).broken is not None
    assert verified([selection[1], selection[0]], with_gaps=True).broken is not None
    neighbours = [LOG[0], LOG[2] | {"seq": 2}]
    assert verified(neighbours, with_gaps=True).broken is not None


def test_a_line_gives_its_checkpoint_back() -> None:
    assert checkpoint_in(CHECKPOINT.line()) == CHECKPOINT
    assert "\n" not in CHECKPOINT.line()


@pytest.mark.parametrize(
    "line",
    ["", "{}", "[]", "7", "null", '{"checkpoint": 7}', '{"checkpoint": {"seq": 1}}', "[" * 100_000]
    + [
        json.dumps({"checkpoint": {**json.loads(CHECKPOINT.line())["checkpoint"], **over}})
        for over in ({"seq": "1"}, {"seq": True}, {"at": 7}, {"more": 1})
    ],
)
def test_a_line_that_holds_none_gives_none(line: str) -> None:
    assert checkpoint_in(line) is None


# --- alone ------------------------------------------------------------------------------------------------------


class Files:
    """What an auditor has: the verifier, an export, the keys and the checkpoints."""

    def __init__(self, folder: Path) -> None:
        self.export, self.keys, self.checkpoints = (folder / name for name in ("export", "keys", "checkpoints"))
        self.keys.write_text(json.dumps({name: key.hex() for name, key in KEYS.items()}))
        self.checkpoints.write_text(f"{CHECKPOINT.line()}\n")
        self.write(LOG)

    def write(self, log: list[Entry], counted: int | None = None) -> None:
        lines = [json.dumps(each) for each in [*log, {"entries": len(log) if counted is None else counted}]]
        self.export.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def words(self, *more: str) -> list[str]:
        return [str(self.export), "--keys", str(self.keys), "--checkpoints", str(self.checkpoints), *more]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(
    ("log", "counted", "more", "code", "said"),
    [
        (LOG, 200, [], 0, f"200 entries are whole, up to entry 200, hash {LOG[-1]['hash']}."),
        (
            [*LOG[:4], LOG[4] | {"ticket": "x"}, *LOG[5:]],
            200,
            [],
            1,
            "Entry 5: its content is not what was signed. 4 entr",
        ),
        (LOG[:150], 150, [], 1, "Entry 151: it is missing, and all after it"),
        (LOG[::2], 100, ["--selection"], 0, "100 entries are whole, up to entry 199"),
        (LOG[::2], 100, [], 1, "Entry 3: it comes after entry 1"),
        (LOG[:50:2], 100, ["--selection"], 1, "The last line counts 100 entries, and 25 are there."),
    ],
)
def test_alone_it_says_what_came_of_an_export(
    files: Files,
    capsys: pytest.CaptureFixture[str],
    log: list[Entry],
    counted: int,
    more: list[str],
    code: int,
    said: str,
) -> None:
    files.write(log, counted)

    assert chain.main(files.words(*more)) == code

    assert capsys.readouterr().out.startswith(said)


def test_alone_it_tells_an_export_that_was_cut_off_between_two_lines(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = files.export.read_text(encoding="utf-8").splitlines(keepends=True)
    files.export.write_text("".join(whole[:150]), encoding="utf-8")

    assert chain.main(files.words()[:3]) == 1

    assert capsys.readouterr().out == (
        "The last line, which counts the entries, is missing. 150 are there and whole.\n"
    )


def test_alone_it_needs_no_checkpoints(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.write(LOG[:150])

    assert chain.main(files.words()[:3]) == 0

    assert capsys.readouterr().out.startswith("150 entries are whole")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("export", "no JSON\n"),
        ("export", "7\n"),
        ("export", "[" * 100_000),
        ("export", '{"neither": 1}\n'),
        ("keys", "[]"),
        ("keys", '{"2026-01": "no hex"}'),
        ("keys", '{"2026-01": 7}'),
        ("checkpoints", "nothing of the kind\n"),
        ("checkpoints", None),
        ("export", None),
    ],
)
def test_alone_it_says_of_which_files_it_can_make_nothing(
    files: Files, capsys: pytest.CaptureFixture[str], name: str, text: str | None
) -> None:
    file: Path = getattr(files, name)
    file.unlink() if text is None else file.write_text(text)

    assert chain.main(files.words()) == 2

    assert capsys.readouterr().out.startswith("Cannot be verified: ")


def test_alone_it_runs_where_there_is_nothing_but_python(files: Files, tmp_path: Path) -> None:
    assert chain.__file__ is not None
    alone = tmp_path / "chain.py"
    alone.write_bytes(Path(chain.__file__).read_bytes())

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "-S", str(alone), *files.words()]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={}, check=False)

    whole = run()
    files.write([*LOG[:99], LOG[99] | {"actor_name": "somebody else"}, *LOG[100:]])
    edited_one = run()
    files.keys.unlink()
    unusable = run()

    assert (whole.returncode, whole.stderr) == (0, "")
    assert whole.stdout.startswith("200 entries are whole")
    assert (edited_one.returncode, edited_one.stderr) == (1, "")
    assert edited_one.stdout.startswith(
        "Entry 100: its content is not what was signed. 99 entries before it are whole."
    )
    assert (unusable.returncode, unusable.stderr) == (2, "")
    assert unusable.stdout.startswith("Cannot be verified: FileNotFoundError")
