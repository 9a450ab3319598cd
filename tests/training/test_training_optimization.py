"""One step of optimisation, without a network to train: gradients, and the order of both sides."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("accelerate")

from test_training import config

from rfwarp.nn import Discriminator
from rfwarp.training.accelerator import open_accelerator
from rfwarp.training.optimization import StageOptimizer, train_step
from rfwarp.training.stages import DiscriminatorStage


def optimizer_of(stage: nn.Module, **changes) -> StageOptimizer:
    c = config(Path("run"), **changes)
    return StageOptimizer(open_accelerator(c, "float32"), stage, c.lr, c)


def ones() -> nn.Module:
    return nn.ParameterList([torch.ones(3), torch.ones(1)])


def terms_of(stage: nn.Module, part: float) -> dict[str, Tensor]:
    """Of :func:`ones`, with a gradient of ``3 * part`` everywhere."""
    return {
        "sums": part * sum(p.sum() for p in stage.parameters()),
        "squares": part * sum(p.square().sum() for p in stage.parameters()),
    }


@pytest.mark.parametrize("clip", [3.0, 100.0])
def test_a_step_follows_the_clipped_mean_of_the_gradients(clip):
    stage = ones()
    optimizer = optimizer_of(stage, clip=clip, betas=(0.5, 0.75))
    left = 6 * min(1, clip / 12)
    for moments in (0.5 * left, 0.25 * left**2), (0.75 * left, 0.4375 * left**2):
        means = optimizer.step([1.0, 3.0], terms_of, rate=0)  # weights stay
        assert {name: value.item() for name, value in means.items()} == pytest.approx(
            {"sums": 8, "squares": 8, "loss": 16, "gradient_norm": 12}
        )
        for parameter in stage.parameters():
            state = optimizer._adam.state[parameter]
            for value, expected in zip(
                (parameter.grad, state["exp_avg"], state["exp_avg_sq"]),
                (left, *moments),
                strict=True,
            ):
                torch.testing.assert_close(value, torch.full_like(value, expected))


class Painter(nn.Module):
    """Stands for a stage: an image, whatever the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Parameter(torch.zeros(3, 32, 32))

    def forward(self, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        return {"l1": self.image.abs().mean()}, self.image.expand_as(batch["target"])


def estimates_after_a_step(parts: int) -> dict[str, Tensor]:
    """The discriminator's estimates of spectral norms, after so many batches if there are any."""
    torch.manual_seed(0)
    critic = DiscriminatorStage(Discriminator(channels=(4, 8)), config(Path("run")))
    target = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    if parts:
        optimizers = [optimizer_of(Painter()), optimizer_of(critic)]
        train_step(optimizers, [{"target": target}] * parts, rate=1)
    return dict(critic.named_buffers())


def test_spectral_norms_are_estimated_once_a_step():
    before, one, three = map(estimates_after_a_step, (0, 1, 3))
    assert len(before) > 4
    for name, estimate in one.items():
        assert torch.equal(estimate, three[name])
    assert any(not torch.equal(one[name], estimate) for name, estimate in before.items())
