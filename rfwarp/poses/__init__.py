"""Poses of every kind, and how each becomes the (c_p, H, W) map that the networks read."""

from rfwarp.poses.alignment import align_person
from rfwarp.poses.body_flow import keypoint_flow
from rfwarp.poses.camera import CameraMotion, read_kitti_poses
from rfwarp.poses.encoding import Pose, PoseLike
from rfwarp.poses.face_detection import FaceDetector
from rfwarp.poses.heatmaps import keypoint_heatmaps, keypoints_from_heatmaps
from rfwarp.poses.keypoints import Keypoints, read_annotations, write_annotations
from rfwarp.poses.kinds import POSE_KINDS, PoseKind
from rfwarp.poses.landmarks import FaceLandmarks
from rfwarp.poses.text import parse_pose
from rfwarp.poses.viewpoint import Viewpoint

__all__ = [
    "POSE_KINDS",
    "CameraMotion",
    "FaceDetector",
    "FaceLandmarks",
    "Keypoints",
    "Pose",
    "PoseKind",
    "PoseLike",
    "Viewpoint",
    "align_person",
    "keypoint_flow",
    "keypoint_heatmaps",
    "keypoints_from_heatmaps",
    "parse_pose",
    "read_annotations",
    "read_kitti_poses",
    "write_annotations",
]
