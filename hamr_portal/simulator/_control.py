"""How does another process steer a simulator? Small JSON calls on a loopback port of their own.

There is no sign-in: only this machine reaches the port, and behind it is nothing but pretend. Keys are never told.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Self

from ._faults import NAMES
from ._http import Answer, Listener, Request
from ._simulator import Simulator
from .scene import Scene

Call = Callable[[dict[str, Any]], Any]


class Control:
    """A listener that changes a simulator as it is told, open until `stop` or the end of `with`."""

    def __init__(self, simulator: Simulator, scene: Scene | None = None, *, port: int = 0) -> None:
        self._simulator = simulator
        self._scene = scene
        self._calls: Mapping[tuple[str, str], Call] = {
            ("GET", "/state"): self._state,
            ("GET", "/requests"): self._requests,
            ("POST", "/faults"): self._set_fault,
            ("POST", "/begin"): self._begin,
            ("POST", "/write_aside"): self._write_aside,
            ("POST", "/split"): self._split,
            ("POST", "/act_late"): self._act_late,
        }
        self._listener = Listener(self._respond, port=port)
        self.url = self._listener.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the control port."""
        self._listener.stop()

    def _respond(self, request: Request) -> Answer:
        call = self._calls.get((request.verb, request.path.partition("?")[0]))
        if call is None:
            known = ", ".join(" ".join(each) for each in self._calls)
            return Answer.of(404, {"error": f"There is no {request.verb} {request.path}; there are: {known}."})
        try:
            return Answer.of(200, call(_words(request.body)))
        except (ValueError, TypeError) as error:
            return Answer.of(400, {"error": str(error)})

    def _state(self, _words: dict[str, Any]) -> Any:
        return {
            "sites": self._simulator.urls,
            "scene": {"elapsed": self._scene.elapsed} if self._scene else None,
            "faults_known": NAMES,
            "organizations": [self._organization(each.name) for each in self._simulator.organizations],
        }

    def _organization(self, name: str) -> dict[str, Any]:
        organization = self._simulator.organizations.named(name)
        view = organization.view
        return {
            "name": name,
            "site": organization.site,
            "uuid": organization.uuid,
            "spelling": organization.spelling,
            "view": vars(view) | {"modified_at": view.modified_at.isoformat()} if view else None,
            "faults": self._simulator.faults(name),
        }

    def _requests(self, _words: dict[str, Any]) -> Any:
        return [
            {
                "verb": each.verb,
                "path": each.path,
                "organization": each.organization,
                "at": each.at,
                "body": each.body.decode(errors="replace"),
            }
            for each in self._simulator.requests
        ]

    def _set_fault(self, words: dict[str, Any]) -> Any:
        self._simulator.set_fault(**words)
        return {"faults": self._simulator.faults(words["name"])}

    def _begin(self, _words: dict[str, Any]) -> Any:
        if self._scene is None:
            raise ValueError("There is no scene.")
        if self._scene.elapsed is None:
            self._scene.begin()
            self._scene.play()
        return {"elapsed": self._scene.elapsed}

    def _write_aside(self, words: dict[str, Any]) -> Any:
        self._simulator.write_aside(**words)
        return self._organization(words["name"])

    def _split(self, words: dict[str, Any]) -> Any:
        if "modified_at" in words:
            words["modified_at"] = datetime.fromisoformat(words["modified_at"])
        self._simulator.split(**words)
        return self._organization(words["name"])

    def _act_late(self, _words: dict[str, Any]) -> Any:
        return {"acted": self._simulator.act_late()}


def _words(body: bytes) -> dict[str, Any]:
    words = json.loads(body or b"{}")
    if not isinstance(words, dict):
        raise TypeError("The body must be a JSON object.")
    return words
