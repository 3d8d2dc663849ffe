"""What may be asked for to begin a drill?"""

from __future__ import annotations

from typing import Any

from django import forms

from hamr_portal.domain.drills import Scene


class DrillForm(forms.Form):
    """A drill to begin."""

    scene = forms.ChoiceField(
        label="Scene",
        choices=[(scene.name, scene.title) for scene in Scene],
        error_messages={"required": "Choose a scene.", "invalid_choice": "Choose a scene from the list."},
    )
    approval = forms.BooleanField(label="A second person approves each change", required=False)

    def clean_scene(self) -> Scene:
        """Give the scene."""
        chosen: Any = self.cleaned_data["scene"]
        return Scene[chosen]
