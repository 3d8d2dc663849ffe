"""How does a simulator run as a process of its own? It tells where it is, and serves until it is asked to end."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import scene as scenes
from ._control import Control
from ._faults import parse
from ._organizations import Spelling
from ._simulator import SITES, Simulator

SPELLINGS = ("snake_case", "PascalCase")


def serve(
    *,
    port: int = 0,
    spelling: Spelling | None = None,
    faults: str = "",
    organizations: Path | None = None,
    begin: bool = False,
    write: Callable[[str], object] = sys.stdout.write,
) -> None:
    """Run the demo's scene until SIGTERM or SIGINT, after writing where the sites, control and organizations are.

    Sites take `port` and the following ones, the control port is the next after them; 0 takes free ones. Faults are
    `NAME[:VERB]:FAULT`, comma-separated; a wrong word raises a ValueError that lists what is possible.
    """
    with _asked_to_end() as ended, Simulator(port=port) as simulator:
        scene = scenes.build(simulator, spelling=spelling)
        for name, verb, fault in parse(faults):
            simulator.set_fault(name, fault, verb=verb)
        with Control(simulator, scene, port=port + len(SITES) if port else 0) as control:
            if begin:
                scene.begin()
                scene.play()
            _tell(simulator, control, scene.organizations_json(), organizations, write)
            ended.wait()


def _tell(
    simulator: Simulator,
    control: Control,
    saved: list[dict[str, Any]],
    path: Path | None,
    write: Callable[[str], object],
) -> None:
    if path is not None:
        _write_private(path, json.dumps(saved, indent=2) + "\n")
    write(f"HAMR_SITES={simulator.hamr_sites}\n")
    write(f"CONTROL={control.url}\n")
    write(f"ORGANIZATIONS={path or json.dumps(saved)}\n")
    sys.stdout.flush()


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)  # or its mode would stay as it was
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


@contextmanager
def _asked_to_end() -> Iterator[threading.Event]:
    ended = threading.Event()
    before = {each: signal.signal(each, lambda *_: ended.set()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ended
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
