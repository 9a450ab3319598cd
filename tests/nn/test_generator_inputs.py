"""Bad tensors are refused with a message that says what was expected and what came."""

import pytest
import torch

from rfwarp import Generator

N, K, C, S = 2, 3, 5, 64
SOURCES = torch.zeros(N, K, 3, S, S)
POSES = torch.zeros(N, K, C, S, S)
TARGET = torch.zeros(N, C, S, S)
MASK = torch.ones(N, K, dtype=torch.bool)
MASK_OF_ONE = torch.arange(K).expand(N, K) < 1


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator(pose_channels=C, width=1 / 64).requires_grad_(False)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"sources": SOURCES[:, :0], "poses": POSES[:, :0]}, ValueError, "got K = 0"),
        ({"sources": []}, ValueError, "sources: at least one source is needed, got an empty list"),
        (
            {"sources": None},
            TypeError,
            "sources must be a torch.Tensor or a list of them, got None",
        ),
        ({"sources": SOURCES.numpy()}, TypeError, "got ndarray"),
        ({"sources": [SOURCES[:, 0].numpy()]}, TypeError, r"sources\[0\] must be a torch.Tensor"),
        ({"sources": SOURCES[0]}, ValueError, r"must be \(N, K, C, H, W\), got \(3, 3, 64, 64\)"),
        ({"sources": SOURCES[:, :, :2]}, ValueError, r"\(N, K, 3, H, W\).*got \(2, 3, 2, 64, 64\)"),
        ({"sources": SOURCES[:0]}, ValueError, r"N, H, W >= 1, got \(0, 3, 3, 64, 64\)"),
        ({"sources": SOURCES[..., :0]}, ValueError, r"got \(2, 3, 3, 64, 0\)"),
        ({"sources": SOURCES.byte()}, TypeError, "sources must be floating point, got torch.uint8"),
        (
            {"sources": [SOURCES[:, 0], SOURCES[:, 1, :, :32]]},
            ValueError,
            r"K tensors \(N, C, H, W\) of one shape, got \(2, 3, 64, 64\), \(2, 3, 32, 64\)",
        ),
        (
            {"sources": [SOURCES[:, 0], SOURCES[:, 1].double()]},
            TypeError,
            r"sources\[1\] must be torch.float32 like sources\[0\], got torch.float64",
        ),
        (
            {"poses": [POSES[:, 0], POSES[:, 1].to("meta"), POSES[:, 2]]},
            ValueError,
            r"poses\[1\] must be on cpu like poses\[0\], got meta",
        ),
        ({"present": MASK.to("meta")}, ValueError, "present must be on cpu like sources, got meta"),
        ({"sources": list(SOURCES[0])}, ValueError, r"one shape, got \(3, 64, 64\)"),
        (
            {"poses": POSES[:, :2]},
            ValueError,
            r"poses must be .* = \(2, 3, 5, 64, 64\).*got \(2, 2",
        ),
        ({"poses": POSES[:, :, :4]}, ValueError, r"got \(2, 3, 4, 64, 64\)"),
        ({"poses": POSES[..., :32]}, ValueError, r"got \(2, 3, 5, 64, 32\)"),
        ({"poses": POSES.double()}, TypeError, "poses must be torch.float32 like sources, got"),
        ({"poses": POSES.to("meta")}, ValueError, "poses must be on cpu like sources, got meta"),
        ({"poses": POSES.long()}, TypeError, "poses must be floating point, got torch.int64"),
        ({"target_pose": TARGET[:, :4]}, ValueError, r"= \(N, 5, 64, 64\), got \(2, 4, 64, 64\)"),
        ({"target_pose": TARGET[..., :63]}, ValueError, r"got \(2, 5, 64, 63\)"),
        ({"target_pose": TARGET[0]}, ValueError, r"got \(5, 64, 64\)"),
        ({"target_pose": TARGET[:1]}, ValueError, "2 sets of sources do not fit 1 target poses"),
        ({"target_pose": TARGET[:0]}, ValueError, r"got \(0, 5, 64, 64\)"),
        ({"target_pose": TARGET.half()}, TypeError, "target_pose must be torch.float32"),
        ({"target_pose": TARGET.to("meta")}, ValueError, "target_pose must be on cpu"),
        ({"target_pose": [0.0]}, TypeError, "target_pose must be a torch.Tensor, got list"),
        (
            {"present": MASK.float()},
            ValueError,
            r"present must be bool \(N, K\) = \(2, 3\), got torch.fl",
        ),
        ({"present": MASK[:, :2]}, ValueError, r"= \(2, 3\), got torch.bool \(2, 2\)"),
        ({"present": [True]}, TypeError, "present must be a torch.Tensor, got list"),
        (
            {"present": torch.tensor([[True, False, False], [False, False, False]])},
            ValueError,
            r"present must keep at least one source, but samples \[1\] have none",
        ),
    ],
)
def test_bad_input(generator, given, error, message):
    with pytest.raises(error, match=message):
        generator(**{"sources": SOURCES, "poses": POSES, "target_pose": TARGET, **given})


def test_the_former_name_of_present_works_for_one_release(generator):
    expected = generator(SOURCES, POSES, TARGET, MASK_OF_ONE)
    with pytest.warns(DeprecationWarning, match="mask is called present now") as given:
        image = generator(SOURCES, POSES, TARGET, mask=MASK_OF_ONE)
    assert given[0].filename == __file__
    assert torch.equal(image, expected)
    with pytest.warns(DeprecationWarning, match="mask is called present now"):
        encoded = generator.encode(SOURCES, POSES, mask=MASK_OF_ONE)
    assert encoded.present is MASK_OF_ONE
    with pytest.warns(DeprecationWarning, match="mask is called present now"):
        assert encoded.mask is MASK_OF_ONE
    with pytest.raises(TypeError, match="mask is the former name of present"):
        generator(SOURCES, POSES, TARGET, present=MASK_OF_ONE, mask=MASK_OF_ONE)


def test_bad_sources_are_refused_before_any_work(generator):
    calls = []
    handles = [m.register_forward_hook(lambda *_: calls.append(1)) for m in generator.modules()]
    with pytest.raises(ValueError, match="present must keep"):
        generator.encode(SOURCES, POSES, ~MASK)
    for handle in handles:
        handle.remove()
    assert not calls


@pytest.mark.parametrize("where", ["sources", "poses", "target"])
def test_nan_goes_through_without_a_crash(generator, where):
    values = {"sources": SOURCES.clone(), "poses": POSES.clone(), "target": TARGET.clone()}
    values[where].view(-1)[0] = float("nan")
    image = generator(values["sources"], values["poses"], values["target"])
    assert image[0].isnan().any()
    assert image[1].isfinite().all()  # samples do not touch each other
