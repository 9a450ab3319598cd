"""A setup.py for the CUDA kernels of another ``csrc``, under a namespace of their own.

python -m harness.gpu_day.variant_setup CSRC NAME build_ext --build-lib FOLDER

leaves FOLDER/NAME/_cuda.so with torch.ops.NAME; see docs/guides/vendoring.md.
"""

import os
import sys

from setuptools import setup

if __name__ == "__main__":
    csrc, name = sys.argv.pop(1), sys.argv.pop(1)
    sys.path.insert(0, csrc)
    os.chdir(sys.argv[-1])  # away from the pyproject.toml of rfwarp
    from kernel_build import BuildKernels, kernels

    cuda = [e for e in kernels(name, namespace=name) if e.name.endswith("._cuda")]
    setup(name=name, packages=[], ext_modules=cuda, cmdclass={"build_ext": BuildKernels})
