"""Procedural clothed people: a person of each seed, in poses numbered from 0."""

from rfwarp.data.people.dataset import VIEWS, ProceduralPeople
from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.render import RENDERER_VERSION, render_person
from rfwarp.data.people.skeleton import Pose, sample_pose

__all__ = [
    "RENDERER_VERSION",
    "VIEWS",
    "PersonParameters",
    "Pose",
    "ProceduralPeople",
    "render_person",
    "sample_pose",
]
