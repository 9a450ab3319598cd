"""The implementation that computes the operators: the reported one and the real one."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import rfwarp_cuda
from rfwarp.ops import backend, backends, reference, use_backend, warp

LOADED = rfwarp_cuda.load()
compiled = pytest.mark.skipif(LOADED.cpu is not None, reason=f"no CPU kernels: {LOADED.cpu}")
no_cuda = pytest.mark.skipif(LOADED.cuda is None, reason="there are CUDA kernels")

Counter = Callable[[Callable[[], Tensor]], tuple[int, int]]


@pytest.fixture
def reference_calls(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Counts the forward and backward calls of the PyTorch reference within a function.

    Covering kernels looks the reference up at each switch, so this holds for those tests that
    switch the backend themselves.
    """
    calls: list[str] = []

    def spy(name: str, function: Callable[..., object]) -> Callable[..., object]:
        def wrapper(*args: object) -> object:
            calls.append(name)
            return function(*args)

        return wrapper

    for name in ("warp", "warp_backward"):
        monkeypatch.setattr(reference, name, spy(name, getattr(reference, name)))

    def count(function: Callable[[], Tensor]) -> tuple[int, int]:
        calls.clear()
        function().sum().backward()
        return calls.count("warp"), calls.count("warp_backward")

    return count


def forward() -> Tensor:
    return warp(torch.ones(1, 2, 4, 4, requires_grad=True), torch.zeros(1, 2, 4, 4))


def imported(name: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process that imports rfwarp.ops with RFWARP_BACKEND set, and prints its backend."""
    code = (
        "from rfwarp.ops import backend;"
        "import torch; print(*backend(), bool(torch.ops.loaded_libraries), sep='\\n')"
    )
    environment = {**os.environ, "RFWARP_BACKEND": name, **environment}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )


def test_backend_says_what_and_why() -> None:
    now = backend()
    assert now.name in backends.BACKENDS
    for kernels, missing in zip((now.cpu, now.cuda), LOADED, strict=True):
        assert kernels.reason
        if now.name == "auto":
            assert kernels.kind == ("compiled" if missing is None else "torch")


def test_unknown_backend_is_refused() -> None:
    with (
        pytest.raises(ValueError, match="one of auto, torch, cpu, cuda, got 'gpu'"),
        use_backend("gpu"),
    ):
        pass


@no_cuda
def test_unavailable_backend_is_refused_and_changes_nothing() -> None:
    before = backend()
    with pytest.raises(RuntimeError, match=r"'cuda' is not available: .+"), use_backend("cuda"):
        pass
    assert backend() == before


@compiled
@pytest.mark.parametrize(
    ("name", "environment"),
    [
        pytest.param("cuda", {}, marks=no_cuda),
        ("auto", {"RFWARP_CPU_CAPABILITY": "sse9"}),
    ],
)
def test_kernels_loaded_in_vain_compute_nothing(name: str, environment: dict[str, str]) -> None:
    """They come on top of the reference, in a process that had none loaded."""
    code = f"""
import torch
from rfwarp.ops import backend, reference, use_backend, warp
calls, original = [], reference.warp
reference.warp = lambda *given: calls.append(1) or original(*given)
try:
    with use_backend({name!r}):
        pass
except (RuntimeError, ImportError):
    warp(torch.ones(1, 2, 4, 4), torch.zeros(1, 2, 4, 4))
    print(backend().name, bool(torch.ops.loaded_libraries), len(calls))
"""
    environment = {**os.environ, "RFWARP_BACKEND": "torch", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout == "torch True 1\n", done.stderr


@compiled
def test_switching_reaches_forward_and_backward(reference_calls: Counter) -> None:
    with use_backend("cpu"):
        assert reference_calls(forward) == (0, 0)
        with use_backend("torch"):
            assert backend().cpu.kind == "torch"
            assert reference_calls(forward) == (1, 1)
            with use_backend("torch"):
                assert reference_calls(forward) == (1, 1)
            assert reference_calls(forward) == (1, 1)
            with use_backend("auto"):
                assert reference_calls(forward) == (0, 0)
            assert reference_calls(forward) == (1, 1)
        assert reference_calls(forward) == (0, 0)


@compiled
def test_an_error_inside_restores_the_backend(reference_calls: Counter) -> None:
    with use_backend("cpu"):
        with pytest.raises(KeyError), use_backend("torch"):
            raise KeyError
        assert backend().name == "cpu"
        assert reference_calls(forward) == (0, 0)


@compiled
def test_backward_runs_on_the_backend_of_its_time(reference_calls: Counter) -> None:
    with use_backend("torch"):
        outside = forward()
    with use_backend("cpu"):
        assert reference_calls(lambda: outside) == (0, 0)
        inside = forward()
    with use_backend("torch"):
        assert reference_calls(lambda: inside) == (0, 1)


@compiled
def test_compiled_programs_follow(reference_calls: Counter) -> None:
    program = torch.compile(lambda f, w: 2 * warp(f, w), fullgraph=True, backend="aot_eager")
    features, flow = torch.ones(1, 2, 4, 4, requires_grad=True), torch.zeros(1, 2, 4, 4)
    for name, expected in (("cpu", (0, 0)), ("torch", (1, 1)), ("cpu", (0, 0))):
        with use_backend(name):
            assert reference_calls(lambda: program(features, flow)) == expected


@compiled
def test_switching_warns_of_nothing() -> None:
    """Not even in a fresh process: PyTorch's warning about overridden kernels comes once."""
    code = "from rfwarp.ops import use_backend\nwith use_backend('torch'): pass"
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with use_backend("torch"):
            pass


@compiled
def test_a_backend_by_name_refuses_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    with use_backend("cpu"):
        assert backend().cuda.kind == "none"
        with pytest.raises(
            RuntimeError, match="'cpu' computes cpu tensors only, got one on cuda:1"
        ):
            backends.check_device(torch.device("cuda:1"))
    # The same check for cuda, which needs no GPU: nothing is computed.
    monkeypatch.setattr(backends, "_active", "cuda")
    monkeypatch.setattr(backends, "compiled_cpu", False)
    with pytest.raises(RuntimeError, match="'cuda' computes cuda tensors only, got one on cpu"):
        forward()


def test_shapes_need_no_backend() -> None:
    features = torch.empty(1, 2, 4, 4, device="meta")
    assert warp(features, torch.empty(1, 2, 4, 4, device="meta")).shape == features.shape


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gpu", "RFWARP_BACKEND=gpu: a backend is one of auto, torch, cpu, cuda"),
        pytest.param("cuda", "RFWARP_BACKEND=cuda: the backend 'cuda' is not avail", marks=no_cuda),
    ],
)
def test_environment_names_no_backend(
    name: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RFWARP_BACKEND", name)
    with pytest.raises(ImportError, match=f"^{message}"):
        backends.select_from_environment()


def test_environment_chooses_torch_and_loads_nothing_compiled() -> None:
    done = imported("torch")
    assert done.returncode == 0, done.stderr
    name, *_, loaded = done.stdout.splitlines()
    assert (name, loaded) == ("torch", "False")


@compiled
def test_environment_chooses_the_kernels_of_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFWARP_BACKEND", "cpu")
    with use_backend(backend().name):  # goes back to it
        backends.select_from_environment()
        name, cpu, cuda = backend()
    assert (name, cpu.kind, cuda.kind) == ("cpu", "compiled", "none")


@compiled
def test_environment_names_no_instruction_set() -> None:
    done = imported("auto", RFWARP_CPU_CAPABILITY="sse9")
    assert done.returncode == 1
    assert "ImportError: RFWARP_CPU_CAPABILITY: rfwarp: " in done.stderr
    assert "baseline, avx2, avx512" in done.stderr
    assert "got 'sse9'" in done.stderr
    assert "with baseline" in imported("auto", RFWARP_CPU_CAPABILITY="baseline").stdout
