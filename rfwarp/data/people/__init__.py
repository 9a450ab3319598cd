"""Procedural people: clothed, articulated figures with keypoints, made from one integer each."""

from rfwarp.data.people.camera import Camera
from rfwarp.data.people.dataset import VIEWS, ProceduralPeople, person_bytes
from rfwarp.data.people.folder import write_people_folder
from rfwarp.data.people.parameters import PersonParameters
from rfwarp.data.people.pose import Arm, BodyPose, Leg
from rfwarp.data.people.render import RENDERER_VERSION, People, render_person, render_poses
from rfwarp.data.people.walking import walk, walking_pose

__all__ = [
    "RENDERER_VERSION",
    "VIEWS",
    "Arm",
    "BodyPose",
    "Camera",
    "Leg",
    "People",
    "PersonParameters",
    "ProceduralPeople",
    "person_bytes",
    "render_person",
    "render_poses",
    "walk",
    "walking_pose",
    "write_people_folder",
]
