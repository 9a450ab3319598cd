"""Furniture rendered on a CUDA device, against the CPU."""

import pytest
import torch

pytest.importorskip("tyro", reason="test_furniture needs tyro, for the command line")
from test_furniture import CRATE, STOOL, mesh_of

from rfwarp.data.furniture.render import render_mesh, trace_mesh
from rfwarp.poses import Viewpoint

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def test_images_and_traces(tmp_path):
    views = [Viewpoint(20, 10), Viewpoint(240, 0)]
    for name, content in (("crate", CRATE), ("stool", STOOL)):
        folder = tmp_path / name
        folder.mkdir()
        mesh = mesh_of(folder, content)
        there = mesh.to("cuda")
        images = render_mesh(there, views, 64)
        assert images.device.type == "cuda"
        # Sums are rounded differently, and a ray along an edge may meet either side of it.
        off = (images.cpu().int() - render_mesh(mesh, views, 64).int()).abs()
        assert (off <= 1).float().mean() > 0.999
        for ours, theirs in zip(
            trace_mesh(mesh, views, 64), trace_mesh(there, views, 64), strict=True
        ):
            assert (
                torch.isclose(ours.float(), theirs.cpu().float(), atol=1e-5).float().mean() > 0.999
            )
