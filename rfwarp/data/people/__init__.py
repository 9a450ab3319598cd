"""Procedural people: clothed, articulated figures, made from one integer each."""

from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.render import RENDERER_VERSION, People, render_person

__all__ = ["RENDERER_VERSION", "People", "PersonParameters", "render_person"]
