"""CUDA graphs: all launches of a call as one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class CudaGraph:
    """A function of tensors, recorded once and replayed for inputs of the same shapes.

    At small batches the launches of a generator take longer than its kernels; a replay is one
    launch. For example::

        fast = CudaGraph(generator, sources, poses, target_pose)
        fast = CudaGraph(functools.partial(generator.decode, encoded), target_pose)

    Args:
        function: of tensors to a tensor, without gradients. It must not wait for the device;
            :meth:`Generator.forward` and :meth:`Generator.decode` do not. Weights, encoded sources
            and whatever else it refers to must stay where they are, and may change their values.
        examples: of the inputs, all on one CUDA device.

    Raises:
        ValueError: if there are no examples, or one is not on the CUDA device of the others.

    Example:
        >>> import torch
        >>> from rfwarp.nn import CudaGraph
        >>> CudaGraph(torch.square, torch.ones(3))  # one that is not on a GPU
        Traceback (most recent call last):
            ...
        ValueError: a CUDA graph needs examples on one CUDA device, got cpu
    """

    def __init__(self, function: Callable[..., Tensor], *examples: Tensor) -> None:
        devices = {example.device for example in examples}
        if len(devices) != 1 or next(iter(devices)).type != "cuda":
            found = ", ".join(sorted(map(str, devices))) or "none"
            raise ValueError(f"a CUDA graph needs examples on one CUDA device, got {found}")
        self._device = devices.pop()
        self._function = function  # keeps its weights alive
        with torch.cuda.device(self._device), torch.no_grad():
            self._inputs = [example.detach().clone() for example in examples]
            # On a stream of its own first: what is allocated or chosen once is not recorded.
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(3):
                    function(*self._inputs)
            torch.cuda.current_stream().wait_stream(stream)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._output = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result, a new tensor.

        Raises:
            ValueError: if the inputs are not as many, of the shapes, types and device of the
                examples.
        """
        expected, given = ([_describe(x) for x in tensors] for tensors in (self._inputs, inputs))
        if given != expected:
            raise ValueError(
                f"this CUDA graph was made for ({', '.join(expected)}), got ({', '.join(given)})"
            )
        with torch.cuda.device(self._device), torch.no_grad():
            for mine, yours in zip(self._inputs, inputs, strict=True):
                mine.copy_(yours)
            self._graph.replay()
            return self._output.clone()


def _describe(tensor: Tensor) -> str:
    shape = " x ".join(map(str, tensor.shape))
    return f"{str(tensor.dtype).removeprefix('torch.')} {shape} on {tensor.device}"
