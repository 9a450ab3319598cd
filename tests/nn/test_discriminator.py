"""The patch discriminator."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from rfwarp.nn import Discriminator
from rfwarp.training.losses import adversarial_discriminator


@pytest.fixture
def discriminator():
    torch.manual_seed(0)
    return Discriminator()


def images(n: int = 2, height: int = 64, width: int = 32) -> Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


def convolution(module, x: Tensor) -> Tensor:
    """Convolve by the weight, (out, in * h * w), over its largest singular value, in float64."""
    weight = module.parametrizations.weight.original.detach().double()
    weight = weight / torch.linalg.matrix_norm(weight.flatten(1), 2)
    return F.conv2d(x, weight, module.bias.detach().double(), padding=weight.shape[-1] // 2)


def test_logits_are_those_of_the_described_network(discriminator):
    for _ in range(100):  # the norms are estimated, one step a pass
        discriminator(images(1, 16, 16))
    x = images().double()
    for level, block in enumerate(discriminator.blocks):
        h = x if level == 0 else F.leaky_relu(x, 0.1)
        h = convolution(block.conv2, F.leaky_relu(convolution(block.conv1, h), 0.1))
        x = F.avg_pool2d(h, 2) + F.avg_pool2d(convolution(block.shortcut, x), 2)
    expected = convolution(discriminator.to_logits, F.leaky_relu(x, 0.1))
    result = discriminator.eval()(images())
    assert result.shape == (2, 1, 4, 2)
    assert_close(result.double(), expected, rtol=2e-3, atol=2e-3)


def test_every_convolution_has_spectral_norm_and_the_channels_described(discriminator):
    convolutions = [m for m in discriminator.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 4 * 3 + 1
    assert [b.conv1.in_channels for b in discriminator.blocks] == [3, 32, 64, 128]
    assert [b.conv2.out_channels for b in discriminator.blocks] == [32, 64, 128, 128]
    for _ in range(100):
        discriminator(images(1, 16, 16))
    for module in discriminator.eval().modules():
        if isinstance(module, torch.nn.Conv2d):
            norm = torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2)
            assert norm.item() == pytest.approx(1, abs=5e-3)


def test_a_patch_is_judged_by_what_is_around_it(discriminator):
    image = images(1, 256, 32).requires_grad_()
    discriminator.eval()(image)[0, 0, 0].sum().backward()
    seen = image.grad.abs().sum(dim=(0, 1, 3)) > 0
    assert seen[:16].all()
    assert not seen[96:].any()


def test_its_state_goes_on_where_it_was(discriminator):
    for _ in range(3):
        discriminator(images())
    torch.manual_seed(5)
    other = Discriminator()
    other.load_state_dict(discriminator.state_dict(), strict=True)
    for _ in range(3):  # the estimates of the norms go on too
        assert torch.equal(other(images()), discriminator(images()))


def test_evaluation_leaves_it_as_it_is(discriminator):
    before = {name: tensor.clone() for name, tensor in discriminator.state_dict().items()}
    discriminator.eval()(images())
    assert all(torch.equal(before[n], t) for n, t in discriminator.state_dict().items())
    discriminator.train()(images())
    assert not all(torch.equal(before[n], t) for n, t in discriminator.state_dict().items())


@pytest.mark.parametrize("kind", ["log", "least-squares"])
def test_it_learns_to_tell_noise_from_smooth_images(discriminator, kind):
    noise = torch.Generator().manual_seed(2)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3)
    costs = []
    for _ in range(25):
        real = torch.rand(4, 3, 2, 2, generator=noise) * 2 - 1
        real = F.interpolate(real, size=(32, 32), mode="bilinear")
        fake = torch.rand(4, 3, 32, 32, generator=noise) * 2 - 1
        cost = adversarial_discriminator(discriminator(real), discriminator(fake), kind)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        costs.append(cost.item())
    assert costs[-1] < 0.7 * costs[0]
    assert discriminator(real).mean() > discriminator(fake).mean()


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 64, 40)])
def test_images_that_do_not_halve_are_refused(discriminator, shape):
    with pytest.raises(ValueError, match=r"\(N, 3, H, W\), H and W multiples of 16, got \("):
        discriminator(torch.zeros(shape))


def test_channels_are_checked():
    with pytest.raises(ValueError, match=r"positive numbers, got \(32, 0\)"):
        Discriminator((32, 0))
    with pytest.raises(ValueError, match=r"got \(\)"):
        Discriminator(())
