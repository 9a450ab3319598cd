"""The networks of a run: the generator, its average, and the discriminator if there is one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rfwarp.data.tuples import TupleDataset
from rfwarp.nn import Generator
from rfwarp.nn.discriminator import Discriminator
from rfwarp.nn.flow import ConfidenceHeads
from rfwarp.nn.priors import PRIOR_CHANNELS
from rfwarp.poses.kinds import POSE_KINDS
from rfwarp.training.config import TrainConfig

Module = TypeVar("Module", bound=nn.Module)

ADDITIONS = ("alignment", "refinement")
"""Fields that add parts to a network without changing, at first, what it computes."""

OF_POSES = ("pose_kind", "pose_channels", "flow_prior", "focal")
"""Fields that go with the kind of pose."""


class Networks:
    """The networks of a run, initialised from ``config.seed``, in channels_last.

    Args:
        resumed: :meth:`load_state_dict` follows, so that the weights of ``config.init``, which may
            be gone by now, are not read.

    Attributes:
        generator: for the dataset's kind of pose.
        ema: its exponential moving average, which is exported.
        discriminator: None if the adversarial loss has no weight.
    """

    def __init__(
        self,
        config: TrainConfig,
        dataset: TupleDataset,
        device: torch.device,
        resumed: bool = False,
    ) -> None:
        torch.manual_seed(config.seed)
        height, width = dataset.height, dataset.width
        generator = Generator(
            pose_channels=POSE_KINDS[dataset.pose_kind].channels,
            pose_kind=dataset.pose_kind,
            image_size=height if height == width else (height, width),
            **asdict(config.network),
        )
        if config.init is not None and not resumed:
            _start_from(generator, config.init)
        self.generator = _laid_out(generator, device)
        self.ema = AveragedModel(
            self.generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema), use_buffers=True
        )
        adversarial = config.weights.adversarial > 0
        self.discriminator = _laid_out(Discriminator(), device) if adversarial else None

    @property
    def average(self) -> Generator:
        """The result of the run: the generator with the averaged weights."""
        return cast(Generator, self.ema.module)

    def state_dict(self) -> dict[str, Any]:
        """The state for :meth:`load_state_dict`."""
        networks = {"generator": self.generator, "ema": self.ema}
        if self.discriminator is not None:
            networks["discriminator"] = self.discriminator
        return {name: network.state_dict() for name, network in networks.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of a run with the same settings."""
        self.generator.load_state_dict(state["generator"])
        self.ema.load_state_dict(state["ema"])
        if self.discriminator is not None:
            self.discriminator.load_state_dict(state["discriminator"])


def _start_from(generator: Generator, weights: str) -> None:
    """Load weights; raise ValueError unless they are of the same network, at whatever size.

    Of weights for another kind of pose, the layers that read poses keep their random start. Where
    the network has a flow prior and weights for the same kind of pose have none, it starts from the
    flows of the prior.
    """
    given = Generator.from_pretrained(weights, local_files_only=True)
    ours, theirs = generator.config.to_dict(), given.config.to_dict()
    may_differ = {"image_size", *(n for n in ADDITIONS if ours[n] and not theirs[n])}
    same_poses = ours["pose_kind"] == theirs["pose_kind"]
    gains_prior = same_poses and theirs["flow_prior"] == "none" != ours["flow_prior"]
    if gains_prior:
        may_differ.add("flow_prior")
    if not same_poses:
        may_differ.update(OF_POSES)
    different = [
        f"{name} is {theirs[name]!r} there, {value!r} here"
        for name, value in ours.items()
        if name not in may_differ and theirs[name] != value
    ]
    if given.optimized:
        different.append("they are of the optimized form")
    if different:
        raise ValueError(f"cannot start from {weights}: {', '.join(different)}")
    start, state = generator.state_dict(), given.state_dict()
    if gains_prior:
        _add_prior(state, generator)
    # Of the same network only the layers that read poses can be of another shape.
    fits = {n: t for n, t in state.items() if t.shape == start[n].shape}
    generator.load_state_dict(start | fits)


def _add_prior(state: dict[str, Tensor], generator: Generator) -> None:
    """Make weights without flow prior a start for a network with one: it is read with weights of 0,
    and its flows are corrected by 0."""
    flow, c = generator.flow, generator.config
    for name in ("flow.down.0.conv1.weight", "flow.down.0.shortcut.weight"):
        of_source, of_target = state[name].tensor_split([flow.source_channels], dim=1)
        shape = list(of_source.shape)
        shape[1] = PRIOR_CHANNELS[c.flow_prior]
        state[name] = torch.cat([of_source, of_source.new_zeros(shape), of_target], dim=1)
    for stride in c.levels:
        heads = f"flow.heads{stride}"
        values = 1 if c.flow_model == "depth" else 2
        values *= cast(ConfidenceHeads, generator.get_submodule(heads)).enlarge ** 2
        for parameter in ("weight", "bias"):
            state[f"{heads}.flow.{parameter}"][:values] = 0


def _laid_out(network: Module, device: torch.device) -> Module:
    return network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """A context in which gradients reach the network's inputs, and its own state stays as it is."""
    network.eval().requires_grad_(False)
    try:
        yield
    finally:
        network.train().requires_grad_(True)
