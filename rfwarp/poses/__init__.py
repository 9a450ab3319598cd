"""Poses of every kind, and their encoding as the (c_p, H, W) maps that the networks read."""

from rfwarp.poses.alignment import FaceSquare, align_person, retarget
from rfwarp.poses.body_detection import BodyDetector, Detection
from rfwarp.poses.body_flow import keypoint_flow
from rfwarp.poses.camera import CameraMotion, read_kitti_poses
from rfwarp.poses.driving import read_driving_poses
from rfwarp.poses.encoding import Pose, PoseLike
from rfwarp.poses.face_detection import FaceDetector
from rfwarp.poses.face_flow import landmark_flow, landmarks_from_drawing
from rfwarp.poses.heatmaps import keypoint_heatmaps, keypoints_from_heatmaps
from rfwarp.poses.keypoints import (
    Keypoints,
    read_annotations,
    write_annotations,
    write_openpose,
)
from rfwarp.poses.kinds import POSE_KINDS, PoseKind
from rfwarp.poses.landmarks import FaceLandmarks
from rfwarp.poses.projection import (
    RelativeCameras,
    depth_flow,
    moving_cameras,
    orbiting_cameras,
)
from rfwarp.poses.smoothing import OneEuroFilter
from rfwarp.poses.text import parse_pose
from rfwarp.poses.viewpoint import Viewpoint
from rfwarp.poses.visual_hull import Hull, foreground_on_white, hull_depth

__all__ = [
    "POSE_KINDS",
    "BodyDetector",
    "CameraMotion",
    "Detection",
    "FaceDetector",
    "FaceLandmarks",
    "FaceSquare",
    "Hull",
    "Keypoints",
    "OneEuroFilter",
    "Pose",
    "PoseKind",
    "PoseLike",
    "RelativeCameras",
    "Viewpoint",
    "align_person",
    "depth_flow",
    "foreground_on_white",
    "hull_depth",
    "keypoint_flow",
    "keypoint_heatmaps",
    "keypoints_from_heatmaps",
    "landmark_flow",
    "landmarks_from_drawing",
    "moving_cameras",
    "orbiting_cameras",
    "parse_pose",
    "read_annotations",
    "read_driving_poses",
    "read_kitti_poses",
    "retarget",
    "write_annotations",
    "write_openpose",
]
