"""Builds the compiled extension. Everything static about the package is in pyproject.toml.

There is no compiled extension yet: rfwarp runs on its PyTorch operators.
"""

from setuptools import setup

setup()
