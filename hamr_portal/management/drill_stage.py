"""How does a simulator play what is to be staged? It looks at the script, again and again, and sets itself to it."""

from __future__ import annotations

from datetime import UTC, datetime

from hamr_portal.domain.audit import Actor
from hamr_portal.domain.pairs import Column
from hamr_portal.services import drills
from hamr_portal.services.drills import Script
from hamr_portal.simulator import Simulator

SOMEBODY = "somebody@drill.example"
"""Who changed a side aside, as that side says."""


class Stage:
    """A simulator, and the drill that is on."""

    def __init__(self, simulator: Simulator, *, by: Actor) -> None:
        self._simulator = simulator
        self._by = by
        self._on: Script | None = None
        self._is_in_trouble = False

    def look(self) -> None:
        """Set the simulator to the drill that is under way now: its pair first, and its trouble once both were seen."""
        script = drills.script()
        if self._on is not None and (script is None or script.number != self._on.number):
            self._clear(self._on)
        if script is None:
            return
        if self._on is None:
            self._raise(script)
        if script.seen and not self._is_in_trouble:
            self._trouble(script)
            drills.turn(script.number, by=self._by)

    def _raise(self, script: Script) -> None:
        for part in script.parts:
            keys = part.credentials
            self._simulator.add_organization(
                part.name,
                part.site,
                uuid=str(part.uuid),
                api_key=keys.api_key.reveal(),
                application_key=keys.application_key.reveal(),
            )
        primary, secondary = script.parts
        self._simulator.add_pair(primary.name, secondary.name, modified_by=SOMEBODY)
        self._on, self._is_in_trouble = script, False

    def _trouble(self, script: Script) -> None:
        names = {part.column: part.name for part in script.parts}
        for fault in script.scene.faults:
            name = names[fault.side]
            self._simulator.set_fault(name, fault.name, verb=fault.verb, times=fault.times, **fault.options)
        if script.scene.splits is not None:
            told = {"hamr_status": int(script.scene.splits), "modified_by": SOMEBODY}
            self._simulator.split(names[Column.PRIMARY], **told, modified_at=datetime.now(UTC))
        self._is_in_trouble = True

    def _clear(self, script: Script) -> None:
        for part in script.parts:
            self._simulator.set_fault(part.name, None)
        self._on = None
