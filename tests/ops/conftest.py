"""Which tests of the PyTorch reference only `make test-all` runs."""

from pathlib import Path

import pytest
from warp_cases import LAYOUTS

HERE = Path(__file__).parent
# PyTorch's own operators see to the strides: a layout of each kind tells nearly as much as all.
OTHER_LAYOUTS = LAYOUTS.keys() - {"contiguous", "channels_last", "amid NaN"}
LONG = {"test_ops_large.py", "test_any_call", "test_compile_forward_and_backward"}


@pytest.hookimpl(tryfirst=True)  # before the slow ones are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent != HERE or not isinstance(item, pytest.Function):
            continue
        given = item.callspec.params if hasattr(item, "callspec") else {}
        if given.get("kernels") != "torch":
            continue
        if given.get("layout") in OTHER_LAYOUTS or LONG & {item.path.name, item.originalname}:
            item.add_marker("slow")
