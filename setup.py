"""Builds the compiled extension (csrc/kernel_build). All else is in pyproject.toml."""

import sys
from pathlib import Path

from setuptools import setup

sys.path.insert(0, str(Path(__file__).parent / "csrc"))
from kernel_build import BuildKernels, WheelForEveryPython, kernels

setup(
    ext_modules=kernels("rfwarp_cuda"),
    cmdclass={"build_ext": BuildKernels, "bdist_wheel": WheelForEveryPython},
)
