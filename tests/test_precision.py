"""The choice of the type to compute in."""

import logging

import pytest
import torch
from test_generator import make

from rfwarp.cli.arguments import choose_dtype
from rfwarp.cli.info import collect
from rfwarp.precision import fast_dtype

HERE = torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


@pytest.mark.parametrize(
    ("multiplies", "expected"), [(True, torch.bfloat16), (False, torch.float32)]
)
def test_a_cpu_computes_in_bfloat16_where_it_multiplies_in_it(monkeypatch, multiplies, expected):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: multiplies)
    assert fast_dtype("cpu") == expected
    generator = make(width=1 / 64)
    weight = generator.optimize("auto").appearance.down2.conv1.weight
    assert weight.dtype == expected
    again = generator.optimize().optimize("auto").appearance.down2.conv1.weight
    assert again.dtype == expected


def test_other_devices_compute_in_float32():
    assert fast_dtype("meta") == torch.float32


def test_commands_choose_and_say_so(caplog):
    cpu = torch.device("cpu")
    with caplog.at_level(logging.INFO, logger="rfwarp"):
        assert choose_dtype("auto", cpu) == HERE
        assert choose_dtype("float16", cpu) == torch.float16
    name = str(HERE).removeprefix("torch.")
    assert caplog.messages == [f"computing in {name} on cpu", "computing in float16 on cpu"]
    assert collect()["devices"][0]["precision"] == name
