"""Procedural faces: heads with expressions and 68 landmarks, made from one integer each."""

from rfwarp.data.faces.dataset import VIEWS, ProceduralFaces, face_bytes
from rfwarp.data.faces.folder import write_faces_folder
from rfwarp.data.faces.head import EXPRESSIONS
from rfwarp.data.faces.parameters import FaceParameters
from rfwarp.data.faces.pose import FacePose
from rfwarp.data.faces.render import RENDERER_VERSION, Faces, render_expressions, render_face

__all__ = [
    "EXPRESSIONS",
    "RENDERER_VERSION",
    "VIEWS",
    "FaceParameters",
    "FacePose",
    "Faces",
    "ProceduralFaces",
    "face_bytes",
    "render_expressions",
    "render_face",
    "write_faces_folder",
]
