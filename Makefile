# Two commands do everything on a machine with Python (3.10 or later) and a C++ compiler:
#   make demo   create the environment, install, and draw held-out chairs, people, faces and streets anew
#   make test   the same environment with the developer tools; lint, types, documentation and tests
# make test-all runs the slow tests too.
PYTHON ?= python3
# Not from the environment, as `make clean` deletes these two; `make VENV=...` sets them.
VENV    = .venv
OUT     = out
# The torch that the project is tested with. Any torch >= 2.11 works; to try another build:
#   make demo TORCH="torch==2.12.0 --index-url https://..."
TORCH  ?= torch==2.13.0
JOBS   ?= 2

# CUDA kernels, where there is an nvcc, are compiled for the GPUs of this machine alone, or for 9.0.
RFWARP_CUDA_ARCHS ?= native

BIN := $(VENV)/bin
CXX_FILES := $(shell find csrc tests -name '*.h' -o -name '*.cpp' -o -name '*.cu')

.PHONY: demo test test-all docs wheel sanitize lint format clean

demo: $(VENV)/.installed
	$(BIN)/python examples/novel_view.py --out $(OUT)
	$(BIN)/python examples/new_pose.py --out $(OUT)
	$(BIN)/python examples/new_expression.py --out $(OUT)
	$(BIN)/python examples/new_place.py --out $(OUT)

# A process at a time has a file, so that what its tests share is made once. The longest files come
# first (tests/conftest.py), not, as xdist would have it, those of the most tests. If a process dies,
# the run ends: xdist, which would start another, then waits for ever for tests that it gave to none.
PYTEST := RFWARP_CUDA_ARCHS="$(RFWARP_CUDA_ARCHS)" OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

test: lint docs
	$(PYTEST)

test-all: lint docs
	$(PYTEST) -m "slow or not slow"

# Into dist, for every Python, with the kernels that this machine can compile.
wheel: $(VENV)/.developer
	$(BIN)/python packaging/wheel.py dist

# Pages and reference as HTML; warnings are errors.
docs: $(VENV)/.developer
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs build/docs

# The operators' tests on CPU kernels built with AddressSanitizer and UndefinedBehaviorSanitizer,
# and the kernels on threads with ThreadSanitizer.
sanitize: $(VENV)/.developer
	OMP_NUM_THREADS=1 $(BIN)/python tests/sanitize.py
	$(BIN)/python tests/sanitize.py --thread

lint: $(VENV)/.developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(CXX_FILES)
	$(BIN)/mypy

format: $(VENV)/.developer
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CXX_FILES)

# torch comes first and the build is not isolated: an isolated build, or a free choice of version,
# could bring in a second torch of several gigabytes.
$(VENV)/.torch:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet "setuptools>=77" "ninja>=1.11" "pybind11>=2.13"
	touch $@

# Later runs compile only what has changed. Compatible: the clone's folder goes onto Python's path. A
# finder, setuptools' other way, comes too late where the clone is called rfwarp and Python starts
# in its parent, whose folder rfwarp it takes for a package.
EDITABLE := --no-build-isolation --config-settings editable_mode=compat --editable

# Detectors of bodies, for the tests. Alone: rtmlib brings a second OpenCV, mediapipe an old protobuf.
DETECTORS := rtmlib "mediapipe==0.10.14; python_version < '3.13'"

$(VENV)/.installed: $(VENV)/.torch pyproject.toml setup.py $(CXX_FILES) $(wildcard csrc/kernel_build/*.py)
	RFWARP_CUDA_ARCHS="$(RFWARP_CUDA_ARCHS)" $(BIN)/pip install --quiet $(EDITABLE) ".[video]"
	touch $@

$(VENV)/.developer: pyproject.toml setup.py | $(VENV)/.installed
	RFWARP_CUDA_ARCHS="$(RFWARP_CUDA_ARCHS)" $(BIN)/pip install --quiet $(EDITABLE) ".[dev]"
	$(BIN)/pip install --quiet --no-deps $(DETECTORS)
	touch $@

clean:
	rm -rf $(VENV) $(OUT) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -f rfwarp_cuda/*.so
