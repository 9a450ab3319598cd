"""Procedural people: clothed, articulated figures with keypoints, made from one integer each."""

from rfwarp.data.people.dataset import VIEWS, ProceduralPeople
from rfwarp.data.people.folder import write_people_folder
from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.render import RENDERER_VERSION, People, render_person

__all__ = [
    "RENDERER_VERSION",
    "VIEWS",
    "People",
    "PersonParameters",
    "ProceduralPeople",
    "render_person",
    "write_people_folder",
]
